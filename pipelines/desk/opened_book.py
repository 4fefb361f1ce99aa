"""A book's tables as they stand, for those who read a book and never write to it.

What is read is the book at the version that it had when it was opened: committed files never
change, so a run may book meanwhile. Nothing here proves anything; ``mynapoint verify`` does.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.chain import ChainRecord, chain_of
from engine.io.book.folder import Book
from engine.io.book.format import PROGRAMME_FILE, SERVICES_FILE, RunTable, layout_file
from engine.io.book.payouts import PayoutBook
from engine.io.book.run_record import RunRecord, UsedLayout
from engine.io.parquet import scan_parquet
from engine.records import LedgerEntry, polars_schema
from engine.terms.programme import Programme, parse_programme
from engine.terms.services import Services, parse_services
from pipelines.desk.id_places import IdPlaces
from pipelines.desk.seals import names_of_seals

if TYPE_CHECKING:
    from engine.layouts.model import Layout


@dataclass(frozen=True, slots=True)
class LedgerFile:
    """A file of the ledger.

    Attributes:
        run: the number of the run that booked it.
        rows: its entries, sorted by (``person_id``, ``entry_seq``).
        first_person, last_person: of its entries; no other file of the run has them.
    """

    path: Path
    run: int
    rows: int
    first_person: str
    last_person: str


@dataclass(frozen=True)
class OpenedBook:
    """A book at one version.

    Attributes:
        records: the records of its committed runs; a run's number is its place, from 1.
    """

    book: Book
    records: tuple[RunRecord, ...]

    @property
    def runs(self) -> int:
        return len(self.records)

    @property
    def entries(self) -> int:
        """How many entries the records say there are."""
        return sum(output.rows or 0 for record in self.records for output in record.ledger_files)

    def record(self, number: int) -> RunRecord:
        """The record of a run."""
        return self.records[number - 1]

    @cached_property
    def places(self) -> IdPlaces:
        """Where IDs stand in its files, for whoever looks for many, one after the other."""
        return IdPlaces()

    @cached_property
    def ledger_files(self) -> tuple[LedgerFile, ...]:
        """The ledger's files in the order of their rows, as the Delta log has them.

        Raises:
            BookError: a commit cannot be understood.
        """
        files: list[LedgerFile] = []
        for number in range(1, self.runs + 1):
            commit = self.book.commit_file(number)
            with book_readable(self.book):
                lines = [line for line in commit.read_bytes().split(b"\n") if line]
                actions = json.loads(b"[" + b",".join(lines) + b"]")
                adds = [action["add"] for action in actions if "add" in action]
                of_run = [self._ledger_file(add, number) for add in adds]
            files += sorted(of_run, key=lambda file: file.path.name)
        return tuple(files)

    def _ledger_file(self, add: dict[str, Any], run: int) -> LedgerFile:
        statistics = json.loads(add["stats"])
        return LedgerFile(
            self.book.ledger / add["path"],
            run,
            int(statistics["numRecords"]),
            statistics["minValues"]["person_id"],
            statistics["maxValues"]["person_id"],
        )

    def ledger_files_of(self, person_id: str) -> list[LedgerFile]:
        """Those of the ledger's files that may have a person's entries, one a run at most."""
        return [
            file for file in self.ledger_files if file.first_person <= person_id <= file.last_person
        ]

    def ledger(self, files: Sequence[LedgerFile] | None = None) -> pl.LazyFrame:
        """The ledger, or some of its files, in booking order within each person.

        Entries of format 1 have the net amount that they stand for.
        """
        return _ledger([file.path for file in (self.ledger_files if files is None else files)])

    def ledger_with(
        self, files: Sequence[LedgerFile], column: str, ids: Sequence[str]
    ) -> pl.LazyFrame:
        """Some rows of the ledger's files, all that hold one of some IDs in a column among them."""
        return self._with(_ledger, [file.path for file in files], column, ids)

    def tables(self, table: RunTable) -> list[Path]:
        """The files of one of the runs' tables that hold a row."""
        rows = {output.name: output.rows for record in self.records for output in record.outputs}
        names = [f"runs/{record.run_id}/{table.file_name}" for record in self.records]
        return [self.book.path / name for name in names if rows.get(name)]

    def table(self, table: RunTable) -> pl.LazyFrame:
        """One of the runs' tables, with ``run_id``: the run that the row was delivered in. What
        format 1 did not keep of a row is null.
        """
        return _table(table, self.tables(table))

    def table_with(self, table: RunTable, column: str, ids: Sequence[str]) -> pl.LazyFrame:
        """Some rows of one of the runs' tables, all that hold one of some IDs in a column among
        them.
        """
        return self._with(partial(_table, table), self.tables(table), column, ids)

    def _with(
        self,
        scan: Callable[[Sequence[Path]], pl.LazyFrame],
        paths: Sequence[Path],
        column: str,
        ids: Sequence[str],
    ) -> pl.LazyFrame:
        pieces, unknown = [], []
        for path in paths:
            rows = self.places.rows(path, column, ids)
            if rows is None or len(rows) > _MOST_PIECES:
                unknown.append(path)
            else:
                pieces += [scan([path]).slice(row, 1) for row in rows]
        return pl.concat([*pieces, scan(unknown)]) if pieces else scan(unknown)

    def services(self, number: int) -> Services:
        """The services that a run was booked by.

        Raises:
            BookError: the kept file is missing, or not the one that the record names.
        """
        sha256 = self.record(number).services_sha256
        if sha256 not in self._services:
            text, path = self._kept(number, SERVICES_FILE, sha256)
            self._services[sha256] = parse_services(text, path)
        return self._services[sha256]

    def programme(self, number: int) -> Programme:
        """The programme that a run was booked by.

        Raises:
            BookError: the kept file is missing, or not the one that the record names.
        """
        sha256 = self.record(number).programme.sha256
        if sha256 not in self._programmes:
            text, path = self._kept(number, PROGRAMME_FILE, sha256)
            self._programmes[sha256] = parse_programme(text, path)
        return self._programmes[sha256]

    @cached_property
    def _services(self) -> dict[str, Services]:
        return {}

    @cached_property
    def _programmes(self) -> dict[str, Programme]:
        return {}

    def laid_out(self, number: int) -> dict[str, str | None]:
        """The files of transactions that a run read by a layout, each with the service that all of
        its rows are of; None where every row says its own.

        Raises:
            BookError: a kept layout is missing, or not the one that the record names.
        """
        found: dict[str, str | None] = {}
        for delivery in self.record(number).inputs:
            if delivery.role == "transactions" and delivery.layout is not None:
                source = self.layout(number, delivery.layout).columns["service_id"]
                alone = len(source.names) == 1 and source.words is None
                [name] = source.names if alone else [""]
                found[delivery.name] = source.constant or delivery.layout.parameters.get(name)
        return found

    def layout(self, number: int, used: UsedLayout) -> "Layout":
        """The layout that a run's record names for one of its files.

        Raises:
            BookError: the kept layout is missing, or not the one that the record names.
        """
        from engine.layouts.parsing import parse_layout

        text, path = self._kept(number, layout_file(used.id), used.sha256)
        return parse_layout(text, path)

    def _kept(self, number: int, name: str, sha256: str) -> tuple[str, str]:
        path = self.book.run_folder(number) / name
        with book_readable(self.book):
            kept = path.read_bytes()
            if hashlib.sha256(kept).hexdigest() == sha256:
                return kept.decode(), str(path)
        raise _damaged(self.book, f"{path} is not the file that the run's record names")

    @cached_property
    def chain(self) -> list[ChainRecord]:
        """The records of its runs and payout runs, in their order."""
        payout_runs = PayoutBook(self.book.path).committed_runs()
        with book_readable(self.book):
            return chain_of(self.book, self.runs, payout_runs)

    @property
    def chain_sha256(self) -> str:
        """The digest of the last record, a run's or a payout run's, which holds that of the one
        before, and so on.
        """
        return self.chain[-1].sha256

    @cached_property
    def seals(self) -> list[str]:
        """The names of the seals that the book keeps of its last record; not checked."""
        with book_readable(self.book):
            return names_of_seals(self.book, self.chain[-1].place)


_MOST_PIECES: Final = 50
"""Of more rows it is as quick to read the whole file."""


def _ledger(paths: Sequence[Path]) -> pl.LazyFrame:
    schema = polars_schema(LedgerEntry)
    if not paths:
        return pl.LazyFrame(schema=schema)
    amount = pl.col("amount")
    net_amount = pl.when(pl.col("kind") == "refund").then(-amount).otherwise(amount)
    return scan_parquet(paths, schema=schema).with_columns(pl.coalesce("net_amount", net_amount))


def _table(table: RunTable, paths: Sequence[Path]) -> pl.LazyFrame:
    schema = polars_schema(table.record)
    if not paths:
        return pl.LazyFrame(schema=schema | {"run_id": pl.String()})
    frame = scan_parquet(paths, schema=schema, path_column="run_id")
    return frame.with_columns(pl.col("run_id").str.extract(r"([0-9]{6,})[/\\][^/\\]*$"))


def open_book(path: str | Path, as_of: int | None = None) -> OpenedBook:
    """Opens a book to read from it.

    Args:
        path: the book.
        as_of: take it as it was after this run: what later ones did is not there.

    Raises:
        InputError: there is no book, no run is in it yet, or it has no such run.
        BookError: its log or a record is damaged, or it has lost a run.
    """
    book = Book.at(path)
    book.check_readable()
    with book_readable(book):
        committed = book.committed_runs()
    if committed == 0:
        raise InputError(
            f"{book.path}: no run is in this book yet",
            hint="name the folder of a book that a run has made",
            code="no_book",
        )
    if as_of is not None and not 0 < as_of <= committed:
        raise InputError(
            f"{book.path}: there is no run {as_of}, the last is {committed}",
            hint="name a run by its number, such as 3 or 000003",
        )
    last = committed if as_of is None else as_of
    return OpenedBook(book, tuple(book.record(number) for number in range(1, last + 1)))


# Arrow's errors are of the built-in kinds.
_UNREADABLE: Final = (
    *(OSError, KeyError, TypeError, ValueError, NotImplementedError),
    pl.exceptions.PolarsError,
)


@contextmanager
def book_readable(book: Book) -> Iterator[None]:
    """Says of a file of the book that cannot be read that the book is damaged.

    Raises:
        BookError: naming what could not be read.
    """
    try:
        yield
    except _UNREADABLE as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        if isinstance(error, OSError) and error.filename:
            reason = f"{error.filename}: {error.strerror}"
        raise _damaged(book, reason) from error


def _damaged(book: Book, reason: str) -> BookError:
    return BookError(
        f"{book.path}: a file of the book is missing or damaged: {reason}",
        hint="find out with mynapoint verify, and restore the book from a copy",
    )

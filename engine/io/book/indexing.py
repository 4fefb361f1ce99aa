"""Bringing the index up to date: a committed run's tables are read, and what they say is added."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import polars as pl

from engine.booking.remembering import corrected, enrolled, remembered
from engine.booking.state import Keys, Past, PositionFinder, content_hashes
from engine.columns.hashing import hash_pair
from engine.errors import BookError
from engine.io.book.checked import CheckedArray
from engine.io.book.entries import as_entries
from engine.io.book.facts import FactWriter
from engine.io.book.folder import Book, run_id
from engine.io.book.format import SINCE_FORMAT_2, RunTable
from engine.io.book.index_files import IndexFiles
from engine.io.book.kept import kept_services, with_corrections_of
from engine.io.book.run_record import RunRecord
from engine.io.book.waiting import Waiting
from engine.io.book.whole_files import CORRECTIONS, REGISTRY
from engine.io.parquet import scan_parquet
from engine.records import TRANSACTION_COLUMNS, VOIDS, Kind, polars_schema
from engine.rules.spending import DUPLICATE

_UNUSABLE: Final[tuple[type[BaseException], ...]] = (
    ValueError,
    KeyError,
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
)
_UNREADABLE: Final[tuple[type[BaseException], ...]] = (OSError, *_UNUSABLE)


def with_run(book: Book, index: IndexFiles) -> IndexFiles:
    """The index with a further committed run.

    Raises:
        BookError: the run's files are missing or damaged.
        DamagedIndex: the index is.
    """
    number, before = index.runs + 1, index.past
    record, mark = book.record(number), run_id(number)
    past = before
    with _damage_of(book, number, _UNREADABLE):
        corrections = with_corrections_of(book, number, before.corrections)
        if corrections is not before.corrections:
            past = corrected(past, corrections)
        accepted = read_table(book, number, RunTable.ACCEPTED)
        past = enrolled(past, accepted, corrections)
    facts = FactWriter(book.index, mark)
    services = kept_services(book, number).services
    by_month = [service.service_id for service in services if service.rounding == "month"]
    with _damage_of(book, number, _UNUSABLE):
        past = remembered(past, number, _entries(book, record), facts, by_month)
    fresh_facts = past.facts.parts[-1]
    assert isinstance(fresh_facts, CheckedArray)
    index = replace(
        index,
        runs=number,
        keys=index.keys.added(mark, _fresh(past.keys, before.keys)),
        people=index.people.added(mark, _fresh(past.people, before.people)),
        facts=index.facts.added(mark, fresh_facts),
    ).with_past(past)
    if past.corrections is not before.corrections:
        index = replace(index.without_files(CORRECTIONS), corrected_in=number)
    if past.registry is not before.registry:
        index = replace(index.without_files(*REGISTRY), enrolled_in=number)
    return replace(index, waiting=_with_waiting(book, record, index))


def _fresh(segments: Sequence[PositionFinder], before: Sequence[PositionFinder]) -> list[Keys]:
    """Those that a run added, which are in memory."""
    return [keys for keys in segments[len(before) :] if isinstance(keys, Keys)]


def read_table(book: Book, number: int, table: RunTable) -> pl.DataFrame:
    """One of a run's tables; without rows where the run's format has no such table."""
    path = book.run_folder(number) / table.file_name
    schema = polars_schema(table.record)
    if not path.exists() and table in SINCE_FORMAT_2:
        return pl.DataFrame(schema=schema)
    return scan_parquet(path).collect(engine="in-memory")


def read_tables(
    book: Book, numbers: Iterable[int], table: RunTable, columns: Sequence[str | pl.Expr]
) -> pl.DataFrame:
    """The rows of a table of several runs, in their order; ``run`` is the number of each row's.

    All files are read at once, which takes a tenth of the time that it takes one by one.
    """
    runs = {
        str((book.run_folder(number) / table.file_name).absolute()): number for number in numbers
    }
    if table in SINCE_FORMAT_2:
        runs = {file: number for file, number in runs.items() if Path(file).exists()}
    run = pl.col("file").replace_strict(runs, return_dtype=pl.Int64)
    if not runs:
        empty = pl.DataFrame(schema={**polars_schema(table.record), "run": pl.Int64()})
        return empty.select(*columns, "run")
    rows = scan_parquet([*map(Path, runs)], path_column="file", schema=polars_schema(table.record))
    return rows.select(*columns, run=run).collect()


def _entries(book: Book, record: RunRecord) -> Iterator[pl.DataFrame]:
    for output in record.ledger_files:
        with _damage_of(book, record.number, _UNREADABLE):
            path = book.path / output.name
            entries = as_entries(scan_parquet(path).collect(engine="in-memory"))
        yield entries


@contextmanager
def _damage_of(book: Book, number: int, errors: tuple[type[BaseException], ...]) -> Iterator[None]:
    try:
        yield
    except errors as error:
        raise BookError(
            f"{book.run_folder(number)}: a file of a booked run is missing or damaged: "
            f"{str(error).splitlines()[0]}",
            hint="restore the book from a copy; nothing was booked",
        ) from error


def _with_waiting(book: Book, record: RunRecord, index: IndexFiles) -> Waiting:
    """What waits after a further run: what it voided, then what it declined."""
    if record.format < 2:
        # The tables of such a run keep too little of a declined row to decide it again.
        return index.waiting
    rows = []
    if record.counts.voided:
        for entries in _entries(book, record):
            voids = entries.filter(pl.col("kind").is_in(VOIDS))
            rows.append(
                voids.with_columns(pl.col("kind").str.strip_suffix("_void")).select(
                    *TRANSACTION_COLUMNS, booked_once=pl.lit(value=True)
                )
            )
    with _damage_of(book, record.number, _UNREADABLE):
        declined = read_table(book, record.number, RunTable.DECLINED)
        declined = declined.filter(pl.col("reason") != DUPLICATE)
    if declined.height:
        rows.append(_marked(declined, index.past).select(*TRANSACTION_COLUMNS, "booked_once"))
    return index.waiting.add_run(record.number, pl.concat(rows)) if rows else index.waiting


def _marked(declined: pl.DataFrame, past: Past) -> pl.DataFrame:
    """Declined rows, and which of them say what an entry, void by now, said."""
    positions = past.entries_of(declined["service_id"], declined["transaction_id"])
    once = positions >= 0
    if once.any():
        rows = declined.filter(pl.Series(once)).with_columns(pl.col("kind").cast(Kind))
        contents = content_hashes(rows, hash_pair(rows["service_id"], rows["transaction_id"]))
        once[once] = past.facts_at(positions[once])["content"] == contents
    return declined.with_columns(booked_once=pl.Series(once))

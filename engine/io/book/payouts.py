"""The book's table of payouts, and the one chain that its records and the runs' make.

``payouts/`` is a Delta Lake table like the ledger, ``payout_runs/NNNNNN/`` what else each payout
run left; ``.copying`` names payout runs whose files have not all reached their folder yet.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import BookError
from engine.io.book.folder import Book, Indexed, another_record, run_id
from engine.io.book.format import RECORD_FILE
from engine.io.book.ledger import ROWS_PER_GROUP, DeltaForm
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.run_record import Output
from engine.io.book.writing import LockedBook
from engine.io.durable import NewFile, remove, rename, sha256_of, sync, write_json
from engine.io.parquet import scan_parquet
from engine.payouts.entry import PayoutEntry
from engine.records import arrow_schema
from engine.validation import validated

_LOG: Final = logging.getLogger(__name__)
NAME: Final = "payouts"
DESCRIPTION: Final = "マイナポイント: payouts, as instructed and as answered"
# Nullable, as the log has them.
SCHEMA: Final = pa.schema(
    [field.with_nullable(nullable=True) for field in arrow_schema(PayoutEntry)]
)
PAYOUTS: Final = DeltaForm(NAME, DESCRIPTION, PayoutEntry)
_DICTIONARIES: Final = ["payout_run_id", "entry", "service_id", "direction", "code"]
_STATISTICS: Final = ["payout_run_id", "service_id", "enrolled_account_id"]


@dataclass(frozen=True, slots=True)
class PayoutBook(Book):
    """The places of a book's payouts."""

    TABLE: ClassVar[str] = "payouts"
    RECORDS: ClassVar[str] = "payout_runs"
    NUMBER: ClassVar[str] = "payout_run_id"
    ACKNOWLEDGED: ClassVar[str] = ".payouts-acknowledged"

    @property
    def copying(self) -> Path:
        return self.path / ".copying"

    def _indexed(self) -> Indexed:
        return Indexed(0, "", "")

    def files(self, committed: int) -> list[Path]:
        """The table's files, in the order of their rows."""
        return [
            self.path / output.name
            for number in range(1, committed + 1)
            for output in self.table_files(number)
        ]

    def table_files(self, number: int) -> list[Output]:
        return self.payout_record(number).table_files

    def payout_record(self, number: int) -> PayoutRecord:
        """The record of a payout run.

        Raises:
            BookError: it is missing or damaged.
        """
        value, path = self._read_record(number)
        record = PayoutRecord.from_json(value, path)
        if record.payout_run_id != run_id(number):
            raise another_record(number, path)
        return record

    def being_copied(self) -> dict[int, str]:
        """By payout run, the folder that its files have not all reached."""
        try:
            said = json.loads(self.copying.read_text(encoding="utf-8"))
            return {int(number): str(folder) for number, folder in said.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, AttributeError) as error:
            raise BookError(
                f"{self.copying}: the list of copies that were cut short cannot be read",
                hint="remove the file, and compare the folders of payouts with "
                f"{self.runs}; mynapoint payout --again NNNNNN copies them once more",
            ) from error

    def tell_of_copies(self, committed: int) -> None:
        """Says which payout runs' files were not all copied."""
        for number, folder in sorted(self.being_copied().items()):
            if number <= committed:
                _LOG.warning(
                    "%s: payout run %s is booked, but its files were not all copied to %s; "
                    "mynapoint payout BOOK --again %s --out DIR copies them",
                    self.path,
                    run_id(number),
                    folder,
                    run_id(number),
                )


@dataclass(frozen=True, slots=True)
class LockedPayouts(PayoutBook, LockedBook):
    """A book's payouts, under the lock of their book."""

    def set_being_copied(self, folders: Mapping[int, str]) -> None:
        """Notes whose files are on their way."""
        if not folders and not self.copying.exists():
            return
        fresh = self.copying.with_name(f"{self.copying.name}.new")
        if fresh.exists():
            remove(fresh)
        write_json(fresh, {str(number): folder for number, folder in folders.items()})
        rename(fresh, self.copying)
        sync(self.path)

    def forget_copies_after(self, committed: int) -> None:
        """Forgets the copies of a payout run that died before its commit."""
        copying = self.being_copied()
        kept = {number: folder for number, folder in copying.items() if number <= committed}
        if kept != copying:
            self.set_being_copied(kept)


@dataclass(frozen=True, slots=True)
class PayoutPart:
    """A file of the table that is on the disk and was read back."""

    name: str
    bytes: int
    sha256: str
    rows: int
    first: tuple[str, str]
    last: tuple[str, str]

    def output(self) -> Output:
        """The file as the record names it."""
        return Output(f"{NAME}/{self.name}", self.bytes, self.sha256, self.rows)

    @property
    def statistics(self) -> dict[str, Any]:
        """What the log says of the file's rows."""
        number = {"payout_run_id": self.name[:6]}
        return {
            "numRecords": self.rows,
            "minValues": number | {"service_id": self.first[0]},
            "maxValues": number | {"service_id": self.last[0]},
            "nullCount": {"payout_run_id": 0, "service_id": 0},
        }


def write_payouts(entries: pl.DataFrame, folder: Path, name: str) -> PayoutPart:
    """Validates rows of the table, writes them, and reads back what was written.

    Raises:
        BookError: a row breaks its declaration, or the disk gives back something else.
    """
    validated(entries, PayoutEntry)
    path = folder / name
    with NewFile(path) as file:
        pq.write_table(
            entries.to_arrow().cast(SCHEMA),
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=_DICTIONARIES,
            write_statistics=_STATISTICS,
            row_group_size=ROWS_PER_GROUP,
            store_schema=False,
        )
        sha256 = file.finish()
    if not scan_parquet(path).collect().equals(entries):
        raise BookError(
            f"{name}: what was read back differs from what was written",
            hint="check the disk; nothing was booked",
        )
    key = entries.select("service_id", "enrolled_account_id")
    return PayoutPart(name, file.bytes, sha256, entries.height, key.row(0), key.row(-1))


def settle_tables(book: LockedBook) -> tuple[int, int]:
    """Brings both tables to their last whole commits.

    Gives the numbers of the last run and of the last payout run, and says which files of payout
    runs were not all copied.

    Raises:
        BookError: a log is damaged.
    """
    payouts = book.table(LockedPayouts)
    committed = book.recover(), payouts.recover()
    payouts.tell_of_copies(committed[1])
    return committed


def record_before(book: Book, number: int) -> Path:
    """The record that a run's record comes after in the chain, whether it can be read or not."""
    last = book.run_folder(number - 1) / RECORD_FILE
    for folder in sorted(PayoutBook(book.path).runs.glob("[0-9]*")):
        # That a record cannot be read is found where it is looked at.
        with suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads((folder / RECORD_FILE).read_bytes())["run_id"] == run_id(number - 1):
                last = folder / RECORD_FILE
    return last


def last_record(book: Book, runs: int) -> Path | None:
    """The last record of the chain, when the last run is the one of this number.

    A payout run's record names the last run that it knew, and stands between that run's record and
    the next one's.
    """
    payouts = PayoutBook(book.path)
    committed = payouts.committed_runs()
    if committed and payouts.payout_record(committed).run_id == run_id(runs):
        return payouts.run_folder(committed) / RECORD_FILE
    return book.run_folder(runs) / RECORD_FILE if runs else None


def previous_sha256(book: Book, runs: int) -> str | None:
    """The digest of the last record of the chain; None where there is none."""
    record = last_record(book, runs)
    return None if record is None else sha256_of(record)

"""What a book keeps of what was delivered, run by run, in canonical columns.

In a run of format 2 every row that can be read stands in one of its tables. Rows that had waited
and were booked or accepted stand there too: to deliver those again changes nothing, but for events.
A run of format 1 keeps whole only what was booked and accepted.

Rows in conflict are kept as they came, which is in columns that the book does not know. That such
rows were there matters to what waits under their key, which the run left alone: the run's
corrections name those keys, and two rows that contradict each other stand for the ones that came.
"""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.event_reasons import TOO_EARLY
from engine.io.book.folder import run_id
from engine.io.book.format import RunTable
from engine.io.book.kept import with_corrections_of
from engine.io.parquet import scan_parquet
from engine.records import (
    ENROLLMENT_COLUMNS,
    EVENT_COLUMNS,
    KINDS,
    TRANSACTION_COLUMNS,
    RoleName,
    polars_schema,
)
from pipelines.desk.opened_book import OpenedBook, book_readable

_KEY: Final = ("service_id", "transaction_id")
_ENROLLMENT_KEY: Final = ("person_id", "service_id", "account_id")
_NOBODY: Final = "mynapoint simulate"


class KeptDeliveries:
    """The deliveries of a book's runs as its tables keep them, from the first run on."""

    def __init__(self, opened: OpenedBook, folder: Path) -> None:
        self._opened, self._folder = opened, folder
        self._waiting_events: dict[str, tuple[object, ...]] = {}
        self._corrections = Corrections()
        self.waited: dict[int, int] = {}
        """By run, how many of its events waited already and are not delivered again."""

    def of_next_run(self) -> dict[RoleName, Path]:
        """The files of the next run, by role.

        Raises:
            BookError: a file of the book is missing or damaged.
        """
        number = len(self.waited) + 1
        files: dict[RoleName, Path] = {}
        with book_readable(self._opened.book):
            rows: dict[RoleName, pl.LazyFrame] = {
                "events": self._events(number).lazy(),
                "enrollments": self._enrollments(number),
                "transactions": self._transactions(number),
            }
            for role, role_rows in rows.items():
                files[role] = self._folder / f"{role}-{run_id(number)}.parquet"
                # No two runs have the very same deliveries: one of them would be nothing to do.
                role_rows.sink_parquet(files[role], metadata={"run_id": run_id(number)})
        return files

    def _table(self, number: int, table: RunTable) -> pl.LazyFrame:
        path = self._opened.book.run_folder(number) / table.file_name
        if path.exists():
            return scan_parquet(path)
        return pl.LazyFrame(schema=polars_schema(table.record))

    def _is_whole(self, number: int) -> bool:
        return self._opened.record(number).format > 1

    def _transactions(self, number: int) -> pl.LazyFrame:
        ledger = [file for file in self._opened.ledger_files if file.run == number]
        booked = self._opened.ledger(ledger).filter(pl.col("kind").is_in(KINDS))
        rows = booked.select(TRANSACTION_COLUMNS)
        if not self._is_whole(number):
            return rows
        declined = self._table(number, RunTable.DECLINED).select(TRANSACTION_COLUMNS)
        rows = pl.concat([rows, declined])
        return pl.concat([rows, self._in_conflict(number, rows)])

    def _in_conflict(self, number: int, rows: pl.LazyFrame) -> pl.LazyFrame:
        """Two contents of each key that waited, and that the run left alone."""
        # A run that changed nothing left the same keys alone as the one before.
        self._corrections = with_corrections_of(self._opened.book, number, self._corrections)
        left_alone = self._corrections.left_alone.transactions
        keys = pl.LazyFrame(left_alone, schema=dict.fromkeys(_KEY, pl.String), orient="row").join(
            rows, on=_KEY, how="anti"
        )
        return (
            keys.join(pl.LazyFrame({"amount": [1, 2]}), how="cross")
            .select(
                "transaction_id",
                "service_id",
                account_id=pl.lit(_NOBODY),
                occurred_at=pl.lit(dt.datetime(2000, 1, 1), pl.Datetime("us")),
                kind=pl.lit(KINDS[0]),
                amount="amount",
                original_transaction_id=pl.lit(None, pl.String),
                method=pl.lit(None, pl.String),
            )
            .select(TRANSACTION_COLUMNS)
        )

    def _enrollments(self, number: int) -> pl.LazyFrame:
        """A run's applications: one content a key, and what a merge took out gives way."""
        tables = [self._table(number, RunTable.ACCEPTED)]
        if self._is_whole(number):
            delivered = pl.coalesce("delivered_person_id", "person_id")
            rejected = self._table(number, RunTable.REJECTED).with_columns(person_id=delivered)
            tables += [rejected, self._table(number, RunTable.WAITING).reverse()]
        rows = pl.concat(table.select(ENROLLMENT_COLUMNS) for table in tables)
        return rows.unique(_ENROLLMENT_KEY, keep="first", maintain_order=True)

    def _events(self, number: int) -> pl.DataFrame:
        """A run's events, but for those that waited: they are tried again anyway, and one that was
        refused for good is not.
        """
        fresh: list[pl.DataFrame] = []
        waiting, waited = self._waiting_events, 0
        for table in (RunTable.ACCEPTED_EVENTS, RunTable.REJECTED_EVENTS):
            rows = self._table(number, table).collect()
            events = rows.select(EVENT_COLUMNS)
            known = [waiting.get(str(event[0])) == event for event in events.iter_rows()]
            fresh.append(events.filter(~pl.Series(known, dtype=pl.Boolean)))
            waited += sum(known)
            for event, reason in _with_reasons(rows, events):
                waiting.pop(str(event[0]), None)
                if reason in TOO_EARLY:
                    waiting[str(event[0])] = event
        self.waited[number] = waited
        return pl.concat(fresh)


def _with_reasons(
    rows: pl.DataFrame, events: pl.DataFrame
) -> Iterator[tuple[tuple[object, ...], str | None]]:
    reasons = rows["reason"] if "reason" in rows.columns else [None] * rows.height
    return zip(events.iter_rows(), reasons, strict=True)

"""The rows of one page of a section, read from where the page before ended."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import InputError
from engine.io.book.format import RunTable
from engine.io.parquet import scan_parquet
from engine.records import polars_schema
from pipelines.browse.counts import ACCEPTED, APPLIES, WAITING, SectionCounts
from pipelines.browse.filters import Filters
from pipelines.desk.opened_book import LedgerFile, OpenedBook, book_readable

MOST_LOOKED_AT: Final = 4_000_000
"""A page ends after so many rows that did not fit the filters: it then says so, and leads on."""

_MOST_DIGITS: Final = 15
"""Of a number in a cursor; a slice of rows takes no greater one."""

_TABLES: Final = {
    "declined": (RunTable.DECLINED,),
    "quarantined": (RunTable.QUARANTINE,),
    "applications": (RunTable.ACCEPTED, RunTable.REJECTED, RunTable.WAITING),
    "corrections": (RunTable.ACCEPTED_EVENTS, RunTable.REJECTED_EVENTS),
}
_OUTCOMES: Final = {
    RunTable.ACCEPTED: ACCEPTED,
    RunTable.WAITING: WAITING,
    RunTable.ACCEPTED_EVENTS: ACCEPTED,
}


@dataclass(frozen=True, slots=True)
class Cursor:
    """A row of a section: the place of its file among the section's, and its place in the file."""

    file: int
    row: int

    def __str__(self) -> str:
        return f"{self.file}.{self.row}"


def parse_cursor(text: str | None) -> Cursor:
    """The cursor of an address; the first row where it has none.

    Raises:
        InputError: it is not one.
    """
    if not text:
        return Cursor(0, 0)
    place = re.fullmatch(rf"([0-9]{{1,{_MOST_DIGITS}}})[.]([0-9]{{1,{_MOST_DIGITS}}})", text)
    if place is None:
        raise InputError("from: not a place in the rows", hint="go back to the first page")
    return Cursor(int(place[1]), int(place[2]))


@dataclass(frozen=True, slots=True)
class RowFile:
    """A file of a section."""

    run: str
    path: Path
    rows: int
    table: RunTable | None
    ledger_file: LedgerFile | None = None


@dataclass(frozen=True, slots=True)
class FoundRows:
    """Rows of a page, and where the next page begins; None after the last."""

    rows: list[dict[str, Any]]
    following: Cursor | None


class SectionRows:
    """The rows of a book's sections."""

    def __init__(self, counts: SectionCounts) -> None:
        self._counts, self._opened = counts, counts.opened

    @cached_property
    def _files(self) -> dict[str, list[RowFile]]:
        opened = self._opened
        return {
            "entries": [
                RowFile(opened.record(file.run).run_id, file.path, file.rows, None, file)
                for file in opened.ledger_files
            ],
            **{section: list(_of_runs(opened, *tables)) for section, tables in _TABLES.items()},
        }

    def page(self, section: str, filters: Filters, start: Cursor, limit: int) -> FoundRows:
        """At most so many rows of a section that fit, from a place on, in the book's order.

        Raises:
            BookError: a file of the book cannot be read.
        """
        files, runs = self._files[section], self._counts.rows(section, filters)
        fitting = _fitting(section, filters)
        found: list[dict[str, Any]] = []
        looked_at = 0
        for place in range(start.file, len(files)):
            file = files[place]
            if file.run not in runs:
                continue
            if looked_at >= MOST_LOOKED_AT:
                return FoundRows(found, Cursor(place, 0))
            first = start.row if place == start.file else 0
            with book_readable(self._opened.book):
                rows = (
                    self._frame(file)
                    .slice(first)
                    .with_row_index("place", offset=first)
                    .filter(fitting)
                    .head(limit + 1 - len(found))
                    .collect(engine="streaming")
                    .rows(named=True)
                )
            looked_at += file.rows - first
            found += rows
            if len(found) > limit:
                return FoundRows(found[:limit], Cursor(place, found[limit]["place"]))
        return FoundRows(found, None)

    def _frame(self, file: RowFile) -> pl.LazyFrame:
        if file.ledger_file is not None:
            return self._opened.ledger([file.ledger_file])
        assert file.table is not None
        frame = scan_parquet([file.path], schema=polars_schema(file.table.record))
        frame = frame.with_columns(run_id=pl.lit(file.run))
        outcome = _OUTCOMES.get(file.table)
        if outcome is not None:
            return frame.with_columns(outcome=pl.lit(outcome))
        if file.table in (RunTable.REJECTED, RunTable.REJECTED_EVENTS):
            return frame.with_columns(outcome="reason")
        return frame


def _of_runs(opened: OpenedBook, *tables: RunTable) -> Iterator[RowFile]:
    for record in opened.records:
        rows = {output.name: output.rows for output in record.outputs}
        for table in tables:
            name = f"runs/{record.run_id}/{table.file_name}"
            if rows.get(name):
                yield RowFile(record.run_id, opened.book.path / name, rows[name] or 0, table)


def _fitting(section: str, filters: Filters) -> pl.Expr:
    wanted = [pl.lit(value=True)]
    for name in APPLIES[section]:
        value = getattr(filters, name)
        if name == "fault" and value is not None:
            wanted.append(pl.col("errors").list.contains(pl.lit(value)))
        elif name == "paid" and value is not None:
            year, month_of_year = map(int, value.split("-"))
            month = pl.lit(dt.date(year, month_of_year, 1))
            wanted.append(pl.col("occurred_at").dt.date().dt.month_start() == month)
        elif value is not None:
            wanted.append(pl.col("service_id" if name == "service" else name) == value)
    return pl.all_horizontal(wanted)

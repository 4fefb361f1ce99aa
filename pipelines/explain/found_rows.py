"""Rows of a book's tables, read into memory for people to read, and so limited in number."""

import datetime as dt
from dataclasses import fields
from typing import Any, Final

import polars as pl

from engine.errors import InputError
from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.account import Entry

# More than anybody reads of one person; the limit bounds the memory, at some 2 kB a row.
MOST_ROWS: Final = 100_000
_ENTRY_COLUMNS: Final = tuple(field.name for field in fields(Entry))
Row = dict[str, Any]


def entries_in(frame: pl.LazyFrame) -> list[Entry]:
    """The ledger entries of a frame, in booking order."""
    rows = _collected(frame.select(_ENTRY_COLUMNS)).sort("entry_seq").iter_rows()
    return [Entry(*row) for row in rows]


def rows_of(frame: pl.LazyFrame) -> list[Row]:
    """The rows of a frame, by column."""
    return _collected(frame).rows(named=True)


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """All rows of a frame, in memory.

    Raises:
        InputError: they are more than anybody reads.
    """
    found = frame.head(MOST_ROWS + 1).collect(engine="streaming")
    if found.height > MOST_ROWS:
        raise InputError(
            f"more than {MOST_ROWS:,} rows of one table would have to be told",
            hint="query the tables themselves: docs/auditors-guide.md says how",
        )
    return found


def booked_on_of(opened: OpenedBook, run: str) -> dt.date:
    """A run's day of booking."""
    return opened.record(int(run)).booked_on

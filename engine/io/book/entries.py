"""Entries of the ledger by their positions: of the files, only the row groups that have some."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.booking.index_spaces import BookPositions
from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import Positions
from engine.errors import BookError
from engine.io.book.checked import DamagedIndex
from engine.io.book.folder import Book, run_id
from engine.records import LedgerEntry, polars_schema

_SCHEMA: Final = polars_schema(LedgerEntry)


def entries_at(book: Book, positions: BookPositions) -> pl.DataFrame:
    """The entries at these positions, in this order: columns of ``LedgerEntry``.

    Raises:
        BookError: a ledger file is missing or damaged.
        DamagedIndex: there is no entry at a position.
    """
    wanted, asked_at = np.unique(positions, return_inverse=True)
    runs = wanted >> RUN_SHIFT
    found = [pl.DataFrame(schema=_SCHEMA)]
    for run in np.unique(runs).tolist():
        found += _of_run(book, run, wanted[runs == run] & ((1 << RUN_SHIFT) - 1))
    return pl.concat(found)[asked_at]


def _of_run(book: Book, run: int, places: Positions) -> Iterator[pl.DataFrame]:
    """The entries at ascending places of a run."""
    begin = 0
    for output in sorted(book.record(run).ledger_files, key=lambda output: output.name):
        path = book.path / output.name
        try:
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    end = begin + file.metadata.row_group(group).num_rows
                    in_group = places[slice(*np.searchsorted(places, [begin, end]))] - begin
                    if in_group.size:
                        yield _taken(file, group, in_group)
                    begin = end
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
    if places[-1] >= begin:
        raise DamagedIndex(f"run {run_id(run)} has no entry {int(places[-1])}")


def _taken(file: pq.ParquetFile, group: int, rows: Positions) -> pl.DataFrame:
    # Taken by Arrow, rows have texts of their own; Polars' would keep those of the whole group.
    return as_entries(pl.DataFrame(file.read_row_group(group).take(pa.array(rows))))


def as_entries(frame: pl.DataFrame) -> pl.DataFrame:
    """Entries of any format with the columns that are written now."""
    if "net_amount" not in frame.columns:
        sign = pl.when(pl.col("kind") == "refund").then(-1).otherwise(1)
        frame = frame.with_columns(
            enrolled_account_id=pl.lit(None, pl.String),
            net_amount=pl.col("amount") * sign,
            event_id=pl.lit(None, pl.String),
        )
    return frame.select(_SCHEMA.keys())


def _damaged(path: Path, error: Exception) -> BookError:
    return BookError(
        f"{path}: a ledger file is missing or damaged: {str(error).splitlines()[0]}",
        hint="restore the book from a copy; nothing was booked",
    )

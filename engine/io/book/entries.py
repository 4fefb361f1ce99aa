"""Entries of the ledger by their positions: of the files, only the row groups that have some."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import Positions
from engine.columns.unshared import rows_on_their_own
from engine.errors import BookError
from engine.io.book.checked import DamagedIndex
from engine.io.book.folder import Book, run_id
from engine.io.book.format import LEDGER_ENTRY
from engine.records import polars_schema

_SCHEMA: Final = polars_schema(LEDGER_ENTRY[2])


def entries_at(book: Book, positions: Positions) -> pl.DataFrame:
    """The entries at these positions, in this order, with the columns of format 2.

    What entries of an earlier format do not have is null.

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
                    mine = places[slice(*np.searchsorted(places, [begin, end]))] - begin
                    if mine.size:
                        yield _taken(file, group, mine)
                    begin = end
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _damaged(path, error) from error
    if places[-1] >= begin:
        raise DamagedIndex(f"run {run_id(run)} has no entry {int(places[-1])}")


def _taken(file: pq.ParquetFile, group: int, rows: Positions) -> pl.DataFrame:
    frame = pl.DataFrame(file.read_row_group(group))[rows]
    there = [name for name in _SCHEMA if name in frame.columns]
    nothing = [
        pl.lit(None, dtype).alias(name) for name, dtype in _SCHEMA.items() if name not in there
    ]
    return rows_on_their_own(frame.select(*there, *nothing).select(list(_SCHEMA)))


def _damaged(path: Path, error: Exception) -> BookError:
    return BookError(
        f"{path}: a ledger file is missing or damaged: {str(error).splitlines()[0]}",
        hint="restore the book from a copy; nothing was booked",
    )

"""Entries of the ledger by their positions: only the row groups that hold them are read."""

from itertools import accumulate

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import Positions
from engine.io.book.folder import Book
from engine.records import LedgerEntry, polars_schema

_SCHEMA = polars_schema(LedgerEntry)


def entries_at(book: Book, positions: Positions) -> pl.DataFrame:
    """The entries at these positions, in their order: columns of ``LedgerEntry``."""
    if positions.size == 0:
        return pl.DataFrame(schema=_SCHEMA)
    wanted, places = np.unique(positions, return_inverse=True)
    found = [pl.DataFrame(schema=_SCHEMA)]
    for run in np.unique(wanted >> RUN_SHIFT).tolist():
        first = run << RUN_SHIFT
        rows = wanted[(wanted >> RUN_SHIFT) == run] - first
        files = book.record(run).ledger_files
        ends = list(accumulate(output.rows or 0 for output in files))
        for output, end in zip(files, ends, strict=True):
            begin = end - (output.rows or 0)
            here = rows[(rows >= begin) & (rows < end)] - begin
            if here.size:
                found.append(_rows_of(book, output.name, here))
    return pl.concat(found)[places]


def _rows_of(book: Book, name: str, rows: Positions) -> pl.DataFrame:
    with (book.path / name).open("rb") as file:
        parquet = pq.ParquetFile(file)
        frames, begin = [], 0
        for group in range(parquet.num_row_groups):
            end = begin + parquet.metadata.row_group(group).num_rows
            here = rows[(rows >= begin) & (rows < end)] - begin
            if here.size:
                table = parquet.read_row_group(group).take(pa.array(here))
                frames.append(as_entries(pl.DataFrame(table)))
            begin = end
    return pl.concat(frames)


def as_entries(frame: pl.DataFrame) -> pl.DataFrame:
    """Entries of any format as they are written now."""
    if "net_amount" not in frame.columns:
        sign = pl.when(pl.col("kind") == "refund").then(-1).otherwise(1)
        frame = frame.with_columns(
            enrolled_account_id=pl.lit(None, pl.String),
            net_amount=pl.col("amount") * sign,
            event_id=pl.lit(None, pl.String),
        )
    return frame.select(_SCHEMA.keys())

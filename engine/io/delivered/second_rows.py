"""Second rows out of a record, which refunds in a column of their own give; and some of a batch's
rows, where these are among them.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from engine.io.delivered.deliveries import SECOND, Batch
from engine.layouts.canonical_rows import CanonicalRows
from engine.layouts.provider_column import Places


def with_refunds(laid_out: Batch, made: CanonicalRows, batch: Batch) -> Batch:
    """The batch with the second rows of its records behind the others."""
    refunds = made.refunds
    if refunds.height == 0:
        return laid_out
    raw, name_faults = laid_out.raw, laid_out.name_faults

    def raw_of(rows: Sequence[int], /) -> list[str]:
        return raw([row & ~SECOND for row in rows])

    def names_of(places: Places, errors: pl.Series, /) -> pl.Series:
        return name_faults(places & ~SECOND, errors)

    tables = [made.table, refunds]
    if made.table["amount"].dtype != refunds["amount"].dtype:
        tables = [table.with_columns(pl.col("amount").cast(pl.String)) for table in tables]
    return replace(
        laid_out,
        table=pl.concat(tables, how="diagonal"),
        places=np.concatenate([laid_out.places, batch.places[made.refunds_of] | SECOND]),
        raw=raw_of,
        name_faults=names_of,
        split=refunds.height,
    )


def some_rows(batch: Batch, places: Sequence[int]) -> Batch:
    """The rows of a batch at these places, ascending."""
    rows = np.searchsorted(batch.places, places)
    assert isinstance(batch.table, pl.DataFrame)

    def raw(rows: Sequence[int], /) -> list[str]:
        return batch.raw([places[row] for row in rows])

    def name_faults(rows: Places, errors: pl.Series, /) -> pl.Series:
        return batch.name_faults(np.asarray(places, np.int64)[rows], errors)

    return replace(
        batch,
        table=batch.table[rows],
        records=len(places),
        places=np.arange(len(places)),
        ragged=(),
        raw=raw,
        name_faults=name_faults,
        split=0,
    )

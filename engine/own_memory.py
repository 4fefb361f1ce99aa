"""Rows in memory of their own.

Rows that are taken from others share their texts, so that a few of them keep the texts of all.
"""

from typing import Final

import polars as pl

_BYTES_IN_A_VIEW: Final = 12


def rows_on_their_own(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, sharing nothing with those that they were taken from."""
    return rows.with_columns(
        texts_on_their_own(rows[name]) for name, dtype in rows.schema.items() if dtype == pl.String
    )


def texts_on_their_own(texts: pl.Series) -> pl.Series:
    """The same texts, one after the other in memory of their own.

    Where none has more than 12 bytes they stand in their views, and stay there.
    """
    if int(texts.str.len_bytes().max() or 0) <= _BYTES_IN_A_VIEW:  # type: ignore[arg-type]
        return texts
    return pl.Series(texts.name, texts.to_arrow(compat_level=pl.CompatLevel.oldest()))

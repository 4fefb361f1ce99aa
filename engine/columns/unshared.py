"""Rows in memory of their own.

Rows that are taken from others share the memory of their texts, so that a few of them keep the
texts of all.
"""

import polars as pl


def rows_on_their_own(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows, with texts of their own."""
    if rows.is_empty():
        return rows.clear()
    return rows.with_columns(
        texts_on_their_own(rows[name]) for name, dtype in rows.schema.items() if dtype == pl.String
    )


def texts_on_their_own(texts: pl.Series) -> pl.Series:
    """The same texts, one after the other in memory of their own."""
    views = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    # Besides what is missing and the views: short texts stand in those.
    if len(views.buffers()) <= 2:
        return texts
    return pl.Series(texts.name, texts.to_arrow(compat_level=pl.CompatLevel.oldest()))

"""Which rows pass a test of a layout."""

from collections.abc import Mapping

import polars as pl

from engine.layouts.model import Test
from engine.layouts.provider_column import Column


def rows_that_pass(test: Test, columns: Mapping[str, Column], rows: int) -> pl.Series:
    """The rows whose value passes a test."""

    def of_values(values: pl.Series) -> pl.Series:
        if test.filled is not None:
            return values.is_not_null() if test.filled else values.is_null()
        text = pl.col("text")
        passes = text.is_in(test.values)
        for begins in test.begins:
            passes |= text.str.starts_with(begins)
        for contains in test.contains:
            passes |= text.str.contains(contains, literal=True)
        if test.matches is not None:
            passes |= text.str.contains(test.matches)
        return values.to_frame("text").select(passes.fill_null(value=False)).to_series()

    if test.column not in columns:
        return pl.repeat(value=False, n=rows, eager=True)
    return columns[test.column].map(of_values)

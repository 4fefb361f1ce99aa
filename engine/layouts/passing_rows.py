"""Which rows pass a test of a layout; words are compared as `look_alikes` says."""

from collections.abc import Mapping

import polars as pl

from engine.layouts.look_alikes import all_plain, plain
from engine.layouts.model import Test
from engine.layouts.provider_column import ProviderColumn


def rows_that_pass(test: Test, columns: Mapping[str, ProviderColumn], rows: int) -> pl.Series:
    """The rows whose value passes a test."""

    def of_values(values: pl.Series) -> pl.Series:
        if test.filled is not None:
            return values.is_not_null() if test.filled else values.is_null()
        text = pl.col("text")
        written = text.is_in(test.values)
        for begins in test.begins:
            written |= text.str.starts_with(begins)
        for contains in test.contains:
            written |= text.str.contains(contains, literal=True)
        passes = values.to_frame("text").select(written.fill_null(value=False)).to_series()
        alike = all_plain(values)
        if alike is not values or test.has_other_spellings:
            looks = text.is_in([plain(value) for value in test.values])
            for begins in test.begins:
                looks |= text.str.starts_with(plain(begins))
            for contains in test.contains:
                looks |= text.str.contains(plain(contains), literal=True)
            frame = alike.to_frame("text")
            passes |= frame.select(looks.fill_null(value=False)).to_series()
        if test.matches is not None:
            passes |= values.str.contains(test.matches).fill_null(value=False)
            if alike is not values:
                passes |= alike.str.contains(test.matches).fill_null(value=False)
        return passes

    if test.column not in columns:
        return pl.repeat(value=False, n=rows, eager=True)
    return columns[test.column].map(of_values)

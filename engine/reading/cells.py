"""The cells of one column: as delivered, as text, and as values with the faults of those that
cannot be read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from engine.columns.text_bytes import bytes_of
from engine.records import BLANKS

Masks = dict[str, pl.Series]


@dataclass(frozen=True, slots=True)
class Cells:
    """One column after reading: its values, and the rows at fault for each code that occurs."""

    values: pl.Series
    faults: Masks


DeliveredColumn: TypeAlias = pl.Series | pa.ChunkedArray
"""A column as delivered: text, or another type that the canonical form takes. A Series holds text,
64-bit integers, days, or microseconds without a zone."""
CellForm = Callable[[DeliveredColumn], Cells]


class TextRange(NamedTuple):
    """The least and the greatest byte of some texts, and how many bytes the longest has."""

    least: int
    greatest: int
    longest: int


def marked(masks: Mapping[str, pl.Series]) -> Masks:
    """The masks of the faults that occur; where a mask says nothing, there is none."""
    return {code: mask.fill_null(value=False) for code, mask in masks.items() if mask.any()}


def text_of(column: DeliveredColumn) -> pl.Series:
    """A column as text, not trimmed."""
    if isinstance(column, pl.Series):
        return column.cast(pl.String)
    plain = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    if not any(fits(column.type) for fits in plain):
        column = column.cast(pa.string())
    return pl.Series(pl.from_arrow(column))


def is_blank(column: DeliveredColumn) -> bool:
    """Whether the cells are texts of no byte; they may be all the same if it is not seen."""
    if isinstance(column, pl.Series):
        return column.dtype == pl.String and column.null_count() == len(column)
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return False
    return all(ends[0] == ends[-1] for ends, _ in map(bytes_of, column.chunks))


def range_of(text: pl.Series) -> TextRange:
    """The range of the texts' bytes; what stands under nulls may count, which is safe."""
    ends, data = bytes_of(text.to_arrow(compat_level=pl.CompatLevel.oldest()))
    texts, longest = data[ends[0] : ends[-1]], np.diff(ends).max(initial=0)
    return TextRange(int(texts.min(initial=0xFF)), int(texts.max(initial=0)), int(longest))


def trimmed(text: pl.Series, text_range: TextRange) -> pl.Series:
    """Texts without blanks around them, empty ones as nulls; ``text_range`` is theirs."""
    # In UTF-8 spaces and tabs are below 0x21; U+3000 begins with 0xE3, U+FEFF with 0xEF.
    if text_range.least <= 0x20 or text_range.greatest >= 0xE3:
        text = text.str.strip_chars(BLANKS)
    empty = text == ""
    return text.set(empty, None) if empty.any() else text


def trimmed_text(column: DeliveredColumn) -> pl.Series:
    """A column as text, trimmed."""
    text = text_of(column)
    return trimmed(text, range_of(text))

"""The cells of one column: as delivered, as text, and as values with the faults of those that
cannot be read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

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


def marked(masks: Mapping[str, pl.Series]) -> Masks:
    """The masks of the faults that occur."""
    return {code: mask for code, mask in masks.items() if mask.any()}


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


def range_of_bytes(text: pl.Series) -> tuple[int, int]:
    """The least and the greatest byte of the texts; bytes under nulls may count, which is safe."""
    ends, data = bytes_of(text.to_arrow(compat_level=pl.CompatLevel.oldest()))
    texts = data[ends[0] : ends[-1]]
    return int(texts.min(initial=0xFF)), int(texts.max(initial=0))


def trimmed(text: pl.Series, byte_range: tuple[int, int]) -> pl.Series:
    """Texts without blanks around them, empty ones as nulls; ``byte_range`` is theirs."""
    least, greatest = byte_range
    # In UTF-8 spaces and tabs are below 0x21; U+3000 begins with 0xE3, U+FEFF with 0xEF.
    if least <= 0x20 or greatest >= 0xE3:
        text = text.str.strip_chars(BLANKS)
    if (text.str.len_bytes() == 0).any():
        text = text.set(text == "", None)
    return text


def trimmed_text(column: DeliveredColumn) -> pl.Series:
    """A column as text, trimmed."""
    text = text_of(column)
    return trimmed(text, range_of_bytes(text))

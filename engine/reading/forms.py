"""The form of each canonical column: which texts and types it takes, and what is wrong with others.

A form takes a cheap look at a column's bytes first, and goes the thorough way through regular
expressions only if that look finds something: most batches have nothing to trim and no faults.
"""

from collections.abc import Callable, Mapping
from typing import Final

import polars as pl
import pyarrow as pa

from engine.errors import InputError
from engine.reading.cells import (
    CellForm,
    Cells,
    DeliveredColumn,
    Masks,
    marked,
    range_of,
    text_of,
    trimmed,
    trimmed_text,
)
from engine.reading.instants import day, instant
from engine.records import (
    BASES,
    EVENT_KINDS,
    KINDS,
    MAX_AMOUNT_YEN,
    MAX_AUTHORITY_CHARACTERS,
    MAX_ID_CHARACTERS,
    MIN_AMOUNT_YEN,
    OUTCOMES,
)


def identifier(column: DeliveredColumn) -> Cells:
    """1 to 64 characters, none of U+0000 to U+001F or U+007F."""
    text = text_of(column)
    if text.null_count() == len(text):
        return Cells(text, {})
    text_range = range_of(text)
    text = trimmed(text, text_range)
    masks: Masks = {}
    if text_range.least < 0x20 or text_range.greatest >= 0x7F:
        masks["malformed"] = text.str.contains(r"[\x00-\x1F\x7F]")
    if text_range.longest > MAX_ID_CHARACTERS:
        long = text.str.len_chars() > MAX_ID_CHARACTERS
        masks["out_of_range"] = long & ~masks["malformed"] if "malformed" in masks else long
    return Cells(text, marked(masks))


def authority(column: DeliveredColumn) -> Cells:
    """Who decided an event: any text of 1 to 200 characters."""
    text = trimmed_text(column)
    return Cells(text, marked({"out_of_range": text.str.len_chars() > MAX_AUTHORITY_CHARACTERS}))


def free_text(column: DeliveredColumn) -> Cells:
    """Any text."""
    return Cells(trimmed_text(column), {})


def word(words: tuple[str, ...]) -> CellForm:
    """One of the listed words, exactly."""

    def read(column: DeliveredColumn) -> Cells:
        text = text_of(column)
        values = text.cast(pl.Enum(words), strict=False)
        if values.null_count() == text.null_count():
            return Cells(values, {})
        text = trimmed(text, range_of(text))
        values = text.cast(pl.Enum(words), strict=False)
        return Cells(values, marked({"unknown": values.is_null() & text.is_not_null()}))

    return read


def amount(column: DeliveredColumn) -> Cells:
    """Whole yen, 1 to 100,000,000, in digits."""
    if isinstance(column, pl.Series):
        if column.dtype == pl.Int64:
            return _whole_yen(column)
    elif pa.types.is_integer(column.type) or pa.types.is_decimal(column.type):
        return _typed_amount(column)
    text = trimmed_text(column)
    values = text.cast(pl.Int64, strict=False)
    inside = values.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN)
    if inside.all(ignore_nulls=False) and not text.str.starts_with("+").any():
        return Cells(values, {})
    whole = text.str.contains(r"^-?[0-9]+$")
    inside = inside.fill_null(value=False) & whole
    masks = {"malformed": ~whole, "out_of_range": whole & ~inside}
    return Cells(values.set(~inside, None), marked(masks))


def _typed_amount(column: pa.ChunkedArray) -> Cells:
    # Cast to a type that can also hold the bounds.
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.decimal128(38, 0))
    elif not pa.types.is_uint64(column.type):
        column = column.cast(pa.int64())
    return _whole_yen(pl.Series(pl.from_arrow(column)))


def _whole_yen(values: pl.Series) -> Cells:
    inside = values.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN)
    if inside.all(ignore_nulls=False):
        return Cells(values.cast(pl.Int64), {})
    outside = (~inside).fill_null(value=False)
    return Cells(values.set(outside, None).cast(pl.Int64), marked({"out_of_range": outside}))


def points(column: DeliveredColumn) -> Cells:
    """A whole number of points, 0 and up."""
    text = trimmed_text(column)
    values = text.cast(pl.Int64, strict=False)
    whole = text.str.contains(r"^-?[0-9]+$")
    inside = whole & (values >= 0).fill_null(value=False)
    masks = {"malformed": ~whole, "out_of_range": whole & ~inside}
    return Cells(values.set(~inside.fill_null(value=False), None), marked(masks))


TRANSACTION_FORMS: Final[Mapping[str, CellForm]] = {
    "transaction_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "occurred_at": instant,
    "kind": word(KINDS),
    "amount": amount,
    "original_transaction_id": identifier,
    "method": free_text,
}
ENROLLMENT_FORMS: Final[Mapping[str, CellForm]] = {
    "person_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "applied_at": instant,
    "card_applied_on": day,
    "basis": word(BASES),
    "reserved_at": instant,
    "certificate_issued_at": instant,
    "preregistered_on": day,
}
EVENT_FORMS: Final[Mapping[str, CellForm]] = {
    "event_id": identifier,
    "kind": word(EVENT_KINDS),
    "authority": authority,
    "person_id": identifier,
    "service_id": identifier,
    "account_id": identifier,
    "transaction_id": identifier,
    "other_id": identifier,
    "effective_at": instant,
    "basis": word(BASES),
    "note": free_text,
}
ANSWER_FORMS: Final[Mapping[str, CellForm]] = {
    "payout_id": identifier,
    "outcome": word(OUTCOMES),
    "points": points,
    "answered_on": day,
    "code": free_text,
}
# The values of a claim are checked where it is compared with the ledger.
CLAIM_FORMS: Final[Mapping[str, CellForm]] = {
    "service_id": identifier,
    "points": free_text,
    "transaction_id": identifier,
    "account_id": identifier,
    "month": free_text,
}


def _is_whole_decimal(kind: pa.DataType) -> bool:
    # 128 bits hold the digits of any amount of money.
    return bool(pa.types.is_decimal(kind) and not pa.types.is_decimal256(kind) and kind.scale == 0)


_TYPED: Final[Mapping[CellForm, tuple[Callable[[pa.DataType], bool], ...]]] = {
    identifier: (pa.types.is_integer,),
    amount: (pa.types.is_integer, _is_whole_decimal),
    instant: (pa.types.is_timestamp,),
    day: (pa.types.is_date,),
}


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_null,
    )
    return any(fits(kind) for fits in kinds)


def check_column_type(where: str, name: str, kind: pa.DataType, form: CellForm) -> None:
    """Refuses a typed column that the form cannot read, such as floats for an amount.

    Raises:
        InputError: naming the file, the column and its type.
    """
    if _is_text(kind) or any(fits(kind) for fits in _TYPED.get(form, ())):
        return
    raise InputError(
        f"{where}: column {name} has the type {kind}, which cannot be read",
        hint="deliver it as text in the canonical form, amounts as whole numbers, times as "
        "timestamps, days as dates",
    )

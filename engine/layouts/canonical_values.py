"""A provider's values in the canonical form, and what stands for those that cannot be read."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from engine.layouts.amounts import UNREADABLE, Amounts
from engine.layouts.look_alikes import all_plain, plain

UNREADABLE_ID: Final = "\x00"
BEYOND_ALL_YEARS_US: Final = 10**18
BEYOND_ALL_YEARS_DAYS: Final = 10**7
_FEW_DAYS: Final = 100_000
_LAST_DAY: Final = 10**7
_WORDS: Final = ("kind", "basis")
# What spreadsheets make of IDs: 1.23457E+15, where digits are lost, ="0012" or '0012, where another
# delivery of the same row has 0012, and #### or #N/A, where nothing is left; and the byte order
# marks of files that were joined.
DAMAGED_ID: Final = (
    r"(?:^|[^0-9A-Za-z.])[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{1,3}(?:$|[^0-9A-Za-z])"
    r"|(?:^|[^0-9A-Za-z.])[0-9]\.[0-9]+[Ee][0-9]{1,3}(?:$|[^0-9A-Za-z])"
    r"""|^=".*"$|^['’＇][0-9A-Za-z]|^#+$|^#(?:REF!|N/A|NAME\?|VALUE!|NUM!|NULL!|DIV/0!)$|\x{FEFF}"""
)
_FREE_TEXTS: Final = ("method", "authority", "note")


def mapped_words(name: str, values: pl.Series, words: Mapping[str, str]) -> pl.Series:
    """What values mean; of those not mapped, free texts stay, all else becomes unreadable.

    A value that is not a known word as it is written may look the same as one.
    """
    mapped = values.replace_strict(words, default=None, return_dtype=pl.String)
    unknown = mapped.is_null() & values.is_not_null()
    if unknown.any():
        alike = {plain(value): word for value, word in words.items()}
        looked_up = all_plain(values.filter(unknown)).replace_strict(
            alike, default=None, return_dtype=pl.String
        )
        mapped = mapped.scatter(unknown.arg_true(), looked_up)
        unknown = mapped.is_null() & values.is_not_null()
    if name in _FREE_TEXTS:
        return mapped.to_frame("a").select(pl.coalesce("a", values.alias("b"))).to_series()
    mark = UNREADABLE if name in _WORDS else UNREADABLE_ID
    return mapped.set(unknown, mark)


def written_days(instants: pl.Series, values: pl.Series | None) -> pl.Series:
    """Days as YYYYMMDD, each formatted once; ``values`` is None if all of them could be read."""
    days = instants.cast(pl.Date).to_physical()
    known = days.drop_nulls().to_numpy()
    first, last = known.min(initial=_LAST_DAY), known.max(initial=-_LAST_DAY)
    if 0 <= int(last) - int(first) < _FEW_DAYS:
        each = pl.Series(np.arange(first, last + 1, dtype=np.int32))
        texts = _as_digits(each).gather((days - int(first)).cast(pl.UInt32))
    else:
        texts = _as_digits(days)
    if values is None:
        return texts
    return texts.set(texts.is_null() & values.is_not_null(), UNREADABLE_ID)


def _as_digits(days: pl.Series) -> pl.Series:
    return days.cast(pl.Date).dt.strftime("%Y%m%d")


def written_amounts(amounts: Amounts) -> pl.Series:
    """Amounts as plain digits, to be a part of an ID."""
    signed = amounts.signed
    if signed.dtype == pl.Int64:
        return signed.cast(pl.String)
    signed = signed.str.replace(r"^(-?)0+([0-9])", "${1}${2}")
    return signed.set(amounts.unreadable, UNREADABLE_ID)


def the_one_filled(amounts: Sequence[Amounts], filled: Sequence[pl.Series]) -> Amounts:
    """Of several columns with amounts, the one that is filled; unreadable where several are."""
    if len(amounts) == 1:
        return amounts[0]
    frame = pl.DataFrame(
        [amount.digits.alias(f"d{n}") for n, amount in enumerate(amounts)]
        + [amount.negative.alias(f"n{n}") for n, amount in enumerate(amounts)]
        + [is_filled.alias(f"f{n}") for n, is_filled in enumerate(filled)]
    )
    places = range(len(amounts))
    count = pl.sum_horizontal([pl.col(f"f{n}").cast(pl.UInt32) for n in places])
    digits = pl.coalesce(
        *[pl.when(f"f{n}").then(f"d{n}") for n in places], *[pl.col(f"d{n}") for n in places]
    )
    negative = pl.coalesce(*[pl.when(f"f{n}").then(f"n{n}") for n in places], pl.lit(value=False))
    made = frame.select(digits=digits, negative=negative, several=count > 1)
    made_one = Amounts(made["digits"], made["negative"])
    if not made["several"].any():
        return made_one
    return Amounts(made_one.as_texts.digits.set(made["several"], UNREADABLE), made_one.negative)


def less(amounts: Amounts, others: Amounts) -> Amounts:
    """Amounts less others; unreadable where what is taken off is more, or has another sign."""
    whole, off = (
        read.digits.cast(pl.Int64, strict=False).fill_null(0) for read in (amounts, others)
    )
    opposite = (amounts.negative != others.negative) & (off != 0)
    readable = amounts.digits.is_not_null()
    wrong = readable & (amounts.unreadable | others.unreadable | opposite | (off > whole))
    left = (whole - off).set(~readable, None)
    if not wrong.any():
        return Amounts(left, amounts.negative)
    return Amounts(left.cast(pl.String).set(wrong, UNREADABLE), amounts.negative)

"""Amounts as providers write them: `"10,000円"`, `¥1,200`, `-500`, `（１，０００）`, `▲300`.

One or two zeros behind a point do not belong to an amount in yen; anything else there makes it
unreadable.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

# A thousands separator stands before every three digits or nowhere.
_DIGITS: Final = r"(?P<digits>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)"
_AMOUNT: Final = (
    rf"^(?:(?P<sign>[-+▲△])? *\\? *{_DIGITS} *円?|\\ *(?P<sign_2>[-+▲△]) *(?P<digits_2>"
    rf"[0-9]{{1,3}}(?:,[0-9]{{3}})+|[0-9]+) *円?|(?P<bracket>\() *\\? *(?P<digits_3>"
    r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+) *円?\))$"
)
_NO_FRACTION: Final = r"^([^.]*[0-9０-９])\.[0０]{1,2}( *円?[)）]?)$"
_PLAIN: Final = r"^[-+]?\\?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)円?$"
_AROUND_PLAIN: Final = ["-", "+", "\\", ",", "円"]
_WIDE: Final = "０１２３４５６７８９，－−＋￥¥＼（）　"
_NARROW: Final = "0123456789,--+\\\\\\() "
UNREADABLE: Final = "?"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts, read.

    Attributes:
        digits: without a sign, null where nothing is written: whole numbers; or texts if a row is
            not an amount (``?``) or has more digits than a whole number can have.
        negative: never null.
    """

    digits: pl.Series
    negative: pl.Series

    @property
    def unreadable(self) -> pl.Series:
        """Where something is written that is not an amount."""
        if self.digits.dtype == pl.Int64:
            return pl.repeat(value=False, n=len(self.digits), eager=True)
        return (self.digits == UNREADABLE).fill_null(value=False)

    @property
    def filled(self) -> pl.Series:
        """Where something other than zero is written."""
        if self.digits.dtype == pl.Int64:
            return (self.digits != 0).fill_null(value=False)
        return self.digits.str.contains("[^0]").fill_null(value=False)

    @property
    def signed(self) -> pl.Series:
        """The same as ``digits``, below zero or with a minus sign where they are negative."""
        if not self.negative.any():
            return self.digits
        minus = pl.lit(-1) * pl.col("digits")
        if self.digits.dtype == pl.String:
            minus = pl.lit("-") + pl.col("digits")
        frame = pl.DataFrame({"digits": self.digits, "negative": self.negative})
        return frame.select(pl.when("negative").then(minus).otherwise("digits")).to_series()

    @property
    def as_texts(self) -> "Amounts":
        """The same amounts with their digits as texts."""
        return Amounts(self.digits.cast(pl.String), self.negative)

    def gather(self, places: pl.Series) -> "Amounts":
        """The amounts at these places."""
        return Amounts(self.digits.gather(places), self.negative.gather(places))


def read_amounts(texts: pl.Series) -> Amounts:
    """Reads amounts in yen; texts are trimmed, nulls where nothing is written."""
    if texts.str.contains(".", literal=True).any():
        texts = texts.str.replace(_NO_FRACTION, "${1}${2}")
    unsigned = ~texts.str.starts_with("+") & ~texts.str.starts_with("-")
    if unsigned.all() and (bare := _as_numbers(texts, ~unsigned.fill_null(value=True))):
        return bare
    plain = _read_plain(texts)
    if plain is not None:
        return plain
    if (texts.str.len_bytes() != texts.str.len_chars()).any():
        texts = texts.str.replace_many(list(_WIDE), list(_NARROW))
    parts = texts.str.extract_groups(_AMOUNT).struct.unnest()
    digits = pl.coalesce("digits", "digits_2", "digits_3").str.replace_all(",", "", literal=True)
    signs = pl.coalesce("sign", "sign_2", "bracket")
    read = parts.with_columns(text=texts).select(
        digits=pl.when(pl.col("text").is_not_null()).then(digits.fill_null(UNREADABLE)),
        negative=signs.is_in(["-", "▲", "△", "("]).fill_null(value=False),
    )
    return _as_numbers(read["digits"], read["negative"]) or Amounts(
        read["digits"], read["negative"]
    )


def _read_plain(texts: pl.Series) -> Amounts | None:
    """A faster way for amounts that are all written in the usual forms, else None."""
    if not texts.str.contains(_PLAIN).all():
        return None
    negative = texts.str.starts_with("-").fill_null(value=False)
    return _as_numbers(texts.str.replace_many(_AROUND_PLAIN, [""]), negative)


def _as_numbers(digits: pl.Series, negative: pl.Series) -> Amounts | None:
    """None if a value is not a whole number, or is a negative zero, which whole numbers lack."""
    numbers = digits.cast(pl.Int64, strict=False)
    if numbers.null_count() > digits.null_count() or (negative & (numbers == 0)).any():
        return None
    return Amounts(numbers, negative)

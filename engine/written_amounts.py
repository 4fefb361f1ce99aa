"""Amounts as providers write them: `"10,000円"`, `¥1,200`, `-500`, `（１，０００）`, `▲300`."""

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
_WIDE: Final = "０１２３４５６７８９，－−＋￥¥＼（）　"
_NARROW: Final = "0123456789,--+\\\\\\() "
UNREADABLE: Final = "?"


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts, read.

    Attributes:
        digits: without a sign; null where nothing is written, ``?`` where no amount is.
        negative: never null.
    """

    digits: pl.Series
    negative: pl.Series

    @property
    def signed(self) -> pl.Series:
        """The digits, with a minus sign where they are negative."""
        frame = pl.DataFrame({"digits": self.digits, "negative": self.negative})
        return frame.select(
            pl.when("negative").then(pl.lit("-") + pl.col("digits")).otherwise("digits")
        ).to_series()


def read_amounts(texts: pl.Series) -> Amounts:
    """Reads amounts in yen; texts are trimmed, nulls where nothing is written."""
    if texts.str.contains(r"^[0-9]+$").all():
        return Amounts(texts, pl.repeat(value=False, n=len(texts), eager=True))
    if (texts.str.len_bytes() != texts.str.len_chars()).any():
        texts = texts.str.replace_many(list(_WIDE), list(_NARROW))
    parts = texts.str.extract_groups(_AMOUNT).struct.unnest()
    digits = pl.coalesce("digits", "digits_2", "digits_3").str.replace_all(",", "", literal=True)
    signs = pl.coalesce("sign", "sign_2", "bracket")
    read = parts.with_columns(text=texts).select(
        digits=pl.when(pl.col("text").is_not_null()).then(digits.fill_null(UNREADABLE)),
        negative=signs.is_in(["-", "▲", "△", "("]).fill_null(value=False),
    )
    return Amounts(read["digits"], read["negative"])

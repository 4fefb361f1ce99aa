"""Texts that look the same made the same, to compare headers and words; IDs are never changed.

A text is brought into Unicode's form NFKC: composed characters for decomposed ones, full-width
digits and letters as narrow ones, half-width kana as wide ones. Then each dash, and each wave
dash, is one. Systems differ in these when they decode Shift_JIS, and editors when they save.
"""

import unicodedata
from typing import Final

import polars as pl

# U+30FC, the mark of a long vowel, is a letter, and stays.
_DASHES: Final = dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2500", "-")
_SAME: Final = _DASHES | {"\u301c": "~", "\u2016": "\u2225", "\u00a5": "\\"}
_TABLE: Final = str.maketrans(_SAME)


def plain(text: str) -> str:
    """A text as it is compared."""
    return text if text.isascii() else unicodedata.normalize("NFKC", text).translate(_TABLE)


def composed(text: str) -> str:
    """A text with composed characters, as layouts have them; files from a Mac may not."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def all_plain(texts: pl.Series) -> pl.Series:
    """Texts as they are compared."""
    if (texts.str.len_bytes() == texts.str.len_chars()).all():
        return texts
    return texts.to_frame().select(plain_texts(pl.col(texts.name))).to_series()


def plain_texts(texts: pl.Expr) -> pl.Expr:
    """Texts as they are compared."""
    return texts.str.normalize("NFKC").str.replace_many(list(_SAME), list(_SAME.values()))

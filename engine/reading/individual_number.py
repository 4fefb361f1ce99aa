"""No Individual Number (マイナンバー) enters a book: columns are screened for its check digit.

An Individual Number has 12 digits, the last of which checks the others (平成26年総務省令第85号),
written in one or in groups of four. Other 12-digit IDs agree with it by chance, 2 in 11 at most; a
column that agrees more often than chance allows holds Individual Numbers. Distinct values count
once. Of the columns of IDs that are read, the 4,096 smallest hashes are sampled, so the sample does
not depend on order. All other columns, read or not, are screened in the first records of each part
of a file, since what cannot be read is kept as it came.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.hashing import Hashes, hash_text, hash_texts
from engine.errors import InputError

Noted = dict[str, tuple[Hashes, npt.NDArray[np.bool_]]]
SCREENED: Final = ("person_id", "account_id", "other_id")
SAMPLED_RECORDS: Final = 1000
"""How many records of each part are screened in all their columns."""

_SEED: Final = 3
_DIGITS: Final = 12
_JUDGED: Final = 4096
_AT_ONCE: Final = 4 * _JUDGED
_BY_CHANCE: Final = 2 / 11
_TOO_UNLIKELY: Final = 1e-6
_DIGIT: Final = "[0-9０-９]"
# Blanks and dashes of every kind, as pages and spreadsheets have them, one or two of them.
_GAP: Final = "[ \u00a0\u2000-\u200b\u202f\u3000\u2010-\u2015\u2212\uff0d./_-]{0,2}"
_NUMBER: Final = f"{_DIGIT}{{4}}{_GAP}{_DIGIT}{{4}}{_GAP}{_DIGIT}{{4}}"
# As a whole value, with whatever stands around it, but no further digit.
_FORM: Final = f"^[^0-9０-９]*{_NUMBER}[^0-9０-９]*$"
_IN_A_LINE: Final = re.compile(f"(?<!{_DIGIT}){_NUMBER}(?!{_DIGIT})")
_SEPARATOR: Final = re.compile("[,\t;|]")
_NARROW: Final = str.maketrans("０１２３４５６７８９", "0123456789")
_WEIGHTS: Final = np.array([6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2], np.int64)


def check_digit_agrees(numbers: pl.Series) -> npt.NDArray[np.bool_]:
    """Whether the last digit of each text of 12 ASCII digits is an Individual Number's."""
    digits = np.frombuffer("".join(numbers.to_list()).encode(), np.uint8).reshape(-1, _DIGITS) - 48
    remainder = (digits[:, :11].astype(np.int64) @ _WEIGHTS) % 11
    expected = np.where(remainder <= 1, 0, 11 - remainder)
    return np.equal(digits[:, 11], expected)


@dataclass(slots=True)
class _Column:
    """The judged values of a column: their hashes, ascending, and whether each agrees."""

    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    agrees: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    def take(self, values: pl.Series, hashes: Hashes) -> None:
        """Takes note of values, of which these are the hashes."""
        for start in range(0, hashes.size, _AT_ONCE):
            if self.hashes.size == _JUDGED:
                # Once there are enough, only values with lesser hashes matter, and those are few.
                rest = np.flatnonzero(hashes[start:] < self.hashes[-1]) + start
                self._take(values.gather(rest), hashes[rest])
                return
            self._take(values.slice(start, _AT_ONCE), hashes[start : start + _AT_ONCE])

    def _take(self, values: pl.Series, hashes: Hashes) -> None:
        fits = values.str.contains(_FORM)
        if fits.any():
            values = values.filter(fits)
            hashes = hashes[fits.fill_null(value=False).to_numpy()]
            hashes, first = np.unique(hashes, return_index=True)
            numbers = [_digits(value) for value in values[first[:_JUDGED]].to_list()]
            self.join(hashes[:_JUDGED], check_digit_agrees(pl.Series(numbers)))

    def join(self, hashes: Hashes, agrees: npt.NDArray[np.bool_]) -> None:
        hashes = np.concatenate([self.hashes, hashes])
        agrees = np.concatenate([self.agrees, agrees])
        self.hashes, first = np.unique(hashes, return_index=True)
        self.hashes, self.agrees = self.hashes[:_JUDGED], agrees[first][:_JUDGED]


def _digits(value: str) -> str:
    """The digits of an Individual Number, however it is written."""
    if value.isascii() and value.isdecimal():
        return value
    return re.sub("[^0-9]", "", value.translate(_NARROW))


class Screen:
    """Screens one role's deliveries; may be used by several threads."""

    def __init__(self, role: str) -> None:
        self._role = role
        self._columns = {name: _Column() for name in SCREENED}
        self._lock = Lock()

    def look(self, frame: pl.DataFrame) -> None:
        """Takes note of some rows' IDs."""
        names = [name for name in SCREENED if name in frame.columns]
        hashed = hash_texts([frame[name] for name in names], _SEED)
        for name, hashes in zip(names, hashed, strict=True):
            with self._lock:
                self._columns[name].take(frame[name], hashes)

    def look_at_lines(self, lines: Iterable[str]) -> None:
        """Takes note of what stands in all columns of some records, as they came."""
        found: dict[str, set[str]] = defaultdict(set)
        for line in lines:
            for match in _IN_A_LINE.finditer(line):
                before = len(_SEPARATOR.findall(line, 0, match.start()))
                found[str(before + 1)].add(_digits(match.group()))
        with self._lock:
            for name, numbers in found.items():
                column = self._columns.setdefault(name, _Column())
                values = pl.Series(sorted(numbers), dtype=pl.String)
                column.take(values, hash_text(values, _SEED))

    def noted(self) -> Noted:
        """What was taken note of, to be told to another screen of the same role."""
        return {name: (column.hashes, column.agrees) for name, column in self._columns.items()}

    def join(self, noted: Noted) -> None:
        """Takes note of what another screen did."""
        with self._lock:
            for name, (hashes, agrees) in noted.items():
                self._columns.setdefault(name, _Column()).join(hashes, agrees)

    def judge(self) -> None:
        """Refuses deliveries with Individual Numbers.

        Raises:
            InputError: naming the column, and no value of it.
        """
        for name, column in self._columns.items():
            judged, agree = column.agrees.size, int(column.agrees.sum())
            if _chance_of_so_many(judged, agree) < _TOO_UNLIKELY:
                raise InputError(
                    f"{self._role}: column {name} seems to hold Individual Numbers (マイナンバー): "
                    f"of {judged} distinct 12-digit values {agree} have its check digit, "
                    "far more than by chance",
                    hint="deliver a pseudonym instead; the law forbids to keep Individual Numbers "
                    "here; nothing was booked and no value was kept",
                    code="personal_numbers",
                )


def _chance_of_so_many(judged: int, agree: int) -> float:
    """The chance that of so many values so many or more agree, each by itself 2 in 11."""
    if agree <= judged * _BY_CHANCE:
        return 1.0
    logs = [
        math.lgamma(judged + 1)
        - math.lgamma(n + 1)
        - math.lgamma(judged - n + 1)
        + n * math.log(_BY_CHANCE)
        + (judged - n) * math.log1p(-_BY_CHANCE)
        for n in range(agree, judged + 1)
    ]
    return sum(math.exp(log) for log in logs)

"""Rows of one ID, numbered in a file's order."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.hashing import FewHashes, Hashes, hash_text, places_in
from engine.columns.sorting import sorted_numbers

_SEED: Final = 7
# Up to one row in so many has an ID that others have: only these are sorted.
_FEW: Final = 4

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Ids:
    """The IDs of a part of a file, as hashes in its order and ascending."""

    hashes: Hashes
    ascending: Hashes

    @classmethod
    def of(cls, ids: pl.Series) -> "Ids":
        """From their texts; most of what numbering costs, and it can be done in any thread."""
        hashes = hash_text(ids, _SEED)
        return cls(hashes, sorted_numbers(hashes))


@dataclass(slots=True)
class EqualRows:
    """Numbers rows of one ID in a file's order, part by part.

    An ID is known by 64 bits of hash: among the rows that a file may have, two distinct ones are
    taken for one with a chance below 10^-6, and are then numbered together.
    """

    _hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    _counts: Numbers = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._hashes.size

    def numbers(self, ids: Ids) -> Numbers:
        """The next rows' numbers, from 1."""
        numbers = np.ones(ids.hashes.size, np.int64)
        if numbers.size == 0:
            return numbers
        begins = np.flatnonzero(np.diff(ids.ascending, prepend=~ids.ascending[:1]) != 0)
        distinct, counts = ids.ascending[begins], np.diff(begins, append=numbers.size)
        at, known = places_in(self._hashes, distinct)
        before = np.zeros(distinct.size, np.int64)
        before[known] = self._counts[at[known]]
        again = (counts > 1) | known
        # As a rule they are few; else all are sorted at once.
        if counts[again].sum() * _FEW > numbers.size:
            again = np.ones(distinct.size, np.bool_)
            rows = np.arange(numbers.size)
        else:
            rows = FewHashes(distinct[again]).places_among(ids.hashes)
        order = np.argsort(ids.hashes[rows], kind="stable")
        firsts = np.cumsum(counts[again]) - counts[again]
        numbers[rows[order]] = (
            np.arange(rows.size) + np.repeat(before[again] - firsts, counts[again]) + 1
        )
        self._counts[at[known]] += counts[known]
        new = np.searchsorted(self._hashes, distinct[~known])
        self._hashes = np.insert(self._hashes, new, distinct[~known])
        self._counts = np.insert(self._counts, new, counts[~known])
        return numbers

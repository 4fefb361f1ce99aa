"""64-bit hashes of text keys, and a table that finds them again.

The hashes are Polars' own: quick, and the same for the same Polars version. Whoever stores one
stores ``FINGERPRINT`` beside it and throws the hashes away when it no longer agrees.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from engine.columns.sorting import ascending_order, sorted_numbers

Hashes = npt.NDArray[np.uint64]
Positions = npt.NDArray[np.int64]
_Number = TypeVar("_Number", np.int64, np.uint64)

_ODD: Final = np.uint64(0x9E3779B97F4A7C15)
_SHIFT: Final = np.uint64(29)
_FILTER_BITS_MORE: Final = 6
_MOST_FILTER_BITS: Final = 27
_MOST_STEPS: Final = 32

KEY_SEED: Final = 1
CHECK_SEED: Final = 2


def hash_texts(columns: Sequence[pl.Series], seed: int) -> list[Hashes]:
    """For each column one hash a row; a missing text has a hash of its own.

    All in one query, which by itself takes longer than a hundred hashes.
    """
    texts = pl.DataFrame([column.alias(f"{at}") for at, column in enumerate(columns)])
    if texts.is_empty():
        return [np.empty(0, np.uint64) for _ in columns]
    hashes = texts.select_seq(pl.all().hash(seed))
    return [column.to_numpy() for column in hashes.iter_columns()]


def hash_text(texts: pl.Series, seed: int) -> Hashes:
    """The hashes of one column."""
    return hash_texts([texts], seed)[0]


def hash_coded(coded: pl.Series, seed: int) -> Hashes:
    """The same as ``hash_text`` for an Enum without missing values: each word is hashed once."""
    assert isinstance(coded.dtype, pl.Enum)
    return hashes_of_words(coded.dtype, seed).take(coded.to_physical().to_numpy())


@lru_cache(maxsize=64)
def hashes_of_words(words: pl.Enum, seed: int) -> Hashes:
    """The hash of each word; not to be changed."""
    return hash_text(words.categories, seed)


def hash_blocks(data: memoryview, block_bytes: int) -> Hashes:
    """One hash a block of bytes, of which the data are a whole number."""
    count = data.nbytes // block_bytes
    ends = np.arange(0, data.nbytes + 1, block_bytes)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(data)]
    blocks = pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, buffers)
    return pl.Series(blocks).hash(seed=CHECK_SEED).to_numpy()


def combined(first: Hashes, second: Hashes) -> Hashes:
    """The hash of an ordered pair; unlike a plain xor it differs for (a, b) and (b, a)."""
    mixed = (first ^ (first >> _SHIFT)) * _ODD
    mixed ^= second
    mixed = (mixed ^ (mixed >> _SHIFT)) * _ODD
    return mixed ^ (mixed >> _SHIFT)


def hash_pair(service_id: pl.Series, identifier: pl.Series, seed: int = KEY_SEED) -> Hashes:
    """The hash of (service, account) or (service, transaction)."""
    return combined(*hash_texts([service_id, identifier], seed))


def hash_coded_pair(coded: pl.Series, identifier: pl.Series, seed: int = KEY_SEED) -> Hashes:
    """The same as ``hash_pair`` for a first text that is an Enum."""
    return combined(hash_coded(coded, seed), hash_text(identifier, seed))


def _fingerprint() -> str:
    probe = pl.Series(["", "1", "マイナポイント", "x" * 64])
    both = combined(hash_text(probe, KEY_SEED), hash_text(probe, CHECK_SEED))
    return both.tobytes().hex()


FINGERPRINT: Final = _fingerprint()


def places_in(
    ascending: npt.NDArray[_Number], wanted: npt.NDArray[_Number]
) -> tuple[Positions, npt.NDArray[np.bool_]]:
    """Binary search of ``wanted``: the insertion points, and which of them are exact hits."""
    if ascending.size == 0:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    at = np.minimum(np.searchsorted(ascending, wanted), ascending.size - 1)
    return at, np.equal(ascending[at], wanted)


class FewHashes:
    """A small set of hashes to look for in a large array.

    A bitmap of the leading bits rejects nearly all misses with one lookup.
    """

    def __init__(self, hashes: Hashes) -> None:
        """Takes hashes in any order, again and again."""
        self._ascending = np.unique(hashes)
        bits = min(_MOST_FILTER_BITS, self._ascending.size.bit_length() + _FILTER_BITS_MORE)
        self._shift = np.uint64(64 - bits)
        self._may_be = np.zeros(1 << bits, np.bool_)
        self._may_be[(self._ascending >> self._shift).astype(np.int64)] = True

    def __len__(self) -> int:
        return int(self._ascending.size)

    def places_among(self, many: Hashes) -> Positions:
        """Where, among many, those stand that are among these."""
        if self._ascending.size == 0:
            return np.empty(0, np.int64)
        places = np.flatnonzero(self._may_be.take((many >> self._shift).view(np.int64)))
        candidates = many[places]
        _, hit = places_in(self._ascending, candidates)
        return np.compress(hit, places)


def repeated_places(hashes: Hashes) -> Positions:
    """Where hashes stand that are there more than once, ascending."""
    in_order = sorted_numbers(hashes)
    repeated = np.compress(in_order[1:] == in_order[:-1], in_order[1:])
    return FewHashes(repeated).places_among(hashes)


class HashTable:
    """Finds the position of each of many hashes among ``n`` distinct ones.

    Hashes are spread evenly, so their leading bits are an index into the sorted hashes: a
    look-up is one step to the bucket and, on average, one comparison there.
    """

    def __init__(self, ascending: Hashes, positions: npt.NDArray[np.int32]) -> None:
        """Takes distinct hashes, ascending, and the position of each."""
        self._sorted, self._positions = ascending, positions
        bits = max(1, int(ascending.size).bit_length())
        self._shift = np.uint64(64 - bits)
        sizes = np.bincount((ascending >> self._shift).view(np.int64), minlength=1 << bits)
        self._starts = np.zeros(1 << bits, np.int32)
        np.cumsum(sizes[:-1], out=self._starts[1:])

    @classmethod
    def of(cls, hashes: Hashes) -> "HashTable":
        """The table of distinct hashes; positions are indices into them."""
        # In 32 bits, for the look-ups wait for memory.
        order = ascending_order(hashes).astype(np.int32)
        return cls(hashes[order], order)

    def with_more(self, hashes: Hashes) -> "HashTable":
        """The table with further hashes, whose positions follow."""
        if hashes.size == 0:
            return self
        more = HashTable.of(hashes)
        at = np.searchsorted(self._sorted, more._sorted)
        positions = more._positions + np.int32(self.size)
        return HashTable(
            np.insert(self._sorted, at, more._sorted), np.insert(self._positions, at, positions)
        )

    @property
    def size(self) -> int:
        """How many hashes there are."""
        return int(self._sorted.size)

    @property
    def distinct(self) -> bool:
        """Whether no two of the hashes are the same."""
        return not bool((self._sorted[1:] == self._sorted[:-1]).any())

    def find(self, hashes: Hashes) -> Positions:
        """The position of each hash, or -1."""
        if self.size == 0:
            return np.full(hashes.size, -1, np.int64)
        at: npt.NDArray[np.int32] = self._starts.take((hashes >> self._shift).view(np.int64))
        # Beyond the last bucket stands the last hash once more, which is less.
        there = self._sorted.take(at, mode="clip")
        found = np.where(there == hashes, self._positions.take(at, mode="clip"), np.int64(-1))
        rows = np.flatnonzero(there < hashes)
        wanted, at = hashes.take(rows), at.take(rows)
        for _ in range(_MOST_STEPS):
            at += np.int32(1)
            rows, wanted, at = _chosen(at < self.size, rows, wanted, at)
            if rows.size == 0:
                return found
            there = self._sorted.take(at)
            hits, _, hits_at = _chosen(there == wanted, rows, wanted, at)
            found[hits] = self._positions.take(hits_at)
            rows, wanted, at = _chosen(there < wanted, rows, wanted, at)
        # So many in one bucket are not there by chance: somebody chose them.
        places, hit = places_in(self._sorted, wanted)
        found[rows[hit]] = self._positions[places[hit]]
        return found


def _chosen(
    chosen: npt.NDArray[np.bool_], rows: Positions, wanted: Hashes, at: npt.NDArray[np.int32]
) -> tuple[Positions, Hashes, npt.NDArray[np.int32]]:
    return np.compress(chosen, rows), np.compress(chosen, wanted), np.compress(chosen, at)

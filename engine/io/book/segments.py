"""Values by key, in sorted segments on the disk: a segment is never changed, only merged.

The values of one key stand in the order in which they were added.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.columns.hashing import Hashes, Positions
from engine.io.book.checked import ArrayFile, ArrayWriter, CheckedArray, common_ranges
from engine.io.durable import remove

ROWS_AT_ONCE: Final = 1_000_000

Pairs = tuple[Hashes, Positions]


@dataclass(frozen=True, slots=True)
class Segment:
    """Keys, ascending, and a value for each."""

    keys: CheckedArray
    values: CheckedArray

    @classmethod
    def open(cls, folder: Path, listed: Sequence[Sequence[Any]]) -> "Segment":
        """The segment whose files were listed."""
        keys, values = (ArrayFile(*file) for file in listed)
        return cls(CheckedArray(folder, keys, np.uint64), CheckedArray(folder, values, np.int64))

    @classmethod
    def write(cls, folder: Path, name: str, ranges: Iterable[Pairs]) -> "Segment":
        """Writes a segment, a range of ascending keys after the other."""
        with (
            ArrayWriter(folder / f"{name}-keys.array", np.uint64) as keys,
            ArrayWriter(folder / f"{name}-values.array", np.int64) as values,
        ):
            for some_keys, some_values in ranges:
                keys.append(some_keys)
                values.append(some_values)
            return cls.open(folder, [keys.finish(), values.finish()])

    @property
    def listed(self) -> list[list[Any]]:
        """The segment's files, for JSON."""
        return [list(self.keys.file), list(self.values.file)]

    @property
    def files(self) -> list[str]:
        """The names of the segment's files."""
        return [self.keys.file.name, self.values.file.name]

    def find(self, ascending: Hashes) -> tuple[Positions, npt.NDArray[Any]]:
        """All values of each of the ascending keys: the key's place among them, its value."""
        rows, places = self.keys.find(ascending)
        return rows, self.values.take(places)


def sorted_by_key(keys: Hashes, values: Positions) -> Pairs:
    """The same pairs by key; those of one key stay in their order."""
    order = np.argsort(keys, kind="stable")
    return keys[order], values[order]


def merged(segments: Sequence[Segment], rows: int) -> Iterator[Pairs]:
    """All pairs of some segments by key, about so many at once; one key's are never cut apart."""
    for cuts in common_ranges([segment.keys for segment in segments], rows):
        cut = list(zip(segments, cuts, strict=True))
        keys = np.concatenate([segment.keys.slice(*where) for segment, where in cut])
        values = np.concatenate([segment.values.slice(*where) for segment, where in cut])
        yield sorted_by_key(keys, values)


def _in_ranges(parts: Sequence[Pairs]) -> Iterator[Pairs]:
    """All pairs of parts by key, a range of keys after the other: hashes, so about as many each."""
    rows = sum(keys.size for keys, _ in parts)
    bits = (rows // ROWS_AT_ONCE).bit_length()
    bounds = np.array([part << (64 - bits) for part in range(1, 1 << bits)], np.uint64)
    cuts = [[0, *np.searchsorted(keys, bounds).tolist(), keys.size] for keys, _ in parts]
    for number in range(1 << bits):
        where = [slice(cut[number], cut[number + 1]) for cut in cuts]
        cut_parts = list(zip(parts, where, strict=True))
        yield sorted_by_key(
            np.concatenate([keys[rows] for (keys, _), rows in cut_parts]),
            np.concatenate([values[rows] for (_, values), rows in cut_parts]),
        )


class PairSorter:
    """Sorts more pairs than memory has room for, by parts that are set down until all are there."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._held: Pairs = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._parts: list[Segment] = []

    def add(self, keys: Hashes, values: Positions) -> None:
        """Adds pairs in any order."""
        self._set_down()
        self._held = sorted_by_key(keys, values)

    def _set_down(self) -> None:
        if self._held[0].size:
            name = f"{self._name}-{len(self._parts)}"
            self._parts.append(Segment.write(self._folder, name, [self._held]))

    def ranges(self) -> Iterator[Pairs]:
        """All pairs by key, a range after the other; what was set down is gone then."""
        if not self._parts:
            yield self._held
            return
        self._set_down()
        yield from merged(self._parts, ROWS_AT_ONCE)
        for part in self._parts:
            for name in part.files:
                remove(self._folder / name)


def first_to_merge(sizes: Sequence[int]) -> int | None:
    """From which segment on, of those from the oldest to the youngest, all are to become one.

    It is the oldest that is not twice as large as it should be beside the younger ones. So there
    are few segments, and a row is written again each time its segment grows threefold.
    """
    younger = sum(sizes)
    for number, size in enumerate(sizes):
        younger -= size
        if 2 * size <= younger:
            return number
    return None


class Segments:
    """Values by key."""

    def __init__(self, folder: Path, prefix: str, segments: Sequence[Segment] = ()) -> None:
        """Takes the segments from the oldest to the youngest; ``prefix`` names the files."""
        self._folder, self._prefix, self.segments = folder, prefix, tuple(segments)

    @classmethod
    def open(
        cls, folder: Path, prefix: str, listed: Sequence[Sequence[Sequence[Any]]]
    ) -> "Segments":
        """The segments that were listed."""
        return cls(folder, prefix, [Segment.open(folder, files) for files in listed])

    @property
    def listed(self) -> list[list[list[Any]]]:
        """The segments' files, for JSON."""
        return [segment.listed for segment in self.segments]

    @property
    def files(self) -> list[str]:
        """The names of all files; others of the same prefix are no longer needed."""
        return [name for segment in self.segments for name in segment.files]

    @property
    def size(self) -> int:
        """How many pairs there are."""
        return sum(segment.keys.size for segment in self.segments)

    def added(self, mark: str, parts: Sequence[Pairs]) -> "Segments":
        """With further pairs, in parts, each by key; the mark, never used before, names their
        files.
        """
        if not any(keys.size for keys, _ in parts):
            return self
        name = f"{self._prefix}-{mark}"
        fresh = Segment.write(self._folder, f"{name}-0", _in_ranges(parts))
        segments = (*self.segments, fresh)
        start = first_to_merge([segment.keys.size for segment in segments])
        if start is not None:
            ranges = merged(segments[start:], ROWS_AT_ONCE)
            whole = Segment.write(self._folder, f"{name}-1", ranges)
            segments = (*segments[:start], whole)
        return Segments(self._folder, self._prefix, segments)

    def find_all(self, keys: Hashes) -> tuple[Positions, Positions]:
        """All values of each key: the key's place among those wanted, ascending, and the value."""
        # In ascending order a search walks through a segment instead of jumping about in it.
        order = np.argsort(keys)
        ascending = keys[order]
        found = [segment.find(ascending) for segment in self.segments]
        rows = np.concatenate([np.empty(0, np.int64), *(order[rows] for rows, _ in found)])
        values = np.concatenate([np.empty(0, np.int64), *(values for _, values in found)])
        by_row = np.argsort(rows, kind="stable")
        return rows[by_row], values[by_row]

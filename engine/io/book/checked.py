"""Arrays on the disk, checked block by block as they are read.

A file is its blocks, and then a table: every block's hash and, of ascending numbers, its first.
Whoever names the file keeps the digest of the table, so nothing in the file can change unseen.
Blocks are read and not mapped: a sector that cannot be read is an error and not a signal. No file
stays open, so there may be any number of them.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

import numpy as np
import numpy.typing as npt

from engine.columns.hashing import Hashes, Positions, hash_blocks
from engine.io.book.block_cache import BLOCK_BYTES, BlockCache
from engine.io.durable import NewFile, sync

_HELD_BYTES: Final = 256 * 1024 * 1024
# The filler of the last block is at least as large as any number that could be searched for.
_FILLING: Final = 0xFF

Rows = npt.NDArray[Any]
_Number = TypeVar("_Number", np.int64, np.uint64)


class DamagedIndex(Exception):  # noqa: N818 - what it is, not what went wrong
    """A file of the index is missing, cannot be read, or is not what was written."""


class ArrayFile(NamedTuple):
    """An array's file, as the index's manifest lists it."""

    name: str
    rows: int
    digest: str


class ArrayWriter:
    """Writes an array piece by piece; ascending numbers (``u8``) can be searched later."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._dtype = np.dtype(dtype)
        self._per_block = BLOCK_BYTES // self._dtype.itemsize
        self._rest = np.empty(0, self._dtype)
        self._rows = 0
        self._hashes: list[Hashes] = []
        self._first: list[Rows] = []
        self._file = _BlockFile(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: Rows) -> None:
        """Adds rows after those that are there."""
        if self._rest.size:
            rows = np.concatenate([self._rest, rows])
        whole = rows.size // self._per_block * self._per_block
        self._write(rows[:whole])
        self._rest = rows[whole:].copy()

    def _write(self, rows: Rows) -> None:
        if rows.size == 0:
            return
        self._rows += rows.size
        whole, rest = divmod(rows.size, self._per_block)
        used = self._per_block * self._dtype.itemsize
        plain = np.ascontiguousarray(rows).view(np.uint8)
        room = np.empty((whole + bool(rest), BLOCK_BYTES), np.uint8)
        room[:whole, :used] = plain[: whole * used].reshape(whole, used)
        room[:whole, used:] = _FILLING
        if rest:
            room[whole] = _FILLING
            room[whole, : plain.size - whole * used] = plain[whole * used :]
        data = room.data.cast("B")
        self._hashes.append(hash_blocks(data, BLOCK_BYTES))
        if self._dtype == np.uint64:
            self._first.append(rows[:: self._per_block].copy())
        self._file.write(data)

    def finish(self) -> ArrayFile:
        """Returns when the array is on the disk."""
        self._write(self._rest)
        table = b"".join(column.tobytes() for column in (*self._hashes, *self._first))
        self._file.write(table)
        self._file.write_held()
        self._file.close()
        sync(self._file.path)
        digest = _digest(self._dtype, self._rows, table)
        return ArrayFile(self._file.path.name, self._rows, digest)


class _BlockFile(NewFile):
    """A file that is not read back at once: each block is checked whenever it is read."""

    def _remember(self, data: memoryview) -> None:
        pass


def write_array(path: Path, rows: Rows) -> ArrayFile:
    """Writes an array that is there whole."""
    with ArrayWriter(path, rows.dtype) as writer:
        writer.append(rows)
        return writer.finish()


_SHARED: Final = BlockCache(_HELD_BYTES)


class CheckedArray:
    """An array on the disk. Whatever reads from it may raise ``DamagedIndex``."""

    def __init__(
        self, folder: Path, file: ArrayFile, dtype: npt.DTypeLike, held: BlockCache = _SHARED
    ) -> None:
        self.file, self.size = file, file.rows
        self._path, self._digest = folder / file.name, file.digest
        self._dtype = np.dtype(dtype)
        self._per_block = BLOCK_BYTES // self._dtype.itemsize
        self._blocks = -(-file.rows // self._per_block)
        self._held = held
        self.number = held.join(self)

    def __reduce__(self) -> tuple[type["CheckedArray"], tuple[Path, ArrayFile, Any]]:
        # Another process reads the same file, and holds blocks of its own.
        return CheckedArray, (self._path.parent.absolute(), self.file, self._dtype)

    @cached_property
    def slots(self) -> npt.NDArray[np.int32]:
        """By block, where it is held, or -1."""
        return np.full(self._blocks, -1, np.int32)

    @cached_property
    def _table(self) -> tuple[Hashes, Hashes]:
        searched = self._dtype == np.uint64
        size = self._blocks * (16 if searched else 8)
        data = bytearray(size)
        with _Reading(self._path) as file:
            if file.size() != self._blocks * BLOCK_BYTES + size:
                raise DamagedIndex(f"{self._path}: it is not as long as it was")
            file.read(memoryview(data), self._blocks * BLOCK_BYTES)
        if _digest(self._dtype, self.size, data) != self._digest:
            raise DamagedIndex(f"{self._path}: the table of its blocks is not what was written")
        table = np.frombuffer(data, "<u8")
        return table[: self._blocks], table[self._blocks :]

    @property
    def first_keys(self) -> Hashes:
        """The first number of every block of an ascending array."""
        return self._table[1]

    def read(self, blocks: Positions, into: memoryview) -> None:
        """Reads ascending blocks, one after the other, and checks each."""
        hashes = self._table[0][blocks]
        breaks = np.flatnonzero(np.diff(blocks) != 1) + 1
        with _Reading(self._path) as file:
            for start, stop in pairwise([0, *breaks.tolist(), blocks.size]):
                part = into[start * BLOCK_BYTES : stop * BLOCK_BYTES]
                file.read(part, int(blocks[start]) * BLOCK_BYTES)
        differ = np.flatnonzero(hash_blocks(into, BLOCK_BYTES) != hashes)
        if differ.size:
            raise DamagedIndex(
                f"{self._path}: block {int(blocks[differ[0]])} is not what was written"
            )

    def slice(self, start: int, stop: int) -> Rows:
        """Rows that follow each other; nothing of them is held."""
        return self.slices(np.array([start]), np.array([stop]))

    def slices(self, starts: Positions, stops: Positions) -> Rows:
        """The rows of ascending ranges that do not overlap; nothing of them is held."""
        filled = starts < stops
        starts, stops = starts[filled], stops[filled]
        if starts.size == 0:
            return np.empty(0, self._dtype)
        if starts[0] < 0 or stops[-1] > self.size:
            raise IndexError(f"{self._path}: no such rows")
        first, last = starts // self._per_block, (stops - 1) // self._per_block
        blocks = distinct(expanded(first, last + 1))
        data = np.empty((blocks.size, BLOCK_BYTES), np.uint8)
        self.read(blocks, data.data.cast("B"))
        used = self._per_block * self._dtype.itemsize
        plain = data[:, :used].reshape(-1)
        begins = np.searchsorted(blocks, first) * self._per_block + starts % self._per_block
        ends = begins + (stops - starts)
        if starts.size == 1:
            return plain.view(self._dtype)[begins[0] : ends[0]]
        size = self._dtype.itemsize
        view = plain.data
        pieces = zip((begins * size).tolist(), (ends * size).tolist(), strict=True)
        return np.frombuffer(b"".join([view[begin:end] for begin, end in pieces]), self._dtype)

    def take(self, indices: Positions) -> Rows:
        """The rows at these places, in any order."""
        if indices.size and (indices.min() < 0 or indices.max() >= self.size):
            raise IndexError(f"{self._path}: no such rows")
        at_once = self._held.at_once
        if indices.size > at_once and (np.diff(indices) < 0).any():
            order = np.argsort(indices)
            taken = np.empty(indices.size, self._dtype)
            taken[order] = self.take(indices[order])
            return taken
        pieces = [np.empty(0, self._dtype)]
        for start in range(0, indices.size, at_once):
            blocks, places = np.divmod(indices[start : start + at_once], self._per_block)
            with self._held.lock:
                self._held.hold(self, distinct(np.sort(blocks)))
                rows = _as_rows(self._held.data, self._dtype)
                pieces.append(rows[self.slots[blocks], places])
        return np.concatenate(pieces)

    def lower_bounds(self, ascending: Hashes) -> Positions:
        """For each of these ascending numbers, the place of the first number not below it."""
        return self._search(ascending)[0]

    def ranges(self, ascending: Hashes) -> tuple[Positions, Positions]:
        """From where to where each of the ascending numbers stands; empty where it does not."""
        starts, there = self._search(ascending)
        stops = starts + there
        # Most numbers stand there once.
        hits = np.flatnonzero(there & (stops < self.size))
        again = hits[self.take(stops[hits]) == ascending[hits]]
        numbers = ascending[again]
        last = numbers == np.iinfo(np.uint64).max
        stops[again[last]] = self.size
        stops[again[~last]] = self.lower_bounds(numbers[~last] + np.uint64(1))
        return starts, stops

    def find(self, ascending: Hashes) -> tuple[Positions, Positions]:
        """All places of each of the ascending numbers: the number's place among them, its place."""
        starts, stops = self.ranges(ascending)
        rows = np.flatnonzero(starts < stops)
        starts, stops = starts[rows], stops[rows]
        return np.repeat(rows, stops - starts), expanded(starts, stops)

    def _search(self, ascending: Hashes) -> tuple[Positions, npt.NDArray[np.bool_]]:
        bounds, there = np.zeros(ascending.size, np.int64), np.zeros(ascending.size, np.bool_)
        if self.size == 0:
            return bounds, there
        first = self.first_keys
        at_once = self._held.at_once
        for start in range(0, ascending.size, at_once):
            wanted = ascending[start : start + at_once]
            # The last block that begins below: what it lacks is where the next one begins.
            blocks = np.searchsorted(first, wanted) - 1
            inside = int(np.searchsorted(blocks, 0))
            below = self._smaller_in_block(blocks[inside:], wanted[inside:])
            at = bounds[start : start + at_once]
            at[inside:] = blocks[inside:] * self._per_block + below
            there[start : start + at_once] = self._stand_at(at, wanted)
        return bounds, there

    def _smaller_in_block(self, blocks: Positions, wanted: Hashes) -> Positions:
        """How many of each block's numbers are smaller than the wanted one."""
        smaller = np.zeros(blocks.size, np.int64)
        with self._held.lock:
            self._held.hold(self, distinct(blocks))
            numbers = self._held.data.reshape(-1).view("<u8")
            begins = self.slots[blocks].astype(np.int64) * self._per_block
            step = self._per_block // 2
            while step:
                smaller += step * (numbers.take(begins + smaller + (step - 1)) < wanted)
                step //= 2
            smaller += numbers.take(begins + smaller) < wanted
        return smaller

    def _stand_at(self, at: Positions, wanted: Hashes) -> npt.NDArray[np.bool_]:
        there = np.zeros(at.size, np.bool_)
        blocks, places = np.divmod(at, self._per_block)
        # Of the first number of a block, the table knows.
        begin = np.flatnonzero((places == 0) & (at < self.size))
        there[begin] = self.first_keys[blocks[begin]] == wanted[begin]
        within = np.flatnonzero((places > 0) & (at < self.size))
        there[within] = self.take(at[within]) == wanted[within]
        return there


class _Reading:
    """A file that is open for a moment; what goes wrong with it is ``DamagedIndex``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        try:
            self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise self._unreadable(error) from error
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def _unreadable(self, error: OSError) -> DamagedIndex:
        return DamagedIndex(f"{self._path}: it cannot be read: {error.strerror}")

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, into: memoryview, offset: int) -> None:
        while into:
            try:
                size = os.preadv(self._descriptor, [into], offset)
            except OSError as error:
                raise self._unreadable(error) from error
            if size == 0:
                raise DamagedIndex(f"{self._path}: it is not as long as it was")
            into, offset = into[size:], offset + size


def common_ranges(arrays: Sequence[CheckedArray], rows: int) -> Iterator[list[tuple[int, int]]]:
    """Ranges of ascending arrays, in each of which all have the same numbers: about so many rows.

    The rows of one number are never in two ranges.
    """
    first = np.sort(np.concatenate([array.first_keys for array in arrays]))
    bounds = np.unique(first[:: max(1, rows * 8 // BLOCK_BYTES)][1:])
    cuts = [[0, *array.lower_bounds(bounds).tolist(), array.size] for array in arrays]
    for part in range(bounds.size + 1):
        yield [(cut[part], cut[part + 1]) for cut in cuts]


def expanded(starts: Positions, stops: Positions) -> Positions:
    """All numbers of some ranges, one range after the other."""
    lengths = stops - starts
    total = int(lengths.sum())
    numbers: Positions = np.arange(total)
    numbers += np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return numbers


def distinct(ascending: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Each of the ascending numbers once."""
    first = np.ones(ascending.size, np.bool_)
    first[1:] = ascending[1:] != ascending[:-1]
    return ascending[first]


def _digest(dtype: np.dtype[Any], rows: int, table: bytes | bytearray) -> str:
    return hashlib.sha256(f"{dtype.descr} {rows}\n".encode() + table).hexdigest()


def _as_rows(blocks: npt.NDArray[np.uint8], dtype: np.dtype[Any]) -> Rows:
    """The rows in some blocks, which may end with room to spare."""
    per_block = BLOCK_BYTES // dtype.itemsize
    return np.ndarray((blocks.shape[0], per_block), dtype, blocks, 0, (BLOCK_BYTES, dtype.itemsize))

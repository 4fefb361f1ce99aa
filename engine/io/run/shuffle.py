"""Shuffle: rows are partitioned by slice, in memory or spilled to disk in large runs.

Rows stay in memory as long as there is room; later ones go to the run's staging folder.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.booking.duplicates import WHERE_SEEN, Occurrences
from engine.columns.hashing import FewHashes, Hashes
from engine.io.durable import Scratch, ScratchFile
from engine.io.run.memory import Memory
from engine.records import Kind

_ROWS_PER_PART: Final = 1_000_000
# Each is two open files, beside those of the slices.
_MOST_PARTS_BITS: Final = 7


@dataclass(frozen=True, slots=True)
class RowsLeft:
    """A slice's rows, in a file."""

    file: Scratch

    def __call__(self) -> pl.DataFrame:
        with pa.ipc.open_stream(self.file.read()) as stream:
            frame = pl.DataFrame(stream.read_all())
        if frame.schema.get("kind") == pl.UInt8:
            return frame.with_columns(pl.col("kind").cat.to(Kind))
        return frame


class Shuffle:
    """Rows by slice: added in any order by any thread, taken slice by slice."""

    def __init__(
        self, name: str, slices: int, folder: Path | None, memory: Memory | None = None
    ) -> None:
        """Writes to files of its ``name`` in ``folder`` what has no room in ``memory``; nothing
        where there is no folder.
        """
        self._name, self._folder = name, folder
        self._memory = memory or Memory(0)
        self._pieces: list[list[pl.DataFrame]] = [[] for _ in range(slices)]
        self._files: list[ScratchFile | None] = [None] * slices
        self._writers: list[pa.ipc.RecordBatchStreamWriter | None] = [None] * slices
        self._locks = [threading.Lock() for _ in range(slices)]
        self.rows = [0] * slices

    def add(self, frame: pl.DataFrame, bounds: Sequence[int]) -> None:
        """Adds rows, of which those from ``bounds[n]`` to ``bounds[n + 1]`` are slice ``n``'s."""
        if self._folder is None or self._memory.has_room(int(frame.estimated_size())):
            for number, (start, end) in enumerate(pairwise(bounds)):
                if start < end:
                    with self._locks[number]:
                        self.rows[number] += end - start
                        self._pieces[number].append(frame[start:end])
            return
        if frame.schema.get("kind") == Kind:
            frame = frame.with_columns(pl.col("kind").to_physical())
        table = frame.to_arrow()
        for number, (start, end) in enumerate(pairwise(bounds)):
            if start < end:
                with self._locks[number]:
                    self.rows[number] += end - start
                    self._writer(number, table.schema).write_table(table.slice(start, end - start))

    def _writer(self, number: int, schema: pa.Schema) -> pa.ipc.RecordBatchStreamWriter:
        writer = self._writers[number]
        if writer is None:
            file = self._files[number] = ScratchFile(self._path(number))
            writer = self._writers[number] = pa.ipc.new_stream(file, schema)
        return writer

    def filled(self) -> Iterator[int]:
        """The slices that have rows."""
        return (number for number, rows in enumerate(self.rows) if rows)

    def take(self, number: int) -> pl.DataFrame:
        """The rows of a slice that has some; they are gone then."""
        pieces, self._pieces[number] = self._pieces[number], []
        if self._writers[number] is not None:
            left = self.leave(number)
            pieces.append(left())
            left.file.remove()
        return pl.concat(pieces, rechunk=True)

    def taking(self, number: int) -> Callable[[], pl.DataFrame]:
        """What takes a slice."""
        return partial(self.take, number)

    def leave(self, number: int) -> "RowsLeft":
        """The slice's rows on the disk, for any process to read again and again.

        Only where there are some, as there are of every slice where nothing stays in memory.
        """
        writer, self._writers[number] = self._writers[number], None
        file, self._files[number] = self._files[number], None
        assert writer is not None
        assert file is not None
        with file:
            writer.close()
            return RowsLeft(file.leave())

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._name}-{number:05}.arrow"


class SeenKeys:
    """The occurrences of a run's keys, cut by key so that each part fits into memory."""

    def __init__(
        self, folder: Path | None, rows_expected: int, memory: Memory | None = None
    ) -> None:
        """Writes to ``folder`` what has no room in ``memory``; nothing where there is none."""
        self._folder = folder
        self._memory = memory or Memory(0)
        self._bits = min(_MOST_PARTS_BITS, (rows_expected // _ROWS_PER_PART).bit_length())
        self._lock = threading.Lock()
        self._held: list[list[Occurrences]] = [[] for _ in range(1 << self._bits)]
        self._files: dict[int, tuple[ScratchFile, ScratchFile]] = {}
        self.watch(np.empty(0, np.uint64))

    def watch(self, keys: Hashes) -> None:
        """Asks which of some keys are there; ``are_there`` says so once all parts are noted."""
        self._watched, self.are_there = keys, np.zeros(keys.size, np.bool_)

    def noted(self, seen: Occurrences) -> Occurrences:
        """The same occurrences, the watched ones among them noted."""
        if self._watched.size:
            found = seen.keys[FewHashes(self._watched).places_among(seen.keys)]
            there = np.isin(self._watched, found)
            with self._lock:
                self.are_there |= there
        return seen

    def add(self, seen: Occurrences) -> None:
        """Adds occurrences."""
        size = seen.keys.nbytes + seen.where.nbytes
        in_memory = self._folder is None or self._memory.has_room(size)
        for number, part in enumerate(self._cut(seen)):
            if part.keys.size:
                with self._lock:
                    if in_memory:
                        self._held[number].append(part)
                    else:
                        keys_file, where_file = self._files_of(number)
                        keys_file.write(part.keys.tobytes())
                        where_file.write(part.where.tobytes())

    def _cut(self, seen: Occurrences) -> list[Occurrences]:
        if self._bits == 0:
            return [seen]
        part = (seen.keys >> np.uint64(64 - self._bits)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange((1 << self._bits) + 1)).tolist()
        keys, where = seen.keys[order], seen.where[order]
        return [Occurrences(keys[start:end], where[start:end]) for start, end in pairwise(bounds)]

    def _files_of(self, number: int) -> tuple[ScratchFile, ScratchFile]:
        if number not in self._files:
            assert self._folder is not None
            self._files[number] = (
                ScratchFile(self._folder / f"keys-{number:02}.bin"),
                ScratchFile(self._folder / f"where-{number:02}.bin"),
            )
        return self._files[number]

    def parts(self) -> Iterator[Callable[[], Occurrences]]:
        """The occurrences, all of a key in one part; each can be had once, in any thread."""
        for number, held in enumerate(self._held):
            if held or number in self._files:
                yield partial(_taken, held, self._files.pop(number, None))


def _taken(held: list[Occurrences], files: tuple[ScratchFile, ScratchFile] | None) -> Occurrences:
    if files is not None:
        keys_file, where_file = files
        with keys_file, where_file:
            keys = np.frombuffer(keys_file.take(), np.uint64)
            held.append(Occurrences(keys, np.frombuffer(where_file.take(), WHERE_SEEN)))
    every = Occurrences(*(np.concatenate(arrays) for arrays in zip(*held, strict=True)))
    held.clear()
    return every

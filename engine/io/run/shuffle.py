"""What a run sets down on its way from delivered files to slices of people.

Small runs keep it in memory; large ones write it to the run's staging folder.
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
from engine.io.durable import Scratch, ScratchFile
from engine.records import Kind

_ROWS_PER_PART: Final = 4_000_000
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
    """Rows on their way to slices: added in any order by any thread, taken slice by slice."""

    def __init__(self, name: str, slices: int, folder: Path | None) -> None:
        """Keeps rows in memory when ``folder`` is None; ``name`` is the shuffle's own there."""
        self._name, self._folder = name, folder
        self._pieces: list[list[pl.DataFrame]] = [[] for _ in range(slices)]
        self._files: list[ScratchFile | None] = [None] * slices
        self._writers: list[pa.ipc.RecordBatchStreamWriter | None] = [None] * slices
        self._locks = [threading.Lock() for _ in range(slices)]
        self.rows = [0] * slices

    def add(self, frame: pl.DataFrame, bounds: Sequence[int]) -> None:
        """Adds rows, of which those from ``bounds[n]`` to ``bounds[n + 1]`` are slice ``n``'s."""
        if self._folder is None:
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
        if self._folder is None:
            pieces, self._pieces[number] = self._pieces[number], []
            return pl.concat(pieces, rechunk=True)
        left = self.leave(number)
        frame = left()
        left.file.remove()
        return frame

    def taking(self, number: int) -> Callable[[], pl.DataFrame]:
        """What takes a slice."""
        return partial(self.take, number)

    def leave(self, number: int) -> "RowsLeft":
        """The rows of a slice that has some, on the disk, for any process to read again and again.

        Only of a shuffle that has a folder.
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

    def __init__(self, folder: Path | None, rows_expected: int) -> None:
        """Keeps occurrences in memory when ``folder`` is None."""
        self._folder = folder
        self._bits = min(_MOST_PARTS_BITS, max(1, (rows_expected // _ROWS_PER_PART).bit_length()))
        self._lock = threading.Lock()
        self._held: list[Occurrences] = []
        self._files: dict[int, tuple[ScratchFile, ScratchFile]] = {}

    def add(self, seen: Occurrences) -> None:
        """Adds occurrences."""
        if self._folder is None:
            with self._lock:
                self._held.append(seen)
            return
        part = (seen.keys >> np.uint64(64 - self._bits)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange((1 << self._bits) + 1))
        keys, where = seen.keys[order], seen.where[order]
        with self._lock:
            for number, (start, end) in enumerate(pairwise(bounds.tolist())):
                if start < end:
                    keys_file, where_file = self._files_of(number)
                    keys_file.write(keys[start:end].tobytes())
                    where_file.write(where[start:end].tobytes())

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
        if self._folder is None:
            held, self._held = self._held, []
            if held:
                yield lambda: Occurrences(
                    *(np.concatenate(arrays) for arrays in zip(*held, strict=True))
                )
            return
        for number in sorted(self._files):
            yield partial(_taken, *self._files.pop(number))


def _taken(keys_file: ScratchFile, where_file: ScratchFile) -> Occurrences:
    with keys_file, where_file:
        keys = np.frombuffer(keys_file.take(), np.uint64)
        return Occurrences(keys, np.frombuffer(where_file.take(), WHERE_SEEN))

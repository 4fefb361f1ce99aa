"""What a run sets down on its way from delivered files to slices of people.

Small runs keep it in memory; large ones write it to the run's staging folder.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.duplicates import SIGHTING, Repeated, repeated_within
from engine.io.durable import NewFile, remove
from engine.records import Kind

_ROWS_PER_PART: Final = 16_000_000


class Exchange:
    """Rows on their way to slices: added in any order by any thread, taken slice by slice."""

    def __init__(self, name: str, slices: int, folder: Path | None) -> None:
        """Keeps rows in memory when ``folder`` is None; ``name`` is the exchange's own there."""
        self._name, self._folder = name, folder
        self._pieces: list[list[pl.DataFrame]] = [[] for _ in range(slices)]
        self._files: list[NewFile | None] = [None] * slices
        self._writers: list[pa.ipc.RecordBatchStreamWriter | None] = [None] * slices
        self._locks = [threading.Lock() for _ in range(slices)]
        self.rows = [0] * slices

    def add(self, slice_no: int, frame: pl.DataFrame) -> None:
        """Adds rows to a slice."""
        if frame.is_empty():
            return
        with self._locks[slice_no]:
            self.rows[slice_no] += frame.height
            if self._folder is None:
                self._pieces[slice_no].append(frame)
                return
            table = frame.with_columns(pl.col("kind").to_physical()).to_arrow()
            writer = self._writers[slice_no]
            if writer is None:
                file = self._files[slice_no] = NewFile(self._path(slice_no))
                writer = self._writers[slice_no] = pa.ipc.new_stream(file, table.schema)
            writer.write_table(table)

    def pieces(self, slice_no: int) -> Iterator[pl.DataFrame]:
        """A slice's rows, piece by piece; they are gone then."""
        if self._folder is None:
            pieces, self._pieces[slice_no] = self._pieces[slice_no], []
            yield from pieces
            return
        writer, self._writers[slice_no] = self._writers[slice_no], None
        file, self._files[slice_no] = self._files[slice_no], None
        if writer is None or file is None:
            return
        with file:
            writer.close()
            file.check()
        with pa.ipc.open_stream(self._path(slice_no)) as stream:
            for batch in stream:
                frame = pl.DataFrame(batch)
                yield frame.with_columns(pl.col("kind").cat.to(Kind))
        remove(self._path(slice_no))

    def take(self, slice_no: int) -> pl.DataFrame:
        """A slice's rows, of which there must be some; they are gone then."""
        return pl.concat(list(self.pieces(slice_no)), rechunk=True)

    def _path(self, slice_no: int) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._name}-{slice_no:05}.arrow"


class Sightings:
    """The sightings of a run's keys, cut by key so that each part fits into memory."""

    def __init__(self, folder: Path | None, rows_expected: int) -> None:
        """Keeps sightings in memory when ``folder`` is None."""
        self._folder = folder
        self._bits = max(1, (rows_expected // _ROWS_PER_PART).bit_length())
        self._lock = threading.Lock()
        self._held: list[np.ndarray] = []
        self._files: dict[int, NewFile] = {}

    def add(self, seen: np.ndarray) -> None:
        """Adds sightings."""
        if self._folder is None:
            with self._lock:
                self._held.append(seen)
            return
        part = (seen["key"] >> np.uint64(64 - self._bits)).astype(np.uint8)
        order = np.argsort(part, kind="stable")
        bounds = np.searchsorted(part[order], np.arange((1 << self._bits) + 1))
        ordered = seen[order]
        with self._lock:
            for number in range(1 << self._bits):
                some = ordered[bounds[number] : bounds[number + 1]]
                if some.size:
                    if number not in self._files:
                        self._files[number] = NewFile(self._path(number))
                    self._files[number].write(some.tobytes())

    def repeated(self) -> Repeated:
        """The rows whose keys were seen more than once; the sightings are gone then."""
        nothing = Repeated(np.empty(0, np.int64), np.empty(0, np.int64))
        found = [nothing, *(repeated_within(part) for part in self._parts())]
        return Repeated(*(np.sort(np.concatenate(refs)) for refs in zip(*found, strict=True)))

    def _parts(self) -> Iterator[np.ndarray]:
        if self._folder is None:
            held, self._held = self._held, []
            if held:
                yield np.concatenate(held)
            return
        for number in sorted(self._files):
            with self._files.pop(number) as file:
                file.check()
            yield np.fromfile(file.path, SIGHTING)
            remove(file.path)

    def _path(self, number: int) -> Path:
        assert self._folder is not None
        return self._folder / f"keys-{number:02}.bin"

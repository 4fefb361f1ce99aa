"""The facts of all entries on the disk: a file for some runs that follow each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from engine.booking.state import FACT, Facts
from engine.io.book.checked import ArrayFile, ArrayWriter, CheckedArray
from engine.io.book.segments import ROWS_AT_ONCE, first_to_merge

# A file of so many facts is never written again: there is at most one a million entries, and
# between two of them no more than a few that are smaller.
_FULL_ROWS: Final = 1_000_000


class FactFiles:
    """The files of the facts, from the oldest to the youngest, and how many each run has."""

    def __init__(
        self, folder: Path, parts: Sequence[CheckedArray] = (), entries_by_run: Sequence[int] = ()
    ) -> None:
        self._folder, self.parts, self.entries_by_run = folder, parts, entries_by_run

    @classmethod
    def open(cls, folder: Path, listed: dict[str, Any]) -> "FactFiles":
        """The files that were listed."""
        parts = [CheckedArray(folder, ArrayFile(*file), FACT) for file in listed["parts"]]
        return cls(folder, parts, listed["entries_by_run"])

    @property
    def listed(self) -> dict[str, Any]:
        """The files, for JSON."""
        return {
            "parts": [list(part.file) for part in self.parts],
            "entries_by_run": list(self.entries_by_run),
        }

    @property
    def files(self) -> list[str]:
        """The names of all files."""
        return [part.file.name for part in self.parts]

    @property
    def facts(self) -> Facts:
        """As a past takes them."""
        return Facts(self.parts, np.array(self.entries_by_run, np.int64))

    def added(self, mark: str, fresh: CheckedArray) -> "FactFiles":
        """With those of a further run; the mark, never used before, names the files."""
        entries_by_run = [*self.entries_by_run, fresh.size]
        parts = [part for part in (*self.parts, fresh) if part.size]
        full = [number for number, part in enumerate(parts) if part.size >= _FULL_ROWS]
        begin = full[-1] + 1 if full else 0
        start = first_to_merge([part.size for part in parts[begin:]])
        if start is not None:
            parts[begin + start :] = [self._united(mark, parts[begin + start :])]
        return FactFiles(self._folder, parts, entries_by_run)

    def _united(self, mark: str, parts: Sequence[CheckedArray]) -> CheckedArray:
        writer = FactWriter(self._folder, f"{mark}-merged")
        for part in parts:
            for start in range(0, part.size, ROWS_AT_ONCE):
                writer.append(part.slice(start, min(part.size, start + ROWS_AT_ONCE)))
        return writer.finish()


class FactWriter:
    """Takes the facts of a run."""

    def __init__(self, folder: Path, mark: str) -> None:
        self._folder = folder
        self._writer = ArrayWriter(folder / f"facts-{mark}.array", FACT)

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Adds facts after those that are there."""
        self._writer.append(rows)

    def finish(self) -> CheckedArray:
        """Returns when they are on the disk."""
        return CheckedArray(self._folder, self._writer.finish(), FACT)

"""Parts of a file in which equal rows are numbered: read in any thread, numbered in the file's
order.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from engine.errors import InputError
from engine.io.delivered.deliveries import Batch, Work
from engine.io.delivered.laid_out_work import LaidOutWork
from engine.io.delivered.second_rows import some_rows
from engine.layouts.equal_rows import EqualRows, Ids
from engine.layouts.provider_column import Places

MOST_NUMBERED_ROWS: Final = 5_000_000
# As many as a run has under way by default: one more than threads, of which there is one more than
# cores.
_MOST_WAITING: Final = (os.cpu_count() or 1) + 2


def numbered_works(works: Iterator[LaidOutWork]) -> Iterator[Work]:
    """The parts of a file; each row is numbered among all rows of the file that have its ID."""
    equal_rows = EqualRows()
    before: _NumberedWork | None = None
    waiting: deque[_NumberedWork] = deque()
    for work in works:
        before = _NumberedWork(work, equal_rows, before)
        waiting.append(before)
        while waiting[0].is_numbered:
            waiting.popleft()
            if not waiting:
                break
        # Parts that no one reads must not be held until the last one asks for their numbers.
        if len(waiting) > _MOST_WAITING:
            waiting.popleft().see_numbered()
        yield before


@dataclass(slots=True)
class _NumberedWork:
    """A part whose rows are numbered after the rows with the same ID in earlier parts.

    Parts are read in any thread, but numbered one after the other. A reader waits for earlier
    parts, and reads them itself if no one has. Locks are only taken in descending order of parts,
    so there is no deadlock.
    """

    work: LaidOutWork
    equal_rows: EqualRows
    before: "_NumberedWork | None"
    numbers: Places | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_numbered(self) -> bool:
        return self.numbers is not None

    def read(self) -> Batch:
        """All its records except those that the layout leaves out."""
        with self.lock:
            return self.work.numbered(self._number)

    def read_some(self, places: Sequence[int]) -> Batch:
        """Only the records in these places, ascending."""
        return some_rows(self.read(), places)

    def see_numbered(self) -> None:
        """Reads it, unless it was read already."""
        with self.lock:
            if self.numbers is None:
                self.work.numbered(self._number)

    def _number(self, ids: pl.Series) -> Places:
        if self.numbers is None:
            hashed = Ids.of(ids)
            for part in self._parts_before():
                part.see_numbered()
            self.numbers = self.equal_rows.numbers(hashed)
            self.before = None
            if len(self.equal_rows) > MOST_NUMBERED_ROWS:
                raise InputError(
                    f"{self.work.name}: the file has more than {MOST_NUMBERED_ROWS:,} rows, "
                    "too many to number the equal ones",
                    hint="have it delivered in several files, cut between days",
                )
        return self.numbers

    def _parts_before(self) -> "list[_NumberedWork]":
        """The earlier parts that have no numbers yet, in the file's order."""
        parts, part = [], self.before
        while part is not None and not part.is_numbered:
            parts.append(part)
            part = part.before
        return parts[::-1]

"""A slice of people, folded: here, or wherever else its rows can be read and its file be written.

Both types go to other processes as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import polars as pl

from engine.booking.fold import Night, SliceOutcome, fold
from engine.booking.recounted import Voids
from engine.columns.hashing import FewHashes
from engine.io.book.ledger import LedgerPart, write_part
from engine.io.run.intake import KeySettlement


@dataclass(frozen=True, slots=True)
class Slice:
    """Some people's part of a run.

    Attributes:
        rows: reads their rows, columns of ``NO_ROWS``; where rows are in memory, only once.
        voids: the entries of theirs that the run voids.
    """

    number: int
    rows: Callable[[], pl.DataFrame]
    voids: Voids


class FoldedSlice(NamedTuple):
    """What became of a slice: all but its entries, and the ledger file that has those."""

    folded: SliceOutcome
    part: LedgerPart | None


@dataclass(frozen=True, slots=True)
class SliceWork:
    """What every slice of a run is folded with.

    Attributes:
        requested: the hashes of all refunds' originals that the book does not have.
    """

    night: Night
    requested: FewHashes
    settled: KeySettlement

    def fold(self, people: Slice, path: Path) -> FoldedSlice:
        """Folds a slice and writes its entries, if there are any, to a new ledger file."""
        rows, repeated = self.settled.split(people.rows())
        folded = fold(rows, self.night, self.requested, people.voids)
        del rows
        # Handed over for good, so that a slice is not held in two forms while it is written.
        entries = [folded.entries]
        folded = folded.without_entries()
        part = None
        if entries[0].height:
            cap_yen = self.night.programme.cap_yen
            part = write_part(entries.pop(), path.parent, path.name, cap_yen)
        return FoldedSlice(folded.with_duplicates(repeated, self.night.past.registry), part)

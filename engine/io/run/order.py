"""What a run is asked to do: how, and with which files."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engine.errors import InputError
from engine.io.delivered.role_files import Files
from engine.io.run.delivery_note import DeliveryNote
from engine.layouts.model import Layout


class Progress(Protocol):
    """Callback that reports progress."""

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        """``done`` of about ``total`` rows or slices of the phase."""
        ...


def no_progress(_phase: str, _done: int, _total: int, /) -> None:
    """Reports nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """How a run is to be done.

    Attributes:
        memory_bytes: what waits for its slice stays in memory up to this.
        command: the command line, as the record keeps it.
        quarantined_rows_allowed: so many rows may go to quarantine, whatever share they are.
        rejects: the folder that keeps the rows for which the run is refused.
        expected_run: the number that the run is to have.
        allowed_gates: the names of gates that may fail.
        delivery_notes: what should have been delivered.
    """

    booked_on: dt.date
    terms_as_of: dt.date | None
    max_quarantined: float
    threads: int
    rows_per_slice: int
    memory_bytes: int
    progress: Progress
    command: str
    allow_backdating: bool = False
    allow_postdating: bool = False
    quarantined_rows_allowed: int = 0
    rejects: Path | None = None
    expected_run: int | None = None
    allowed_gates: tuple[str, ...] = ()
    delivery_notes: tuple[DeliveryNote, ...] = ()

    @property
    def ahead(self) -> int:
        """How many parts or slices may be under way."""
        return self.threads + 1


@dataclass(frozen=True, slots=True)
class Deliveries:
    """The files of a run, by role."""

    events: Files
    enrollments: Files
    transactions: Files

    def __iter__(self) -> Iterator[Files]:
        return iter((self.events, self.enrollments, self.transactions))

    def anew(self) -> "Deliveries":
        """The same files, of which nothing was read."""
        return Deliveries(
            *(Files(files.role, files.delivered, files.whole_lines) for files in self)
        )

    @property
    def layouts(self) -> dict[str, Layout]:
        """The layouts that files were read by, by ID.

        Raises:
            InputError: two layouts have the same ID.
        """
        layouts: dict[str, Layout] = {}
        for files in self:
            for layout_id in layouts.keys() & files.layouts.keys():
                raise InputError(
                    f"layout {layout_id}: files of two roles are read by layouts of this ID",
                    hint="give each layout a layout_id of its own",
                )
            layouts |= files.layouts
        return layouts

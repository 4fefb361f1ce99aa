"""The book's format: its number, the tables that a run leaves, and the ledger's columns.

``run_record`` has the shape of a run's record; docs/book-format.md says what stands where.
"""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

from engine.errors import BookError
from engine.records import (
    AcceptedEvent,
    Declined,
    DeclinedOfFormat1,
    Enrollment,
    LedgerEntry,
    LedgerEntryOfFormat1,
    Quarantined,
    Record,
    RejectedEnrollment,
    RejectedEnrollmentOfFormat1,
    RejectedEvent,
)

FORMAT: Final = 2
"""The format that a run writes; this engine reads it and all before it."""

LEDGER_ENTRY: Final[Mapping[int, Record]] = {1: LedgerEntryOfFormat1, 2: LedgerEntry}
"""The ledger's columns, by format."""

RECORD_FILE: Final = "record.json"
SERVICES_FILE: Final = "services.toml"
PROGRAMME_FILE: Final = "programme.toml"
GATES_FILE: Final = "gates.toml"
CORRECTIONS_FILE: Final = "corrections.json"
LEDGER_FOLDER: Final = "ledger/"


class RunTable(Enum):
    """A table that each run leaves in its folder, beside its record."""

    ACCEPTED = ("accepted_enrollments", Enrollment)
    REJECTED = ("rejected_enrollments", RejectedEnrollment)
    DECLINED = ("declined", Declined)
    QUARANTINE = ("quarantine", Quarantined)
    ACCEPTED_EVENTS = ("accepted_events", AcceptedEvent)
    REJECTED_EVENTS = ("rejected_events", RejectedEvent)
    # Applications that changed nothing as long as another enrollment of the person stands.
    WAITING = ("waiting_enrollments", Enrollment)

    def __init__(self, stem: str, record: Record) -> None:
        self.stem = stem
        self.record = record

    @property
    def file_name(self) -> str:
        """The table's file in the run's folder."""
        return f"{self.stem}.parquet"

    def record_of(self, book_format: int) -> Record:
        """The table's columns in a format of the book."""
        return _OF_FORMAT_1.get(self, self.record) if book_format == 1 else self.record


_OF_FORMAT_1: Final[Mapping[RunTable, Record]] = {
    RunTable.REJECTED: RejectedEnrollmentOfFormat1,
    RunTable.DECLINED: DeclinedOfFormat1,
}

TABLES_OF_EVERY_RUN: Final[Mapping[int, tuple[RunTable, ...]]] = {
    1: (RunTable.ACCEPTED, RunTable.REJECTED, RunTable.DECLINED, RunTable.QUARANTINE),
    2: tuple(table for table in RunTable if table is not RunTable.WAITING),
}
"""The tables that no run of a format is without."""


SINCE_FORMAT_2: Final = frozenset(
    {RunTable.ACCEPTED_EVENTS, RunTable.REJECTED_EVENTS, RunTable.WAITING}
)
"""Tables that no run of format 1 has."""


def layout_file(layout_id: str) -> str:
    """The file in a run's folder that keeps a layout by which an input was read."""
    return f"layout-{layout_id}.toml"


def format_of(record: object, path: Path) -> int:
    """The format that a run's record names; those of the first engines name none.

    Raises:
        BookError: the format is not known here, or is not a format at all.
    """
    check_known(record, path)
    number = record.get("format", 1) if isinstance(record, dict) else 1
    if type(number) is not int or number < 1:
        raise damaged_record(path, "format: this is not a number from 1")
    return number


def check_known(record: object, path: Path) -> None:
    """Refuses a record of a later format than this engine knows.

    Raises:
        BookError: naming both formats.
    """
    number = record.get("format") if isinstance(record, dict) else None
    if type(number) is int and number > FORMAT:
        raise BookError(
            f"{path}: the run was booked in format {number}, and this version of mynapoint knows "
            f"formats up to {FORMAT}",
            hint="use the version of mynapoint that booked the run, or a later one",
            code="later_format",
        )


def damaged_record(path: Path, what: str) -> BookError:
    """The error of a record that is not as a record is."""
    return BookError(
        f"{path}: the record of a booked run is damaged: {what}",
        hint="restore the book from a copy; nothing was booked",
    )

"""What all tasks of a run know, and what they have to read."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.columns.hashing import FINGERPRINT, KEY_SEED
from engine.errors import InputError
from engine.io.book.folder import Book
from engine.io.book.format import RunTable
from engine.io.delivered.deliveries import Delivered, Stretch
from engine.spark.key_index import Segment
from engine.spark.people_index import PeopleFile, Range, ranges
from engine.terms.programme import Programme, Terms
from engine.terms.services import Services

# A part of a delivery is known by the number of its stretch and its place among that one's works.
WORK_BITS: Final = 14
STRETCHES: Final = 1 << 17


@dataclass(frozen=True, slots=True)
class Job:
    """A run, as its tasks know it.

    Attributes:
        work: where this run's tasks leave their files.
        memory: the folder of what the book remembers, in parts.
        unknown_runs: the committed runs that this memory does not cover yet.
        bounds: the person IDs that part the slices.
        key_bits: as many leading bits of a key's hash are the number of its partition.
        routes: tables by which accounts find their slices; none when there is one slice.
        accepted: this run's accepted applications.
        quarantined: what enrollments left for the quarantine.
    """

    book: Path
    work: Path
    memory: Path
    number: int
    booked_on: dt.date
    programme: Programme
    terms: Terms
    services: Services
    transactions: tuple[Delivered, ...] = ()
    enrollments: tuple[Delivered, ...] = ()
    stretches: tuple[tuple[int, Stretch], ...] = ()
    unknown_runs: tuple[int, ...] = ()
    people: tuple[PeopleFile, ...] = ()
    segments: tuple[Segment, ...] = ()
    bounds: tuple[str, ...] = ()
    key_bits: int = 0
    routes: tuple[str, ...] = ()
    route_seed: int = KEY_SEED
    accepted: str | None = None
    quarantined: tuple[str, ...] = ()
    fingerprint: str = field(default=FINGERPRINT)

    @property
    def slices(self) -> list[Range]:
        return ranges(self.bounds)

    @property
    def key_partitions(self) -> int:
        return 1 << self.key_bits

    def accepted_files(self, *, of_this_run: bool) -> list[Path]:
        """The accepted applications that the memory does not cover."""
        book = Book(self.book)
        files = [book.run_folder(run) / RunTable.ACCEPTED.file_name for run in self.unknown_runs]
        if of_this_run and self.accepted:
            files.append(self.work / self.accepted)
        return files

    def check_machine(self) -> None:
        """Refuses a machine whose hashes are others than the driver's.

        Raises:
            InputError: its libraries are of other versions.
        """
        if self.fingerprint != FINGERPRINT:
            raise InputError(
                "the cluster's machines do not have the same version of polars as the driver",
                hint="install the same version of mynapoint and its libraries on all of them",
            )


@dataclass(frozen=True, slots=True)
class FileToPlan:
    """A delivered file that is to be cut into stretches."""

    role: str
    index: int
    delivered: Delivered


@dataclass(frozen=True, slots=True)
class StretchToRead:
    """A stretch of the file ``index`` of its role; ``number`` is its own among all."""

    role: str
    index: int
    number: int
    stretch: Stretch


@dataclass(frozen=True, slots=True)
class LedgerToRead:
    """A ledger file that is not yet remembered."""

    path: Path


@dataclass(frozen=True, slots=True)
class AccountsToRead:
    """A file of accounts: of the memory, or accepted applications."""

    path: Path

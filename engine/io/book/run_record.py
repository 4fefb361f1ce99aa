"""The record that a run leaves: what it was asked to do, what went in, what came out.

``RunRecord`` is ``runs/NNNNNN/record.json`` as a type. Its fields stand in the order of the file.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from engine.io.book.format import LEDGER_FOLDER, damaged_record, format_of
from engine.io.book.typed_json import MalformedError, as_json, of_json
from engine.records import RoleName
from engine.terms.gates import Bound
from engine.terms.programme import Terms

_SINCE_2: Final = {"since": 2}


@dataclass(frozen=True, slots=True)
class UsedLayout:
    """The layout by which a delivered file was read, and the parameters that were set for it."""

    id: str
    sha256: str
    parameters: dict[str, str]


@dataclass(frozen=True, slots=True)
class Input:
    """A delivered file.

    Attributes:
        name: the path, as it was given.
        rows: how many records it has, and second rows that its layout makes of them.
        layout: how it was read; None for the canonical form.
    """

    role: RoleName
    name: str
    bytes: int
    sha256: str
    rows: int
    layout: UsedLayout | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A file that the run left in the book.

    Attributes:
        name: the path in the book, such as ``runs/000001/declined.parquet``.
        rows: how many rows a table has; None for any other file.
    """

    name: str
    bytes: int
    sha256: str
    rows: int | None = None

    @property
    def is_of_the_ledger(self) -> bool:
        return self.name.startswith(LEDGER_FOLDER)


@dataclass(frozen=True, slots=True)
class UsedProgramme:
    """The programme that the run used, and those of its terms that were in force.

    Attributes:
        built_in: whether ID and text are those of a programme that ships with the engine.
    """

    id: str
    sha256: str
    terms: Terms
    built_in: bool = field(default=False, compare=False, metadata=_SINCE_2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Transactions by what became of them, in rows or in yen.

    Attributes:
        read: of this run's deliveries.
        reconsidered: turned away by earlier runs, and looked at again by this one.
        declined: by reason.
        skipped: left out by a layout on purpose, by reason.
    """

    read: int
    reconsidered: int = field(default=0, metadata=_SINCE_2)
    booked: int
    declined: dict[str, int]
    quarantined: int
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def taken_in(self) -> int:
        return self.read + self.reconsidered

    @property
    def accounted_for(self) -> int:
        return self.booked + self.all_declined + self.quarantined + self.all_skipped

    @property
    def all_declined(self) -> int:
        return sum(self.declined.values())

    @property
    def all_skipped(self) -> int:
        return sum(self.skipped.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionCounts:
    """Enrollments, or events, by what became of them.

    Attributes:
        unchanged: said what had been accepted before.
        rejected: by reason.
        skipped: left out by a layout on purpose, by reason.
    """

    read: int
    reconsidered: int = field(default=0, metadata=_SINCE_2)
    accepted: int
    unchanged: int
    rejected: dict[str, int]
    quarantined: int
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def taken_in(self) -> int:
        return self.read + self.reconsidered

    @property
    def accounted_for(self) -> int:
        return (
            self.accepted
            + self.unchanged
            + self.all_rejected
            + self.quarantined
            + sum(self.skipped.values())
        )

    @property
    def all_rejected(self) -> int:
        return sum(self.rejected.values())


def no_events() -> DecisionCounts:
    """The counts of a run without events."""
    return DecisionCounts(read=0, accepted=0, unchanged=0, rejected={}, quarantined=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts(Split):
    """The rows of a run.

    Attributes:
        people: who have an entry of this run; ``people_at_the_cap`` of them are there after it.
        voided: entries of earlier bookings that were taken out.
        recounted: entries that follow from others of the person.
        recounted_of_format_1: those of them that say what format 1 counted otherwise.
    """

    people: int
    people_at_the_cap: int
    voided: int = field(default=0, metadata=_SINCE_2)
    recounted: int = field(default=0, metadata=_SINCE_2)
    recounted_of_format_1: int = 0
    enrollments: DecisionCounts
    events: DecisionCounts = field(default_factory=no_events, metadata=_SINCE_2)


@dataclass(frozen=True, slots=True)
class Points:
    """The points of a run's entries: ``reversed`` sums up those that take points back."""

    awarded: int
    reversed: int

    @property
    def net(self) -> int:
        return self.awarded - self.reversed


@dataclass(frozen=True, slots=True)
class Ran:
    """When, where and how the run was made; the times are in UTC."""

    started_at: dt.datetime
    finished_at: dt.datetime
    user: str
    host: str
    command: str


@dataclass(frozen=True, slots=True)
class RowWarning:
    """A row that was taken, and may not be what was meant."""

    file: str
    row: int
    what: str


@dataclass(frozen=True, slots=True)
class GateFinding:
    """A gate that the run did not pass.

    Attributes:
        gate: its name.
        bound: the bound that was broken; ``limit`` is its value, a percentage where there is a
            ``reference``.
        value: the run's figure.
        reference: what was read, or the median of earlier nights.
        what: all of it in words.
        is_allowed: whether the night was booked though the gate fails.
    """

    gate: str
    bound: Bound
    limit: int
    value: int
    reference: int | None
    what: str
    is_allowed: bool = False

    @property
    def fails(self) -> bool:
        return self.bound.startswith("fail")

    def allowed(self) -> Self:
        """The finding of a gate that was allowed to fail."""
        return replace(self, is_allowed=True)

    def to_json(self) -> dict[str, Any]:
        """The finding as the record has it."""
        return asdict(self)


class Identity(NamedTuple):
    """What makes two runs the same: deliveries, services, programme, terms and date."""

    inputs: list[tuple[RoleName, str, int, str]]
    booked_on: dt.date
    services_sha256: str
    programme: UsedProgramme


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What a run was asked to do.

    Attributes:
        format: the book's, when the run was booked.
    """

    format: int
    run_id: str
    booked_on: dt.date
    programme: UsedProgramme
    services_sha256: str
    inputs: tuple[Input, ...]

    @property
    def identity(self) -> Identity:
        inputs = sorted(
            (
                delivery.role,
                delivery.sha256,
                delivery.rows,
                json.dumps(as_json(delivery.layout, self.format)),
            )
            for delivery in self.inputs
        )
        return Identity(inputs, self.booked_on, self.services_sha256, self.programme)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord(RunRequest):
    """The record of a run.

    Attributes:
        outputs: every file of the run but the record.
        ledger_version: the version of the Delta table that the run's commit made.
        engine: the versions of the engine and of its libraries.
        previous_sha256: of the record before; None in the first run's.
        gates: those that the run did not pass.
    """

    counts: Counts
    yen: Split
    points: Points
    outputs: tuple[Output, ...]
    ledger_version: int
    engine: dict[str, str]
    previous_sha256: str | None
    ran: Ran | None = field(default=None, metadata=_SINCE_2)
    warnings: tuple[RowWarning, ...] = field(default=(), metadata=_SINCE_2)
    gates: tuple[GateFinding, ...] = ()

    @property
    def number(self) -> int:
        return int(self.run_id)

    @property
    def month(self) -> str:
        """The month of booking, such as ``2020-09``."""
        return f"{self.booked_on:%Y-%m}"

    @property
    def ledger_files(self) -> list[Output]:
        return [output for output in self.outputs if output.is_of_the_ledger]

    def disagreements(self) -> Iterator[str]:
        """Where the record does not account for all that came in; nowhere in a sound one."""
        for what, split in (
            ("rows of transactions", self.counts),
            ("yen of transactions", self.yen),
            ("enrollments", self.counts.enrollments),
            ("events", self.counts.events),
        ):
            if split.taken_in != split.accounted_for:
                yield f"{split.taken_in} {what} were read, {split.accounted_for} accounted for"

    def to_json(self) -> dict[str, Any]:
        """The record as its file has it."""
        value: dict[str, Any] = as_json(self, self.format)
        if "skipped" in value["counts"]:
            # After all other counts, where the first records have it.
            value["counts"]["skipped"] = value["counts"].pop("skipped")
        return value

    @classmethod
    def from_json(cls, value: object, path: Path) -> Self:
        """The record that a file has.

        Raises:
            BookError: it is damaged, or of a later format than this engine knows.
        """
        number = format_of(value, path)
        value = {"format": number} | value if isinstance(value, dict) else value
        try:
            record: Self = of_json(cls, value, number)
        except MalformedError as error:
            raise damaged_record(path, str(error).lstrip(".: ")) from error
        return record

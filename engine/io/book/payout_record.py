"""The record that a payout run leaves: ``payout_runs/NNNNNN/record.json`` as a type."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from engine.io.book.format import damaged_record
from engine.io.book.run_record import Input, Output, Ran, RowWarning, UsedProgramme
from engine.io.book.typed_json import MalformedError, as_json, of_json

FORMAT: Final = 2
FOLDER: Final = "payouts/"


@dataclass(frozen=True, slots=True)
class OthersDone:
    """Which lines without an answer were taken as done, if any.

    Attributes:
        others_done: the payout run that instructed them.
        services: those that were named.
    """

    others_done: str | None = None
    answered_on: dt.date | None = None
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutRecord:
    """The record of a payout run.

    Attributes:
        due_by, services: the day and the services that were asked for; none where answers came in.
        answers: where answers came in, what else was said of them.
        allowed: what was allowed that is refused otherwise.
        run_id: the last run that it knew.
        counts: of instructions the lines by direction; of answers what became of them.
        points: likewise.
        skipped: answers that a layout left out on purpose, by reason.
        warnings: answers that were read, and that someone should look at.
        outputs: every file of the payout run but the record.
        payouts_version: the version of the Delta table that its commit made.
        engine: the versions of the engine and of its libraries.
        previous_sha256: of the record before, a run's or a payout run's.
    """

    format: int
    payout_run_id: str
    ran: Ran
    due_by: dt.date | None = None
    services: tuple[str, ...] = ()
    answers: OthersDone | None = None
    allowed: tuple[str, ...] = ()
    run_id: str
    programme: UsedProgramme
    services_sha256: str
    inputs: tuple[Input, ...]
    counts: dict[str, int]
    points: dict[str, int]
    skipped: dict[str, int] = field(default_factory=dict)
    warnings: tuple[RowWarning, ...] = ()
    outputs: tuple[Output, ...]
    payouts_version: int
    engine: dict[str, str]
    previous_sha256: str | None

    @property
    def table_files(self) -> list[Output]:
        return [output for output in self.outputs if output.name.startswith(FOLDER)]

    def to_json(self) -> dict[str, Any]:
        """The record as its file has it."""
        value: dict[str, Any] = as_json(self, self.format)
        return value

    @classmethod
    def from_json(cls, value: object, path: Path) -> Self:
        """The record that a file has.

        Raises:
            BookError: it is damaged, or of another format.
        """
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise damaged_record(path, f"format: this is not {FORMAT}")
        try:
            record: Self = of_json(cls, value, FORMAT)
        except MalformedError as error:
            raise damaged_record(path, str(error).lstrip(".: ")) from error
        return record

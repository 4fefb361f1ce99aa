"""What a run counts as it goes, and the record that it makes of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import polars as pl

from engine.booking.enrollment import EnrollmentCounts
from engine.errors import BookError
from engine.io.book.ledger import LedgerPart
from engine.io.book.run_record import (
    Counts,
    DecisionCounts,
    Output,
    Points,
    RunRecord,
    RunRequest,
    Split,
    no_events,
)
from engine.io.versions import versions


@dataclass(slots=True)
class Tally:
    """Rows and yen of a run, by what became of them."""

    read: int = 0
    read_yen: int = 0
    quarantined: int = 0
    quarantined_yen: int = 0
    declined: dict[str, int] = field(default_factory=dict)
    declined_yen: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, tuple[int, int]] = field(default_factory=dict)
    enrollments_read: int = 0
    enrollments_accepted: int = 0
    enrollments_unchanged: int = 0
    enrollments_rejected: dict[str, int] = field(default_factory=dict)
    enrollments_quarantined: int = 0
    enrollments_skipped: dict[str, tuple[int, int]] = field(default_factory=dict)
    enrollments_reconsidered: int = 0
    reconsidered: int = 0
    recounted_of_format_1: int = 0
    reconsidered_yen: int = 0
    events: DecisionCounts = field(default_factory=no_events)

    def quarantine(self, faulty: pl.DataFrame) -> None:
        """Counts transactions that cannot be read."""
        self.quarantined += faulty.height
        self.quarantined_yen += int(faulty["amount"].sum())

    def decline(self, declined: pl.DataFrame) -> None:
        """Counts declined transactions."""
        if declined.is_empty():
            return
        by_reason = declined.group_by("reason").agg(pl.len(), pl.col("amount").sum())
        for reason, rows, yen in by_reason.iter_rows():
            self.declined[reason] = self.declined.get(reason, 0) + rows
            self.declined_yen[reason] = self.declined_yen.get(reason, 0) + yen

    def enroll(self, counts: EnrollmentCounts) -> None:
        """Counts the decided enrollments."""
        self.enrollments_accepted = counts.accepted
        self.enrollments_unchanged = counts.unchanged
        self.enrollments_rejected = counts.rejected
        self.enrollments_reconsidered = counts.reconsidered

    def record(
        self,
        request: RunRequest,
        parts: Sequence[LedgerPart],
        outputs: Sequence[Output],
        previous: str | None,
    ) -> RunRecord:
        """The run's record.

        Raises:
            BookError: rows or yen were lost or doubled on the way; nothing may be booked then.
        """
        record = RunRecord(
            **{field.name: getattr(request, field.name) for field in fields(request)},
            counts=Counts(
                read=self.read,
                reconsidered=self.reconsidered,
                booked=sum(part.totals.booked for part in parts),
                declined=dict(sorted(self.declined.items())),
                quarantined=self.quarantined,
                people=sum(part.people for part in parts),
                people_at_the_cap=sum(part.people_at_the_cap for part in parts),
                enrollments=DecisionCounts(
                    read=self.enrollments_read,
                    reconsidered=self.enrollments_reconsidered,
                    accepted=self.enrollments_accepted,
                    unchanged=self.enrollments_unchanged,
                    rejected=self.enrollments_rejected,
                    quarantined=self.enrollments_quarantined,
                    skipped=_rows(self.enrollments_skipped),
                ),
                voided=sum(part.totals.voided for part in parts),
                recounted=sum(part.totals.recounted for part in parts),
                recounted_of_format_1=self.recounted_of_format_1,
                events=self.events,
                skipped=_rows(self.skipped),
            ),
            yen=Split(
                read=self.read_yen + sum(yen for _, yen in self.skipped.values()),
                reconsidered=self.reconsidered_yen,
                booked=sum(part.totals.booked_yen for part in parts),
                declined=dict(sorted(self.declined_yen.items())),
                quarantined=self.quarantined_yen,
                skipped={reason: yen for reason, (_, yen) in sorted(self.skipped.items())},
            ),
            points=Points(
                awarded=sum(part.totals.points_awarded for part in parts),
                reversed=sum(part.totals.points_reversed for part in parts),
            ),
            outputs=(*(part.output() for part in parts), *outputs),
            ledger_version=int(request.run_id) - 1,
            engine=versions(),
            previous_sha256=previous,
        )
        for what in record.disagreements():
            raise _lost(what)
        return record


def _rows(skipped: Mapping[str, tuple[int, int]]) -> dict[str, int]:
    return {reason: rows for reason, (rows, _) in sorted(skipped.items())}


def _lost(what: str) -> BookError:
    return BookError(
        f"the control totals do not agree: {what}",
        hint="this is a fault of the engine, not of the delivery: nothing was booked; report it",
    )

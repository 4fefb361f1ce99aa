"""What ran, and how a book stands, from its records and the notes of attempts."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.io.book.run_record import RunRecord
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.run.attempts import Attempt, attempts_of


@dataclass(frozen=True, slots=True)
class BookedRun:
    """A run of the book.

    Attributes:
        finished_at: when it was done; of a run of format 1, when it was committed.
        seconds: how long it took; None of a run of format 1.
    """

    record: RunRecord
    finished_at: dt.datetime
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """The run for machines."""
        record, ran = self.record, self.record.ran
        return {
            "run_id": record.run_id,
            "booked_on": record.booked_on.isoformat(),
            "finished_at": self.finished_at.isoformat(),
            "seconds": self.seconds,
            "user": None if ran is None else ran.user,
            "host": None if ran is None else ran.host,
            "inputs": len(record.inputs),
            "read": record.counts.read,
            "reconsidered": record.counts.reconsidered,
            "booked": record.counts.booked,
            "declined": record.counts.all_declined,
            "quarantined": record.counts.quarantined,
            "enrollments_accepted": record.counts.enrollments.accepted,
            "events_accepted": record.counts.events.accepted,
            "points": record.points.net,
            "warnings": len(record.warnings),
        }


def booked_runs(opened: OpenedBook) -> list[BookedRun]:
    """All runs of a book, in order."""
    return [_booked(opened, record) for record in opened.records]


def _booked(opened: OpenedBook, record: RunRecord) -> BookedRun:
    if record.ran is not None:
        seconds = (record.ran.finished_at - record.ran.started_at).total_seconds()
        return BookedRun(record, record.ran.finished_at, round(seconds, 3))
    with book_readable(opened.book):
        lines = opened.book.commit_file(record.number).read_bytes().split(b"\n")
        timestamp_ms = json.loads(lines[0])["commitInfo"]["timestamp"]
        return BookedRun(record, dt.datetime.fromtimestamp(timestamp_ms / 1000, dt.UTC), None)


@dataclass(frozen=True, slots=True)
class BookStatus:
    """How a book stands.

    Attributes:
        last: its last run.
        last_success_at: when a run was last booked, or found booked.
        failed_since: attempts since then that failed, the latest last.
        is_at_work: whether a run holds the lock now.
        totals: over all runs: entries, yen booked, points awarded, reversed and net.
    """

    last: BookedRun
    last_success_at: dt.datetime
    now: dt.datetime
    failed_since: Sequence[Attempt]
    is_at_work: bool
    totals: Mapping[str, int]

    @property
    def age(self) -> dt.timedelta:
        """How long ago the last success was."""
        return self.now - self.last_success_at


def status_of(opened: OpenedBook, now: dt.datetime) -> BookStatus:
    """How a book stands at an instant."""
    last = _booked(opened, opened.records[-1])
    attempts = attempts_of(opened.book)
    succeeded = [
        attempt.ended_at
        for attempt in attempts
        if attempt.exit == 0 and attempt.ended_at is not None
    ]
    last_success_at = max([last.finished_at, *succeeded])
    failed = [
        attempt
        for attempt in attempts
        if attempt.ended_at is not None and attempt.exit != 0 and attempt.ended_at > last_success_at
    ]
    points = [record.points for record in opened.records]
    totals = {
        "runs": opened.runs,
        "entries": opened.entries,
        "yen_booked": sum(record.yen.booked for record in opened.records),
        "points_awarded": sum(of_run.awarded for of_run in points),
        "points_reversed": sum(of_run.reversed for of_run in points),
        "points_net": sum(of_run.net for of_run in points),
    }
    is_at_work = opened.book.is_being_written()
    return BookStatus(last, last_success_at, now, failed, is_at_work, totals)

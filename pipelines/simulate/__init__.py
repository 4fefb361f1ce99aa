"""``mynapoint simulate``: what the same deliveries would have earned under other terms.

The runs are booked again, one by one, by the engine itself, into a book that is thrown away: so
what comes out is what a run under those terms would have booked. ``terms`` says which terms those
are, ``kept`` gives what the book keeps of its deliveries, ``replay`` books, ``unknown`` names the
rows that the book alone does not tell enough about, ``compare`` counts.
"""

import signal
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from engine.errors import BookError, InputError
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.run.order import Progress, no_progress
from pipelines.desk.opened_book import open_book
from pipelines.simulate.compare import Comparison, compare
from pipelines.simulate.replay import (
    ReplayedBook,
    at_once,
    book_at_once,
    book_from_deliveries,
    book_from_tables,
)
from pipelines.simulate.terms import OtherTerms
from pipelines.simulate.unknown import Unknown

__all__ = ["OtherTerms", "Simulation", "simulate"]


@dataclass(frozen=True, slots=True)
class Simulation:
    """What other terms would have done.

    Attributes:
        terms: those that were simulated, in the last run.
        against: ``book``, or ``programme`` where there is no book: the default programme's latest
            terms; ``nothing`` where the terms are those.
        source: what was booked again: ``deliveries`` or ``book``.
        unknown: rows that could not be looked at afresh; with none of them all figures are exact.
        runs: how many runs were booked again.
    """

    terms: Mapping[str, object]
    against: str
    source: str
    comparison: Comparison
    unknown: tuple[Unknown, ...]
    runs: int


def simulate(
    path: str | Path | None,
    *,
    transactions: Sequence[str | Path | DeliveredAs] = (),
    enrollments: Sequence[str | Path | DeliveredAs] = (),
    events: Sequence[str | Path | DeliveredAs] = (),
    other: OtherTerms,
    max_quarantined: float = 0.05,
    progress: Progress = no_progress,
) -> Simulation:
    """Simulates other terms; changes nothing but a folder of its own, which it removes.

    Args:
        path: the book whose runs are booked again, or None for deliveries alone.
        transactions: files, folders or globs of delivered transactions; with a book, all nights'.
        enrollments: delivered enrollments, likewise.
        events: delivered events, likewise.
        other: what is to be other than it was.
        max_quarantined: without a book, the largest share of rows that may not be readable.
        progress: callback that reports progress.

    Raises:
        InputError: the terms or the deliveries cannot be used.
        BookError: there is no book, or it is damaged.
    """
    if path is None and not (transactions or enrollments or events):
        raise InputError(
            "there is nothing to simulate: neither a book nor deliveries were named",
            hint="name a book, or --transactions and --enrollments",
        )
    delivered = {
        "enrollments": find_delivered(enrollments, "enrollments"),
        "events": find_delivered(events, "events"),
        "transactions": find_delivered(transactions, "transactions"),
    }
    try:
        with _folder() as scratch:
            if path is None:
                given = (transactions, enrollments, events)
                return _at_once(given, other, max_quarantined, scratch, progress)
            opened = open_book(path)
            if any(delivered.values()):
                anew = book_from_deliveries(opened, delivered, other, scratch, progress)
                unknown: tuple[Unknown, ...] = ()
            else:
                anew, unknown = book_from_tables(opened, other, scratch, progress)
            comparison = compare(opened, anew.opened)
            return Simulation(
                anew.terms,
                "book",
                "deliveries" if any(delivered.values()) else "book",
                comparison,
                unknown,
                opened.runs,
            )
    except OSError as error:
        raise BookError(
            f"{error.filename or path}: {error.strerror or error}",
            hint="check the permissions, and that TMPDIR has as much room as the book takes",
        ) from error


def _at_once(
    given: tuple[Sequence[str | Path | DeliveredAs], ...],
    other: OtherTerms,
    max_quarantined: float,
    scratch: Path,
    progress: Progress,
) -> Simulation:
    """All deliveries as one night's; compared with what the default programme awards."""

    def booked(terms: OtherTerms, name: str) -> ReplayedBook:
        folder = scratch / name
        transactions, enrollments, events = given
        return book_at_once(
            transactions, enrollments, events, terms, max_quarantined, folder, progress
        )

    anew = before = booked(other, "simulated")
    plain = OtherTerms(services=other.services)
    against = "nothing"
    if anew.terms != at_once(plain)[1]:
        against, before = "programme", booked(plain, "plain")
    comparison = compare(before.opened, anew.opened)
    return Simulation(anew.terms, against, "deliveries", comparison, (), 1)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is removed in the end, also when the process is asked to go."""
    asked_by: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        asked_by.append(number)
        raise SystemExit(128 + number)

    previous = None
    # Not in another thread: the main one alone may say what a signal does.
    with suppress(ValueError):
        previous = signal.signal(signal.SIGTERM, leave)
    try:
        with tempfile.TemporaryDirectory(prefix="mynapoint-simulate-") as scratch:
            yield Path(scratch)
    except BaseException:
        # A library may make an error of its own of what comes over it.
        if asked_by:
            raise SystemExit(128 + asked_by[0]) from None
        raise
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)

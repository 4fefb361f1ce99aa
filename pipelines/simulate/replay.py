"""Booking again, run by run, into a book that is thrown away."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BookError, InputError
from engine.io.book.folder import run_id
from engine.io.book.format import SERVICES_FILE
from engine.io.book.kept import DEFAULT_PROGRAMME
from engine.io.delivered.deliveries import CANONICAL, Delivered, DeliveredAs
from engine.io.run.nightly import run as book_a_night
from engine.io.run.order import Progress
from engine.records import RoleName
from engine.terms.programme import Programme, load_programme
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.simulate.kept import KeptDeliveries
from pipelines.simulate.terms import OtherTerms, announced_on, described
from pipelines.simulate.unknown import Unknown, unknown_rows
from pipelines.verify.kept_runs import KeptRun
from pipelines.verify.origin import (
    as_it_was_read,
    known_by_digest,
    linked_deliveries,
    missing_deliveries,
)


@dataclass(frozen=True, slots=True)
class ReplayedBook:
    """A book of the same runs under other terms.

    Attributes:
        terms: those of the last run, as they are shown.
    """

    opened: OpenedBook
    terms: Mapping[str, object]


class _Replay:
    """Books the runs of a book again under other terms."""

    def __init__(
        self, opened: OpenedBook, other: OtherTerms, scratch: Path, progress: Progress
    ) -> None:
        self.opened, self.other, self.scratch, self.progress = opened, other, scratch, progress
        self.book = scratch / "book"

    def book_run(self, number: int, delivered: Mapping[RoleName, Sequence[DeliveredAs]]) -> None:
        """Books a run again, on the day on which it was booked."""
        kept = self.opened.programme(number)
        programme = self.scratch / "programme.toml"
        programme.write_text(self.other.programme_of(kept).text, encoding="utf-8")
        book_a_night(
            self.book,
            booked_on=self.opened.record(number).booked_on,
            transactions=delivered["transactions"],
            enrollments=delivered["enrollments"],
            events=delivered["events"],
            services=self.services(number),
            programme=programme,
            terms_as_of=self.other.day_of(announced_on(self.opened, number)),
            # It was booked, so all this was within bounds or allowed.
            max_quarantined=1.0,
            allow_backdating=True,
            allow_postdating=True,
            progress=self.progress,
        )

    def services(self, number: int) -> Path:
        """The services file to book a run by."""
        if self.other.services is None:
            return self.opened.book.run_folder(number) / SERVICES_FILE
        path = self.scratch / "services.toml"
        path.write_text(self.other.services.text, encoding="utf-8")
        return path

    def booked(self) -> ReplayedBook:
        last = self.opened.runs
        kept = self.opened.programme(last)
        terms = self.other.terms_of(kept, announced_on(self.opened, last))
        return ReplayedBook(open_book(self.book), described(self.other.programme_of(kept), terms))


def book_at_once(
    transactions: Sequence[str | Path | DeliveredAs],
    enrollments: Sequence[str | Path | DeliveredAs],
    events: Sequence[str | Path | DeliveredAs],
    other: OtherTerms,
    max_quarantined: float,
    scratch: Path,
    progress: Progress,
) -> ReplayedBook:
    """Books deliveries as one night's.

    Raises:
        InputError: the deliveries or the terms cannot be used.
    """
    scratch.mkdir()
    programme, terms = at_once(other)
    files = {"programme.toml": programme.text}
    if other.services is not None:
        files["services.toml"] = other.services.text
    for name, text in files.items():
        (scratch / name).write_text(text, encoding="utf-8")
    book_a_night(
        scratch / "book",
        booked_on=dt.date(2000, 1, 1),
        transactions=transactions,
        enrollments=enrollments,
        events=events,
        services=None if other.services is None else scratch / "services.toml",
        programme=scratch / "programme.toml",
        terms_as_of=other.as_of,
        max_quarantined=max_quarantined,
        progress=progress,
    )
    return ReplayedBook(open_book(scratch / "book"), terms)


def at_once(other: OtherTerms) -> tuple[Programme, Mapping[str, object]]:
    """The programme and the terms of deliveries that no book has.

    Raises:
        InputError: the terms cannot be used.
    """
    kept = load_programme(DEFAULT_PROGRAMME)
    programme = other.programme_of(kept)
    return programme, described(programme, other.terms_of(kept, None))


def book_from_deliveries(
    opened: OpenedBook,
    delivered: Mapping[str, Sequence[Delivered]],
    other: OtherTerms,
    scratch: Path,
    progress: Progress,
) -> ReplayedBook:
    """Books a book's runs again from the very files that were delivered.

    Raises:
        InputError: a run's delivery is not among those given.
    """
    known = known_by_digest(delivered)
    runs = [KeptRun(number, record, frozenset()) for number, record in enumerate(opened.records, 1)]
    for run in runs:
        for what in missing_deliveries(run, known):
            raise InputError(
                f"run {run.id}: {what}",
                hint="give all nights' deliveries, or none: then the book's own tables are used",
            )
    replay = _Replay(opened, other, scratch, progress)
    for run in runs:
        links = linked_deliveries(run, known, scratch / f"deliveries-{run.id}")
        by_role: dict[RoleName, list[DeliveredAs]] = {
            "transactions": [],
            "enrollments": [],
            "events": [],
        }
        for (link, _, role), delivery in zip(links, run.record.inputs, strict=True):
            by_role[role].append(as_it_was_read(opened.book, run, link, delivery))
        replay.book_run(run.number, by_role)
    return replay.booked()


def book_from_tables(
    opened: OpenedBook, other: OtherTerms, scratch: Path, progress: Progress
) -> tuple[ReplayedBook, tuple[Unknown, ...]]:
    """Books a book's runs again from its own ledger and tables.

    Raises:
        InputError: the terms cannot be used.
        BookError: a file of the book is missing or damaged.
    """
    replay = _Replay(opened, other, scratch, progress)
    kept = KeptDeliveries(opened, scratch)
    for number in range(1, opened.runs + 1):
        # Terms that cannot be used are the caller's; the rest comes from the book alone.
        other.terms_of(opened.programme(number), announced_on(opened, number))
        files = kept.of_next_run()
        try:
            replay.book_run(
                number, {role: [DeliveredAs(path, CANONICAL)] for role, path in files.items()}
            )
        except InputError as error:
            raise BookError(
                f"{opened.book.path}: run {run_id(number)} cannot be read again: {error.message}",
                hint="find out with mynapoint verify, and restore the book from a copy",
            ) from error
        for path in files.values():
            path.unlink()
    anew = replay.booked()
    return anew, unknown_rows(opened, anew.opened, other, kept.waited)

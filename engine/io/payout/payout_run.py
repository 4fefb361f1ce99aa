"""A payout run: instructions go out or answers come in, whole or not at all.

The walk: lock the book; bring both tables to their last commits; calculate, range by range; write
and read back; look at the folder that the files are to be copied to; publish; commit; copy.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from engine.errors import BookError, ErrorCode, InputError
from engine.io.book.folder import Book, no_book, run_id
from engine.io.book.format import RECORD_FILE
from engine.io.book.ledger import commit
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.payouts import PAYOUTS, LockedPayouts, settle_tables
from engine.io.book.writing import USUAL_ACCESS, Access, locked
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.durable import write_json
from engine.io.payout.answering import Answers, Others
from engine.io.payout.files import check_free, check_out, copy_files, files_of
from engine.io.payout.form_file import load_written_form
from engine.io.payout.instructing import Prepared, check_day, instruct
from engine.io.payout.known import KnownPayouts
from engine.io.payout.record import now, today
from engine.io.run.arguments import (
    check_counts,
    check_delivered,
    check_names,
    check_paths,
    check_share,
    check_types_of_days,
)
from engine.paths import local_path

MOST_DAYS_AHEAD: Final = 100


@dataclass(frozen=True, slots=True)
class PayoutResult:
    """A payout run.

    Attributes:
        record: its record, as in ``payout_runs/NNNNNN/record.json``.
        booked: whether it is in the book; a trial is not.
        copied_to: the folder that its files are in.
    """

    book: Path
    record: PayoutRecord
    booked: bool
    copied_to: Path | None = None


def payout(
    book: str | Path,
    *,
    due_by: dt.date,
    out: str | Path | None,
    services: Sequence[str] = (),
    layout: str | Path | None = None,
    allow_far: bool = False,
    dry_run: bool = False,
    access: Access = USUAL_ACCESS,
) -> PayoutResult:
    """Instructs what is owed by a day; ``mynapoint payout --due-by``.

    Args:
        book: the book's folder.
        due_by: the day.
        out: where the files are copied to; needed but for a trial.
        services: those that are asked for; none is all.
        layout: how the points system wants the lines written, beside the canonical files.
        allow_far: let the day lie farther ahead than `MOST_DAYS_AHEAD`.
        dry_run: calculate everything, and book nothing.
        access: how the book is taken hold of.

    Raises:
        InputError: the day, a service or the folder cannot be used; nothing was booked.
        BookError: the book is in use or damaged.
    """
    started_at = now()
    check_paths(book=book, out=out, layout=layout)
    check_types_of_days(needed="due_by", due_by=due_by)
    check_names(services=services)
    if out is None and not dry_run:
        raise InputError("out: a folder for the files is needed", hint="pass one, or dry_run=True")
    far = (due_by - today()).days > MOST_DAYS_AHEAD
    if far and not allow_far:
        raise InputError(
            f"--due-by: {due_by} is more than {MOST_DAYS_AHEAD} days ahead",
            hint="check the year; --allow-far takes it all the same",
        )
    form = None if layout is None else load_written_form(layout)
    folder = None if out is None else local_path(out)
    if folder is not None:
        check_out(folder)
    with _locked(book, access) as (at, payouts):
        check_day(at, due_by, services)
        staged = payouts.stage()
        prepared = instruct(at, staged, due_by, services, started_at, far=far, form=form)
        if folder is not None:
            check_free(sorted(staged.glob("payouts-*")), folder)
        if dry_run or folder is None:
            return PayoutResult(at.book.path, prepared.record, booked=False)
        number = at.payout_runs + 1
        payouts.set_being_copied({**payouts.being_copied(), number: str(folder)})
        _publish(at, payouts, prepared)
        _copy(payouts, number, folder)
    return PayoutResult(at.book.path, prepared.record, booked=True, copied_to=folder)


def take_answers(
    book: str | Path,
    *,
    answers: Sequence[str | Path | DeliveredAs] = (),
    others_done: int | None = None,
    answered_on: dt.date | None = None,
    services: Sequence[str] = (),
    max_quarantined: float = 0.05,
    whole_lines: bool = False,
    dry_run: bool = False,
    access: Access = USUAL_ACCESS,
) -> PayoutResult:
    """Takes in what the points systems answered; ``mynapoint payout --answers``.

    Args:
        book: the book's folder.
        answers: files, folders or globs of delivered answers.
        others_done: take all lines of this payout run that have no answer as done.
        answered_on: on that day.
        services: whose lines are taken so, beside those that the answers speak of.
        max_quarantined: the largest share of rows, 0 to 1, that may go to quarantine.
        whole_lines: refuse a file whose last record has no line end; else it is read, and said.
        dry_run: decide everything, and book nothing.
        access: how the book is taken hold of.

    Raises:
        InputError: the answers or the call cannot be used; nothing was booked.
        BookError: the book is in use or damaged.
    """
    started_at = now()
    check_share("--max-quarantined", max_quarantined)
    check_paths(book=book)
    check_delivered(answers=answers)
    check_names(services=services)
    check_types_of_days(answered_on=answered_on)
    check_counts(others_done=others_done)
    if (others_done is None) != (answered_on is None):
        raise InputError(
            "others_done, answered_on: the two belong together",
            hint="pass both: others_done=1, answered_on=datetime.date(2021, 11, 2)",
        )
    if answered_on is not None and answered_on > today():
        raise InputError(
            f"--answered-on: {answered_on} lies ahead", hint="give the day of the answer"
        )
    found = find_delivered(answers, "answers")
    with _locked(book, access) as (at, payouts):
        staged = payouts.stage()
        work = Answers(at, staged, found, max_quarantined, whole_lines=whole_lines)
        remaining = None
        if others_done is not None and answered_on is not None:
            if not 1 <= others_done <= at.payout_runs:
                raise InputError(
                    f"--others-done: there is no payout run {run_id(others_done)}",
                    hint=f"the last one is {run_id(at.payout_runs)}",
                )
            remaining = Others(others_done, answered_on, tuple(services))
        prepared = work.do(remaining, started_at)
        if dry_run:
            return PayoutResult(at.book.path, prepared.record, booked=False)
        _publish(at, payouts, prepared)
    return PayoutResult(at.book.path, prepared.record, booked=True)


def copy_again(
    book: str | Path, number: int, out: Path, access: Access = USUAL_ACCESS
) -> list[Path]:
    """Copies the files of an earlier payout run once more; gives where they are.

    Raises:
        InputError: there is no such payout run, or the folder holds other files of these names.
        BookError: the book is in use or damaged.
    """
    out = local_path(out)
    check_out(out)
    with _locked(book, access) as (at, payouts):
        if not 1 <= number <= at.payout_runs:
            raise InputError(
                f"--again: there is no payout run {run_id(number)}",
                hint=f"the last one is {run_id(at.payout_runs)}",
            )
        files = files_of(payouts, number)
        if not files:
            raise InputError(
                f"--again: payout run {run_id(number)} took in answers and wrote no files",
                hint="name one that was made with --due-by",
            )
        check_free(files, out)
        _copy(payouts, number, out)
    return [out / file.name for file in files]


@contextmanager
def _locked(book: str | Path, access: Access) -> Iterator[tuple[KnownPayouts, LockedPayouts]]:
    """The book, locked, at its last commits; what a payout run leaves half done is cleared."""
    place = Book.at(book)
    place.check_readable()
    is_done = False
    try:
        with locked(place, access) as held:
            runs, payout_runs = settle_tables(held)
            if runs == 0:
                raise no_book(place)
            payouts = held.table(LockedPayouts)
            payouts.forget_copies_after(payout_runs)
            try:
                yield KnownPayouts(place, runs, payout_runs), payouts
                is_done = True
            finally:
                # What cannot be cleared now is cleared by the next run.
                with suppress(OSError):
                    payouts.clear_up()
    except OSError as error:
        if is_done:
            # The lock could not be given back, which the system does.
            return
        raise BookError(
            f"{error.filename or place.path}: {error.strerror or error}",
            hint="check the disk and the folder's permissions; nothing was booked",
            code="disk",
        ) from error


class CopyError(BookError):
    """A payout run is in the book, and its files were not all copied."""

    usual_code: ClassVar[ErrorCode] = "copy_incomplete"


def _publish(at: KnownPayouts, payouts: LockedPayouts, prepared: Prepared) -> None:
    number = at.payout_runs + 1
    record_sha256 = write_json(payouts.staging / "run" / RECORD_FILE, prepared.record.to_json())
    payouts.publish(number)
    commit(payouts, number, prepared.parts, record_sha256=record_sha256, form=PAYOUTS)


def _copy(payouts: LockedPayouts, number: int, out: Path) -> None:
    try:
        copy_files(files_of(payouts, number), out)
        left = {key: folder for key, folder in payouts.being_copied().items() if key != number}
        payouts.set_being_copied(left)
    except OSError as error:
        raise CopyError(
            f"{error.filename or out}: {error.strerror or error}; payout run {run_id(number)} is "
            "booked, but its files were not all copied",
            hint=f"mynapoint payout BOOK --again {run_id(number)} --out DIR copies them",
        ) from error

"""Instructions on their way out: calculated range by range, staged as table and as files."""

import datetime as dt
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.folder import part_name, run_id
from engine.io.book.format import layout_file
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.payouts import PayoutBook, PayoutPart, write_payouts
from engine.io.book.run_record import Output
from engine.io.durable import write_text
from engine.io.payout.calculation import DayCalculation
from engine.io.payout.files import ServiceFile, file_stem, write_list
from engine.io.payout.form_file import write_in_form
from engine.io.payout.known import KnownPayouts
from engine.io.payout.record import PayoutOrder, record_of
from engine.payouts.entry import DIRECTIONS
from engine.payouts.lines import as_file, instructed
from engine.payouts.written_form import WrittenForm

_LOG: Final = logging.getLogger(__name__)
FAR: Final = "far"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A payout run whose files are staged."""

    parts: list[PayoutPart]
    record: PayoutRecord


def check_day(at: KnownPayouts, due_by: dt.date, services: Sequence[str]) -> None:
    """Refuses a service that is not there, and a day before the last that was asked for it.

    Raises:
        InputError: naming it.
    """
    for service in services:
        if service not in at.services.by_id:
            raise InputError(
                f"--service: {service}: the book's registry has no such service",
                hint=f"there are {', '.join(sorted(at.services.by_id))}",
            )
    last = at.last_asked_for()
    for service in services or last:
        day = last.get(service)
        if day is not None and due_by < day:
            raise InputError(
                f"--due-by: {due_by} is before {day}, the day last asked for of {service}",
                hint=f"ask for {day} or a later day",
            )


def instruct(
    at: KnownPayouts,
    staged: Path,
    due_by: dt.date,
    services: Sequence[str],
    started_at: dt.datetime,
    *,
    far: bool,
    form: WrittenForm | None = None,
) -> Prepared:
    """Calculates what is owed, and stages the payout run that instructs it.

    With a form, each service's lines are written in it, too.

    Raises:
        InputError: a value cannot be written in the form.
        BookError: a file of the book is damaged, or the disk gives back something else.
    """
    number = at.payout_runs + 1
    asked = sorted(set(services)) or None
    calculation = DayCalculation(at, due_by, at.book.staging / "work")
    parts: list[PayoutPart] = []
    files: dict[str, ServiceFile] = {}
    with ExitStack() as open_files:

        def file_of(service: str) -> ServiceFile:
            if service not in files:
                file = ServiceFile(staged, file_stem(number, service))
                files[service] = open_files.enter_context(file)
            return files[service]

        for lines in calculation.lines(asked):
            rows = instructed(lines, run_id(number), due_by)
            name = part_name(number, len(parts))
            parts.append(write_payouts(rows, at.book.staging / "ledger", name))
            for (service,), of_service in rows.partition_by(
                "service_id", as_dict=True, maintain_order=True
            ).items():
                file_of(str(service)).write(as_file(of_service))
        for service in sorted(calculation.with_entries if asked is None else asked):
            if service in calculation.with_entries:
                file_of(service)
    _warn_of_misdirected(calculation, at.book.path)
    written = [files[service] for service in sorted(files)]
    folder = f"{PayoutBook.RECORDS}/{run_id(number)}"
    forms = []
    if form is not None:
        for service, file in files.items():
            write_in_form(file, form, service, run_id(number), due_by)
        name = layout_file(form.layout_id)
        sha256 = write_text(staged / name, form.text)
        forms.append(Output(f"{folder}/{name}", len(form.text.encode()), sha256))
    counts = {name: sum(file.lines[name] for file in written) for name in DIRECTIONS}
    if sum(counts.values()) != sum(part.rows for part in parts):
        raise BookError(
            "the control totals do not agree: the files have other lines than the table",
            hint="this is a fault of the engine: nothing was booked; report it",
        )
    record = record_of(
        at,
        started_at,
        PayoutOrder(
            due_by,
            tuple(asked or sorted({*at.services.by_id, *calculation.services})),
            allowed=(FAR,) if far else (),
        ),
        counts=counts,
        points={name: sum(file.points[name] for file in written) for name in DIRECTIONS},
        outputs=[
            *(part.output() for part in parts),
            *(output for file in written for output in file.outputs(folder)),
            *forms,
            write_list(staged, number, due_by.isoformat(), written),
        ],
    )
    return Prepared(parts, record)


def _warn_of_misdirected(calculation: DayCalculation, book: Path) -> None:
    """Names points on their way to numbers that are no longer their account's."""
    if not calculation.misdirected:
        return
    sums = pl.concat(calculation.misdirected).group_by("service_id").sum().sort("service_id")
    for service, lines, points in sums.iter_rows():
        _LOG.warning(
            "%s: %s: %d points (payouts: %d) are on their way to numbers that are no longer their "
            "account's; stop them at the points system while they can be stopped",
            book,
            service,
            points,
            lines,
        )

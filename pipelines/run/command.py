"""The command's body: read the options, book the deliveries, print what became of them."""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from engine.errors import InputError
from engine.io.delivered.deliveries import DeliveredAs
from engine.io.run.delivery_note import DeliveryNote
from engine.io.run.nightly import run as book_a_night
from engine.io.users import command_line
from pipelines.desk.engines import engine_of
from pipelines.desk.ordered_options import deliveries_in_order
from pipelines.run.observed import Watchers, observed
from pipelines.shown.errors import output_may_fail
from pipelines.shown.progress import progress_bar
from pipelines.shown.summary import print_record, print_summary, print_warnings
from pipelines.shown.texts import Lang


@dataclass(frozen=True, slots=True)
class NightDeliveries:
    """What a night has: the deliveries by role, and their delivery notes."""

    transactions: Sequence[str | DeliveredAs]
    enrollments: Sequence[str | DeliveredAs]
    events: Sequence[str | DeliveredAs]
    manifests: Sequence[Path | DeliveryNote]


def in_their_layouts(
    delivered: NightDeliveries,
    layouts: Sequence[str],
    settings: Sequence[str],
    arguments: Sequence[str],
) -> NightDeliveries:
    """What a command line names, each with the layout and parameters ahead of it.

    Raises:
        InputError: as ``deliveries_in_order``.
    """
    if not (layouts or settings):
        return delivered
    named = {
        "transactions": delivered.transactions,
        "enrollments": delivered.enrollments,
        "events": delivered.events,
    }
    by_role = deliveries_in_order(
        arguments, {role: [str(path) for path in paths] for role, paths in named.items()}
    )
    return NightDeliveries(
        by_role["transactions"], by_role["enrollments"], by_role["events"], delivered.manifests
    )


class RunOptions(TypedDict, total=False):
    """Options that a run takes as they are: those of ``engine.io.run.nightly.run``."""

    services: Path | None
    programme: str | None
    terms_as_of: dt.date | None
    max_quarantined: float
    quarantined_rows_allowed: int
    rejects: Path | None
    gates: Path | None
    allowed_gates: Sequence[str]
    nothing_delivered: bool
    existing: bool
    expected_run: int | None
    wait_seconds: float
    any_owner: bool
    allow_backdating: bool
    allow_postdating: bool
    whole_lines: bool
    threads: int | None
    memory_mib: int | None
    dry_run: bool
    out: Path | None


def book_deliveries(
    book: Path,
    *,
    booked_on: dt.date,
    find_delivered: Callable[[], NightDeliveries],
    watchers: Watchers,
    quiet: bool,
    as_json: bool,
    lang: Lang,
    engine: Literal["one-machine", "spark"] = "one-machine",
    master: str | None = None,
    conf: Sequence[str] = (),
    **options: Unpack[RunOptions],
) -> int:
    """Books one night's deliveries.

    ``find_delivered`` is called with the attempt under way, so that the watchers hear of what
    cannot be found, too.

    Raises:
        InputError: something delivered, or an option, cannot be used; nothing was booked.
        BookError: the book is in use or damaged.
    """
    dry_run = options.get("dry_run", False)
    if dry_run and engine == "spark":
        raise InputError(
            "--dry-run: is calculated on one machine, and gives the same there",
            hint="leave --engine out",
            code="wrong_usage",
        )
    with (
        engine_of(engine, master, conf) as how,
        progress_bar(lang, wanted=not quiet) as shown,
        observed(book, booked_on, command_line(), watchers, shown, dry_run=dry_run) as attempt,
    ):
        delivered = find_delivered()
        attempt.result = result = book_a_night(
            book,
            booked_on=booked_on,
            transactions=delivered.transactions,
            enrollments=delivered.enrollments,
            events=delivered.events,
            manifests=delivered.manifests,
            progress=attempt.progress,
            how=how,
            **options,
        )
    with output_may_fail():
        print_warnings(result, lang)
        if as_json:
            print_record(result)
        elif not quiet:
            print_summary(result, lang, options.get("out"))
    return 0

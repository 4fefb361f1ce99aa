"""The command's body: which terms and deliveries are meant, simulate, print."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError
from pipelines.desk.ordered_options import deliveries_in_order
from pipelines.shown.errors import output_may_fail
from pipelines.shown.progress import progress_bar
from pipelines.shown.texts import Lang, Texts
from pipelines.simulate import OtherTerms, simulate
from pipelines.simulate.output import print_json, print_simulation


def simulate_other_terms(
    book: Path | None,
    *,
    transactions: Sequence[str],
    enrollments: Sequence[str],
    events: Sequence[str],
    layouts: Sequence[str],
    settings: Sequence[str],
    services: Path | None,
    programme: str | None,
    rate: str | None,
    cap: str | None,
    terms_as_of: dt.date | None,
    max_quarantined: float,
    quiet: bool,
    as_json: bool,
    lang: Lang,
    arguments: Sequence[str],
) -> int:
    """Says what the deliveries of a book, or of one night, would have earned under other terms.

    Raises:
        InputError: no other terms were named, or something named cannot be used.
        BookError: there is no book, or a file of it is damaged.
    """
    other = OtherTerms.parsed(
        programme=programme, rate=rate, cap=cap, as_of=terms_as_of, services=services
    )
    if book is not None and not other.changes_something:
        raise InputError(
            "no other terms were named",
            hint="name at least one of --rate, --cap, --terms-as-of, --programme and --services",
        )
    if book is not None and (layouts or settings):
        raise InputError(
            f"{book}: a book says itself how its deliveries are written, not --layout or --set",
            hint="leave them out",
        )
    parsed = {"transactions": transactions, "enrollments": enrollments, "events": events}
    deliveries = deliveries_in_order(arguments, parsed) if layouts or settings else parsed
    with progress_bar(wanted=not quiet) as progress:
        simulation = simulate(
            book,
            transactions=deliveries["transactions"],
            enrollments=deliveries["enrollments"],
            events=deliveries["events"],
            other=other,
            max_quarantined=max_quarantined,
            progress=progress,
        )
    with output_may_fail():
        if as_json:
            print_json(simulation)
        else:
            print_simulation(simulation, book, Texts("simulate", lang))
    return 0

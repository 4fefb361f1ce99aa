"""The command's body: look at every file, print what was found; exit 1 when there is something."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from pipelines.check.checked import check_night
from pipelines.check.output import check_value, print_check
from pipelines.desk.ordered_options import deliveries_in_order
from pipelines.shown.errors import output_may_fail
from pipelines.shown.terminal import print_json
from pipelines.shown.texts import Lang, Texts


def check_files(
    book: Path,
    *,
    lang: Lang,
    transactions: Sequence[str] = (),
    enrollments: Sequence[str] = (),
    events: Sequence[str] = (),
    layouts: Sequence[str] = (),
    settings: Sequence[str] = (),
    booked_on: dt.date | None = None,
    services: Path | None = None,
    programme: str | None = None,
    terms_as_of: dt.date | None = None,
    as_json: bool = False,
    arguments: Sequence[str] = (),
) -> int:
    """Looks at a night's files without booking them.

    Raises:
        InputError: an option cannot be used.
        BookError: the book is damaged.
    """
    parsed = {"transactions": transactions, "enrollments": enrollments, "events": events}
    delivered = deliveries_in_order(arguments, parsed) if layouts or settings else parsed
    night = check_night(
        book,
        {
            "transactions": delivered["transactions"],
            "enrollments": delivered["enrollments"],
            "events": delivered["events"],
        },
        booked_on=booked_on,
        services=services,
        programme=programme,
        terms_as_of=terms_as_of,
    )
    with output_may_fail():
        if as_json:
            print_json(check_value(night))
        else:
            print_check(night, Texts("check", lang))
    return 1 if night.has_findings else 0

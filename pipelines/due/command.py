"""The command's body: calculate the bridge, print it."""

import datetime as dt
from pathlib import Path
from typing import Literal

from pipelines.due.forecast import forecast
from pipelines.due.output import print_due, print_json_due
from pipelines.shown.errors import output_may_fail
from pipelines.shown.texts import Lang, Texts


def due(
    book: Path,
    *,
    on: dt.date,
    lang: Lang,
    by: Literal["service", "day"] = "service",
    overdue_days: int = 60,
    as_json: bool = False,
) -> int:
    """Says what is due on a day, what comes due when, and what became of the rest.

    Raises:
        InputError: there is no book.
        BookError: a file of it is damaged.
    """
    figures = forecast(book, on, by_day=by == "day", overdue_days=overdue_days)
    with output_may_fail():
        if as_json:
            print_json_due(figures)
        else:
            print_due(figures, Texts("due", lang))
    return 0

"""Months of booking, as people name them: YYYY-MM."""

import re
from typing import Final

from engine.errors import InputError
from pipelines.desk.opened_book import OpenedBook

MONTH_PATTERN: Final = "[0-9]{4}-(0[1-9]|1[0-2])"


def months_of(opened: OpenedBook) -> list[str]:
    """The months in which the book's runs were booked."""
    return sorted({record.month for record in opened.records})


def checked_month(opened: OpenedBook, month: str) -> str:
    """A month in which the book has a run.

    Raises:
        InputError: it is not a month, or no run was booked in it.
    """
    months = months_of(opened)
    if not re.fullmatch(MONTH_PATTERN, month):
        raise InputError(
            f'--month: expected YYYY-MM, got "{month}"',
            hint="write the month of booking as YYYY-MM",
        )
    if month not in months:
        raise InputError(
            f"--month: no run was booked in {month}",
            hint=f"the book's runs were booked from {months[0]} to {months[-1]}",
        )
    return month

"""The filters of an address: the same on all pages, each page uses those that it has rows for."""

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Final
from urllib.parse import urlencode

from engine.errors import InputError
from pipelines.desk.months import MONTH_PATTERN
from pipelines.desk.opened_book import OpenedBook

_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class Filters:
    """What an address asks for; None is all.

    Attributes:
        run: six digits or more, as the ledger writes it.
        month: of booking, ``YYYY-MM``.
        kind: of an entry or a declined transaction.
        reason: of a declined transaction.
        fault: of a quarantined row.
        outcome: of an application or a correction.
        paid: the month of an entry's payment, ``YYYY-MM``.
        on: the day of the bridge from award to grant, ``YYYY-MM-DD``.
        since: the run after which changes are wanted, as ``run``.
        pattern: of a remark.
        lang: the language of the pages, where it is not the command's.
    """

    service: str | None = None
    run: str | None = None
    month: str | None = None
    kind: str | None = None
    reason: str | None = None
    fault: str | None = None
    outcome: str | None = None
    paid: str | None = None
    on: str | None = None
    since: str | None = None
    pattern: str | None = None
    lang: str | None = None

    def given(self) -> dict[str, str]:
        """The filters that are set, the language included."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def with_(self, **changed: str | None) -> "Filters":
        """The same filters with some changed."""
        return replace(self, **changed)

    def address(self, page: str, **more: str | None) -> str:
        """The address of a page with these filters, relative to any other page."""
        values = self.given() | {name: value for name, value in more.items() if value is not None}
        return f"{page}?{urlencode(values)}" if values else page


def parse(query: Mapping[str, str], opened: OpenedBook) -> Filters:
    """The filters that an address asks for; an empty one is none.

    Raises:
        InputError: the book has no such run, or a month or a day is not one.
    """
    values = {field.name: query.get(field.name) or None for field in fields(Filters)}
    filters = Filters(**values)
    filters = replace(
        filters, run=_run(filters.run, "run", opened), since=_run(filters.since, "since", opened)
    )
    if filters.paid is not None and not re.fullmatch(MONTH_PATTERN, filters.paid):
        raise InputError("paid: not a month", hint="write it as YYYY-MM")
    if filters.on is not None:
        try:
            filters = replace(filters, on=dt.date.fromisoformat(filters.on).isoformat())
        except ValueError as error:
            raise InputError("on: not a day", hint="write it as YYYY-MM-DD") from error
    if filters.lang not in (None, "ja", "en"):
        filters = replace(filters, lang=None)
    return filters


def _run(text: str | None, name: str, opened: OpenedBook) -> str | None:
    if text is None:
        return None
    digits = text.lstrip("0")
    if not digits.isascii() or not digits.isdigit() or int(digits) > opened.runs:
        raise InputError(
            f"{name}: the book has no such run", hint=f"its runs are 1 to {opened.runs}"
        )
    return digits.zfill(_DIGITS)


def runs_in(opened: OpenedBook, filters: Filters) -> set[str]:
    """The runs that the filters leave."""
    return {
        record.run_id
        for record in opened.records
        if filters.run in (None, record.run_id) and filters.month in (None, record.month)
    }

"""The payouts of a book in SQL: what is owed at a moment, by other code than the payout run's.

The schedules are read from the registry as its file has them. Whose an account is comes as the
engine reads events, as for the ledger; whose a replaced number is, SQL finds out.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

import polars as pl

from engine.payouts.accounts import ENROLLED, Account, Accounts
from pipelines.desk.database import Database

TERMS: Final = (
    *("awarded", "granted", "taken_back", "unanswered", "due", "withheld", "not_yet_due"),
    *("lapsed", "debt"),
)
Bridge = dict[str, dict[str, int]]
"""By service, the terms of the bridge in points."""

_ASKED: Final = {
    "payout_run": "BIGINT",
    "run": "BIGINT",
    "on_day": "DATE",
    "until": "TIMESTAMP",
    "window_last": "DATE",
}
_SCHEDULES: Final = {
    "service_id": "VARCHAR",
    "due": "VARCHAR",
    "days": "BIGINT",
    "months": "BIGINT",
    "day": "BIGINT",
    "cut_day": "BIGINT",
    "yen": "BIGINT",
    "rest_on": "DATE",
    "take_back_from": "DATE",
    "last_payout_on": "DATE",
    "awards_close_on": "DATE",
}
_CODES: Final = {"service_id": "VARCHAR", "code": "VARCHAR"}
_ACCOUNTS: Final = {"service_id": "VARCHAR", "account_id": "VARCHAR"}
_REPLACEMENTS: Final = {
    "place": "BIGINT",
    "service_id": "VARCHAR",
    "other_id": "VARCHAR",
    "effective_at": "TIMESTAMP",
}
_REPLACED: Final = {"service_id": "VARCHAR", "number": "VARCHAR", "account_id": "VARCHAR"}
_DAY: Final = dt.timedelta(days=1)
_END_OF_MONTH: Final = 31


@dataclass(frozen=True, slots=True)
class Moment:
    """What a payout run knew, and what it was asked.

    Attributes:
        payout_run: its number; those before it are known.
        run: the last run that it knew.
        on: the day that was asked about.
        last_booked_on, window_last: that run's day, and the last day of its terms' window.
        services: the tables of its registry.
        accounts: whose the accounts were.
    """

    payout_run: int
    run: int
    on: dt.date
    last_booked_on: dt.date
    window_last: dt.date
    services: Sequence[Mapping[str, Any]]
    accounts: Accounts

    @property
    def until(self) -> dt.datetime:
        """The first instant that is not looked at."""
        last_day = min(max(self.on, self.last_booked_on), dt.date.max - _DAY)
        return dt.datetime.combine(last_day + _DAY, dt.time())


class PayoutTables:
    """The payouts of a book in a database, which has what ``payouts.sql`` is given."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loaded: Accounts | None = None
        self._script("payouts.sql")

    def calculate(self, moment: Moment, services: Sequence[str] | None) -> None:
        """Makes what ``owed.sql`` makes: what is owed at the services asked for; None is all."""
        self._as_of(moment)
        self._table("stopped", _ACCOUNTS, sorted(moment.accounts.stopped(moment.until)))
        if services is None:
            self._database.rows(
                "CREATE OR REPLACE TABLE asked_for AS "
                "SELECT service_id FROM schedule UNION SELECT service_id FROM entry "
                "UNION SELECT service_id FROM payout_row"
            )
        else:
            self._table("asked_for", {"service_id": "VARCHAR"}, [(name,) for name in services])
        self._script("owed.sql")

    def hold_answers(self, moment: Moment) -> None:
        """Makes what ``answered.sql`` makes: a payout run's answers against what was before."""
        self._as_of(moment)
        self._script("answered.sql")

    def bridge(self) -> Bridge:
        """The bridge at the moment that was calculated."""
        return {
            service: dict(zip(TERMS, terms, strict=True))
            for service, *terms in self._database.rows("SELECT * FROM bridge")
        }

    def _as_of(self, moment: Moment) -> None:
        asked = (moment.payout_run, moment.run, moment.on, moment.until, moment.window_last)
        self._table("asked", _ASKED, [asked])
        if self._loaded is not moment.accounts:
            self._load(moment)
            self._loaded = moment.accounts
        self._script("lines.sql")

    def _load(self, moment: Moment) -> None:
        self._table("schedule", _SCHEDULES, [_schedule(service) for service in moment.services])
        codes = [
            (service["service_id"], code)
            for service in moment.services
            for code in service.get("payout", {}).get("hold_codes", [])
        ]
        self._table("hold_code", _CODES, codes)
        accounts = moment.accounts
        self._database.given("given_enrolled", accounts.enrolled.select(list(ENROLLED)).to_arrow())
        self._database.rows("CREATE OR REPLACE TABLE enrolled AS SELECT * FROM given_enrolled")
        # The rows that were given are let go of.
        self._database.given("given_enrolled", pl.DataFrame(schema=ENROLLED).to_arrow())
        self._table(
            "replacement",
            _REPLACEMENTS,
            [
                (place, replacement.service_id, replacement.other_id, replacement.effective_at)
                for place, replacement in enumerate(accounts.replacements)
            ],
        )
        self._table("replaced", _REPLACED, list(_replaced(accounts)))

    def _table(self, name: str, columns: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> None:
        self._database.rows(f'DROP TABLE IF EXISTS "{name}"')
        self._database.table(name, columns, rows)

    def _script(self, name: str) -> None:
        self._database.script(files("pipelines.verify").joinpath(name).read_text("utf-8"))


def _schedule(service: Mapping[str, Any]) -> tuple[Any, ...]:
    """A service's schedule as the registry's file has it."""
    payout = service.get("payout", {"when": "at_once"})
    day = payout.get("day")
    return (
        service["service_id"],
        payout["when"],
        payout.get("days"),
        payout.get("months"),
        _END_OF_MONTH if day == "last" else day,
        payout.get("cut_day", 0),
        payout.get("yen"),
        payout.get("rest_on"),
        payout.get("take_back_from"),
        payout.get("last_payout_on"),
        service.get("awards_close_on"),
    )


def _replaced(accounts: Accounts) -> Iterator[tuple[str, str, str]]:
    """By replacing number, the one that it replaced; of several, that of the first enrollment."""
    before: dict[Account, list[Account]] = {}
    for replacement in accounts.replacements:
        number = replacement.service_id, replacement.other_id
        before.setdefault(number, []).append((replacement.service_id, replacement.account_id))
    for (service_id, number_id), replaced in before.items():
        first = replaced[0] if len(replaced) == 1 else accounts.accepted_first(replaced)
        yield service_id, number_id, first[1]

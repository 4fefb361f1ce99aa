"""When a service's points are granted, and what else its points system needs to be told.

The table `payout` of a service; without it, points are due at once:

| key | of | meaning |
|---|---|---|
| `when` | | `at_once`, `days_after`, `month_day` or `on_reaching` |
| `days` | `days_after` | days after the transaction's day, 0 to 1,000 |
| `months` | `month_day`, `on_reaching` | months after the month that counts, 0 to 24 |
| `day` | `month_day`, `on_reaching` | day of that month, 1 to 31 or `"last"`; clipped to its end |
| `cut_day` | `month_day`, optional | a transaction up to this day, 1 to 27, is one of the month \
before |
| `yen` | `on_reaching` | the account's spending from which on points are due |
| `rest_on` | `on_reaching` | the day on which everything else is due |
| `take_back_from` | any, optional | from this day on debts are taken back |
| `last_payout_on` | any, optional | the last day of payouts |
| `hold_codes` | any, optional | codes of answers after which nothing is paid to that number |
| `ignore_codes` | any, optional | codes of answers to a repeated request, which say nothing new |
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal, get_args

from engine.terms.strict_toml import StrictTable

When = Literal["at_once", "days_after", "month_day", "on_reaching"]
WHENS: Final[tuple[When, ...]] = get_args(When)
LAST_DAY: Final = 31
MAX_DAYS_AFTER: Final = 1_000
MAX_MONTHS_AFTER: Final = 24
MAX_CUT_DAY: Final = 27
MAX_REACHING_YEN: Final = 1_000_000_000

_KEYS_OF: Final[dict[When, tuple[str, ...]]] = {
    "at_once": (),
    "days_after": ("days",),
    "month_day": ("months", "day", "cut_day"),
    "on_reaching": ("yen", "months", "day", "rest_on"),
}
_FURTHER_KEYS: Final = ("take_back_from", "last_payout_on", "hold_codes", "ignore_codes")
PAYOUT_KEYS: Final = (
    "when",
    *dict.fromkeys(key for keys in _KEYS_OF.values() for key in keys),
    *_FURTHER_KEYS,
)


@dataclass(frozen=True, slots=True)
class Payout:
    """When a service grants points; all days are Japan Standard Time.

    Attributes:
        when: which of the four schedules.
        days: days after the transaction's day.
        months: months after the month that counts.
        day: day of that month; 31 also stands for its last day.
        cut_day: up to this day of a month a transaction counts as of the month before; 0 for none.
        yen: the spending from which on points are due.
        rest_on: when the rest is due.
        take_back_from: the first day on which debts are taken back; None leaves it to the terms.
        last_payout_on: the last day of payouts.
        hold_codes: codes of answers that hold further payouts to the same number.
        ignore_codes: codes of answers to a request that had been made before.
    """

    when: When = "at_once"
    days: int = 0
    months: int = 0
    day: int = LAST_DAY
    cut_day: int = 0
    yen: int = 0
    rest_on: dt.date | None = None
    take_back_from: dt.date | None = None
    last_payout_on: dt.date | None = None
    hold_codes: tuple[str, ...] = ()
    ignore_codes: tuple[str, ...] = ()


AT_ONCE: Final = Payout()


def payout_of(table: StrictTable | None) -> Payout:
    """The schedule that a service's table `payout` describes; without one, `at_once`.

    Raises:
        InputError: a key is unknown, missing, of another schedule, or out of bounds.
    """
    if table is None:
        return AT_ONCE
    when = table.word("when", WHENS)
    needed = _KEYS_OF[when]
    for key in table.keys():  # noqa: SIM118 - a table is not a dict
        if key not in ("when", *needed, *_FURTHER_KEYS):
            raise table.fault(
                key,
                f'is not used when = "{when}"',
                f"leave it out; the keys of {when} are {', '.join((*needed, *_FURTHER_KEYS))}",
            )
    by_month = "months" in needed
    hold_codes, ignore_codes = table.texts("hold_codes"), table.texts("ignore_codes")
    for code in hold_codes:
        if code in ignore_codes:
            raise table.fault(
                "ignore_codes", f'"{code}" is among hold_codes, too', "a code does one of the two"
            )
    return Payout(
        when=when,
        days=table.integer("days", 0, MAX_DAYS_AFTER) if "days" in needed else 0,
        months=table.integer("months", 0, MAX_MONTHS_AFTER) if by_month else 0,
        day=_day(table) if by_month else LAST_DAY,
        cut_day=table.integer("cut_day", 1, MAX_CUT_DAY) if table.has("cut_day") else 0,
        yen=table.integer("yen", 1, MAX_REACHING_YEN) if "yen" in needed else 0,
        rest_on=table.day("rest_on") if "rest_on" in needed else None,
        take_back_from=table.optional_day("take_back_from"),
        last_payout_on=table.optional_day("last_payout_on"),
        hold_codes=hold_codes,
        ignore_codes=ignore_codes,
    )


def _day(table: StrictTable) -> int:
    if table.is_text("day"):
        table.word("day", ("last",))
        return LAST_DAY
    return table.integer("day", 1, LAST_DAY)

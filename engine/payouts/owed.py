"""What each account is owed on a day, and what became of what was instructed before."""

import datetime as dt
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from engine.payouts.accounts import Accounts, few_accounts
from engine.payouts.schedule import KEY, due_on, with_day
from engine.terms.payout import AT_ONCE
from engine.terms.services import Service, Services

TAKE_BACK_AFTER_WINDOW = dt.timedelta(days=61)
DAY = dt.timedelta(days=1)
SUMS = ("granted", "taken_back", "open_pay", "open_take_back")


@dataclass(frozen=True)
class FiguresRequest:
    """What is asked: the figures of a day, by all that a book knows.

    Attributes:
        on: the day, whether it has passed or lies ahead.
        last_booked_on: when the last run was booked.
        window_last: the last day of the terms' window.
        services: the registry in force, with its schedules.
        accounts: whose the accounts are now.
    """

    on: dt.date
    last_booked_on: dt.date
    window_last: dt.date
    services: Services
    accounts: Accounts

    @property
    def until(self) -> dt.datetime:
        """The first instant that is not looked at: what is known by then counts."""
        day = max(self.on, self.last_booked_on)
        return dt.datetime.combine(day, dt.time()) + DAY

    def service(self, service_id: str) -> Service:
        """A service; one that the registry no longer has pays at once."""
        known = self.services.by_id.get(service_id)
        return known or Service(service_id, service_id, "purchase", payout=AT_ONCE)

    def is_closed(self, service_id: str) -> bool:
        """Whether the service's last payout has passed."""
        last = self.service(service_id).payout.last_payout_on
        return last is not None and self.on > last

    def takes_back(self, service_id: str) -> bool:
        """Whether debts at the service are taken back from whomever has one."""
        service = self.service(service_id)
        first = service.payout.take_back_from or self.window_last + TAKE_BACK_AFTER_WINDOW
        closed_on = service.awards_close_on
        return self.on >= first or (closed_on is not None and self.on > closed_on)

    @cached_property
    def few(self) -> pl.DataFrame:
        """The accounts that have a newer number than their own, `newest`, or are `stopped`."""
        newest, stopped = self.accounts.newest(self.until), self.accounts.stopped(self.until)
        keys = sorted({*newest, *stopped})
        return few_accounts(keys).with_columns(
            newest=pl.Series([newest.get(key) for key in keys], dtype=pl.String),
            stopped=pl.Series([key in stopped for key in keys], dtype=pl.Boolean),
        )


def with_account(entries: pl.DataFrame) -> pl.DataFrame:
    """Ledger entries by the account of the enrollment that they were booked for."""
    return entries.with_columns(account_id=pl.coalesce("enrolled_account_id", "account_id"))


def dated(entries: pl.DataFrame, asked: FiguresRequest) -> pl.DataFrame:
    """Ledger entries, by account, with `day` and `due_on`."""
    by_service = with_day(entries).partition_by("service_id", as_dict=True)
    return pl.concat(
        [
            rows.with_columns(due_on(asked.service(str(service)).payout, asked.on, rows))
            for (service,), rows in by_service.items()
        ]
        or [with_day(entries).with_columns(due_on=pl.lit(None, pl.Date))]
    )


def figures(
    entries: pl.DataFrame, lines: pl.DataFrame, enrolled: pl.DataFrame, asked: FiguresRequest
) -> pl.DataFrame:
    """What each account is owed: one row for each that has an entry or a line, sorted.

    Args:
        entries: all ledger entries of some accounts, as `dated` gives them.
        lines: all lines of these accounts, as `lines_of` gives them.
        enrolled: whose these accounts are, rows of `Accounts.enrolled`, and maybe others'.
        asked: the day and what is known.
    """
    is_due = pl.col("due_on") <= asked.on
    awarded = (
        entries.lazy()
        .group_by(KEY)
        .agg(
            awarded=pl.col("points").sum(),
            due=pl.col("points").filter(is_due).sum(),
            due_on=pl.col("due_on").filter(is_due & (pl.col("points") != 0)).max(),
        )
    )
    table = (
        awarded.join(_paid(lines).lazy(), on=KEY, how="full", coalesce=True)
        .join(enrolled.lazy(), on=KEY, how="left")
        .join(asked.few.lazy(), on=KEY, how="left")
        .with_columns(pl.col("awarded", "due", *SUMS).fill_null(0))
        .with_columns(
            owed=pl.min_horizontal("due", "awarded"),
            newest=pl.coalesce("newest", "account_id"),
            in_force=pl.col("in_force").fill_null(value=False),
        )
        .join(_held(lines, asked).lazy(), on=KEY, how="left")
        .with_columns(
            closed=_of_service(asked.is_closed, entries, lines),
            stopped=pl.col("stopped").fill_null(value=False),
            held=(pl.col("held_number") == pl.col("newest")).fill_null(value=False),
            paid=pl.col("granted") - pl.col("taken_back") + pl.col("open_pay"),
            kept=pl.col("granted") - pl.col("taken_back") - pl.col("open_take_back"),
            takes_back=_of_service(asked.takes_back, entries, lines) | ~pl.col("in_force"),
        )
    )
    more = (pl.col("owed") - pl.col("paid")).clip(lower_bound=0)
    payable = ~pl.any_horizontal("stopped", "held", "closed")
    less = (pl.col("kept") - pl.col("awarded")).clip(lower_bound=0)
    return (
        table.with_columns(
            wanted=pl.when(payable).then(more).otherwise(0),
            take_back=pl.when("takes_back").then(less).otherwise(0),
        )
        .select(FIGURES)
        .sort(KEY)
        .collect()
    )


FIGURES = (
    *KEY,
    "person_id",
    "newest",
    "due_on",
    "awarded",
    "owed",
    *SUMS,
    "paid",
    "wanted",
    "take_back",
    "stopped",
    "held",
    "closed",
)


def pay(rows: pl.DataFrame, services: Collection[str] | None = None) -> pl.DataFrame:
    """Figures with `pay`: what is paid to each account, and to nobody more than is left.

    Args:
        rows: of each person in them all accounts.
        services: those that are paid now; None is all.
    """
    wanted = pl.col("wanted")
    if services is not None:
        wanted = pl.when(pl.col("service_id").is_in(list(services))).then(wanted).otherwise(0)
    by_person = rows.sort(KEY).with_columns(wanted=wanted)
    left = (pl.col("awarded") - pl.col("paid")).sum().over("person_id").clip(lower_bound=0)
    asked_for = pl.col("wanted").cum_sum().over("person_id")
    limited = pl.min_horizontal(asked_for, left) - pl.min_horizontal(
        asked_for - pl.col("wanted"), left
    )
    return by_person.with_columns(
        pay=pl.when(pl.col("person_id").is_null()).then("wanted").otherwise(limited)
    )


def _of_service(
    holds: Callable[[str], bool], entries: pl.DataFrame, lines: pl.DataFrame
) -> pl.Expr:
    services = {*entries["service_id"].unique(), *lines["service_id"].unique()}
    return pl.col("service_id").is_in([service for service in sorted(services) if holds(service)])


def lines_of(payouts: pl.DataFrame, accounts: Accounts) -> pl.DataFrame:
    """Payouts, one row each, by the account that their number belongs to now.

    Args:
        payouts: rows of the book's table of payouts, of each payout all.
        accounts: whose the numbers are now.

    Columns: those of `instructions`, and `account_id` (whose the number is now).
    """
    return instructions(payouts).with_columns(belongs(accounts))


def instructions(payouts: pl.DataFrame) -> pl.DataFrame:
    """Payouts, one row each, with the answers that stand; `payouts` are of each payout all rows.

    Columns: `payout_id`, `service_id`, `number` (that it went to), `enrolled_account_id` (whose it
    was), `direction`, `run` (that instructed it), `instructed`, `instructed_on`, `due_on`; of the
    answer that stands `answered` (the points; null for none), `answered_on` and `code`.
    """
    entry, points = pl.col("entry"), pl.col("points")
    is_answer = entry != "instructed"
    first = pl.col("payout_run_id").filter(~is_answer).first()
    # The answer that stands is the last run's, and its entries have their own sign.
    standing = is_answer & (points > 0)
    last = pl.col("payout_run_id") == pl.col("payout_run_id").filter(standing).max()
    return (
        payouts.lazy()
        .group_by("payout_id")
        .agg(
            pl.col("service_id", "enrolled_account_id", "direction").first(),
            number=pl.col("account_id").first(),
            run=first,
            instructed=points.filter(~is_answer).sum(),
            instructed_on=pl.col("on").filter(~is_answer).first(),
            due_on=pl.col("due_on").filter(~is_answer).first(),
            answered=pl.when(standing.any()).then(points.filter(entry == "done").sum()),
            answered_on=pl.col("on").filter(standing & last).first(),
            code=pl.col("code").filter(standing & last).first(),
        )
        .collect()
    )


def misdirected(lines: pl.DataFrame) -> pl.DataFrame:
    """`service_id`, `lines`, `points`: on their way to numbers that are no longer their account's.

    `lines` are as `lines_of` gives them.
    """
    is_elsewhere = pl.col("account_id") != pl.col("enrolled_account_id")
    return (
        lines.filter(pl.col("answered").is_null() & is_elsewhere)
        .group_by("service_id")
        .agg(lines=pl.len().cast(pl.Int64), points=pl.col("instructed").sum())
    )


def belongs(accounts: Accounts) -> pl.Expr:
    """The account that a line's number belongs to now."""
    if not accounts.belongs:
        return pl.col("number").alias("account_id")
    by_service: dict[str, dict[str, str]] = {}
    for (service, number), (_, account) in accounts.belongs.items():
        by_service.setdefault(service, {})[number] = account
    whose = pl.col("number")
    for service, numbers in by_service.items():
        of_service = pl.col("number").replace(numbers)
        whose = pl.when(pl.col("service_id") == service).then(of_service).otherwise(whose)
    return whose.alias("account_id")


def _paid(lines: pl.DataFrame) -> pl.DataFrame:
    is_pay, is_open = pl.col("direction") == "pay", pl.col("answered").is_null()
    instructed, answered = pl.col("instructed"), pl.col("answered")
    return lines.group_by(KEY).agg(
        granted=answered.filter(is_pay).sum(),
        taken_back=answered.filter(~is_pay).sum(),
        open_pay=instructed.filter(is_pay & is_open).sum(),
        open_take_back=instructed.filter(~is_pay & is_open).sum(),
    )


def _held(lines: pl.DataFrame, asked: FiguresRequest) -> pl.DataFrame:
    """The accounts whose last answered payment failed for good, and the number that it went to."""
    codes = [
        (service.service_id, code)
        for service in asked.services.services
        for code in service.payout.hold_codes
    ]
    held = pl.DataFrame(
        codes, schema={"service_id": pl.String, "code": pl.String}, orient="row"
    ).with_columns(holds=True)
    if held.is_empty():
        return lines.clear().select(*KEY, held_number="number")
    return (
        lines.lazy()
        .filter(pl.col("direction") == "pay", pl.col("answered").is_not_null())
        .sort("run", "payout_id")
        .group_by(KEY)
        .last()
        .filter(pl.col("answered") < pl.col("instructed"))
        .join(held.lazy(), on=["service_id", "code"], how="semi")
        .select(*KEY, held_number="number")
        .collect()
    )

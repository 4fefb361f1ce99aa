"""When an entry's points are due.

〔選択した決済サービスにより、付与される時期や方法が異なります〕
"""

import datetime as dt

import polars as pl

from engine.terms.payout import Payout

KEY = ("service_id", "account_id")


def with_day(entries: pl.DataFrame) -> pl.DataFrame:
    """Entries with `day`: that of the charge or purchase that they book, take back or recount.

    Whose original was booked again after a void finds the booking that it belongs to: the last one
    ahead of it among the person's entries.
    """
    taking_back = pl.col("original_transaction_id").is_not_null()
    own = pl.col("occurred_at").dt.date()
    takers = entries.filter(taking_back)
    if takers.is_empty():
        return entries.with_columns(day=own)
    by = ["person_id", "service_id", "original_transaction_id"]
    takers = takers.sort("entry_seq")
    originals = (
        entries.lazy()
        .filter(pl.col("kind").is_in(["charge", "purchase"]))
        .select(
            "person_id",
            "service_id",
            "entry_seq",
            original_transaction_id=pl.col("transaction_id"),
            original_day=own,
        )
        .join(takers.lazy().select(by), on=by, how="semi")
        .sort("entry_seq")
        .collect()
    )
    days = takers.join_asof(originals, on="entry_seq", by=by, check_sortedness=False)
    return pl.concat(
        [
            entries.filter(~taking_back).with_columns(day=own),
            days.with_columns(day=pl.coalesce("original_day", own)).drop("original_day"),
        ]
    )


def due_on(schedule: Payout, on: dt.date, entries: pl.DataFrame) -> pl.Series:
    """The day on which each of a service's entries is due, as it is seen on a day.

    Args:
        schedule: the service's.
        on: the day; spending counts towards `on_reaching` when it is booked by then.
        entries: with `day`, `booked_on`, and the columns of `KEY`.
    """
    day = pl.col("day")
    if schedule.when == "at_once":
        due = pl.col("booked_on")
    elif schedule.when == "days_after":
        due = day + pl.duration(days=schedule.days)
    elif schedule.when == "month_day":
        due = day_of_month(day, schedule)
    else:
        entries = _with_reached_on(entries, schedule.yen, on)
        reached_on = pl.col("reached_on")
        due = (
            pl.when(reached_on.is_null())
            .then(pl.lit(schedule.rest_on))
            .otherwise(
                pl.min_horizontal(
                    day_of_month(pl.max_horizontal(day, reached_on), schedule),
                    pl.lit(schedule.rest_on),
                )
            )
        )
    return entries.select(due_on=pl.max_horizontal(due, "booked_on")).to_series()


def day_of_month(day: pl.Expr, schedule: Payout) -> pl.Expr:
    """A day of a later month, clipped to the month's end."""
    first = day.dt.month_start()
    later = first.dt.offset_by(f"{schedule.months}mo")
    if schedule.cut_day:
        of_month_before = first.dt.offset_by(f"{schedule.months - 1}mo")
        later = pl.when(day.dt.day() <= schedule.cut_day).then(of_month_before).otherwise(later)
    return pl.min_horizontal(later + pl.duration(days=schedule.day - 1), later.dt.month_end())


def _with_reached_on(entries: pl.DataFrame, yen: int, on: dt.date) -> pl.DataFrame:
    """Entries with the day on which their account's spending came to some yen, or null."""
    reached = (
        entries.lazy()
        .filter(pl.col("booked_on") <= on)
        .group_by(*KEY, "day")
        .agg(pl.col("net_amount").sum())
        .sort(*KEY, "day")
        .with_columns(spent=pl.col("net_amount").cum_sum().over(KEY))
        .filter(pl.col("spent") >= yen)
        .group_by(KEY)
        .agg(reached_on=pl.col("day").min())
    )
    return entries.lazy().join(reached, on=KEY, how="left", maintain_order="left").collect()

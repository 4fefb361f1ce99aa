"""The bridge between what is awarded and what is granted, to the point.

awarded = granted - taken back + unanswered + due + withheld + not yet due + lapsed - debt
"""

import polars as pl

from engine.payouts.schedule import KEY

TERMS = (
    "awarded",
    "granted",
    "taken_back",
    "unanswered",
    "due",
    "withheld",
    "not_yet_due",
    "lapsed",
    "debt",
)


def bridged(paid: pl.DataFrame) -> pl.DataFrame:
    """Figures with their terms of the bridge; `pay` is what a payout for all services would pay."""
    arrived = pl.col("granted") - pl.col("taken_back")
    unanswered = pl.col("open_pay") - pl.col("open_take_back")
    left = (pl.col("owed") - pl.col("arrived")).clip(lower_bound=0)
    later = (pl.col("awarded") - pl.col("arrived")).clip(lower_bound=0) - left
    withheld = left - pl.col("pay")
    closed = pl.col("closed")
    return paid.with_columns(unanswered=unanswered, arrived=arrived + unanswered).with_columns(
        due="pay",
        withheld=pl.when(closed).then(0).otherwise(withheld),
        not_yet_due=pl.when(closed).then(0).otherwise(later),
        lapsed=pl.when(closed).then(withheld + later).otherwise(0),
        debt=(pl.col("arrived") - pl.col("awarded")).clip(lower_bound=0),
    )


def by_service(rows: pl.DataFrame) -> pl.DataFrame:
    """The terms of the bridge, one row a service, in order."""
    return rows.group_by("service_id").agg(pl.col(TERMS).sum()).sort("service_id")


def is_closed(sums: pl.DataFrame) -> bool:
    """Whether the terms come to what is awarded, and none but `unanswered` is below 0."""
    gap = (
        pl.col("granted")
        - pl.col("taken_back")
        + pl.sum_horizontal("unanswered", "due", "withheld", "not_yet_due", "lapsed")
        - pl.col("debt")
        - pl.col("awarded")
    )
    signed = [name for name in TERMS if name != "unanswered"]
    return bool(sums.select(((gap == 0) & pl.all_horizontal(pl.col(signed) >= 0)).all()).item())


def coming(entries: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """What comes due after the day, by service and day: `service_id`, `due_on`, `points`.

    Args:
        entries: dated entries of some accounts.
        rows: their figures with the terms of the bridge; what is not yet due there is cut up here.
    """
    waiting = rows.lazy().filter(pl.col("not_yet_due") > 0).select(*KEY, "awarded", "arrived")
    paid = pl.max_horizontal("arrived", pl.min_horizontal("points", "awarded"))
    return (
        entries.lazy()
        .join(waiting, on=KEY, how="inner")
        .group_by(*KEY, "due_on")
        .agg(pl.col("points").sum(), pl.col("awarded", "arrived").first())
        .sort(*KEY, "due_on")
        .with_columns(points=pl.col("points").cum_sum().over(KEY))
        .with_columns(paid=paid)
        .with_columns(before=pl.col("paid").shift(1).over(KEY).fill_null(pl.col("arrived")))
        .group_by("service_id", "due_on")
        .agg(points=(pl.col("paid") - pl.col("before")).sum())
        .sort("service_id", "due_on")
        .collect()
    )

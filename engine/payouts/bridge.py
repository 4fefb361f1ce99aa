"""The bridge between what is awarded and what is granted, to the point.

awarded = granted - taken back + unanswered + due + withheld + not yet due + lapsed - debt
"""

import polars as pl

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

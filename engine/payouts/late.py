"""Points that were granted later than the programme wants: within two months of the payment."""

from typing import Final

import polars as pl

from engine.payouts.lines import PAY
from engine.payouts.schedule import KEY

GRANTED_WITHIN: Final = "2mo"


def granted_late(entries: pl.DataFrame, lines: pl.DataFrame) -> pl.DataFrame:
    """`service_id`, `lines` and `points` of what was granted late.

    The first points that an account was granted are those of its first payments. `entries` have
    their `day`, `lines` are as `lines_of` gives them.
    """
    granted = (
        lines.filter(pl.col("direction") == PAY, pl.col("answered") > 0)
        .sort("answered_on", "payout_id")
        .with_columns(granted=pl.col("answered").cum_sum().over(KEY))
    )
    overdue = (
        granted.select(*KEY, "payout_id", "answered_on")
        .join(entries.select(*KEY, "day", "points"), on=KEY)
        .filter(pl.col("day").dt.offset_by(GRANTED_WITHIN) < pl.col("answered_on"))
        .group_by("payout_id")
        .agg(overdue=pl.col("points").sum())
    )
    before = pl.col("granted") - pl.col("answered")
    late = pl.min_horizontal("granted", "overdue") - before
    return (
        granted.join(overdue, on="payout_id")
        .select("service_id", late.alias("points"))
        .filter(pl.col("points") > 0)
        .group_by("service_id")
        .agg(lines=pl.len().cast(pl.Int64), points=pl.col("points").sum())
    )

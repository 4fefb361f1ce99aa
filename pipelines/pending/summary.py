"""What waits, in sums: by reason and service, by age, by run; nobody is named."""

from typing import Final

import polars as pl

from pipelines.pending.waiting import AGES, Pending

ROLES: Final = ("transactions", "enrollments", "events")
_SUMS: Final = ("rows", "yen", "points_at_stake", "unknown")


def by_reason(waiting: Pending) -> pl.DataFrame:
    """``role``, ``reason``, ``service_id`` and sums; most rows first."""
    return _summed(waiting, "reason", "service_id").sort(
        "role", "rows", "reason", "service_id", descending=[True, True, False, False]
    )


def by_run(waiting: Pending) -> pl.DataFrame:
    """``role``, ``run_id`` and sums."""
    return _summed(waiting, "run_id").sort("role", "run_id", descending=[True, False])


def by_age(waiting: Pending) -> pl.DataFrame:
    """``role``, ``age`` (the place of a band of ``AGES``) and sums; events have no age."""
    return (
        _all(waiting)
        .filter(pl.col("days").is_not_null())
        .with_columns(age=age_band())
        .group_by("role", "age")
        .agg(_sums())
        .sort("role", "age", descending=[True, False])
    )


def age_band() -> pl.Expr:
    """The place of the band of ``AGES`` that ``days`` are in."""
    return pl.sum_horizontal((pl.col("days") > most).cast(pl.Int64) for most in AGES)


def total(waiting: Pending) -> pl.DataFrame:
    """``role`` and sums."""
    return _summed(waiting)


def _summed(waiting: Pending, *keys: str) -> pl.DataFrame:
    return _all(waiting).group_by("role", *keys).agg(_sums())


def _sums() -> list[pl.Expr]:
    stake = pl.col("points_at_stake")
    is_payment = pl.col("role") == "transactions"
    return [
        pl.len().cast(pl.Int64).alias("rows"),
        pl.col("amount").sum().alias("yen"),
        stake.sum(),
        (is_payment & stake.is_null()).sum().cast(pl.Int64).alias("unknown"),
    ]


def _all(waiting: Pending) -> pl.DataFrame:
    columns = ("service_id", "reason", "run_id", "days", "amount", "points_at_stake")
    frames = []
    for role in ROLES:
        rows: pl.DataFrame = getattr(waiting, role)
        missing = [
            pl.lit(None, pl.Int64).alias(name) for name in columns if name not in rows.columns
        ]
        frames.append(rows.with_columns(missing, role=pl.lit(role)).select("role", *columns))
    return pl.concat(frames)

"""Which answers stand: that of the latest day, in whatever order they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from engine.payouts.entry import PayoutEntry
from engine.payouts.lines import TABLE_ORDER
from engine.records import polars_schema
from engine.terms.services import Services

ANSWER: Final = {
    "row_ref": pl.Int64(),
    "payout_id": pl.String(),
    "outcome": pl.String(),
    "points": pl.Int64(),
    "answered_on": pl.Date(),
    "code": pl.String(),
}
CONFLICT: Final = "payout_id:conflict"
OVERTAKEN: Final = "payout_id:overtaken"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of answers.

    Attributes:
        accepted: `ACCEPTED`, one row for each payout whose standing answer is new.
        unchanged: how many answers say nothing new.
        faulty: `row_ref` and `errors` of those that are set aside.
    """

    accepted: pl.DataFrame
    unchanged: int
    faulty: pl.DataFrame


ACCEPTED: Final = {
    "payout_id": pl.String(),
    "points": pl.Int64(),
    "answered_on": pl.Date(),
    "code": pl.String(),
}


def decide(answers: pl.DataFrame, lines: pl.DataFrame, services: Services) -> Decision:
    """Decides answers that can be read by those that were accepted before.

    Args:
        answers: columns of `ANSWER`.
        lines: the payouts, at least those that are answered, as `instructions` gives them.
        services: the registry in force, which may have answers ignored by their codes.

    Other points for one day are a conflict, and then the payout is left alone: what else this run
    has of a later day is set aside with them.
    """
    ignored = _codes(services)
    known = lines.lazy().select(
        "payout_id",
        "service_id",
        "instructed",
        old_on="answered_on",
        old_points="answered",
    )
    day, points = pl.col("answered_on"), pl.col("said")
    old_on, old_points = pl.col("old_on"), pl.col("old_points")
    rows = (
        answers.lazy()
        .join(known, on="payout_id", how="inner")
        .join(ignored.lazy(), on=["service_id", "code"], how="left")
        .with_columns(
            ignored=pl.col("ignored").fill_null(value=False),
            said=pl.when(pl.col("outcome") == "done")
            .then("instructed")
            .when(pl.col("outcome") == "refused")
            .then(0)
            .otherwise("points"),
            newer=old_on.is_null() | (day > old_on),
        )
        .collect()
    )
    unchanged = int(rows["ignored"].sum())
    rows = rows.filter(~pl.col("ignored"))
    on_a_day = ["payout_id", "answered_on"]
    clash = pl.col("newer") & (points.n_unique().over(on_a_day) > 1)
    rows = rows.with_columns(
        conflict=(((day == old_on) & (points != old_points)) | clash).fill_null(value=False)
    ).with_columns(left_alone=pl.col("conflict").any().over("payout_id"))
    newest = rows.filter(pl.col("newer") & ~pl.col("left_alone"))
    accepted = (
        newest.sort("answered_on", "code", "row_ref", descending=[True, False, False])
        .unique("payout_id", keep="first", maintain_order=True)
        .select("payout_id", "answered_on", "code", points="said")
        .sort("payout_id")
    )
    stands = accepted.select("payout_id", new_on="answered_on", new_points="points")
    rows = rows.join(stands, on="payout_id", how="left").with_columns(
        standing_points=pl.coalesce("new_points", "old_points"),
        same_as_before=((day == old_on) & (points == old_points)).fill_null(value=False),
    )
    error = (
        pl.when("conflict")
        .then(pl.lit(CONFLICT))
        .when(pl.col("left_alone") & pl.col("newer"))
        .then(pl.lit(CONFLICT))
        .when("same_as_before")
        .then(None)
        .when(points != pl.col("standing_points"))
        .then(pl.lit(OVERTAKEN))
    )
    rows = rows.with_columns(error=error)
    faulty = rows.filter(pl.col("error").is_not_null())
    unchanged += rows.height - faulty.height - accepted.height
    return Decision(
        accepted.select(list(ACCEPTED)),
        unchanged,
        faulty.select("row_ref", errors=pl.concat_list("error")).sort("row_ref"),
    )


def answered(accepted: pl.DataFrame, lines: pl.DataFrame, payout_run_id: str) -> pl.DataFrame:
    """Accepted answers as rows of the book's table of payouts, in its order.

    What an earlier answer said is taken back on the new one's day.
    """
    both = accepted.join(
        lines.select(
            "payout_id",
            "service_id",
            "enrolled_account_id",
            "direction",
            "number",
            "instructed",
            before="answered",
            code_before="code",
        ),
        on="payout_id",
        how="inner",
    )
    instructed = pl.col("instructed")
    entries = {
        ("done", "code"): pl.col("points"),
        ("refused", "code"): instructed - pl.col("points"),
        ("done", "code_before"): -pl.col("before"),
        ("refused", "code_before"): pl.col("before") - instructed,
    }
    return (
        pl.concat(
            [
                both.select(
                    payout_run_id=pl.lit(payout_run_id),
                    entry=pl.lit(entry),
                    payout_id="payout_id",
                    service_id="service_id",
                    account_id="number",
                    enrolled_account_id="enrolled_account_id",
                    direction="direction",
                    points=points,
                    on="answered_on",
                    due_on=pl.lit(None, pl.Date),
                    code=code,
                )
                for (entry, code), points in entries.items()
            ]
        )
        .filter(pl.col("points") != 0)
        .cast(pl.Schema(polars_schema(PayoutEntry)))
        .sort(TABLE_ORDER)
    )


def _codes(services: Services) -> pl.DataFrame:
    codes: Mapping[str, list[str]] = {
        "service_id": [
            service.service_id for service in services.services for _ in service.payout.ignore_codes
        ],
        "code": [code for service in services.services for code in service.payout.ignore_codes],
    }
    return pl.DataFrame(codes, schema={"service_id": pl.String, "code": pl.String}).with_columns(
        ignored=True
    )

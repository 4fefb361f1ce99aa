"""What is instructed: one line for each account that is paid or has points taken back."""

import datetime as dt
import hashlib
from collections.abc import Collection, Iterable
from typing import Final

import polars as pl

from engine.payouts.entry import PayoutEntry
from engine.payouts.schedule import KEY
from engine.records import polars_schema

PAY: Final = "pay"
TAKE_BACK: Final = "take_back"
ID_DIGITS: Final = 32
FILE_COLUMNS: Final = (
    "payout_id",
    "service_id",
    "account_id",
    "direction",
    "points",
    "due_on",
    "instructed_on",
)
TABLE_ORDER: Final = ("service_id", "enrolled_account_id", "payout_id", "entry", "points")


def lines(paid: pl.DataFrame, services: Collection[str] | None = None) -> pl.DataFrame:
    """The lines of a payout run, from figures with `pay`; accounts with nothing to do have none.

    `services` are those that are paid now; None is all.
    """
    payable = paid if services is None else paid.filter(pl.col("service_id").is_in(list(services)))
    pays = pl.col("pay") > 0
    return payable.filter(pays | (pl.col("take_back") > 0)).select(
        *KEY,
        number="newest",
        direction=pl.when(pays).then(pl.lit(PAY)).otherwise(pl.lit(TAKE_BACK)),
        points=pl.when(pays).then("pay").otherwise("take_back"),
        due_on="due_on",
    )


def instructed(lines: pl.DataFrame, payout_run_id: str, on: dt.date) -> pl.DataFrame:
    """Lines as rows of the book's table of payouts, in its order."""
    ids = payout_ids(lines.select(*KEY, "direction", "points").iter_rows(), payout_run_id)
    return (
        lines.with_columns(payout_id=pl.Series(ids, dtype=pl.String))
        .sort(*KEY, "payout_id")
        .select(
            payout_run_id=pl.lit(payout_run_id),
            entry=pl.lit("instructed"),
            payout_id="payout_id",
            service_id="service_id",
            account_id="number",
            enrolled_account_id="account_id",
            direction="direction",
            points="points",
            on=pl.lit(on, pl.Date),
            due_on="due_on",
            code=pl.lit(None, pl.String),
        )
        .cast(pl.Schema(polars_schema(PayoutEntry)))
    )


def payout_ids(rows: Iterable[tuple[str, str, str, int]], payout_run_id: str) -> list[str]:
    """The IDs of lines, each of service, account of the enrollment, direction and points."""
    sha256 = hashlib.sha256
    return [
        sha256(
            f"{service}\n{account}\n{payout_run_id}\n{direction}\n{points}\n".encode()
        ).hexdigest()[:ID_DIGITS]
        for service, account, direction, points in rows
    ]


def as_file(entries: pl.DataFrame) -> pl.DataFrame:
    """Rows of the table as they leave for the points system."""
    return entries.rename({"on": "instructed_on"}).select(FILE_COLUMNS)

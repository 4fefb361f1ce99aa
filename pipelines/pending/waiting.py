"""The rows that wait after the last run, and the points at stake.

A waiting row keeps the reason that it was turned away for when it was listed; by now another may
hold. Rows of format 1 do not wait: the book kept too little of them.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import polars as pl

from engine.booking.event_reasons import TOO_EARLY, WITHDRAWN
from engine.booking.standing import Standing
from engine.io.book.format import RunTable
from engine.io.book.kept import kept_corrections
from engine.io.run.reconsidering import waiting_enrollments
from engine.records import (
    ENROLLMENT_COLUMNS,
    EVENT_COLUMNS,
    KINDS,
    TRANSACTION_COLUMNS,
    VOIDS,
    AcceptedEvent,
    polars_schema,
)
from engine.rules.spending import DUPLICATE
from engine.terms.programme import Programme
from pipelines.desk.opened_book import OpenedBook, book_readable

AGES: Final = (7, 30, 90, 365)
"""The most days of each band of age but the last."""
# An application that said the same of another account of an enrollment that stands.
BESIDE_ANOTHER: Final = "beside_another"
VOIDED: Final = "voided"

_KEY: Final = ("service_id", "transaction_id")
_ACCOUNT: Final = ("service_id", "account_id")
_RUN: Final = pl.col("run_id").cast(pl.Int64)


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits.

    Attributes:
        transactions: the canonical columns, ``reason``, ``run_id`` (from which on it waits),
            ``days`` (from the payment to the last booking) and ``points_at_stake``: what the row
            would give or take at most if it alone were booked; null where nobody knows.
        enrollments: the canonical columns, the person's ID as delivered, ``reason``, ``run_id``,
            ``days``.
        events: the canonical columns, ``reason``, ``run_id``.
        of_format_1: how many rows were turned away in format 1, and do not wait.
    """

    as_of: dt.date
    transactions: pl.DataFrame
    enrollments: pl.DataFrame
    events: pl.DataFrame
    of_format_1: int


def pending(opened: OpenedBook) -> Pending:
    """Looks up what waits.

    Raises:
        BookError: a file of the book cannot be read.
    """
    as_of = opened.record(opened.runs).booked_on
    with book_readable(opened.book):
        return Pending(
            as_of,
            with_stakes(opened, waiting_transactions(opened)).collect(engine="streaming"),
            _enrollments(opened, as_of),
            _events(opened),
            sum(
                record.counts.all_declined + record.counts.enrollments.all_rejected
                for record in opened.records
                if record.format == 1
            ),
        )


def waiting_transactions(opened: OpenedBook) -> pl.LazyFrame:
    """The transactions that wait: ``TRANSACTION_COLUMNS``, ``reason``, ``run_id``, ``days``."""
    kept_whole = [record.run_id for record in opened.records if record.format > 1]
    columns = (*TRANSACTION_COLUMNS, "reason", "run_id")
    declined = (
        opened.table(RunTable.DECLINED)
        .filter(pl.col("run_id").is_in(kept_whole), pl.col("reason") != DUPLICATE)
        .select(columns)
    )
    voided = (
        opened.ledger()
        .filter(pl.col("kind").is_in(VOIDS))
        .with_columns(pl.col("kind").str.strip_suffix("_void"), reason=pl.lit(VOIDED))
        .select(columns)
    )
    # A run's voids wait before what it declines; of equal runs the later row takes the place.
    rows = pl.concat([voided, declined]).with_columns(
        last=pl.struct(_RUN, pl.col("reason") != VOIDED)
    )
    last_booking = pl.lit(opened.record(opened.runs).booked_on)
    return (
        rows.sort("last")
        .unique(_KEY, keep="last")
        .join(_in_force(opened, rows).select(_KEY), on=_KEY, how="anti")
        .select(
            *columns,
            days=(last_booking - pl.col("occurred_at").dt.date()).dt.total_days(),
        )
    )


def _in_force(opened: OpenedBook, asked: pl.LazyFrame) -> pl.LazyFrame:
    """Of the transactions asked for, those in force, each with its last booking."""
    kind = pl.col("kind")
    turns = kind.is_in(KINDS).cast(pl.Int8) - kind.is_in(VOIDS).cast(pl.Int8)
    last = pl.col("person_id", "kind", "amount").filter(kind.is_in(KINDS)).last()
    return (
        opened.ledger()
        .filter(kind.is_in([*KINDS, *VOIDS]))
        .join(asked.select(_KEY).unique(), on=_KEY, how="semi", maintain_order="left")
        .group_by(_KEY)
        .agg(last, stands=turns.sum())
        .filter(pl.col("stands") > 0)
    )


def with_stakes(opened: OpenedBook, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Waiting transactions with ``points_at_stake``."""
    programme = opened.programme(opened.runs)
    refund = pl.col("kind") == "refund"
    of_refunds = rows.filter(refund).select("service_id", transaction_id="original_transaction_id")
    originals = (
        _in_force(opened, of_refunds)
        .filter(pl.col("kind") != "refund")
        .join(_refunded(opened), on=_KEY, how="left")
        .select(
            "service_id",
            original_transaction_id="transaction_id",
            left=pl.col("amount") + pl.col("taken").fill_null(0),
        )
    )
    room = pl.lit(programme.cap_yen) - pl.col("net_spend")
    earns = _worth(pl.min_horizontal("amount", room.clip(0)), programme)
    takes = -_worth(pl.min_horizontal("amount", "left"), programme)
    return (
        rows.join(originals, on=["service_id", "original_transaction_id"], how="left")
        .join(_holders(opened), on=_ACCOUNT, how="left")
        .with_columns(
            points_at_stake=pl.when(refund)
            .then(pl.when(pl.col("left").is_not_null()).then(takes))
            .when(pl.col("net_spend").is_not_null())
            .then(earns)
        )
        .drop("left", "net_spend")
        .sort("run_id", "service_id", "transaction_id")
    )


def _refunded(opened: OpenedBook) -> pl.LazyFrame:
    """What refunds took of each original, negative."""
    return (
        opened.ledger()
        .filter(pl.col("original_transaction_id").is_not_null())
        .group_by("service_id", transaction_id="original_transaction_id")
        .agg(taken=pl.col("net_amount").sum())
    )


def _holders(opened: OpenedBook) -> pl.LazyFrame:
    """The net spend of the person of each account; accounts that events name are left out."""
    events = opened.table(RunTable.ACCEPTED_EVENTS)
    named = pl.concat(
        [
            events.select("service_id", account_id=pl.col(name))
            for name in ("account_id", "other_id")
        ]
    ).drop_nulls()
    merged = events.filter(pl.col("kind") == "persons_merged")
    people = pl.concat([merged.select(person_id=pl.col(n)) for n in ("person_id", "other_id")])
    spend = opened.ledger().group_by("person_id").agg(net_spend=pl.col("net_amount").sum())
    return (
        opened.table(RunTable.ACCEPTED)
        .select("person_id", *_ACCOUNT)
        .unique(_ACCOUNT, keep="last")
        .join(named, on=_ACCOUNT, how="anti")
        .join(people, on="person_id", how="anti")
        .join(spend, on="person_id", how="left")
        .select(*_ACCOUNT, pl.col("net_spend").fill_null(0))
    )


def _worth(yen: pl.Expr, programme: Programme) -> pl.Expr:
    return yen * programme.rate_numerator // programme.rate_denominator


def _enrollments(opened: OpenedBook, as_of: dt.date) -> pl.DataFrame:
    rows = waiting_enrollments(opened.book, opened.runs).with_columns(
        run_id=pl.col("run").cast(pl.String).str.zfill(6)
    )
    key = ["person_id", "service_id", "account_id", "run_id"]
    reasons = (
        opened.table(RunTable.REJECTED)
        .select(
            "service_id",
            "account_id",
            "run_id",
            "reason",
            person_id=pl.coalesce("delivered_person_id", "person_id"),
        )
        .unique(key, keep="last")
        .collect()
    )
    return (
        rows.join(reasons, on=key, how="left")
        .select(
            *ENROLLMENT_COLUMNS,
            pl.col("reason").fill_null(BESIDE_ANOTHER),
            "run_id",
            days=(pl.lit(as_of) - pl.col("applied_at").dt.date()).dt.total_days(),
        )
        .sort("run_id", "service_id", "account_id", "person_id")
    )


def _events(opened: OpenedBook) -> pl.DataFrame:
    """The events that came too early, and were not accepted or refused for good since."""
    accepted = opened.table(RunTable.ACCEPTED_EVENTS).select("event_id")
    corrections = kept_corrections(opened.book, opened.runs)
    standing = Standing(corrections.taken, corrections.enrollments)
    withdrawn = [event_id for event_id in corrections.waiting if standing.is_undone(event_id)]
    names = [name for name in polars_schema(AcceptedEvent) if name in EVENT_COLUMNS]
    return (
        opened.table(RunTable.REJECTED_EVENTS)
        .sort(_RUN)
        .unique("event_id", keep="last")
        .filter(pl.col("reason").is_in(sorted(TOO_EARLY)))
        .join(accepted, on="event_id", how="anti")
        .select(
            *names,
            pl.when(pl.col("event_id").is_in(withdrawn))
            .then(pl.lit(WITHDRAWN))
            .otherwise("reason")
            .alias("reason"),
            "run_id",
        )
        .sort("run_id", "event_id")
        .collect()
    )

"""What a report says, counted: a book's ledger and tables in aggregates of bounded size.

The ledger is read in streams, and nothing is kept of a single person. How many people are
where between nothing and the cap follows from the entries alone: each takes its person from one
band to another, and the person's first entry brings them in.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from engine.io.book.format import RunTable
from engine.records import KINDS, RECOUNT, VOIDS
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.pending.summary import age_band
from pipelines.pending.waiting import waiting_transactions, with_stakes

BANDS: Final = 10
"""Bands of equal width below the cap; one more is the cap itself."""

_SPLIT: Final = ("rows", "yen")


@dataclass(frozen=True, slots=True)
class Figures:
    """A book in figures; yen and points are whole numbers.

    Attributes:
        opened: the book that was counted.
        by_day: ``day`` (of the payment), ``service_id``, ``entries``, ``spent_yen``,
            ``refunds``, ``refunded_yen``, ``counted_yen``, ``awarded``, ``reversed``; the last is
            positive. What is void is in none of them but the last two.
        refunds_by_month: ``month``, ``refunds``, ``refunded_yen``, ``uncounted_yen`` (counted
            spend that they took back), ``reversed``.
        moves: ``day``, ``before`` (a band, null for a person's first entry), ``after``,
            ``people``.
        people_by_points: ``band``, ``people``; bands of a tenth of the most points.
        declined: ``service_id``, null where the registry has none such, ``reason``, ``rows``,
            ``yen``.
        quarantined: ``run_id``, ``file``, ``rows``; faults of it: ``run_id``, ``file``, ``error``,
            ``faults``.
        accepted: ``service_id``, ``people``: applications taken, by service.
        waiting: transactions that wait: ``reason``, ``service_id``, ``is_refund``, ``age`` (the
            place of a band), ``rows``, ``yen``, ``points_at_stake``, ``unknown`` (rows of which
            the stake is not known).
        corrections: ``kind`` of event, ``accepted``, ``rejected``, ``entries`` and ``points`` of
            the voids and recounts that they caused.
        booked_later: ``paid`` and ``booked``, months of which the second is later, ``entries``,
            ``awarded``, ``reversed``: the cut-off of monthly claims.
        disagreements: where a run's tables do not add up to its record: run and what.
    """

    opened: OpenedBook
    cap_yen: int
    most_points: int
    by_day: pl.DataFrame
    refunds_by_month: pl.DataFrame
    moves: pl.DataFrame
    people_by_points: pl.DataFrame
    declined: pl.DataFrame
    quarantined: pl.DataFrame
    faults: pl.DataFrame
    accepted: pl.DataFrame
    waiting: pl.DataFrame
    corrections: pl.DataFrame
    booked_later: pl.DataFrame
    disagreements: tuple[tuple[str, str], ...]

    @property
    def people(self) -> int:
        """How many people have an entry."""
        return int(self.moves.filter(pl.col("before").is_null())["people"].sum())

    @property
    def people_by_band(self) -> list[int]:
        """By band of counted spend, how many people are in it now; the last is the cap."""
        return _settled(self.moves)

    def at_the_cap_by_day(self) -> pl.DataFrame:
        """``day``, ``people`` with an entry by then, ``at_cap``: those at the cap."""
        came = pl.when(pl.col("before").is_null()).then("people").otherwise(0)
        reached = (pl.col("after") == BANDS).cast(pl.Int64)
        left = (pl.col("before") == BANDS).fill_null(value=False).cast(pl.Int64)
        return (
            self.moves.group_by("day")
            .agg(people=came.sum(), at_cap=((reached - left) * pl.col("people")).sum())
            .sort("day")
            .with_columns(pl.col("people", "at_cap").cum_sum())
        )


def gather(opened: OpenedBook) -> Figures:
    """Counts a book.

    Raises:
        BookError: a file of the book cannot be read.
    """
    programme = opened.programme(opened.runs)
    known = {
        service.service_id
        for number in range(1, opened.runs + 1)
        for service in opened.services(number).services
    }
    cap_yen = programme.cap_yen
    most_points = cap_yen * programme.rate_numerator // programme.rate_denominator
    queries = _of_the_ledger(opened, cap_yen, most_points) | _of_the_tables(opened, sorted(known))
    with book_readable(opened.book):
        # One after the other: together, they would keep what they share of the ledger in memory.
        of = {name: query.collect(engine="streaming") for name, query in queries.items()}
    by_day = of["by_day"].sort("day", "service_id")
    return Figures(
        opened=opened,
        cap_yen=cap_yen,
        most_points=most_points,
        by_day=by_day.drop("uncounted_yen", "undone_points"),
        refunds_by_month=_refunds(by_day),
        moves=of["moves"].sort("day", "before", "after"),
        people_by_points=pl.DataFrame(
            {"band": range(BANDS + 1), "people": _settled(of["moves_of_points"])}
        ),
        declined=of["declined"]
        .group_by("service_id", "reason")
        .agg(pl.col(_SPLIT).sum())
        .sort("reason", "rows", "service_id", descending=[False, True, False]),
        quarantined=of["quarantined"].sort("run_id", "file"),
        faults=of["faults"].sort(
            "run_id", "file", "faults", "error", descending=[False, False, True, False]
        ),
        accepted=of["accepted"].sort("service_id"),
        waiting=of["waiting"].sort("reason", "service_id", "is_refund", "age"),
        corrections=of["corrections"].sort("kind"),
        booked_later=of["booked_later"].sort("booked", "paid"),
        disagreements=tuple(disagreements(opened, of["by_run"], of["declined"], of["quarantined"])),
    )


def _of_the_ledger(opened: OpenedBook, cap_yen: int, most_points: int) -> dict[str, pl.LazyFrame]:
    kind, amount, points = pl.col("kind"), pl.col("amount"), pl.col("points")
    booked, refund, net = kind.is_in(KINDS), kind == "refund", pl.col("net_amount")
    takes_back = kind.is_in(["refund", "refund_void"])
    ledger = opened.ledger().with_columns(day=pl.col("occurred_at").dt.date())
    awarded = points.filter(points > 0).sum().alias("awarded")
    reversed_ = (-points.filter(points < 0).sum()).alias("reversed")
    return {
        "by_run": ledger.group_by("run_id").agg(
            booked.sum().cast(pl.Int64).alias("rows"),
            amount.filter(booked).sum().alias("yen"),
            awarded,
            reversed_,
            kind.is_in(VOIDS).sum().cast(pl.Int64).alias("voided"),
            (kind == RECOUNT).sum().cast(pl.Int64).alias("recounted"),
        ),
        "by_day": ledger.group_by("day", "service_id").agg(
            _less_voids(booked, kind).alias("entries"),
            net.filter(~takes_back).sum().alias("spent_yen"),
            _less_voids(refund, kind, "refund_void").alias("refunds"),
            (-net.filter(takes_back).sum()).alias("refunded_yen"),
            pl.col("counted_amount").sum().alias("counted_yen"),
            (-pl.col("counted_amount").filter(takes_back).sum()).alias("uncounted_yen"),
            (-points.filter(takes_back).sum()).alias("undone_points"),
            awarded,
            reversed_,
        ),
        "booked_later": ledger.group_by(
            paid=pl.col("day").dt.truncate("1mo"), booked=pl.col("booked_on").dt.truncate("1mo")
        )
        .agg(pl.len().cast(pl.Int64).alias("entries"), awarded, reversed_)
        .filter(pl.col("booked") > pl.col("paid")),
        "moves": _moves(
            ledger, pl.col("net_spend_after"), pl.col("net_spend_after") - net, cap_yen, ["day"]
        ),
        "moves_of_points": _moves(
            ledger, pl.col("points_after"), pl.col("points_after") - points, most_points, []
        ),
    }


def _less_voids(booked: pl.Expr, kind: pl.Expr, *voids: str) -> pl.Expr:
    """How many entries were booked and are not void."""
    void = kind.is_in(voids or VOIDS)
    return booked.sum().cast(pl.Int64) - void.sum().cast(pl.Int64)


def _moves(
    ledger: pl.LazyFrame, after: pl.Expr, before: pl.Expr, most: int, by: list[str]
) -> pl.LazyFrame:
    """How often entries take people from band to band."""

    def band(sum_: pl.Expr) -> pl.Expr:
        return (sum_.clip(0, most) * BANDS // max(most, 1)).cast(pl.Int8)

    return (
        ledger.select(
            *by,
            before=pl.when(pl.col("entry_seq") > 1).then(band(before)),
            after=band(after),
        )
        .filter(pl.col("before").ne_missing(pl.col("after")))
        .group_by(*by, "before", "after")
        .agg(people=pl.len().cast(pl.Int64))
    )


def _settled(moves: pl.DataFrame) -> list[int]:
    """By band, how many people are there after all moves."""
    came = dict(moves.group_by("after").agg(pl.col("people").sum()).iter_rows())
    left = dict(moves.group_by("before").agg(pl.col("people").sum()).iter_rows())
    return [came.get(band, 0) - left.get(band, 0) for band in range(BANDS + 1)]


def _of_the_tables(opened: OpenedBook, known: list[str]) -> dict[str, pl.LazyFrame]:
    # What stands in place of a service that nobody knows may be anything, a person's ID too.
    service_id = pl.when(pl.col("service_id").is_in(known)).then("service_id").alias("service_id")
    rows = pl.len().cast(pl.Int64)
    quarantine = opened.table(RunTable.QUARANTINE).select("run_id", "file", "errors")
    return {
        "declined": opened.table(RunTable.DECLINED)
        .group_by("run_id", service_id, "reason")
        .agg(rows=rows, yen=pl.col("amount").sum()),
        "quarantined": quarantine.group_by("run_id", "file").agg(rows=rows),
        "faults": quarantine.explode("errors")
        .group_by("run_id", "file", pl.col("errors").alias("error"))
        .agg(faults=rows),
        "accepted": opened.table(RunTable.ACCEPTED).group_by(service_id).agg(people=rows),
        "waiting": _waiting(opened, service_id),
        "corrections": _corrections(opened),
    }


def _waiting(opened: OpenedBook, service_id: pl.Expr) -> pl.LazyFrame:
    stake = pl.col("points_at_stake")
    return (
        with_stakes(opened, waiting_transactions(opened))
        .group_by("reason", service_id, is_refund=pl.col("kind") == "refund", age=age_band())
        .agg(
            rows=pl.len().cast(pl.Int64),
            yen=pl.col("amount").sum(),
            points_at_stake=stake.sum(),
            unknown=stake.is_null().sum().cast(pl.Int64),
        )
    )


def _corrections(opened: OpenedBook) -> pl.LazyFrame:
    """Events by kind, and the entries that they caused."""
    caused = (
        opened.ledger()
        .filter(pl.col("event_id").is_not_null())
        .group_by("event_id")
        .agg(entries=pl.len().cast(pl.Int64), points=pl.col("points").sum())
    )
    accepted = opened.table(RunTable.ACCEPTED_EVENTS).select("event_id", "kind", accepted=1)
    rejected = opened.table(RunTable.REJECTED_EVENTS).select("kind", rejected=1)
    return (
        pl.concat([accepted.join(caused, on="event_id", how="left"), rejected], how="diagonal")
        .group_by("kind")
        .agg(pl.col("accepted", "rejected", "entries", "points").sum().cast(pl.Int64))
    )


def _refunds(by_day: pl.DataFrame) -> pl.DataFrame:
    return (
        by_day.group_by(month=pl.col("day").dt.truncate("1mo"))
        .agg(pl.col("refunds", "refunded_yen", "uncounted_yen", "undone_points").sum())
        .rename({"undone_points": "reversed"})
        .sort("month")
    )


def disagreements(
    opened: OpenedBook, by_run: pl.DataFrame, declined: pl.DataFrame, quarantined: pl.DataFrame
) -> Iterator[tuple[str, str]]:
    """Where the tables do not add up to the records: run and what.

    Args:
        opened: the book.
        by_run: ``run_id``, ``rows`` and ``yen`` booked, ``awarded``, ``reversed``, ``voided``,
            ``recounted``, in this order.
        declined: ``run_id``, ``reason``, ``rows``, ``yen``.
        quarantined: ``run_id``, ``rows``.
    """
    sums_of = {run: sums for run, *sums in by_run.iter_rows()}
    declined_of: dict[str, dict[str, list[int]]] = {}
    for run, reason, rows, yen in (
        declined.group_by("run_id", "reason").agg(pl.col(_SPLIT).sum()).iter_rows()
    ):
        declined_of.setdefault(run, {})[reason] = [rows, yen]
    unreadable_of = dict(quarantined.group_by("run_id").agg(pl.col("rows").sum()).iter_rows())
    for record in opened.records:
        run, counts, yen, points = record.run_id, record.counts, record.yen, record.points
        booked = [counts.booked, yen.booked, points.awarded, points.reversed]
        booked += [counts.voided, counts.recounted]
        if sums_of.get(run, [0] * 6) != booked:
            yield run, "ledger"
        reasons = counts.declined.keys() | yen.declined.keys()
        recorded = {
            reason: [counts.declined.get(reason, 0), yen.declined.get(reason, 0)]
            for reason in reasons
        }
        if declined_of.get(run, {}) != recorded:
            yield run, "declined"
        unreadable = counts.quarantined + counts.enrollments.quarantined
        if unreadable_of.get(run, 0) != unreadable + counts.events.quarantined:
            yield run, "quarantine"
        if any(record.disagreements()):
            yield run, "record"

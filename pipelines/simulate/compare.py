"""Two ledgers of the same deliveries, beside each other: in all, by service, by person."""

from dataclasses import asdict, dataclass
from typing import Final

import polars as pl

from engine.records import KINDS
from pipelines.desk.opened_book import OpenedBook, book_readable

_SUMS: Final = ("entries", "booked_yen", "counted_yen", "awarded", "reversed")


@dataclass(frozen=True, slots=True)
class LedgerSums:
    """A ledger, or a service's part of it, in sums.

    Attributes:
        entries: voids and recounts too.
        booked_yen: the amounts of what was booked, refunds too.
        counted_yen: net of refunds.
        awarded, reversed: points; both are positive.
        people: with an entry.
        at_the_cap: people whose net spend is at or above the cap; None for one service, since
            the cap is over all.
    """

    entries: int
    booked_yen: int
    counted_yen: int
    awarded: int
    reversed: int
    people: int
    at_the_cap: int | None = None

    @property
    def net(self) -> int:
        """Points that people hold."""
        return self.awarded - self.reversed

    def value(self) -> dict[str, int | None]:
        """For machines."""
        return asdict(self) | {"net": self.net}


NOTHING: Final = LedgerSums(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was booked, and what would have been.

    Attributes:
        services: by service, both; in the order of their IDs.
        better, worse, same: people by whether they would hold more points, fewer, or as many.
        gained, lost: the points that those better and those worse off would hold more and fewer.
    """

    booked: LedgerSums
    simulated: LedgerSums
    services: dict[str, tuple[LedgerSums, LedgerSums]]
    better: int
    worse: int
    same: int
    gained: int
    lost: int


def compare(opened: OpenedBook, anew: OpenedBook) -> Comparison:
    """Compares the ledger of a book with that of the same runs under other terms."""
    accounts = [by_account(book) for book in (opened, anew)]
    totals, services = [], []
    for book, sums in zip((opened, anew), accounts, strict=True):
        services.append(_by_service(sums))
        totals.append(_total(sums, book.programme(book.runs).cap_yen))
    people = [
        sums.group_by("person_id").agg(points=pl.col("awarded").sum() - pl.col("reversed").sum())
        for sums in accounts
    ]
    both = people[0].join(people[1], on="person_id", how="full", coalesce=True, suffix="_again")
    more = both.select(
        pl.col("points_again").fill_null(0) - pl.col("points").fill_null(0)
    ).to_series()
    return Comparison(
        booked=totals[0],
        simulated=totals[1],
        services={
            service: (services[0].get(service, NOTHING), services[1].get(service, NOTHING))
            for service in sorted(services[0].keys() | services[1].keys())
        },
        better=int((more > 0).sum()),
        worse=int((more < 0).sum()),
        same=int((more == 0).sum()),
        gained=int(more.filter(more > 0).sum()),
        lost=-int(more.filter(more < 0).sum()),
    )


def by_account(opened: OpenedBook) -> pl.DataFrame:
    """A ledger by account: its sums, ``net_spend`` and a fingerprint of what was booked when."""
    points = pl.col("points")
    # Equal sets have equal sums; that others have, too, is as likely as a collision of 64 bits.
    run = pl.col("run_id").cast(pl.UInt64)
    fingerprint = pl.concat_str("transaction_id", "kind", run, separator="\0").hash(7)
    with book_readable(opened.book):
        return (
            opened.ledger()
            .group_by("person_id", "service_id", "account_id")
            .agg(
                entries=pl.len().cast(pl.Int64),
                booked_yen=pl.col("amount").filter(pl.col("kind").is_in(KINDS)).sum(),
                counted_yen=pl.col("counted_amount").sum(),
                awarded=points.filter(points > 0).sum(),
                reversed=-points.filter(points < 0).sum(),
                net_spend=pl.col("net_amount").sum(),
                fingerprint=fingerprint.sum(),
            )
            .collect(engine="streaming")
        )


def _by_service(accounts: pl.DataFrame) -> dict[str, LedgerSums]:
    sums = accounts.group_by("service_id").agg(
        pl.col(_SUMS).sum(), people=pl.col("person_id").n_unique()
    )
    return {service: LedgerSums(*numbers) for service, *numbers in sums.iter_rows()}


def _total(accounts: pl.DataFrame, cap_yen: int) -> LedgerSums:
    people = accounts.group_by("person_id").agg(pl.col("net_spend").sum())
    at_the_cap = int((people["net_spend"] >= cap_yen).sum())
    numbers = accounts.select(pl.col(_SUMS).sum()).row(0)
    entries, booked_yen, counted_yen, awarded, reversed_ = (int(number) for number in numbers)
    return LedgerSums(
        entries, booked_yen, counted_yen, awarded, reversed_, people.height, at_the_cap
    )

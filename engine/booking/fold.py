"""The fold of a slice: (the book so far, some people's new transactions) -> entries and declined.

People are independent of each other, so a slice of people is the unit of work: it bounds memory,
and any number of slices can be calculated at once, here or on other machines. It is pure.
"""

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from engine.booking.awarding import Awards, Booked, award, booking_order
from engine.booking.deciding import Flags, decide
from engine.booking.registry import Numbers, Registry, terms_of_services
from engine.booking.state import Past
from engine.columns.hashing import FewHashes, Hashes, hash_coded_pair
from engine.columns.unshared import rows_on_their_own
from engine.records import Declined, polars_schema
from engine.rules.refunds import ORIGINAL_NOT_BOOKED, REFUND_ACCOUNT_DIFFERS
from engine.rules.spending import DUPLICATE
from engine.terms.programme import Programme, Terms
from engine.terms.services import Services

DECLINED_COLUMNS = tuple(polars_schema(Declined))


@dataclass(frozen=True, slots=True)
class Night:
    """What every slice of a run is calculated with.

    Attributes:
        past: what the book remembers, and this run's enrollments.
        accounts: ``past.registry.for_deciding(services)``.
    """

    run_id: str
    booked_on: dt.date
    programme: Programme
    terms: Terms
    services: Services
    past: Past
    accounts: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Folded:
    """What became of a slice.

    Attributes:
        entries: columns of ``LedgerEntry``, sorted by person and ``entry_seq``.
        declined: columns of ``Declined``.
        pending: refunds, declined too, for which neither the slice nor the past has an original:
            columns of ``Declined`` and ``original_transaction_id``. Only the other slices know
            whether the reason is that it was not booked or that its account is another.
        originals: (service, transaction) of this slice's booked entries, refunds left out, that
            refunds of this run ask for.
    """

    entries: pl.DataFrame
    declined: pl.DataFrame
    pending: pl.DataFrame
    originals: pl.DataFrame

    def with_duplicates(self, rows: pl.DataFrame, registry: Registry) -> "Folded":
        """With the slice's rows that repeat others, columns as ``fold`` takes them."""
        if rows.is_empty():
            return self
        duplicates = as_duplicates(_with_ids(rows, registry))
        return replace(self, declined=in_fixed_order(pl.concat([self.declined, duplicates])))

    def without_entries(self) -> "Folded":
        """What is still needed when the entries are written."""
        return replace(
            self,
            entries=self.entries.clear(),
            pending=rows_on_their_own(self.pending),
            originals=rows_on_their_own(self.originals),
        )


def _with_ids(rows: pl.DataFrame, registry: Registry) -> pl.DataFrame:
    ids = registry.account_ids(rows["account_no"].to_numpy())
    return rows.with_columns(*ids, pl.col("kind").cast(pl.String))


def fold(rows: pl.DataFrame, night: Night, wanted: FewHashes) -> Folded:
    """Calculates a slice.

    ``rows`` has ``account_no`` and the canonical columns but the service's and the account's
    IDs; ``wanted`` are the hashes of all refunds' originals that the past does not have.
    """
    account_nos = rows["account_no"].to_numpy()
    rows = pl.concat([rows, night.accounts[account_nos]], how="horizontal")
    rows = rows.with_columns(
        terms_of_services(rows["service_id"], night.services, "awards_end_at", "rounding")
    )
    key_hashes = None
    if len(wanted) or (rows["kind"] == "refund").any():
        key_hashes = hash_coded_pair(rows["service_id"], rows["transaction_id"])
    decided = decide(rows, key_hashes, night.past, night.terms, night.services)
    booked = np.flatnonzero(decided.booked)
    numbers = _numbers(rows, night.past.registry).taken(booked)
    order = booking_order(numbers, rows, booked)
    originals = decided.originals.renumbered(np.cumsum(decided.booked) - 1)
    awards = award(numbers.taken(order), order, originals, night.past, night.programme)
    turned_away = _with_ids(
        rows[decided.turned_away].with_columns(decided.reasons.alias("reason")),
        night.past.registry,
    )
    pending = pl.col("reason") == ORIGINAL_NOT_BOOKED
    return Folded(
        entries=_entries(rows, booked[order], awards, night),
        declined=in_fixed_order(turned_away.filter(~pending)),
        pending=turned_away.filter(pending).select(*DECLINED_COLUMNS, "original_transaction_id"),
        originals=_asked_for(rows, key_hashes, wanted, decided.booked),
    )


def as_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that repeat others, as ``Declined``."""
    kind = pl.col("kind").cast(pl.String)
    return rows.with_columns(kind, reason=pl.lit(DUPLICATE)).select(DECLINED_COLUMNS)


def in_fixed_order(declined: pl.DataFrame) -> pl.DataFrame:
    """Declined rows as a part of them is kept, whatever order they came in."""
    return declined.select(DECLINED_COLUMNS).sort(
        "occurred_at", "service_id", "transaction_id", "account_id", "reason"
    )


def _numbers(rows: pl.DataFrame, registry: Registry) -> Booked:
    person_nos = rows["person_no"].to_numpy()
    return Booked(
        ranks=registry.ranks(person_nos),
        person_nos=person_nos,
        account_nos=rows["account_no"].to_numpy(),
        occurred_at_us=rows["occurred_at"].to_physical().to_numpy(),
        amounts_yen=rows["amount"].to_numpy(),
        refunds=(rows["kind"] == "refund").to_numpy(),
        roundings=rows["rounding"].to_physical().to_numpy(),
    )


def _entries(rows: pl.DataFrame, order: Numbers, awards: Awards, night: Night) -> pl.DataFrame:
    registry = night.past.registry
    account_nos, person_nos = rows["account_no"].to_numpy(), rows["person_no"].to_numpy()
    service_ids, account_ids = registry.account_ids(account_nos[order])
    delivered = rows.select(
        "transaction_id", "occurred_at", "kind", "amount", "original_transaction_id", "method"
    )[order]
    return delivered.select(
        pl.lit(night.run_id).alias("run_id"),
        pl.lit(night.booked_on).alias("booked_on"),
        registry.person_ids(person_nos[order]).alias("person_id"),
        pl.Series("entry_seq", awards.entry_seq),
        service_ids,
        account_ids,
        "transaction_id",
        "occurred_at",
        pl.col("kind").cast(pl.String),
        "amount",
        "original_transaction_id",
        "method",
        pl.Series("counted_amount", awards.counted_amount),
        pl.Series("points", awards.points),
        pl.Series("net_spend_after", awards.net_spend_after),
        pl.Series("points_after", awards.points_after),
    )


def _asked_for(
    rows: pl.DataFrame, key_hashes: Hashes | None, wanted: FewHashes, booked: Flags
) -> pl.DataFrame:
    keys = rows.select("service_id", "transaction_id")
    if key_hashes is None or not len(wanted):
        asked = keys.clear()
    else:
        places = wanted.places_among(key_hashes)
        asked = keys[places].filter(
            pl.Series(booked[places]) & (rows["kind"].gather(places) != "refund")
        )
    return asked.with_columns(pl.col("service_id").cast(pl.String))


def resolve_pending(pending: pl.DataFrame, originals: pl.DataFrame) -> pl.DataFrame:
    """Gives each pending refund its reason, now that all slices are known.

    ``originals`` are all slices'; an original found there belongs to another account.
    """
    elsewhere = originals.unique().with_columns(elsewhere=pl.lit(value=True))
    return in_fixed_order(
        pending.join(
            elsewhere,
            left_on=("service_id", "original_transaction_id"),
            right_on=("service_id", "transaction_id"),
            how="left",
        ).with_columns(
            reason=pl.when("elsewhere")
            .then(pl.lit(REFUND_ACCOUNT_DIFFERS))
            .otherwise(pl.lit(ORIGINAL_NOT_BOOKED))
        )
    )

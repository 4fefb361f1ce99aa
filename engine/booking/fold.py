"""The fold of a slice: (the book so far, some people's new transactions) -> entries and declined.

People are independent of each other, so a slice of people is the unit of work: it bounds memory,
and any number of slices can be calculated at once, here or on other machines. It is pure.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import polars as pl

from engine.booking.awarding import (
    Awards,
    BookedTransactions,
    award,
    booking_order,
    needs_recounting,
)
from engine.booking.deciding import Flags, decide
from engine.booking.index_spaces import BookedPlaces, BookPositions, SliceRows
from engine.booking.recounted import REPEATED, Extra, People, Voids, recounted
from engine.booking.registry import Numbers, Registry, terms_of_services
from engine.booking.state import Past
from engine.columns.hashing import FewHashes, Hashes, hash_coded_pair
from engine.columns.unshared import rows_on_their_own
from engine.records import Declined, EntryKind, polars_schema
from engine.rules.refunds import ORIGINAL_NOT_BOOKED, REFUND_ACCOUNT_DIFFERS
from engine.rules.spending import DUPLICATE
from engine.terms.programme import Programme, Terms
from engine.terms.services import Services

DECLINED_COLUMNS = tuple(polars_schema(Declined))
# Nobody has as many entries.
_SEQ_BITS = 32


@dataclass(frozen=True, slots=True)
class Night:
    """What every slice of a run is calculated with.

    Attributes:
        before: what the book knew before this run's voids.
        past: what it knows with them, and with this run's enrollments.
        accounts: ``past.registry.for_deciding(services)``.
        voided_accounts: the numbers of accounts of which the run voids entries.
        entries_at: reads entries of the ledger by their positions.
    """

    run_id: str
    booked_on: dt.date
    programme: Programme
    terms: Terms
    services: Services
    before: Past
    past: Past
    accounts: pl.DataFrame
    voided_accounts: Numbers
    entries_at: Callable[[BookPositions], pl.DataFrame]


@dataclass(frozen=True, slots=True)
class SliceOutcome:
    """What became of a slice.

    Attributes:
        entries: columns of ``LedgerEntry``, sorted by person and ``entry_seq``; those of few words
            are Enums.
        declined: columns of ``Declined``; rows that waited in the book are not among them.
        pending: refunds, declined too, for which neither the slice nor the past has an original:
            columns of ``Declined`` and ``row_ref``. Only the other slices know whether the reason
            is that it was not booked or that its account is another.
        originals: (service, transaction) of this slice's booked entries, refunds left out, that
            refunds of this run ask for.
        reconsidered, reconsidered_yen: rows that waited in the book and are booked, and their
            amounts.
    """

    entries: pl.DataFrame
    declined: pl.DataFrame
    pending: pl.DataFrame
    originals: pl.DataFrame
    reconsidered: int
    reconsidered_yen: int

    def with_duplicates(self, rows: pl.DataFrame, registry: Registry) -> "SliceOutcome":
        """With the slice's rows that repeat others, columns as ``fold`` takes them."""
        if rows.is_empty():
            return self
        duplicates = as_duplicates(_with_ids(rows, registry))
        return replace(self, declined=in_fixed_order(pl.concat([self.declined, duplicates])))

    def without_entries(self) -> "SliceOutcome":
        """What is still needed when the entries are written."""
        return replace(
            self,
            entries=self.entries.clear(),
            pending=rows_on_their_own(self.pending),
            originals=rows_on_their_own(self.originals),
        )


def _with_ids(rows: pl.DataFrame, registry: Registry) -> pl.DataFrame:
    service_ids, account_ids = registry.account_ids(rows["account_no"].to_numpy())
    return rows.with_columns(
        service_ids.cast(pl.String),
        pl.coalesce("replacing_account_id", account_ids).alias("account_id"),
        pl.col("kind").cast(pl.String),
    )


def fold(rows: pl.DataFrame, night: Night, requested: FewHashes, voids: Voids) -> SliceOutcome:
    """Calculates a slice, of whose people ``voids`` are the entries that the run voids.

    ``rows`` has ``account_no`` of the enrollment, ``replacing_account_id`` where the row's account
    replaced that one, ``row_ref``, and the canonical columns but the service's and the account's
    IDs; ``requested`` are the hashes of all refunds' originals that the past does not have.
    """
    account_nos = rows["account_no"].to_numpy()
    rows = pl.concat([rows, night.accounts[account_nos]], how="horizontal")
    rows = rows.with_columns(
        *terms_of_services(rows["service_id"], night.services, "awards_end_at", "rounding"),
        stopped=pl.Series(
            night.past.exceptions.are_stopped(
                account_nos, rows["occurred_at"].to_physical().to_numpy()
            )
        ),
    )
    key_hashes = None
    if len(requested) or (rows["kind"] == "refund").any():
        key_hashes = hash_coded_pair(rows["service_id"], rows["transaction_id"])
    decided = decide(rows, key_hashes, night.past, night.terms, night.services)
    booked = cast(SliceRows, np.flatnonzero(decided.booked))
    originals = decided.originals.renumbered(cast(BookedPlaces, np.cumsum(decided.booked) - 1))
    numbers = _numbers(rows, night.past.registry).taken(booked)
    numbers.net_yen[originals.of_rows] = -originals.taken_yen
    order = booking_order(numbers, rows, booked)
    in_order = numbers.taken(order)
    awards = award(in_order, order, originals, night.before, night.programme)
    chosen = needs_recounting(in_order, night.before, night.programme)
    # What the book knows of an account may be another person's, whose entries go in this run.
    gone = np.isin(in_order.account_nos, night.voided_accounts)
    changed = voids.people
    chosen |= np.isin(in_order.person_nos, np.union1d(changed, in_order.person_nos[gone]))
    extra = None
    if chosen.any() or changed.size:
        person_nos = np.union1d(changed, in_order.person_nos[chosen])
        people = People(person_nos, in_order, order, chosen, originals, rows, booked)
        awards, extra = recounted(
            people,
            awards,
            night.before,
            voids,
            night.programme,
            night.services,
            night.entries_at,
        )
    entries = _entries(rows, booked[order], in_order, awards, extra, night)
    turned_away = _with_ids(
        rows[decided.turned_away].with_columns(decided.reasons.alias("reason")),
        night.past.registry,
    )
    pending = pl.col("reason") == ORIGINAL_NOT_BOOKED
    waited = (rows["row_ref"] < 0) & pl.Series(decided.booked)
    return SliceOutcome(
        entries=entries,
        declined=in_fixed_order(turned_away.filter(~pending & (pl.col("row_ref") >= 0))),
        pending=turned_away.filter(pending).select(*DECLINED_COLUMNS, "row_ref"),
        originals=_asked_for(rows, key_hashes, requested, decided.booked),
        reconsidered=int(waited.sum()),
        reconsidered_yen=int(rows["amount"].filter(waited).sum()),
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


def _numbers(rows: pl.DataFrame, registry: Registry) -> BookedTransactions:
    person_nos = rows["person_no"].to_numpy()
    return BookedTransactions(
        ranks=registry.ranks(person_nos),
        person_nos=person_nos,
        account_nos=rows["account_no"].to_numpy(),
        occurred_at_us=rows["occurred_at"].to_physical().to_numpy(),
        net_yen=rows["amount"].to_numpy(),
        refunds=(rows["kind"] == "refund").to_numpy(),
        roundings=rows["rounding"].to_physical().to_numpy(),
    )


def _entries(
    rows: pl.DataFrame,
    order: SliceRows,
    booked: BookedTransactions,
    awards: Awards,
    extra: Extra | None,
    night: Night,
) -> pl.DataFrame:
    """The entries of what is ``booked``, rows in this ``order``, and the extra ones among them."""
    registry = night.past.registry
    # Kinds of entries begin with those of transactions.
    kinds = pl.col("kind").to_physical().cat.to(EntryKind)
    delivered = rows.select(*REPEATED).with_columns(kinds)
    numbers = [booked.person_nos, booked.net_yen, *awards]
    event_ids = pl.Series([None], dtype=pl.String)
    of_entry = np.zeros(order.size, np.int64)
    if extra is not None and extra.rows.height:
        extra_rows = extra.rows.cast({"kind": EntryKind})
        delivered = pl.concat([delivered.cast(extra_rows.schema), extra_rows], rechunk=True)
        extra_numbers = [extra.person_nos, extra.net_yen, *extra.awards]
        numbers = [np.concatenate(both) for both in zip(numbers, extra_numbers, strict=True)]
        # Both are in this order already, and are only merged.
        merged = np.argsort((registry.ranks(numbers[0]) << _SEQ_BITS) + numbers[2], kind="stable")
        numbers = [column[merged] for column in numbers]
        at = np.arange(extra.rows.height)
        order = cast(SliceRows, np.append(order, rows.height + at)[merged])
        of_entry = np.append(of_entry, 1 + at)[merged]
        event_ids = event_ids.append(extra.event_ids)
    person_nos, net_yen, entry_seq, *said = numbers
    delivered = delivered[order]
    service_ids, account_ids = registry.account_ids(delivered["account_no"].to_numpy())
    delivered_ids, enrolled_ids = account_ids, pl.lit(None, pl.String)
    replacing = delivered["replacing_account_id"]
    if replacing.null_count() < replacing.len():
        own = replacing.is_null()
        delivered_ids = account_ids.zip_with(own, replacing)
        enrolled_ids = pl.when(~own).then(account_ids)
    return delivered.select(
        pl.lit(night.run_id, pl.Enum([night.run_id])).alias("run_id"),
        pl.lit(night.booked_on).alias("booked_on"),
        registry.person_ids(person_nos).alias("person_id"),
        pl.Series("entry_seq", entry_seq),
        service_ids,
        delivered_ids.alias("account_id"),
        "transaction_id",
        "occurred_at",
        "kind",
        "amount",
        "original_transaction_id",
        "method",
        enrolled_ids.alias("enrolled_account_id"),
        pl.Series("net_amount", net_yen),
        *(pl.Series(*named) for named in zip(Awards._fields[1:], said, strict=True)),
        event_ids.gather(of_entry).alias("event_id"),
    )


def _asked_for(
    rows: pl.DataFrame, key_hashes: Hashes | None, requested: FewHashes, booked: Flags
) -> pl.DataFrame:
    keys = rows.select("service_id", "transaction_id")
    if key_hashes is None or not len(requested):
        asked = keys.clear()
    else:
        places = requested.places_among(key_hashes)
        asked = keys[places].filter(
            pl.Series(booked[places]) & (rows["kind"].gather(places) != "refund")
        )
    return asked.with_columns(pl.col("service_id").cast(pl.String))


def resolve_pending(pending: pl.DataFrame, originals: pl.DataFrame) -> pl.DataFrame:
    """Gives each pending refund its reason, now that all slices are known.

    ``originals`` are all slices'; an original found there belongs to another account. What waited
    in the book is left out.
    """
    elsewhere = originals.unique().with_columns(elsewhere=pl.lit(value=True))
    return in_fixed_order(
        pending.filter(pl.col("row_ref") >= 0)
        .join(
            elsewhere,
            left_on=("service_id", "original_transaction_id"),
            right_on=("service_id", "transaction_id"),
            how="left",
        )
        .with_columns(
            reason=pl.when("elsewhere")
            .then(pl.lit(REFUND_ACCOUNT_DIFFERS))
            .otherwise(pl.lit(ORIGINAL_NOT_BOOKED))
        )
    )

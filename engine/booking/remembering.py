"""Remembering: (what the book knows, a run's tables) -> what it knows then."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections, Standing
from engine.booking.exceptions import Exceptions, registry_in_force
from engine.booking.registry import Numbers
from engine.booking.state import (
    RUN_SHIFT,
    Integers,
    Keys,
    Past,
    content_hashes,
    key_checks,
    months_of,
    person_keys,
)
from engine.booking.voiding import with_refunds
from engine.columns.hashing import hash_pair
from engine.records import KINDS, RECOUNT, VOIDS, Kind

_NOTHING: Final = np.empty(0, np.int64)


def corrected(past: Past, corrections: Corrections) -> Past:
    """The past after a run's events."""
    registry = registry_in_force(past.registry, corrections, corrections.enrollments)
    return past.with_registry(registry, corrections, Exceptions.of(corrections, registry))


def enrolled(past: Past, accepted: pl.DataFrame, corrections: Corrections) -> Past:
    """The past with a run's accepted enrollments: columns of ``Enrollment``, and of each the
    ``content`` where that is known.
    """
    standing = Standing(corrections.taken, corrections.enrollments)
    goes = sorted(standing.merges)
    person = pl.col("person_id")
    if goes:
        person = person.replace(goes, [standing.read(person_id).person for person_id in goes])
    registry = past.registry.extended(
        accepted.with_columns(person).sort("person_id", maintain_order=True)
    )
    exceptions = Exceptions.of(corrections, registry) if corrections else past.exceptions
    return replace(
        past.with_registry(registry, corrections, exceptions),
        accounts_by_run=np.append(past.accounts_by_run, registry.accounts.height),
    )


def remembered(
    past: Past,
    run_number: int,
    parts: Iterable[pl.DataFrame],
    facts: np.ndarray,
) -> Past:
    """The past with a run's entries, in their order.

    ``parts`` have the columns of ``LedgerEntry``, no person in two of them; ``facts`` is filled,
    one an entry. The run's keys become one segment a part.
    """
    registry, balances = past.registry, past.balances
    keys: list[Keys] = []
    people: list[Keys] = []
    later: list[pl.DataFrame] = []
    months = _Months(past)
    months.grow(registry.accounts.height)
    done = 0
    for part in parts:
        first = (run_number << RUN_SHIFT) + done
        own_accounts = part.select(pl.coalesce("enrolled_account_id", "account_id")).to_series()
        account_nos = registry.finder.find(part["service_id"], own_accounts)
        person_nos = registry.people_finder.find(part["person_id"])
        begins = np.flatnonzero(np.diff(person_nos, prepend=-1))
        ends = np.append(begins[1:], person_nos.size) - 1
        for held, name in zip(
            balances, ("entry_seq", "net_spend_after", "points_after"), strict=True
        ):
            held[person_nos[ends]] = part[name].to_numpy()[ends]
        mine = facts[done : done + part.height]
        kept = _fill(mine, part, account_nos, person_nos)
        mine_keys = hash_pair(part["service_id"], part["transaction_id"])
        places = np.flatnonzero(kept)
        order = places[np.argsort(mine_keys[places], kind="stable")]
        keys.append(Keys(mine_keys[order], first + order))
        by_person = person_keys(person_nos[begins])
        order = np.argsort(by_person)
        people.append(Keys(by_person[order], first + begins[order]))
        counted = part["counted_amount"].to_numpy()
        own = (
            (mine["spends"] > 0)
            | (part["kind"] == RECOUNT).to_numpy()
            | part["kind"].is_in(["charge_void", "purchase_void"]).to_numpy()
        )
        own &= counted != 0
        months.add(account_nos[own], mine["occurred_at"][own], counted[own])
        backward = part["kind"].is_in(["refund", *VOIDS])
        later.append(
            part.select(
                "service_id",
                "transaction_id",
                "original_transaction_id",
                "kind",
                "net_amount",
                "counted_amount",
            )
            .with_columns(account_no=pl.Series(account_nos))
            .filter(backward)
        )
        done += part.height
    past = replace(
        past,
        keys=[*past.keys, *keys],
        people=[*past.people, *people],
        facts=[*past.facts, facts],
    )
    if any(frame.height for frame in later):
        past = _taken_back(past, run_number, pl.concat(later), months)
    return replace(past, months=months.counted, first_month=months.first)


def _fill(
    mine: np.ndarray, part: pl.DataFrame, account_nos: Numbers, person_nos: Numbers
) -> npt.NDArray[np.bool_]:
    """Fills the facts of a part; returns which of them have a key."""
    key_hashes = hash_pair(part["service_id"], part["transaction_id"])
    is_kept = part["kind"].is_in(KINDS)
    kept = is_kept.to_numpy()
    delivered = part.filter(is_kept).with_columns(pl.col("kind").cast(Kind))
    mine["content"] = 0
    mine["content"][kept] = content_hashes(delivered, key_hashes[kept])
    mine["occurred_at"] = part["occurred_at"].to_physical().to_numpy()
    mine["check"] = key_checks(part["service_id"], part["transaction_id"])
    mine["account_no"] = account_nos
    mine["person_no"] = person_nos
    mine["signed_amount"] = part["net_amount"].to_numpy()
    refund = (part["kind"] == "refund").to_numpy()
    mine["spends"] = np.where(kept, np.where(refund, -1, 1), 0)
    return kept


def _taken_back(past: Past, run_number: int, entries: pl.DataFrame, months: "_Months") -> Past:
    """Refunds, and what voids refer to: found among all keys, this run's included."""
    of_refunds = entries.filter(pl.col("original_transaction_id").is_not_null())
    originals = past.entries_of(of_refunds["service_id"], of_refunds["original_transaction_id"])
    months.add(
        of_refunds["account_no"].to_numpy(),
        np.ascontiguousarray(past.facts_at(originals)["occurred_at"]),
        of_refunds["counted_amount"].to_numpy(),
    )
    voids = entries.filter(pl.col("kind").is_in(VOIDS))
    voided = _NOTHING
    if voids.height:
        # A run's voids come ahead of its bookings, so they void what stood before the run.
        voided = past.entries_of(
            voids["service_id"], voids["transaction_id"], before_run=run_number
        )
    return replace(
        past,
        voided=np.union1d(past.voided, voided),
        refunded=with_refunds(past.refunded, *_given_back(past, run_number, of_refunds)),
    )


def _given_back(past: Past, run_number: int, of_refunds: pl.DataFrame) -> tuple[Numbers, Integers]:
    """The originals of refunds and of voids of refunds, and what each changes of them."""
    is_void = (of_refunds["kind"] == "refund_void").to_numpy()
    ids = of_refunds["service_id"], of_refunds["original_transaction_id"]
    originals = past.entries_of(*ids)
    if is_void.any():
        originals[is_void] = past.entries_of(*ids, before_run=run_number)[is_void]
    return originals, -of_refunds["net_amount"].to_numpy()


class _Months:
    """Counted yen by account and month, made to grow."""

    def __init__(self, past: Past) -> None:
        self.counted, self.first = past.months, past.first_month

    def grow(self, accounts: int) -> None:
        """Makes room for accounts that came later."""
        if accounts > self.counted.shape[0]:
            self.counted = np.pad(self.counted, ((0, accounts - self.counted.shape[0]), (0, 0)))

    def add(self, account_nos: Numbers, occurred_at_us: Integers, counted: Integers) -> None:
        """Adds counted yen, in the months of these instants."""
        if account_nos.size == 0:
            return
        at = months_of(occurred_at_us)
        if self.counted.shape[1] == 0:
            self.first = int(at.min())
        before = max(0, self.first - int(at.min()))
        after = max(0, int(at.max()) + 1 - self.first - self.counted.shape[1])
        if before or after:
            self.counted = np.pad(self.counted, ((0, 0), (before, after)))
        self.first -= before
        np.add.at(self.counted, (account_nos, at - self.first), counted)

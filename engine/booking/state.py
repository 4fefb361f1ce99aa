"""What the book remembers: everything that a new run must know of the entries booked before.

All of it follows from the ledger and the accepted enrollments (``remembered``), so it may be
thrown away and made again; it is kept only so that a night costs what the night delivers.

An entry is known by its position: the run's number times 2^32 plus its place in the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.registry import Registry
from engine.columns.hashing import (
    CHECK_SEED,
    Hashes,
    Positions,
    combined,
    hash_coded,
    hash_pair,
    hash_text,
    places_in,
)
from engine.records import Kind

Integers = npt.NDArray[np.int64]
AccountNumbers = npt.NDArray[np.int32] | npt.NDArray[np.int64]

RUN_SHIFT: Final = 32
_DAY_US: Final = 24 * 60 * 60 * 1_000_000

# Yen of one entry fit 32 bits (100,000,000 at most; a cap of 1,000,000,000 at most); every sum
# is made in 64 bits.
FACT: Final = np.dtype(
    [
        ("content", "u8"),
        ("occurred_at", "i8"),
        ("check", "u4"),
        ("account_no", "i4"),
        ("signed_amount", "i4"),
        ("counted", "i4"),
    ]
)


class Balances(NamedTuple):
    """By person number: entries booked, net spend in yen, points."""

    entries: Integers
    net_spend_yen: Integers
    points: Integers

    @classmethod
    def zero(cls, people: int) -> "Balances":
        return cls(*(np.zeros(people, np.int64) for _ in cls._fields))

    def grown(self, people: int) -> "Balances":
        """A copy of the balances, with zeros for people who came later."""
        return Balances(*(np.concatenate([a, np.zeros(people - a.size, np.int64)]) for a in self))


class Keys(NamedTuple):
    """Entries' positions by the hash of (service, transaction), ascending."""

    hashes: Hashes
    positions: Positions


class Refunded(NamedTuple):
    """By original's position, ascending: what its refunds took back, and what of it was counted."""

    positions: Positions
    yen: Integers
    counted: Integers


@dataclass(frozen=True, slots=True)
class Past:
    """What the book remembers.

    Attributes:
        registry: who is enrolled.
        balances: by person number.
        months: counted yen by account number and month; a refund stands in its original's month.
        first_month: the month (year * 12 + month - 1) of the first column of ``months``.
        keys: where the entry of a transaction is, in segments.
        facts: by run number less one, the facts of its entries.
        refunded: what refunds took back.
    """

    registry: Registry
    balances: Balances
    months: npt.NDArray[np.int32]
    first_month: int
    keys: Sequence[Keys]
    facts: Sequence[np.ndarray]
    refunded: Refunded

    @classmethod
    def empty(cls) -> "Past":
        """The past of a fresh book."""
        nothing = np.empty(0, np.int64)
        return cls(
            Registry.empty(),
            Balances.zero(0),
            np.zeros((0, 0), np.int32),
            0,
            (),
            (),
            Refunded(nothing, nothing, nothing),
        )

    def joined_by(self, accepted: pl.DataFrame) -> "Past":
        """The past with further enrollments, of which nothing is booked yet."""
        registry = self.registry.extended(accepted)
        return replace(self, registry=registry, balances=self.balances.grown(registry.people))

    def entries_of(self, service_id: pl.Series, transaction_id: pl.Series) -> Positions:
        """The position of each transaction's entry, or -1 where none is booked."""
        found = np.full(len(service_id), -1, np.int64)
        if not self.keys:
            return found
        wanted = hash_pair(service_id, transaction_id)
        # In ascending order the searches walk through a segment instead of jumping about in it.
        order = np.argsort(wanted)
        ascending = wanted[order]
        for segment in self.keys:
            at = np.searchsorted(segment.hashes, ascending)
            hit = at < segment.hashes.size
            hit[hit] = segment.hashes[at[hit]] == ascending[hit]
            rows, at = order[hit], at[hit]
            checks = key_checks(service_id.gather(rows), transaction_id.gather(rows))
            while rows.size:
                positions = segment.positions[at]
                same = self.facts_at(positions)["check"] == checks
                found[rows[same]] = positions[same]
                # Another key may have the same hash, and stands next to it then.
                rows, checks, at = rows[~same], checks[~same], at[~same] + 1
                on = at < segment.hashes.size
                on[on] = segment.hashes[at[on]] == wanted[rows[on]]
                rows, checks, at = rows[on], checks[on], at[on]
        return found

    def facts_at(self, positions: Positions) -> np.ndarray:
        """The facts of the entries at these positions."""
        taken = np.empty(positions.size, FACT)
        runs = positions >> RUN_SHIFT
        for run in np.unique(runs):
            mine = runs == run
            taken[mine] = self.facts[run - 1][positions[mine] & ((1 << RUN_SHIFT) - 1)]
        return taken

    def refunded_at(self, positions: Positions) -> tuple[Integers, Integers]:
        """Yen taken back, and counted yen taken back, from the originals at these positions."""
        at, hit = places_in(self.refunded.positions, positions)
        yen, counted = np.zeros(positions.size, np.int64), np.zeros(positions.size, np.int64)
        yen[hit], counted[hit] = self.refunded.yen[at[hit]], self.refunded.counted[at[hit]]
        return yen, counted

    def counted_of_accounts(self, account_nos: AccountNumbers) -> Integers:
        """Counted yen of each account, over all months."""
        counted = np.zeros(account_nos.size, np.int64)
        known = account_nos < self.months.shape[0]
        counted[known] = self.months[account_nos[known]].sum(axis=1)
        return counted

    def counted_in_months(self, account_nos: AccountNumbers, months: Integers) -> Integers:
        """Counted yen of each account in the month beside it."""
        counted = np.zeros(account_nos.size, np.int64)
        at = months - self.first_month
        known = (account_nos < self.months.shape[0]) & (at >= 0) & (at < self.months.shape[1])
        counted[known] = self.months[account_nos[known], at[known]]
        return counted


def key_checks(service_id: pl.Series, transaction_id: pl.Series) -> npt.NDArray[np.uint32]:
    """A second, independent hash of (service, transaction): two keys that agree in both, 96 bits
    in all, are taken for the same key.
    """
    return (hash_pair(service_id, transaction_id, CHECK_SEED) >> np.uint64(32)).astype(np.uint32)


def content_hashes(frame: pl.DataFrame, key_hashes: Hashes) -> Hashes:
    """The hash of all canonical columns of transactions."""
    # The transaction's own text again, in another hash: keys that collide differ in content.
    content = combined(key_hashes, hash_text(frame["transaction_id"], CHECK_SEED))
    content = combined(content, hash_text(frame["account_id"], CHECK_SEED))
    for numbers in (frame["occurred_at"].to_physical(), frame["amount"]):
        content = combined(content, numbers.to_numpy().view(np.uint64))
    content = combined(content, hash_coded(frame["kind"].cast(Kind), CHECK_SEED))
    for name in ("original_transaction_id", "method"):
        if frame[name].null_count() < frame.height:
            content = combined(content, hash_text(frame[name], CHECK_SEED))
        else:
            content = combined(content, _NO_TEXT)
    return content


_NO_TEXT: Final = hash_text(pl.Series([None], dtype=pl.String), CHECK_SEED)


def months_of(instants_us: Integers) -> Integers:
    """The month of each instant: year * 12 + month - 1."""
    if instants_us.size == 0:
        return np.empty(0, np.int64)
    # There are few days, and a look at a table is cheaper than a calendar.
    days = instants_us // _DAY_US
    first = days.min()
    calendar = np.arange(first, days.max() + 1).view("datetime64[D]").astype("datetime64[M]")
    months = calendar.astype(np.int64) + 1970 * 12
    taken: Integers = months.take(days - first)
    return taken

"""What the book knows: everything that a new run must know of the entries booked before.

All of it follows from the ledger and the other tables of the runs (``remembered``), so it may be
thrown away and made again; it is kept only so that a night costs what the night delivers.

An entry is known by its position: the run's number times 2^32 plus its place in the run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.exceptions import Exceptions
from engine.booking.registry import Numbers, Registry
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
_PLACES: Final = (1 << RUN_SHIFT) - 1
_DAY_US: Final = 24 * 60 * 60 * 1_000_000
_PERSON_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)

# Yen of one entry fit 32 bits (100,000,000 at most); every sum is made in 64 bits.
# ``signed_amount`` is the entry's net amount, 0 for a recount; ``spends`` is 1 for a charge or a
# purchase, -1 for a refund, 0 for what has no key: a void or a recount.
FACT: Final = np.dtype(
    [
        ("content", "u8"),
        ("occurred_at", "i8"),
        ("check", "u4"),
        ("account_no", "i4"),
        ("person_no", "i4"),
        ("signed_amount", "i4"),
        ("spends", "i4"),
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
        """The balances, with zeros for people who came later."""
        if people == self.entries.size:
            return self
        return Balances(*(np.concatenate([a, np.zeros(people - a.size, np.int64)]) for a in self))


class Keys(NamedTuple):
    """Entries' positions by a 64-bit key, ascending; of equal keys, by position."""

    hashes: Hashes
    positions: Positions


class Refunded(NamedTuple):
    """By original's position, ascending: what refunds in force took back of it."""

    positions: Positions
    yen: Integers


class History(NamedTuple):
    """Charges and purchases of some people that are in force, in booking order.

    Attributes:
        person_nos: ascending.
        positions: ascending within a person.
        left_yen: the amounts less what refunds took back.
    """

    person_nos: Numbers
    positions: Positions
    account_nos: Numbers
    occurred_at_us: Integers
    left_yen: Integers


@dataclass(frozen=True, slots=True)
class Past:
    """What the book knows.

    Attributes:
        registry: who is enrolled.
        accounts_by_run: by run number less one, how many accounts the registry had after it.
        corrections: accepted and waiting events, and what they made of enrollments.
        exceptions: what ``corrections`` make of accounts and transactions.
        balances: by person number.
        months: counted yen by account number and month; what takes back, and what counts anew,
            stands in the month of the charge or purchase.
        first_month: the month (year * 12 + month - 1) of the first column of ``months``.
        keys: where the entries of a transaction are, in segments.
        people: where a person's entries of a run begin, in segments; keys are ``person_keys``.
        facts: by run number less one, the facts of its entries.
        refunded: what refunds took back.
        voided: the positions of entries that are void, ascending.
    """

    registry: Registry
    accounts_by_run: Integers
    corrections: Corrections
    exceptions: Exceptions
    balances: Balances
    months: Integers
    first_month: int
    keys: Sequence[Keys]
    people: Sequence[Keys]
    facts: Sequence[np.ndarray]
    refunded: Refunded
    voided: Positions = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def empty(cls) -> "Past":
        """The past of a fresh book."""
        nothing = np.empty(0, np.int64)
        return cls(
            Registry.empty(),
            nothing,
            Corrections(),
            Exceptions.none(),
            Balances.zero(0),
            np.zeros((0, 0), np.int64),
            0,
            (),
            (),
            (),
            Refunded(nothing, nothing),
        )

    def with_registry(
        self, registry: Registry, corrections: Corrections, exceptions: Exceptions
    ) -> "Past":
        """The past with other enrollments in force."""
        return replace(
            self,
            registry=registry,
            corrections=corrections,
            exceptions=exceptions,
            balances=self.balances.grown(registry.people),
        )

    def entries_of(
        self, service_id: pl.Series, transaction_id: pl.Series, before_run: int | None = None
    ) -> Positions:
        """The position of each transaction's latest entry, void or not, or -1 where there is none;
        of entries that an earlier run booked, if so asked.
        """
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
            if not rows.size:
                continue
            checks = key_checks(service_id.gather(rows), transaction_id.gather(rows))
            while rows.size:
                positions = segment.positions[at]
                same = self.facts_at(positions)["check"] == checks
                if before_run is not None:
                    same &= positions < before_run << RUN_SHIFT
                found[rows[same]] = np.maximum(found[rows[same]], positions[same])
                # The same key, booked again, or another key of the same hash stands next to it.
                at = at + 1
                on = at < segment.hashes.size
                on[on] = segment.hashes[at[on]] == wanted[rows[on]]
                rows, checks, at = rows[on], checks[on], at[on]
        return found

    def in_force(self, positions: Positions) -> npt.NDArray[np.bool_]:
        """Whether these positions, -1 for none, are entries that are not void."""
        held = positions >= 0
        if self.voided.size:
            _, void = places_in(self.voided, positions)
            held &= ~void
        return held

    def booked_at(self, service_id: pl.Series, transaction_id: pl.Series) -> Positions:
        """The position of each transaction's entry in force, or -1 where it has none."""
        positions = self.entries_of(service_id, transaction_id)
        return np.where(self.in_force(positions), positions, -1)

    def facts_at(self, positions: Positions) -> np.ndarray:
        """The facts of the entries at these positions."""
        taken = np.empty(positions.size, FACT)
        runs = positions >> RUN_SHIFT
        for run in np.unique(runs):
            mine = runs == run
            taken[mine] = self.facts[run - 1][positions[mine] & _PLACES]
        return taken

    def refunded_at(self, positions: Positions) -> Integers:
        """Yen taken back from the originals at these positions."""
        at, hit = places_in(self.refunded.positions, positions)
        yen = np.zeros(positions.size, np.int64)
        yen[hit] = self.refunded.yen[at[hit]]
        return yen

    def positions_of(self, person_nos: Numbers) -> Positions:
        """The positions of all entries of some people, each once; by person, then ascending."""
        found: list[Positions] = [np.empty(0, np.int64)]
        wanted = np.sort(person_keys(person_nos))
        for segment in self.people:
            at = np.searchsorted(segment.hashes, wanted)
            until = np.searchsorted(segment.hashes, wanted, side="right")
            places = _ranges(at, until)
            firsts = segment.positions[places]
            if firsts.size == 0:
                continue
            people = self.facts_at(firsts)["person_no"]
            while firsts.size:
                found.append(firsts)
                runs = firsts >> RUN_SHIFT
                ends = np.array([self.facts[run - 1].size for run in runs.tolist()])
                firsts = firsts + 1
                on = (firsts & _PLACES) < ends
                firsts, people = firsts[on], people[on]
                same = self.facts_at(firsts)["person_no"] == people
                firsts, people = firsts[same], people[same]
        positions = np.concatenate(found)
        order = np.lexsort((positions, self.facts_at(positions)["person_no"]))
        return positions[order]

    def history_of(self, person_nos: Numbers) -> History:
        """The charges and purchases in force of some people."""
        positions = self.positions_of(person_nos)
        facts = self.facts_at(positions)
        stays = (facts["spends"] > 0) & self.in_force(positions)
        positions, facts = positions[stays], facts[stays]
        return History(
            facts["person_no"].astype(np.int64),
            positions,
            facts["account_no"].astype(np.int64),
            facts["occurred_at"].copy(),
            facts["signed_amount"] - self.refunded_at(positions),
        )

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


def person_keys(person_nos: Numbers) -> Hashes:
    """Person numbers, spread evenly over 64 bits; no two get the same."""
    return person_nos.astype(np.uint64) * _PERSON_MULTIPLIER


def _ranges(starts: Numbers, ends: Numbers) -> Numbers:
    """All numbers from each start to before its end."""
    lengths = ends - starts
    before = np.repeat(np.cumsum(lengths) - lengths, lengths)
    ranges: Numbers = np.arange(lengths.sum()) - before + np.repeat(starts, lengths)
    return ranges


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

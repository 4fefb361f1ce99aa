"""What the book knows: everything that a new run must know of the entries booked before.

All of it follows from the ledger and the other tables of the runs (``remembered``), so it may be
thrown away and made again; it is kept only so that a night costs what the night delivers.

An entry is known by its position in the book (``BookPosition``).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.exceptions import Exceptions
from engine.booking.index_spaces import BookPositions
from engine.booking.registry import Numbers, Registry
from engine.columns.hashing import (
    CHECK_SEED,
    Hashes,
    Positions,
    combined,
    hash_coded,
    hash_pair,
    hash_text,
    hash_texts,
    places_in,
)
from engine.records import Kind

Integers = npt.NDArray[np.int64]
AccountNumbers = npt.NDArray[np.int32] | npt.NDArray[np.int64]

RUN_SHIFT: Final = 32
_PLACES: Final = (1 << RUN_SHIFT) - 1
_DAY_US: Final = 24 * 60 * 60 * 1_000_000
# Months are below 12 * 10,000.
_MONTH_BITS: Final = 20
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


class PositionFinder(Protocol):
    """Positions by 64-bit keys, wherever they are kept."""

    def find(self, ascending: Hashes, /) -> tuple[Positions, BookPositions]:
        """All positions of each of the ascending keys: the key's place among them, the position."""


class Keys(NamedTuple):
    """Entries' positions by a 64-bit key, ascending; of equal keys, by position."""

    hashes: Hashes
    positions: BookPositions

    def find(self, ascending: Hashes, /) -> tuple[Positions, BookPositions]:
        """See ``PositionFinder``."""
        starts = np.searchsorted(self.hashes, ascending)
        stops = np.searchsorted(self.hashes, ascending, side="right")
        rows = np.repeat(np.arange(ascending.size), stops - starts)
        return rows, self.positions[_ranges(starts, stops)]


class FactRows(Protocol):
    """Facts, wherever they are kept."""

    @property
    def size(self) -> int:
        """How many there are."""

    def take(self, indices: Positions, /) -> npt.NDArray[Any]:
        """Those at these places."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of all entries, in the order of the runs.

    Attributes:
        parts: each of one run or several.
        entries_by_run: by run number less one.
    """

    parts: Sequence[FactRows] = ()
    entries_by_run: Integers = field(default_factory=lambda: np.empty(0, np.int64))

    def with_run(self, facts: FactRows) -> "Facts":
        """The facts with those of a further run."""
        return Facts((*self.parts, facts), np.append(self.entries_by_run, facts.size))

    def take(self, positions: BookPositions) -> npt.NDArray[Any]:
        """The facts of the entries at these positions."""
        ends = np.cumsum(self.entries_by_run)
        runs = (positions >> RUN_SHIFT) - 1
        at = ends[runs] - self.entries_by_run[runs] + (positions & _PLACES)
        beyond = np.cumsum([part.size for part in self.parts])
        numbers = np.searchsorted(beyond, at, side="right")
        taken = np.empty(positions.size, FACT)
        for number in np.unique(numbers).tolist():
            part, of_part = self.parts[number], np.flatnonzero(numbers == number)
            taken[of_part] = part.take(at[of_part] - (beyond[number] - part.size))
        return taken


class RefundSums(NamedTuple):
    """By original's position, ascending: what refunds in force took back of it."""

    positions: BookPositions
    yen: Integers


class Months(NamedTuple):
    """Counted yen of accounts whose points are rounded by month, by ``month_keys``, ascending."""

    keys: Integers
    yen: Integers


class History(NamedTuple):
    """Charges and purchases of some people that are in force, in booking order.

    Attributes:
        person_nos: ascending.
        positions: ascending within a person.
        left_yen: the amounts less what refunds took back.
    """

    person_nos: Numbers
    positions: BookPositions
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
        counted: counted yen by account number.
        months: the same of accounts rounded by month; what takes back, and what counts anew,
            stands in the month of the charge or purchase.
        keys: where the entries of a transaction are, in segments.
        people: where a person's entries of a run begin, in segments; keys are ``person_keys``.
        facts: those of all entries.
        refunded: what refunds took back.
        voided: the positions of entries that are void, ascending.
    """

    registry: Registry
    accounts_by_run: Integers
    corrections: Corrections
    exceptions: Exceptions
    balances: Balances
    counted: Integers
    months: Months
    keys: Sequence[PositionFinder]
    people: Sequence[PositionFinder]
    facts: Facts
    refunded: RefundSums
    voided: BookPositions = field(default_factory=lambda: np.empty(0, np.int64))

    @classmethod
    def empty(cls) -> "Past":
        """The past of a fresh book."""
        nothing = np.empty(0, np.int64)
        none_booked: BookPositions = np.empty(0, np.int64)
        return cls(
            Registry.empty(),
            nothing,
            Corrections(),
            Exceptions.none(),
            Balances.zero(0),
            nothing,
            Months(nothing, nothing),
            (),
            (),
            Facts(),
            RefundSums(none_booked, nothing),
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
    ) -> BookPositions:
        """The position of each transaction's latest entry, void or not, or -1 where there is none;
        of entries that an earlier run booked, if so asked.
        """
        found: BookPositions = np.full(len(service_id), -1, np.int64)
        if not self.keys or not found.size:
            return found
        wanted = hash_pair(service_id, transaction_id)
        # In ascending order the searches walk through a segment instead of jumping about in it.
        order = np.argsort(wanted)
        ascending = wanted[order]
        for segment in self.keys:
            at, positions = segment.find(ascending)
            if not at.size:
                continue
            rows = order[at]
            checks = key_checks(service_id[rows], transaction_id[rows])
            # The same key, booked again, or another key of the same hash.
            same = self.facts_at(positions)["check"] == checks
            if before_run is not None:
                same &= positions < before_run << RUN_SHIFT
            np.maximum.at(found, rows[same], positions[same])
        return found

    def in_force(self, positions: BookPositions) -> npt.NDArray[np.bool_]:
        """Whether these positions, -1 for none, are entries that are not void."""
        held = positions >= 0
        if self.voided.size:
            _, void = places_in(self.voided, positions)
            held &= ~void
        return held

    def booked_at(self, service_id: pl.Series, transaction_id: pl.Series) -> BookPositions:
        """The position of each transaction's entry in force, or -1 where it has none."""
        positions = self.entries_of(service_id, transaction_id)
        return np.where(self.in_force(positions), positions, -1)

    def facts_at(self, positions: BookPositions) -> np.ndarray:
        """The facts of the entries at these positions."""
        return self.facts.take(positions)

    def refunded_at(self, positions: BookPositions) -> Integers:
        """Yen taken back from the originals at these positions."""
        return _sums_at(*self.refunded, positions)

    def positions_of(self, person_nos: Numbers) -> BookPositions:
        """The positions of all entries of some people, each once; by person, then ascending."""
        found: list[BookPositions] = [np.empty(0, np.int64)]
        wanted = np.sort(person_keys(person_nos))
        for segment in self.people:
            _, firsts = segment.find(wanted)
            people = self.facts_at(firsts)["person_no"]
            while firsts.size:
                found.append(firsts)
                firsts = firsts + 1
                on = (firsts & _PLACES) < self.facts.entries_by_run[(firsts >> RUN_SHIFT) - 1]
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
        known = account_nos < self.counted.size
        counted[known] = self.counted[account_nos[known]]
        return counted

    def counted_in_months(self, account_nos: AccountNumbers, months: Integers) -> Integers:
        """Counted yen of each account, which is rounded by month, in the month beside it."""
        return _sums_at(*self.months, month_keys(account_nos, months))


def month_keys(account_nos: AccountNumbers, months: Integers) -> Integers:
    """One number for an account and a month: ascending by account, then by month."""
    return (account_nos.astype(np.int64) << _MONTH_BITS) + months


def _sums_at(ascending: Integers, sums: Integers, wanted: Integers) -> Integers:
    at, hit = places_in(ascending, wanted)
    found = np.zeros(wanted.size, np.int64)
    found[hit] = sums[at[hit]]
    return found


def summed(
    ascending: Integers, sums: Integers, keys: Integers, more: Integers
) -> tuple[Integers, Integers]:
    """Sums by ascending keys, with more added to some of them, old or new, in any order."""
    fresh, of = np.unique(keys, return_inverse=True)
    added = np.zeros(fresh.size, np.int64)
    np.add.at(added, of, more)
    at, known = places_in(ascending, fresh)
    sums = sums.copy()
    sums[at[known]] += added[known]
    fresh, added = fresh[~known], added[~known]
    between = np.searchsorted(ascending, fresh)
    return np.insert(ascending, between, fresh), np.insert(sums, between, added)


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
    said = [
        name
        for name in ("original_transaction_id", "method")
        if frame[name].null_count() < frame.height
    ]
    names = ("transaction_id", "account_id", *said)
    texts = dict(zip(names, hash_texts([frame[n] for n in names], CHECK_SEED), strict=True))
    content = combined(combined(key_hashes, texts["transaction_id"]), texts["account_id"])
    for numbers in (frame["occurred_at"].cast(pl.Int64), frame["amount"]):
        content = combined(content, numbers.to_numpy().view(np.uint64))
    content = combined(content, hash_coded(frame["kind"].cast(Kind), CHECK_SEED))
    for name in ("original_transaction_id", "method"):
        content = combined(content, texts.get(name, _NO_TEXT))
    return content


_NO_TEXT: Final = hash_text(pl.Series([None], dtype=pl.String), CHECK_SEED)


def jst_months(instants_us: Integers) -> Integers:
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

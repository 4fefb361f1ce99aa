"""A person's entries, each recalculated from the ones before it: what counted, what it earned, why.

The ledger is followed but not trusted: what an entry says is kept beside what follows from the
entries before it.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from engine.records import RECOUNT, VOIDS
from engine.terms.services import ROUNDINGS, Rounding

REFUND: Final = "refund"
SPENDINGS: Final = ("charge", "purchase")

Group = tuple[str, ...]
"""A rounding group: service and account, and the month or the transaction where it rounds so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger, its columns as specified; yen and points are whole."""

    run_id: str
    booked_on: dt.date
    person_id: str
    entry_seq: int
    service_id: str
    account_id: str
    transaction_id: str
    occurred_at: dt.datetime
    kind: str
    amount: int
    original_transaction_id: str | None
    method: str | None
    enrolled_account_id: str | None
    net_amount: int
    counted_amount: int
    points: int
    net_spend_after: int
    points_after: int
    event_id: str | None

    @property
    def is_void(self) -> bool:
        return self.kind in VOIDS

    @property
    def is_recount(self) -> bool:
        return self.kind == RECOUNT

    @property
    def takes_back(self) -> bool:
        """Whether it takes a charge or a purchase back, or is the void of that."""
        return self.kind in (REFUND, "refund_void")

    @property
    def key(self) -> tuple[str, str]:
        return self.service_id, self.transaction_id

    @property
    def account(self) -> tuple[str, str]:
        """The service, and the account of the enrollment."""
        return self.service_id, self.enrolled_account_id or self.account_id

    @property
    def spending_id(self) -> str:
        """The transaction whose spending this is, or takes back."""
        return self.original_transaction_id or self.transaction_id


class ServiceTerms(NamedTuple):
    """What a run awarded by, for one service; ``book_format`` is the run's."""

    rounding: Rounding
    cap_yen: int
    numerator: int
    denominator: int
    book_format: int


class Worth(NamedTuple):
    """What counted yen are worth: whole points, and the parts of a point that were cut off, of
    which ``denominator`` make one.
    """

    points: int
    fraction: int
    denominator: int

    @classmethod
    def of(cls, counted_yen: int, terms: ServiceTerms) -> "Worth":
        """Rounded toward minus infinity, as the rules are."""
        return cls(
            *divmod(counted_yen * terms.numerator, terms.denominator),
            terms.denominator,
        )


@dataclass(frozen=True, slots=True)
class EntryExplanation:
    """An entry, and what follows from the entries before it.

    Attributes:
        month: the calendar month of its rounding group, where the service rounds by month.
        net_before_yen: the person's net spend before it.
        net_yen, counted_yen, points, net_after_yen, points_after: what its columns should say.
        group_before_yen, group_after_yen: the counted yen of its rounding group around it.
        original: what it reverses, when that is in the ledger before it; ``left_yen`` was left.
        voids: the entry that it voids.
        cause: the entry that a recount follows from.
        inherited: whether it is a recount of something that format 1 counted differently.
        refunds: the entries that reverse it and are not void.
        voided_by: the entry that voids it, if there is one.
        event: the event that caused it, as it was delivered.
    """

    entry: Entry
    terms: ServiceTerms
    month: str | None
    net_before_yen: int
    net_yen: int
    net_after_yen: int
    counted_yen: int
    points: int
    points_after: int
    group_before_yen: int
    group_after_yen: int
    original: Entry | None = None
    left_yen: int = 0
    voids: Entry | None = None
    cause: Entry | None = None
    inherited: bool = False
    refunds: list[Entry] = field(default_factory=list)
    voided_by: list[Entry] = field(default_factory=list)
    event: Mapping[str, Any] | None = None

    @property
    def worth_before(self) -> Worth:
        return Worth.of(self.group_before_yen, self.terms)

    @property
    def worth_after(self) -> Worth:
        return Worth.of(self.group_after_yen, self.terms)

    @property
    def agrees(self) -> bool:
        """Whether the entry says what follows from the ones before it."""
        entry = self.entry
        return (
            self.net_yen,
            self.counted_yen,
            self.points,
            self.net_after_yen,
            self.points_after,
        ) == (
            entry.net_amount,
            entry.counted_amount,
            entry.points,
            entry.net_spend_after,
            entry.points_after,
        )


def explained(
    entries: Sequence[Entry],
    terms: Mapping[tuple[str, str], ServiceTerms],
    events: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> list[EntryExplanation]:
    """A person's entries, in their order, each with what follows from the ones before it.

    ``terms`` are by run and service, ``events`` by ID. A sum is taken up from the entry before as
    the ledger has it, so that a fault is reported where it is, and not on every entry after it.
    """
    account = _Account(terms, events)
    return [account.explain(entry, entries[place + 1 :]) for place, entry in enumerate(entries)]


@dataclass(slots=True)
class _Spending:
    """A booked charge or purchase, and what is left of it."""

    explained: EntryExplanation
    left_yen: int


class _Change(NamedTuple):
    """What an entry changes in one rounding group: from which transaction on, and how much."""

    first: _Spending
    group: Group
    yen: int


class _Account:
    """A person's account as far as it has been explained."""

    def __init__(
        self,
        terms: Mapping[tuple[str, str], ServiceTerms],
        events: Mapping[str, Mapping[str, Any]],
    ) -> None:
        self._terms, self._events = terms, events
        self._groups: defaultdict[Group, int] = defaultdict(int)
        self._spendings: list[_Spending] = []
        self._booked: dict[tuple[str, str], EntryExplanation] = {}
        self._of: dict[tuple[str, str], _Spending] = {}
        self._recounts: list[tuple[Entry | None, _Change]] = []
        # What format 1 counted of each charge or purchase.
        self._by_format_1: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._ahead: Entry | None = None
        self._net = self._points = 0

    def explain(self, entry: Entry, following: Sequence[Entry]) -> EntryExplanation:
        terms = self._terms[entry.run_id, entry.service_id]
        voids = self._booked.get(entry.key) if entry.is_void else None
        spending = self._spending_of(entry)
        original = spending.explained.entry if spending and entry.takes_back else None
        net = self._net_of(entry, terms, voids, spending)
        cause = change = None
        month = f"{(original or entry).occurred_at:%Y-%m}"
        group = self._group(entry, terms, month)
        if entry.is_recount:
            cause, change = self._recount(following, terms.cap_yen)
            counted = change.yen if change and change.first is spending else 0
        else:
            counted = self._count(entry, net, terms, spending, group)
        before = self._groups[group]
        points = Worth.of(before + counted, terms).points - Worth.of(before, terms).points
        explained = EntryExplanation(
            entry=entry,
            terms=terms,
            month=month if terms.rounding == "month" else None,
            net_before_yen=self._net,
            net_yen=net,
            net_after_yen=self._net + net,
            counted_yen=counted,
            points=points,
            points_after=self._points + points,
            group_before_yen=before,
            group_after_yen=before + counted,
            original=original,
            left_yen=spending.left_yen if spending else 0,
            voids=voids.entry if voids else None,
            cause=cause,
            inherited=change is not None and cause is None,
            event=self._events.get(entry.event_id or ""),
        )
        self._book(explained, voids, spending)
        return explained

    def _group(self, entry: Entry, terms: ServiceTerms, month: str) -> Group:
        if terms.rounding == "month":
            return (*entry.account, "month", month)
        if terms.rounding == "transaction":
            return (*entry.account, "transaction", entry.spending_id)
        return entry.account

    def _spending_of(self, entry: Entry) -> _Spending | None:
        if entry.kind in SPENDINGS:
            return None
        return self._of.get((entry.service_id, entry.spending_id))

    def _net_of(
        self,
        entry: Entry,
        terms: ServiceTerms,
        voids: EntryExplanation | None,
        spending: _Spending | None,
    ) -> int:
        if entry.is_recount:
            return 0
        if entry.is_void:
            return -voids.entry.net_amount if voids else 0
        if entry.kind != REFUND:
            return entry.amount
        if terms.book_format == 1 or spending is None:
            return -entry.amount
        return -min(entry.amount, max(spending.left_yen, 0))

    def _count(
        self, entry: Entry, net: int, terms: ServiceTerms, spending: _Spending | None, group: Group
    ) -> int:
        """What counts in the entry's own group; recounts of other groups are to follow it."""
        if spending is None or terms.book_format == 1:
            return _held(self._net + net, terms.cap_yen) - _held(self._net, terms.cap_yen)
        changes = self._changes(spending, net, terms.cap_yen)
        if net < 0:
            self._recounts = [
                (entry, change) for change in changes if change.group != group and change.yen
            ]
        return sum(change.yen for change in changes if change.group == group)

    def _changes(self, changed: _Spending, net: int, cap_yen: int) -> list[_Change]:
        """By rounding group, what counts differently once ``net`` more is left of a transaction."""
        changes: list[tuple[_Spending, int]] = []
        before = after = 0
        for spending in self._spendings:
            then = _held(before + spending.left_yen, cap_yen) - _held(before, cap_yen)
            left = spending.left_yen + (net if spending is changed else 0)
            now = _held(after + left, cap_yen) - _held(after, cap_yen)
            before, after = before + spending.left_yen, after + left
            changes.append((spending, now - then))
        return self._by_group(changes)

    def _inherited(self, cap_yen: int) -> list[_Change]:
        """By rounding group, what counts differently than format 1 had it: less first."""
        changes: list[tuple[_Spending, int]] = []
        before = 0
        for spending in self._spendings:
            after = before + spending.left_yen
            yen = _held(after, cap_yen) - _held(before, cap_yen)
            changes.append((spending, yen - self._by_format_1[spending.explained.entry.key]))
            before = after
        return sorted(self._by_group(changes), key=lambda change: change.yen > 0)

    def _by_group(self, changes: Iterable[tuple[_Spending, int]]) -> list[_Change]:
        """What transactions count differently, summed by rounding group."""
        found: dict[Group, _Change] = {}
        for spending, yen in changes:
            if yen:
                of = spending.explained
                group = self._group(of.entry, of.terms, f"{of.entry.occurred_at:%Y-%m}")
                first, sum_yen = found[group][::2] if group in found else (spending, 0)
                found[group] = _Change(first, group, sum_yen + yen)
        return list(found.values())

    def _recount(
        self, following: Sequence[Entry], cap_yen: int
    ) -> tuple[Entry | None, _Change | None]:
        """What a recount follows from: the entry before, or a void to come that takes room away, or
        no entry, but what format 1 counted otherwise.
        """
        if self._by_format_1:
            self._recounts = [(None, change) for change in self._inherited(cap_yen) if change.yen]
            self._by_format_1.clear()
        if not self._recounts:
            ahead = next((entry for entry in following if not entry.is_recount), None)
            voids = self._booked.get(ahead.key) if ahead and ahead.kind == "refund_void" else None
            if ahead is None or voids is None or ahead is self._ahead:
                return None, None
            spending = self._spending_of(ahead)
            if spending is None:
                return None, None
            self._ahead = ahead
            terms = self._terms[ahead.run_id, ahead.service_id]
            own = self._group(ahead, terms, f"{spending.explained.entry.occurred_at:%Y-%m}")
            changes = self._changes(spending, -voids.entry.net_amount, terms.cap_yen)
            self._recounts = [
                (ahead, change) for change in changes if change.group != own and change.yen
            ]
        return self._recounts.pop(0) if self._recounts else (None, None)

    def _book(
        self,
        explained: EntryExplanation,
        voids: EntryExplanation | None,
        spending: _Spending | None,
    ) -> None:
        entry = explained.entry
        if entry.kind in SPENDINGS:
            self._of[entry.key] = _Spending(explained, entry.net_amount)
            self._spendings.append(self._of[entry.key])
        elif spending is not None:
            spending.left_yen += entry.net_amount
        if entry.kind in (*SPENDINGS, REFUND):
            self._booked[entry.key] = explained
        if entry.kind == REFUND and spending is not None:
            spending.explained.refunds.append(entry)
        if voids is not None:
            voids.voided_by.append(entry)
            if (
                entry.kind == "refund_void"
                and spending
                and voids.entry in spending.explained.refunds
            ):
                spending.explained.refunds.remove(voids.entry)
        if explained.terms.book_format == 1:
            self._by_format_1[entry.service_id, entry.spending_id] += entry.counted_amount
        elif not entry.is_recount:
            self._by_format_1.clear()
        # A service may change its rounding, so the sums of every kind of group are kept.
        month = f"{(explained.original or entry).occurred_at:%Y-%m}"
        for rounding in ROUNDINGS:
            terms = explained.terms._replace(rounding=rounding)
            self._groups[self._group(entry, terms, month)] += entry.counted_amount
        self._net, self._points = entry.net_spend_after, entry.points_after


def _held(net_yen: int, cap_yen: int) -> int:
    return min(max(net_yen, 0), cap_yen)


def disagreeing(entries: Sequence[EntryExplanation]) -> list[EntryExplanation]:
    """The entries that do not say what follows from the ones before them."""
    return [entry for entry in entries if not entry.agrees]

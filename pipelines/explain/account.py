"""A person's entries, each recalculated from the ones before it: what counted, what it earned, why.

This follows the ledger, it does not trust it: what an entry says and what follows from the entries
before it stand beside each other.
"""

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from engine.terms.services import Rounding

REFUND: Final = "refund"


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the ledger, its columns as the contract names them; yen and points are whole."""

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
    counted_amount: int
    points: int
    net_spend_after: int
    points_after: int

    @property
    def signed_yen(self) -> int:
        return -self.amount if self.kind == REFUND else self.amount

    @property
    def spending_id(self) -> str:
        """The transaction whose spending this is, or takes back."""
        return self.original_transaction_id or self.transaction_id


class Terms(NamedTuple):
    """What a run awarded by, for one service."""

    rounding: Rounding
    cap_yen: int
    numerator: int
    denominator: int


class Worth(NamedTuple):
    """What counted yen are worth: whole points, and the parts of a point that were cut off, of
    which ``denominator`` make one.
    """

    points: int
    fraction: int
    denominator: int

    @classmethod
    def of(cls, counted_yen: int, terms: Terms) -> "Worth":
        """Rounded toward minus infinity, as the rules are."""
        return cls(
            *divmod(counted_yen * terms.numerator, terms.denominator),
            terms.denominator,
        )


@dataclass(frozen=True, slots=True)
class Explained:
    """An entry, and what follows from the entries before it.

    Attributes:
        month: the calendar month of its rounding group, where the service rounds by month.
        net_before_yen: the person's net spend before it.
        counted_yen, points, net_after_yen, points_after: what its columns should say.
        group_before_yen, group_after_yen: the counted yen of its rounding group around it.
        original: what it reverses, when that is in the ledger before it.
        refunds: the entries that reverse it.
    """

    entry: Entry
    terms: Terms
    month: str | None
    net_before_yen: int
    net_after_yen: int
    counted_yen: int
    points: int
    points_after: int
    group_before_yen: int
    group_after_yen: int
    original: Entry | None
    refunds: list[Entry] = field(default_factory=list)

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
        return (self.counted_yen, self.points, self.net_after_yen, self.points_after) == (
            entry.counted_amount,
            entry.points,
            entry.net_spend_after,
            entry.points_after,
        )


def explained(entries: Iterable[Entry], terms: Mapping[tuple[str, str], Terms]) -> list[Explained]:
    """A person's entries, in their order, each with what follows from the ones before it.

    ``terms`` are by run and service. A sum is taken up from the entry before as the ledger has it,
    so that a fault is reported where it is, and not on every entry after it.
    """
    groups: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    spendings: dict[tuple[str, str], Explained] = {}
    told: list[Explained] = []
    net_before = points_before = 0
    for entry in entries:
        of_run = terms[entry.run_id, entry.service_id]
        account = (entry.service_id, entry.account_id)
        original = None
        if entry.kind == REFUND:
            original = spendings.get((entry.service_id, entry.spending_id))
        month = f"{(original.entry if original else entry).occurred_at:%Y-%m}"
        group_of: dict[Rounding, tuple[Any, ...]] = {
            "cumulative": account,
            "month": (*account, "month", month),
            "transaction": (*account, "transaction", entry.spending_id),
        }
        group_before = groups[group_of[of_run.rounding]]
        net_after = net_before + entry.signed_yen
        counted = _held(net_after, of_run.cap_yen) - _held(net_before, of_run.cap_yen)
        points = (
            Worth.of(group_before + counted, of_run).points - Worth.of(group_before, of_run).points
        )
        one = Explained(
            entry=entry,
            terms=of_run,
            month=month if of_run.rounding == "month" else None,
            net_before_yen=net_before,
            net_after_yen=net_after,
            counted_yen=counted,
            points=points,
            points_after=points_before + points,
            group_before_yen=group_before,
            group_after_yen=group_before + counted,
            original=original.entry if original else None,
        )
        if original:
            original.refunds.append(entry)
        elif entry.kind != REFUND:
            spendings[entry.service_id, entry.transaction_id] = one
        # A service may come to round otherwise, so each kind of group is kept.
        for group in group_of.values():
            groups[group] += entry.counted_amount
        net_before, points_before = entry.net_spend_after, entry.points_after
        told.append(one)
    return told


def _held(net_yen: int, cap_yen: int) -> int:
    return min(max(net_yen, 0), cap_yen)


def disagreeing(told: Sequence[Explained]) -> list[Explained]:
    """The entries that do not say what follows from the ones before them."""
    return [one for one in told if not one.agrees]

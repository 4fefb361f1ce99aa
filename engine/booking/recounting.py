"""Recounting: people whose entries change what other transactions count, booked one by one.

What counts is decided transaction by transaction, in booking order, on what is left of each. A
refund or a void changes what is left, and so what later transactions count. Where that crosses
rounding groups, recounts say so. Few people need it; each is taken alone, in plain Python.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.rules.award import worth
from engine.terms.programme import Programme

Group = tuple[int, ...]
"""A rounding group: the account's number, and the month or the transaction where it rounds so."""
Source = int
"""A transaction: its position in the book, or -1 less its place among the rows of the slice."""


@dataclass(slots=True)
class Spending:
    """A booked charge or purchase, and what is left of it."""

    source: Source
    group: Group
    left_yen: int
    counted_yen: int = 0


class Move(NamedTuple):
    """What is to be booked next for a person.

    Attributes:
        source: what the entry repeats: a row of the slice, or the entry that is voided.
        of: the charge or purchase that it adds, takes back, or restores.
        net_yen: what it adds to net spend.
        is_new: whether it books a charge or a purchase of its own.
        group: of a new one.
        is_void: whether it voids the entry at ``source``.
    """

    source: Source
    of: Source
    net_yen: int
    is_new: bool
    group: Group
    is_void: bool = False


class Entry(NamedTuple):
    """What a ledger entry says beside the row that it repeats.

    Attributes:
        caused_by: the move that it books or follows from; None of what format 1 counted otherwise.
    """

    source: Source
    is_void: bool
    is_recount: bool
    caused_by: Source | None
    net_yen: int
    counted_yen: int
    points: int
    net_spend_after: int
    points_after: int


@dataclass(slots=True)
class Person:
    """A person's transactions in booking order, and sums.

    Attributes:
        counted_yen: what the book says that each transaction counts, where that is not what
            follows: then ``book`` says so first, by recounts.
    """

    spendings: list[Spending]
    net_spend_yen: int
    points: int
    programme: Programme
    counted_yen: Mapping[Source, int] | None = None
    _places: dict[Source, int] = field(init=False)
    _groups: dict[Group, int] = field(init=False)

    def __post_init__(self) -> None:
        self._places = {spending.source: n for n, spending in enumerate(self.spendings)}
        self._groups = {}
        if self.counted_yen is None:
            self._count(self.spendings, 0)
        else:
            for spending in self.spendings:
                spending.counted_yen = self.counted_yen[spending.source]
        for spending in self.spendings:
            self._add(spending.group, spending.counted_yen)

    def _add(self, group: Group, yen: int) -> None:
        self._groups[group] = self._groups.get(group, 0) + yen

    def _count(self, spendings: Iterable[Spending], before_yen: int) -> list[Spending]:
        """Counts transactions anew; those whose count changed keep the old one in the result."""
        changed, total = [], before_yen
        for spending in spendings:
            counted = self._below_the_cap(total, spending.left_yen)
            if counted != spending.counted_yen:
                changed.append(
                    Spending(spending.source, spending.group, 0, counted - spending.counted_yen)
                )
                spending.counted_yen = counted
            total += spending.left_yen
        return changed

    def _below_the_cap(self, before_yen: int, yen: int) -> int:
        """What so much more spending counts."""
        cap_yen = self.programme.cap_yen
        return min(before_yen + yen, cap_yen) - min(before_yen, cap_yen)

    def book(self, moves: Sequence[Move]) -> list[Entry]:
        """The entries of these moves, with their recounts."""
        entries = [] if self.counted_yen is None else self._put_right()
        for move in moves:
            entries += self._book(move)
        return entries

    def _put_right(self) -> list[Entry]:
        """Recounts of the groups whose transactions do not count what follows.

        What takes room away is said first, so that nobody is above the cap at any entry.
        """
        changes = self._changes(self._count(self.spendings, 0))
        return self._recounts(dict(sorted(changes.items(), key=lambda change: change[1][1] > 0)))

    @staticmethod
    def _changes(changed: Iterable[Spending]) -> dict[Group, tuple[Source, int]]:
        """By group, the first transaction whose count changed, and the group's change."""
        changes: dict[Group, tuple[Source, int]] = {}
        for change in changed:
            first, counted = changes.get(change.group, (change.source, 0))
            changes[change.group] = first, counted + change.counted_yen
        return changes

    def _book(self, move: Move) -> list[Entry]:
        if move.is_new:
            return [self._spend(move)]
        place = self._places[move.of]
        self.spendings[place].left_yen += move.net_yen
        own = self.spendings[place].group
        before_yen = sum(spending.left_yen for spending in self.spendings[:place])
        changes = self._changes(self._count(self.spendings[place:], before_yen))
        _, counted = changes.pop(own, (move.of, 0))
        # What takes room away is said first, so that nobody is above the cap at any entry.
        if move.net_yen > 0:
            return [*self._recounts(changes, move), self._own(move, own, counted)]
        return [self._own(move, own, counted), *self._recounts(changes, move)]

    def _spend(self, move: Move) -> Entry:
        """Books a new charge or purchase: it is the last one, so no other counts otherwise."""
        counted = self._below_the_cap(self.net_spend_yen, move.net_yen)
        self._places[move.source] = len(self.spendings)
        self.spendings.append(Spending(move.source, move.group, move.net_yen, counted))
        return self._own(move, move.group, counted)

    def _own(self, move: Move, group: Group, counted: int) -> Entry:
        self.net_spend_yen += move.net_yen
        sums = self._sums(group, counted)
        is_recount = False
        return Entry(
            move.source, move.is_void, is_recount, move.source, move.net_yen, counted, *sums
        )

    def _recounts(
        self, changes: Mapping[Group, tuple[Source, int]], cause: Move | None = None
    ) -> list[Entry]:
        is_void, is_recount, caused_by = False, True, None if cause is None else cause.source
        return [
            Entry(first, is_void, is_recount, caused_by, 0, counted, *self._sums(group, counted))
            for group, (first, counted) in changes.items()
            if counted
        ]

    def _sums(self, group: Group, counted: int) -> tuple[int, int, int]:
        """The points of so much more counted in a group, net spend and points after it."""
        held = self._groups.get(group, 0)
        points = worth(held + counted, self.programme) - worth(held, self.programme)
        self._add(group, counted)
        self.points += points
        return points, self.net_spend_yen, self.points

"""Recounting: what refunds and voids change of what a person's transactions count.

What counts is decided transaction by transaction, in booking order, on what is left of each: those
below the cap count in full, the one that reaches it in part, and those after it not at all. So a
change of what is left gives room to, or takes it from, the transactions about that one place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Change = tuple[int, int]
"""The place of a charge or purchase, and by how many yen more it counts."""


class Recount(NamedTuple):
    """A rounding group that counts otherwise because of a move of another group.

    Attributes:
        place: of the first charge or purchase of the group whose count changed.
        counted_yen: how much more the group counts.
    """

    place: int
    counted_yen: int


@dataclass(slots=True)
class Counting:
    """Charges and purchases of some people, person by person, in booking order.

    A person's moves are made in booking order, and all of them before the next person's.

    Attributes:
        left_yen: what is left of each.
        counted_yen: what each counts.
        groups: the rounding group of each, as a number.
        cap_yen: how much of a person's spending counts.
    """

    left_yen: list[int]
    counted_yen: list[int]
    groups: Sequence[int]
    cap_yen: int
    _first: int = field(default=-1, init=False)
    _full_until: int = field(default=0, init=False)

    def move(
        self, first: int, place: int, stop: int, net_before_yen: int, net_yen: int
    ) -> tuple[int, list[Recount]]:
        """What a group counts more after a refund or void, and what it recounts in other groups.

        Args:
            first: the place of the person's first charge or purchase.
            place: of the one that has ``net_yen`` more left, or less.
            stop: the place after the last one that is booked by now.
            net_before_yen: the person's net spend before.
            net_yen: what is left more: negative for a refund.
        """
        if first != self._first:
            self._first = self._full_until = first
        if net_yen < 0:
            changes = self._take(place, stop, -net_yen)
        else:
            changes = self._restore(place, stop, max(0, self.cap_yen - net_before_yen), net_yen)
        return self._by_group(changes, self.groups[place])

    def _take(self, place: int, stop: int, yen: int) -> list[Change]:
        left, counted = self.left_yen, self.counted_yen
        left[place] -= yen
        room = counted[place] - left[place]
        if room <= 0:
            return []
        counted[place] = left[place]
        changes = [(place, -room)]
        at = self._full_until
        while at < stop:
            gain = min(room, left[at] - counted[at])
            if gain:
                counted[at] += gain
                room -= gain
                changes.append((at, gain))
            if counted[at] < left[at]:
                break
            at += 1
        self._full_until = at
        return changes

    def _restore(self, place: int, stop: int, room: int, yen: int) -> list[Change]:
        left, counted = self.left_yen, self.counted_yen
        at = self._full_until
        while at < stop and counted[at] == left[at]:
            at += 1
        self._full_until = at
        left[place] += yen
        if place >= at:
            return []
        missing = max(0, yen - room)
        changes = []
        later = min(at, stop - 1)
        while missing and later > place:
            loss = min(missing, counted[later])
            if loss:
                counted[later] -= loss
                missing -= loss
                changes.append((later, -loss))
                self._full_until = later
            later -= 1
        counted[place] += yen - missing
        if missing:
            self._full_until = place
        changes.append((place, yen - missing))
        return changes[::-1]

    def _by_group(self, changes: Sequence[Change], own_group: int) -> tuple[int, list[Recount]]:
        own_yen = 0
        recounts: dict[int, Recount] = {}
        for place, yen in changes:
            group = self.groups[place]
            if group == own_group:
                own_yen += yen
            elif group in recounts:
                first, before_yen = recounts[group]
                recounts[group] = Recount(first, before_yen + yen)
            else:
                recounts[group] = Recount(place, yen)
        return own_yen, list(recounts.values())

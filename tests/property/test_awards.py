"""What a slice's transactions earn is what booking them one by one earns."""

import datetime as dt
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import numpy as np
import polars as pl
import pytest

from engine.booking.awarding import BookedTransactions, award, needs_recounting
from engine.booking.deciding import Originals
from engine.booking.index_spaces import BookedPlace, BookedPlaces
from engine.booking.registry import Registry
from engine.booking.state import Balances, Months, Past, month_keys
from engine.terms.programme import load_programme
from engine.terms.services import ROUNDINGS

PEOPLE, ACCOUNTS = 3, 2
PROGRAMME = replace(load_programme("mynapoint-2020"), cap_yen=40)
SEPTEMBER = dt.datetime(2020, 9, 1)
MONTH = 2020 * 12 + 8


class Purchase(NamedTuple):
    """A purchase by one of a person's accounts, or, of 0 yen, a refund of the person's last but
    so many.
    """

    person: int
    account: int
    yen: int
    later: bool
    of: int
    taken: int


def purchases(rng: random.Random) -> list[Purchase]:
    return [
        Purchase(
            rng.randrange(PEOPLE),
            rng.randrange(ACCOUNTS),
            rng.choice([0, *range(1, 10)]) if rng.random() < 0.7 else 0,
            rng.random() < 0.5,
            rng.randrange(3),
            rng.randint(1, 9),
        )
        for _ in range(rng.randint(6, 30))
    ]


@dataclass
class Booked:
    """A transaction that is booked, and what it earns where each is booked after the other."""

    person: int
    account: int
    month: int
    net_yen: int
    original: "Booked | None" = None
    left: int = 0
    earned: tuple[int, ...] = ()
    taken_before: int = 0


@dataclass
class Books:
    """What is booked one by one."""

    roundings: Sequence[str]
    with_two: list[bool]
    booked: list[Booked] = field(default_factory=list)
    entries: list[int] = field(default_factory=lambda: [0] * PEOPLE)
    net: list[int] = field(default_factory=lambda: [0] * PEOPLE)
    points: list[int] = field(default_factory=lambda: [0] * PEOPLE)
    groups: dict[tuple[object, ...], int] = field(default_factory=dict)

    def book(self, purchase: Purchase) -> Booked | None:
        person = purchase.person
        account = person * ACCOUNTS + (purchase.account if self.with_two[person] else 0)
        row = Booked(person, account, MONTH + purchase.later, purchase.yen, left=purchase.yen)
        if not purchase.yen:
            spent = [b for b in self.booked if b.person == person and b.left]
            if len(spent) <= purchase.of:
                return None
            original = spent[-1 - purchase.of]
            yen = min(purchase.taken, original.left)
            # The month is that of the refund; what it takes back is of its original's.
            row = Booked(person, original.account, row.month, -yen, original)
            row.taken_before = original.net_yen - original.left
            original.left -= yen
        self._earn(row)
        self.booked.append(row)
        return row

    def _earn(self, row: Booked) -> None:
        spent = row.original or row
        group = {
            "cumulative": (spent.account,),
            "month": (spent.account, spent.month),
            "transaction": (spent.account, id(spent)),
        }[self.roundings[row.account]]
        before = self.net[row.person]
        self.net[row.person] += row.net_yen
        counted = min(self.net[row.person], PROGRAMME.cap_yen) - min(before, PROGRAMME.cap_yen)
        held = self.groups.get(group, 0)
        self.groups[group] = held + counted
        points = (held + counted) // 4 - held // 4
        self.entries[row.person] += 1
        self.points[row.person] += points
        said = self.entries[row.person], counted, points, self.net[row.person]
        row.earned = (*said, self.points[row.person])

    def gives_room_to_others(self, row: Booked) -> bool:
        """Whether a refund changes what other groups of the person's count, as a rule."""
        alone = self.roundings[row.account] == "cumulative" and not self.with_two[row.person]
        over_the_cap = row.earned[3] - row.net_yen > PROGRAMME.cap_yen
        return row.original is not None and over_the_cap and not alone

    def past(self) -> Past:
        """What a run knows of all that is booked by now."""
        counted = np.zeros(PEOPLE * ACCOUNTS, np.int64)
        by_month: dict[int, int] = {}
        for row in self.booked:
            counted[row.account] += row.earned[1]
            month = (row.original or row).month
            key = int(month_keys(np.array([row.account]), np.array([month]))[0])
            by_month[key] = by_month.get(key, 0) + row.earned[1]
        keys = sorted(by_month)
        people = pl.Series("person_id", [f"P{n}" for n in range(PEOPLE)])
        return replace(
            Past.empty(),
            registry=Registry(Registry.empty().accounts, people, np.array(self.with_two)),
            balances=Balances(*map(np.array, (self.entries, self.net, self.points))),
            counted=counted,
            months=Months(
                np.array(keys, np.int64), np.array([by_month[k] for k in keys], np.int64)
            ),
        )


def instant_us(month: int) -> int:
    at = SEPTEMBER.replace(month=month - 2020 * 12 + 1)
    return int((at - dt.datetime(1970, 1, 1)).total_seconds()) * 1_000_000


def numbers(values: list[int]) -> Any:
    return np.array(values, np.int64)


@pytest.mark.parametrize("first_seed", range(0, 400, 100))
def test_a_slice_earns_what_its_transactions_earn_one_by_one(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + 100):
        check(random.Random(seed))


def check(rng: random.Random) -> None:
    roundings = [rng.choice(ROUNDINGS) for _ in range(PEOPLE * ACCOUNTS)]
    with_two = [rng.random() < 0.5 for _ in range(PEOPLE)]
    books = Books(roundings, with_two)
    earlier, now = purchases(rng) if rng.random() < 0.8 else [], purchases(rng)
    for purchase in earlier:
        books.book(purchase)
    # Where a refund gave room to others' groups, the past would not be as it is made here.
    recounted = {row.person for row in books.booked if books.gives_room_to_others(row)}
    past, of_the_past = books.past(), list(books.booked)
    refunded = [row.net_yen - row.left for row in of_the_past]
    in_order = sorted(now, key=lambda purchase: (purchase.person, purchase.later))
    rows = [row for row in map(books.book, in_order) if row is not None]
    order = list(range(len(rows)))
    rng.shuffle(order)
    refunds = [at for at, row in enumerate(rows) if row.original is not None]
    rng.shuffle(refunds)
    originals = [cast(Booked, rows[at].original) for at in refunds]
    place = {id(row): order[at] for at, row in enumerate(rows)}
    position = {id(row): at for at, row in enumerate(of_the_past)}
    booked = BookedTransactions(
        ranks=numbers([row.person for row in rows]),
        person_nos=numbers([row.person for row in rows]),
        account_nos=numbers([row.account for row in rows]).astype(np.int32),
        occurred_at_us=numbers([instant_us(row.month) for row in rows]),
        net_yen=numbers([row.net_yen for row in rows]),
        refunds=np.array([row.original is not None for row in rows], np.bool_),
        roundings=numbers([ROUNDINGS.index(roundings[row.account]) for row in rows]).astype(
            np.uint8
        ),
    )
    found_originals: Originals[BookedPlace] = Originals(
        cast(BookedPlaces, numbers([order[at] for at in refunds])),
        numbers([position.get(id(o), -1 - place.get(id(o), 0)) for o in originals]),
        numbers([o.account for o in originals]),
        numbers([instant_us(o.month) for o in originals]),
        numbers([o.net_yen for o in originals]),
        numbers([refunded[position[id(o)]] if id(o) in position else 0 for o in originals]),
        numbers([-rows[at].net_yen for at in refunds]),
    )
    places = cast(BookedPlaces, numbers(order))
    awards = award(booked, places, found_originals, past, PROGRAMME)
    left_out = needs_recounting(booked, past, PROGRAMME).tolist()
    for at, row in enumerate(rows):
        if not left_out[at] and row.person not in recounted:
            assert tuple(int(column[at]) for column in awards) == row.earned
    anew = {row.person for row in rows if books.gives_room_to_others(row)}
    assert left_out == [row.person in anew for row in rows]

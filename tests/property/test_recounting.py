"""What refunds and voids change is what all that a person spent counts afterwards, less before."""

from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from engine.booking.recounting import Counting

CAP_YEN = 20
PURCHASES = 7
# Few yen, so that the cap lies among the purchases and moves to and fro.
YEN = st.integers(1, 8)


class Step(NamedTuple):
    """Books the next purchase, or takes back from one, or restores to it."""

    kind: str
    at: int
    yen: int


class Spent(NamedTuple):
    """What a person spends: of each purchase its group, its yen, and what the book knows to be
    taken back of it; how many are in the book; what comes then.
    """

    groups: list[int]
    amounts: list[int]
    taken_back: list[int]
    in_the_book: int
    steps: list[Step]


def of_each(values: st.SearchStrategy[int]) -> st.SearchStrategy[list[int]]:
    return st.lists(values, min_size=PURCHASES, max_size=PURCHASES)


KINDS = st.sampled_from(["book", "take", "restore"])
SPENT = st.builds(
    Spent,
    of_each(st.integers(0, 3)),
    of_each(YEN | st.integers(9, 30)),
    of_each(st.just(0) | YEN),
    st.integers(0, PURCHASES),
    st.lists(st.builds(Step, KINDS, st.integers(0, PURCHASES - 1), YEN), max_size=20),
)


def counted_of(left_yen: list[int]) -> list[int]:
    """What each counts: what of it lies below the cap."""
    counted, before = [], 0
    for yen in left_yen:
        counted.append(min(before + yen, CAP_YEN) - min(before, CAP_YEN))
        before += yen
    return counted


def left_of(spent: Spent) -> list[int]:
    """What is left of each purchase at the beginning; of those to come, all of it."""
    taken_back = [*spent.taken_back[: spent.in_the_book], *[0] * PURCHASES]
    return [
        amount - min(amount, back)
        for amount, back in zip(spent.amounts, taken_back[:PURCHASES], strict=True)
    ]


def check(counting: Counting, first: int, spent: Spent) -> None:
    """Takes a person's steps, and compares each with counting all anew."""
    left = left_of(spent)[: spent.in_the_book]
    for step in spent.steps:
        if step.kind == "book":
            if len(left) < PURCHASES:
                # As it is booked it counts what is left below the cap.
                left.append(spent.amounts[len(left)])
                counting.counted_yen[first + len(left) - 1] = counted_of(left)[-1]
        elif left:
            place = step.at % len(left)
            most = left[place] if step.kind == "take" else spent.amounts[place] - left[place]
            yen = min(step.yen, most)
            if yen:
                move(counting, first, left, place, -yen if step.kind == "take" else yen)


def move(counting: Counting, first: int, left: list[int], place: int, more_yen: int) -> None:
    before, net_before_yen = counted_of(left), sum(left)
    left[place] += more_yen
    changes: dict[int, list[tuple[int, int]]] = {}
    groups = counting.groups[first : first + len(left)]
    for at, (was, counts) in enumerate(zip(before, counted_of(left), strict=True)):
        if was != counts:
            changes.setdefault(groups[at], []).append((first + at, counts - was))
    own_yen = sum(yen for _, yen in changes.pop(groups[place], []))
    others = [(of[0][0], sum(yen for _, yen in of)) for of in changes.values()]
    stop = first + len(left)
    found = counting.move(first, first + place, stop, net_before_yen, more_yen)
    assert (found[0], [tuple(recount) for recount in found[1]]) == (own_yen, others)
    assert counting.counted_yen[first:stop] == counted_of(left)


# All count in full; what is restored reaches the cap, then takes the room of the last ones.
UP_TO_THE_CAP = Spent(
    [0, 1, 2, 3, 0, 1, 2],
    [4] * 7,
    [2] * 7,
    7,
    [*(Step("restore", at, 2) for at in range(7)), Step("take", 0, 3)],
)
# Two of one group lose what is restored to another: said once, at the first of them.
TWO_OF_A_GROUP = Spent(
    [0, 1, 1, 2, 0, 0, 0],
    [18, 6, 6, 6, 1, 1, 1],
    [8, 0, 0, 0, 0, 0, 0],
    4,
    [Step("restore", 0, 8), Step("take", 0, 1)],
)
# What is restored finds no room for all of it, and gets more when another is taken back.
WITHOUT_ROOM = Spent(
    [0, 1, 2, 3, 0, 1, 2],
    [19, 9, 1, 1, 1, 1, 1],
    [0, 8, 0, 0, 0, 0, 0],
    2,
    [Step("restore", 1, 8), Step("take", 0, 5)],
)
# The cap lies between two; the second counts nothing before and after.
BETWEEN_TWO = Spent(
    [0, 1, 1, 2, 3, 3, 3],
    [8, 5, 5, 5, 5, 5, 5],
    [3, 0, 0, 0, 0, 0, 0],
    7,
    [Step("restore", 0, 3), Step("take", 1, 5)],
)
# What is restored lies beyond the cap; what is taken back then gives its room to the one at it.
BEYOND_THE_CAP = Spent(
    [0, 1, 2, 3, 3, 3, 3],
    [12, 12, 8, 8, 8, 8, 8],
    [0, 0, 0, 2, 0, 0, 0],
    7,
    [Step("restore", 3, 2), Step("take", 0, 3)],
)


@given(SPENT, SPENT)
@example(TWO_OF_A_GROUP, TWO_OF_A_GROUP)
@example(WITHOUT_ROOM, UP_TO_THE_CAP)
@example(BETWEEN_TWO, BEYOND_THE_CAP)
def test_a_refund_or_void_changes_what_counting_all_anew_would_change(
    first: Spent, second: Spent
) -> None:
    left = [*left_of(first), *left_of(second)]
    counted = [0] * len(left)
    counted[: first.in_the_book] = counted_of(left[: first.in_the_book])
    of_second = slice(PURCHASES, PURCHASES + second.in_the_book)
    counted[of_second] = counted_of(left[of_second])
    groups = [*first.groups, *(10 + group for group in second.groups)]
    counting = Counting(left, counted, groups, CAP_YEN)
    check(counting, 0, first)
    check(counting, PURCHASES, second)

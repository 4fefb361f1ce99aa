"""What is booked stands in booking order, whether or not it fits into one number."""

from typing import cast

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.booking.awarding import BookedTransactions, booking_order
from engine.booking.index_spaces import SliceRows

Row = tuple[int, int, bool, str, str]

SECOND = 1_000_000
SERVICES = ["zone", "arch"]
EARLIEST = 1_598_886_000 * SECOND
# People take 18 bits beside the microseconds of the longest window, and 38 beside its seconds.
RANKS = st.integers(0, 2) | st.integers(0, (1 << 31) - 1)
INSTANTS = st.integers(0, 2) | st.integers(0, 1 << 45)
IDS = st.text("ab𠮷\uffff", max_size=3)
ROWS = st.lists(
    st.tuples(RANKS, INSTANTS, st.booleans(), st.sampled_from(SERVICES), IDS), max_size=30
)


def ordered(rows: list[Row]) -> list[Row]:
    """Rows in the order in which they are booked; others stand between them in the slice."""
    ranks, instants, refunds, services, ids = zip(*rows, strict=True) if rows else [()] * 5
    numbers = np.array(ranks, np.int64)
    nothing = np.zeros(len(rows), np.int64)
    booked = BookedTransactions(
        numbers,
        numbers,
        nothing.astype(np.int32),
        np.array(instants, np.int64) + EARLIEST,
        nothing,
        np.array(refunds, np.bool_),
        nothing.astype(np.uint8),
    )
    slice_rows = pl.DataFrame(
        {
            "service_id": pl.Series([*services, *services], dtype=pl.Enum(SERVICES)),
            "transaction_id": pl.Series([*["?"] * len(rows), *ids], dtype=pl.String),
        }
    )
    places = cast(SliceRows, np.arange(len(rows)) + len(rows))
    return [rows[place] for place in booking_order(booked, slice_rows, places).tolist()]


@given(ROWS)
@example([(2, 1, False, "zone", "a"), (2, 0, True, "zone", "b"), (1, 5, False, "zone", "c")])
@example([(0, 7, False, "zone", "b"), (0, 7, False, "arch", "b"), (0, 7, False, "arch", "a")])
def test_what_is_booked_stands_by_person_instant_kind_service_and_id(rows: list[Row]) -> None:
    assert ordered(rows) == sorted(rows)


@pytest.mark.parametrize(("unit", "instant_bits"), [(1, 45), (SECOND, 25)])
@pytest.mark.parametrize("more", [-1, 0, 1, 2])
def test_the_order_is_the_same_about_the_number_of_bits_that_one_number_has(
    unit: int, instant_bits: int, more: int
) -> None:
    """The last row has the largest of each: it would be the first to lose a bit."""
    rank_bits = 64 - instant_bits - 1 + more
    last_rank, last_instant = (1 << rank_bits) - 1, ((1 << instant_bits) - 1) * unit
    rows = [
        (rank, instant, refund, service, key)
        for rank in (0, 1, last_rank // 2, last_rank // 2 + 1, last_rank)
        for instant in (0, unit, last_instant - unit, last_instant)
        for refund in (False, True)
        for service in sorted(SERVICES)
        for key in ("A", "B")
    ]
    assert ordered(rows[::-1]) == rows

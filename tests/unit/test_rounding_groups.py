"""What is rounded together: an account's spending, of one month where the service says so."""

import numpy as np
import polars as pl
import pytest

from engine.booking.awarding import CUMULATIVE, MONTH, TRANSACTION
from engine.booking.recounted import Spendings
from engine.booking.state import jst_months, month_keys

SEPTEMBER, OCTOBER = 2020 * 12 + 8, 2020 * 12 + 9


def numbers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def groups(rounding: int, *spendings: tuple[int, int, int, int]) -> list[int]:
    """The groups of spendings (person, source, account, month), each named by its first place."""
    columns = (numbers(*values) for values in zip(*spendings, strict=True))
    people, sources, accounts, months = columns
    roundings = np.full(people.size, rounding, np.uint8)
    made = Spendings(people, sources, accounts, roundings, months, numbers(*[100] * people.size))
    found = made.groups().tolist()
    return [found.index(group) for group in found]


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [(MONTH, [0, 0, 2, 3, 4]), (CUMULATIVE, [0, 0, 0, 3, 4]), (TRANSACTION, [0, 1, 2, 3, 4])],
)
def test_what_is_rounded_together(rounding: int, expected: list[int]) -> None:
    spendings = (
        (1, 10, 5, SEPTEMBER),
        (1, 11, 5, SEPTEMBER),
        (1, 12, 5, OCTOBER),
        (1, 13, 6, OCTOBER),
        (2, 14, 7, OCTOBER),
    )
    assert groups(rounding, *spendings) == expected


def test_months_of_an_account_have_keys_of_their_own_in_order() -> None:
    accounts, months = numbers(0, 0, 1, 1), numbers(SEPTEMBER, OCTOBER, SEPTEMBER, OCTOBER)
    keys = month_keys(accounts, months)
    assert (np.diff(keys) > 0).all()
    last = pl.Series([9999 * 12 + 11])
    assert month_keys(numbers(0), last.to_numpy())[0] < month_keys(numbers(1), numbers(0))[0]


def test_a_month_is_that_of_the_day() -> None:
    days = pl.Series(["2020-09-30 23:59:59", "2020-10-01 00:00:00"]).str.to_datetime(time_unit="us")
    assert jst_months(days.to_physical().to_numpy()).tolist() == [SEPTEMBER, OCTOBER]

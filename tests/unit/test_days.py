"""Days as the rules take them: whole, and from when on spending counts."""

import datetime as dt

import polars as pl
import pytest

from engine.rules.periods import counts_from_at, end_of


@pytest.mark.parametrize(
    ("counts_from", "first"),
    [
        ("instant", dt.datetime(2020, 9, 5, 10)),
        ("application_day", dt.datetime(2020, 9, 5)),
        ("next_day", dt.datetime(2020, 9, 6)),
    ],
)
def test_spending_counts_from_when_the_service_says(counts_from: str, first: dt.datetime) -> None:
    applied = pl.DataFrame(
        {"applied_at": [dt.datetime(2020, 9, 5, 10)], "counts_from": counts_from}
    )
    assert applied.select(counts_from_at()).item() == first


def test_a_day_ends_where_the_next_begins_and_the_last_of_all_days_never() -> None:
    assert end_of(dt.date(2020, 9, 5)) == dt.datetime(2020, 9, 6)
    assert end_of(dt.date(9999, 12, 30)) == dt.datetime(9999, 12, 31)
    # However the day was made.
    assert end_of(dt.date.fromisoformat("9999-12-31")) == dt.datetime.max

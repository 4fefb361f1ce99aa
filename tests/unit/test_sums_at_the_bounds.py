"""Sums of yen and points are of 64 bits: at the largest amounts and caps there may be."""

from pathlib import Path

import polars as pl
import pytest
from deliveries import Desk, as_csv, enrollment, transaction

from engine.records import MAX_AMOUNT_YEN

PROGRAMME = """
programme_id = "large"
name = "a programme of the largest cap and rate"
[rate]
numerator = 1
denominator = 1
source = "invented"
[cap]
spending_yen = 1_000_000_000
source = "invented"
[[terms]]
announced_on = 2020-07-01
window_first = 2020-09-01
window_last = 2021-03-31
applications_last = 2021-03-31
card_applications_last = 2021-03-31
source = "invented"
"""
CAP_YEN = 1_000_000_000
ROWS = 30


@pytest.mark.parametrize("rounding", ["cumulative", "month", "transaction"])
def test_nights_of_the_largest_amounts_sum_to_what_they_are(rounding: str, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.services.write_text(
        f'[[services]]\nservice_id = "coin"\nname = "c"\nbasis = "purchase"\n'
        f'rounding = "{rounding}"\n'
    )
    desk.write("enrollments.csv", as_csv([enrollment(1)]))
    programme = desk.write("large.toml", PROGRAMME)
    largest = str(MAX_AMOUNT_YEN)
    for night in range(2):
        rows = [transaction(night * ROWS + n, amount=largest) for n in range(ROWS)]
        desk.run(desk.transactions(rows, f"{night}.csv"), programme=programme)
    # More than 31 bits hold, within one night, one month and one account.
    last = desk.ledger().row(-1, named=True)
    assert last["net_spend_after"] == 2 * ROWS * MAX_AMOUNT_YEN > 2**32
    assert last["points_after"] == CAP_YEN
    refunds = [
        transaction(1000 + n, kind="refund", amount=largest, original_transaction_id=f"T{n}")
        for n in range(2 * ROWS)
    ]
    desk.run(desk.transactions(refunds, "refunds.csv"), programme=programme)
    last = desk.ledger().row(-1, named=True)
    assert (last["net_spend_after"], last["points_after"]) == (0, 0)
    assert desk.ledger().select(pl.col("counted_amount").sum()).item() == 0

"""Time: what was booked in a later month than it was paid in, and before it had happened."""

import datetime as dt
from pathlib import Path

import pytest
from deliveries import Desk, transaction

from pipelines.desk.opened_book import open_book
from pipelines.report.figures import gather
from pipelines.report.tables import Tables
from pipelines.shown.texts import Texts
from pipelines.verify import verify


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A payment of its month, two of the month before with a refund, one of a day to come."""
    desk = Desk(tmp_path_factory.mktemp("cut-off"))
    desk.run(
        desk.transactions([transaction(1, amount="4000")], "september.csv"),
        booked_on=dt.date(2020, 9, 30),
    )
    rows = [
        transaction(2, amount="2000"),
        transaction(3, amount="400"),
        transaction(4, kind="refund", amount="400", original_transaction_id="T3"),
        transaction(5, amount="800", occurred_at="2020-10-01 10:00:00"),
        transaction(6, amount="1200", occurred_at="2020-10-03 10:00:00"),
    ]
    desk.run(desk.transactions(rows, "october.csv"), booked_on=dt.date(2020, 10, 2), enrollments=[])
    return desk.book


def test_what_was_booked_in_a_later_month_is_a_table_by_both_months(book: Path) -> None:
    table = Tables(gather(open_book(book)), Texts("report", "en")).cut_off()
    assert table.rows == [("2020-10", "2020-09", 3, 600, 100, 500)]


def test_an_entry_that_happened_after_its_day_of_booking_is_a_remark(book: Path) -> None:
    verified = verify(book)
    assert not verified.findings
    [remark] = verified.findings.remarks()
    assert (remark.kind, remark.transaction_id) == ("ahead", "T6")
    assert remark.what == "it was booked on 2020-10-02 and happened on 2020-10-03"

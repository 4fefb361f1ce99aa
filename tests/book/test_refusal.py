"""A run with too many quarantined rows is refused: how many of each kind, and where they begin."""

import re
from pathlib import Path

import pytest
from deliveries import Desk, as_csv, enrollment, transaction

from engine.errors import InputError


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(n) for n in range(1, 9)], "first.csv"))
    return desk


def refusal(desk: Desk, *transactions: Path, **options: object) -> str:
    before = sorted(path.name for path in (desk.book / "runs").iterdir())
    with pytest.raises(InputError) as caught:
        desk.run(*transactions, **{"enrollments": [], "max_quarantined": 0.05} | options)
    assert sorted(path.name for path in (desk.book / "runs").iterdir()) == before
    return caught.value.message


def test_each_kind_is_counted_and_its_first_rows_are_named(desk: Desk) -> None:
    again = [transaction(n, amount="999") for n in (1, 2, 3, 4)]
    twice = [transaction(20, amount="1"), transaction(20, amount="2")]
    unreadable = [transaction(30, amount="many"), transaction(31, kind="gift")]
    first = desk.transactions([transaction(10), *again, *twice], "one.csv")
    second = desk.transactions([*unreadable, transaction(11)], "two.csv")
    message = refusal(desk, first, second)
    assert message == (
        "8 of 10 rows would go to quarantine, more than the share of 0.05 that may; nothing was "
        f"booked: 4 in conflict with the ledger ({first} row 2, {first} row 3, {first} row 4, …); "
        f"2 unreadable: amount:malformed 1, kind:unknown 1 ({second} row 1, {second} row 2); "
        f"2 in conflict within the delivery ({first} row 6, {first} row 7); "
        f"by file: {first} 6, {second} 2"
    )


def test_conflicts_alone_are_not_called_unreadable(desk: Desk) -> None:
    message = refusal(desk, desk.transactions([transaction(1, amount="999")]))
    assert "1 in conflict with the ledger" in message
    assert "read" not in message.replace("unread", "")
    assert "unreadable" not in message


def test_conflicts_of_enrollments_are_told_apart_too(desk: Desk) -> None:
    rows = [enrollment(1, card_applied_on="2020-07-01")]
    rows += [enrollment(2), enrollment(2, card_applied_on="2020-07-01")]
    rows += [enrollment(3, applied_at="yesterday")]
    path = desk.write("more.csv", as_csv(rows))
    message = refusal(desk, enrollments=[path])
    assert re.search(r"1 in conflict with what was accepted \(.*more.csv row 1\)", message)
    assert re.search(r"2 in conflict within the delivery \(.*row 2, .*row 3\)", message)
    assert re.search(r"1 unreadable: applied_at:malformed 1 \(.*row 4\)", message)


def test_within_the_share_the_run_books(desk: Desk) -> None:
    path = desk.transactions([transaction(1, amount="999"), transaction(10)])
    assert desk.run(path, max_quarantined=0.5).record.counts.quarantined == 1

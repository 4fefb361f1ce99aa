"""The public names: typed answers, arguments that are checked, events that are logged."""

import datetime as dt
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import Desk, transaction

import mynapoint


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("api"))
    desk.run(desk.transactions([transaction(1), transaction(2, account_id="nobody")]))
    return desk


def test_every_public_name_is_there() -> None:
    for name in mynapoint.__all__:
        assert getattr(mynapoint, name) is not None
    assert sorted(mynapoint.__all__) == list(mynapoint.__all__)


def test_an_auditors_questions_have_typed_answers(desk: Desk) -> None:
    opened = mynapoint.open_book(desk.book)
    assert isinstance(opened, mynapoint.OpenedBook)
    assert opened.ledger().select(pl.col("points").sum()).collect().item() == 25
    person = mynapoint.explain(desk.book, person="P1")
    assert isinstance(person, mynapoint.Person)
    assert person.known
    transaction_ = mynapoint.explain(str(desk.book), transaction=("coin", "T2"))
    assert isinstance(transaction_, mynapoint.Transaction)
    assert transaction_.outcome == "declined"
    claim = mynapoint.claim(desk.book)
    assert isinstance(claim, mynapoint.Claim)
    assert claim.total.points == mynapoint.claim(desk.book, month="2020-09").total.points == 25
    verified = mynapoint.verify(desk.book)
    assert isinstance(verified, mynapoint.Verified)
    assert not verified.findings


def test_points_are_paid_out_answered_and_forecast(desk: Desk, tmp_path: Path) -> None:
    day = dt.date(2020, 10, 31)
    assert not mynapoint.payout(desk.book, due_by=day, out=None, dry_run=True).booked
    paid = mynapoint.payout(desk.book, due_by=day, out=str(tmp_path / "out"))
    assert isinstance(paid, mynapoint.PayoutResult)
    assert isinstance(paid.record, mynapoint.PayoutRecord)
    assert (paid.booked, paid.record.points["pay"]) == (True, 25)
    answered = mynapoint.take_answers(
        desk.book, others_done=1, answered_on=dt.date(2020, 11, 2), services=["coin"]
    )
    assert answered.record.points["granted"] == 25
    due = mynapoint.due(desk.book, on=day)
    assert isinstance(due, mynapoint.Due)
    assert (due.total["granted"], due.total["due"]) == (25, 0)


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("run", {"booked_on": dt.datetime(2020, 9, 30, 5)}, "booked_on: must be a datetime.date"),
    ("run", {"booked_on": "2020-09-30"}, "booked_on: must be a datetime.date"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "transactions": "t.csv"}, "transactions: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "events": [pl.DataFrame()]}, "events: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "services": pl.DataFrame()}, "services: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "manifests": "note.csv"}, "manifests: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "expected_run": 0}, "expected_run: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "allowed_gates": "all"}, "allowed_gates: must be"),
    ("run", {"booked_on": dt.date(2020, 9, 30), "wait_seconds": "x"}, "wait_seconds: must be"),
    ("verify", {"transactions": "t.csv"}, "transactions: must be a list"),
    ("payout", {"due_by": None, "out": "x"}, "due_by: must be a datetime.date"),
    ("payout", {"due_by": dt.datetime(2020, 9, 30, 5), "out": "x"}, "due_by: must be"),
    ("payout", {"due_by": dt.date(2020, 9, 30), "out": None}, "out: a folder for the files"),
    ("payout", {"due_by": dt.date(2020, 9, 30), "out": "x", "services": "coin"}, "services: must"),
    ("take_answers", {"max_quarantined": "many"}, "--max-quarantined: must be between 0 and 1"),
    ("take_answers", {"answers": "answers.csv"}, "answers: must be a list"),
    ("take_answers", {"others_done": 1}, "the two belong together"),
    ("take_answers", {"others_done": "1", "answered_on": dt.date(2020, 9, 30)}, "others_done: mu"),
    ("due", {"on": "2020-09-30"}, "on: must be a datetime.date"),
    ("due", {"on": dt.date(2020, 9, 30), "overdue_days": -1}, "overdue_days: must be"),
    ("explain", {}, "one of person and transaction"),
    ("explain", {"person": 7}, "person: must be a str"),
    ("explain", {"transaction": "T1"}, "transaction: must be a tuple"),
    ("claim", {"month": dt.date(2021, 3, 1)}, "month: must be a str"),
]


@pytest.mark.parametrize(("name", "arguments", "why"), WRONG)
def test_a_wrong_argument_is_one_clear_error(
    desk: Desk, name: str, arguments: dict[str, Any], why: str
) -> None:
    with pytest.raises(mynapoint.InputError, match=why):
        getattr(mynapoint, name)(desk.book, **arguments)


@pytest.mark.parametrize("name", ["verify", "explain", "claim", "open_book"])
def test_a_frame_is_no_book(name: str) -> None:
    arguments = {"person": "P1"} if name == "explain" else {}
    with pytest.raises(mynapoint.InputError, match="must be a str or a pathlib"):
        getattr(mynapoint, name)(pl.DataFrame(), **arguments)


def test_a_run_is_logged_when_it_begins_and_when_it_is_booked(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    with caplog.at_level(logging.INFO, "engine"):
        desk.run()
        desk.run()
    messages = [record.getMessage().removeprefix(f"{desk.book}: ") for record in caplog.records]
    assert messages == [
        "run 000001 begins",
        "run 000001 is booked: 0 rows read, 0 booked, 0 points net",
        "run 000002 begins",
        "run 000001 was booked before: 0 rows read, 0 booked, 0 points net",
    ]

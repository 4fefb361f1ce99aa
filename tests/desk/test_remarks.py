"""`remarks`: each pattern is found where it was laid, and not just below its thresholds."""

import datetime as dt
import json
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import Desk, Row, as_csv, bodies, enrollment, transaction

import mynapoint
from pipelines.cli import call
from pipelines.remarks.looked_for import PATTERNS

NOTHING: dict[str, int] = {pattern.name: 0 for pattern in PATTERNS}


def of(person: int | str, number: str, amount: int, **changed: str) -> Row:
    """A purchase by the account of a person, each at a time of its own."""
    of.minutes += 1  # type: ignore[attr-defined]
    at = dt.datetime(2020, 9, 5) + dt.timedelta(minutes=of.minutes)  # type: ignore[attr-defined]
    given = {"transaction_id": number, "account_id": f"A{person}", "amount": str(amount)}
    return transaction(0) | given | {"occurred_at": f"{at}"} | changed


of.minutes = 0  # type: ignore[attr-defined]


def refund(of_row: Row, number: str) -> Row:
    return {**of_row, "transaction_id": number, "kind": "refund",
            "original_transaction_id": of_row["transaction_id"],
            "occurred_at": "2020-09-20 10:00:00"}  # fmt: skip


def booked(folder: Path, rows: Sequence[Row], people: Sequence[Row], *events: Row) -> Path:
    desk = Desk(folder)
    desk.enrollments = desk.write("enrollments.csv", as_csv(people))
    # A run takes its events ahead of its applications.
    desk.run()
    files = [desk.write("events.csv", as_csv(events))] if events else []
    desk.run(desk.transactions(rows), events=files)
    return desk.book


def remarks(book: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """How often each pattern was found; the file has as many rows."""
    capsys.readouterr()
    assert call(["remarks", str(book), "--out", str(out), "--json"]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    found = {remark["pattern"]: remark["times"] for remark in value["remarks"]}
    rows = pl.read_parquet(out / "remarks.parquet")
    assert dict(rows["pattern"].value_counts().iter_rows()) == {
        name: times for name, times in found.items() if times
    }
    assert json.loads((out / "remarks.json").read_text("utf-8")) == value
    return found


def stop(person: int, at: str) -> Row:
    return {
        "event_id": f"S{person}",
        "kind": "enrollment_stopped",
        "authority": "the city",
        "person_id": f"P{person}",
        "service_id": "coin",
        "account_id": f"A{person}",
        "effective_at": at,
    }


def test_each_pattern_is_found_where_it_was_laid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cycles = [of(1, f"C{n}", 1000) for n in range(3)]
    rows = [
        *cycles,
        *(refund(row, f"R{n}") for n, row in enumerate(cycles)),
        *(of(2, "Y1", 19_877), of(2, "Y2", 123)),
        *(of(3, f"E{n}", 500, occurred_at="2020-09-05 09:00:00") for n in range(2)),
        *(of(4, "X-12", 700), of(4, "ｘ12", 700)),
        *(of(9, "B1", 2000), of(9, "B2", 2000)),
    ]
    people = [
        *(enrollment(n) for n in (1, 2, 3, 4, 9)),
        *(enrollment(5, account_id="007-7"), enrollment(6, account_id="77")),
        *(enrollment(7), enrollment(8, person_id="ｐ0-7") | {"person_id": "ｐ7"}),
    ]
    book = booked(tmp_path, rows, people, stop(9, "2020-09-07 00:00:00"))
    found = remarks(book, tmp_path / "out", capsys)
    assert found == NOTHING | {
        "charge_and_refund_cycles": 1,
        "cap_to_the_yen": 1,
        "same_second": 1,
        "transactions_spelled_alike": 1,
        "accounts_spelled_alike": 1,
        "people_spelled_alike": 1,
        "awards_before_a_stop": 1,
    }
    rows_found = {
        row["pattern"]: row
        for row in pl.read_parquet(tmp_path / "out" / "remarks.parquet").rows(named=True)
    }
    assert rows_found["charge_and_refund_cycles"]["person_id"] == "P1"
    assert rows_found["cap_to_the_yen"]["transaction_id"] == "Y2"
    assert rows_found["awards_before_a_stop"]["points"] == 1000
    for file in (tmp_path / "out").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_remark_names_an_account_that_somebody_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = [
        enrollment(1, person_id="ab-1", service_id="tap", account_id="A1", basis="charge"),
        enrollment(2, person_id="ＡＢ1", service_id="coin", account_id="Z9"),
        enrollment(3, person_id="会員一", account_id="口座一"),
        enrollment(4, person_id="会員二", account_id="口座二"),
        enrollment(5, person_id="ｶﾞ1", account_id="K1"),
        enrollment(6, person_id="ガ１", account_id="K2"),
    ]
    found = remarks(booked(tmp_path, [], people), tmp_path / "out", capsys)
    assert found == NOTHING | {"people_spelled_alike": 2}
    rows = pl.read_parquet(tmp_path / "out" / "remarks.parquet")
    named = rows.select("service_id", "account_id", "person_id").rows()
    assert {("coin", "Z9", "ＡＢ1"), ("coin", "K1", "ｶﾞ1")} == set(named)


def test_what_stays_below_the_thresholds_is_not_remarked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = [of(1, f"C{n}", 1000) for n in range(2)]
    many = [of(2, f"D{n}", 100) for n in range(3)]
    rows = [
        *(*few, *(refund(row, f"R{n}") for n, row in enumerate(few))),
        *(*many, *(refund(row, f"Q{n}") for n, row in enumerate(many)), of(2, "D9", 400)),
        *(of(3, "Y1", 19_900), of(3, "Y2", 100)),
        *(of(4, "Z1", 20_000), of(5, "Z2", 20_123)),
        *(of(6, "X12", 700, occurred_at="2020-09-05 09:00:00"),),
        *(of(7, "X13", 700, occurred_at="2020-09-05 09:00:00"),),
        *(of(8, "S1", 3996), of(9, "S2", 8000)),
    ]
    people = [*(enrollment(n) for n in range(1, 10)), enrollment(10, account_id="110")]
    events = stop(8, "2020-09-07 00:00:00"), stop(9, "2020-09-08 12:00:00")
    assert remarks(booked(tmp_path, rows, people, *events), tmp_path / "out", capsys) == NOTHING


def test_what_is_void_is_no_pattern_and_an_account_that_changed_hands_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    same = [of(1, f"E{n}", 500, occurred_at="2020-09-05 09:00:00") for n in range(2)]
    desk.run(desk.transactions(same))
    events = [
        {"event_id": "V1", "kind": "transaction_voided", "authority": "the city",
         "person_id": "", "service_id": "coin", "account_id": "", "transaction_id": "E0"},
    ]  # fmt: skip
    desk.run(events=[desk.write("events.csv", as_csv(events))])
    assert remarks(desk.book, tmp_path / "one", capsys) == NOTHING
    events = [
        {"event_id": "V2", "kind": "enrollment_voided", "authority": "the city",
         "person_id": "P1", "service_id": "coin", "account_id": "A1"},
    ]  # fmt: skip
    other = desk.write("other.csv", as_csv([enrollment(2, account_id="A1")]))
    desk.run(events=[desk.write("more.csv", as_csv(events))], enrollments=[other])
    found = remarks(desk.book, tmp_path / "two", capsys)
    assert found == NOTHING | {"account_changes_hands": 1}


def test_a_run_off_the_trend_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = Desk(tmp_path)
    for night, amount in enumerate((400, 404, 408, 412, 416, 10_000)):
        desk.run(desk.transactions([of(1, f"T{night}", amount)]))
    found = remarks(desk.book, tmp_path / "out", capsys)
    assert found == NOTHING | {"nights_off_the_trend": 1}
    rows = pl.read_parquet(tmp_path / "out" / "remarks.parquet")
    assert rows["run_id"].to_list() == ["000006"]


def test_people_read_what_is_looked_for_and_no_ids(
    six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bodies(six_nights)
    assert call(["remarks", str(six_nights), "--lang", "ja"]) == 0
    said = capsys.readouterr().out
    for pattern in PATTERNS:
        assert pattern.name in said
    assert "018592613078" not in said
    assert bodies(six_nights) == before
    with pytest.raises(mynapoint.InputError, match="within the book"):
        call(["remarks", str(six_nights), "--out", str(six_nights / "remarks")])

"""`mynapoint pending`: what waits, why, since when, and what is at stake."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from against_the_oracle import BookedWorld
from corrected_nights import CorrectedBook, corrected_book
from deliveries import TESTS
from polars.testing import assert_frame_equal

import mynapoint
from engine.io.book.folder import Book
from engine.io.book.index import recall
from engine.records import TRANSACTION_COLUMNS
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.pending.waiting import pending

FORMAT_1 = TESTS / "books" / "1" / "book"


@pytest.fixture(scope="module")
def corrected(tmp_path_factory: pytest.TempPathFactory) -> CorrectedBook:
    return corrected_book(tmp_path_factory.mktemp("pending"))


def shown(book: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert call(["pending", str(book), *options]) == 0
    return capsys.readouterr().out


def test_what_waits_is_told_with_its_reason_its_run_and_what_is_at_stake(
    corrected: CorrectedBook,
) -> None:
    waiting = pending(open_book(corrected.book))
    names = ("transaction_id", "reason", "run_id", "days", "points_at_stake")
    assert waiting.transactions.select(names).rows() == [
        # Nobody has the account; the room under the cap; what is left of the original.
        ("W4", "not_enrolled", "000001", 26, None),
        ("L1", "voided", "000002", 22, 1000),
        ("R2", "voided", "000002", 31, -1250),
    ]
    of_people = ("person_id", "reason", "run_id", "days")
    assert waiting.enrollments.select(of_people).rows() == [
        ("P4", "card_applied_late", "000001", 61)
    ]
    assert waiting.events.select("event_id", "reason", "run_id").rows() == [
        ("S9", "no_such_enrollment", "000002")
    ]


def test_an_event_that_was_withdrawn_is_told_as_such_until_that_is_undone_too(
    tmp_path: Path,
) -> None:
    made = corrected_book(tmp_path)
    header = "event_id,kind,authority,other_id\n"

    def reason_after(event: str, day: int) -> str:
        path = tmp_path / f"{day}.csv"
        path.write_text(header + event)
        mynapoint.run(made.book, booked_on=dt.date(2020, 11, day), events=[path])
        [reason] = pending(open_book(made.book)).events["reason"]
        return str(reason)

    assert reason_after("U1,undone,the city,S9\n", 2) == "withdrawn"
    assert reason_after("U2,undone,the city,U1\n", 3) == "no_such_enrollment"


def test_what_was_booked_since_waits_no_more(tmp_path: Path) -> None:
    first = corrected_book(tmp_path / "first", nights=1)
    waiting = pending(open_book(first.book)).transactions
    assert waiting["transaction_id"].to_list() == ["R1", "W1", "W4"]


@pytest.mark.parametrize("seed", range(6))
def test_in_a_random_world_what_waits_is_what_the_engine_would_look_at(
    seed: int, booked_world: Callable[[int], BookedWorld]
) -> None:
    book = booked_world(seed).book
    opened = open_book(book)
    known = recall(Book(book), opened.runs)
    looked_at = pl.concat(
        [pl.DataFrame(schema=dict.fromkeys(TRANSACTION_COLUMNS, pl.String()))]
        + [rows.select(TRANSACTION_COLUMNS) for rows in known.waiting.batches()],
        how="vertical_relaxed",
    )
    booked = known.past.booked_at(looked_at["service_id"], looked_at["transaction_id"]) >= 0
    waiting = pending(opened).transactions.select(TRANSACTION_COLUMNS)
    key = ["service_id", "transaction_id"]
    assert_frame_equal(
        waiting.select(key).sort(key), looked_at.filter(~pl.Series(booked)).select(key).sort(key)
    )


def test_people_read_it_in_both_languages_and_machines_too(
    corrected: CorrectedBook, capsys: pytest.CaptureFixture[str]
) -> None:
    english = shown(corrected.book, capsys, "--lang", "en")
    assert "an event voided it" in english
    assert "31 to 90" in english
    assert "保留中の行" in shown(corrected.book, capsys, "--lang", "ja")
    value = json.loads(shown(corrected.book, capsys, "--json"))
    assert value["rows"] == {"transactions": 3, "enrollments": 1, "events": 1}
    stakes: dict[str, Any] = {row["reason"]: row for row in value["by_reason"]}
    assert stakes["not_enrolled"]["unknown"] == 1
    assert all("person_id" not in row for row in value["by_reason"])


def test_the_rows_are_written_for_spreadsheets(
    corrected: CorrectedBook, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows"
    shown(corrected.book, capsys, "--out", str(out))
    written = {path.name for path in out.iterdir()}
    assert {f"{role}.csv" for role in ("transactions", "enrollments", "events")} <= written
    assert pl.read_csv(out / "transactions.csv")["transaction_id"].to_list() == ["W4", "L1", "R2"]


def test_of_format_1_nothing_waits_and_the_rows_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = shown(FORMAT_1, capsys, "--lang", "en")
    assert "13 rows that runs of format 1 turned away do not wait" in out
    assert "Nothing waits." in out

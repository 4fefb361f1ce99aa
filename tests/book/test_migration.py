"""The first run of format 2 on a book of format 1: what that counted otherwise is said by recounts.

``tests/books/1-counted-otherwise`` was booked before the format had a number. A refund of three of
its people made room under the cap for another rounding group, and format 1 did not give it.
"""

import datetime as dt
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import TESTS

import mynapoint
from engine.io.run import calculation
from pipelines.desk.opened_book import open_book
from pipelines.explain.lookup import person_of
from pipelines.verify import verify

KEPT = TESTS / "books" / "1-counted-otherwise"
PEOPLE = ("P1", "P2", "P3", "P4", "P5")
DELIVERED: dict[str, Any] = {
    "transactions": [KEPT / "deliveries" / "transactions.csv"],
    "enrollments": [KEPT / "deliveries" / "enrollments.csv"],
}


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT / "book", tmp_path / "book"))


def run(book: Path, **options: Any) -> mynapoint.RunResult:
    return mynapoint.run(book, booked_on=dt.date(2020, 12, 2), **options)


def ledger_of(book: Path) -> pl.DataFrame:
    return open_book(book).ledger().collect().sort("person_id", "entry_seq")


def counted(book: Path) -> pl.DataFrame:
    """What each charge and purchase counts in the end, and the points of the person."""
    spending = pl.coalesce("original_transaction_id", "transaction_id").alias("spending_id")
    return (
        ledger_of(book)
        .group_by("person_id", "service_id", spending)
        .agg(pl.col("counted_amount").sum())
        .sort("person_id", "service_id", "spending_id")
    )


def points(book: Path) -> dict[str, int]:
    sums = ledger_of(book).group_by("person_id").agg(pl.col("points").sum())
    return dict(sums.sort("person_id").iter_rows())


@pytest.mark.parametrize("rows_per_slice", [1, 5_000_000])
def test_after_the_first_run_all_hold_what_a_new_book_gives_them(
    book: Path, tmp_path: Path, rows_per_slice: int
) -> None:
    before = points(book)
    record = run(book, rows_per_slice=rows_per_slice).record
    mynapoint.run(
        tmp_path / "new",
        booked_on=dt.date(2020, 12, 1),
        services=KEPT / "services.toml",
        **DELIVERED,
    )
    assert points(book) == points(tmp_path / "new") != before
    assert counted(book).equals(counted(tmp_path / "new"))
    assert (record.counts.recounted, record.counts.recounted_of_format_1) == (7, 7)
    recounted = ledger_of(book).filter(pl.col("kind") == "recount")
    assert recounted["person_id"].unique().sort().to_list() == ["P1", "P2", "P3"]
    assert not verify(book).findings


def test_no_entry_on_the_way_is_above_the_cap_or_below_nothing(book: Path) -> None:
    run(book)
    entries = ledger_of(book).with_columns(
        held=pl.col("counted_amount").cum_sum().over("person_id", order_by="entry_seq")
    )
    assert entries["held"].is_between(0, 20_000).all()
    assert entries["points_after"].is_between(0, 5_000).all()


def test_a_later_run_recounts_nothing_more(book: Path) -> None:
    run(book)
    again = run(book, **DELIVERED)
    assert not again.already_booked
    assert again.record.counts.recounted == 0
    assert again.record.counts.declined == {"duplicate": 14}


def test_a_recount_of_what_an_event_voids_in_the_same_run_names_no_event(
    book: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.csv"
    events.write_text(
        "event_id,kind,authority,service_id,transaction_id\n"
        "V1,transaction_voided,the service,tx,T1\n"
    )
    run(book, events=[events])
    inherited = ledger_of(book).filter(
        pl.col("kind") == "recount", pl.col("person_id") == "P1", pl.col("entry_seq") <= 7
    )
    assert inherited["transaction_id"].to_list() == ["T1", "T2", "T3"]
    assert inherited["event_id"].to_list() == [None] * 3
    assert not verify(book).findings


def test_each_recount_is_explained_as_what_follows(book: Path) -> None:
    run(book)
    for person_id in PEOPLE:
        person = person_of(open_book(book), person_id)
        assert not person.disagreeing
        recounts = [entry for entry in person.entries if entry.entry.is_recount]
        assert all(entry.inherited for entry in recounts)
        assert bool(recounts) == (person_id in ("P1", "P2", "P3"))


def test_verify_finds_that_nothing_was_put_right(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calculation, "counted_otherwise", lambda *_: ({}, 0))
    run(book)
    assert verify(book).findings.totals == {"recount": 7, "totals": 1}

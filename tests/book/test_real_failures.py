"""What went wrong in real life, from the deliveries to the claim.

Of the programme's own accounts: 506 people had applied twice, 350 of them were awarded above the
cap, since a reissued certificate was not linked to the one before; 172 awards went to the wrong
person.
"""

import datetime as dt
import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from corrected_nights import ENROLLMENTS, EVENTS, TRANSACTIONS

import mynapoint
from pipelines.cli import call

SERVICES = """
[[services]]
service_id = "coin"
name = "purchases"
basis = "purchase"

[[services]]
service_id = "gone"
name = "a service that ended"
basis = "purchase"
applications_close_on = 2020-10-15
awards_close_on = 2020-10-31

[[services]]
service_id = "note"
name = "purchases"
basis = "purchase"
"""
BEFORE, AFTER = dt.date(2020, 12, 1), dt.date(2020, 12, 2)


class Book:
    """A book, and all that was delivered to it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.path, self._folder, self._capsys = folder / "book", folder, capsys
        self._given: list[str] = []

    def night(self, booked_on: dt.date, **tables: str) -> None:
        services = self._folder / "services.toml"
        services.write_text(SERVICES, "utf-8")
        paths = {}
        for role, text in tables.items():
            path = self._folder / f"{role}-{booked_on}.csv"
            path.write_text(text, "utf-8")
            paths[role] = [path]
            self._given += [f"--{role}", str(path)]
        mynapoint.run(
            self.path,
            booked_on=booked_on,
            services=services,
            transactions=paths.get("transactions", []),
            enrollments=paths.get("enrollments", []),
            events=paths.get("events", []),
        )

    def claimed(self) -> dict[str, int]:
        """The points to claim in the end, by service, once the book is proven from what came."""
        assert call(["verify", str(self.path), *self._given]) == 0
        self._capsys.readouterr()
        assert call(["claim", str(self.path), "--final", "--json"]) == 0
        lines = json.loads(self._capsys.readouterr().out)["services"]
        return {line["service_id"]: line["points"] for line in lines}

    def held(self) -> dict[str, int]:
        """What each person holds in the end."""
        ledger = pl.read_delta(str(self.path / "ledger"))
        points = ledger.group_by("person_id").agg(pl.col("points").sum()).sort("person_id")
        return dict(points.iter_rows())


@pytest.fixture
def book(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Book:
    return Book(tmp_path, capsys)


def test_who_applied_twice_under_a_reissued_certificate_is_awarded_once(book: Book) -> None:
    book.night(
        BEFORE,
        enrollments=ENROLLMENTS + "OLD,coin,A,2020-09-01 09:00:00,2020-06-01\n"
        "NEW,note,B,2020-09-10 09:00:00,2020-06-01\n",
        transactions=TRANSACTIONS + "T1,coin,A,2020-10-01 10:00:00,purchase,12000,\n"
        "T2,note,B,2020-10-02 10:00:00,purchase,8000,\n",
    )
    assert book.held() == {"NEW": 2000, "OLD": 3000}
    book.night(AFTER, events=EVENTS + "M1,persons_merged,the city's list,NEW,,,,OLD,\n")
    assert book.held() == {"NEW": 0, "OLD": 3000}
    assert book.claimed() == {"coin": 3000, "note": 0}


def test_who_was_awarded_above_the_cap_under_two_ids_holds_the_cap(book: Book) -> None:
    """Both enrollments may stand, since the first one's service ended; the cap is the person's."""
    book.night(
        BEFORE,
        enrollments=ENROLLMENTS + "OLD,gone,A,2020-09-01 09:00:00,2020-06-01\n"
        "NEW,note,B,2020-11-02 09:00:00,2020-06-01\n",
        transactions=TRANSACTIONS + "T1,gone,A,2020-10-01 10:00:00,purchase,18000,\n"
        "T2,note,B,2020-11-05 10:00:00,purchase,20000,\n",
    )
    assert book.held() == {"NEW": 5000, "OLD": 4500}
    book.night(AFTER, events=EVENTS + "M1,persons_merged,the city's list,NEW,,,,OLD,\n")
    assert book.held() == {"NEW": 0, "OLD": 5000}
    assert book.claimed() == {"gone": 4500, "note": 500}


def test_an_award_that_went_to_the_wrong_person_goes_to_the_right_one(book: Book) -> None:
    """The mistaken link and the rightful owner's application come in one delivery."""
    book.night(
        BEFORE,
        enrollments=ENROLLMENTS + "WRONG,coin,A,2020-09-01 09:00:00,2020-06-01\n",
        transactions=TRANSACTIONS + "T1,coin,A,2020-10-01 10:00:00,purchase,3000,\n"
        "T2,coin,A,2020-10-02 10:00:00,refund,1000,T1\n",
    )
    assert book.held() == {"WRONG": 500}
    book.night(
        AFTER,
        enrollments=ENROLLMENTS + "RIGHT,coin,A,2020-09-01 09:00:00,2020-06-01\n"
        "WRONG,coin,B,2020-09-01 09:00:00,2020-06-01\n",
        transactions=TRANSACTIONS + "T3,coin,B,2020-10-03 10:00:00,purchase,4000,\n",
        events=EVENTS + "V1,enrollment_voided,the ministry,WRONG,coin,A,,,\n",
    )
    assert book.held() == {"RIGHT": 500, "WRONG": 1000}
    assert book.claimed() == {"coin": 1500}


def test_a_transaction_that_changed_hands_is_explained_for_both(
    book: Book, capsys: pytest.CaptureFixture[str]
) -> None:
    book.night(
        BEFORE,
        enrollments=ENROLLMENTS + "WRONG,coin,A,2020-09-01 09:00:00,2020-06-01\n",
        transactions=TRANSACTIONS + "T1,coin,A,2020-10-01 10:00:00,purchase,3000,\n",
    )
    book.night(
        AFTER,
        enrollments=ENROLLMENTS + "RIGHT,coin,A,2020-09-01 09:00:00,2020-06-01\n",
        events=EVENTS + "V1,enrollment_voided,the ministry,WRONG,coin,A,,,\n",
    )
    for index in (True, False):
        if not index:
            shutil.rmtree(book.path / "index")
        arguments = ["explain", str(book.path), "--transaction", "coin", "T1"]
        assert call([*arguments, "--json"]) == 0
        explained = json.loads(capsys.readouterr().out)
        assert explained["outcome"] == "booked"
        assert [(entry["person_id"], entry["kind"]) for entry in explained["entries"]] == [
            ("WRONG", "purchase"),
            ("WRONG", "purchase_void"),
            ("RIGHT", "purchase"),
        ]
        assert call([*arguments, "--lang", "en"]) == 0
        said = capsys.readouterr().out
        assert "as entry 1 of person WRONG" in said
        assert "as entry 1 of person RIGHT" in said

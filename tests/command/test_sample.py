"""The sample deliveries: made again byte for byte, and with everything in them that goes wrong."""

import dataclasses
import datetime as dt
import re
import shutil
from collections import Counter
from pathlib import Path

import oracle
import polars as pl
import pyarrow as pa
import pytest
from deliveries import ROOT

import mynapoint
from engine.records import TRANSACTION_COLUMNS
from engine.terms.services import load_services
from pipelines.cli import call
from pipelines.sample import write_sample

COMMITTED = ROOT / "sample_data"
PACKED = (".gz", ".zst", ".parquet")
NIGHTS = sorted(COMMITTED.glob("night-*"))


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def as_text(path: Path) -> str:
    if path.suffix == ".parquet":
        return pl.read_parquet(path).write_csv(datetime_format="%Y-%m-%d %H:%M:%S")
    with pa.input_stream(path, compression="detect") as file:
        return str(file.read(), "utf-8")


def booked_on(folder: Path) -> dt.date:
    readme = (folder.parent / "README.md").read_text(encoding="utf-8")
    said = re.search(rf"`{folder.name}` \| (\S+) \|", readme)
    assert said
    return dt.date.fromisoformat(said[1])


@pytest.fixture(scope="module")
def book_and_nights() -> tuple[oracle.Book, list[oracle.Night]]:
    """What the slow reading of the specification makes of the committed sample."""
    names = [field.name for field in dataclasses.fields(oracle.Service)]
    services = [
        oracle.Service(**{name: getattr(service, name) for name in names})
        for service in load_services(None).services
    ]
    book = oracle.Book()
    nights = [
        oracle.run(
            book,
            booked_on=booked_on(folder),
            transactions=[(f.name, as_text(f)) for f in sorted(folder.glob("transactions-*"))],
            enrollments=[("enrollments.csv", as_text(folder / "enrollments.csv"))],
            events=[(f.name, as_text(f)) for f in folder.glob("events.csv")],
            services=services,
        )
        for folder in NIGHTS
    ]
    return book, nights


@pytest.fixture(scope="module")
def book(book_and_nights: tuple[oracle.Book, list[oracle.Night]]) -> oracle.Book:
    return book_and_nights[0]


@pytest.fixture(scope="module")
def nights(book_and_nights: tuple[oracle.Book, list[oracle.Night]]) -> list[oracle.Night]:
    return book_and_nights[1]


def test_the_committed_sample_is_what_the_generator_makes(tmp_path: Path) -> None:
    written = write_sample(tmp_path, people=200, transactions=3000, nights=6, seed=2020)
    names = sorted(contents(COMMITTED))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in written) == names
    for name in names:
        made, committed = tmp_path / name, COMMITTED / name
        if made.suffix in PACKED:
            # Another version of a library may pack the same text into other bytes.
            assert as_text(made) == as_text(committed), name
        else:
            assert made.read_bytes() == committed.read_bytes(), name


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    for copy in ("one", "other"):
        write_sample(tmp_path / copy, people=200, transactions=3000, nights=6, seed=2020)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    packed = next((tmp_path / "one").rglob("*.gz")).read_bytes()
    assert packed[4:8] == bytes(4), "a time of day in the gzip header"


def test_another_seed_makes_another_sample(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_sample(tmp_path / str(seed), people=20, transactions=100, nights=1, seed=seed)
    first, second = contents(tmp_path / "1"), contents(tmp_path / "2")
    assert all(first[name] != second[name] for name in first)


def test_the_committed_sample_is_small() -> None:
    assert sum(len(content) for content in contents(COMMITTED).values()) < 1_000_000


@pytest.mark.parametrize(
    ("people", "transactions", "nights"), [(1, 0, 1), (1, 1, 1), (9, 40, 3), (50, 500, 500)]
)
def test_a_sample_may_be_tiny_or_have_more_nights_than_days(
    tmp_path: Path, people: int, transactions: int, nights: int
) -> None:
    write_sample(tmp_path, people=people, transactions=transactions, nights=nights, seed=7)
    assert len(list(tmp_path.glob("night-*/enrollments.csv"))) == nights


@pytest.mark.parametrize(("people", "transactions", "nights"), [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_a_sample_of_nobody_or_of_no_night_is_refused(
    tmp_path: Path, people: int, transactions: int, nights: int
) -> None:
    with pytest.raises(ValueError, match="at least"):
        write_sample(tmp_path, people=people, transactions=transactions, nights=nights, seed=7)
    assert not contents(tmp_path)


@pytest.mark.parametrize("reason", oracle.DECLINE_REASONS)
def test_every_reason_to_decline_occurs(nights: list[oracle.Night], reason: str) -> None:
    assert any(row.reason == reason for night in nights for row in night.declined)


@pytest.mark.parametrize("reason", oracle.ENROLLMENT_REASONS)
def test_every_reason_to_reject_an_application_occurs(
    nights: list[oracle.Night], reason: str
) -> None:
    assert any(row.reason == reason for night in nights for row in night.rejected)


def test_every_event_of_the_sample_is_accepted(nights: list[oracle.Night]) -> None:
    assert sum(night.event_counts.accepted for night in nights) == 5
    assert not [row for night in nights for row in night.rejected_events]


@pytest.mark.parametrize(
    "error",
    [
        *(f"{column}:missing" for column in TRANSACTION_COLUMNS[:7]),
        *("occurred_at:malformed", "amount:malformed", "account_id:malformed"),
        *("transaction_id:out_of_range", "account_id:out_of_range", "amount:out_of_range"),
        *("kind:unknown", "original_transaction_id:unexpected", "transaction_id:conflict"),
        *("person_id:missing", "applied_at:malformed", "card_applied_on:malformed"),
        *("basis:unknown", "person_id:conflict", "row:malformed"),
    ],
)
def test_every_kind_of_unreadable_row_occurs(nights: list[oracle.Night], error: str) -> None:
    assert any(error in row.errors for night in nights for row in night.quarantine)


def test_no_night_is_too_broken_to_be_booked(nights: list[oracle.Night]) -> None:
    for night in nights:
        for counts in (night.counts, night.enrollment_counts):
            assert counts.quarantined <= 0.05 * counts.read


def test_applications_come_again_unchanged_and_come_mended(nights: list[oracle.Night]) -> None:
    assert sum(night.enrollment_counts.unchanged for night in nights) > 0
    rejected = {row.account_id for night in nights for row in night.rejected}
    booked = {entry.account_id for night in nights for entry in night.ledger}
    assert rejected & booked


def test_declined_rows_are_booked_when_they_come_again_after_a_late_application(
    nights: list[oracle.Night],
) -> None:
    early = {
        (row.service_id, row.transaction_id): number
        for number, night in enumerate(nights)
        for row in night.declined
        if row.reason == "not_enrolled"
    }
    assert any(
        early.get((entry.service_id, entry.transaction_id), number) < number
        for number, night in enumerate(nights)
        for entry in night.ledger
    )


def test_rows_come_twice_in_a_night_and_over_two_nights(nights: list[oracle.Night]) -> None:
    within = over = 0
    known: set[tuple[str, str]] = set()
    for night in nights:
        for row in night.declined:
            if row.reason == "duplicate":
                before = (row.service_id, row.transaction_id) in known
                over, within = over + before, within + (not before)
        known |= {(entry.service_id, entry.transaction_id) for entry in night.ledger}
    assert within > 5
    assert over > 5


def test_refunds_are_whole_and_in_part_and_come_after_the_programme(book: oracle.Book) -> None:
    amounts = {(entry.service_id, entry.transaction_id): entry.amount for entry in book.ledger}
    refunds = [entry for entry in book.ledger if entry.kind == "refund"]
    whole = [r.amount == amounts[r.service_id, r.original_transaction_id or ""] for r in refunds]
    assert 0 < sum(whole) < len(whole)
    assert any(refund.occurred_at >= dt.datetime(2021, 10, 1) for refund in refunds)
    times = Counter((r.service_id, r.original_transaction_id) for r in refunds)
    assert max(times.values()) == 2


def test_people_go_on_with_another_service_and_reach_the_cap(book: oracle.Book) -> None:
    services: dict[str, set[str]] = {}
    for entry in book.ledger:
        services.setdefault(entry.person_id, set()).add(entry.service_id)
    two = [chosen for chosen in services.values() if len(chosen) == 2]
    assert two
    assert all("pasmo" in chosen for chosen in two)
    at_the_cap = {entry.person_id for entry in book.ledger if entry.net_spend_after >= 20_000}
    assert 0.2 < len(at_the_cap) / len(services) < 0.9


def test_points_systems_answer_the_samples_payout_with_a_few_refusals(
    six_nights: Path, tmp_path: Path
) -> None:
    day = dt.date(2021, 11, 30)
    book = tmp_path / "book"
    shutil.copytree(six_nights, book)
    mynapoint.payout(book, due_by=day, out=tmp_path / "payouts")
    for folder in ("one", "other"):
        arguments = ["sample", str(tmp_path / folder), "--answers-to", str(tmp_path / "payouts")]
        assert call(arguments) == 0
    answers = tmp_path / "one" / "answers.csv"
    assert answers.read_bytes() == (tmp_path / "other" / "answers.csv").read_bytes()
    taken = mynapoint.take_answers(book, answers=[answers]).record
    assert taken.counts["quarantined"] == 0
    assert 0 < taken.points["refused"] < taken.points["granted"] / 5
    assert mynapoint.due(book, on=day).total["unanswered"] > 0
    with pytest.raises(mynapoint.InputError, match="no files of a payout run"):
        call(["sample", str(tmp_path / "one"), "--answers-to", str(tmp_path / "one")])

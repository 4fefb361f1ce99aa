"""The compatibility policy: books of earlier formats are read, verified and continued, later ones
refused. ``tests/books/1`` was booked before the format had a number.
"""

import datetime as dt
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import ROOT, TESTS, bodies
from polars.testing import assert_frame_equal

import mynapoint
from engine.errors import BookError
from engine.io.book.folder import Book
from engine.io.book.format import FORMAT, LEDGER_ENTRY, RunTable
from engine.io.book.run_record import DecisionCounts, Ran, RowWarning, RunRecord
from engine.records import polars_schema
from engine.validation import validated
from pipelines.cli import call
from pipelines.shown.errors import one_line_errors

KEPT = TESTS / "books" / "1"
RUNS = 3
LATER_FORMAT = 3
Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def book(tmp_path: Path) -> Path:
    """A copy of the kept book of format 1."""
    return Path(shutil.copytree(KEPT / "book", tmp_path / "book"))


def deliveries(role: str) -> list[str]:
    return [str(path) for path in sorted((KEPT / "deliveries").glob(f"*/{role}.csv"))]


def command(name: str, book: Path, out: Path) -> list[str]:
    """A command on a book, with all that it needs."""
    claim = out / "claim.csv"
    claim.write_text("service_id,account_id,points\nends,08A1,3500\n")
    delivered = ["--transactions", *deliveries("transactions")]
    delivered += ["--enrollments", *deliveries("enrollments")]
    fresh = out / "transactions.csv"
    fresh.write_text(
        "transaction_id,service_id,account_id,occurred_at,kind,amount\n"
        "F1,ends,08A1,2020-12-20 10:00:00,charge,1000\n"
    )
    arguments = {
        "verify": delivered,
        "explain": ["--person", "08P1", "--declined"],
        "claim": ["--final", "--out", str(out / "claim")],
        "report": ["--out", str(out / "report.html"), "--verify"],
        "reconcile": [str(claim), "--out", str(out / "reconciled")],
        "simulate": ["--rate", "30/100", *delivered],
        "quarantine": ["1"],
        "remarks": ["--out", str(out / "remarks")],
        "workpapers": ["--out", str(out / "papers.zip")],
        "draw": ["--units", "3", "--seed", "1", "--out", str(out / "sample")],
        "pending": ["--out", str(out / "pending")],
        "due": ["--on", "2021-01-31", "--by", "day"],
        "runs": [],
        "check": ["--transactions", str(fresh)],
        "status": [],
        "payout": ["--due-by", "2021-01-31", "--out", str(out / "payouts")],
        "run": ["--booked-on", "2021-01-06", "--transactions", str(fresh), "--quiet"],
    }
    return [name, str(book), *arguments[name]]


def exit_code(arguments: list[str]) -> int:
    """A command's exit code, as its caller sees it."""
    with pytest.raises(SystemExit) as left, one_line_errors():
        sys.exit(call(arguments))
    code = left.value.code
    assert isinstance(code, int)
    return code


# The claim is of one account: reconcile finds differences, and says so by its exit code.
EXIT_CODES = {
    **dict.fromkeys(("verify", "explain", "claim", "report", "simulate", "quarantine", "run"), 0),
    **dict.fromkeys(("pending", "due", "payout", "runs", "status", "check"), 0),
    **dict.fromkeys(("draw", "remarks", "workpapers"), 0),
    "reconcile": 1,
}


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_command_reads_a_book_of_format_1(
    book: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = command(name, book, tmp_path)
    assert exit_code(arguments) == EXIT_CODES[name], capsys.readouterr()


@pytest.mark.parametrize("name", EXIT_CODES)
def test_every_command_refuses_a_book_of_a_later_format_in_a_clear_line(
    book: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_record(book, RUNS, lambda record: record.update(format=LATER_FORMAT))
    before = bodies(book)
    assert exit_code(command(name, book, tmp_path)) == BookError.exit_code
    error = capsys.readouterr().err
    assert f"{book}/runs/000003/record.json: the run was booked in format 3" in error
    assert f"knows formats up to {FORMAT}" in error
    assert "hint: use the version of mynapoint that booked the run, or a later one" in error
    assert bodies(book) == before


def test_the_next_run_continues_a_book_of_format_1(book: Path) -> None:
    before = bodies(book / "ledger")
    assert not (book / "index").exists(), "a book of format 1 has none"
    transactions = book.parent / "transactions.csv"
    transactions.write_text(
        "transaction_id,service_id,account_id,occurred_at,kind,amount\n"
        "F1,ends,08A1,2020-12-20 10:00:00,charge,1000\n"
    )
    result = mynapoint.run(book, booked_on=dt.date(2021, 1, 6), transactions=[transactions])
    assert (result.record.format, result.record.number) == (FORMAT, RUNS + 1)
    assert result.record.counts.booked == 1
    assert before.items() <= bodies(book / "ledger").items()
    kept = json.loads((book / "runs" / "000004" / "record.json").read_bytes())
    assert next(iter(kept)) == "format"
    assert exit_code(["verify", str(book)]) == 0


def test_a_night_of_format_1_is_known_when_it_is_delivered_again(book: Path) -> None:
    again = mynapoint.run(
        book, booked_on=dt.date(2021, 1, 5), transactions=[deliveries("transactions")[-1]]
    )
    assert again.already_booked
    assert again.record.number == RUNS


# Version 2 decides otherwise: a refund takes what is left of its original (11R6 came before 11R7),
# and what a refund gives back under the cap is an entry of its own group, a recount.
DECIDED_OTHERWISE = ("11R6", "11R7", "16MR", "16ER", "16ES")
RECOUNTS = ["16E3", "16M2"]
ALSO_OTHER = {1: ["yen"], 2: ["points"], 3: []}


def as_in_format_1(frame: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    """The rows that both formats agree on, with the columns of format 1."""
    if "transaction_id" in columns:
        frame = frame.filter(~pl.col("transaction_id").is_in(DECIDED_OTHERWISE))
    return frame.select(columns)


def test_the_same_nights_book_what_they_did_but_for_what_format_2_decides_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    kept, anew = Book(KEPT / "book"), Book(tmp_path / "anew")
    for number in range(1, RUNS + 1):
        record = kept.record(number)
        named: dict[str, list[str]] = {"transactions": [], "enrollments": []}
        for read in record.inputs:
            named[read.role].append(read.name)
        booked = mynapoint.run(
            anew.path,
            booked_on=record.booked_on,
            transactions=named["transactions"],
            enrollments=named["enrollments"],
            services=KEPT / "services.toml",
            max_quarantined=1.0,
        ).record
        of_the_machine = ["format", "ran", "outputs", "engine", "previous_sha256"]
        other = {name: getattr(record, name) for name in of_the_machine + ALSO_OTHER[number]}
        as_then = replace(booked, counts=replace(booked.counts, recounted=0), **other)
        assert as_then == record
        for table in RunTable:
            then, now = (book.run_folder(number) / table.file_name for book in (kept, anew))
            if then.exists():
                columns = pl.read_parquet(then).columns
                frames = [as_in_format_1(pl.read_parquet(path), columns) for path in (then, now)]
                assert_frame_equal(*frames)
    ledger_then, ledger_now = (pl.read_delta(str(book.ledger)) for book in (kept, anew))
    assert sorted(ledger_now.filter(kind="recount")["transaction_id"]) == RECOUNTS
    booked_now = ledger_now.filter(pl.col("kind") != "recount")
    assert_frame_equal(
        *(as_in_format_1(frame, ledger_then.columns) for frame in (ledger_then, booked_now)),
        check_row_order=False,
    )


@pytest.mark.parametrize("number", range(1, RUNS + 1))
def test_a_record_of_format_1_is_written_as_it_was_but_for_its_format(number: int) -> None:
    text = (KEPT / "book" / "runs" / f"{number:06}" / "record.json").read_text(encoding="utf-8")
    value = Book(KEPT / "book").record(number).to_json()
    written = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
    assert written == text.replace("{\n", '{\n "format": 1,\n', 1)


# --- Damaged records ------------------------------------------------------------------------------


def edit_record(book: Path, number: int, edit: Edit) -> None:
    path = book / "runs" / f"{number:06}" / "record.json"
    record = json.loads(path.read_bytes())
    edit(record)
    path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


DAMAGES: dict[str, Edit] = {
    "points: this is missing": lambda record: record.pop("points"),
    "remark: this does not belong there": lambda record: record.update(remark="fine"),
    "voided: this does not belong there": lambda record: record["counts"].update(voided=0),
    "outputs: this is not a list": lambda record: record.update(outputs={}),
    "counts.booked: this is not a whole number": lambda record: record["counts"].update(booked="1"),
    "yen.read: this is not a whole number": lambda record: record["yen"].update(read=-1),
    "points.awarded: this is not a whole number": lambda record: record["points"].update(
        awarded=True
    ),
    "booked_on: this is not a day": lambda record: record.update(booked_on="20210105"),
    "inputs[1].sha256: this is not a text": lambda record: record["inputs"][0].update(sha256=None),
    "inputs[1].role: this is not one of": lambda record: record["inputs"][0].update(role="x"),
    "format: this is not a number from 1": lambda record: record.update(format="1"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_record_is_named_with_its_file_and_what_is_wrong(
    book: Path, tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_record(book, RUNS, DAMAGES[what])
    for name in ("explain", "run"):
        assert exit_code(command(name, book, tmp_path)) == BookError.exit_code
        error = capsys.readouterr().err
        assert f"{book}/runs/000003/record.json: the record of a booked run is damaged" in error
        assert what in error


# --- Format 2 -------------------------------------------------------------------------------------


def test_a_record_of_format_2_says_what_came_with_it_and_is_read_back() -> None:
    path = Path("record.json")
    old = Book(KEPT / "book").record(1)
    instant = dt.datetime(2021, 1, 5, 1, 2, 3, tzinfo=dt.UTC)
    events = DecisionCounts(
        read=3, reconsidered=1, accepted=2, unchanged=1, rejected={"withdrawn": 1}, quarantined=0
    )
    record = replace(
        old,
        format=2,
        counts=replace(old.counts, voided=2, recounted=1, events=events),
        ran=Ran(instant, instant, "user", "host", "mynapoint run BOOK"),
        warnings=(RowWarning("t.csv", 7, "a day in the future"),),
    )
    assert not list(record.disagreements())
    value = json.loads(json.dumps(record.to_json()))
    assert RunRecord.from_json(value, path) == record
    assert value["counts"]["enrollments"]["reconsidered"] == 0
    assert value["programme"]["built_in"] is False
    del value["ran"]
    with pytest.raises(BookError, match="ran: this is missing"):
        RunRecord.from_json(value, path)


def test_rows_that_are_looked_at_again_are_accounted_for_as_well() -> None:
    record = Book(KEPT / "book").record(1)
    record = replace(record, counts=replace(record.counts, reconsidered=5))
    assert list(record.disagreements()) == ["57 rows of transactions were read, 52 accounted for"]


def test_the_ledger_of_format_2_has_voids_and_recounts() -> None:
    entry = {
        "run_id": "000001",
        "booked_on": dt.date(2021, 1, 5),
        "person_id": "P",
        "service_id": "ends",
        "account_id": "A",
        "transaction_id": "T",
        "occurred_at": dt.datetime(2020, 9, 1),
        "method": None,
        "enrolled_account_id": None,
    }
    columns = (
        *("entry_seq", "kind", "amount", "original_transaction_id", "net_amount"),
        *("counted_amount", "points", "net_spend_after", "points_after", "event_id"),
    )
    rows = [
        (1, "charge", 1000, None, 1000, 1000, 250, 1000, 250, None),
        (2, "refund", 400, "T", -300, -300, -75, 700, 175, None),
        (3, "refund_void", 400, "T", 300, 300, 75, 1000, 250, "E"),
        (4, "charge_void", 1000, None, -1000, -1000, -250, 0, 0, "E"),
        (5, "recount", 0, None, 0, 500, 125, 0, 125, "E"),
    ]
    schema = polars_schema(LEDGER_ENTRY[2])
    frame = pl.DataFrame(
        [entry | dict(zip(columns, row, strict=True)) for row in rows], schema=schema
    )
    assert validated(frame, LEDGER_ENTRY[2]).equals(frame)
    with pytest.raises(BookError, match="a_persons_entries_follow_each_other"):
        validated(frame.with_columns(net_spend_after=pl.col("amount")), LEDGER_ENTRY[2])

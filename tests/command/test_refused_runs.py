"""Runs that are refused: why, with every row; and what guards a book against the wrong run."""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import KEEPS_NO_RUN, Desk, as_csv, bodies, enrollment, transaction

from engine.errors import BookError, InputError
from engine.io.book import writing
from engine.io.book.folder import Book
from engine.io.book.writing import locked
from pipelines.__main__ import main
from pipelines.cli import call

NIGHT = ("--booked-on", "2020-09-30")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(n) for n in range(1, 9)], "first.csv"))
    return desk


def command(desk: Desk, *more: object) -> list[str]:
    return ["run", str(desk.book), *NIGHT, *map(str, more)]


def main_says(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    """The exit code, stdout and stderr of the whole command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["mynapoint", *words])
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main()
    return caught.value.code, *capsys.readouterr()


def broken(desk: Desk) -> tuple[Path, Path]:
    first = [transaction(n, amount="999") for n in (1, 2)] + [transaction(20, method="=1+1")]
    second = [transaction(30, amount="many"), transaction(31, amount="", kind="gift")]
    return desk.transactions(first, "one.csv"), desk.transactions(
        [*second, transaction(11)], "two.csv"
    )


def test_faults_and_files_are_counted_most_frequent_first(desk: Desk) -> None:
    first, second = broken(desk)
    with pytest.raises(InputError) as caught:
        desk.run(first, second, enrollments=[], max_quarantined=0.05)
    assert caught.value.message == (
        "4 of 6 rows would go to quarantine, more than the share of 0.05 that may; nothing was "
        f"booked: 2 in conflict with the ledger ({first} row 1, {first} row 2); "
        "2 unreadable: amount:malformed 1, amount:missing 1, kind:unknown 1 "
        f"({second} row 1, {second} row 2); by file: {first} 2, {second} 2"
    )
    assert caught.value.code == "too_many_quarantined"


def test_so_many_rows_may_go_to_quarantine_whatever_their_share(desk: Desk) -> None:
    files = ("--transactions", *broken(desk), "--quiet")
    with pytest.raises(InputError, match="4 of 6 rows"):
        call(command(desk, *files, "--allow-quarantined", 3))
    assert call(command(desk, *files, "--allow-quarantined", 4)) == 0
    assert desk.record(2)["counts"]["quarantined"] == 4


def test_json_says_by_file_kind_and_fault_why_a_run_was_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = broken(desk)
    words = command(desk, "--transactions", first, second, "--json")
    code, out, err = main_says(words, monkeypatch, capsys)
    assert (code, len(err.splitlines())) == (2, 2)
    error = json.loads(out)["error"]
    assert (error["code"], error["exit_code"]) == ("too_many_quarantined", 2)
    assert err == f"error: {error['message']}\nhint: {error['hint']}\n"
    assert (error["rows_read"], error["rows_quarantined"]) == (6, 4)
    assert error["kinds"] == {"in conflict with the ledger": 2, "unreadable": 2}
    assert [(f["file"], f["fault"], f["rows"]) for f in error["faults"]] == [
        (str(first), "transaction_id:conflict", 2),
        (str(second), "amount:malformed", 1),
        (str(second), "amount:missing", 1),
        (str(second), "kind:unknown", 1),
    ]
    assert error["first_rows"][-1] == {
        "file": str(second),
        "row": 2,
        "errors": ["kind:unknown", "amount:missing"],
        "kind": "unreadable",
    }


def test_rejects_keeps_every_row_outside_of_the_book(desk: Desk) -> None:
    first, second = broken(desk)
    before = bodies(desk.book, without=["index/"])
    rejects = desk.folder / "rejects"
    with pytest.raises(InputError):
        call(command(desk, "--transactions", first, second, "--rejects", rejects))
    assert bodies(desk.book, without=["index/"]) == before
    table = pl.read_parquet(rejects / "rejects.parquet")
    assert sorted(table.select("file", "row").rows()) == [
        *((str(first), row) for row in (1, 2)),
        *((str(second), row) for row in (1, 2)),
    ]
    as_text = pl.read_csv(rejects / "rejects.csv")
    assert as_text.columns == ["file", "row", "errors", "raw"]
    assert as_text["raw"].to_list() == table["raw"].to_list()
    assert json.loads((rejects / "rejects.json").read_bytes())["rows_quarantined"] == 4
    assert {path.stat().st_mode & 0o777 for path in rejects.iterdir()} == {0o600}
    with pytest.raises(InputError, match="something already"):
        call(command(desk, "--transactions", first, "--rejects", rejects))


def test_a_formula_among_rejected_rows_is_text_to_a_spreadsheet(desk: Desk) -> None:
    path = desk.write("formula.csv", as_csv([transaction(1)]) + "=1+1\n")
    with pytest.raises(InputError):
        call(command(desk, "--transactions", path, "--rejects", desk.folder / "out"))
    assert pl.read_csv(desk.folder / "out" / "rejects.csv")["raw"].to_list() == ["'=1+1"]


# --- The right book, and the right run ------------------------------------------------------------


def test_a_run_that_makes_a_new_book_says_so_and_no_other_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    delivered = ("--services", desk.services, "--enrollments", desk.enrollments, "--quiet")
    assert call(command(desk, *delivered, "--dry-run")) == 0
    assert capsys.readouterr() == ("", "")
    assert call(command(desk, *delivered)) == 0
    note = f"note: {desk.book}: there was no book here, and this run has made a new one; "
    assert capsys.readouterr() == ("", f"{note}--existing refuses that\n")
    assert call(command(desk, *delivered)) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_existing_refuses_to_make_a_book(tmp_path: Path, more: tuple[str, ...]) -> None:
    desk = Desk(tmp_path)
    delivered = ("--services", desk.services, "--enrollments", desk.enrollments, *more)
    with pytest.raises(InputError, match="no book") as caught:
        call(command(desk, *delivered, "--existing"))
    assert caught.value.code == "no_book"
    assert not desk.book.exists()


def test_existing_refuses_a_book_that_has_no_run_yet(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    with pytest.raises(InputError):
        desk.run(desk.write("bad.csv", "x\n"))
    assert set(bodies(desk.book)) <= KEEPS_NO_RUN
    with pytest.raises(InputError) as caught:
        desk.run(existing=True)
    assert caught.value.code == "no_book"


def test_a_run_of_another_number_than_expected_is_refused(desk: Desk) -> None:
    second = ("--transactions", desk.transactions([transaction(20)]), "--quiet", "--expect-run")
    before = bodies(desk.book, without=["index/"])
    for number in (1, 3):
        with pytest.raises(InputError, match="this would be run 000002") as caught:
            call(command(desk, *second, number))
        assert caught.value.code == "unexpected_run"
        assert bodies(desk.book, without=["index/"]) == before
    assert call(command(desk, *second, 2)) == 0
    # The same night once more is still that run.
    assert call(command(desk, *second, 2)) == 0
    with pytest.raises(InputError, match="this would be run 000002, not 000003"):
        call(command(desk, *second, 3))


def test_a_book_of_another_user_is_refused_unless_it_is_allowed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: desk.book.stat().st_uid + 12345)
    second = ("--transactions", desk.transactions([transaction(20)]), "--quiet")
    with pytest.raises(InputError, match=r"belongs to \w+ \(uid") as caught:
        call(command(desk, *second))
    assert caught.value.code == "other_owner"
    for words in (["payout", desk.book, "--due-by", "2020-09-30", "--out", desk.folder / "out"],):
        with pytest.raises(InputError, match="belongs to"):
            call([str(word) for word in words])
    assert call(command(desk, *second, "--any-owner")) == 0


def test_wait_waits_for_the_run_that_is_at_work(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_WAIT_SECONDS", 0.02)
    second = ("--transactions", desk.transactions([transaction(20)]), "--quiet")
    held, free = threading.Event(), threading.Event()

    def other() -> None:
        with locked(Book(desk.book)):
            held.set()
            free.wait(30)

    run = threading.Thread(target=other)
    run.start()
    assert held.wait(30)
    with pytest.raises(BookError, match="another run is writing") as caught:
        call(command(desk, *second))
    assert caught.value.code == "book_in_use"
    threading.Timer(0.1, free.set).start()
    begun = time.monotonic()
    assert call(command(desk, *second, "--wait", 60)) == 0
    assert time.monotonic() - begun >= 0.1
    run.join()


def test_json_names_wrong_usage_too_and_nothing_is_printed_without_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = main_says(["runn", "--json"], monkeypatch, capsys)
    assert (code, json.loads(out)["error"]["code"]) == (2, "wrong_usage")
    assert err.startswith("error: ")
    assert main_says(["runn"], monkeypatch, capsys)[:2] == (2, "")


def test_enrollments_are_counted_by_fault_too(desk: Desk) -> None:
    rows = [enrollment(3, applied_at="yesterday"), enrollment(4, applied_at="")]
    with pytest.raises(InputError, match=r"applied_at:malformed 1, applied_at:missing 1 \("):
        desk.run(enrollments=[desk.write("more.csv", as_csv(rows))], max_quarantined=0.05)


def test_a_folder_that_another_made_for_the_user_who_books_is_no_book_of_theirs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, user = Desk(tmp_path), os.geteuid()
    desk.book.mkdir()
    other, its_status = user + 12345, Path.stat

    def status(path: Path, **options: Any) -> os.stat_result:
        found = its_status(path, **options)
        if path != desk.book:
            return found
        return os.stat_result((*found[:4], other, *found[5:]))

    monkeypatch.setattr(Path, "stat", status)
    for number in (1, 2):
        assert desk.run(desk.transactions([transaction(number)])).record.number == number
    monkeypatch.setattr(os, "geteuid", lambda: other)
    with pytest.raises(InputError, match="belongs to"):
        desk.run(desk.transactions([transaction(3)]))

"""check looks at all files of a night at once, and says what a run would make of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, bodies, transaction

from pipelines.cli import call


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)], "first.csv"))
    return desk


def checked(desk: Desk, capsys: pytest.CaptureFixture[str], *more: object) -> tuple[int, Any]:
    before = bodies(desk.book)
    capsys.readouterr()
    code = call([str(word) for word in ("check", desk.book, *more, "--json")])
    assert bodies(desk.book) == before
    return code, json.loads(capsys.readouterr().out)


def test_every_file_that_cannot_be_used_is_named_not_only_the_first(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "no-columns.csv": b"a,b\n1,2\n",
        "picture.csv": b"\x89PNG\r\n\x1a\n\0\0\0",
        "latin.csv": "transaction_id,service_id,account_id,occurred_at,kind,amount\né".encode(
            "latin-1"
        ),
    }
    paths = [desk.write(name, data) for name, data in files.items()]
    good = desk.transactions([transaction(2)], "good.csv")
    gone = ("--transactions", *paths, desk.folder / "gone.csv", good)
    code, said = checked(desk, capsys, *gone, "--events", desk.folder / "none-*.csv")
    assert code == 1
    assert [Path(file["name"]).name for file in said["unusable"]] == [
        *("none-*.csv", "no-columns.csv", "picture.csv", "latin.csv", "gone.csv"),
    ]
    assert all(file["why"] and file["hint"] for file in said["unusable"])
    assert [file["name"] for file in said["files"]] == [str(good)]
    assert said["record"]["counts"]["booked"] == 1


def test_rows_are_held_against_the_book(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        *(transaction(1), transaction(1, amount="999"), transaction(2, service_id="gone")),
        *(transaction(3, account_id="nobody"), transaction(4, amount="many"), transaction(5)),
    ]
    first = desk.transactions(rows, "one.csv")
    second = desk.transactions([transaction(6, kind="gift", amount="")], "two.csv")
    code, said = checked(desk, capsys, "--transactions", first, second)
    assert (code, said["unusable"]) == (1, [])
    assert said["record"]["counts"]["declined"] == {
        "duplicate": 1,
        "unknown_service": 1,
        "not_enrolled": 1,
    }
    faults = {Path(file["name"]).name: file["faults"] for file in said["files"]}
    assert faults == {
        "one.csv": {"amount:malformed": 1, "transaction_id:conflict": 1},
        "two.csv": {"amount:missing": 1, "kind:unknown": 1},
    }
    assert [(file["rows"], file["quarantined"]) for file in said["files"]] == [(6, 2), (1, 1)]


def test_a_night_without_findings_is_exit_0_and_words_are_in_both_languages(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    good = desk.transactions([transaction(2), transaction(3, account_id="nobody")])
    for lang in ("ja", "en"):
        words = ["check", str(desk.book), "--transactions", str(good), "--lang", lang]
        assert call(words) == 0
        said = capsys.readouterr().out
        assert "not_enrolled" in said
        assert "25" in said
    again = call(["check", str(desk.book), "--transactions", str(desk.folder / "first.csv")])
    assert again == 0
    assert call(["check", str(desk.book), "--transactions", str(desk.folder / "gone")]) == 1


def test_a_book_need_not_be_there(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    desk.book = desk.folder / "new"
    words = ("--services", desk.services, "--enrollments", desk.enrollments)
    capsys.readouterr()
    assert call([str(word) for word in ("check", desk.book, *words, "--json")]) == 0
    assert json.loads(capsys.readouterr().out)["record"]["run_id"] == "000001"
    assert not desk.book.exists()

"""replay books a book's nights once more, from deliveries found by their bytes, and compares."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from deliveries import bodies
from small_nights import Night, deliver, ledger_of, same_ledger

from engine.errors import InputError
from pipelines.cli import call


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> list[Night]:
    folder = tmp_path_factory.mktemp("nights")
    made = [deliver(folder, number) for number in (1, 2)]
    for night in made:
        night.book(folder / "book")
    return made


@pytest.fixture
def book(nights: list[Night]) -> Path:
    return nights[0].folder.parent / "book"


def replayed(
    capsys: pytest.CaptureFixture[str], book: Path, new: Path, *deliveries: Path
) -> tuple[int, Any]:
    capsys.readouterr()
    words = ("replay", book, new, "--deliveries", *deliveries, "--json")
    code = call([str(word) for word in words])
    return code, json.loads(capsys.readouterr().out)


def test_the_same_nights_give_the_same_book_whatever_their_files_are_called(
    nights: list[Night], book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept"
    for night in nights:
        for file in (night.transactions, night.enrollments, night.events):
            kept.mkdir(exist_ok=True)
            shutil.copy(file, kept / f"{night.number}{len(list(kept.iterdir()))}.data")
    (kept / "note.txt").write_text("not a delivery")
    before = bodies(book)
    code, said = replayed(capsys, book, tmp_path / "new", kept)
    assert (code, said["differences"], said["runs"]) == (0, [], 2)
    assert same_ledger(ledger_of(book), ledger_of(tmp_path / "new"))
    assert bodies(book) == before
    assert call(["verify", str(tmp_path / "new")]) == 0


def test_where_the_books_differ_is_said(
    nights: list[Night], book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(book, tmp_path / "other")
    record = other / "runs" / "000002" / "record.json"
    value = json.loads(record.read_bytes())
    value["points"]["awarded"] += 1
    record.write_text(json.dumps(value))
    # By what the first book's records say, a point was lost.
    code, said = replayed(capsys, other, tmp_path / "new", nights[0].folder.parent)
    assert code == 1
    assert "points.awarded" in said["differences"][0]["what"]


def test_a_missing_delivery_and_a_folder_in_use_are_refused_before_anything_is_booked(
    nights: list[Night], book: Path, tmp_path: Path
) -> None:
    new = str(tmp_path / "new")
    with pytest.raises(InputError, match="run 000002: its delivery of"):
        call(["replay", str(book), new, "--deliveries", str(nights[0].folder)])
    with pytest.raises(InputError, match="no such folder"):
        call(["replay", str(book), new, "--deliveries", str(tmp_path / "gone")])
    assert not Path(new).exists()
    with pytest.raises(InputError):
        call(["replay", str(book), str(book), "--deliveries", str(nights[0].folder)])

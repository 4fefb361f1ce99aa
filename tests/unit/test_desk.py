"""What the auditor's commands share: where results may go, and what a terminal is shown."""

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from deliveries import Desk

from engine.errors import InputError
from pipelines.cli import call
from pipelines.shown import result_files, terminal
from pipelines.shown.result_files import (
    check_outside_books,
    whole_file,
    whole_folder,
    whole_new_file,
)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [_Terminal, io.StringIO])
def test_no_number_and_no_id_is_cut_to_fit_a_terminal(
    stream: Callable[[], io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys, "stdout", said := stream())
    row = ["s" * 64, *range(1_000_000, 1_000_012), "取" * 64]
    headings = [(f"heading {place}", place % 2 == 0) for place in range(len(row))]
    terminal.output().print(terminal.table(headings, [row]))
    for value in row:
        assert terminal.cell(value) in said.getvalue()


def test_json_for_machines_steers_no_terminal_and_says_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    value = {"id\u202e": "\u009b2J\x7f\x1b[31m\U000e0001 山田\n"}
    terminal.print_json(value)
    out = capsys.readouterr().out
    assert all(c.isprintable() or c == "\n" for c in out)
    assert "山田" in out
    assert json.loads(out) == value


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "BOOK", "--person", "P", "--html"],
        ["reconcile", "BOOK", "CLAIM", "--out"],
        ["claim", "BOOK", "--final", "--out"],
        ["report", "BOOK", "--out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_result_is_written_among_a_books_own_files(
    six_nights: Path, tmp_path: Path, arguments: list[str]
) -> None:
    book = tmp_path / "linked"
    book.symlink_to(six_nights)
    before = sorted(six_nights.rglob("*"))
    given = [
        {"BOOK": str(six_nights), "CLAIM": "claim.csv"}.get(argument, argument)
        for argument in arguments
    ]
    with pytest.raises(InputError, match="within the book"):
        call([*given, str(book / "runs" / "result")])
    assert sorted(six_nights.rglob("*")) == before


def test_beside_the_book_is_not_within_it(tmp_path: Path) -> None:
    check_outside_books(tmp_path / "book.html")


def test_what_came_to_stand_there_while_a_result_was_made_is_not_replaced(tmp_path: Path) -> None:
    """The second look, right before the result takes its name."""
    folder, file = tmp_path / "result", tmp_path / "page.html"

    def make_a_folder() -> None:
        with whole_folder(folder) as fresh:
            (fresh / "claim.csv").write_text("made")
            folder.mkdir()
            (folder / "own.txt").write_text("mine")

    def make_a_file() -> None:
        with whole_file(file) as fresh:
            fresh.write_text("made")
            file.write_text("mine")

    with pytest.raises(InputError, match="result: there is something already"):
        make_a_folder()
    with pytest.raises(InputError, match="something already, and this command has not written it"):
        make_a_file()
    assert file.read_text() == "mine"
    assert {path.name for path in tmp_path.rglob("*")} == {"result", "own.txt", "page.html"}


def test_a_file_that_appears_at_the_last_moment_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evidence.zip"
    page_by_another = f'<meta name="generator" content="{result_files.MAKER}">'
    looks = iter([None, lambda: path.write_text(page_by_another)])

    def look(_: Path) -> None:
        if (somebody := next(looks)) is not None:
            somebody()

    monkeypatch.setattr(result_files, "check_new_file", look)
    with pytest.raises(InputError, match="there is something already"), whole_new_file(path) as new:
        new.write_text("made")
    assert path.read_text() == page_by_another
    assert [file.name for file in tmp_path.iterdir()] == ["evidence.zip"]


def test_an_empty_folder_that_became_part_of_a_book_is_not_replaced(tmp_path: Path) -> None:
    """The system itself would allow that."""
    book = tmp_path / "place"
    (book / "result").mkdir(parents=True)

    def make_a_folder() -> None:
        with whole_folder(book / "result"):
            desk = Desk(tmp_path / "desk")
            desk.run()
            for made in desk.book.iterdir():
                made.rename(book / made.name)

    with pytest.raises(InputError, match="within the book"):
        make_a_folder()
    assert not list((book / "result").iterdir())

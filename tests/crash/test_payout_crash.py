"""Whatever fails, and whenever: a payout run is in the book or it is not; nothing is paid twice.

Each file operation of a payout run is made to fail, the first, then the second, and so on.
"""

import csv
import io
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from payout_books import PayoutBook, service
from test_crash import Death, DiskError, FullDisk, Killed, to_be_mended

from engine.errors import BookError
from engine.io.book.payouts import PayoutBook as Places
from pipelines.cli import call

Lines = list[dict[str, str]]


@dataclass
class Story:
    """A payout run to be made upon a book that has made two already."""

    folder: Path
    start: Path
    payout_id: str

    @property
    def book(self) -> Path:
        return self.folder / "book"

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def begin(self) -> None:
        """A fresh copy of the book, and nothing in the folder that files are copied to."""
        for folder in (self.book, self.out):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.start, self.book)

    def pay(self) -> int:
        return call(
            ["payout", str(self.book), "--due-by", "2020-10-03", "--out", str(self.out), "--json"]
        )

    def answer(self) -> int:
        answers = self.folder / "answers.csv"
        answers.write_text(
            f"payout_id,outcome,answered_on\n{self.payout_id},refused,2020-10-03\n",
            encoding="utf-8",
        )
        return call(["payout", str(self.book), "--answers", str(answers)])

    def files(self) -> dict[str, bytes]:
        if not self.out.exists():
            return {}
        names = [path for path in self.out.iterdir() if path.name.startswith("payouts-")]
        return {path.name: path.read_bytes() for path in sorted(names)}

    def committed(self) -> int:
        return Places(self.book).committed_runs()

    def table(self) -> pl.DataFrame:
        return pl.read_delta(str(self.book / "payouts"))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    book = PayoutBook(tmp_path)
    book.run(
        "2020-10-02",
        "T1,A1,2020-10-01,purchase,4000 T2,A2,2020-10-01,purchase,8000",
        ("A1", "A2"),
        services=service('{ when = "at_once" }'),
    )
    [line, _] = book.pay("2020-10-02")
    book.run("2020-10-03", "T3,A1,2020-10-02,purchase,400 T4,A2,2020-10-02,purchase,40")
    start = tmp_path / "start"
    book.path.rename(start)
    return Story(tmp_path, start, line["payout_id"])


FAULTS = {"killed": Killed, "disk error": DiskError, "full disk": FullDisk}


def at_every_operation(
    act: Callable[[], object],
    story: Story,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    after: Callable[[BookError | None, bool], bool],
) -> list[bool]:
    """What `after` says, each time the act was cut short at one operation more.

    It is told whether what was left is new: what was mended once need not be mended again.
    """
    failed: set[str] = set()
    outcomes: list[bool] = []
    met = set[object]()
    while True:
        story.begin()
        fault = FAULTS[kind](failed)
        error = None
        with fault.at_work(monkeypatch):
            try:
                act()
            except Death:
                pass
            except BookError as caught:
                error = caught
        if not fault.struck:
            return outcomes
        with_staged = len(outcomes) % 4 == 0
        left = to_be_mended(story.book, with_staged=with_staged), str(story.files())
        outcomes.append(after(error, left not in met))
        met.add(left)


@pytest.mark.parametrize("kind", FAULTS)
def test_instructions_are_booked_whole_or_not_at_all_and_never_twice(
    kind: str,
    story: Story,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    story.begin()
    story.pay()
    files, table = story.files(), story.table()

    def after(error: BookError | None, is_new: bool) -> bool:
        booked = story.committed() == 2
        # Nothing is instructed that no file says, and no file says what is not in the book.
        assert booked or not story.files()
        assert set(story.files().items()) <= set(files.items())
        if error is not None:
            assert ("nothing was booked" in f"{error.message} {error.hint}") == (not booked)
        if not is_new:
            return booked
        complete = story.files() == files
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            story.pay()
        is_named = "--again 000002" in caplog.text
        if booked:
            assert is_named or complete
            [csv_file] = [name for name in story.files() if name.startswith("payouts-000003-")][:1]
            assert list(csv.DictReader(io.StringIO(story.files()[csv_file].decode()))) == []
            assert call(["payout", str(story.book), "--again", "2", "--out", str(story.out)]) == 0
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                story.pay()
            assert "--again" not in caplog.text
        assert {name: data for name, data in story.files().items() if "000002" in name} == files
        found = story.table()
        assert found.drop("payout_run_id").equals(table.drop("payout_run_id"))
        return booked

    outcomes = at_every_operation(story.pay, story, kind, monkeypatch, after)
    assert len(outcomes) > 25 / FAULTS[kind].every
    # One act makes the run part of the book: what was cut short before it is not, what after is.
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)


@pytest.mark.parametrize("kind", FAULTS)
def test_answers_are_taken_in_whole_or_not_at_all(
    kind: str, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.begin()
    story.answer()
    table = story.table()

    def after(_: BookError | None, is_new: bool) -> bool:
        booked = story.committed() == 2
        if not is_new:
            return booked
        story.answer()
        assert story.table().equals(table)
        assert story.committed() == 2 + booked
        return booked

    outcomes = at_every_operation(story.answer, story, kind, monkeypatch, after)
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)


def test_a_run_says_whose_files_were_not_copied(
    story: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    story.begin()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", str(story.out))

    with monkeypatch.context() as patch:
        patch.setattr("engine.io.payout.payout_run.copy_files", fail)
        with pytest.raises(BookError, match="payout run 000002 is booked") as caught:
            story.pay()
    assert "--again 000002" in caught.value.hint
    transactions = story.folder / "none.csv"
    transactions.write_text(
        "transaction_id,service_id,account_id,occurred_at,kind,amount\n", encoding="utf-8"
    )
    with caplog.at_level(logging.WARNING):
        arguments = ["run", str(story.book), "--booked-on", "2020-10-04", "--quiet"]
        assert call([*arguments, "--transactions", str(transactions)]) == 0
    assert f"not all copied to {story.out}" in caplog.text
    assert "--again 000002" in caplog.text

"""Answers by the slice: what is held at once changes nothing in what is taken in."""

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from payout_books import PayoutBook, service
from polars.testing import assert_frame_equal

from engine.io.book.folder import Book
from engine.io.payout import answering, payout_run
from engine.io.payout.answers_taken import AnswersTaken
from pipelines.verify.findings import Findings
from pipelines.verify.payouts import check_payouts

ACCOUNTS = tuple(f"A{number:02}" for number in range(16))
HEADER = "payout_id,outcome,points,answered_on,code\n"


@pytest.fixture(scope="module")
def instructed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A book of sixteen payouts, the first four of them answered on 5 October; and their IDs."""
    book = PayoutBook(tmp_path_factory.mktemp("instructed"))
    book.run(
        "2020-10-02",
        " ".join(f"T{name},{name},2020-10-01,purchase,4000" for name in ACCOUNTS),
        ACCOUNTS,
        services=service('{ when = "at_once", ignore_codes = ["repeat"] }'),
    )
    ids = [line["payout_id"] for line in book.pay("2020-10-02")]
    assert book.answer(*(f"{payout_id},partly,700,2020-10-05,slow" for payout_id in ids[:4])) == 0
    return book.path, ids


def all_kinds_of(ids: list[str]) -> str:
    answers = [
        f"{ids[0]},done,,2020-10-06,late",
        f"{ids[1]},refused,,2020-10-05,",
        f"{ids[2]},done,,2020-10-04,",
        f"{ids[3]},partly,700,2020-10-05,slow",
        f"{ids[4]},done,,2020-10-06,",
        f"{ids[4]},refused,,2020-10-05,",
        f"{ids[5]},done,,2020-10-06,",
        f"{ids[5]},refused,,2020-10-06,",
        f"{ids[6]},partly,1000,2020-10-06,",
        f"{ids[7]},partly,x,2020-10-06,",
        f"{ids[8]},refused,,2020-10-06,repeat",
        f"{ids[9]},refused,,2020-10-06,closed",
        "nobody's,partly,x,2020-13-06,",
        "nobody's,done,,2020-10-06,",
        ",done,,2020-10-06,",
        "too,few",
    ]
    return HEADER + "".join(f"{answer}\n" for answer in answers)


def taken(
    instructed: Path, answers: Path, **others: Any
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, Any], int]:
    """The table, what is set aside, the record's sums; and how many files the table grew by."""
    result = payout_run.take_answers(instructed, answers=[answers], max_quarantined=1.0, **others)
    assert result.booked
    folder = instructed / "payout_runs" / result.record.payout_run_id
    record = json.loads((folder / "record.json").read_text(encoding="utf-8"))
    new = sorted((instructed / "payouts").glob(f"{result.record.payout_run_id}-*.parquet"))
    table = pl.concat([pl.read_parquet(part) for part in new])
    quarantine = pl.read_parquet(folder / "quarantine.parquet").drop("file").sort("row")
    return table, quarantine, {key: record[key] for key in ("counts", "points")}, len(new)


def test_answers_in_slices_are_those_at_once(
    instructed: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, ids = instructed
    answers = tmp_path / "answers.csv"
    answers.write_text(all_kinds_of(ids), encoding="utf-8")
    others = {"others_done": 1, "answered_on": dt.date(2020, 10, 7)}
    shutil.copytree(book, tmp_path / "whole")
    shutil.copytree(book, tmp_path / "sliced")
    whole = taken(tmp_path / "whole", answers, **others)
    monkeypatch.setattr(answering, "ROWS_PER_SLICE", 3)
    sliced = taken(tmp_path / "sliced", answers, **others)
    assert whole[3] == 1 < sliced[3]
    # The files of the table follow each other in its order, too.
    assert_frame_equal(sliced[0], whole[0])
    assert_frame_equal(sliced[1], whole[1])
    assert sliced[2] == whole[2]
    assert whole[2]["counts"] == {
        "read": 16,
        "accepted": 3,
        "unchanged": 2,
        "quarantined": 11,
        "skipped": 0,
        "others_done": 6,
    }
    assert dict(whole[1].select("row", "errors").iter_rows()) == {
        2: ["payout_id:conflict"],
        3: ["payout_id:overtaken"],
        6: ["payout_id:overtaken"],
        7: ["payout_id:conflict"],
        8: ["payout_id:conflict"],
        9: ["points:out_of_range"],
        10: ["points:malformed"],
        13: ["payout_id:unknown", "points:malformed", "answered_on:malformed"],
        14: ["payout_id:unknown"],
        15: ["payout_id:missing"],
        16: ["row:malformed"],
    }
    findings = Findings()
    (tmp_path / "scratch").mkdir()
    check_payouts(Book(tmp_path / "sliced"), tmp_path / "scratch", findings, whole=True)
    assert not findings


def test_of_few_answers_no_other_payouts_are_held(
    instructed: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, ids = instructed
    shutil.copytree(book, tmp_path / "book")
    answers = tmp_path / "answers.csv"
    answers.write_text(f"{HEADER}{ids[9]},done,,2020-10-06,\n", encoding="utf-8")
    held: list[int] = []
    decide = AnswersTaken.decide

    def counted(self: AnswersTaken, said: pl.DataFrame, lines: pl.DataFrame, *more: Any) -> None:
        held.append(lines.height)
        decide(self, said, lines, *more)

    monkeypatch.setattr(AnswersTaken, "decide", counted)
    assert taken(tmp_path / "book", answers)[2]["counts"]["accepted"] == 1
    assert held == [1]

"""mynapoint payout and mynapoint due, by the real command line."""

import datetime as dt
import hashlib
import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from payout_books import PayoutBook, paid, points, service, set_today

from engine.errors import BookError, InputError
from engine.io.book.folder import Book
from engine.io.book.payouts import PayoutBook as Places
from engine.io.book.writing import locked
from pipelines.cli import call
from pipelines.due.forecast import forecast
from pipelines.verify import verify

__all__ = ["paid"]

# Each: what a notice would say; the schedule; nights (booked on, transactions); payouts (the day,
# and what is paid then).
GOLDEN: dict[str, tuple[str, list[tuple[str, str]], list[tuple[str, Any]]]] = {
    "a month's 10,001 and 5,000 yen come as one payment on the 28th of the next": (
        '{ when = "month_day", months = 1, day = 28 }',
        [("2020-10-01", "T1,A1,2020-09-03,purchase,10001 T2,A1,2020-09-20,purchase,5000")],
        [("2020-10-27", []), ("2020-10-28", [("A1", "pay", 3750)])],
    ),
    "4,003 yen on 1 November come thirty days after": (
        '{ when = "days_after", days = 30 }',
        [("2020-11-02", "T1,A1,2020-11-01,purchase,4003")],
        [("2020-11-30", []), ("2020-12-01", [("A1", "pay", 1000)])],
    ),
    "what is refunded before it comes is not paid": (
        '{ when = "days_after", days = 30 }',
        [
            ("2020-11-02", "T1,A1,2020-11-01,purchase,4003"),
            ("2020-11-20", "R1,A1,2020-11-20,refund,4003,T1"),
        ],
        [("2020-12-01", []), ("2021-11-29", [])],
    ),
    "the 7th and the 8th of August are of two months where the cut day is the 7th": (
        '{ when = "month_day", months = 1, day = 10, cut_day = 7 }',
        [("2020-08-08", "T1,A1,2020-08-07,purchase,400 T2,A2,2020-08-08,purchase,400")],
        [
            ("2020-08-09", []),
            ("2020-08-10", [("A1", "pay", 100)]),
            ("2020-09-10", [("A2", "pay", 100)]),
        ],
    ),
    "20,000 yen reached on 12 October come all at once on 25 December": (
        '{ when = "on_reaching", yen = 20_000, months = 2, day = 25, rest_on = 2021-11-30 }',
        [("2020-10-31", "T1,A1,2020-10-01,purchase,17000 T2,A1,2020-10-12,purchase,3000")],
        [("2020-12-24", []), ("2020-12-25", [("A1", "pay", 5000)])],
    ),
    "what was reached, refunded and reached again comes two months after that": (
        '{ when = "on_reaching", yen = 20_000, months = 2, day = 25, rest_on = 2021-11-30 }',
        [
            ("2020-10-31", "T1,A1,2020-10-12,purchase,20000"),
            ("2020-11-02", "R1,A1,2020-11-02,refund,3000,T1"),
            ("2021-01-05", "T2,A1,2021-01-05,purchase,3000"),
        ],
        [("2021-03-24", []), ("2021-03-25", [("A1", "pay", 5000)])],
    ),
}
EARLY = """\
programme_id = "early"
name = "a programme that begins in August"
[rate]
numerator = 25
denominator = 100
source = "a test"
[cap]
spending_yen = 20_000
source = "a test"
[[terms]]
announced_on = 2020-07-01
window_first = 2020-08-01
window_last = 2021-09-30
applications_last = 2021-09-30
card_applications_last = 2021-04-30
source = "a test"
"""


@pytest.mark.parametrize("case", GOLDEN)
def test_a_golden_case_is_paid(case: str, paid: PayoutBook) -> None:
    schedule, nights, payouts = GOLDEN[case]
    programme = paid.file("programme.toml", EARLY)
    call_run = ["run", str(paid.path), "--booked-on", "2020-08-01", "--quiet"]
    enrollments = paid.file(
        "enrollments.csv",
        "person_id,service_id,account_id,applied_at,card_applied_on\n"
        "P1,coin,A1,2020-07-01 00:00:00,2020-06-01\nP2,coin,A2,2020-07-01 00:00:00,2020-06-01\n",
    )
    services = paid.file("services.toml", service(schedule))
    call_run += ["--enrollments", str(enrollments), "--services", str(services)]
    assert call([*call_run, "--programme", str(programme)]) == 0
    for booked_on, transactions in nights:
        paid.run(booked_on, transactions)
    for day, expected in payouts:
        assert points(paid.pay(day)) == expected, day


@pytest.fixture
def coins(paid: PayoutBook) -> PayoutBook:
    """Three accounts that are owed 1,000 points each, at once."""
    codes = 'hold_codes = ["closed"], ignore_codes = ["repeat"]'
    paid.run(
        "2020-10-02",
        " ".join(f"T{n},A{n},2020-10-01,purchase,4000" for n in (1, 2, 3)),
        ("A1", "A2", "A3"),
        services=service(f'{{ when = "at_once", {codes} }}'),
    )
    return paid


def bridge(book: PayoutBook, on: str, capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    capsys.readouterr()
    assert call(["due", str(book.path), "--on", on, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["on"] == on
    [(name, terms)] = said["services"].items()
    assert name == "coin"
    return {term: value for term, value in terms.items() if value}


def test_paying_again_pays_nothing_and_the_run_is_numbered_all_the_same(
    coins: PayoutBook,
) -> None:
    assert len(coins.pay("2020-10-02")) == 3
    assert coins.pay("2020-10-02") == []
    assert coins.pay("2020-10-05") == []
    runs = sorted(path.name for path in (coins.path / "payout_runs").iterdir())
    assert runs == ["000001", "000002", "000003"]
    text = (coins.folder / "out" / "payouts-000003-coin.csv").read_text(encoding="utf-8")
    assert text == "payout_id,service_id,account_id,direction,points,due_on,instructed_on\n"


def test_the_files_say_what_the_table_says(coins: PayoutBook) -> None:
    lines = coins.pay("2020-10-02")
    table = pl.read_delta(str(coins.path / "payouts"))
    assert table["payout_id"].to_list() == [line["payout_id"] for line in lines]
    parquet = pl.read_parquet(coins.folder / "out" / "payouts-000001-coin.parquet")
    assert parquet.cast(pl.String).to_dicts() == lines
    listed = json.loads((coins.folder / "out" / "payouts-000001.json").read_text("utf-8"))
    for file in listed["files"]:
        data = (coins.folder / "out" / file["name"]).read_bytes()
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
        assert (file["rows"], file["points"]) == (3, {"pay": 3000, "take_back": 0})
    said = "coin\nA1\n000001\npay\n1000\n"
    assert lines[0]["payout_id"] == hashlib.sha256(said.encode()).hexdigest()[:32]


def test_no_person_leaves_the_book(coins: PayoutBook) -> None:
    coins.pay("2020-10-02")
    for file in (coins.folder / "out").iterdir():
        assert b"P-A1" not in file.read_bytes()


def test_runs_and_payout_runs_make_one_chain(coins: PayoutBook) -> None:
    [line, *_] = coins.pay("2020-10-02")
    coins.run("2020-10-03", "T9,A1,2020-10-03,purchase,40")
    assert coins.answer(f"{line['payout_id']},done,,2020-10-03,") == 0
    coins.pay("2020-10-03")
    coins.run("2020-10-04", "T10,A1,2020-10-03,purchase,40")
    before = None
    for name in (
        *("runs/000001", "payout_runs/000001", "runs/000002", "payout_runs/000002"),
        *("payout_runs/000003", "runs/000003"),
    ):
        data = (coins.path / name / "record.json").read_bytes()
        assert json.loads(data)["previous_sha256"] == before, name
        before = hashlib.sha256(data).hexdigest()


def test_a_trial_shows_the_lines_and_books_nothing(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["payout", str(coins.path), "--due-by", "2020-10-02", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["booked"], said["points"]) == (False, {"pay": 3000, "take_back": 0})
    assert not (coins.path / "payouts").exists()
    assert len(coins.pay("2020-10-02")) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--due-by", "2020-10-01"], "2020-10-01 is before 2020-10-02"),
        (["--due-by", "2020-10-02", "--service", "gate"], "has no such service"),
        (["--due-by", "2999-01-01"], "more than 100 days ahead"),
        ([], "one of --due-by, --answers (or --others-done) and --again"),
        (["--due-by", "2020-10-02", "--others-done", "1"], "one of --due-by"),
        (["--others-done", "1"], "belong together"),
        (["--others-done", "9", "--answered-on", "2020-10-02"], "no payout run 000009"),
        (["--others-done", "1", "--answered-on", "2020-10-02"], "of which services"),
        (["--again", "9"], "no payout run 000009"),
        (["--again", "1", "--allow-far"], "--allow-far: says nothing here"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(
    coins: PayoutBook, arguments: list[str], words: str
) -> None:
    coins.pay("2020-10-02")
    out = [] if "--others-done" in arguments else ["--out", str(coins.folder / "other")]
    with pytest.raises(InputError) as caught:
        call(["payout", str(coins.path), *arguments, *out])
    assert words in caught.value.message
    assert Places(coins.path).committed_runs() == 1


def test_there_must_be_a_book(tmp_path: Path) -> None:
    for arguments in (
        ["payout", str(tmp_path / "none"), "--due-by", "2020-10-02", "--out", str(tmp_path / "o")],
        ["due", str(tmp_path / "none"), "--on", "2020-10-02"],
    ):
        with pytest.raises(InputError, match="there is no book"):
            call(arguments)
    assert not (tmp_path / "none").exists()


def test_no_other_file_is_written_over(coins: PayoutBook) -> None:
    (coins.folder / "out").mkdir()
    other = coins.folder / "out" / "payouts-000001-coin.csv"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="another file is there"):
        coins.pay("2020-10-02")
    assert other.read_text(encoding="utf-8") == "mine"
    assert Places(coins.path).committed_runs() == 0


def test_the_files_of_a_payout_run_can_be_had_again(coins: PayoutBook) -> None:
    coins.pay("2020-10-02")
    first = {path.name: path.read_bytes() for path in (coins.folder / "out").iterdir()}
    again = ["payout", str(coins.path), "--again", "000001", "--out"]
    assert call([*again, str(coins.folder / "again")]) == 0
    assert {p.name: p.read_bytes() for p in (coins.folder / "again").iterdir()} == first
    # The same bytes stay.
    assert call([*again, str(coins.folder / "again")]) == 0


def test_a_damaged_file_is_not_handed_out_again(coins: PayoutBook) -> None:
    coins.pay("2020-10-02")
    kept = coins.path / "payout_runs" / "000001" / "payouts-000001-coin.csv"
    kept.write_bytes(kept.read_bytes().replace(b",1000,", b",9000,"))
    again = coins.folder / "again"
    with pytest.raises(BookError, match="missing or damaged"):
        call(["payout", str(coins.path), "--again", "1", "--out", str(again)])
    assert not again.exists()


def test_services_may_be_paid_at_different_rhythms(paid: PayoutBook) -> None:
    text = service('{ when = "at_once" }')
    paid.run("2020-10-02", "T1,A1,2020-10-01,purchase,4000", ("A1",), services=text)
    with_gate = text + text.replace('"coin"', '"gate"')
    paid.run("2020-10-03", "T2,A1,2020-10-01,purchase,400", services=with_gate)
    assert paid.pay("2020-10-05", "--service", "gate") == []
    assert not list((paid.folder / "out").glob("*gate*"))
    assert points(paid.pay("2020-10-04", "--service", "coin")) == [("A1", "pay", 1100)]


def test_an_answer_of_the_same_night_may_stand_for_all_that_did_not_fail(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = coins.pay("2020-10-02")
    others = ("--others-done", "000001", "--answered-on", "2020-10-03")
    assert coins.answer(f"{lines[1]['payout_id']},refused,,2020-10-03,closed", more=others) == 0
    terms = bridge(coins, "2020-10-03", capsys)
    assert terms == {"awarded": 3000, "granted": 2000, "withheld": 1000}
    assert coins.pay("2020-10-03") == []


def test_an_answer_that_cannot_be_read_keeps_its_payout_from_the_others(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = coins.pay("2020-10-02")
    more = (*("--others-done", "1", "--answered-on", "2020-10-03"), "--max-quarantined", "1")
    assert coins.answer(f"{lines[0]['payout_id']},partly,1000,2020-10-03,", more=more) == 0
    assert bridge(coins, "2020-10-03", capsys) == {
        "awarded": 3000,
        "granted": 2000,
        "unanswered": 1000,
    }


def test_a_repeat_says_nothing_new_and_a_later_day_corrects(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    [line, *_] = coins.pay("2020-10-02")
    payout_id = line["payout_id"]
    assert coins.answer(f"{payout_id},done,,2020-10-03,") == 0
    assert coins.answer(f"{payout_id},refused,,2020-10-09,repeat") == 0
    assert bridge(coins, "2020-10-09", capsys)["granted"] == 1000
    assert coins.answer(f"{payout_id},refused,,2020-10-09,bounced") == 0
    assert bridge(coins, "2020-10-09", capsys) == {
        "awarded": 3000,
        "unanswered": 2000,
        "due": 1000,
    }
    table = pl.read_delta(str(coins.path / "payouts")).filter(pl.col("payout_run_id") == "000004")
    assert table.select("entry", "points", "on", "code").rows() == [
        ("done", -1000, dt.date(2020, 10, 9), None),
        ("refused", 1000, dt.date(2020, 10, 9), "bounced"),
    ]


def test_answers_that_cannot_be_taken_are_counted_by_kind_and_the_first_named(
    coins: PayoutBook,
) -> None:
    [line, *_] = coins.pay("2020-10-02")
    of_a_day = [f"{line['payout_id']},partly,{points},2020-10-03," for points in (1, 2)]
    with pytest.raises(InputError) as refused:
        coins.answer(*of_a_day, f"{line['payout_id']},lost,,2020-10-03,", "X,done,,2020-10-03,")
    assert refused.value.code == "too_many_quarantined"
    faults = re.sub("/[^ ]*/", "", refused.value.message.rpartition("booked: ")[2])
    places = ["answers-1.csv row 3", "answers-1.csv row 4"]
    assert set(faults.replace("-2", "-1").split("; ")) == {
        "2 in conflict with other answers (answers-1.csv row 1, answers-1.csv row 2)",
        f"2 unreadable: outcome:unknown 1, payout_id:unknown 1 ({', '.join(places)})",
    }


def test_a_payout_run_that_was_cut_off_is_found_by_what_reads_payouts_and_by_status(
    coins: PayoutBook,
) -> None:
    coins.pay("2020-10-02")
    assert call(["status", str(coins.path)]) == 0
    payouts = Places(coins.path)
    shutil.rmtree(payouts.run_folder(1))
    payouts.commit_file(1).unlink()
    for part in payouts.ledger.glob("000001-*"):
        part.unlink()
    assert {finding.kind for finding in verify(coins.path).findings} == {"cut_off"}
    for words in (
        ["status", str(coins.path)],
        ["due", str(coins.path), "--on", "2020-10-31"],
        ["claim", str(coins.path), "--final"],
        ["explain", str(coins.path), "--person", "P1"],
        ["payout", str(coins.path), "--due-by", "2020-10-31", "--out", str(coins.folder / "x")],
        ["run", str(coins.path), "--booked-on", "2020-10-31"],
    ):
        with pytest.raises(BookError, match="run 000001 was booked"):
            call(words)


def test_answers_with_individual_numbers_are_refused(coins: PayoutBook) -> None:
    """Made as the ordinance says; nobody's, as far as a draw of lots can tell."""
    [line, *_] = coins.pay("2020-10-02")
    rng, values = random.Random(5), []
    for _ in range(40):
        digits = [rng.randrange(10) for _ in range(11)]
        weighed = zip(digits, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)
        rest = sum(digit * weight for digit, weight in weighed) % 11
        values.append("".join(map(str, [*digits, 0 if rest <= 1 else 11 - rest])))
    answers = [f"{line['payout_id']},done,,2020-10-03,{value}" for value in values]
    with pytest.raises(InputError, match="seems to hold Individual Numbers") as refused:
        coins.answer(*answers, more=("--max-quarantined", "1"))
    assert not any(value in refused.value.message for value in values)
    assert not (coins.path / "payout_runs" / "000002").exists()


def test_an_answer_of_tomorrow_is_none_yet(
    coins: PayoutBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_today(monkeypatch, dt.date(2020, 10, 3))
    [line, *_] = coins.pay("2020-10-02")
    with pytest.raises(InputError, match="1 of 1 answers cannot be taken"):
        coins.answer(f"{line['payout_id']},done,,2020-10-04,")
    assert coins.answer(f"{line['payout_id']},done,,2020-10-03,") == 0


def test_a_day_ahead_may_be_asked_for_up_to_a_hundred_days(
    coins: PayoutBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_today(monkeypatch, dt.date(2020, 10, 2))
    with pytest.raises(InputError, match="more than 100 days ahead"):
        coins.pay("2021-01-11")
    assert len(coins.pay("2021-01-10")) == 3
    coins.pay("2021-01-11", "--allow-far")
    record = json.loads((coins.path / "payout_runs/000002/record.json").read_text("utf-8"))
    assert record["allowed"] == ["far"]


def test_answers_are_read_through_a_layout(coins: PayoutBook) -> None:
    lines = coins.pay("2020-10-02")
    layout = coins.file(
        "layout.toml",
        'layout_id = "bank"\nname = "a bank"\nfollows = "a test"\nrole = "answers"\n'
        '[file]\nencoding = "cp932"\nseparator = ","\nheader = ["番号", "結果", "日"]\n'
        '[columns.payout_id]\nfrom = "番号"\n'
        '[columns.outcome]\nfrom = "結果"\nmap = { "正常" = "done", "不能" = "refused" }\n'
        '[columns.answered_on]\nfrom = "日"\nforms = ["YYYY/M/D"]\n',
    )
    answers = coins.folder / "answers.csv"
    text = f"番号,結果,日\n{lines[0]['payout_id']},正常,2020/10/3\n"
    text += f"{lines[1]['payout_id']},不能,2020/10/3\n"
    answers.write_bytes(text.encode("cp932"))
    arguments = ["payout", str(coins.path), "--layout", str(layout), "--answers", str(answers)]
    assert call(arguments) == 0
    record = json.loads((coins.path / "payout_runs/000002/record.json").read_text("utf-8"))
    assert record["counts"]["accepted"] == 2
    assert record["inputs"][0]["layout"]["id"] == "bank"


def test_an_answer_that_may_be_cut_short_is_taken_and_said_or_refused(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    [line, *_] = coins.pay("2020-10-02")
    cut = f"payout_id,outcome,answered_on,points\n{line['payout_id']},partly,2020-10-03,1"
    answers = ["payout", str(coins.path), "--answers", str(coins.file("cut.csv", cut))]
    with pytest.raises(InputError, match="it may be cut short"):
        call([*answers, "--whole-lines"])
    assert not (coins.path / "payout_runs" / "000002").exists()
    assert call(answers) == 0
    assert "cut.csv: row 1: the last record has no line end" in capsys.readouterr().err
    record = json.loads((coins.path / "payout_runs" / "000002" / "record.json").read_text())
    assert [(warning["row"], "cut short" in warning["what"]) for warning in record["warnings"]] == [
        (1, True)
    ]
    assert not verify(coins.path).findings


def test_a_file_of_answers_can_be_previewed(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = coins.file("a.csv", "payout_id,outcome,answered_on\nX1,done,2020-10-03\n")
    assert call(["preview", str(answers), "--role", "answers"]) == 0
    assert "X1" in capsys.readouterr().out


def test_due_tells_people_what_machines_are_told(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = coins.pay("2020-10-02")
    coins.answer(f"{lines[0]['payout_id']},refused,,2020-10-03,closed")
    coins.run("2020-10-04", "R2,A2,2020-10-04,refund,4000,T2")
    for lang, words in {
        "en": ["held by an answer's code", "waits for later points", "no answer for more than 10"],
        "ja": ["結果コードによる保留", "今後のポイントと相殺", "10 日を超えて"],
    }.items():
        capsys.readouterr()
        arguments = ["due", str(coins.path), "--on", "2020-10-20", "--by", "day"]
        assert call([*arguments, "--overdue-days", "10", "--lang", lang]) == 0
        said = capsys.readouterr().out
        assert all(word in said for word in words), said


def test_what_was_granted_later_than_two_months_after_its_payment_is_told(
    paid: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    payments = "T1,A1,2020-10-05,purchase,4000 R1,A1,2020-10-06,refund,400,T1"
    payments += " T2,A1,2020-10-06,purchase,2000"
    paid.run("2020-11-30", payments, ("A1",), services=service('{ when = "at_once" }'))
    [line] = paid.pay("2020-12-01")
    assert line["points"] == "1400"
    # The 5th is the last day for T1, of which 900 points are left.
    late = {"2020-12-05": 0, "2020-12-06": 900, "2020-12-07": 1400}
    for answered_on, late_points in late.items():
        paid.answer(f"{line['payout_id']},done,,{answered_on},")
        found = forecast(paid.path, dt.date(2020, 12, 8), by_day=False, overdue_days=60).late
        assert found.rows() == ([("coin", 1, late_points)] if late_points else [])
    capsys.readouterr()
    assert call(["due", str(paid.path), "--on", "2020-12-08", "--lang", "en"]) == 0
    assert "Granted later than two months after the payment" in capsys.readouterr().out
    page = paid.folder / "report.html"
    assert call(["report", str(paid.path), "--out", str(page), "--lang", "en"]) == 0
    note = "1,400 points were granted later than two months after the payment (payouts: 1)."
    assert note in page.read_text(encoding="utf-8")


def test_what_comes_due_adds_up_to_what_is_not_yet_due(
    paid: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    paid.run(
        "2020-10-02",
        "T1,A1,2020-10-01,purchase,4000 T2,A1,2020-10-02,purchase,400",
        ("A1",),
        services=service('{ when = "days_after", days = 30 }'),
    )
    capsys.readouterr()
    assert call(["due", str(paid.path), "--on", "2020-10-20", "--by", "day", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["days"] == {"2020-10-31": {"coin": 1000}, "2020-11-01": {"coin": 100}}
    assert said["services"]["coin"]["not_yet_due"] == 1100


def test_a_book_in_use_is_not_paid_out(coins: PayoutBook) -> None:
    with locked(Book(coins.path)), pytest.raises(BookError, match="another run"):
        coins.pay("2020-10-02")


def test_explain_tells_the_life_of_a_point(
    coins: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = coins.pay("2020-10-02")
    coins.answer(f"{lines[0]['payout_id']},partly,400,2020-10-03,busy")
    coins.pay("2020-10-03")
    capsys.readouterr()
    explain = ["explain", str(coins.path), "--person", "P-A1"]
    assert call([*explain, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["payouts"]
    [due] = said["due"]
    assert (due["transaction_id"], due["points"], due["due_on"]) == ("T1", 1000, "2020-10-02")
    instructed_lines = [
        (line["instructed"], line["answered"], line["code"]) for line in said["lines"]
    ]
    assert instructed_lines == [(1000, 400, "busy"), (600, None, None)]
    for lang, words in {"en": "400 points were done", "ja": "400 ポイント完了"}.items():
        page = coins.folder / f"{lang}.html"
        assert call([*explain, "--lang", lang, "--html", str(page)]) == 0
        assert words in capsys.readouterr().out
        assert words in page.read_text(encoding="utf-8")
        assert "2020-10-02</td>" in page.read_text(encoding="utf-8")


def test_the_report_shows_the_bridge(coins: PayoutBook) -> None:
    coins.pay("2020-10-02")
    page = coins.folder / "report.html"
    assert call(["report", str(coins.path), "--out", str(page), "--lang", "en"]) == 0
    assert 'id="table-payouts"' in page.read_text(encoding="utf-8")

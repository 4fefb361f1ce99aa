"""verify proves the payouts: each planted defect is found, and a sound book has none."""

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable
from payout_books import PayoutBook, service

from engine.io.book.folder import Book
from engine.io.book.payouts import SCHEMA
from engine.io.book.payouts import PayoutBook as Places
from engine.io.durable import sha256_of
from pipelines.cli import call
from pipelines.verify import verify
from pipelines.verify.findings import Findings
from pipelines.verify.payouts import check_payouts


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book with payouts, refusals, a correction and a take-back."""
    book = PayoutBook(tmp_path_factory.mktemp("sound"))
    book.run(
        "2020-10-02",
        " ".join(f"T{n},A{n},2020-10-01,purchase,{4000 * n}" for n in (1, 2, 3)),
        ("A1", "A2", "A3"),
        services=service('{ when = "at_once", take_back_from = 2020-10-09 }'),
    )
    first, second, third = (line["payout_id"] for line in book.pay("2020-10-02"))
    book.answer(
        f"{first},done,,2020-10-03,",
        f"{second},partly,100,2020-10-03,busy",
        f"{third},refused,,2020-10-03,closed",
    )
    book.run("2020-10-05", "R1,A1,2020-10-05,refund,4000,T1")
    book.pay("2020-10-06")
    book.answer(f"{third},done,,2020-10-07,", f"{first},done,,2020-10-07,")
    book.pay("2020-10-09")
    return book.path


def found(book: Path, scratch: Path) -> list[str]:
    """What is wrong with a book's payouts, one line each."""
    findings = Findings()
    folder = scratch / "scratch"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    checked = check_payouts(Book(book), folder, findings, whole=True)
    assert checked is not None
    assert findings or checked.bridge
    return [finding.line(show_ids=True) for finding in findings]


def test_a_sound_book_has_no_finding(sound: Path, tmp_path: Path) -> None:
    assert found(sound, tmp_path) == []


Rows = Callable[[pl.DataFrame], pl.DataFrame]


def doubled(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows[:1], rows])


def dropped(rows: pl.DataFrame) -> pl.DataFrame:
    return rows[1:]


def of_another_amount(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(points=pl.col("points") + 1)


def to_another_account(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(account_id=pl.lit("X9"))


def of_another_day(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(due_on=pl.col("due_on").dt.offset_by("-1d"))


def answered_of_another_account(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(account_id=pl.lit("X9"), enrolled_account_id=pl.lit("X9"))


def answered_of_another_run(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(payout_run_id=pl.lit("000003"))


def refused_instead(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        entry=pl.when(pl.col("points") > 0).then(pl.lit("refused")).otherwise("entry")
    )


def to_no_payout(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(payout_id=pl.lit("0" * 32))


def of_the_day_of_the_answer_before(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(on=pl.lit(dt.date(2020, 10, 3)))


def of_two_days(rows: pl.DataFrame) -> pl.DataFrame:
    return pl.concat([rows[:1].with_columns(on=pl.lit(dt.date(2020, 10, 8))), rows[1:]])


def in_another_order(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.reverse()


def granted_in_whole(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(entry="done").with_columns(points=pl.lit(3000, pl.Int64))


def forge(book: Path, number: int, change: Rows) -> None:
    """Changes a payout run's rows, and makes size, digests and commits say the same."""
    places = Places(book)
    part = places.ledger / f"{number:06}-00000.parquet"
    rows = change(pl.read_parquet(part))
    import pyarrow.parquet as pq

    pq.write_table(rows.to_arrow().cast(SCHEMA), part)
    for later in range(number, places_committed(places) + 1):
        record_path = places.run_folder(later) / "record.json"
        record = json.loads(record_path.read_text(encoding="utf-8"))
        for output in record["outputs"]:
            file = book / output["name"]
            output |= {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
        if later > number:
            before = places.run_folder(later - 1) / "record.json"
            runs = book / "runs" / record["run_id"] / "record.json"
            earlier = json.loads(before.read_text(encoding="utf-8"))
            same = earlier["run_id"] == record["run_id"]
            record["previous_sha256"] = sha256_of(before if same else runs)
        record_path.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", "utf-8")
        commit = places.commit_file(later)
        lines = [json.loads(line) for line in commit.read_text("utf-8").split("\n")]
        for line in lines:
            if "add" in line:
                line["add"]["size"] = (places.ledger / line["add"]["path"]).stat().st_size
            if "commitInfo" in line:
                line["commitInfo"]["record_sha256"] = sha256_of(record_path)
                if later > 1:
                    before = places.commit_file(later - 1)
                    line["commitInfo"]["previous_commit_sha256"] = sha256_of(before)
        commit.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")


def places_committed(places: Places) -> int:
    return len(list(places.log.glob("*.json")))


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (3, doubled, "instructed twice"),
        (3, dropped, "not instructed"),
        (3, of_another_amount, "another points"),
        (3, to_another_account, "another account_id"),
        (3, of_another_day, "another due_on"),
        (4, of_another_amount, "other points than were instructed"),
        (4, granted_in_whole, "not taken back as it was said"),
        (4, dropped, "not taken back as it was said"),
        (4, refused_instead, "the record counts other answers"),
        (4, answered_of_another_account, "names another account"),
        (4, answered_of_another_run, "not this payout run's"),
        (4, to_no_payout, "the answer is to no payout"),
        (4, of_the_day_of_the_answer_before, "not of a later day than the one before"),
        (4, of_two_days, "the answer is of two days"),
        (4, in_another_order, "not in the table's order"),
        (5, of_another_amount, "another points"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_planted_defect_is_found_though_all_digests_agree(
    number: int, change: Rows, words: str, sound: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    shutil.copytree(sound, book)
    forge(book, number, change)
    lines = found(book, tmp_path)
    assert any(words in line for line in lines), lines


def test_a_file_that_says_something_else_than_the_table_is_found_though_all_digests_agree(
    sound: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    for name, old, new in (
        ("payouts-000001-coin.csv", b",1000,", b",9999,"),
        ("payouts-000001.json", b'"pay": 6000', b'"pay": 6001'),
    ):
        shutil.rmtree(book, ignore_errors=True)
        shutil.copytree(sound, book)
        path = book / "payout_runs" / "000001" / name
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))
        listed = book / "payout_runs" / "000001" / "payouts-000001.json"
        if path != listed:
            text = listed.read_text("utf-8")
            for file in json.loads(text)["files"]:
                if file["name"] == name:
                    text = text.replace(file["sha256"], sha256_of(path))
            listed.write_text(text, "utf-8")
        forge(book, 1, lambda rows: rows)
        assert any("something else than the table" in line for line in found(book, tmp_path)), name


def test_verify_states_the_bridge_that_it_calculated_itself(
    sound: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["verify", str(sound), "--json"]) == 0
    checked = json.loads(capsys.readouterr().out)["payouts"]
    assert call(["due", str(sound), "--on", "2020-10-05", "--json"]) == 0
    due = json.loads(capsys.readouterr().out)["services"]
    assert checked == {"payout_runs": 5, "bridge": due}
    assert call(["verify", str(sound)]) == 0
    assert (
        "awarded 5,000 = granted 4,100 - taken back 0 + unanswered 3,900" in capsys.readouterr().out
    )


def test_what_was_forged_before_a_run_is_told_by_that_runs_record(
    sound: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    shutil.copytree(sound, book)
    forge(book, 1, of_another_amount)
    lines = [finding.line(show_ids=True) for finding in verify(book).findings]
    assert any("made after another record than this one" in line for line in lines), lines


def test_a_changed_byte_is_found(sound: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    for name in (
        *("payouts/000001-00000.parquet", "payouts/_delta_log/00000000000000000001.json"),
        *("payout_runs/000001/payouts-000001-coin.csv", "payout_runs/000002/quarantine.parquet"),
        *("payout_runs/000003/record.json", "payout_runs/000001/payouts-000001.json"),
    ):
        shutil.rmtree(book, ignore_errors=True)
        shutil.copytree(sound, book)
        path = book / name
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        assert found(book, tmp_path), name


def test_what_no_payout_run_made_is_found(sound: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    shutil.copytree(sound, book)
    (book / "payout_runs" / "000002" / "more.csv").write_text("x", encoding="utf-8")
    (book / "payout_runs" / "000099").mkdir()
    lines = found(book, tmp_path)
    assert any("belongs to no record" in line for line in lines)
    assert any("000099 has no commit" in line for line in lines)


def test_another_programs_commit_is_named_and_not_taken_for_a_damaged_record(
    sound: Path, tmp_path: Path
) -> None:
    book = tmp_path / "book"
    shutil.copytree(sound, book)
    DeltaTable(book / "payouts").optimize.compact()
    lines = found(book, tmp_path)
    assert any("made by delta-rs" in line and "(OPTIMIZE), not by a run" in line for line in lines)
    assert not any("record" in line and "damaged" in line for line in lines), lines


def test_verify_ends_with_1_where_it_finds_something(sound: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    shutil.copytree(sound, book)
    (book / "payouts" / "000001-00000.parquet").unlink()
    assert call(["verify", str(book)]) == 1

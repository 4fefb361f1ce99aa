"""The auditor's commands on a book of providers' own files, whose rows lack canonical columns."""

import json
from pathlib import Path

import polars as pl
import pytest
from deliveries import ROOT, Desk, as_csv, enrollment

from engine.errors import InputError
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.reconcile.output import explanation
from pipelines.report import write_report
from pipelines.shown.texts import Texts

PAYPAY = ROOT / "tests" / "layouts" / "paypay" / "paypay.csv"
SET_ASIDE = "04600000000000000005"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """One run of a file of which rows are booked, declined, quarantined and skipped."""
    desk = Desk(tmp_path)
    people = [enrollment(1, service_id="paypay", account_id="pp-1", basis="purchase")]
    desk.enrollments = desk.write("enrollments.csv", as_csv(people))
    words: list[object] = ["run", desk.book, "--booked-on", "2020-11-30", "--quiet"]
    words += ["--max-quarantined", "1", "--enrollments", desk.enrollments]
    words += ["--layout", "paypay", "--set", "account_id=pp-1", "--transactions", PAYPAY]
    assert call([str(word) for word in words]) == 0
    assert open_book(desk.book).record(1).counts.skipped
    return desk


def test_rows_that_a_layout_skips_are_accounted_for(desk: Desk, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    written = write_report(desk.book, out=page, xlsx=None, lang="en", verify=True)
    assert written.findings == 0
    assert "Skipped" in page.read_text(encoding="utf-8")


def test_a_row_set_aside_is_found_by_the_service_that_its_layout_says(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert call(["explain", str(desk.book), "--transaction", "paypay", SET_ASIDE, "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert [quarantined["row"] for quarantined in explained["quarantined"]] == [5]
    call(["explain", str(desk.book), "--transaction", "waon", SET_ASIDE, "--json"])
    assert json.loads(capsys.readouterr().out)["quarantined"] == []

    claim = desk.write("claim.csv", f"service_id,transaction_id,points\npaypay,{SET_ASIDE},75\n")
    out = tmp_path / "out"
    assert call(["reconcile", str(desk.book), str(claim), "--out", str(out)]) == 1
    row = pl.read_parquet(out / "breaks.parquet").row(
        by_predicate=pl.col("transaction_id") == SET_ASIDE, named=True
    )
    assert (row["reason"], row["quarantine_row"]) == ("quarantined:取引日:malformed", 5)


def test_where_ids_may_still_be_in_parts_never_delivered_is_not_said(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explain", str(desk.book), "--transaction", "paypay", "nobody's", "--lang", "en"]
    assert call(words) == 1
    said = capsys.readouterr().out
    assert "2 rows in a provider's own form could not be looked up" in said
    assert "ever delivered" not in said


def test_deliveries_are_simulated_as_they_were_read(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", desk.book, "--transactions", PAYPAY, "--enrollments", desk.enrollments]
    capsys.readouterr()
    assert call([*map(str, words), "--rate", "30/100", "--quiet", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["exact"]
    assert value["simulated"]["entries"] == value["booked"]["entries"] > 0
    assert value["simulated"]["counted_yen"] == value["booked"]["counted_yen"]


COMMA = """\
layout_id = "comma"
name = "comma"
role = "transactions"
follows = "invented"
[file]
encoding = "utf-8"
header = ["番号", "会員", "日,時", "区分", "金額,円"]
[columns]
transaction_id = { from = "番号" }
service_id = { constant = "paypay" }
account_id = { from = "会員" }
occurred_at = { from = "日,時", forms = ["YYYY/M/D"] }
amount = { from = "金額,円" }
kind = { from = "区分", map = { "支払" = "purchase" } }
"""


def test_a_column_with_a_comma_in_its_name_is_told_whole(desk: Desk, tmp_path: Path) -> None:
    layout = desk.write("comma.toml", COMMA)
    rows = '番号,会員,"日,時",区分,"金額,円"\nN1,pp-1,x,支払,y\n'
    provider_file = desk.write("theirs.csv", rows)
    words = ["run", desk.book, "--booked-on", "2020-12-01", "--quiet", "--max-quarantined", "1"]
    assert (
        call([*map(str, words), "--layout", str(layout), "--transactions", str(provider_file)]) == 0
    )
    claim = desk.write("claim.csv", "service_id,transaction_id,points\npaypay,N1,75\n")
    out = tmp_path / "out"
    assert call(["reconcile", str(desk.book), str(claim), "--out", str(out), "--lang", "en"]) == 1
    row = pl.read_parquet(out / "breaks.parquet").row(
        by_predicate=pl.col("transaction_id") == "N1", named=True
    )
    text = explanation(tuple(row.values()), Texts("reconcile", "en"))
    faults = text.partition("theirs.csv): ")[2].split("; ")
    assert [fault.partition(" ")[0] for fault in faults] == ["日,時:", "金額,円:"]


def test_rows_of_other_services_layouts_do_not_make_never_delivered_unsure(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    words = ["explain", str(desk.book), "--transaction", "waon", "nobody's", "--lang", "en"]
    assert call(words) == 1
    assert "could not be looked at" not in capsys.readouterr().out


def test_deliveries_without_a_book_are_simulated_by_the_layouts_that_are_named(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "--enrollments", desk.enrollments, "--max-quarantined", "1"]
    words += ["--layout", "paypay", "--set", "account_id=pp-1", "--transactions", PAYPAY]
    words += ["--rate", "30/100", "--quiet", "--json"]
    capsys.readouterr()
    assert call([*map(str, words)]) == 0
    said = json.loads(capsys.readouterr().out)
    booked = open_book(desk.book).record(1).counts.booked
    assert said["simulated"]["entries"] == booked > 0


def test_a_book_says_itself_how_its_deliveries_are_written(desk: Desk) -> None:
    words = ["simulate", desk.book, "--layout", "paypay", "--set", "account_id=pp-1"]
    words += ["--transactions", PAYPAY, "--rate", "30/100"]
    with pytest.raises(InputError, match="a book says itself how its deliveries are written"):
        call([*map(str, words)])

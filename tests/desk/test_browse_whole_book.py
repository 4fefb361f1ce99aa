"""`browse`: the pages for which the whole book is looked at, and the page about proof."""

import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from browsing import CALCULATING, Pages, links, looked_up, served, table
from deliveries import Desk, transaction
from payout_books import PayoutBook, service

from pipelines.browse import calculations as browse_calculations
from pipelines.browse import command as browse_command
from pipelines.browse import whole_book
from pipelines.browse.calculations import Calculations, StillCalculatingError
from pipelines.cli import call
from pipelines.desk.opened_book import OpenedBook
from pipelines.pending.waiting import Pending, pending


@pytest.fixture(scope="module")
def pages(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    log = tmp_path_factory.mktemp("log") / "lookups.jsonl"
    with served(six_nights, log, show_ids=True) as pages:
        yield pages


@pytest.fixture(scope="module")
def ledger(six_nights: Path) -> pl.DataFrame:
    return pl.read_parquet(six_nights / "ledger" / "*.parquet")


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    call([*arguments, "--json"])
    return json.loads(capsys.readouterr().out)


# --- Cut-off --------------------------------------------------------------------------------------


def test_the_cut_off_is_what_was_booked_in_a_later_month_and_leads_to_the_entries(
    pages: Pages, ledger: pl.DataFrame
) -> None:
    months = ledger.with_columns(
        month=pl.col("booked_on").dt.strftime("%Y-%m"),
        paid=pl.col("occurred_at").dt.strftime("%Y-%m"),
    ).filter(pl.col("month") > pl.col("paid"))
    sums = months.group_by("month", "paid").agg(entries=pl.len(), net=pl.col("points").sum())
    shown = table(pages, "cut_off.json", "cut_off")
    names = ("month", "paid", "entries", "net")
    assert [tuple(row[name] for name in names) for row in shown] == sums.sort(
        "month", "paid"
    ).select(names).rows()
    assert all(row["awarded"] - row["reversed"] == row["net"] for row in shown)
    to_entries = links(pages.get("cut_off").text, "entries")[1]
    assert f"paid={shown[0]['paid']}" in to_entries
    entries = table(pages, to_entries.replace("?", ".json?", 1), "entries")
    assert len(entries) == shown[0]["entries"]
    assert {row["occurred_at"][:7] for row in entries} == {shown[0]["paid"]}
    of_service = table(pages, "cut_off.json?service=paypay", "cut_off")
    assert sum(row["entries"] for row in of_service) == months.filter(service_id="paypay").height
    for wrong in ("2020-13", "x"):
        assert pages.get(f"entries?paid={wrong}").status == 400


# --- What waits -----------------------------------------------------------------------------------


def test_what_waits_is_what_pending_says_row_by_row(
    pages: Pages, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = said(capsys, "pending", str(six_nights))
    value = json.loads(pages.get("waiting.json").text)["tables"]
    shown = {(row["reason"], row["service"]): row["rows"] for row in value["by_reason"]}
    assert shown == {
        (row["reason"], row["service_id"] or ""): row["rows"] for row in expected["by_reason"]
    }
    for role, rows in expected["rows"].items():
        assert len(value.get(role, ())) == rows
    left = table(pages, "waiting.json?reason=not_enrolled&run=6", "transactions")
    assert {(row["reason"], row["run"]) for row in left} == {("not_enrolled", "000006")}


def test_what_waits_is_shown_page_by_page(pages: Pages) -> None:
    rows = table(pages, "waiting.json", "transactions")
    keys: list[str] = []
    following: str | None = "waiting"
    while following:
        text = pages.get(following).text
        found = links(text, "transaction")
        assert 0 < len(found) <= 100
        keys += found
        [following] = re.findall(r'rel="next" href="([^"]+)"', text) or [None]
    assert len(keys) == len(rows) > 100


def test_of_a_large_book_the_command_is_named_that_says_what_waits(
    pages: Pages, six_nights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whole_book, "MOST_WAITING_LOOKED_AT", 100)
    text = pages.get("waiting").text
    assert f"mynapoint pending {six_nights}" in text
    assert "table-by_reason" not in text


# --- From award to grant --------------------------------------------------------------------------


def test_the_bridge_is_the_one_of_due_on_the_day_that_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paid = PayoutBook(tmp_path)
    bought = "T1,A1,2020-09-05,purchase,4000 T2,A2,2020-09-05,purchase,400"
    paid.run("2020-10-01", bought, ("A1", "A2"), service('{ when = "at_once" }'))
    [first, _] = (line["payout_id"] for line in paid.pay("2020-10-02"))
    paid.answer(f"{first},done,,2020-10-03,")
    with served(paid.path, tmp_path / "log") as pages:
        for asked, on in (("", "2020-10-01"), ("?on=2020-12-31", "2020-12-31")):
            expected = said(capsys, "due", str(paid.path), "--on", on)["services"]
            shown = table(pages, f"due.json{asked}", "bridge")
            assert {row.pop("service_id"): row for row in shown} == expected
        assert "2020-12-31" in pages.get("due?on=2020-12-31").text
        [waits] = table(pages, "due.json?on=2020-12-31", "unanswered")
        assert (waits["days"], waits["points"]) == (90, 100)
        assert table(pages, "due.json?service=other", "bridge") == []
        assert pages.get("due?on=2020-02-30").status == 400


# --- Where to look first --------------------------------------------------------------------------


def test_remarks_are_those_of_the_command_and_lead_to_whom_they_are_about(
    pages: Pages, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = said(capsys, "remarks", str(six_nights))["remarks"]
    value = json.loads(pages.get("remarks.json").text)["tables"]
    assert [(row["pattern"], row["times"], row["points"]) for row in value["patterns"]] == [
        (row["pattern"], row["times"], row["points"]) for row in expected
    ]
    assert len(value["remarks"]) == sum(row["times"] for row in expected)
    text = pages.get("remarks?pattern=account_changes_hands").text
    assert {
        row["pattern"]
        for row in table(pages, "remarks.json?pattern=account_changes_hands", "remarks")
    } == {"account_changes_hands"}
    assert pages.get(links(text, "person")[0]).status == 200


# --- What runs changed ----------------------------------------------------------------------------


def test_what_changed_is_what_diff_says(
    pages: Pages, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for asked, runs in (("", ("5", "6")), ("?since=2&run=000004", ("2", "4"))):
        expected = said(capsys, "diff", str(six_nights), *runs)
        value = json.loads(pages.get(f"changed.json{asked}").text)["tables"]
        assert value["changed"] == expected["services"]
        assert len(value["became"]) == len(expected["rows"])
        people = value["people"]
        assert len([row for row in people if row["difference"] > 0]) == expected["people"]["gained"]
        assert len([row for row in people if row["difference"] < 0]) == expected["people"]["lost"]
        text = pages.get(f"changed{asked}").text
        assert expected["before"]["chain_sha256"] in text
        assert expected["after"]["chain_sha256"] in text
    assert pages.get("changed?since=4&run=4").status == 400
    assert pages.get("changed?since=7").status == 400


# --- Corrections ----------------------------------------------------------------------------------


def test_a_correction_leads_to_the_entries_that_it_caused(
    pages: Pages, ledger: pl.DataFrame
) -> None:
    caused = ledger.filter(pl.col("event_id").is_not_null())
    event = caused["event_id"].value_counts(sort=True)["event_id"][0]
    of_event = caused.filter(event_id=event).sort("person_id", "entry_seq")
    rows = table(pages, "corrections.json", "corrections")
    to_page = dict(
        zip(
            [row["event_id"] for row in rows],
            links(pages.get("corrections").text, "correction"),
            strict=True,
        )
    )[event]
    before = len(looked_up(pages))
    text = pages.get(to_page).text
    assert event in text
    [line] = looked_up(pages)[before:]
    assert line["people"] == sorted(of_event["person_id"].unique())
    entries = table(pages, to_page.replace("?", ".json?", 1), "entries")
    assert [row["transaction_id"] for row in entries] == of_event["transaction_id"].to_list()
    by_kind = table(pages, "corrections.json", "corrections_by_kind")
    assert sum(row["caused"] for row in by_kind) == caused.height
    assert sum(row["points"] for row in by_kind) == caused["points"].sum()


# --- Proof ----------------------------------------------------------------------------------------


def outcomes(pages: Pages) -> list[str]:
    return [row["found_so"] for row in table(pages, "proof.json?lang=en", "checked")]


def test_the_chain_is_listed_from_its_head_and_commands_say_what_is_left(
    pages: Pages, six_nights: Path
) -> None:
    assert outcomes(pages) == [*["agrees"] * 4, *["not checked"] * 3]
    chain = table(pages, "proof.json", "chain")
    records = sorted(six_nights.glob("runs/*/record.json"), reverse=True)
    digests = [hashlib.sha256(record.read_bytes()).hexdigest() for record in records]
    assert [row["sha256"] for row in chain] == digests
    text = pages.get("proof?lang=en").text
    assert f"mynapoint verify {six_nights} --head {digests[0]}" in text
    assert "The book has no seals" in text


def test_what_does_not_agree_is_said_without_a_verification(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, amount="4000")]))
    desk.run(desk.transactions([transaction(2)], "2.csv"), enrollments=[])
    record = desk.book / "runs" / "000001" / "record.json"
    record.write_bytes(record.read_bytes() + b" ")
    (desk.book / "runs" / "000002" / "programme.toml").write_bytes(b"")
    [part] = desk.book.glob("ledger/000001-*.parquet")
    pl.read_parquet(part).with_columns(pl.col("points") + 1).write_parquet(part)
    with served(desk.book, tmp_path / "log") as pages:
        totals, split, chain, lengths = outcomes(pages)[:4]
    assert (totals, split, chain) == (
        "differs: 000001",
        "agrees",
        "differs: 000002",
    )
    assert "programme.toml" in lengths
    assert part.name in lengths


def seals_of(pages: Pages) -> list[dict[str, Any]]:
    """The table of seals, as soon as they are checked."""
    while True:
        tables = json.loads(pages.get("proof.json").text)["tables"]
        if "seals" in tables:
            return list(tables["seals"])


def test_a_seal_is_held_against_its_record(six_nights: Path, tmp_path: Path) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    call(["seal", str(book), "--key", str(key)])
    with served(book, tmp_path / "log") as pages:
        [seal] = seals_of(pages)
        assert (seal["record"], seal["fault"]) == ("runs/000006", "")
        assert table(pages, "proof.json", "chain")[0]["seal"] == "run-000006.1.sig"
        kept = book / "seals" / "run-000006.1.sig"
        kept.rename(kept.with_name("run-000005.1.sig"))
        [seal] = seals_of(pages)
        assert "not the record that was sealed" in seal["fault"]


# --- Calculations ---------------------------------------------------------------------------------


def test_a_page_does_not_wait_for_what_takes_long(
    six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def slowly(opened: OpenedBook) -> Pending:
        released.wait()
        return pending(opened)

    monkeypatch.setattr(whole_book, "pending", slowly)
    monkeypatch.setattr(browse_calculations, "PATIENCE_S", 0.01)
    with served(six_nights, tmp_path / "log") as pages:
        answer = pages.ask("GET", f"/{pages.token}/waiting?lang=en")
        assert answer.status == CALCULATING
        assert "Load the page again" in answer.text
        assert answer.headers["retry-after"]
        # Others are shown meanwhile.
        assert pages.get("overview").status == 200
        released.set()
        assert "table-by_reason" in pages.get("waiting").text


def test_a_figure_is_calculated_once_and_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse_calculations, "PATIENCE_S", 0.01)
    calculations, at_work, released = Calculations(), threading.Event(), threading.Event()
    begun: list[str] = []

    def figure(name: str) -> Any:
        def calculate() -> str:
            begun.append(name)
            at_work.set()
            released.wait()
            return name

        return calculate

    for name in ("first", "second", "first"):
        with pytest.raises(StillCalculatingError):
            calculations.result(name, figure(name))
        at_work.wait()
    assert begun == ["first"]
    assert calculations.at_work
    released.set()
    monkeypatch.setattr(browse_calculations, "PATIENCE_S", 60)
    for name in ("second", "first", "second"):
        assert calculations.result(name, figure(name)) == name
    assert begun == ["first", "second"]
    assert not calculations.at_work


def test_what_failed_is_calculated_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse_calculations, "PATIENCE_S", 60)
    calculations = Calculations()
    with pytest.raises(OSError, match="no room"):
        calculations.result("due", lambda: (_ for _ in ()).throw(OSError("no room")))
    assert calculations.result("due", lambda: 1) == 1


def test_the_command_ends_while_something_is_calculated_and_leaves_nothing_behind(
    six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch: list[Path] = []

    class EndedError(Exception):
        pass

    class Interrupted:
        def run(self, listening: list[socket.socket]) -> None:
            listening[0].close()
            [folder] = tmp_path.glob("mynapoint-browse-*")
            (folder / "mynapoint-due-1").mkdir()
            scratch.append(folder)
            raise KeyboardInterrupt

    def ended(code: int) -> None:
        assert code == 0
        assert not scratch[0].exists()
        raise EndedError

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(browse_command, "server", lambda _: Interrupted())
    monkeypatch.setattr(Calculations, "at_work", True)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(EndedError):
        call(["browse", str(six_nights), "--log", str(tmp_path / "log")])

"""`browse`: read-only pages to this machine alone, and who may see what on them."""

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest
from browsing import Pages, found, links, looked_up, served, table
from deliveries import ROOT, Desk, as_csv, bodies, enrollment, transaction
from payout_books import PayoutBook, service
from sample_book import hostile_book

import mynapoint
from pipelines.browse import app as browse_app
from pipelines.browse import rows as browse_rows
from pipelines.cli import call
from pipelines.explain.output import columns as explain_columns
from pipelines.explain.wording import Words

SECTIONS = {
    "entries": "ledger/*.parquet",
    "declined": "runs/*/declined.parquet",
    "quarantined": "runs/*/quarantine.parquet",
    "applications": "runs/*/*ed_enrollments.parquet",
    "corrections": "runs/*/*ed_events.parquet",
}
OTHERS = (
    *("claim", "cut_off", "due", "payout_runs", "terms", "proof", "waiting", "remarks", "changed"),
)
PERSON = "5e9cbfa5c9c90f44"


@pytest.fixture(scope="module")
def pages(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    with served(six_nights, tmp_path_factory.mktemp("log") / "lookups.jsonl") as pages:
        yield pages


@pytest.fixture(scope="module")
def open_pages(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    log = tmp_path_factory.mktemp("log") / "lookups.jsonl"
    with served(six_nights, log, show_ids=True) as pages:
        yield pages


# --- Who may ask ----------------------------------------------------------------------------------


def test_only_the_whole_address_gives_a_page(pages: Pages) -> None:
    assert pages.get().status == 200
    for path in ("/", f"/{pages.token}", f"/{pages.token[:-1]}/", f"/{pages.token}x/", "/x/runs"):
        answer = pages.ask("GET", path)
        assert answer.status == 404, path
        assert "book" not in answer.text


@pytest.mark.parametrize("host", ["example.jp", "127.0.0.1", "127.0.0.1.example.jp:{}", "[::1]:{}"])
def test_a_name_that_was_made_to_point_here_is_refused(pages: Pages, host: str) -> None:
    named = {"Host": host.format(pages.port)}
    assert pages.ask("GET", f"/{pages.token}/", headers=named).status == 421
    own = {"Host": f"localhost:{pages.port}"}
    assert pages.ask("GET", f"/{pages.token}/", headers=own).status == 200


@pytest.mark.parametrize(
    "header",
    [
        {"Origin": "http://example.jp"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_request_for_another_site_is_refused(pages: Pages, header: dict[str, str]) -> None:
    for method, page in (("GET", ""), ("POST", "search")):
        answer = pages.ask(method, f"/{pages.token}/{page}", "text=1", header)
        assert answer.status == 403
    own = {"Origin": f"http://127.0.0.1:{pages.port}", "Sec-Fetch-Site": "same-origin"}
    assert pages.ask("POST", f"/{pages.token}/search", "text=1", own).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "../ledger/_delta_log/00000000000000000000.json",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/runs/000001/record.json",
        "/etc/passwd",
        "runs/000001/record.json",
        "style.css/../page.css",
        "person?id=../../record.json",
        "entries.parquet",
    ],
)
def test_no_path_leads_to_a_file(pages: Pages, path: str) -> None:
    answer = pages.get(path)
    assert answer.status == 404
    assert "root:" not in answer.text
    assert "previous_sha256" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_pages_can_only_be_read(pages: Pages, method: str) -> None:
    assert pages.ask(method, f"/{pages.token}/runs").status == 405


def test_every_answer_forbids_scripts_frames_and_copies(pages: Pages) -> None:
    answers = [pages.get(), pages.get("entries.csv"), pages.get("nothing"), pages.ask("GET", "/")]
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "script" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        assert pages.token not in answer.text


def test_the_command_prints_its_address_and_ends_when_interrupted(
    six_nights: Path, tmp_path: Path
) -> None:
    log = tmp_path / "state" / "lookups.jsonl"
    serving = subprocess.Popen(
        [sys.executable, "-m", "mynapoint", "browse", str(six_nights), "--log", str(log)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert serving.stdout
    address = urlsplit(serving.stdout.readline().strip())
    assert (address.scheme, address.hostname) == ("http", "127.0.0.1")
    pages = Pages(address.port or 0, address.path.strip("/"), log)
    assert len(pages.token) > 40
    assert pages.get().status == 200
    serving.send_signal(signal.SIGINT)
    _, noted = serving.communicate(timeout=60)
    assert serving.returncode == 0
    assert str(log) in noted
    assert "Traceback" not in noted
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.parent.stat().st_mode) == 0o700


def test_a_port_that_is_taken_or_none_is_wrong_usage(
    six_nights: Path, pages: Pages, tmp_path: Path
) -> None:
    for port in (pages.port, -1, 70_000):
        with pytest.raises(mynapoint.InputError, match="--port"):
            call(["browse", str(six_nights), "--port", str(port), "--log", str(tmp_path / "log")])


# --- What is shown --------------------------------------------------------------------------------


def test_the_overview_agrees_with_the_ledger_and_the_records(
    pages: Pages, six_nights: Path
) -> None:
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet")
    services = table(pages, "overview.json", "services")
    for column, sums in (("entries", ledger.height), ("net", ledger["points"].sum())):
        assert sum(row[column] for row in services) == sums
        assert sum(row[column] for row in table(pages, "overview.json", "months")) == sums
        assert sum(row[column] for row in table(pages, "runs.json", "runs")) == sums
    went = {row["place"]: row["rows"] for row in table(pages, "overview.json", "control")}
    came = went["read"] + went["reconsidered"]
    assert came == sum(went[name] for name in ("booked", "declined", "quarantined", "skipped"))


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_page_by_page_shows_every_row_once_and_in_order(
    pages: Pages, six_nights: Path, section: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(browse_app, "ROWS_OF_AN_EXPORT", 97)
    monkeypatch.setattr(browse_rows, "MOST_LOOKED_AT", 50)
    rows: list[dict[str, Any]] = []
    following: str | None = f"{section}?lang=en"
    while following:
        page = json.loads(pages.get(following.replace("?", ".json?", 1)).text)
        rows += page["tables"][section]
        following = page["following"].get(section)
    kept = sum(pl.read_parquet(file).height for file in sorted(six_nights.glob(SECTIONS[section])))
    assert len(rows) == kept
    counted = table(pages, f"{section}.json", f"{section}_counted")
    if section != "quarantined":
        assert sum(row["rows"] for row in counted) == kept
    runs = [row["run"] for row in rows]
    assert runs == sorted(runs)
    if section == "entries":
        ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet").sort(
            "run_id", "person_id", "entry_seq"
        )
        assert [row["transaction_id"] for row in rows] == ledger["transaction_id"].to_list()


def test_filters_hold_on_every_page_that_a_page_leads_to(pages: Pages, six_nights: Path) -> None:
    asked = "service=paypay&run=2"
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet").filter(
        service_id="paypay", run_id="000002"
    )
    entries = table(pages, f"entries.json?{asked}", "entries")
    assert [row["points"] for row in entries] == ledger.sort("person_id", "entry_seq")[
        "points"
    ].to_list()
    [run] = table(pages, f"runs.json?{asked}", "runs")
    assert (run["run"], run["entries"]) == ("000002", ledger.height)
    text = pages.get(f"entries?{asked}&lang=en").text
    for page in ("overview", "runs", "declined", "quarantined", "person", "transaction"):
        assert links(text, page)
        for link in links(text, page):
            if "lang=ja" not in link:
                assert "service=paypay" in link
                assert "run=000002" in link
    declined = table(pages, "declined.json?reason=not_enrolled&service=paypay", "declined")
    assert {(row["reason"], row["service_id"]) for row in declined} == {("not_enrolled", "paypay")}
    [fault, *_] = table(pages, "quarantined.json", "quarantined_counted")
    left = table(pages, f"quarantined.json?fault={fault['fault']}", "quarantined")
    assert len(left) == fault["rows"]
    month = table(pages, "entries.json?month=2020-11", "entries")
    assert {row["run"] for row in month} == {"000001"}


def test_a_run_that_is_not_there_and_a_place_that_is_none_are_said_so(pages: Pages) -> None:
    for page in (
        "runs?run=7",
        "runs?run=x",
        "runs?run=0",
        "entries?from=x",
        "entries?from=1",
        f"entries?from=0.{10**20}",
    ):
        answer = pages.get(page)
        assert answer.status == 400, page
        assert "Traceback" not in answer.text
    assert "the book has no such run" in pages.get("runs?run=7").text


def test_the_way_from_the_overview_to_a_person_needs_no_search(pages: Pages) -> None:
    service = next(link for link in links(pages.get().text, "runs") if "service=paypay" in link)
    runs = pages.get(service).text
    declined = next(link for link in links(runs, "declined") if "run=000001" in link)
    reason = next(
        link
        for link in links(pages.get(declined).text, "declined")
        if "reason=not_the_basis" in link
    )
    row = links(pages.get(reason).text, "transaction")[0]
    transaction = pages.get(row).text
    assert "not_the_basis" in transaction
    account = links(transaction, "account")[0]
    person = links(pages.get(account).text, "person")[0]
    assert "Applications for points" in pages.get(person).text


def test_what_may_be_claimed_is_what_claim_says_and_reconcile_takes_it(
    pages: Pages, six_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(["claim", str(six_nights), "--final", "--json"])
    months = json.loads(capsys.readouterr().out)["months"]
    names = {"awarded": "points_awarded", "reversed": "points_reversed"}
    shown = [
        {names.get(name, name): value for name, value in row.items() if name != "service"}
        for row in table(pages, "claim.json", "claim")
    ]
    assert shown == months
    file = tmp_path / "claim.csv"
    file.write_text(pages.get("claim.csv").text, "utf-8")
    assert call(["reconcile", str(six_nights), str(file), "--out", str(tmp_path / "out")]) == 0
    of_run = table(pages, "claim.json?run=3&service=paypay&kind=refund", "claim")
    assert [(row["service_id"], row["month"]) for row in of_run] == [("paypay", "2021-03")]


def test_the_terms_are_those_of_the_run_that_is_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)]))
    closing = desk.services.read_text("utf-8") + "awards_close_on = 2021-01-31\n"
    desk.services = desk.write("services.toml", closing)
    desk.run(desk.transactions([transaction(2)], "2.csv"), enrollments=[])
    with served(desk.book, tmp_path / "log") as pages:
        [rate, cap] = table(pages, "terms.json", "rate")
        assert (rate["value"], cap["value"]) == ("25/100", "20,000 yen")
        assert "25%" in rate["source"]
        for run, closed in (("", "2021-01-31"), ("?run=1", None), ("?run=2", "2021-01-31")):
            coin, tap = table(pages, f"terms.json{run}", "services")
            assert (coin["awards_close"], tap["awards_close"]) == (None, closed)
        assert "filter run" in pages.get("terms?run=1&lang=en").text
        used = [row["used_by"] for row in table(pages, "terms.json?run=1", "terms")]
        assert used[-1] == "000001"


def test_payout_runs_are_listed_by_their_records(tmp_path: Path) -> None:
    paid = PayoutBook(tmp_path)
    bought = "T1,A1,2020-09-05,purchase,4000 T2,A2,2020-09-05,purchase,400"
    paid.run("2020-10-01", bought, ("A1", "A2"), service('{ when = "at_once" }'))
    first, second = (line["payout_id"] for line in paid.pay("2020-10-02"))
    paid.answer(f"{first},done,,2020-10-03,", f"{second},refused,,2020-10-03,")
    with served(paid.path, tmp_path / "log") as pages:
        instructed, answered = table(pages, "payout_runs.json", "payout_runs")
        assert (instructed["due_by"], instructed["pay"], instructed["answers"]) == (
            *("2020-10-02", 1100),
            None,
        )
        assert (answered["answers"], answered["granted"], answered["refused"]) == (2, 1000, 100)
        assert "run=000001" in links(pages.get("payout_runs").text, "runs")[-1]


def test_a_page_lists_entries_by_the_columns_of_explain(open_pages: Pages) -> None:
    text = open_pages.get(found(open_pages, PERSON, "person")).text
    [head] = re.findall(r'<table id="table-entries">.*?<thead>(.*?)</thead>', text, re.DOTALL)
    headings = re.findall(r"<th[^>]*>([^<]*)</th>", head)
    assert headings == [heading for heading, _ in explain_columns(Words("en"))]


def test_an_account_leads_to_everybody_whose_it_was(
    open_pages: Pages, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An application for it was voided, and it was granted to somebody else."""
    text = open_pages.get(found(open_pages, "018592613078", "account")).text
    before, now = "f7cd5c64d0e0186c", "f5ec10ee37792911"
    first, second = (open_pages.get(link).text for link in links(text, "person"))
    assert f"Person {before}" in first
    assert f"Person {now}" in second
    call(["explain", str(six_nights), "--account", "rakuten-pay", "018592613078", "--json"])
    people = json.loads(capsys.readouterr().out)["people"]
    assert [person["person_id"] for person in people] == [before, now]
    # What was declined of an account that was granted is there, too.
    call(["explain", str(six_nights), "--person", now, "--declined", "--json"])
    declined = json.loads(capsys.readouterr().out)["declined"]
    assert "20200901000502058769" in {row["transaction_id"] for row in declined}


def test_an_accounts_page_lists_applications_that_could_not_be_read(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = [enrollment(1), enrollment(2, account_id="A1", applied_at="yesterday")]
    desk.run(
        desk.transactions([transaction(1)]),
        enrollments=[desk.write("enrollments.csv", as_csv(rows))],
    )
    with served(desk.book, tmp_path / "log") as pages:
        text = pages.get(found(pages, "A1", "account")).text
        assert "put row 2 of" in text


def test_a_persons_page_says_what_explain_says(
    open_pages: Pages, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = found(open_pages, PERSON, "person")
    story = json.loads(open_pages.get(address.replace("?", ".json?", 1)).text)["story"]
    call(["explain", str(six_nights), "--person", PERSON, "--declined", "--json"])
    assert story == json.loads(capsys.readouterr().out)
    text = open_pages.get(address).text
    for entry in story["entries"]:
        assert entry["transaction_id"] in text
        assert entry["why"][0] in text
    rows = list(
        csv.DictReader(
            io.StringIO(
                open_pages.get(
                    f"{address.replace('?', '.csv?', 1)}&table=entries"
                ).text.removeprefix("\ufeff")
            )
        )
    )
    assert [row["transaction_id"] for row in rows] == [
        entry["transaction_id"] for entry in story["entries"]
    ]
    assert all(row["why"] for row in rows)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (("paypay", "X20201102008076951637"), "put row 128 of"),
        (("rakuten-pay", "20200901000502058769"), "not_the_basis"),
        (("rakuten-card", "C0006287729450"), "booked in run 000003"),
    ],
)
def test_a_search_finds_a_transaction_wherever_it_went(
    pages: Pages, key: tuple[str, str], says: str
) -> None:
    address = found(pages, f" {key[1]}\u3000", "transaction")
    text = pages.get(address).text
    assert key[0] in text
    assert says in text


def test_a_search_finds_an_account_and_says_when_there_is_nothing(pages: Pages) -> None:
    account = pages.get(found(pages, "018592613078", "account")).text
    assert "accepted in run 000001" in account
    assert "not_the_basis" in account
    assert "Nothing in the book has this ID" in pages.search("nobody").text
    assert pages.search("x" * 5000).status == 413


# --- Whose data is seen ---------------------------------------------------------------------------


def ids_of(six_nights: Path) -> set[str]:
    tables = [*six_nights.glob("ledger/*.parquet"), *six_nights.glob("runs/*/*ed*.parquet")]
    ids: set[str] = set()
    for file in tables:
        frame = pl.read_parquet(file)
        for column in ("person_id", "account_id", "enrolled_account_id"):
            if column in frame.columns:
                ids |= set(frame[column].drop_nulls())
    return ids


def test_without_show_ids_no_page_and_no_export_has_an_id_of_a_person_or_an_account(
    pages: Pages, open_pages: Pages, six_nights: Path
) -> None:
    names = [*SECTIONS, *OTHERS, "overview", "runs"]
    asked = [f"{name}{form}" for name in names for form in ("", ".csv", ".json")]
    for text, kind in (
        (PERSON, "person"),
        ("018592613078", "account"),
        ("X20201102008076951637", "transaction"),
        ("20200901000502058769", "transaction"),
        ("C0006287729450", "transaction"),
    ):
        address = found(pages, text, kind)
        asked += [address, address.replace("?", ".json?", 1)]
    # Who holds an account, or had the original, is a fact behind these reasons.
    taken = pages.get("applications?outcome=account_taken").text
    other = pages.get("declined?reason=refund_account_differs").text
    behind = [links(taken, "person")[0], links(taken, "account")[0], links(other, "transaction")[0]]
    corrections = links(pages.get("corrections").text, "correction")
    assert len(corrections) > 3
    asked += [
        form
        for link in [*behind, *corrections[:3]]
        for form in (link, link.replace("?", ".json?", 1))
    ]
    ids = ids_of(six_nights)
    assert len(ids) > 400
    pattern = re.compile("|".join(map(re.escape, sorted(ids, key=len, reverse=True))))
    for page in asked:
        answer = pages.get(page)
        assert answer.status == 200, page
        assert not pattern.search(answer.text), page
    assert pattern.search(open_pages.get("entries").text)
    assert pattern.search(open_pages.get("quarantined").text)


def test_what_stands_in_place_of_a_service_is_masked_wherever_it_stands(tmp_path: Path) -> None:
    desk, number = Desk(tmp_path), "018592613078"
    swapped = transaction(2, service_id=number, account_id="coin")
    desk.run(desk.transactions([transaction(1), swapped]))
    with served(desk.book, tmp_path / "log") as pages:
        row = links(pages.get("declined").text, "transaction")[0]
        account = links(pages.get(row).text, "account")[0]
        for page in (row, row.replace("?", ".json?", 1), account, "waiting", "waiting.json"):
            answer = pages.get(page)
            assert answer.status == 200
            assert number not in answer.text, page
        assert number not in pages.search("T2").text
        assert ">coin<" in pages.search("T1").text


def test_every_look_up_of_a_person_is_logged_before_it_is_shown(pages: Pages) -> None:
    before = len(looked_up(pages))
    pages.get(found(pages, PERSON, "person"))
    pages.get(found(pages, "C0006287729450", "transaction"))
    pages.get(found(pages, "018592613078", "account"))
    said = looked_up(pages)[before:]
    assert [(line["page"], line.get("person_id")) for line in said] == [
        ("search", None),
        ("person", PERSON),
        ("search", None),
        ("transaction", None),
        ("search", None),
        ("account", None),
    ]
    assert said[0]["text"] == PERSON
    assert said[3]["people"] == [PERSON]
    assert all(line["at"] and line["user"] and line["book"] for line in said)


def test_rows_with_ids_are_looked_up_too(open_pages: Pages) -> None:
    before = len(looked_up(open_pages))
    open_pages.get("entries?service=paypay")
    [line] = looked_up(open_pages)[before:]
    assert (line["page"], line["filters"]) == ("entries", {"service": "paypay"})


def test_what_cannot_be_logged_is_not_shown(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    address = found(pages, PERSON, "person")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    answer = pages.get(address)
    assert answer.status == 500
    assert "could not be logged" in answer.text
    assert "3,502" not in answer.text


def test_the_log_is_outside_of_books(six_nights: Path) -> None:
    for log in (six_nights / "lookups.jsonl", six_nights / "runs" / "log"):
        with pytest.raises(mynapoint.InputError, match="within the book"):
            call(["browse", str(six_nights), "--log", str(log)])
        assert not log.exists()


def test_a_fault_inside_says_nothing_of_rows(pages: Pages, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise ValueError(PERSON)

    monkeypatch.setattr(browse_rows.SectionRows, "page", fails)
    answer = pages.get("entries")
    assert answer.status == 500
    assert PERSON not in answer.text
    assert "Traceback" not in answer.text


def test_browsing_changes_nothing_in_the_book(six_nights: Path, tmp_path: Path) -> None:
    before = bodies(six_nights)
    with served(six_nights, tmp_path / "log") as pages:
        for name in SECTIONS:
            assert pages.get(name).status == 200
        pages.get(found(pages, PERSON, "person"))
        # An address of another time leads nowhere.
        assert pages.get("person?id=0123456789abcdef01234567").status == 404
    assert bodies(six_nights) == before


@pytest.mark.parametrize("kept", ["format 1", "hostile names"])
def test_all_pages_of_any_book_are_shown(kept: str, tmp_path: Path) -> None:
    """Of an earlier format, and of one whose services and files are called like markup."""
    book = ROOT / "tests" / "books" / "1" / "book"
    if kept == "hostile names":
        book = hostile_book(tmp_path)
    with served(book, tmp_path / "log", show_ids=True) as pages:
        for name in ("overview", "runs", "runs?run=1", *OTHERS, *SECTIONS):
            for form in ("", ".csv", ".json"):
                answer = pages.get(name.replace("?", f"{form}?") if "?" in name else name + form)
                assert answer.status == 200, name
                if not form:
                    assert "<script" not in answer.text
                    assert "<img" not in answer.text
        for cell in csv.reader(io.StringIO(pages.get("overview.csv?table=services").text)):
            assert not any(value.startswith(("=", "+", "@")) for value in cell)
        text = pages.get("entries").text
        for kind in ("person", "account", "transaction"):
            assert pages.get(links(text, kind)[0]).status == 200

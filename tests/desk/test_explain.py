"""`mynapoint explain`: every entry and every row that earned nothing, told as it was."""

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import deliveries
import oracle
import polars as pl
import pytest
from against_the_oracle import BookedWorld
from corrected_nights import corrected_book
from deliveries import ROOT, SAMPLE, Desk, as_csv, enrollment, transaction
from small_nights import EVENT_HEADER

import mynapoint
from engine.errors import BookError, InputError
from engine.io.book.format import RunTable
from engine.io.book.index import find_bookings
from engine.io.book.manifest import read_manifest, write_manifest
from engine.rules.clauses import clause_of
from pipelines.cli import call
from pipelines.desk.opened_book import (
    OpenedBook,
    open_book,
)
from pipelines.explain import found_rows
from pipelines.explain.account import Entry, EntryExplanation, ServiceTerms, Worth, explained
from pipelines.explain.lookup import person_of, transaction_of
from pipelines.explain.wording import Words, fraction
from pipelines.shown.texts import Lang

LANGS = get_args(Lang)


@pytest.fixture(scope="module")
def opened(six_nights: Path) -> OpenedBook:
    return open_book(six_nights)


@pytest.fixture(scope="module")
def ledger(opened: OpenedBook) -> pl.DataFrame:
    return opened.ledger().collect()


def unbooked(opened: OpenedBook, table: RunTable) -> pl.DataFrame:
    key = ["service_id", "transaction_id"]
    return opened.table(table).collect().join(opened.ledger().collect(), on=key, how="anti")


# --- A person -------------------------------------------------------------------------------------


def test_everybody_in_the_sample_is_explained_and_every_entry_follows_from_those_before(
    opened: OpenedBook, ledger: pl.DataFrame
) -> None:
    explained_entries = 0
    for (person_id,), entries in ledger.group_by("person_id"):
        person = person_of(opened, str(person_id))
        assert [entry.entry.entry_seq for entry in person.entries] == sorted(entries["entry_seq"])
        assert person.points == entries["points"].sum()
        assert person.counted_yen == entries["counted_amount"].sum()
        reasons = [application.reason for application in person.applications]
        reasons += [
            event.reason for event in person.events if event.row["kind"] == "enrollment_granted"
        ]
        assert None in reasons
        assert not person.disagreeing
        explained_entries += len(person.entries)
    assert explained_entries == ledger.height


@pytest.mark.parametrize("seed", range(8))
def test_everybody_in_a_random_book_is_explained(
    seed: int, booked_world: Callable[[int], BookedWorld]
) -> None:
    opened = open_book(booked_world(seed).book)
    for person_id in opened.ledger().collect()["person_id"].unique():
        person = person_of(opened, person_id)
        assert not person.disagreeing
        for lang in LANGS:
            assert all(all(Words(lang).why(entry)) for entry in person.entries)


def entry(seq: int, amount: int, counted: int, points: int, **changed: Any) -> Entry:
    made = Entry(
        run_id="000001",
        booked_on=dt.date(2020, 9, 30),
        person_id="P1",
        entry_seq=seq,
        service_id="coin",
        account_id="A1",
        transaction_id=f"T{seq}",
        occurred_at=dt.datetime(2020, 9, 5, seq),
        kind="purchase",
        amount=amount,
        original_transaction_id=None,
        method=None,
        enrolled_account_id=None,
        net_amount=amount,
        counted_amount=counted,
        points=points,
        net_spend_after=0,
        points_after=0,
        event_id=None,
    )
    if changed.get("kind") == "refund":
        changed = {"net_amount": -amount} | changed
    return replace(made, **changed)


def carried(*entries: Entry) -> list[Entry]:
    """The entries with their running sums."""
    net = points = 0
    made = []
    for entry in entries:
        net, points = net + entry.net_amount, points + entry.points
        made.append(replace(entry, net_spend_after=net, points_after=points))
    return made


def explained_all(rounding: Any, *entries: Entry) -> list[EntryExplanation]:
    terms = ServiceTerms(rounding, 20_000, 25, 100, 2)
    return explained(carried(*entries), {("000001", "coin"): terms})


def test_a_forged_entry_is_told_where_it_stands_and_nowhere_else() -> None:
    for forged in (
        entry(2, 1000, 1000, 251),
        entry(2, 1000, 999, 250),
        entry(2, 1000, 1000, 249),
    ):
        story = explained_all(
            "cumulative", entry(1, 400, 400, 100), forged, entry(3, 400, 400, 100)
        )
        assert [step.agrees for step in story][:2] == [True, False]
        assert any("mynapoint verify" in text for text in Words("en").why(story[1]))


def test_running_sums_that_do_not_carry_on_are_told() -> None:
    entries = carried(entry(1, 400, 400, 100), entry(2, 400, 400, 100))
    terms = {("000001", "coin"): ServiceTerms("cumulative", 20_000, 25, 100, 2)}
    for name in ("net_spend_after", "points_after"):
        forged = replace(entries[1], **{name: getattr(entries[1], name) + 1})
        assert [step.agrees for step in explained([entries[0], forged], terms)] == [True, False]


# The sample has no events, and no refund of what was refunded in whole.
NOT_IN_THE_SAMPLE = {"voided", "enrollment_stopped", "refund_exceeds_original"}
REFUND = {"kind": "refund", "original_transaction_id": "T1"}
# What is said of the last entry, by rounding and entries.
SAID: dict[str, tuple[Any, list[Entry], list[str]]] = {
    "all of it counts": (
        "cumulative",
        [entry(1, 1999, 1999, 499)],
        ["All 1,999 yen count", "from 0 to 499 points: +499", "0.75 points is carried over"],
    ),
    "a fraction carried completes a point": (
        "cumulative",
        [entry(1, 1999, 1999, 499), entry(2, 1, 1, 1)],
        ["from 499 to 500 points: +1", "fraction of 0.75 points carried over from before"],
    ),
    "the cap bites": (
        "cumulative",
        [entry(1, 19_000, 19_000, 4750), entry(2, 3000, 1000, 250)],
        [
            "Only 1,000 yen were left below the cap of 20,000 yen, so 1,000 of 3,000 yen count",
            "前払い又は購入額の上限は2万円",
        ],
    ),
    "the cap was reached": (
        "cumulative",
        [entry(1, 25_000, 20_000, 5000), entry(2, 3000, 0, 0)],
        ["had been reached (net spend 25,000 yen)", "The points do not change"],
    ),
    "a whole refund": (
        "cumulative",
        [entry(1, 1999, 1999, 499), entry(2, 1999, -1999, -499, **REFUND)],
        [
            "It reverses the purchase T1 of 2020-09-05 01:00:00 (1,999 yen, booked in run 000001)",
            "All 1,999 yen are taken off",
            "from 499 to 0 points: -499",
        ],
    ),
    "a refund above the cap takes nothing": (
        "cumulative",
        [entry(1, 30_000, 20_000, 5000), entry(2, 5000, 0, 0, **REFUND)],
        ["Net spend afterwards is 25,000 yen, still at or above the cap", "do not change"],
    ),
    "a refund across the cap takes a part": (
        "cumulative",
        [entry(1, 22_000, 20_000, 5000), entry(2, 5000, -3000, -750, **REFUND)],
        ["2,000 yen above the cap, so only 3,000 of 5,000 yen are taken off"],
    ),
    "a refund takes what is left": (
        "cumulative",
        [
            entry(1, 1000, 1000, 250),
            entry(2, 700, -700, -175, **REFUND),
            entry(3, 700, -300, -75, **REFUND | {"net_amount": -300}),
        ],
        ["300 yen were left, so it takes 300 of 700 yen", "All 300 yen are taken off"],
    ),
    "a void": (
        "cumulative",
        [
            entry(1, 1000, 1000, 250),
            entry(
                2,
                1000,
                -1000,
                -250,
                kind="purchase_void",
                transaction_id="T1",
                net_amount=-1000,
                event_id="V1",
            ),
        ],
        ["It voids entry 1 of run 000001", "changes by -1,000 yen", "from 250 to 0 points: -250"],
    ),
    "a recount": (
        "transaction",
        [
            entry(1, 20_000, 20_000, 5000),
            entry(2, 8000, 0, 0),
            entry(3, 5000, -5000, -1250, **REFUND),
            entry(4, 0, 5000, 1250, kind="recount", transaction_id="T2", net_amount=0),
        ],
        ["Entry 3 (refund, T3) changes the room under the cap: of T2", "+5,000 yen count"],
    ),
    "a month's fraction ends with the month": (
        "month",
        [
            entry(1, 999, 999, 249),
            entry(2, 999, 999, 249, occurred_at=dt.datetime(2020, 10, 1)),
        ],
        ["the counted spend of 2020-10 from 0 to 999 yen", "carried over within 2020-10 only"],
    ),
    "a refund belongs to its original's month": (
        "month",
        [
            entry(1, 999, 999, 249),
            entry(2, 3, -3, 0, **REFUND | {"occurred_at": dt.datetime(2020, 10, 1)}),
        ],
        ["the counted spend of 2020-09 from 999 to 996 yen", "from 249 to 249 points: +0"],
    ),
    "a transaction's fraction is cut": (
        "transaction",
        [entry(1, 999, 999, 249), entry(2, 7, 7, 1)],
        [
            "the counted spend of the one transaction from 0 to 7 yen",
            "fraction of 0.75 points is dropped",
        ],
    ),
}


@pytest.mark.parametrize("case", SAID, ids=lambda case: case.replace(" ", "-"))
def test_an_entry_is_told_with_the_reason_for_what_it_earned(case: str) -> None:
    rounding, entries, words = SAID[case]
    last = explained_all(rounding, *entries)[-1]
    assert last.agrees
    text = " ".join(Words("en").why(last))
    for expected in words:
        assert expected in text
    assert re.search("[ぁ-ん]", "".join(Words("ja").why(last)))


def test_a_fraction_that_was_cut_is_not_said_to_be_carried() -> None:
    story = explained_all("transaction", entry(1, 199, 199, 49), entry(2, 99, -99, -24, **REFUND))
    assert story[1].agrees
    assert "carried" not in " ".join(Words("en").why(story[1]))
    assert "繰り越" not in "".join(Words("ja").why(story[1]))


def test_an_original_names_the_refunds_that_took_it_back() -> None:
    story = explained_all("cumulative", entry(1, 400, 400, 100), entry(2, 100, -100, -25, **REFUND))
    assert "Later, in run 000001, 100 yen of it were reversed (T2)" in " ".join(
        Words("en").why(story[0])
    )


@pytest.mark.parametrize(
    ("worth", "text"),
    [(Worth(1, 75, 100), "0.75"), (Worth(1, 50, 100), "0.5"), (Worth(1, 1, 3), "1/3")],
)
def test_a_fraction_of_a_point_is_told_exactly(worth: Worth, text: str) -> None:
    assert fraction(worth) == text


def test_a_persons_declined_transactions_are_told_when_asked_for(
    opened: OpenedBook, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = (
        opened.table(RunTable.ACCEPTED).select("person_id", "service_id", "account_id").collect()
    )
    declined = (
        opened.table(RunTable.DECLINED).collect().join(accounts, on=["service_id", "account_id"])
    )
    person_id, count = declined["person_id"].value_counts(sort=True).row(0)
    person = person_of(opened, person_id, with_declined=True)
    assert person.declined is not None
    assert len(person.declined) == count
    assert person_of(opened, person_id).declined is None
    arguments = ["explain", str(opened.book.path), "--person", person_id, "--declined"]
    assert call([*arguments, "--lang", "en"]) == 0
    assert capsys.readouterr().out.count("It was declined in run") == count


def test_more_than_anybody_reads_is_refused_and_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions(transaction(1, transaction_id=f"T{i}") for i in range(4)))
    monkeypatch.setattr(found_rows, "MOST_ROWS", 4)
    opened = open_book(desk.book)
    person_id = desk.ledger()["person_id"][0]
    assert len(person_of(opened, person_id).entries) == 4
    monkeypatch.setattr(found_rows, "MOST_ROWS", 3)
    with pytest.raises(InputError, match="more than 3 rows") as caught:
        person_of(opened, person_id)
    assert "docs/auditors-guide.md" in (caught.value.hint or "")


@pytest.mark.parametrize("reason", sorted({*oracle.ENROLLMENT_REASONS} - NOT_IN_THE_SAMPLE))
def test_a_rejected_application_is_told_with_its_reason_and_clause(
    opened: OpenedBook, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rejected = opened.table(RunTable.REJECTED).filter(pl.col("reason") == reason).collect()
    person_id, run = rejected.select("person_id", "run_id").row(0)
    call(["explain", str(opened.book.path), "--person", person_id, "--lang", "ja"])
    line = next(
        line
        for line in capsys.readouterr().out.splitlines()
        if f"記帳回 {run}" in line and reason in line
    )
    assert (clause_of(reason) or "該当する記載はなく") in line


def test_a_life_with_corrections_is_told_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    book = corrected_book(tmp_path).book
    said = {
        ("--person", "P2"): (
            "event V1, transaction voided (note, R2), decided by the service's letter",
            "It voids entry 2 of run 000001, by event V1",
            "Entry 5 (refund voided, R2) changes the room under the cap: of T3",
            "In run 000002 it was voided, by event V1",
        ),
        ("--transaction", "coin", "L1"): ("In run 000002 it was voided, by event V2",),
        ("--transaction", "coin", "W1"): ("It waited, and run 000002 booked it",),
        ("--transaction", "coin", "W4"): ("It waits: a later run books it",),
        ("--person", "P9"): ("event S9, enrollment stopped", "no_such_enrollment", "waits for it"),
    }
    for asked, words in said.items():
        for lang in LANGS:
            assert call(["explain", str(book), *asked, "--lang", lang]) == 0
            text = capsys.readouterr().out
            for expected in words if lang == "en" else ():
                assert expected in text
        assert call(["explain", str(book), *asked, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["corrections"] or "W" in asked[-1]


def test_nobody_known_is_exit_1(six_nights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["explain", str(six_nights), "--person", "nobody", "--lang", "en"]) == 1
    assert "no application and no entry of this person" in capsys.readouterr().out


# --- A transaction --------------------------------------------------------------------------------


def never_voided(ledger: pl.DataFrame) -> pl.DataFrame:
    """The bookings of transactions that no event ever voided."""
    voids = ledger.filter(pl.col("kind").str.ends_with("_void"))
    booked = ledger.filter(pl.col("kind").is_in(["charge", "purchase", "refund"]))
    return booked.join(voids, on=["service_id", "transaction_id"], how="anti")


def test_a_booked_transaction_is_found_and_told_with_its_run(
    opened: OpenedBook, ledger: pl.DataFrame
) -> None:
    for row in never_voided(ledger).sample(60, seed=1).iter_rows(named=True):
        story = transaction_of(opened, row["service_id"], row["transaction_id"])
        assert story.outcome == "booked"
        assert story.entry is not None
        assert story.entry.entry == Entry(**row)


@pytest.mark.parametrize("reason", sorted({*oracle.DECLINE_REASONS} - NOT_IN_THE_SAMPLE))
def test_a_declined_transaction_is_told_with_its_first_reason_and_clause(
    opened: OpenedBook, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = opened.table(RunTable.DECLINED).filter(pl.col("reason") == reason).collect()
    if reason != "duplicate":
        rows = rows.join(
            unbooked(opened, RunTable.DECLINED), on=rows.columns, how="semi", nulls_equal=True
        )
    else:
        rows = rows.join(
            unbooked(opened, RunTable.DECLINED).filter(pl.col("reason") != "duplicate"),
            on=["service_id", "transaction_id"],
            how="semi",
        )
    service, transaction, run = rows.select("service_id", "transaction_id", "run_id").row(0)
    story = transaction_of(opened, service, transaction)
    assert story.outcome == "declined"
    assert (run, reason) in {(declined.run_id, declined.reason) for declined in story.declined}
    arguments = ["explain", str(opened.book.path), "--transaction", service, transaction]
    assert call([*arguments, "--lang", "ja"]) == 0
    out = capsys.readouterr()
    assert reason in out.out
    assert (clause_of(reason) or "該当する記載はなく") in out.out
    decided = {declined.reason for declined in story.declined} & {
        "before_application",
        "not_the_basis",
    }
    assert ("アカウントの申込: " in out.out) == bool(decided)
    assert out.err == ""


def test_a_quarantined_transaction_is_told_with_file_row_and_every_fault(
    opened: OpenedBook, capsys: pytest.CaptureFixture[str]
) -> None:
    conflicts = (
        opened.table(RunTable.QUARANTINE)
        .filter(pl.col("errors").list.contains("transaction_id:conflict"))
        .collect()
    )
    booked = set(opened.ledger().select("transaction_id").collect().to_series())
    found = 0
    for row in conflicts.iter_rows(named=True):
        named = json.loads(row["raw"]) if row["raw"].startswith("{") else None
        fields = [named["service_id"], named["transaction_id"]] if named else row["raw"].split(",")
        services = {service.service_id for service in opened.services(1).services}
        service = next(field for field in fields if field in services)
        transaction = next(
            f for f in fields if re.fullmatch(r"C?[0-9]+(-[0-9]+)?", f) and len(f) > 12
        )
        if transaction in booked:
            continue
        found += 1
        story = transaction_of(opened, service, transaction)
        assert story.outcome in ("quarantined", "declined")
        assert (row["run_id"], row["file"], row["row"]) in {
            (quarantined.run_id, quarantined.file, quarantined.row)
            for quarantined in story.quarantined
        }
    assert found > 3
    call(["explain", str(opened.book.path), "--transaction", service, transaction, "--lang", "en"])
    assert "transaction_id: other content under the same key" in capsys.readouterr().out


def test_a_quarantined_parquet_row_is_found_by_its_names(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    rows = [transaction(1), transaction(2) | {"amount": "many", "method": "T3"}]
    path = tmp_path / "transactions.parquet"
    pl.DataFrame(rows).write_parquet(path)
    desk.run(path)
    opened = open_book(desk.book)
    assert transaction_of(opened, "coin", "T2").outcome == "quarantined"
    assert transaction_of(opened, "coin", "T3").outcome == "never_delivered"


def test_what_was_never_delivered_is_exit_1(
    six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["explain", str(six_nights), "--transaction", "paypay", "-1", "--lang", "en"]
    assert call(arguments) == 1
    assert "This transaction was never delivered" in capsys.readouterr().out


# --- All that was delivered -----------------------------------------------------------------------


@pytest.fixture(params=["csv", "parquet"])
def delivered_again(request: pytest.FixtureRequest, tmp_path: Path) -> Desk:
    """T1 is booked, then delivered again, then with other content; P2's application is broken."""
    desk = Desk(tmp_path)
    applications = [enrollment(1), enrollment(2, applied_at="yesterday")]
    first = desk.transactions([transaction(1)])
    path = desk.write("applications.csv", as_csv(applications))
    if request.param == "parquet":
        path = tmp_path / "applications.parquet"
        pl.DataFrame(applications).write_parquet(path)
    desk.run(first, enrollments=[path])
    for number, rows in enumerate(([transaction(1)], [transaction(1, amount="999")]), 2):
        again = desk.transactions(rows, f"{number}.csv")
        if request.param == "parquet":
            again = tmp_path / f"{number}.parquet"
            pl.DataFrame(rows).write_parquet(again)
        changed = enrollment(1, card_applied_on="2020-07-01")
        more = desk.write(f"e{number}.csv", as_csv([changed]))
        desk.run(again, enrollments=[more], booked_on=dt.date(2020, 10, number))
    return desk


@pytest.mark.parametrize("html", [False, True])
def test_a_booked_transaction_is_told_with_what_else_was_delivered_of_it(
    delivered_again: Desk, capsys: pytest.CaptureFixture[str], *, html: bool
) -> None:
    line = ["explain", str(delivered_again.book), "--transaction", "coin", "T1", "--lang", "en"]
    page = delivered_again.folder / "page.html"
    assert call([*line, "--html", str(page)] if html else line) == 0
    said = page.read_text("utf-8") if html else capsys.readouterr().out
    assert "It was booked in run 000001" in said
    after = said.partition("Other rows delivered for this transaction")[2]
    assert "declined in run 000002" in after
    assert "duplicate" in after
    assert re.search("Run 000003 put row 1 of .* into quarantine: transaction_id: other", after)
    assert "999" in after


def test_of_a_transaction_delivered_once_nothing_else_is_said(
    six_nights: Path, ledger: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    key = ledger.row(0, named=True)
    line = ["explain", str(six_nights), "--transaction", key["service_id"], key["transaction_id"]]
    assert call([*line, "--lang", "en"]) == 0
    assert "Other rows" not in capsys.readouterr().out


def test_every_repeated_and_conflicting_row_of_the_sample_is_told(opened: OpenedBook) -> None:
    repeated = (
        opened.table(RunTable.DECLINED)
        .collect()
        .join(
            never_voided(opened.ledger().collect()),
            on=["service_id", "transaction_id"],
            how="semi",
        )
    )
    assert repeated.height > 10
    for row in repeated.sample(10, seed=3).iter_rows(named=True):
        story = transaction_of(opened, row["service_id"], row["transaction_id"])
        assert story.outcome == "booked"
        assert (row["run_id"], row["reason"]) in {
            (declined.run_id, declined.reason) for declined in story.declined
        }


@pytest.mark.parametrize("html", [False, True])
def test_an_application_in_quarantine_is_told(
    delivered_again: Desk, capsys: pytest.CaptureFixture[str], *, html: bool
) -> None:
    line = ["explain", str(delivered_again.book), "--person", "P2", "--lang", "en"]
    page = delivered_again.folder / "page.html"
    assert call([*line, "--html", str(page)] if html else line) == 0
    said = page.read_text("utf-8") if html else capsys.readouterr().out
    assert "no application and no entry" not in said
    assert re.search("Run 000001 put row 2 of .*applications.* into quarantine: applied_at", said)


def test_an_accepted_application_is_told_with_the_conflicting_ones(
    delivered_again: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["explain", str(delivered_again.book), "--person", "P1", "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert "accepted in run 000001" in said
    assert "Run 000002 put row 1 of" in said
    assert "Run 000003 put row 1 of" in said


def test_a_correction_in_quarantine_is_told_of_all_that_it_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    # Each is one of two contents of its ID.
    stops = [
        f"S1,enrollment_stopped,the city,P1,coin,A1,,2020-10-0{day} 00:00:00" for day in (1, 2)
    ]
    voids = [f"V1,transaction_voided,{who},,coin,,T1," for who in ("the city", "the service")]
    late = "V2,transaction_voided,,,coin,,T9,"
    rows = "\n".join([EVENT_HEADER.strip(), *stops, *voids, late, ""])
    desk.run(desk.transactions([transaction(1)]), events=[desk.write("events.csv", rows)])
    explain = ["explain", str(desk.book), "--lang", "en"]
    for asked, code, row_numbers in (
        (["--person", "P1"], 0, (1, 2)),
        (["--account", "coin", "A1"], 0, (1, 2)),
        (["--transaction", "coin", "T1"], 0, (3, 4)),
        (["--transaction", "coin", "T9"], 1, (5,)),
    ):
        assert call([*explain, *asked]) == code
        said = capsys.readouterr().out
        hinted_rows = [number for number in range(1, 6) if f"put row {number} of" in said]
        assert hinted_rows == list(row_numbers), asked
        assert ("was never delivered" in said) == (code == 1)


# --- The index ------------------------------------------------------------------------------------


def test_the_index_leads_to_each_entry_of_the_runs_that_it_knows(
    opened: OpenedBook, ledger: pl.DataFrame
) -> None:
    rows = 0
    for run in range(1, opened.runs):
        of_run = ledger.filter(pl.col("run_id") == f"{run:06}").with_row_index("place")
        of_run = of_run.join(
            never_voided(ledger), on=["run_id", "service_id", "transaction_id", "kind"], how="semi"
        )
        for place, service, key in (
            of_run.sample(20, seed=run).select("place", "service_id", "transaction_id").iter_rows()
        ):
            assert find_bookings(opened.book, opened.runs, service, key) == ([(run, place)], 5)
            rows += 1
    assert rows == 100
    assert find_bookings(opened.book, opened.runs, "paypay", "never") == ([], 5)


def ruined(book: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    index = book / "index"

    def shorten() -> None:
        path = next(index.glob("facts-*"))
        path.write_bytes(path.read_bytes()[:-8])

    def of_another_book() -> None:
        manifest = read_manifest(index)
        assert manifest is not None
        write_manifest(index, manifest | {"last_record": "0" * 64})

    def lead_astray() -> None:
        for path in index.glob("keys-*-values.array"):
            data = path.read_bytes()
            path.write_bytes(data[:4096][::-1] + data[4096:])

    def forget() -> None:
        for path in index.glob("keys-*-keys.array"):
            data = path.read_bytes()
            path.write_bytes(bytes(4096) + data[4096:])

    yield "missing", lambda: shutil.rmtree(index)
    yield "cut", shorten
    yield "foreign", of_another_book
    yield "no manifest", (index / "manifest.json").unlink
    yield "astray", lead_astray
    yield "forgetful", forget


@pytest.mark.parametrize(
    "harm", ["missing", "cut", "foreign", "no manifest", "astray", "forgetful"]
)
def test_without_an_index_to_be_believed_the_ledger_is_scanned(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path, harm: str
) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    dict(ruined(book))[harm]()
    opened = open_book(book)
    row = ledger.row(0, named=True)
    story = transaction_of(opened, row["service_id"], row["transaction_id"])
    assert story.entry is not None
    assert story.entry.entry == Entry(**row)
    assert story.rows_scanned >= ledger.height


def test_explaining_changes_no_byte_of_the_book(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    before = deliveries.bodies(book)
    row = ledger.row(0, named=True)
    call(["explain", str(book), "--person", row["person_id"], "--declined"])
    call(["explain", str(book), "--transaction", row["service_id"], row["transaction_id"]])
    call(["explain", str(book), "--transaction", "paypay", "never"])
    assert deliveries.bodies(book) == before


# --- The command line and the page ----------------------------------------------------------------


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href")
        ]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_stands_alone_and_holds_the_picture_and_every_entry(
    opened: OpenedBook, ledger: pl.DataFrame, tmp_path: Path, lang: str
) -> None:
    person_id = ledger["person_id"].value_counts(sort=True)["person_id"][0]
    path = tmp_path / "story.html"
    arguments = ["explain", str(opened.book.path), "--person", person_id, "--html", str(path)]
    assert call([*arguments, "--lang", lang]) == 0
    page = Page(path)
    assert page.tags.count("svg") >= 1
    assert "path" in page.tags
    assert "script" not in page.tags
    assert not page.links
    assert not re.search(r"@import|url\(", page.source)
    assert "default-src 'none'" in page.source
    for key in ledger.filter(person_id=person_id)["transaction_id"]:
        assert key in page.text
    assert f'<html lang="{lang}">' in page.source


def test_an_id_can_neither_break_the_page_nor_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = "<script>alert(1)</script>\u009b2J\u202e"
    desk = Desk(tmp_path)
    desk.write("enrollments.csv", deliveries.as_csv([enrollment(1, person_id=hostile)]))
    desk.run(desk.transactions([transaction(1, transaction_id="<b>$x</b>")]))
    page = tmp_path / "story.html"
    assert call(["explain", str(desk.book), "--person", hostile, "--html", str(page)]) == 0
    assert "\u009b" not in (out := capsys.readouterr().out)
    assert "\u202e" not in out
    tags = Page(page).tags
    assert "script" not in tags
    assert "b" not in tags


def test_a_page_that_cannot_be_written_is_exit_2_and_leaves_nothing(
    six_nights: Path, tmp_path: Path
) -> None:
    arguments = ["explain", str(six_nights), "--person", "nobody", "--html"]
    with pytest.raises(InputError, match="cannot be written"):
        call([*arguments, str(tmp_path / "nowhere" / "story.html")])
    assert not list(tmp_path.iterdir())


def test_the_story_for_machines_says_what_the_one_for_people_says(
    opened: OpenedBook, ledger: pl.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    row = ledger.row(7, named=True)
    book = str(opened.book.path)
    assert call(["explain", book, "--person", row["person_id"], "--json", "--lang", "en"]) == 0
    person = json.loads(capsys.readouterr().out)
    own = next(entry for entry in person["entries"] if entry["entry_seq"] == row["entry_seq"])
    assert own["points"] == row["points"]
    assert person["agrees"]
    key = [row["service_id"], row["transaction_id"]]
    assert call(["explain", book, "--transaction", *key, "--json", "--lang", "en"]) == 0
    explanation = json.loads(capsys.readouterr().out)
    assert explanation["outcome"] == "booked"
    assert explanation["entry"] == own


@pytest.mark.parametrize(
    ("library", "arguments"),
    [
        ("pygal", ["explain", "BOOK", "--person", "P", "--html", "page.html"]),
        ("duckdb", ["reconcile", "BOOK", "claim.csv", "--out", "out"]),
        ("xlsxwriter", ["reconcile", "BOOK", "claim.csv", "--out", "out"]),
        ("duckdb", ["claim", "BOOK", "--final"]),
        ("xlsxwriter", ["claim", "BOOK", "--final", "--out", "out"]),
    ],
)
def test_a_library_that_is_not_installed_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, library: str, arguments: list[str]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match="not installed") as raised:
        call(arguments)
    assert raised.value.hint == "pip install 'mynapoint[desk]'"


def test_neither_a_run_nor_looking_at_a_book_imports_pandera(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    book, person = str(six_nights), ledger["person_id"][0]
    night = SAMPLE / "night-001"
    files = ["--enrollments", str(night / "enrollments.csv")]
    files += ["--transactions", str(night / "transactions-*")]
    commands = [
        ["run", str(tmp_path / "book"), "--booked-on", "2020-11-03", *files, "--quiet"],
        ["explain", book, "--person", person],
        ["verify", book],
        ["claim", book, "--final"],
    ]
    program = (
        "import sys, json; from pipelines.cli import call\n"
        "codes = [call(command) for command in json.loads(sys.argv[1])]\n"
        "print(codes, 'pandera' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(commands)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stderr.splitlines()[-1] == "[0, 0, 0, 0] False"


@pytest.mark.parametrize("arguments", [[], ["--person", "P", "--transaction", "s", "t"]])
def test_one_question_at_a_time(six_nights: Path, arguments: list[str]) -> None:
    with pytest.raises(InputError, match="one of --person, --account and --transaction"):
        call(["explain", str(six_nights), *arguments])


def test_where_there_is_no_book_nothing_is_explained(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no book to read"):
        call(["explain", str(tmp_path), "--person", "P"])
    assert not list(tmp_path.iterdir())


def test_a_damaged_ledger_file_is_named(six_nights: Path, tmp_path: Path) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    opened = open_book(book)
    file = opened.ledger_files[0]
    file.path.write_bytes(b"PAR1")
    with pytest.raises(BookError, match="missing or damaged"):
        person_of(opened, file.first_person)


def test_a_correction_is_told_with_what_undid_it(tmp_path: Path) -> None:
    made = corrected_book(tmp_path)
    events = tmp_path / "events.csv"
    events.write_text("event_id,kind,authority,other_id\nU1,undone,the city,V2\n")
    mynapoint.run(made.book, booked_on=dt.date(2020, 11, 2), events=[events])
    story = transaction_of(open_book(made.book), "coin", "L1")
    assert story.outcome == "booked"
    assert [event.row["event_id"] for event in story.events] == ["V2", "U1"]

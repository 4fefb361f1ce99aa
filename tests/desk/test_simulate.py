"""`mynapoint simulate`: what it says is what a book under those terms would hold."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
import worlds
from against_the_oracle import BookedWorld
from corrected_nights import corrected_book
from deliveries import ROOT, SAMPLE, TESTS, Desk, as_csv, enrollment, transaction
from polars.testing import assert_frame_equal
from sample_book import booked_sample, sample_nights

import mynapoint
import pipelines.simulate.replay
from engine.errors import BookError, InputError
from engine.io.book.format import RunTable
from engine.io.delivered.deliveries import find_delivered
from engine.io.run.order import no_progress
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.simulate import OtherTerms, Simulation, _folder, simulate
from pipelines.simulate.compare import compare
from pipelines.simulate.replay import book_from_deliveries, book_from_tables
from pipelines.simulate.unknown import Unknown

DELIVERED = {
    "transactions": [str(SAMPLE / "night-*" / "transactions-*")],
    "enrollments": [str(SAMPLE / "night-*" / "enrollments.csv")],
    "events": [str(SAMPLE / "night-*" / "events.csv")],
}
BUILT_IN = mynapoint.load_programme("mynapoint-2020").text
WIDER = (
    BUILT_IN.replace("window_first = 2020-09-01", "window_first = 2020-07-01")
    .replace("window_last = 2021-09-30", "window_last = 2021-12-31")
    .replace("card_applications_last = 2021-04-30", "card_applications_last = 2021-08-31")
)

OWN = """\
layout_id = "own"
name = "own"
role = "transactions"
follows = "invented"
[file]
encoding = "utf-8"
header = ["番号", "会員", "日", "金額"]
[columns]
transaction_id = { from = "番号" }
service_id = { constant = "coin" }
account_id = { from = "会員" }
occurred_at = { from = "日", forms = ["YYYY/M/D"] }
amount = { from = "金額" }
kind = { constant = "purchase" }
"""


@pytest.fixture
def sample(six_nights: Path) -> Path:
    return six_nights


def wider(folder: Path) -> OtherTerms:
    path = folder / "wider.toml"
    path.write_text(WIDER)
    return OtherTerms.parsed(programme=path)


def entries(book: Path) -> pl.DataFrame:
    """A ledger, whole."""
    return open_book(book).ledger().sort("run_id", "person_id", "entry_seq").collect()


def from_deliveries(book: Path, delivered: Mapping[str, Any], other: OtherTerms, to: Path) -> Path:
    """The ledger of a simulation from deliveries."""
    found = {role: find_delivered(paths, role) for role, paths in delivered.items()}
    to.mkdir()
    return book_from_deliveries(open_book(book), found, other, to, no_progress).opened.book.path


def from_tables(book: Path, other: OtherTerms, to: Path) -> tuple[Path, tuple[Unknown, ...]]:
    """The ledger of a simulation from the book alone, and what it does not tell."""
    to.mkdir()
    anew, unknown = book_from_tables(open_book(book), other, to, no_progress)
    return anew.opened.book.path, unknown


# --- The same as a real book ----------------------------------------------------------------------


OTHERS: dict[str, Callable[[Path], tuple[OtherTerms, dict[str, Any]]]] = {
    "a higher rate and cap": lambda folder: (
        OtherTerms.parsed(rate="30/100", cap="30000"),
        {
            "programme": _written(
                folder,
                BUILT_IN.replace("numerator = 25", "numerator = 30").replace("20_000", "30_000"),
            )
        },
    ),
    "the first terms": lambda _: (
        OtherTerms.parsed(as_of=dt.date(2020, 7, 1)),
        {"terms_as_of": dt.date(2020, 7, 1)},
    ),
    "a wider window": lambda folder: (wider(folder), {"programme": folder / "wider.toml"}),
}


def _written(folder: Path, text: str) -> Path:
    path = folder / "programme.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def booked_under(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The sample's book under one of the other terms; only to read."""

    @cache
    def book(what: str) -> Path:
        folder = tmp_path_factory.mktemp("real")
        _, options = OTHERS[what](folder)
        return booked_sample(folder / "book", **options)

    return book


@pytest.mark.parametrize("what", OTHERS)
def test_it_is_what_booking_under_those_terms_gives(
    sample: Path, booked_under: Callable[[str], Path], tmp_path: Path, what: str
) -> None:
    other, _ = OTHERS[what](tmp_path)
    real = booked_under(what)
    by_deliveries = from_deliveries(sample, DELIVERED, other, tmp_path / "deliveries")
    assert_frame_equal(entries(by_deliveries), entries(real))
    by_tables, unknown = from_tables(sample, other, tmp_path / "tables")
    # What is named might matter, and does not here.
    assert_frame_equal(entries(by_tables), entries(real))
    assert {unknown_rows.kind for unknown_rows in unknown} <= (
        {"conflict"} if "cap" not in what else set()
    )
    assert compare(open_book(sample), open_book(by_tables)) == compare(
        open_book(sample), open_book(real)
    )


def test_by_its_own_terms_the_samples_book_is_itself(sample: Path, tmp_path: Path) -> None:
    again, unknown = from_tables(sample, OtherTerms(), tmp_path / "again")
    assert_frame_equal(entries(again), entries(sample))
    assert unknown == ()


def test_by_its_own_terms_a_corrected_book_is_itself(tmp_path: Path) -> None:
    corrected = corrected_book(tmp_path)
    again, unknown = from_tables(corrected.book, OtherTerms(), tmp_path / "again")
    assert_frame_equal(entries(again), entries(corrected.book))
    assert unknown == ()
    assert {"recount", "purchase_void", "refund_void"} <= {*entries(again)["kind"]}


def test_voids_and_recounts_are_summed_up_as_the_ledger_has_them(tmp_path: Path) -> None:
    corrected = corrected_book(tmp_path)
    terms = OtherTerms.parsed(cap="30000")
    said = simulate(corrected.book, other=terms)
    exact = simulate(corrected.book, other=terms, **corrected.given)
    assert (said.unknown, said.comparison) == ((), exact.comparison)
    ledger = entries(corrected.book)
    booked = said.comparison.booked
    assert booked.entries == ledger.height
    assert booked.counted_yen == ledger["counted_amount"].sum()
    assert booked.net == ledger["points"].sum()
    last = ledger.group_by("person_id").agg(pl.col("net_spend_after").last())
    assert booked.at_the_cap == (last["net_spend_after"] >= 20_000).sum() == 1


def test_people_better_and_worse_off_are_counted_one_by_one(
    sample: Path, booked_under: Callable[[str], Path]
) -> None:
    real = booked_under("the first terms")
    held: list[dict[str, int]] = []
    for book in (sample, real):
        points: dict[str, int] = {}
        for person, more in entries(book).select("person_id", "points").iter_rows():
            points[person] = points.get(person, 0) + more
        held.append(points)
    before, after = held
    more = [after.get(person, 0) - before.get(person, 0) for person in before.keys() | after.keys()]
    said = simulate(sample, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1))).comparison
    assert said.better == sum(change > 0 for change in more)
    assert said.worse == sum(change < 0 for change in more) > 0
    assert said.same == sum(change == 0 for change in more)
    assert said.gained - said.lost == sum(more) == said.simulated.net - said.booked.net


def _other_terms(random: Random, world: worlds.World, folder: Path) -> OtherTerms:
    """Other terms for a world: another rate, cap, window, deadlines, some or all of them."""
    text = world.programme or BUILT_IN
    programme = mynapoint.parse_programme(text, "world")
    terms = programme.terms[-1]
    changed = text
    for key in ("window_first", "window_last", "applications_last", "card_applications_last"):
        if random.random() < 0.4:
            day = getattr(terms, key)
            other = day + dt.timedelta(days=random.choice((-40, -3, -1, 1, 3, 40)))
            changed = changed.replace(f"{key} = {day}", f"{key} = {other}")
    path = folder / "other.toml"
    path.write_text(changed)
    return OtherTerms.parsed(
        programme=path if changed != text else None,
        rate=random.choice((None, "1/3", "30/100")),
        cap=random.choice((None, "777", "30000")),
        as_of=random.choice((None, None, terms.announced_on)),
    )


SEEDS = range(1, 1 + int(os.environ.get("MYNAPOINT_WORLDS", "3")))


@pytest.mark.parametrize("seed", SEEDS)
def test_in_any_world_it_is_what_booking_gives_and_the_book_alone_never_guesses(
    booked_world: Callable[[int], BookedWorld], tmp_path: Path, seed: int
) -> None:
    try:
        booked = booked_world(seed)
    except InputError:
        pytest.skip("this world has a night that cannot be booked")
    book = booked.book
    again, unknown = from_tables(book, OtherTerms(), tmp_path / "again")
    assert_frame_equal(entries(again), entries(book))
    assert unknown == ()
    other = _other_terms(Random(seed), booked.world, tmp_path)
    try:
        exact = from_deliveries(book, booked.delivered, other, tmp_path / "deliveries")
    except InputError as error:
        # Days that cross each other, or no terms by that day.
        assert "window" in error.message or "no terms" in error.message  # noqa: PT017
        return
    by_tables, unknown = from_tables(book, other, tmp_path / "tables")
    if unknown == ():
        assert_frame_equal(entries(by_tables), entries(exact))


# --- What the book alone tells, and what it does not ----------------------------------------------


SERVICES = """
[[services]]
service_id = "coin"
name = "purchases"
basis = "purchase"

[[services]]
service_id = "picky"
name = "purchases, but not with gift cards"
basis = "purchase"
excluded_methods = ["gift_card"]
"""
EARLY = "2020-08-01 10:00:00"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.write("services.toml", SERVICES)
    people = [
        enrollment(1, applied_at="2020-07-10 09:00:00"),
        enrollment(2, service_id="picky", applied_at="2020-07-10 09:00:00"),
    ]
    desk.write("enrollments.csv", as_csv(people))
    return desk


def wide(desk: Desk, *transactions: dict[str, str]) -> tuple[Simulation, Simulation]:
    """A night under the built-in terms, simulated under wider ones from the book, and exactly."""
    delivered = desk.transactions(transactions)
    desk.run(delivered)
    other = wider(desk.folder)
    exact = simulate(
        desk.book, transactions=[delivered], enrollments=[desk.enrollments], other=other
    )
    return simulate(desk.book, other=other), exact


def kinds(simulation: Simulation) -> dict[str, tuple[int, int | None]]:
    return {
        unknown_rows.kind: (unknown_rows.rows, unknown_rows.yen)
        for unknown_rows in simulation.unknown
    }


def test_payments_that_a_wider_window_lets_in_are_decided_again(desk: Desk) -> None:
    said, exact = wide(desk, transaction(1, occurred_at=EARLY, amount="4000"), transaction(2))
    assert said.unknown == ()
    assert said.comparison == exact.comparison
    assert said.comparison.simulated.net == 1000 + 25


def test_methods_and_originals_of_what_was_declined_are_known(desk: Desk) -> None:
    account = {"service_id": "picky", "account_id": "A2"}
    refund = {"kind": "refund", "occurred_at": "2020-09-08 10:00:00"}
    said, exact = wide(
        desk,
        transaction(1, **account, occurred_at=EARLY, amount="4000", method="cash"),
        transaction(2, **account, occurred_at=EARLY, amount="800", method="gift_card"),
        transaction(3, occurred_at=EARLY, amount="4000"),
        transaction(4, **refund, amount="400", original_transaction_id="T3"),
        transaction(5, **refund, original_transaction_id="gone"),
    )
    assert said.unknown == ()
    assert said.comparison == exact.comparison
    assert said.comparison.simulated.net == 1000 + 900


def test_an_application_that_is_let_in_brings_its_payments(desk: Desk) -> None:
    people = [enrollment(1), enrollment(3, card_applied_on="2021-05-31")]
    desk.write("enrollments.csv", as_csv(people))
    said, exact = wide(desk, transaction(1, account_id="A3", amount="4000"), transaction(2))
    assert said.unknown == ()
    assert said.comparison == exact.comparison
    assert said.comparison.simulated.people == 2


def test_a_payment_that_came_ahead_of_its_application_is_booked_in_the_same_run(
    desk: Desk,
) -> None:
    first = desk.transactions([transaction(1, account_id="A3", amount="4000")], "first.csv")
    desk.run(first)
    late = desk.write("late.csv", as_csv([enrollment(3)]))
    desk.run(enrollments=[late], booked_on=dt.date(2020, 10, 1))
    assert desk.ledger()["run_id"].to_list() == ["000002"]
    again, unknown = from_tables(desk.book, OtherTerms(), desk.folder / "again")
    assert_frame_equal(entries(again), entries(desk.book))
    assert unknown == ()


def test_the_days_of_booking_bound_how_long_rows_wait(desk: Desk) -> None:
    programme = desk.write("bound.toml", f"reconsider_days = 20\n{BUILT_IN}")
    row = transaction(1, account_id="A3", amount="4000")
    desk.run(desk.transactions([row]), programme=programme, booked_on=dt.date(2020, 9, 10))
    late = desk.write("late.csv", as_csv([enrollment(3)]))
    desk.run(enrollments=[late], booked_on=dt.date(2020, 9, 26))
    assert desk.ledger().height == 0
    again, _ = from_tables(desk.book, OtherTerms(), desk.folder / "again")
    assert entries(again).height == 0


@pytest.mark.parametrize("closes", ["", "applications_close_on = 2021-09-30\n"])
def test_a_row_that_waited_while_its_key_came_in_conflict_is_left_alone_again(
    desk: Desk, closes: str
) -> None:
    """Also where services change, and everything that waits is looked at."""
    desk.run(desk.transactions([transaction(1, account_id="A3")], "first.csv"))
    other = [transaction(1, account_id="A3", amount=amount) for amount in ("7", "8")]
    late = desk.write("late.csv", as_csv([enrollment(3)]))
    desk.write("services.toml", SERVICES + closes)
    desk.run(
        desk.transactions(other, "other.csv"), enrollments=[late], booked_on=dt.date(2020, 10, 1)
    )
    desk.run(enrollments=(), booked_on=dt.date(2020, 10, 2))
    assert desk.ledger()["run_id"].to_list() == ["000003"]
    again, unknown = from_tables(desk.book, OtherTerms(), desk.folder / "again")
    assert_frame_equal(entries(again), entries(desk.book))
    assert unknown == ()


def test_runs_that_keep_the_same_rows_are_as_many_again(desk: Desk) -> None:
    for number in (1, 2, 3):
        broken = [transaction(number, amount="x" * number)]
        desk.run(desk.transactions(broken, f"{number}.csv"), enrollments=())
    again, _ = from_tables(desk.book, OtherTerms(), desk.folder / "again")
    assert open_book(again).runs == 3


def test_other_content_of_what_is_not_booked_any_more_is_named(desk: Desk) -> None:
    first = desk.transactions([transaction(1, occurred_at="2021-05-01 10:00:00")], "first.csv")
    second = desk.transactions([transaction(1, amount="999")], "second.csv")
    desk.run(first)
    desk.run(second, enrollments=(), booked_on=dt.date(2021, 6, 1))
    assert simulate(desk.book, other=OtherTerms.parsed(cap="777")).unknown == ()
    other = OtherTerms.parsed(as_of=dt.date(2020, 7, 1))
    said = simulate(desk.book, other=other)
    assert kinds(said) == {"conflict": (1, None)}
    exact = simulate(
        desk.book,
        other=other,
        transactions=[first, second],
        enrollments=[desk.enrollments],
    )
    assert (said.comparison.simulated.net, exact.comparison.simulated.net) == (0, 249)


def test_other_content_in_a_providers_own_file_is_named_too(desk: Desk) -> None:
    layout = desk.write("own.toml", OWN)
    header = "番号,会員,日,金額\n"
    first = desk.write("first.csv", f"{header}N1,A1,2021/5/1,100\n")
    second = desk.write("second.csv", f"{header}N1,A1,2021/5/1,999\n")
    desk.run(mynapoint.DeliveredAs(first, layout))
    desk.run(mynapoint.DeliveredAs(second, layout), enrollments=(), booked_on=dt.date(2021, 6, 1))
    assert desk.table("quarantine", 2)["errors"].to_list() == [["番号:conflict"]]
    said = simulate(desk.book, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1)))
    assert kinds(said) == {"conflict": (1, None)}


def test_other_content_of_an_application_that_is_not_accepted_any_more_is_named(
    desk: Desk,
) -> None:
    late = enrollment(3, applied_at="2021-05-01 09:00:00", card_applied_on="2021-04-01")
    desk.write("enrollments.csv", as_csv([late]))
    desk.run(desk.transactions([transaction(1, account_id="A3")]))
    second = desk.write("second.csv", as_csv([late | {"card_applied_on": "2020-06-01"}]))
    desk.run(enrollments=[second], booked_on=dt.date(2021, 6, 1))
    assert simulate(desk.book, other=OtherTerms.parsed(cap="777")).unknown == ()
    said = simulate(desk.book, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1)))
    assert kinds(said) == {"application_conflict": (1, None)}


def test_an_event_that_was_delivered_again_is_named_where_it_may_be_taken_later(
    desk: Desk,
) -> None:
    """Under terms that let in the application of P3, the number A4 is taken at first."""
    columns = "event_id,kind,authority,person_id,service_id,account_id,other_id,effective_at\n"
    replaced = "E1,account_replaced,the service,,coin,A1,A4,2020-09-02 00:00:00\n"
    people = [enrollment(1), enrollment(3, account_id="A4", card_applied_on="2021-05-31")]
    desk.write("enrollments.csv", as_csv(people))
    desk.run(desk.transactions([transaction(1)]))
    events = [desk.write("events.csv", columns + replaced)]
    desk.run(events=events, enrollments=(), booked_on=dt.date(2020, 10, 1))
    desk.run(events=events, enrollments=(), booked_on=dt.date(2020, 10, 2))
    assert desk.record(3)["counts"]["events"]["unchanged"] == 1
    assert simulate(desk.book, other=OtherTerms.parsed(cap="777")).unknown == ()
    said = simulate(desk.book, other=wider(desk.folder))
    assert kinds(said) == {"event": (1, None)}


def test_what_was_delivered_again_is_decided_when_it_came(desk: Desk) -> None:
    # Both copies are of a day that the first terms do not have; the second is a duplicate.
    row = transaction(1, occurred_at="2021-05-01 10:00:00", method="cash")
    row_of_picky = row | {"service_id": "picky", "account_id": "A2"}
    desk.run(desk.transactions([row_of_picky], "one.csv"))
    desk.run(
        desk.transactions([row_of_picky, transaction(2)], "two.csv"),
        enrollments=(),
        booked_on=dt.date(2021, 6, 1),
    )
    said = simulate(desk.book, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1)))
    assert said.unknown == ()
    assert said.comparison.simulated.entries == 1


def test_another_registry_is_simulated_too(desk: Desk) -> None:
    delivered = desk.transactions([transaction(1, amount="50"), transaction(2, amount="51")])
    desk.run(delivered)
    by_transaction = desk.write(
        "other.toml",
        SERVICES.replace('basis = "purchase"', 'basis = "purchase"\nrounding = "transaction"', 1),
    )
    other = OtherTerms.parsed(services=by_transaction)
    said = simulate(desk.book, other=other)
    exact = simulate(
        desk.book, transactions=[delivered], enrollments=[desk.enrollments], other=other
    )
    assert said.comparison == exact.comparison
    assert (said.comparison.booked.net, said.comparison.simulated.net) == (25, 24)


def test_deliveries_without_a_book_are_compared_with_the_default_programme(desk: Desk) -> None:
    delivered = desk.transactions([transaction(1, amount="30000")])
    options: dict[str, Any] = {"transactions": [delivered], "enrollments": [desk.enrollments]}
    services = desk.folder / "services.toml"
    said = simulate(None, other=OtherTerms.parsed(cap="28000", services=services), **options)
    assert (said.against, said.comparison.booked.net) == ("programme", 5000)
    assert said.comparison.simulated.net == 7000
    plain = simulate(None, other=OtherTerms.parsed(services=services), **options)
    assert (plain.against, plain.comparison.simulated.net) == ("nothing", 5000)


# --- Books of format 1 ----------------------------------------------------------------------------


FORMAT_1 = TESTS / "books" / "1"


# Version 2 takes what is left for a refund of more: 11R6 came before 11R7.
REFUNDED_OTHERWISE = ("11R6", "11R7")


def test_rate_and_cap_are_simulated_of_a_book_of_format_1(tmp_path: Path) -> None:
    book = FORMAT_1 / "book"
    said = simulate(book, other=OtherTerms.parsed(rate="30/100", cap="30000"))
    assert said.unknown == ()
    assert said.comparison.simulated.net > said.comparison.booked.net
    again, unknown = from_tables(book, OtherTerms(), tmp_path / "again")
    assert unknown == ()
    booked, anew = (
        entries(path)
        .filter(pl.col("kind") != "recount", ~pl.col("transaction_id").is_in(REFUNDED_OTHERWISE))
        .select("run_id", "booked_on", "person_id", "transaction_id", "net_amount")
        for path in (book, again)
    )
    assert_frame_equal(anew, booked)


def declined_of(book: Path, reason: str) -> pl.DataFrame:
    return open_book(book).table(RunTable.DECLINED).filter(reason=reason).collect()


def test_what_a_book_of_format_1_declined_is_named_and_not_guessed(tmp_path: Path) -> None:
    book = FORMAT_1 / "book"
    said = simulate(book, other=wider(tmp_path))
    reasons = [
        *("before_window", "after_window", "not_enrolled"),
        *("original_not_booked", "refund_exceeds_original"),
    ]
    rows = pl.concat([declined_of(book, reason) for reason in reasons])
    assert rows.height > 0
    assert kinds(said)["transaction"] == (rows.height, rows["amount"].sum())
    rejected = open_book(book).table(RunTable.REJECTED).collect()
    late = rejected.filter(
        pl.col("reason").is_in(["card_applied_late", "account_taken", "already_enrolled"])
    )
    assert kinds(said)["application"] == (late.height, None)
    assert said.comparison.simulated.booked_yen == said.comparison.booked.booked_yen


def test_a_book_that_was_begun_in_format_1_and_has_corrections_is_simulated(
    tmp_path: Path,
) -> None:
    book = Path(shutil.copytree(FORMAT_1 / "book", tmp_path / "book"))
    events = tmp_path / "events.csv"
    events.write_text(
        "event_id,kind,authority,service_id,transaction_id\n"
        "E1,transaction_voided,the service,ends,08T1\n"
    )
    mynapoint.run(book, booked_on=dt.date(2021, 1, 6), events=[events])
    said = simulate(book, other=OtherTerms.parsed(cap="19999"))
    assert said.unknown == ()
    again, _ = from_tables(book, OtherTerms.parsed(cap="19999"), tmp_path / "again")
    voids = entries(again).filter(kind="charge_void")
    assert voids.select("run_id", "transaction_id").rows() == [("000004", "08T1")]


# --- Nothing is booked, nothing is left -----------------------------------------------------------


def test_the_book_is_not_written_to_and_nothing_is_left_behind(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    before = {path: path.stat().st_mtime_ns for path in sample.rglob("*")}
    simulate(sample, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1)))
    assert {path: path.stat().st_mtime_ns for path in sample.rglob("*")} == before
    assert list(scratch.iterdir()) == []

    def interrupted(*_: object, **__: object) -> None:
        assert list(scratch.iterdir()) != []
        raise KeyboardInterrupt

    monkeypatch.setattr(pipelines.simulate.replay, "book_a_night", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate(sample, other=OtherTerms.parsed(cap="1"))
    assert list(scratch.iterdir()) == []


def test_a_process_that_is_asked_to_go_removes_its_folder(sample: Path, tmp_path: Path) -> None:
    words = ["simulate", str(sample), "--terms-as-of", "2020-07-01", "--quiet"]
    going = subprocess.Popen(
        [sys.executable, "-m", "mynapoint", *words],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    until = time.monotonic() + 60
    while not list(tmp_path.glob("mynapoint-simulate-*/book")) and time.monotonic() < until:
        time.sleep(0.01)
    going.send_signal(signal.SIGTERM)
    assert going.wait(60) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_asked_to_go_goes_whatever_a_library_makes_of_that() -> None:
    folders = []

    def panic() -> None:
        with _folder() as folder:
            folders.append(folder)
            try:
                signal.raise_signal(signal.SIGTERM)
            except SystemExit as asked:
                raise RuntimeError from asked

    with pytest.raises(SystemExit) as left:
        panic()
    assert left.value.code == 128 + signal.SIGTERM
    assert not folders[0].exists()


# --- The command ----------------------------------------------------------------------------------


WRONG = {
    "0.3": ("--rate", "30/100"),
    "30": ("--rate", "30/100"),
    "30/100/2": ("--rate", "30/100"),
    "３０/100": ("--rate", "30/100"),
    "30,000": ("--cap", "30000"),
    "-1": ("--cap", "30000"),
    "2e4": ("--cap", "30000"),
}


@pytest.mark.parametrize("value", WRONG)
def test_a_value_that_cannot_be_read_is_named_with_one_that_can(value: str) -> None:
    option, hint = WRONG[value]
    given: dict[str, Any] = {option.removeprefix("--"): value}
    with pytest.raises(InputError, match=option) as refused:
        OtherTerms.parsed(**given)
    assert hint in refused.value.hint


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--rate", "130/100", "above 1"),
        ("--rate", "0/100", "numerator"),
        ("--rate", "25/0", "denominator"),
        ("--cap", "0", "spending_yen"),
        ("--cap", "9999999999", "spending_yen"),
        ("--terms-as-of", "2019-01-01", "no terms were in force"),
        ("--programme", "nowhere", "no built-in programme"),
    ],
)
def test_terms_that_no_programme_may_have_are_refused(
    sample: Path, option: str, value: str, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        call(["simulate", str(sample), option, value])


def test_what_is_missing_is_said(sample: Path, tmp_path: Path) -> None:
    other = OtherTerms.parsed(cap="1")
    with pytest.raises(InputError, match="no other terms"):
        call(["simulate", str(sample)])
    with pytest.raises(InputError, match="nothing to simulate"):
        simulate(None, other=other)
    with pytest.raises(InputError, match="there is no book"):
        simulate(tmp_path / "nothing", other=other)
    folder, _ = sample_nights()[0]
    with pytest.raises(InputError, match=r"000002.*is not among those given"):
        simulate(
            sample,
            other=other,
            transactions=[str(folder / "transactions-*")],
            enrollments=[folder / "enrollments.csv"],
        )


def test_a_book_whose_files_cannot_be_read_is_damaged(sample: Path, tmp_path: Path) -> None:
    book = shutil.copytree(sample, tmp_path / "book")
    next((book / "ledger").glob("000002-*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(BookError, match="a file of the book is missing or damaged"):
        simulate(book, other=OtherTerms.parsed(cap="1"))


def test_its_json_adds_up(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["simulate", str(sample), "--rate", "1/5", "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["terms"]["rate"] == "1/5"
    assert (said["exact"], said["not_decided_again"]) == (True, [])
    for side in ("booked", "simulated"):
        for sum_ in ("entries", "counted_yen", "awarded", "reversed", "net"):
            services = sum(service[side][sum_] for service in said["services"].values())
            assert services == said[side][sum_]
    people = said["people"]
    more = said["simulated"]["net"] - said["booked"]["net"]
    assert people["points_gained"] - people["points_lost"] == more < 0
    assert people["better"] + people["worse"] + people["same"] == said["booked"]["people"]


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("ja", ("台帳には何も書き込みません", "減少する利用者")),
        ("en", ("nothing was written", "worse off")),
    ],
)
def test_it_speaks_both_languages(
    sample: Path, capsys: pytest.CaptureFixture[str], lang: str, words: tuple[str, ...]
) -> None:
    day = ("--terms-as-of", "2020-07-01")
    assert call(["simulate", str(sample), *day, "--lang", lang, "--quiet"]) == 0
    said = capsys.readouterr().out
    for word in words:
        assert word in said


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_what_could_not_be_decided_again_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str
) -> None:
    wider(tmp_path)
    terms = ["--programme", str(tmp_path / "wider.toml"), "--quiet"]
    assert call(["simulate", str(FORMAT_1 / "book"), *terms, "--lang", lang]) == 0
    said = capsys.readouterr().out
    for words in ("判定し直せず", "第 1 形式") if lang == "ja" else ("left out", "run of format 1"):
        assert words in said

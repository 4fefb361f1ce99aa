"""`mynapoint simulate`: what it says is what a book under those terms would hold."""

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
import worlds
from deliveries import ROOT, SAMPLE, Desk, as_csv, book_world, enrollment, transaction
from polars.testing import assert_frame_equal
from sample_book import booked_sample, sample_nights

import mynapoint
import pipelines.simulate.replay
from engine.errors import BookError, InputError
from engine.io.delivered.deliveries import find_delivered
from engine.io.run.order import no_progress
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.simulate import OtherTerms, Simulation, simulate
from pipelines.simulate.compare import compare
from pipelines.simulate.replay import book_from_deliveries, book_from_tables

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
    """A ledger without the day of booking, which a simulation has none of."""
    ledger = open_book(book).ledger().drop("booked_on")
    return ledger.sort("run_id", "person_id", "entry_seq").collect()


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


@pytest.mark.parametrize("what", OTHERS)
def test_it_is_what_booking_under_those_terms_gives(
    sample: Path, tmp_path: Path, what: str
) -> None:
    other, options = OTHERS[what](tmp_path)
    real = booked_sample(tmp_path / "real", **options)
    delivered = {role: find_delivered(paths, role) for role, paths in DELIVERED.items()}
    opened = open_book(sample)
    for name in ("deliveries", "tables"):
        (tmp_path / name).mkdir()
    anew = book_from_deliveries(opened, delivered, other, tmp_path / "deliveries", no_progress)
    assert_frame_equal(entries(anew.opened.book.path), entries(real))
    from_book, unknown = book_from_tables(opened, other, tmp_path / "tables", no_progress)
    if "window" not in what:
        # What the sample's book does not keep would not have been booked either.
        assert_frame_equal(entries(from_book.opened.book.path), entries(real))
    assert (unknown == ()) == ("cap" in what)
    assert compare(opened, anew.opened) == compare(opened, open_book(real))


def test_people_better_and_worse_off_are_counted_one_by_one(sample: Path, tmp_path: Path) -> None:
    _, options = OTHERS["the first terms"](tmp_path)
    real = booked_sample(tmp_path / "real", **options)
    held: list[dict[str, int]] = []
    for book in (sample, real):
        points: dict[str, int] = {}
        for person, more in entries(book).select("person_id", "points").iter_rows():
            points[person] = points.get(person, 0) + more
        held.append(points)
    before, after = held
    more = [after.get(one, 0) - before.get(one, 0) for one in before.keys() | after.keys()]
    said = simulate(sample, other=OtherTerms.parsed(as_of=dt.date(2020, 7, 1))).comparison
    assert said.better == sum(one > 0 for one in more)
    assert said.worse == sum(one < 0 for one in more) > 0
    assert said.same == sum(one == 0 for one in more)
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


SEEDS = range(int(os.environ.get("MYNAPOINT_WORLDS", "8")))


@pytest.mark.parametrize("seed", SEEDS)
def test_in_any_world_it_is_what_booking_gives_and_the_book_alone_never_guesses(
    tmp_path: Path, seed: int
) -> None:
    world = worlds.make(seed)
    book, delivered = tmp_path / "book", tmp_path / "delivered"
    try:
        for number in range(len(world.nights)):
            book_world(world, delivered, number, book)
    except InputError:
        pytest.skip("this world has a night that cannot be booked")
    other = _other_terms(Random(seed), world, tmp_path)
    nights = [tmp_path / "delivered" / f"night-{n + 1}" for n in range(len(world.nights))]
    names: dict[str, Any] = {
        role: [
            str(folder / name)
            for folder, night in zip(nights, world.nights, strict=True)
            for name, _ in getattr(night, role)
        ]
        for role in ("transactions", "enrollments")
    }
    try:
        exact = simulate(book, other=other, **names)
    except InputError as error:
        # Days that cross each other, or no terms by that day.
        assert "window" in error.message or "no terms" in error.message  # noqa: PT017
        return
    from_book = simulate(book, other=other)
    if from_book.unknown:
        return
    assert from_book.comparison == exact.comparison


# --- What the book alone does not tell ------------------------------------------------------------


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
    return {one.kind: (one.rows, one.yen) for one in simulation.unknown}


def test_payments_that_a_wider_window_lets_in_are_decided_again(desk: Desk) -> None:
    said, exact = wide(desk, transaction(1, occurred_at=EARLY, amount="4000"), transaction(2))
    assert said.unknown == ()
    assert said.comparison == exact.comparison
    assert said.comparison.simulated.net == 1000 + 25


def test_a_payment_whose_method_may_be_excluded_is_named_and_not_guessed(desk: Desk) -> None:
    theirs = {"service_id": "picky", "account_id": "A2"}
    said, exact = wide(
        desk,
        transaction(1, **theirs, occurred_at=EARLY, amount="4000", method="cash"),
        transaction(2, **theirs, occurred_at=EARLY, amount="800", method="gift_card"),
        # Known to be excluded, and known to be no purchase.
        transaction(3, **theirs, amount="50", method="gift_card"),
        transaction(4, **theirs, occurred_at=EARLY, amount="60", kind="charge"),
    )
    assert kinds(said) == {"method": (2, 4800)}
    assert said.comparison.simulated.net == 0
    assert exact.unknown == ()
    assert exact.comparison.simulated.net == 1000


def test_a_refund_whose_original_may_be_booked_is_named_and_not_guessed(desk: Desk) -> None:
    refund = {"kind": "refund", "occurred_at": "2020-09-08 10:00:00"}
    said, exact = wide(
        desk,
        transaction(1, occurred_at=EARLY, amount="4000"),
        transaction(2, **refund, amount="400", original_transaction_id="T1"),
        # Of an account of which nothing more is booked.
        transaction(3, account_id="A2", service_id="picky"),
        transaction(
            4, account_id="A2", service_id="picky", **refund, original_transaction_id="gone"
        ),
    )
    assert kinds(said) == {"original": (1, 400)}
    assert said.comparison.simulated.net == 1000 + 25
    assert exact.comparison.simulated.net == 900 + 25


def test_an_application_that_may_be_let_in_is_named_with_its_payments(desk: Desk) -> None:
    people = [enrollment(1), enrollment(3, card_applied_on="2021-05-31")]
    desk.write("enrollments.csv", as_csv(people))
    said, exact = wide(desk, transaction(1, account_id="A3", amount="4000"), transaction(2))
    assert kinds(said) == {"application": (1, None), "payment_of_an_application": (1, 4000)}
    assert said.comparison.simulated.people == 1
    assert exact.comparison.simulated.people == 2


def test_other_content_of_what_is_not_booked_any_more_is_named(desk: Desk) -> None:
    first = desk.transactions([transaction(1, occurred_at="2021-05-01 10:00:00")], "first.csv")
    second = desk.transactions([transaction(1, amount="999")], "second.csv")
    desk.run(first)
    desk.run(second, enrollments=(), booked_on=dt.date(2021, 6, 1))
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


def test_what_was_delivered_again_is_decided_when_it_came(desk: Desk) -> None:
    # Both copies are of a day that the first terms do not have; the second is a duplicate.
    row = transaction(1, occurred_at="2021-05-01 10:00:00", method="cash")
    theirs = row | {"service_id": "picky", "account_id": "A2"}
    desk.run(desk.transactions([theirs], "one.csv"))
    desk.run(
        desk.transactions([theirs, transaction(2)], "two.csv"),
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
    with pytest.raises(BookError, match="run 000002 cannot be read again"):
        simulate(book, other=OtherTerms.parsed(cap="1"))


def test_its_json_adds_up(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["simulate", str(sample), "--rate", "1/5", "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["terms"]["rate"] == "1/5"
    assert (said["exact"], said["not_decided_again"]) == (True, [])
    for side in ("booked", "simulated"):
        for sum_ in ("entries", "counted_yen", "awarded", "reversed", "net"):
            services = sum(one[side][sum_] for one in said["services"].values())
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
    assert ("判定し直せず" if lang == "ja" else "could not be decided again") in said

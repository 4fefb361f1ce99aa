"""What verify calculates of payouts in SQL, held against the oracle, rare cases above all."""

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from payout_histories import ENTRY, STEPS, History, accounts_of, engine_bridge, engine_lines, table
from payout_oracle import DAY, Book, Row

from pipelines.desk.database import Database
from pipelines.verify.payout_tables import Moment, PayoutTables


def in_sql(book: Book, folder: Path) -> Database:
    """A book in a database, as `verify` loads it."""
    database = Database(folder)
    ledger = pl.DataFrame(book.ledger, schema=ENTRY, orient="row")
    database.given("ledger_rows", ledger.with_columns(file=pl.lit(0, pl.Int64)).to_arrow())
    payouts = table(book.payouts)
    payouts = payouts.with_columns(
        file=pl.col("payout_run_id").cast(pl.Int64), row=pl.row_index().cast(pl.Int64)
    )
    database.given("table_rows", payouts.to_arrow())
    database.table("ledger_file", {"file": "BIGINT", "run": "BIGINT"}, [(0, 1)])
    numbers = payouts["file"].unique().to_list()
    database.table(
        "payout_file",
        {"file": "BIGINT", "payout_run": "BIGINT", "name": "VARCHAR"},
        [(number, number, "") for number in numbers],
    )
    return database


def agrees(book: Book, number: int, on: dt.date, services: list[str] | None, folder: Path) -> None:
    """Holds what a payout run would instruct, and the bridge, against the oracle's."""
    with in_sql(book, folder) as database:
        tables = PayoutTables(database)
        moment = Moment(
            number,
            1,
            on,
            book.last_booked_on,
            book.window_last,
            [
                {
                    "service_id": service,
                    "payout": schedule,
                    "awards_close_on": book.closes_on.get(service),
                }
                for service, schedule in book.schedules.items()
            ],
            accounts_of(book),
        )
        tables.calculate(moment, services)
        names = ("payout_id", "service_id", "account_id", "enrolled_account_id")
        found = database.rows(
            "SELECT payout_id, service_id, number, account_id, direction, points, due_on "
            "FROM expected ORDER BY service_id, account_id"
        )
        assert found == [
            tuple(line[name] for name in (*names, "direction", "points", "due_on"))
            for line in book.instruct(f"{number:06}", on, services)
        ]
        if services is None:
            assert tables.bridge() == book.bridge(on)


@pytest.mark.parametrize("seed", range(2_000, 2_040))
def test_verify_calculates_in_sql_what_the_oracle_says(seed: int, tmp_path: Path) -> None:
    history = History(seed)
    for _ in range(30):
        history.today += history.random.choice([0, 1, 3, 11]) * DAY
        if history.random.random() < 0.25:
            history.run += 1
            history.book.payouts += history.book.instruct(f"{history.run:06}", history.today)
        else:
            # What happens to few happens to many here: what hangs on it shows at the end alone.
            [step] = history.random.choices(
                list(STEPS), [max(times, 3) for times in STEPS.values()]
            )
            if step is not History.bridge:
                step(history)
    book, number = history.book, history.run + 1
    agrees(book, number, history.today, None, tmp_path / "today")
    service = history.random.choice(list(book.schedules))
    agrees(book, number, history.today + 33 * DAY, [service], tmp_path / "later")


# --- Rare cases, each with what the words say -----------------------------------------------------

DAY_OF = dt.date(2020, 10, 1)
Award = tuple[str, str, str, int]


def book_of(schedules: dict[str, Row], people: dict[tuple[str, str], str | None]) -> Book:
    book = Book(schedules, last_booked_on=DAY_OF)
    for account, person in people.items():
        if person is not None:
            book.view.enrolled[account] = (person, True)
    return book


def award(
    book: Book,
    account: tuple[str, str],
    points: int,
    *,
    day: dt.date = DAY_OF,
    booked_on: dt.date = DAY_OF,
    net_amount: int | None = None,
    kind: str = "purchase",
    original: str | None = None,
    transaction: str | None = None,
) -> None:
    service, number = account
    person = book.view.enrolled.get(account, (f"P-{number}", True))[0]
    seq = 1 + sum(entry["person_id"] == person for entry in book.ledger)
    book.ledger.append(
        {
            "booked_on": booked_on,
            "person_id": person,
            "entry_seq": seq,
            "service_id": service,
            "account_id": number,
            "enrolled_account_id": None,
            "transaction_id": transaction or f"T{len(book.ledger)}",
            "occurred_at": dt.datetime.combine(day, dt.time(12)),
            "kind": kind,
            "original_transaction_id": original,
            "net_amount": 4 * points if net_amount is None else net_amount,
            "points": points,
        }
    )
    book.last_booked_on = booked_on


def pay(book: Book, number: int, on: dt.date = DAY_OF) -> list[Row]:
    rows = book.instruct(f"{number:06}", on)
    book.payouts += rows
    return rows


def answer(
    book: Book,
    number: int,
    rows: Sequence[Row],
    outcome: str,
    code: str | None = None,
    **more: object,
) -> None:
    said = {"outcome": outcome, "points": None, "answered_on": DAY_OF, "code": code} | more
    made, faults, _ = book.answer(
        f"{number:06}", [{"payout_id": row["payout_id"], **said} for row in rows]
    )
    assert not faults
    book.payouts += made


def lines(book: Book, number: int, on: dt.date, folder: Path) -> list[tuple[str, str, str, int]]:
    """What all three say is to be instructed; the account is the enrollment's."""
    agrees(book, number, on, None, folder)
    made = engine_lines(book, f"{number:06}", on, None, None)
    assert made == book.instruct(f"{number:06}", on)
    assert engine_bridge(book, on) == book.bridge(on)
    return [
        (row["service_id"], row["enrolled_account_id"], row["direction"], row["points"])
        for row in made
    ]


AT_ONCE: Row = {"when": "at_once", "hold_codes": ["closed"]}
LATE: Row = {"when": "days_after", "days": 1000}


def test_what_a_person_has_left_goes_to_the_first_service_and_there_to_the_first_account(
    tmp_path: Path,
) -> None:
    accounts = [("coin", "C"), ("coin", "D"), ("coin", "E"), ("gate", "A"), ("gate", "B")]
    book = book_of({"coin": AT_ONCE, "gate": AT_ONCE}, dict.fromkeys(accounts, "P1"))
    award(book, ("gate", "B"), 1000, transaction="G")
    answer(book, 2, pay(book, 1), "done")
    # What was paid at the last account and taken back in the ledger is more than some of what the
    # others are owed: 300 + 300 + 300 + 300 - 700 are left.
    award(book, ("gate", "B"), -700, kind="refund", original="G", transaction="R")
    for account in accounts[:4]:
        award(book, account, 300)
    assert lines(book, 3, DAY_OF, tmp_path / "a") == [
        ("coin", "C", "pay", 300),
        ("coin", "D", "pay", 200),
    ]


def test_an_answer_done_in_whole_holds_nothing_whatever_its_code(tmp_path: Path) -> None:
    book = book_of({"coin": AT_ONCE}, {("coin", "A"): "P1", ("coin", "B"): "P2"})
    for account in book.view.enrolled:
        award(book, account, 100)
    first, second = pay(book, 1)
    answer(book, 2, [first], "done", "closed")
    answer(book, 3, [second], "partly", "closed", points=40)
    for account in book.view.enrolled:
        award(book, account, 10)
    assert lines(book, 4, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 10)]


def test_of_answers_that_hold_the_payout_instructed_last_decides_not_the_one_answered_last(
    tmp_path: Path,
) -> None:
    book = book_of({"coin": AT_ONCE}, {("coin", "A"): "P1"})
    award(book, ("coin", "A"), 100)
    first = pay(book, 1)
    award(book, ("coin", "A"), 10)
    second = pay(book, 2)
    answer(book, 3, second, "refused", "busy")
    answer(book, 4, first, "refused", "closed", answered_on=DAY_OF + DAY)
    assert lines(book, 5, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 110)]
    # The other way round it holds, until the account is open again.
    answer(book, 5, second, "refused", "closed", answered_on=DAY_OF + DAY)
    assert lines(book, 6, DAY_OF, tmp_path / "b") == []
    answer(book, 6, second, "refused", "busy", answered_on=DAY_OF + 2 * DAY)
    assert lines(book, 7, DAY_OF, tmp_path / "c") == [("coin", "A", "pay", 110)]


def test_a_take_back_that_was_refused_for_good_holds_no_payment(tmp_path: Path) -> None:
    schedule = AT_ONCE | {"take_back_from": DAY_OF}
    book = book_of({"coin": schedule}, {("coin", "A"): "P1"})
    award(book, ("coin", "A"), 100, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -60, kind="refund", original="T", transaction="R")
    back = pay(book, 3)
    assert [row["direction"] for row in back] == ["take_back"]
    answer(book, 4, back, "refused", "closed")
    award(book, ("coin", "A"), 80)
    assert lines(book, 5, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 20)]


def test_a_take_back_on_its_way_is_no_room_for_a_payment(tmp_path: Path) -> None:
    schedule = AT_ONCE | {"take_back_from": DAY_OF}
    book = book_of({"coin": schedule}, {("coin", "A"): "P1"})
    award(book, ("coin", "A"), 100, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -60, kind="refund", original="T", transaction="R")
    pay(book, 3)
    award(book, ("coin", "A"), 50)
    assert lines(book, 4, DAY_OF, tmp_path / "a") == []
    award(book, ("coin", "A"), 30)
    assert lines(book, 4, DAY_OF, tmp_path / "b") == [("coin", "A", "pay", 20)]


def test_the_last_day_of_payouts_ends_payments_and_not_take_backs(tmp_path: Path) -> None:
    schedule = AT_ONCE | {"last_payout_on": DAY_OF, "take_back_from": DAY_OF + 2 * DAY}
    book = book_of({"coin": schedule}, {("coin", "A"): "P1", ("coin", "B"): "P2"})
    award(book, ("coin", "A"), 100, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -60, kind="refund", original="T", transaction="R")
    award(book, ("coin", "B"), 70)
    assert lines(book, 3, DAY_OF, tmp_path / "a") == [("coin", "B", "pay", 70)]
    assert lines(book, 3, DAY_OF + DAY, tmp_path / "b") == []
    assert lines(book, 3, DAY_OF + 2 * DAY, tmp_path / "c") == [("coin", "A", "take_back", 60)]
    assert book.bridge(DAY_OF + DAY)["coin"]["lapsed"] == 70


def test_take_backs_begin_61_days_after_the_window_or_the_day_after_the_service_ended(
    tmp_path: Path,
) -> None:
    book = book_of({"coin": AT_ONCE, "gate": AT_ONCE}, {("coin", "A"): "P1", ("gate", "B"): "P2"})
    book.closes_on["gate"] = dt.date(2020, 12, 31)
    for account in book.view.enrolled:
        award(book, account, 100, transaction=f"T-{account[0]}")
    answer(book, 2, pay(book, 1), "done")
    for account in book.view.enrolled:
        award(book, account, -60, kind="refund", original=f"T-{account[0]}", transaction=account[0])
    assert lines(book, 3, dt.date(2020, 12, 31), tmp_path / "a") == []
    gate = ("gate", "B", "take_back", 60)
    assert lines(book, 3, dt.date(2021, 1, 1), tmp_path / "b") == [gate]
    assert lines(book, 3, dt.date(2021, 11, 29), tmp_path / "c") == [gate]
    coin = ("coin", "A", "take_back", 60)
    assert lines(book, 3, dt.date(2021, 11, 30), tmp_path / "d") == [coin, gate]


def test_an_account_without_an_enrollment_is_taken_back_from_at_once_and_has_no_limit(
    tmp_path: Path,
) -> None:
    book = book_of({"coin": AT_ONCE}, {("coin", "A"): "P1", ("coin", "B"): "P1"})
    award(book, ("coin", "A"), 100)
    award(book, ("coin", "B"), 100)
    answer(book, 2, pay(book, 1), "done")
    # A's enrollment was taken out by a merge, B's by a void.
    book.view.enrolled[("coin", "A")] = ("P1", False)
    del book.view.enrolled[("coin", "B")]
    award(book, ("coin", "A"), -100, kind="purchase_void", transaction="T0")
    award(book, ("coin", "B"), -100, kind="purchase_void", transaction="T1")
    assert lines(book, 3, DAY_OF, tmp_path / "a") == [
        ("coin", "A", "take_back", 100),
        ("coin", "B", "take_back", 100),
    ]
    # Whoever stays is paid no more than is left of what A's account has too much.
    book.view.enrolled[("coin", "C")] = ("P1", True)
    award(book, ("coin", "C"), 130)
    assert lines(book, 3, DAY_OF, tmp_path / "b")[2:] == [("coin", "C", "pay", 30)]


def test_a_number_that_is_enrolled_itself_and_replaced_another_may_be_its_own_newest(
    tmp_path: Path,
) -> None:
    at = dt.datetime(2020, 9, 10)
    book = book_of({"coin": AT_ONCE}, {("coin", "N"): "P1"})
    # N goes on with X, which nobody has any more, and was enrolled itself; M goes on with N.
    book.view.replacements += [("coin", "X", "N", at), ("coin", "N", "M", at - DAY)]
    award(book, ("coin", "N"), 100)
    [row] = engine_lines(book, "000001", DAY_OF, None, None)
    assert (row["account_id"], row["enrolled_account_id"]) == ("N", "N")
    assert lines(book, 1, DAY_OF, tmp_path / "a") == [("coin", "N", "pay", 100)]


def test_what_was_booked_after_the_day_counts_as_awarded_and_neither_as_due_nor_as_reached(
    tmp_path: Path,
) -> None:
    reaching = {"when": "on_reaching", "yen": 1000, "months": 0, "day": 1} | {
        "rest_on": dt.date(2021, 9, 30)
    }
    book = book_of({"coin": AT_ONCE, "gate": reaching}, {("coin", "A"): "P1", ("gate", "B"): "P2"})
    later = DAY_OF + 5 * DAY
    award(book, ("coin", "A"), 100)
    award(book, ("gate", "B"), 100, net_amount=400)
    award(book, ("coin", "A"), -70, kind="refund", original="T0", booked_on=later)
    award(book, ("gate", "B"), 150, net_amount=600, booked_on=later)
    # The refund is known: what is paid on an earlier day is no more than is awarded now.
    assert lines(book, 1, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 30)]
    assert lines(book, 1, later, tmp_path / "b") == [
        ("coin", "A", "pay", 30),
        ("gate", "B", "pay", 250),
    ]


def test_a_refund_has_the_day_of_the_booking_that_it_takes_back(tmp_path: Path) -> None:
    book = book_of({"coin": {"when": "days_after", "days": 30}}, {("coin", "A"): "P1"})
    may, june, july = dt.date(2020, 5, 1), dt.date(2020, 6, 1), dt.date(2020, 7, 1)
    book_it = partial(award, book, ("coin", "A"), booked_on=july)
    book_it(100, day=may, transaction="T")
    book_it(-40, day=june, kind="refund", original="T", transaction="R")
    book_it(40, day=june, kind="refund_void", original="T", transaction="R")
    book_it(-100, day=may, kind="purchase_void", transaction="T")
    book_it(100, day=july, transaction="T")
    book_it(-40, day=june, kind="refund", original="T", transaction="R")
    book_it(7, day=may, transaction="U")
    assert lines(book, 1, july, tmp_path / "a") == [("coin", "A", "pay", 7)]
    assert lines(book, 1, dt.date(2020, 7, 31), tmp_path / "b") == [("coin", "A", "pay", 67)]


def test_a_refund_takes_back_its_own_persons_booking(tmp_path: Path) -> None:
    accounts: dict[tuple[str, str], str | None] = {("coin", "A"): "P1", ("coin", "B"): "P2"}
    book = book_of({"coin": {"when": "days_after", "days": 30}, "gate": LATE}, accounts)
    book.view.enrolled["gate", "B"] = ("P2", True)
    may, june, july = dt.date(2020, 5, 1), dt.date(2020, 6, 1), dt.date(2020, 7, 1)
    here = partial(award, book, ("coin", "A"), booked_on=july)
    there = partial(award, book, ("coin", "B"), booked_on=july)
    # The transaction was P1's, of May; it is P2's now, of July.
    here(7, day=may, transaction="U")
    here(100, day=may, transaction="T")
    here(-100, day=may, kind="purchase_void", transaction="T")
    there(100, day=july, transaction="T")
    there(9, day=may, transaction="V")
    # And another service's of the same ID, of May.
    award(book, ("gate", "B"), 1, day=may, booked_on=july, transaction="T")
    there(-40, day=june, kind="refund", original="T", transaction="R")
    first, second = ("coin", "A", "pay", 7), ("coin", "B", "pay", 9)
    assert lines(book, 1, july, tmp_path / "a") == [first, second]
    assert lines(book, 1, dt.date(2020, 7, 31), tmp_path / "b") == [
        first,
        ("coin", "B", "pay", 69),
    ]


def test_the_limit_counts_what_is_on_its_way_and_what_is_not_yet_due(tmp_path: Path) -> None:
    accounts = [("coin", "A"), ("coin", "B"), ("gate", "C")]
    book = book_of(
        {"coin": AT_ONCE | {"take_back_from": DAY_OF}, "gate": LATE}, dict.fromkeys(accounts, "P1")
    )
    award(book, ("coin", "B"), 100, transaction="B")
    pay(book, 1)
    award(book, ("coin", "B"), -70, kind="refund", original="B", transaction="R")
    award(book, ("coin", "A"), 90)
    # 100 are on their way to B, which has 30 awarded: of A's 90, 20 are left.
    assert lines(book, 2, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 20)]
    award(book, ("gate", "C"), 30)
    assert lines(book, 2, DAY_OF, tmp_path / "b") == [("coin", "A", "pay", 50)]
    # What is being taken back gives no room until it is taken.
    answer(book, 2, [row for row in book.payouts if row["entry"] == "instructed"], "done")
    pay(book, 3)
    assert book.bridge(DAY_OF)["coin"]["unanswered"] == 50 - 70
    award(book, ("coin", "A"), 1)
    assert lines(book, 4, DAY_OF, tmp_path / "c") == [("coin", "A", "pay", 1)]


def test_accounts_without_a_person_have_no_limit_among_them(tmp_path: Path) -> None:
    book = book_of({"coin": AT_ONCE}, {})
    award(book, ("coin", "A"), 100, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -100, kind="purchase_void", transaction="T")
    award(book, ("coin", "B"), 40)
    assert lines(book, 3, DAY_OF, tmp_path / "a") == [
        ("coin", "A", "take_back", 100),
        ("coin", "B", "pay", 40),
    ]
    pay(book, 3)
    award(book, ("coin", "A"), 30)
    # A's 100 are there as long as they have not been taken back.
    assert lines(book, 4, DAY_OF, tmp_path / "b") == []


def test_services_that_are_not_asked_for_are_neither_paid_nor_taken_back_from(
    tmp_path: Path,
) -> None:
    accounts = [("coin", "A"), ("coin", "B"), ("gate", "C")]
    schedule = AT_ONCE | {"take_back_from": DAY_OF}
    book = book_of({"coin": schedule, "gate": schedule}, dict.fromkeys(accounts, "P1"))
    award(book, ("coin", "A"), 100, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -60, kind="refund", original="T", transaction="R")
    award(book, ("coin", "B"), 70)
    award(book, ("gate", "C"), 10)
    # 20 are left to the person; B would come first.
    agrees(book, 3, DAY_OF, ["gate"], tmp_path / "a")
    [line] = engine_lines(book, "000003", DAY_OF, ["gate"], None)
    assert (line["service_id"], line["points"]) == ("gate", 10)


def test_a_stop_withholds_at_the_end_of_the_day_or_of_the_last_bookings(tmp_path: Path) -> None:
    book = book_of({"coin": AT_ONCE}, {("coin", "A"): "P1"})
    award(book, ("coin", "A"), 100)
    midnight = dt.datetime.combine(DAY_OF + DAY, dt.time())
    stops = book.view.stops
    stops.append(("coin", "A", midnight, True))
    assert lines(book, 1, DAY_OF, tmp_path / "a") == [("coin", "A", "pay", 100)]
    assert lines(book, 1, DAY_OF + DAY, tmp_path / "b") == []
    stops[0] = ("coin", "A", midnight - dt.timedelta(microseconds=1), True)
    assert lines(book, 1, DAY_OF - DAY, tmp_path / "c") == []
    assert book.bridge(DAY_OF)["coin"]["withheld"] == 100


def test_the_newest_number_is_effective_by_then_the_last_accepted_of_equal_ones(
    tmp_path: Path,
) -> None:
    at = dt.datetime(2020, 9, 10)
    book = book_of({"coin": AT_ONCE}, {("coin", "A"): "P1", ("coin", "N"): "P2"})
    # N's enrollment was taken out by a merge: it goes on with A.
    book.view.enrolled["coin", "N"] = ("P1", False)
    for number, instant in (("B", at), ("N", at), ("F", dt.datetime(2020, 10, 2))):
        book.view.replacements.append(("coin", "A", number, instant))
    award(book, ("coin", "A"), 100)
    [row] = pay(book, 1)
    assert row["account_id"] == "N"
    assert lines(book, 2, DAY_OF, tmp_path / "a") == []
    # Refused for good at N, held until F is effective.
    answer(book, 2, [row], "refused", "closed")
    assert lines(book, 3, DAY_OF, tmp_path / "b") == []
    assert lines(book, 3, DAY_OF + DAY, tmp_path / "c") == [("coin", "A", "pay", 100)]
    # N is somebody else's: what was paid to it counts there.
    answer(book, 3, [row], "done", answered_on=DAY_OF + DAY)
    book.view.enrolled["coin", "N"] = ("P3", True)
    assert lines(book, 4, DAY_OF, tmp_path / "d") == [("coin", "A", "pay", 100)]


def test_points_are_due_by_the_later_of_their_day_and_the_day_of_reaching(tmp_path: Path) -> None:
    reaching = {"when": "on_reaching", "yen": 1000, "months": 1, "day": "last"}
    reaching["rest_on"] = dt.date(2021, 4, 10)
    book = book_of({"coin": reaching}, {("coin", "A"): "P1"})
    for day, points_of_it in (
        (dt.date(2020, 9, 3), 100),
        (dt.date(2020, 11, 3), 150),
        (dt.date(2021, 1, 31), 50),
        (dt.date(2021, 3, 1), 7),
    ):
        award(book, ("coin", "A"), points_of_it, day=day)
    for number, (on, total) in enumerate(
        (
            (dt.date(2020, 12, 30), 0),
            (dt.date(2020, 12, 31), 250),
            (dt.date(2021, 2, 27), 250),
            (dt.date(2021, 2, 28), 300),
            (dt.date(2021, 4, 9), 300),
            (dt.date(2021, 4, 10), 307),
        )
    ):
        paid = [("coin", "A", "pay", total)] if total else []
        assert lines(book, 1, on, tmp_path / str(number)) == paid, on


def test_the_cut_day_is_of_the_month_before_and_nothing_is_due_before_it_is_booked(
    tmp_path: Path,
) -> None:
    schedule = {"when": "month_day", "months": 1, "day": 10, "cut_day": 7}
    book = book_of({"coin": schedule}, {("coin", name): f"P-{name}" for name in "ABC"})
    seventh, tenth = dt.date(2020, 8, 7), dt.date(2020, 8, 10)
    award(book, ("coin", "A"), 10, day=seventh, booked_on=seventh)
    award(book, ("coin", "B"), 20, day=seventh + DAY, booked_on=seventh + DAY)
    award(book, ("coin", "C"), 30, day=seventh, booked_on=tenth + DAY)
    # No points: its day says nothing of when points were due.
    award(book, ("coin", "A"), 0, day=seventh, booked_on=tenth + DAY)
    assert lines(book, 1, tenth, tmp_path / "a") == [("coin", "A", "pay", 10)]
    assert book.instruct("000001", tenth + DAY)[0]["due_on"] == tenth
    assert len(lines(book, 1, tenth + DAY, tmp_path / "b")) == 2
    assert len(lines(book, 1, dt.date(2020, 9, 10), tmp_path / "c")) == 3


def test_what_was_paid_ahead_is_not_yet_due_once_only(tmp_path: Path) -> None:
    book = book_of({"coin": {"when": "days_after", "days": 30}}, {("coin", "A"): "P1"})
    early = DAY_OF - 30 * DAY
    award(book, ("coin", "A"), 100, day=early, transaction="T")
    answer(book, 2, pay(book, 1), "done")
    award(book, ("coin", "A"), -60, day=early, kind="refund", original="T", transaction="R")
    award(book, ("coin", "A"), 80, day=DAY_OF)
    assert lines(book, 3, DAY_OF, tmp_path / "a") == []
    terms = book.bridge(DAY_OF)["coin"]
    assert (terms["granted"], terms["not_yet_due"], terms["debt"]) == (100, 20, 0)

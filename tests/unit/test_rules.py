"""The rules: their order is as specified, none of their parameters is dead, the cases hold."""

import csv
import dataclasses
import datetime as dt
import io
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from deliveries import CASES, SERVICES_OF_CASES, Desk, as_csv, enrollment, transaction

from engine.errors import InputError
from engine.rules import application, refunds, spending
from engine.terms.programme import Programme, Terms, load_programme
from engine.terms.services import Service, load_services

# The specification's tables, top to bottom.
REJECTED_FOR = (
    "unknown_service",
    "basis_not_chosen",
    "card_applied_late",
    "applied_late",
    "service_closed_to_applications",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
    "voided",
    "account_taken",
    "already_enrolled",
)
DECLINED_FOR = (
    "duplicate",
    "voided",
    "unknown_service",
    "not_enrolled",
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
    "before_window",
    "after_window",
    "before_application",
    "enrollment_stopped",
    "service_closed",
    "not_the_basis",
    "excluded_method",
)
# Reasons that only an event gives.
BY_EVENTS = {"voided", "enrollment_stopped"}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# --- The order of reasons -------------------------------------------------------------------------


def test_the_rules_stand_in_the_specifications_order() -> None:
    terms, services = load_programme("mynapoint-2020").terms[-1], load_services(None)
    for_applications = [rule.reason for rule in application.rules_for_applications(terms)]
    for_refunds = [rule.reason for rule in refunds.rules_for_refunds()]
    for_spending = [rule.reason for rule in spending.rules_for_spending(terms, services)]
    in_turn = [application.VOIDED, application.ACCOUNT_TAKEN, application.ALREADY_ENROLLED]
    unenrolled = [
        spending.DUPLICATE,
        spending.VOIDED,
        spending.UNKNOWN_SERVICE,
        spending.NOT_ENROLLED,
    ]
    overrun = [refunds.REFUND_EXCEEDS_ORIGINAL]
    assert tuple(for_applications + in_turn) == REJECTED_FOR
    assert tuple(unenrolled + for_refunds + overrun + for_spending) == DECLINED_FOR


STRICT = """\
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"

[[services]]
service_id = "pick"
name = "as strict as can be"
basis = "either"
preregistration = true
applications_close_on = 2020-12-31
"""
# What is wrong with an application, and then, one after the other, what is put right.
ALL_WRONG = {
    "service_id": "gone",
    "applied_at": "2021-10-01 12:00:00",
    "card_applied_on": "2021-05-01",
    "reserved_at": "2021-12-01 00:00:00",
    "certificate_issued_at": "2021-12-01 00:00:00",
}
PUT_RIGHT = (
    {"service_id": "pick"},
    {"basis": "charge"},
    {"card_applied_on": "2021-04-30"},
    {"applied_at": "2021-09-30 23:59:59.999999"},
    {"applied_at": "2020-12-31 23:59:59.999999"},
    {"reserved_at": "2020-12-31 12:00:00"},
    {"certificate_issued_at": "2020-12-30 12:00:00"},
    {"preregistered_on": "2020-12-31"},
    {"account_id": "free"},
    {"person_id": "new"},
)


def test_an_application_is_rejected_for_the_first_reason_that_holds(desk: Desk) -> None:
    """Of each two neighbours, the earlier is given while both hold, the later when it is mended."""
    good = {
        "applied_at": "2020-09-01 09:00:00",
        "basis": "charge",
        "preregistered_on": "2020-08-31",
    }
    before = [enrollment(n) for n in range(11)]
    before += [
        enrollment(100 + n, service_id="pick", account_id=f"taken{n}", **good) for n in range(11)
    ]
    changes = dict(ALL_WRONG)
    after = []
    for number, better in enumerate([{}, *PUT_RIGHT]):
        changes |= better
        applied = enrollment(number, **({"account_id": f"taken{number}"} | changes))
        for name in ("account_id", "person_id"):
            if changes.get(name):
                applied[name] = f"{changes[name]}{number}"
        after.append(applied)
    services = desk.write("strict.toml", STRICT)
    first, second = desk.write("1.csv", as_csv(before)), desk.write("2.csv", as_csv(after))
    counts = desk.run(services=services, enrollments=[first]).record.counts
    assert counts.enrollments.accepted == len(before)
    desk.run(services=services, enrollments=[second])
    reasons = dict(desk.table("rejected_enrollments", 2).select("person_id", "reason").iter_rows())
    expected = [reason for reason in REJECTED_FOR if reason not in BY_EVENTS]
    assert [reasons.get(applied["person_id"]) for applied in after] == [*expected, None]
    assert desk.table("accepted_enrollments", 2)["person_id"].to_list() == ["new10"]


def test_a_transaction_is_declined_for_the_first_reason_that_holds(desk: Desk) -> None:
    services = """\
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"
awards_close_on = 2020-12-31
excluded_methods = ["gift"]
"""
    late = enrollment(2, applied_at="2021-01-10 09:00:00")
    people = desk.write("people.csv", as_csv([enrollment(1), enrollment(3), late]))
    bad = {"kind": "charge", "method": "gift"}
    rows = {
        "unknown_service": [bad | {"service_id": "gone", "account_id": "A9"}],
        "not_enrolled": [
            bad | {"account_id": "A9", "occurred_at": "2020-08-31 23:59:59"},
            {"kind": "refund", "account_id": "A9", "original_transaction_id": "none"},
        ],
        "before_window": [bad | {"account_id": "A2", "occurred_at": "2020-08-31 23:59:59.999999"}],
        "after_window": [bad | {"occurred_at": "2021-10-01 00:00:00"}],
        "before_application": [bad | {"account_id": "A2", "occurred_at": "2021-01-10 08:59:59.9"}],
        "service_closed": [bad | {"occurred_at": "2021-01-01 00:00:00"}],
        "not_the_basis": [bad],
        "excluded_method": [{"method": "gift"}],
        "original_not_booked": [
            {"original_transaction_id": "none", "occurred_at": "2020-08-01 00:00:00"},
            {"original_transaction_id": "declined", "amount": "900"},
            {"original_transaction_id": "refund", "amount": "1"},
            {"original_transaction_id": "none", "occurred_at": "2022-01-01 00:00:00"} | bad,
        ],
        "refund_account_differs": [
            {"account_id": "A3", "occurred_at": "2020-09-01 10:00:00", "amount": "900"}
        ],
        "refund_before_original": [
            {"occurred_at": "2020-09-05 09:59:59.999999", "amount": "900"},
        ],
        "refund_exceeds_original": [
            {"amount": "1", "occurred_at": "2022-01-01 00:00:00"},
            {"amount": "51", "occurred_at": "2022-01-01 00:00:00", "method": "gift"},
        ],
    }
    refund = {"kind": "refund", "original_transaction_id": "booked"}
    delivered = [
        transaction(0, transaction_id="booked"),
        transaction(0, transaction_id="declined", method="gift"),
        transaction(0, transaction_id="refund", amount="50", **refund),
        # A refund shares its original's eligibility, whenever and however it is paid, and takes
        # what is left of it.
        transaction(0, transaction_id="late", amount="5000", occurred_at="2021-12-31 00:00:00")
        | {**refund, "method": "gift"},
    ]
    expected = {"declined": "excluded_method"}
    for reason, several in rows.items():
        for number, changes in enumerate(several):
            key = f"{reason}-{number}"
            base = refund if "original" in reason or reason.startswith("refund") else {}
            kind = {"kind": "refund"} if base else {}
            delivered.append(transaction(0, **(base | changes | kind), transaction_id=key))
            expected[key] = reason
    repeated = [row for row in delivered if row["transaction_id"].endswith("-0")]
    path = desk.transactions([*delivered, *repeated])
    result = desk.run(path, services=desk.write("s.toml", services), enrollments=[people])
    assert desk.booked() == ["booked", "late", "refund"]
    declined = desk.table("declined").select("transaction_id", "reason").rows()
    twice = [(row["transaction_id"], "duplicate") for row in repeated]
    assert sorted(declined) == sorted([*expected.items(), *twice])
    assert set(result.record.counts.declined) == set(DECLINED_FOR) - BY_EVENTS


# --- No parameter is dead -------------------------------------------------------------------------

PROGRAMME: dict[str, Any] = {
    "rate.numerator": 25,
    "rate.denominator": 100,
    "cap.spending_yen": 20_000,
    "first.announced_on": dt.date(2020, 7, 1),
    "first.window_first": dt.date(2020, 9, 1),
    "first.window_last": dt.date(2020, 9, 20),
    "first.applications_last": dt.date(2020, 9, 20),
    "first.card_applications_last": dt.date(2020, 9, 20),
    "last.announced_on": dt.date(2021, 3, 25),
    "last.window_first": dt.date(2020, 9, 1),
    "last.window_last": dt.date(2021, 9, 30),
    "last.applications_last": dt.date(2021, 9, 28),
    "last.card_applications_last": dt.date(2021, 4, 30),
}
SERVICE: dict[str, Any] = {
    "name": "Coin",
    "basis": "purchase",
    "rounding": "cumulative",
    "counts_from": "instant",
    "preregistration": False,
    "applications_close_on": dt.date(2021, 9, 28),
    "awards_close_on": dt.date(2021, 9, 30),
    "excluded_methods": ["points"],
}
MOVED: list[tuple[str, Any]] = [
    ("rate.numerator", 24),
    ("rate.denominator", 101),
    ("cap.spending_yen", 19_999),
    ("last.announced_on", dt.date(2021, 3, 27)),
    ("last.window_first", dt.date(2020, 9, 2)),
    ("last.window_last", dt.date(2021, 9, 29)),
    ("last.applications_last", dt.date(2021, 9, 27)),
    ("last.card_applications_last", dt.date(2021, 4, 29)),
    ("basis", "charge"),
    ("basis", "either"),
    ("rounding", "month"),
    ("rounding", "transaction"),
    ("counts_from", "application_day"),
    ("counts_from", "next_day"),
    ("preregistration", True),
    ("applications_close_on", dt.date(2021, 9, 27)),
    ("awards_close_on", dt.date(2021, 9, 29)),
    ("excluded_methods", []),
    ("excluded_methods", ["points", "gift"]),
]


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, str | int | list) else value.isoformat()


def services_text(values: dict[str, Any]) -> str:
    lines = [f"{key} = {toml(value)}" for key, value in values.items() if key in SERVICE]
    return "\n".join(["[[services]]", 'service_id = "coin"', *lines, ""])


def programme_text(values: dict[str, Any]) -> str:
    text = 'programme_id = "p"\nname = "p"\n'
    for section, header in (
        ("rate", "[rate]"),
        ("cap", "[cap]"),
        ("first", "[[terms]]"),
        ("last", "[[terms]]"),
    ):
        lines = [
            f"{key.split('.')[1]} = {toml(value)}"
            for key, value in values.items()
            if key.startswith(f"{section}.")
        ]
        text += "\n".join([header, *lines, 'source = "invented"', ""])
    return text


def booked_by(desk: Desk, **moved: Any) -> dict[str, list[Any]]:
    """The same delivery, booked by a programme and a service with some values moved."""
    values = PROGRAMME | SERVICE | moved
    people = [
        enrollment(1, applied_at="2020-09-01 12:00:00"),
        enrollment(2, card_applied_on="2021-04-30", basis="charge"),
        enrollment(3, applied_at="2021-09-28 09:00:00", preregistered_on="2021-09-28"),
    ]
    rows = [
        transaction(1, occurred_at="2020-09-01 11:59:59", amount="10"),
        transaction(2, occurred_at="2020-09-01 12:00:00", amount="999"),
        transaction(3, occurred_at="2020-10-01 00:00:00", amount="999"),
        transaction(4, occurred_at="2020-10-02 00:00:00", amount="999"),
        transaction(5, occurred_at="2020-10-03 00:00:00", amount="30000"),
        transaction(6, account_id="A2", kind="charge"),
        transaction(7, account_id="A2", method="gift"),
        transaction(8, account_id="A2", method="points"),
        transaction(9, account_id="A3", occurred_at="2021-09-30 23:59:59"),
    ]
    desk.run(
        desk.transactions(rows),
        services=desk.write("s.toml", services_text(values)),
        programme=desk.write("p.toml", programme_text(values)),
        terms_as_of=dt.date(2021, 3, 26),
        enrollments=[desk.write("people.csv", as_csv(people))],
    )
    return desk.outcome()


@pytest.fixture(scope="module")
def unmoved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    return booked_by(Desk(tmp_path_factory.mktemp("unmoved")))


@pytest.mark.parametrize(("name", "value"), MOVED)
def test_what_is_booked_changes_with_each_parameter(
    desk: Desk, name: str, value: Any, unmoved: dict[str, list[Any]]
) -> None:
    assert (PROGRAMME | SERVICE)[name] != value
    assert booked_by(desk, **{name: value}) != unmoved


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Münze"),
        ("first.window_first", dt.date(2020, 9, 2)),
        ("last.announced_on", dt.date(2021, 3, 26)),
        ("last.window_last", dt.date(2021, 10, 1)),
        ("last.applications_last", dt.date(2021, 9, 29)),
        ("applications_close_on", dt.date(2021, 9, 29)),
    ],
)
def test_nothing_changes_with_what_does_not_bear_on_these_rows(
    desk: Desk, name: str, value: Any, unmoved: dict[str, list[Any]]
) -> None:
    """So a difference above comes from the parameter, and from nothing else."""
    assert booked_by(desk, **{name: value}) == unmoved


def test_every_parameter_that_there_is_was_moved() -> None:
    moved = {name.split(".")[-1] for name, _ in MOVED}
    no_rules = {"programme_id", "service_id", "registered_number", "name", "terms"}
    no_rules |= {"source", "sources", "text", "sha256"}
    # Tests of their own: what waits, payouts, and what a run's summary names.
    no_rules |= {"reconsider_days", "payout", "lapse_rate", "earning_methods"}
    there = {
        field.name.removeprefix("rate_").replace("cap_yen", "spending_yen")
        for record in (Programme, Terms, Service)
        for field in dataclasses.fields(record)
    }
    assert there - no_rules == moved


# --- The conformance cases ------------------------------------------------------------------------

COLUMNS = {
    "ledger": "person_id,entry_seq,transaction_id,counted_amount,points,net_spend_after,"
    "points_after",
    "declined": "service_id,transaction_id,reason",
    "quarantine": "file,row,errors",
    "rejected_enrollments": "person_id,service_id,account_id,reason",
    "rejected_events": "event_id,reason",
}


def shown(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(sorted(value)) if isinstance(value, list) else str(value)


@pytest.mark.parametrize("case", CASES)
def test_the_engine_books_the_case_as_expected(desk: Desk, case: str) -> None:
    spec = tomllib.loads(CASES[case].read_text(encoding="utf-8"))
    booked_runs = 0
    for number, night in enumerate(spec["nights"], 1):
        paths = {
            role: [desk.write(f"{number}/{role}", night[role])] if role in night else []
            for role in ("enrollments", "transactions", "events")
        }
        terms = {
            name: desk.write(f"{number}/{name}.toml", night[name])
            for name in ("services", "programme")
            if name in night
        }
        if number == 1:
            terms = {"services": SERVICES_OF_CASES} | terms
        order = partial(
            desk.run,
            *paths["transactions"],
            enrollments=paths["enrollments"],
            events=paths["events"],
            booked_on=night["booked_on"],
            **({"services": None} | terms),
        )
        if night.get("exit"):
            with pytest.raises(InputError):
                order()
            continue
        booked_runs += 1
        order()
        for table, by_default in COLUMNS.items():
            if table == "ledger":
                frame = desk.ledger().filter(run_id=f"{booked_runs:06}")
            else:
                frame = desk.table(table, booked_runs)
            text = night.get("expected", {}).get(table, by_default).strip()
            expected = list(csv.reader(io.StringIO(text)))
            booked = [
                [shown(value).removeprefix(f"{desk.folder}/{number}/") for value in row]
                for row in frame.select(expected[0]).rows()
            ]
            assert sorted(booked) == sorted(expected[1:]), (number, table)

"""Each rule on its own, on both sides of each of its bounds."""

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.rules import Rule, application, award, first_reason, periods, reasons_against, refunds
from engine.rules import spending as spending_rules
from engine.rules.application import Application, stand_together
from engine.rules.clauses import clause_of
from engine.terms.programme import load_programme
from engine.terms.services import Services, load_services

PROGRAMME = load_programme("mynapoint-2020")
TERMS = dataclasses.replace(
    PROGRAMME.terms[-1],
    window_first=dt.date(2020, 9, 1),
    window_last=dt.date(2021, 9, 30),
    applications_last=dt.date(2021, 9, 28),
    card_applications_last=dt.date(2021, 4, 30),
)
REGISTRY = load_services(None)
NOON = dt.datetime(2020, 10, 5, 12)
TICK = dt.timedelta(microseconds=1)
DAY = dt.timedelta(days=1)

KINDS: dict[str, Any] = {
    "at": pl.Datetime("us"),
    "on": pl.Date(),
    "no": pl.Int64(),
    "amount": pl.Int64(),
    "preregistration": pl.Boolean(),
    "stopped": pl.Boolean(),
}


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    kinds = {
        name: KINDS.get(name, KINDS.get(name.rpartition("_")[2], pl.String())) for name in rows[0]
    }
    return pl.DataFrame(list(rows), schema=kinds)


def holds(rule: Rule, **row: Any) -> bool | None:
    value: bool | None = frame(row).select(rule.holds).item()
    return value


# --- Applications ---------------------------------------------------------------------------------


def test_a_service_is_known_by_its_basis() -> None:
    assert holds(application.unknown_service(), service_basis=None)
    assert not holds(application.unknown_service(), service_basis="charge")


@pytest.mark.parametrize(
    ("service_basis", "basis", "expected"),
    [
        ("either", None, True),
        ("either", "charge", False),
        ("charge", None, False),
        ("purchase", None, False),
        ("zz", None, False),
    ],
)
def test_a_basis_is_chosen_where_the_service_leaves_it_open(
    service_basis: str, basis: str | None, *, expected: bool
) -> None:
    rule = application.basis_not_chosen()
    assert holds(rule, service_basis=service_basis, basis=basis) is expected


@pytest.mark.parametrize(
    ("reserved_at", "expected"),
    [(NOON - TICK, False), (NOON, False), (NOON + TICK, True), (None, None)],
)
def test_a_reservation_comes_at_the_instant_of_the_application_at_the_latest(
    reserved_at: dt.datetime | None, *, expected: bool | None
) -> None:
    rule = application.applied_before_reservation()
    assert holds(rule, reserved_at=reserved_at, applied_at=NOON) is expected


@pytest.mark.parametrize("reserved", [True, False])
@pytest.mark.parametrize(
    ("issued_at", "expected"),
    [
        (NOON - 2 * DAY, False),
        (NOON - DAY, False),
        (NOON - DAY + TICK, True),
        (NOON + DAY, True),
        (None, None),
    ],
)
def test_a_certificate_is_24_hours_old_at_the_first_step(
    issued_at: dt.datetime | None, *, reserved: bool, expected: bool | None
) -> None:
    row: dict[str, Any] = {"reserved_at": NOON, "applied_at": NOON + 2 * DAY}
    if not reserved:
        row = {"reserved_at": None, "applied_at": NOON}
    assert (
        holds(application.certificate_under_24h(), certificate_issued_at=issued_at, **row)
        is expected
    )


@pytest.mark.parametrize(
    ("asked", "registered_on", "expected"),
    [
        (True, NOON.date(), False),
        (True, NOON.date() - DAY, False),
        (True, NOON.date() + DAY, True),
        (True, None, True),
        (False, None, False),
        (False, NOON.date() + DAY, False),
        (None, None, None),
    ],
)
def test_registration_beforehand_is_asked_for_by_some_services_up_to_the_same_day(
    registered_on: dt.date | None, *, asked: bool | None, expected: bool | None
) -> None:
    row = {"preregistration": asked, "preregistered_on": registered_on, "applied_at": NOON}
    assert holds(application.not_preregistered(), **row) is expected


CLOSING = dataclasses.replace(REGISTRY.services[0], awards_close_on=NOON.date())
OPEN = dataclasses.replace(CLOSING, awards_close_on=None)
MIDNIGHT = dt.datetime(2020, 10, 6)
FIRST_OF_ALL: Application = (NOON - 9 * DAY, "a", "1", CLOSING)


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ((MIDNIGHT, "b", "2", OPEN), True),
        ((MIDNIGHT - TICK, "b", "2", OPEN), False),
        ((MIDNIGHT + 30 * DAY, "b", "2", None), True),
        ((NOON - 9 * DAY, "b", "2", OPEN), False),
    ],
)
def test_two_applications_stand_where_the_earlier_service_ended_the_day_before(
    later: Application, *, expected: bool
) -> None:
    assert stand_together(FIRST_OF_ALL, later) is expected
    assert stand_together(later, FIRST_OF_ALL) is expected


@pytest.mark.parametrize("service", [OPEN, None])
def test_a_service_that_does_not_end_or_is_gone_bars_all_later_ones(service: Any) -> None:
    assert not stand_together((NOON, "a", "1", service), (MIDNIGHT, "b", "2", CLOSING))


def test_of_one_instant_the_lesser_ids_are_the_earlier_application() -> None:
    long_ago = dataclasses.replace(CLOSING, awards_close_on=dt.date(2020, 1, 1))
    for lesser, greater in ((("a", "2"), ("b", "1")), (("a", "1"), ("a", "2"))):
        ended, going_on = (NOON, *lesser, long_ago), (NOON, *greater, OPEN)
        assert stand_together(ended, going_on)
        assert stand_together(going_on, ended)
        ended, going_on = (NOON, *greater, long_ago), (NOON, *lesser, OPEN)
        assert not stand_together(ended, going_on)
        assert not stand_together(going_on, ended)


# --- Days -----------------------------------------------------------------------------------------


def test_a_day_ends_where_the_next_begins_and_the_last_of_all_never() -> None:
    assert periods.start_of(dt.date(2020, 9, 30)) == dt.datetime(2020, 9, 30)
    assert periods.end_of(dt.date(2020, 9, 30)) == dt.datetime(2020, 10, 1)
    assert periods.end_of(dt.date(9999, 12, 31)) == dt.datetime.max
    assert periods.end_of(dt.date.max - DAY) == dt.datetime.combine(dt.date.max, dt.time())


@pytest.mark.parametrize(
    ("rule", "column", "last_that_is_good", "first_that_is_late"),
    [
        (periods.after_window(TERMS), "occurred_at", dt.datetime(2021, 10, 1) - TICK, None),
        (periods.applied_late(TERMS), "applied_at", dt.datetime(2021, 9, 29) - TICK, None),
        (
            periods.card_applied_late(TERMS),
            "card_applied_on",
            dt.date(2021, 4, 30),
            dt.date(2021, 5, 1),
        ),
    ],
)
def test_the_last_day_belongs_to_the_terms(
    rule: Rule, column: str, last_that_is_good: Any, first_that_is_late: Any
) -> None:
    assert holds(rule, **{column: last_that_is_good}) is False
    first = first_that_is_late or last_that_is_good + TICK
    for late in (first, first + 999 * DAY):
        assert holds(rule, **{column: late}) is True
    assert holds(rule, **{column: last_that_is_good - 999 * DAY}) is False


@pytest.mark.parametrize(
    ("rule", "column", "bound"),
    [
        (periods.service_closed(), "occurred_at", "awards_end_at"),
        (periods.service_closed_to_applications(), "applied_at", "applications_end_at"),
    ],
)
def test_what_ends_at_an_instant_is_closed_from_then_on(
    rule: Rule, column: str, bound: str
) -> None:
    for after, expected in ((-DAY, False), (-TICK, False), (0 * DAY, True), (DAY, True)):
        assert holds(rule, **{column: NOON + after, bound: NOON}) is expected


def test_spending_counts_from_the_first_instant_of_the_window_and_of_the_enrollment() -> None:
    first = dt.datetime(2020, 9, 1)
    for after, expected in ((-DAY, True), (-TICK, True), (0 * DAY, False), (DAY, False)):
        assert holds(periods.before_window(TERMS), occurred_at=first + after) is expected
        row = {"occurred_at": NOON + after, "counts_from_at": NOON}
        assert holds(periods.before_application(), **row) is expected


def test_a_stop_is_what_events_said() -> None:
    assert holds(periods.enrollment_stopped(), stopped=True) is True
    assert holds(periods.enrollment_stopped(), stopped=False) is False


@pytest.mark.parametrize(
    ("counts_from", "expected"),
    [
        ("instant", NOON),
        ("application_day", dt.datetime(2020, 10, 5)),
        ("next_day", dt.datetime(2020, 10, 6)),
    ],
)
def test_each_service_says_from_when_spending_counts(
    counts_from: str, expected: dt.datetime
) -> None:
    rows = frame({"applied_at": NOON, "counts_from": counts_from})
    assert rows.select(periods.counts_from_at()).item() == expected


# --- Spending and refunds -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "basis", "expected"),
    [
        ("charge", "charge", False),
        ("purchase", "purchase", False),
        ("charge", "purchase", True),
        ("purchase", "charge", True),
        ("charge", None, True),
    ],
)
def test_only_what_is_the_basis_counts(kind: str, basis: str | None, *, expected: bool) -> None:
    assert holds(spending_rules.not_the_basis(), kind=kind, basis=basis) is expected


@pytest.mark.parametrize(
    ("service_id", "method", "expected"),
    [
        ("m", "gift", True),
        ("m", "points", True),
        ("m", "cash", False),
        ("m", None, False),
        ("a", "gift", False),
        ("z", "cash", True),
        ("z", "gift", False),
        ("free", "gift", False),
        ("gone", "cash", False),
    ],
)
def test_a_method_is_excluded_by_its_own_service(
    service_id: str, method: str | None, *, expected: bool
) -> None:
    made = {"a": (), "free": (), "m": ("gift", "points"), "z": ("cash",)}
    services: Services = dataclasses.replace(
        REGISTRY,
        services=tuple(
            dataclasses.replace(REGISTRY.services[0], service_id=name, excluded_methods=excluded)
            for name, excluded in made.items()
        ),
    )
    rule = spending_rules.excluded_method(services)
    assert holds(rule, service_id=service_id, method=method) is expected


def test_a_refund_is_held_against_its_original() -> None:
    not_booked = refunds.original_not_booked()
    assert holds(not_booked, original_amount=None) is True
    assert holds(not_booked, original_amount=0) is False
    differs = refunds.refund_account_differs()
    for original, expected in ((6, True), (7, False), (8, True)):
        assert holds(differs, original_account_no=original, account_no=7) is expected
    before = refunds.refund_before_original()
    for after, expected in ((-TICK, True), (0 * DAY, False), (TICK, False)):
        row = {"occurred_at": NOON + after, "original_occurred_at": NOON}
        assert holds(before, **row) is expected


def test_a_refund_takes_what_is_left_back_and_never_less_than_nothing() -> None:
    amounts, before, left = (
        np.array(values, np.int64)
        for values in (
            [300, 300, 300, 300, 300, 1],
            [0, 700, 701, 1000, 1001, 0],
            [1000, 1000, 1000, 1000, 1000, 1],
        )
    )
    assert refunds.taken_back(amounts, before, left).tolist() == [300, 300, 299, 0, 0, 1]


# --- What it earns --------------------------------------------------------------------------------


def test_spending_counts_from_nothing_up_to_the_cap() -> None:
    net_yen = np.array([-20_001, -1, 0, 1, 19_999, 20_000, 20_001, 10**12], np.int64)
    counted = award.counted_spend(net_yen, PROGRAMME)
    assert counted.tolist() == [0, 0, 0, 1, 19_999, 20_000, 20_000, 20_000]
    assert counted.dtype == np.int64


def test_a_quarter_is_rounded_toward_minus_infinity() -> None:
    counted_yen = [-5, -4, -1, 0, 3, 4, 5, 19_999, 20_000]
    points = [-2, -1, -1, 0, 0, 1, 1, 4_999, 5_000]
    assert award.worth(np.array(counted_yen, np.int64), PROGRAMME).tolist() == points
    assert [award.worth(yen, PROGRAMME) for yen in counted_yen] == points
    third = dataclasses.replace(PROGRAMME, rate_numerator=2, rate_denominator=3)
    assert award.worth(10, third) == 6


# --- The first reason -----------------------------------------------------------------------------


def test_the_first_rule_that_holds_gives_the_reason_and_rows_without_one_are_left_out() -> None:
    rules = [
        Rule("first", pl.col("x") > 2),
        Rule("second", pl.col("x") > 1),
        Rule("third", pl.col("y").is_null()),
    ]
    rows = pl.DataFrame({"x": [0, 3, 2, None, 1], "y": [0, None, 0, None, 0]})
    places, reasons = reasons_against(rows, rules)
    assert places.tolist() == [1, 2, 3]
    assert places.dtype == np.int64
    assert reasons.to_list() == ["first", "second", "third"]
    every = rows.select(first_reason(rules)).to_series()
    assert every.to_list() == [None, "first", "second", "third", None]
    places, reasons = reasons_against(rows[:1], rules)
    assert places.tolist() == []
    assert reasons.to_list() == []


def test_a_rule_cannot_be_changed_once_it_is_made() -> None:
    rule = Rule("first", pl.lit(value=True))
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.reason = "other"  # type: ignore[misc]


# What quotes which clause: the first words of it, and the last.
CLAUSES = {
    "unknown_service": "対象となるキャッシュレス決済サービスは",
    "basis_not_chosen": "チャージ(前払い)又は物品の購入",
    "applied_before_reservation": "2. マイナポイントを予約する",
    "certificate_under_24h": "24時間経過しないと",
    "not_preregistered": "一部の決済サービスでは",
    "already_enrolled": "普段利用している決済サービス(1つ)を選択",
    "counted_spend": "付与の上限金額は5,000円",
    "worth": "付与率(プレミアム率)は",
    "before_window": "対象期間: 2020年9月1日",
    "after_window": "対象期間: 2020年9月1日",
    "before_application": "マイナポイントの申込前は対象外",
    "service_closed": "ポイント付与を終了する",
    "card_applied_late": "2021年4月末までに",
    "applied_late": "2021年9月末までに",
    "service_closed_to_applications": "申込受付…を終了する",
    "not_the_basis": "チャージ(前払い)又は物品の購入額",
    "not_enrolled": "決済サービス(1つ)を選択",
}


@pytest.mark.parametrize("reason", CLAUSES)
def test_a_rule_quotes_its_clause(reason: str) -> None:
    clause = clause_of(reason)
    assert clause is not None
    assert clause.startswith(CLAUSES[reason])


@pytest.mark.parametrize(
    "reason", ["enrollment_stopped", "excluded_method", "rules_for_spending", "stand_together"]
)
def test_what_the_notice_says_nothing_of_has_no_clause(reason: str) -> None:
    assert clause_of(reason) is None

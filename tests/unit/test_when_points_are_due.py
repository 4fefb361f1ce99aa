"""When points are due, and the terms of the bridge, on the days and sums at which they turn."""

import datetime as dt
from typing import Any

import polars as pl
import pytest

from engine.payouts.bridge import TERMS, bridged, by_service, coming, is_closed
from engine.payouts.lines import lines
from engine.payouts.schedule import due_on, with_day
from engine.terms.payout import Payout

ENTRY: dict[str, Any] = {
    "person_id": pl.String,
    "entry_seq": pl.Int64,
    "service_id": pl.String,
    "account_id": pl.String,
    "booked_on": pl.Date,
    "transaction_id": pl.String,
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String,
    "original_transaction_id": pl.String,
    "net_amount": pl.Int64,
    "points": pl.Int64,
}


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def entry(number: int, on: str, **changes: Any) -> dict[str, Any]:
    return {
        "person_id": "P",
        "entry_seq": number,
        "service_id": "coin",
        "account_id": "A",
        "booked_on": day("2020-01-01"),
        "transaction_id": f"T{number}",
        "occurred_at": dt.datetime.combine(day(on), dt.time(23, 59)),
        "kind": "purchase",
        "original_transaction_id": None,
        "net_amount": 100,
        "points": 25,
    } | changes


def entries(*rows: dict[str, Any]) -> pl.DataFrame:
    return with_day(pl.DataFrame(list(rows), schema=ENTRY)).sort("entry_seq")


def due(schedule: Payout, *rows: dict[str, Any], on: str = "2030-01-01") -> list[str]:
    return [str(found) for found in due_on(schedule, day(on), entries(*rows))]


MONTHS = {"when": "month_day", "months": 1}


@pytest.mark.parametrize(
    ("schedule", "paid_on", "expected"),
    [
        ({"when": "at_once"}, "2020-10-05", "2020-01-01"),
        ({"when": "days_after", "days": 30}, "2020-10-05", "2020-11-04"),
        ({"when": "days_after", "days": 0}, "2020-10-05", "2020-10-05"),
        (MONTHS | {"day": 10}, "2020-10-31", "2020-11-10"),
        (MONTHS | {"day": 1}, "2020-10-01", "2020-11-01"),
        (MONTHS | {"day": 31}, "2020-10-05", "2020-11-30"),
        (MONTHS | {"day": 30}, "2021-01-31", "2021-02-28"),
        ({"when": "month_day", "months": 0, "day": 31}, "2020-10-05", "2020-10-31"),
        ({"when": "month_day", "months": 3, "day": 5}, "2020-11-20", "2021-02-05"),
        (MONTHS | {"day": 10, "cut_day": 7}, "2020-10-06", "2020-10-10"),
        (MONTHS | {"day": 10, "cut_day": 7}, "2020-10-07", "2020-10-10"),
        (MONTHS | {"day": 10, "cut_day": 7}, "2020-10-08", "2020-11-10"),
        (MONTHS | {"day": 10, "cut_day": 1}, "2020-10-01", "2020-10-10"),
        ({"when": "month_day", "months": 4, "day": 5, "cut_day": 7}, "2020-11-07", "2021-02-05"),
    ],
)
def test_each_schedule_has_its_day(schedule: dict[str, Any], paid_on: str, expected: str) -> None:
    as_a_file_has_it = "".join([*schedule["when"]])  # equal to a word of the code, not the same
    found = due(Payout(**schedule | {"when": as_a_file_has_it}), entry(1, paid_on))
    assert found == [expected]


@pytest.mark.parametrize("booked_on", ["2020-11-09", "2020-11-10", "2020-11-11"])
def test_nothing_is_due_before_it_is_booked(booked_on: str) -> None:
    schedule = Payout(when="month_day", months=1, day=10)
    found = due(schedule, entry(1, "2020-10-05", booked_on=day(booked_on)))
    assert found == [max("2020-11-10", booked_on)]


REACHING = Payout(when="on_reaching", yen=200, months=2, day=25, rest_on=day("2021-04-30"))


def test_points_wait_until_the_spending_is_reached_or_for_the_rest() -> None:
    first, second, third = entry(1, "2020-10-05"), entry(2, "2020-11-06"), entry(3, "2020-12-07")
    assert due(REACHING, first) == ["2021-04-30"]
    assert due(REACHING, first | {"net_amount": 199}) == ["2021-04-30"]
    assert due(REACHING, first | {"net_amount": 200}) == ["2020-12-25"]
    assert due(REACHING, first, second) == ["2021-01-25", "2021-01-25"]
    assert due(REACHING, first | {"net_amount": 150}, second) == ["2021-01-25", "2021-01-25"]
    assert due(REACHING, first, second, third) == ["2021-01-25", "2021-01-25", "2021-02-25"]
    late = entry(4, "2021-03-01")
    assert due(REACHING, first, second, late)[-1] == "2021-04-30"
    same_day = [entry(1, "2020-10-05"), entry(2, "2020-10-05")]
    assert due(REACHING, *same_day) == ["2020-12-25"] * 2


def test_spending_counts_by_account_and_when_it_is_booked_by_the_day_asked_about() -> None:
    first = entry(1, "2020-10-05")
    other = entry(2, "2020-11-06", account_id="B")
    assert due(REACHING, first, other) == ["2021-04-30"] * 2
    later = entry(2, "2020-11-06", booked_on=day("2020-12-01"))
    assert due(REACHING, first, later, on="2020-11-30") == ["2021-04-30"] * 2
    assert due(REACHING, first, later, on="2020-12-01") == ["2021-01-25"] * 2


def test_what_a_refund_took_back_is_not_spent() -> None:
    first, second = entry(1, "2020-10-05"), entry(2, "2020-11-06")
    refund = entry(
        3, "2020-12-09", kind="refund", original_transaction_id="T1", net_amount=-1, points=-1
    )
    assert due(REACHING, first, second, refund) == ["2021-04-30"] * 3


def test_a_refund_has_the_day_of_the_booking_that_it_takes_back() -> None:
    booked = entry(1, "2020-10-05")
    void = entry(2, "2020-10-05", transaction_id="T1", kind="purchase_void")
    again = entry(3, "2020-10-06", transaction_id="T1")
    refund = entry(4, "2020-12-09", kind="refund", original_transaction_id="T1")
    before = entry(2, "2020-12-09", kind="refund", original_transaction_id="T1", transaction_id="R")
    alone = entry(5, "2020-12-10", kind="refund", original_transaction_id="gone")
    others = entry(6, "2020-12-11", kind="refund", original_transaction_id="T1", person_id="Q")
    found = entries(booked, void, again, refund, alone, others)["day"].to_list()
    assert [str(day) for day in found] == [
        *("2020-10-05", "2020-10-05", "2020-10-06", "2020-10-06", "2020-12-10", "2020-12-11")
    ]
    found = entries(booked, before, again | {"entry_seq": 9})["day"].to_list()
    assert [str(day) for day in found] == ["2020-10-05", "2020-10-05", "2020-10-06"]


# --- The bridge -----------------------------------------------------------------------------------

FIGURES = {"granted": 0, "taken_back": 0, "open_pay": 0, "open_take_back": 0, "closed": False}


def bridge(**figures: Any) -> dict[str, Any]:
    rows = bridged(pl.DataFrame([{"service_id": "coin"} | FIGURES | figures]))
    sums = by_service(rows)
    assert is_closed(sums)
    return {name: value for name, value in sums.select(TERMS).row(0, named=True).items() if value}


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"awarded": 10, "owed": 7, "pay": 7}, {"due": 7, "not_yet_due": 3}),
        ({"awarded": 10, "owed": 7, "pay": 2}, {"due": 2, "withheld": 5, "not_yet_due": 3}),
        ({"awarded": 10, "owed": 7, "pay": 0, "closed": True}, {"lapsed": 10}),
        (
            {"awarded": 10, "owed": 7, "pay": 1, "granted": 4, "taken_back": 1, "open_pay": 3},
            {
                "granted": 4,
                "taken_back": 1,
                "unanswered": 3,
                "due": 1,
                "not_yet_due": 3,
            },
        ),
        (
            {"awarded": 10, "owed": 10, "pay": 0, "granted": 14, "open_take_back": 3},
            {"granted": 14, "unanswered": -3, "debt": 1},
        ),
        (
            {"awarded": 2, "owed": 2, "pay": 0, "granted": 9, "taken_back": 3, "closed": True},
            {"granted": 9, "taken_back": 3, "debt": 4},
        ),
        ({"awarded": 5, "owed": 5, "pay": 0, "granted": 5}, {"granted": 5}),
    ],
)
def test_the_terms_of_the_bridge(figures: dict[str, Any], expected: dict[str, int]) -> None:
    assert bridge(**figures) == {"awarded": figures["awarded"]} | expected


def test_a_bridge_that_does_not_close_or_has_a_negative_term_is_found() -> None:
    sums = by_service(
        bridged(
            pl.DataFrame([{"service_id": "coin", "awarded": 10, "owed": 7, "pay": 2} | FIGURES])
        )
    )
    assert is_closed(sums)
    for name in TERMS:
        assert not is_closed(sums.with_columns(pl.col(name) + 1)), name
        assert not is_closed(sums.with_columns(pl.col(name) - 1)), name
    both = sums.with_columns(pl.col("due") - 3, pl.col("withheld") + 3)
    assert not is_closed(both)
    assert is_closed(sums.with_columns(pl.col("unanswered") - 3, pl.col("withheld") + 3))
    assert not is_closed(pl.concat([sums, both]))


def test_services_are_summed_each_on_its_own_in_order() -> None:
    rows = [
        {"service_id": s, "awarded": n, "owed": n, "pay": n} | FIGURES
        for s, n in (("b", 1), ("a", 2), ("b", 3))
    ]
    sums = by_service(bridged(pl.DataFrame(rows)))
    assert sums["service_id"].to_list() == ["a", "b"]
    assert sums["due"].to_list() == [2, 4]


def test_what_is_not_yet_due_is_cut_up_by_the_days_on_which_it_comes() -> None:
    dated = entries(
        entry(1, "2020-10-05", points=10),
        entry(2, "2020-11-06", points=20),
        entry(3, "2020-12-07", points=-5),
        entry(4, "2020-12-08", points=8),
        entry(5, "2020-12-08", points=7, account_id="B"),
        entry(6, "2020-12-08", points=9, account_id="C"),
    ).with_columns(due_on="day")
    figures = {"open_pay": 0, "open_take_back": 0, "taken_back": 0, "closed": False, "pay": 0}
    rows = bridged(
        pl.DataFrame(
            [
                {"account_id": "A", "awarded": 33, "granted": 12, "owed": 10} | figures,
                {"account_id": "B", "awarded": 7, "granted": 0, "owed": 0} | figures,
                {"account_id": "C", "awarded": 9, "granted": 9, "owed": 9} | figures,
            ]
        ).with_columns(service_id=pl.lit("coin"))
    )
    found = {str(on): points for _, on, points in coming(dated, rows).rows()}
    assert found == {"2020-10-05": 0, "2020-11-06": 18, "2020-12-07": -5, "2020-12-08": 8 + 7}


def test_what_comes_due_is_of_accounts_that_wait_by_service_and_day_in_order() -> None:
    gate = {"service_id": "gate", "account_id": "D"}
    dated = entries(
        entry(1, "2020-12-09", points=3, **gate),
        entry(2, "2020-11-01", points=6, **gate),
        entry(3, "2020-12-20", points=1, **gate),
        entry(4, "2020-11-20", points=-4, **gate),
        entry(5, "2020-11-02", points=1),
        # The last payout of this one has passed: what is left has lapsed.
        entry(6, "2020-11-03", points=5, account_id="B"),
    ).with_columns(due_on="day")
    figures = {"open_pay": 0, "open_take_back": 0, "taken_back": 0, "granted": 0, "owed": 0}
    rows = bridged(
        pl.DataFrame(
            [
                {"account_id": "A", "awarded": 1, "closed": False} | figures,
                {"account_id": "B", "awarded": 5, "closed": True} | figures,
                gate | {"awarded": 6, "closed": False} | figures,
            ]
        ).with_columns(pl.col("service_id").fill_null("coin"), pay=pl.lit(0))
    )
    assert [(service, str(on), points) for service, on, points in coming(dated, rows).rows()] == [
        ("coin", "2020-11-02", 1),
        ("gate", "2020-11-01", 6),
        ("gate", "2020-11-20", -4),
        ("gate", "2020-12-09", 3),
        ("gate", "2020-12-20", 1),
    ]


def test_a_single_point_is_paid_or_taken_back_and_none_is_no_line() -> None:
    account = {"service_id": "coin", "newest": "A", "due_on": None}
    sums = [{"pay": pay, "take_back": back} for pay, back in ((1, 0), (0, 1), (0, 0))]
    rows = [account | {"account_id": f"A{n}"} | of for n, of in enumerate(sums)]
    found = lines(pl.DataFrame(rows)).select("account_id", "direction", "points").rows()
    assert found == [("A0", "pay", 1), ("A1", "take_back", 1)]

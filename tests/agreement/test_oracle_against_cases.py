"""The oracle agrees with the conformance cases, and reads single values as specified."""

import csv
import io
import tomllib
from datetime import datetime
from functools import partial
from typing import Any

import oracle
import pytest
import worlds
from deliveries import CASES, SERVICES_OF_CASES

TABLES = ("ledger", "declined", "quarantine", "rejected_enrollments", "rejected_events")


# --- The conformance cases ------------------------------------------------------------------------


def expected_rows(
    night: dict[str, Any], table: str
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Give the columns that the expectation names, and its rows."""
    text = night.get("expected", {}).get(table, "")
    rows = [tuple(fields) for fields in csv.reader(io.StringIO(text.strip()))]
    return (rows[0], sorted(rows[1:])) if rows else ((), [])


def oracle_rows(night: oracle.Night, table: str, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    tables: dict[str, list[Any]] = {
        "ledger": list(night.ledger),
        "declined": list(night.declined),
        "quarantine": list(night.quarantine),
        "rejected_enrollments": list(night.rejected),
        "rejected_events": list(night.rejected_events),
    }
    return sorted(
        tuple(as_text(getattr(row, column)) for column in columns) for row in tables[table]
    )


def as_text(value: Any) -> str:
    if value is None:
        return ""
    return " ".join(value) if isinstance(value, tuple) else str(value)


@pytest.mark.parametrize("case", CASES)
def test_the_oracle_books_the_case_as_expected(case: str) -> None:
    spec = tomllib.loads(CASES[case].read_text(encoding="utf-8"))
    services = oracle.read_services(SERVICES_OF_CASES.read_text(encoding="utf-8"))
    programme = oracle.MYNAPOINT_2020
    book = oracle.Book()
    for number, night in enumerate(spec["nights"], 1):
        night_services, night_programme = services, programme
        if "services" in night:
            night_services = oracle.read_services(night["services"])
        if "programme" in night:
            night_programme = oracle.read_programme(night["programme"])
        deliveries = {
            role: [(role, night[role])] if role in night else []
            for role in ("events", "enrollments", "transactions")
        }

        book_night = partial(
            oracle.run,
            book,
            booked_on=night["booked_on"],
            services=night_services,
            programme=night_programme,
            events=deliveries["events"],
            enrollments=deliveries["enrollments"],
            transactions=deliveries["transactions"],
        )
        if night.get("exit", 0) != 0:
            with pytest.raises(oracle.UnusableError):
                book_night()
            continue
        result = book_night()
        services, programme = night_services, night_programme
        for table in TABLES:
            columns, rows = expected_rows(night, table)
            assert oracle_rows(result, table, columns) == rows, (number, table)
        assert_that_the_counts_add_up(result)


def assert_that_the_counts_add_up(night: oracle.Night) -> None:
    for split in (night.counts, night.yen):
        declined = sum(split.declined.values())
        assert split.read + split.reconsidered == split.booked + declined + split.quarantined
    for counts in (night.enrollment_counts, night.event_counts):
        rejected = sum(counts.rejected.values())
        assert counts.read + counts.reconsidered == (
            counts.accepted + counts.unchanged + rejected + counts.quarantined
        )


# --- Single values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-09-05 10:00:00", datetime(2020, 9, 5, 10)),
        ("2020-09-05T10:00:00.5", datetime(2020, 9, 5, 10, 0, 0, 500_000)),
        ("2020-09-05 10:00:00.000001", datetime(2020, 9, 5, 10, 0, 0, 1)),
        ("2020-09-05T01:00:00Z", datetime(2020, 9, 5, 10)),
        ("2020-09-05 10:00:00+09:00", datetime(2020, 9, 5, 10)),
        ("2020-09-05 00:59:00-00:01", datetime(2020, 9, 5, 10)),
        ("9999-12-31 23:59:59+23:59", datetime(9999, 12, 31, 9, 0, 59)),
        ("0001-01-01 00:00:00Z", datetime(1, 1, 1, 9)),
    ],
)
def test_a_time_is_read_as_japans(text: str, expected: datetime) -> None:
    assert oracle.read_time(text) == expected


@pytest.mark.parametrize("text", worlds.BAD_TIMES)
def test_a_text_that_is_no_time_is_refused(text: str) -> None:
    assert oracle.read_time(text) is None


@pytest.mark.parametrize("text", worlds.FAR_TIMES)
def test_a_time_far_off_is_still_a_time(text: str) -> None:
    assert oracle.read_time(text) is not None


@pytest.mark.parametrize("text", worlds.BAD_DATES)
def test_a_text_that_is_no_day_is_refused(text: str) -> None:
    assert oracle.read_date(text) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("1", None),
        ("100000000", None),
        ("0004", None),
        ("0" * 40 + "7", None),
        ("0", "out_of_range"),
        ("-0", "out_of_range"),
        ("-5", "out_of_range"),
        ("100000001", "out_of_range"),
        ("9" * 40, "out_of_range"),
        ("+5", "malformed"),
        ("-", "malformed"),
        ("1000.0", "malformed"),
        ("1,000", "malformed"),
        ("1e3", "malformed"),
        ("\uff11\uff10\uff10", "malformed"),
        ("\u0661\u0662", "malformed"),
        ("1000\u00a0", "malformed"),
    ],
)
def test_an_amount_is_whole_yen_within_bounds(text: str, fault: str | None) -> None:
    assert oracle.amount_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x" * 64, None),
        ("\U0001f600" * 64, None),
        ("\u00a0\u0085\u2028", None),
        ("x" * 65, "out_of_range"),
        ("a\tb", "malformed"),
        ("\x7f", "malformed"),
        ("x" * 65 + "\x00", "malformed"),
    ],
)
def test_an_id_is_short_and_has_no_control_characters(text: str, fault: str | None) -> None:
    assert oracle.id_fault(text) == fault


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"kind": "refund"}, ["original_transaction_id:missing"]),
        ({"original_transaction_id": "T0"}, ["original_transaction_id:unexpected"]),
        ({"original_transaction_id": "x" * 65}, ["original_transaction_id:unexpected"]),
        ({"kind": "paid", "original_transaction_id": "T0"}, ["kind:unknown"]),
        ({"kind": "paid"}, ["kind:unknown"]),
        (
            {"kind": "", "original_transaction_id": "T\x01"},
            ["kind:missing", "original_transaction_id:malformed"],
        ),
        (
            {"kind": "refund", "original_transaction_id": "x" * 65},
            ["original_transaction_id:out_of_range"],
        ),
    ],
)
def test_an_original_is_judged_by_the_kind_of_its_row(
    changes: dict[str, str], faults: list[str]
) -> None:
    values = {
        "transaction_id": "T1",
        "service_id": "coin",
        "account_id": "A1",
        "occurred_at": "2020-09-05 10:00:00",
        "kind": "purchase",
        "amount": "1",
        "original_transaction_id": "",
        "method": "",
    }
    assert oracle.transaction_faults(values | changes) == faults


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({}, []),
        ({"note": "any\ttext"}, []),
        ({"authority": "k" * 200}, []),
        ({"authority": "k" * 201}, ["authority:out_of_range"]),
        ({"authority": ""}, ["authority:missing"]),
        ({"event_id": ""}, ["event_id:missing"]),
        ({"event_id": "x" * 65}, ["event_id:out_of_range"]),
        ({"kind": ""}, ["kind:missing"]),
        ({"kind": "voided", "basis": "both"}, ["kind:unknown", "basis:unknown"]),
        ({"person_id": ""}, ["person_id:missing"]),
        ({"transaction_id": "T1"}, ["transaction_id:unexpected"]),
        ({"transaction_id": "x" * 65}, ["transaction_id:unexpected"]),
        ({"effective_at": "2020-10-10"}, ["effective_at:malformed"]),
        ({"effective_at": ""}, ["effective_at:missing"]),
        ({"basis": "charge"}, ["basis:unexpected"]),
        ({"kind": "enrollment_granted", "basis": "charge"}, []),
        ({"kind": "enrollment_granted", "basis": "both"}, ["basis:unknown"]),
        ({"kind": "enrollment_voided"}, ["effective_at:unexpected"]),
        (
            {"kind": "undone"},
            [
                "person_id:unexpected",
                "service_id:unexpected",
                "account_id:unexpected",
                "other_id:missing",
                "effective_at:unexpected",
            ],
        ),
    ],
)
def test_an_events_columns_are_judged_by_its_kind(
    changes: dict[str, str], faults: list[str]
) -> None:
    values = dict.fromkeys((*oracle.EVENT_REQUIRED, *oracle.EVENT_OPTIONAL), "") | {
        "event_id": "V1",
        "kind": "enrollment_stopped",
        "authority": "help desk",
        "person_id": "P1",
        "service_id": "coin",
        "account_id": "A1",
        "effective_at": "2020-10-10 00:00:00",
    }
    assert oracle.event_faults(values | changes) == faults


def test_an_empty_line_is_no_record_and_a_line_of_blanks_is_one() -> None:
    records = oracle.read_records(("f", "\ufeffb,a,c\r\n\r\n1,2,3\r\n  \r\n\r\n4,5,6"), "ab", "d")
    assert [(r.row, r.values) for r in records] == [
        (1, {"a": "2", "b": "1", "d": ""}),
        (2, None),
        (3, {"a": "5", "b": "4", "d": ""}),
    ]


@pytest.mark.parametrize("text", ["", "a\n1\n", "a,b,a\n1,2,3\n", "a,b,c,c\n1,2,3,4\n"])
def test_a_header_that_does_not_serve_makes_the_file_unusable(text: str) -> None:
    with pytest.raises(oracle.UnusableError):
        oracle.read_records(("f", text), "ab", "d")

"""The oracle agrees with the conformance cases, and the random worlds reach everything."""

import csv
import io
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import oracle
import pytest
import worlds

CASES = Path(__file__).parent / "cases"
WORLDS = range(300)
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


@pytest.mark.parametrize(
    "case", sorted(p.stem for p in CASES.glob("*.toml") if p.stem != "services")
)
def test_the_oracle_books_the_case_as_expected(case: str) -> None:
    spec = tomllib.loads((CASES / f"{case}.toml").read_text(encoding="utf-8"))
    services = oracle.read_services((CASES / "services.toml").read_text(encoding="utf-8"))
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


# --- The random worlds ----------------------------------------------------------------------------


def booked_worlds() -> Iterator[tuple[worlds.World, list[oracle.Night]]]:
    for seed in WORLDS:
        world = worlds.make(seed)
        yield world, worlds.booked_by_the_oracle(world)


def test_the_same_seed_makes_the_same_world() -> None:
    assert worlds.make(7) == worlds.make(7)
    assert worlds.make(7) != worlds.make(8)


def codes_in_reach() -> set[str]:
    ids = ("missing", "malformed", "out_of_range")
    codes = {"row:malformed"}
    for column in ("transaction_id", "service_id", "account_id", "person_id"):
        codes |= {f"{column}:{code}" for code in ids}
    codes |= {f"original_transaction_id:{code}" for code in (*ids, "unexpected")}
    codes |= {"transaction_id:conflict", "person_id:conflict"}
    codes |= {"amount:missing", "amount:malformed", "amount:out_of_range"}
    codes |= {"kind:missing", "kind:unknown", "basis:unknown"}
    for column in ("occurred_at", "applied_at", "card_applied_on"):
        codes |= {f"{column}:missing", f"{column}:malformed"}
    for column in ("reserved_at", "certificate_issued_at", "preregistered_on"):
        codes.add(f"{column}:malformed")
    return codes


def test_the_random_worlds_reach_every_reason() -> None:
    """Each reason and code turns up in several worlds, and no other ever does."""
    declined: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for _, nights in booked_worlds():
        declined.update({row.reason for night in nights for row in night.declined})
        rejected.update({row.reason for night in nights for row in night.rejected})
        quarantined.update(
            {code for night in nights for row in night.quarantine for code in row.errors}
        )
    assert set(declined) == set(oracle.DECLINE_REASONS)
    assert set(rejected) == set(oracle.ENROLLMENT_REASONS)
    assert set(quarantined) == codes_in_reach()
    assert min(declined.values()) >= 20, declined
    assert min(rejected.values()) >= 20, rejected
    assert min(quarantined.values()) >= 5, quarantined


def situations(nights: list[oracle.Night]) -> set[str]:
    """Name the rare situations that this world's ledger has come through."""
    found = set()
    ledger = [entry for night in nights for entry in night.ledger]
    originals = {(e.service_id, e.transaction_id): e for e in ledger if e.kind != "refund"}
    accounts = defaultdict(set)
    moments: Counter[tuple[str, datetime]] = Counter()
    refunds: Counter[tuple[str, str]] = Counter()
    for entry in ledger:
        accounts[entry.person_id].add((entry.service_id, entry.account_id))
        moments[entry.person_id, entry.occurred_at] += 1
        if entry.kind == "refund":
            key = (entry.service_id, entry.original_transaction_id or "")
            refunds[key] += 1
            if originals[key].occurred_at == entry.occurred_at:
                found.add("a refund in its original's instant")
            if originals[key].run_id != entry.run_id:
                found.add("a refund on a later night")
            if originals[key].occurred_at.month != entry.occurred_at.month:
                found.add("a refund in a later month")
            if entry.counted_amount == 0:
                found.add("a refund of what was past the cap")
            if -entry.amount < entry.counted_amount < 0:
                found.add("a refund that crosses the cap")
            if entry.points == 0 and entry.counted_amount < 0:
                found.add("a refund that takes back no point")
        elif 0 < entry.counted_amount < entry.amount:
            found.add("an entry that crosses the cap")
        elif entry.counted_amount == 0:
            found.add("an entry past the cap")
        if entry.net_spend_after == 0:
            found.add("nothing left")
    if any(len(held) > 1 for held in accounts.values()):
        found.add("a person with two accounts")
    if any(count > 2 for count in moments.values()):
        found.add("three entries of a person in one instant")
    if any(count > 2 for count in refunds.values()):
        found.add("three refunds of one original")
    if len({entry.person_id for entry in ledger}) > 3:
        found.add("four people")
    if len({entry.run_id for entry in ledger}) > 3:
        found.add("four nights")
    return found


def test_the_random_worlds_reach_the_rare_situations() -> None:
    found: Counter[str] = Counter()
    for _, nights in booked_worlds():
        found.update(situations(nights))
    assert len(found) == 14, found
    assert min(found.values()) >= 10, found


def test_the_oracle_keeps_the_books_own_promises() -> None:
    """What the contract says of every book, whatever is in it."""
    for world, nights in booked_worlds():
        programme = oracle.MYNAPOINT_2020
        if world.programme is not None:
            programme = oracle.read_programme(world.programme)
        cap = programme.cap_yen
        spent: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        points: Counter[str] = Counter()
        entries: Counter[str] = Counter()
        for night in nights:
            for split in (night.counts, night.yen):
                rest = sum(split.declined.values()) + split.quarantined
                assert split.read == split.booked + rest, world.seed
            enrollments = night.enrollment_counts
            assert enrollments.read == (
                enrollments.accepted
                + enrollments.unchanged
                + sum(enrollments.rejected.values())
                + enrollments.quarantined
            ), world.seed
            assert night.points_awarded - night.points_reversed == sum(
                entry.points for entry in night.ledger
            ), world.seed
            for entry in night.ledger:
                person = entry.person_id
                entries[person] += 1
                spent[person] += entry.net_amount
                counted[person] += entry.counted_amount
                points[person] += entry.points
                assert entry.entry_seq == entries[person], world.seed
                assert entry.net_spend_after == spent[person] >= 0, world.seed
                assert entry.points_after == points[person], world.seed
                assert counted[person] == min(spent[person], cap), world.seed
                most = counted[person] * programme.numerator // programme.denominator
                assert points[person] <= most, world.seed
                assert (entry.points <= 0) if entry.kind == "refund" else (entry.points >= 0)


def test_with_cumulative_rounding_a_person_of_one_account_holds_the_floor_at_every_moment() -> None:
    for seed in WORLDS[:100]:
        world = worlds.make(seed, rounding="cumulative")
        programme = oracle.MYNAPOINT_2020
        if world.programme is not None:
            programme = oracle.read_programme(world.programme)
        ledger = [entry for n in worlds.booked_by_the_oracle(world) for entry in n.ledger]
        accounts = defaultdict(set)
        for entry in ledger:
            accounts[entry.person_id].add((entry.service_id, entry.account_id))
        for entry in ledger:
            if len(accounts[entry.person_id]) == 1:
                held = min(entry.net_spend_after, programme.cap_yen)
                assert entry.points_after == held * programme.numerator // programme.denominator


def test_the_order_and_the_cut_of_a_delivery_change_nothing_for_the_oracle() -> None:
    for world, nights in booked_worlds():
        again = worlds.booked_by_the_oracle(worlds.redelivered(world, world.seed + 1))
        for one, other in zip(nights, again, strict=True):
            assert one.ledger == other.ledger, world.seed
            assert sorted(map(astuple, one.declined)) == sorted(map(astuple, other.declined))
            assert one.rejected == other.rejected, world.seed
            assert one.counts == other.counts, world.seed
            assert one.yen.booked == other.yen.booked, world.seed

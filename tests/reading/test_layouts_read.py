"""Providers' own files, read by their layouts: to the canonical rows, and each row in its place."""

import csv
import datetime as dt
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

import pytest
from deliveries import TESTS, TRANSACTION_COLUMNS, as_csv, enrollment
from hypothesis import given, settings
from hypothesis import strategies as st
from laid_out_files import ACCOUNT, CARDS, WRITERS, Event, Written, read
from small_nights import ledger_of

import mynapoint
from engine.layouts.catalogue import built_in_layouts, load_layout
from engine.layouts.model import Separated

SAMPLES = TESTS / "layouts"


def canonical(folder: Path) -> list[dict[str, str]]:
    with (folder / "canonical.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def case(layout_id: str) -> tuple[Path, Mapping[str, Any]]:
    folder = SAMPLES / layout_id
    case = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
    return folder / case["file"], case


@pytest.mark.parametrize("layout_id", built_in_layouts())
def test_a_sample_of_each_layout_that_ships_reads_to_its_canonical_rows(layout_id: str) -> None:
    path, expected = case(layout_id)
    made = read(path, layout_id, **expected["parameters"])
    assert made.rows == canonical(path.parent)
    assert made.skipped == {reason: tuple(counts) for reason, counts in expected["skipped"].items()}
    assert made.quarantined == {int(row): errors for row, errors in expected["quarantined"].items()}
    skipped = sum(rows for rows, _ in made.skipped.values())
    assert made.read == len(made.rows) + len(made.quarantined) + skipped == made.rows_of_file


def in_several_encodings() -> list[str]:
    files = {layout_id: load_layout(layout_id).file for layout_id in built_in_layouts()}
    return [
        layout_id
        for layout_id, file in files.items()
        if isinstance(file, Separated) and file.encodings[1:]
    ]


@pytest.mark.parametrize("layout_id", in_several_encodings())
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932"])
def test_a_sample_reads_to_the_same_rows_in_each_encoding_that_its_layout_knows(
    layout_id: str, encoding: str, tmp_path: Path
) -> None:
    path, expected = case(layout_id)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp932")
    changed = tmp_path / path.name
    changed.write_bytes(text.encode(encoding))
    made = read(changed, layout_id, **expected["parameters"])
    assert made.rows == canonical(path.parent)
    assert made.quarantined == {int(row): errors for row, errors in expected["quarantined"].items()}


@pytest.mark.parametrize(
    ("layout_id", "words", "unknown", "fault"),
    [
        ("paypay", ("ポイント、残高の獲得",), "ポイント、残高の穫得", "取引内容:unknown"),
        ("paypay", ("支払い", "ポイント、残高の獲得"), "支払", "取引内容:unknown"),
        ("paypay", ("ポイント、残高の獲得",), "", "取引内容:missing"),
        ("zengin-account-transfer", ("1        \r",), "5        \r", "振替結果コード:unknown"),
        ("zengin-account-transfer", ("1        \r",), "         \r", "振替結果コード:missing"),
    ],
)
def test_a_row_with_a_word_that_nobody_knows_is_set_aside_and_not_left_out(
    layout_id: str, words: tuple[str, ...], unknown: str, fault: str, tmp_path: Path
) -> None:
    path, expected = case(layout_id)
    encoding = "utf-8" if layout_id == "paypay" else "cp932"
    text = path.read_bytes().decode(encoding)
    before = read(path, layout_id, **expected["parameters"])
    for word in words:
        text = text.replace(word, unknown)
    changed = tmp_path / path.name
    changed.write_bytes(text.encode(encoding))
    made = read(changed, layout_id, **expected["parameters"])
    assert fault in {error for errors in made.quarantined.values() for error in errors}
    left_out = {
        reason for reason in ("no_charge_or_purchase", "not_collected") if reason in made.skipped
    }
    assert left_out == set()
    skipped = sum(rows for rows, _ in made.skipped.values())
    assert made.read == before.read == len(made.rows) + len(made.quarantined) + skipped
    assert made.rows == [row for row in before.rows if row in made.rows]


def test_no_layout_that_ships_can_leave_out_an_original_of_a_payment_without_a_word() -> None:
    # A column that holds nothing but originals is read of every row; the others say why not.
    only_of_refunds = {
        layout_id
        for layout_id in built_in_layouts()
        if (source := load_layout(layout_id).columns.get("original_transaction_id"))
        and not source.parts
    }
    assert only_of_refunds == {"terminal-journal", "paypay-merchant", "smaregi", "square"}


@pytest.mark.parametrize("layout_id", ["waon", "view-card", "paypay"])
def test_an_original_on_a_row_that_is_no_refund_is_a_fault(layout_id: str, tmp_path: Path) -> None:
    events = [Event(0, "purchase", 100), Event(3600, "purchase", 200)]
    written = WRITERS[layout_id](events, Random(1))
    encoding = "utf-8-sig" if layout_id == "paypay" else "cp932"
    *lines, last = written.content.decode(encoding).splitlines()
    name = "元取引番号" if layout_id == "paypay" else "元取引ID"
    end = last.rindex(",") + 1
    changed = tmp_path / "theirs.csv"
    changed.write_bytes("\r\n".join([*lines, f"{last[:end]}X1", ""]).encode(encoding))
    made = read(changed, layout_id, **written.parameters)
    assert made.quarantined == {2: [f"{name}:unexpected"]}
    assert len(made.rows) == 1


@pytest.mark.parametrize("time", ["512", "09300", "9", "0930001"])
def test_a_last_row_whose_time_has_too_few_digits_is_set_aside(time: str, tmp_path: Path) -> None:
    names = load_layout("terminal-journal").file
    assert isinstance(names, Separated)
    rows = [
        f"T01,20201005,{clock},{slip:05},A1,売上,100,,"
        for slip, clock in enumerate(("093000", "101500", time))
    ]
    path = tmp_path / "journal.csv"
    path.write_bytes("\r\n".join([",".join(names.header), *rows, ""]).encode("cp932"))
    made = read(path, "terminal-journal", service_id="tap")
    assert made.quarantined == {3: ["取引日+取引時刻:malformed"]}
    assert len(made.rows) == 2


# --- The same rows, through a layout and in the canonical form ------------------------------------


@st.composite
def events(draw: st.DrawFn) -> list[Event]:
    made = [Event(draw(st.integers(0, 86_400)), "purchase", draw(st.integers(1, 30_000)))]
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.sampled_from(("purchase", "charge", "refund")))
        second = draw(st.sampled_from((0, 3600, 86_399, 86_400, 10_000_000)))
        amount = draw(st.sampled_from((1, 120, 999, 1000, 12_345, 1_000_000)))
        made.append(Event(second, kind, amount, 0 if kind == "refund" else None))
    return made


def write(folder: Path, written: Written) -> tuple[Path, Path]:
    laid_out, as_canonical = folder / f"theirs{written.ending}", folder / "canonical.csv"
    laid_out.write_bytes(written.content)
    as_canonical.write_text(as_csv(written.rows, TRANSACTION_COLUMNS), encoding="utf-8")
    return laid_out, as_canonical


@pytest.mark.parametrize("layout_id", built_in_layouts())
@settings(max_examples=8, deadline=None)
@given(events=events(), seed=st.integers(0, 2**32))
def test_rows_written_in_a_layouts_form_are_read_back_as_they_were(
    layout_id: str, events: list[Event], seed: int
) -> None:
    written = WRITERS[layout_id](events, Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        laid_out, _ = write(Path(folder), written)
        made = read(laid_out, layout_id, **written.parameters)
    assert made.quarantined == {}
    assert made.rows == written.rows


# Statements of cards are booked alike.
BOOKED = [
    layout_id
    for layout_id in built_in_layouts()
    if layout_id not in CARDS or layout_id == "aeon-card"
]


@pytest.mark.parametrize("layout_id", BOOKED)
@settings(max_examples=2, deadline=None)
@given(events=events(), seed=st.integers(0, 2**32))
def test_rows_through_any_layout_book_the_same_ledger_as_in_the_canonical_form(
    layout_id: str, events: list[Event], seed: int
) -> None:
    written = WRITERS[layout_id](events, Random(seed))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        laid_out, as_canonical = write(folder, written)
        services = folder / "services.toml"
        of_them = sorted({row["service_id"] for row in written.rows}) or ["none"]
        services.write_text(
            "".join(
                f'[[services]]\nservice_id = "{service}"\nname = "{service}"\n'
                f'basis = "{"charge" if service in ("bank", "suica") else "purchase"}"\n'
                for service in of_them
            )
        )
        accounts = sorted({row["account_id"] for row in written.rows})
        enrollments = folder / "enrollments.csv"
        enrollments.write_text(
            as_csv(
                [
                    enrollment(number, service_id=of_them[0], account_id=account)
                    for number, account in enumerate(accounts or [ACCOUNT])
                ]
            )
        )
        ledgers = []
        both = (
            mynapoint.DeliveredAs(as_canonical),
            mynapoint.DeliveredAs(laid_out, layout_id, written.parameters),
        )
        for number, delivered in enumerate(both):
            book = folder / str(number)
            result = mynapoint.run(
                book,
                booked_on=dt.date(2021, 2, 1),
                transactions=[delivered],
                enrollments=[enrollments],
                services=services,
                max_quarantined=1,
            )
            ledgers.append((ledger_of(book), result.record.counts.declined))
    assert ledgers[0][0].equals(ledgers[1][0])
    assert ledgers[0][1] == ledgers[1][1]


@pytest.mark.parametrize("page", ["layouts.md", "layouts.ja.md"])
def test_the_catalogue_has_each_layout_that_ships_and_what_it_asks_for(page: str) -> None:
    text = (SAMPLES.parents[1] / "docs" / page).read_text(encoding="utf-8")
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("| `")]
    listed = {row[0].strip(" `"): row[1] for row in rows if len(row) == 5}
    assert sorted(listed) == sorted(built_in_layouts())
    for layout_id, asked in listed.items():
        parameters = load_layout(layout_id).parameters
        assert asked.replace("、", ",").replace("`", "").replace(" ", "") == ",".join(parameters)

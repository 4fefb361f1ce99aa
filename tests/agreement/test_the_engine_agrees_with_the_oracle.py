"""The engine books what the oracle books, in random worlds and in the conformance cases.

`MYNAPOINT_FIRST_SEED` moves the random worlds to other seeds, for long runs in search of new ones.
"""

import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import astuple, replace
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import oracle
import polars as pl
import pytest
import worlds
from against_the_oracle import (
    ROLES,
    DeliveredAs,
    Rows,
    committed_rows,
    difference_of,
    differences_of_night,
    differences_of_records,
    ledger_rows,
    loose_rows,
    ordered,
    record_of,
    run_engine,
    run_ids,
    run_world,
    table_rows,
)
from deliveries import CASES, ROOT, SERVICES_OF_CASES

FIRST_SEED = int(os.environ.get("MYNAPOINT_FIRST_SEED", "0"))
WORLDS_A_TEST = 10
CHUNKS = [*((chunk, True) for chunk in range(24)), *((chunk, False) for chunk in range(1))]
"""Tests of so many worlds; most with events, which have all that the others have."""
SETTINGS: tuple[tuple[int | None, int | None], ...] = ((None, None), (None, None), (2, 5))
"""Threads and rows per slice, in turn: small worlds would otherwise never be cut into slices."""


def rich_seeds(count: int, **kind: Any) -> list[int]:
    """Choose worlds with some nights and a ledger long enough to go wrong."""
    seeds: list[int] = []
    seed = FIRST_SEED + 1_000_000
    while len(seeds) < count:
        world = worlds.make(seed, **kind)
        nights = worlds.booked_by_the_oracle(world)
        if len(nights) > 1 and sum(len(night.ledger) for night in nights) >= 25:
            seeds.append(seed)
        seed += 1
    return seeds


RICH = [
    *((seed, False) for seed in rich_seeds(4)),
    *((seed, True) for seed in rich_seeds(4, corrected=True)),
]
"""Seeds of worlds without events and with some."""
RICH_AND_CLEAN = rich_seeds(4, clean=True)
RICH_CLEAN_AND_CORRECTED = rich_seeds(4, clean=True, corrected=True)
RICH_AND_CUMULATIVE = rich_seeds(4, clean=True, rounding="cumulative")


@pytest.fixture(scope="module")
def booked(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, bool], Path]:
    """A world's book, booked once; only to read."""

    @cache
    def book_of(seed: int, corrected: bool) -> Path:
        world = worlds.make(seed, corrected=corrected)
        return run_world(world, tmp_path_factory.mktemp("booked"), threads=1)

    return book_of


def run_command(book: Path, delivery: DeliveredAs) -> None:
    command = [sys.executable, "-m", "mynapoint", "run", str(book)]
    command += ["--booked-on", str(delivery.night.booked_on), "--max-quarantined", "1"]
    for path in delivery.events:
        command += ["--events", str(path)]
    for path in delivery.transactions:
        command += ["--transactions", str(path)]
    for path in delivery.enrollments:
        command += ["--enrollments", str(path)]
    if delivery.services is not None:
        command += ["--services", str(delivery.services)]
    if delivery.programme is not None:
        command += ["--programme", str(delivery.programme)]
    if delivery.night.terms_as_of is not None:
        command += ["--terms-as-of", str(delivery.night.terms_as_of)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}{done.stderr}"


# --- Comparing ------------------------------------------------------------------------------------


def same(what: str, columns: Sequence[str], expected: Rows, booked: Rows) -> None:
    """Fail with the first rows that differ, named so that they can be found again."""
    found = difference_of(what, columns, expected, booked)
    if found is not None:
        pytest.fail(str(found), pytrace=False)


def compare_night(where: str, book: Path, delivery: DeliveredAs, expected: oracle.Night) -> None:
    found = differences_of_night(book, delivery, expected)
    if found:
        pytest.fail("\n".join([where, *map(str, found)]), pytrace=False)


def check_world(
    world: worlds.World, folder: Path, run: Callable[[Path, DeliveredAs], None], what: str
) -> None:
    """Book a world with the engine, night by night, and compare each night with the oracle's."""
    book = folder / "book"
    for number, expected in enumerate(worlds.booked_by_the_oracle(world)):
        where = f"{what}, night {number + 1} of {len(world.nights)} (files in {folder})"
        delivery = DeliveredAs(world, number, folder)
        try:
            run(book, delivery)
        except Exception as error:
            error.add_note(where)
            raise
        compare_night(where, book, delivery, expected)
    versions = [record_of(book, run_id)["ledger_version"] for run_id in run_ids(world)]
    assert versions == list(range(versions[0], versions[0] + len(versions))), "one commit a run"
    same(
        f"{what}: the ledger's Parquet files without the log",
        oracle.LEDGER_COLUMNS,
        ordered(pl.read_delta(str(book / "ledger")).rows()),
        ordered(loose_rows(book)),
    )


# --- The engine and the oracle --------------------------------------------------------------------


@pytest.mark.parametrize(("chunk", "corrected"), CHUNKS)
def test_the_engine_books_random_worlds_as_the_oracle_does(
    chunk: int, corrected: bool, tmp_path: Path
) -> None:
    first = FIRST_SEED + chunk * WORLDS_A_TEST
    for seed in range(first, first + WORLDS_A_TEST):
        threads, rows_per_slice = SETTINGS[seed % len(SETTINGS)]
        check_world(
            worlds.make(seed, corrected=corrected),
            tmp_path / str(seed),
            partial(run_engine, threads=threads, rows_per_slice=rows_per_slice),
            f"seed {seed}, {corrected=}, threads={threads}, rows_per_slice={rows_per_slice}",
        )


@pytest.mark.parametrize(("seed", "corrected"), RICH[2:6])
def test_the_command_line_books_random_worlds_as_the_oracle_does(
    seed: int, corrected: bool, tmp_path: Path
) -> None:
    world = worlds.make(seed, corrected=corrected)
    check_world(world, tmp_path, run_command, f"seed {seed}, {corrected=}")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows_per_slice", [None, 1])
def test_the_engine_books_the_conformance_case_as_the_oracle_does(
    case: str, rows_per_slice: int | None, tmp_path: Path
) -> None:
    spec = tomllib.loads(CASES[case].read_text(encoding="utf-8"))
    services = SERVICES_OF_CASES.read_text(encoding="utf-8")
    # A night that a run refuses is none: see the tests of what may not change.
    booked = [night for night in spec["nights"] if night.get("exit", 0) == 0]
    nights = []
    for number, night in enumerate(booked):
        files = {role: ((f"{role}.csv", night[role]),) if role in night else () for role in ROLES}
        nights.append(
            worlds.Night(
                booked_on=night["booked_on"],
                terms_as_of=None,
                services=night.get("services", services if number == 0 else None),
                programme=night.get("programme"),
                event_rows=(),
                enrollment_rows=(),
                transaction_rows=(),
                **files,
            )
        )
    world = worlds.World(0, tuple(nights))
    check_world(world, tmp_path, partial(run_engine, rows_per_slice=rows_per_slice), case)


# --- What must change nothing ---------------------------------------------------------------------


def books_hold_the_same(
    what: str, world: worlds.World, book: Path, other: Path, *, numbering: bool
) -> None:
    """Compare two books of the same rows; `numbering`: in the same places of their files."""
    ledger_of_one, ledger_of_other = committed_rows(book), committed_rows(other)
    for run_id in run_ids(world):
        where = f"{what}, run {run_id}"
        same(
            f"{where}: ledger",
            oracle.LEDGER_COLUMNS,
            ledger_of_one.get(run_id, []),
            ledger_of_other.get(run_id, []),
        )
        tables = {
            "declined": oracle.DECLINED_COLUMNS,
            "rejected_enrollments": oracle.REJECTED_COLUMNS,
            "accepted_events": oracle.ACCEPTED_EVENT_COLUMNS,
            "rejected_events": oracle.REJECTED_EVENT_COLUMNS,
            "quarantine": ("row", "errors", "raw") if numbering else ("errors",),
        }
        for table, columns in tables.items():
            same(
                f"{where}: {table}",
                columns,
                ordered(table_rows(book, run_id, table, columns)),
                ordered(table_rows(other, run_id, table, columns)),
            )


@pytest.mark.parametrize(("seed", "corrected"), RICH)
def test_shuffled_rows_and_other_files_give_the_identical_ledger(
    seed: int, corrected: bool, tmp_path: Path, booked: Callable[[int, bool], Path]
) -> None:
    world, book = worlds.make(seed, corrected=corrected), booked(seed, corrected)
    other = run_world(worlds.redelivered(world, seed + 1), tmp_path / "other")
    books_hold_the_same(f"seed {seed}", world, book, other, numbering=False)


@pytest.mark.parametrize(("seed", "corrected"), RICH[3:5])
@pytest.mark.parametrize(("threads", "rows_per_slice"), [(4, None), (1, 3), (4, 3), (1, 1), (3, 7)])
def test_threads_and_slices_give_the_identical_ledger(
    seed: int,
    corrected: bool,
    threads: int,
    rows_per_slice: int | None,
    tmp_path: Path,
    booked: Callable[[int, bool], Path],
) -> None:
    world, book = worlds.make(seed, corrected=corrected), booked(seed, corrected)
    other = run_world(world, tmp_path / "other", threads=threads, rows_per_slice=rows_per_slice)
    books_hold_the_same(f"seed {seed}", world, book, other, numbering=True)


@pytest.mark.parametrize(("seed", "corrected"), RICH[2:6])
@pytest.mark.parametrize("form", ["gz", "zst"])
def test_compressed_files_give_the_identical_ledger(
    seed: int, corrected: bool, form: str, tmp_path: Path, booked: Callable[[int, bool], Path]
) -> None:
    world, book = worlds.make(seed, corrected=corrected), booked(seed, corrected)
    other = run_world(world, tmp_path / "other", form=form)
    books_hold_the_same(f"seed {seed}", world, book, other, numbering=True)


def parquet_of(rows: Sequence[worlds.Row], role: str, path: Path, *, typed: bool) -> Path:
    """Write the rows as a Parquet file, every value as text or in its own type."""
    required, optional = worlds.columns_of(role)
    readers: dict[str, tuple[pl.DataType, Callable[[str], Any]]] = {"amount": (pl.Int64(), int)}
    for column in (
        "occurred_at",
        "applied_at",
        "reserved_at",
        "certificate_issued_at",
        "effective_at",
    ):
        readers[column] = (pl.Datetime("us"), oracle.read_time)
    for column in ("card_applied_on", "preregistered_on"):
        readers[column] = (pl.Date(), oracle.read_date)
    series = []
    for column in (*required, *optional):
        texts = [oracle.trimmed(row.values[column]) for row in rows]
        if typed and column in readers:
            dtype, read = readers[column]
            values = [read(text) if text else None for text in texts]
            series.append(pl.Series(column, values, dtype=dtype))
        else:
            series.append(
                pl.Series(column, [row.values[column] or None for row in rows], dtype=pl.String())
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(series).write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("seed", "corrected"),
    [
        *((seed, False) for seed in RICH_AND_CLEAN),
        *((seed, True) for seed in RICH_CLEAN_AND_CORRECTED),
    ],
)
@pytest.mark.parametrize("typed", [False, True])
def test_parquet_files_are_booked_as_the_same_rows_in_csv(
    seed: int, corrected: bool, typed: bool, tmp_path: Path
) -> None:
    world = worlds.make(seed, clean=True, corrected=corrected)
    book = tmp_path / "book"
    for number, expected in enumerate(worlds.booked_by_the_oracle(world)):
        delivery = DeliveredAs(world, number, tmp_path / "csv")
        folder = tmp_path / "parquet" / str(number)
        night = delivery.night
        delivery.enrollments = [
            parquet_of(night.enrollment_rows, "enrollments", folder / "e.parquet", typed=typed)
        ]
        if night.event_rows:
            delivery.events = [
                parquet_of(night.event_rows, "events", folder / "v.parquet", typed=typed)
            ]
        delivery.transactions = [
            parquet_of(night.transaction_rows, "transactions", folder / "t.parquet", typed=typed)
        ]
        run_engine(book, delivery)
        where = f"seed {seed}, night {number + 1}"
        ledger = [astuple(entry) for entry in expected.ledger]
        same(where, oracle.LEDGER_COLUMNS, ledger, ledger_rows(book, expected.run_id))
        assert differences_of_records(record_of(book, expected.run_id), expected) == [], where


# --- Cuts into nights -----------------------------------------------------------------------------


def moment_of(row: worlds.Row) -> datetime:
    return oracle.known_time(oracle.trimmed(row.values["occurred_at"]))


def kind_of(row: worlds.Row) -> str:
    return oracle.trimmed(row.values["kind"])


def cut(rng: Random, rows: Sequence[worlds.Row], parts: int) -> list[Sequence[worlds.Row]]:
    places = sorted(rng.randint(0, len(rows)) for _ in range(parts - 1))
    return [rows[a:b] for a, b in zip([0, *places], [*places, len(rows)], strict=True)]


@pytest.mark.parametrize("seed", RICH_AND_CLEAN)
def test_a_cut_into_nights_in_order_of_time_gives_the_same_entries(
    seed: int, tmp_path: Path
) -> None:
    """Rounding of every scope: the same rows in the same order, only cut otherwise."""
    world = worlds.make(seed, clean=True)
    rng = Random(seed)
    rows = [row for night in world.nights for row in night.transaction_rows]
    # A redelivered row may stand on either side of a cut, and so may ties be torn apart: but then a
    # refund must not come a night before its original, nor a later ID before an earlier one.
    rows.sort(
        key=lambda row: (
            moment_of(row),
            kind_of(row) == "refund",
            oracle.trimmed(row.values["service_id"]),
            oracle.trimmed(row.values["transaction_id"]),
        )
    )
    entries = []
    for name, parts in (("one", [rows]), ("four", cut(rng, rows, 4))):
        book = run_world(worlds.cut_into_nights(world, seed, parts), tmp_path / name)
        ledger = pl.read_delta(str(book / "ledger")).sort("person_id", "entry_seq")
        entries.append(ledger.drop("run_id", "booked_on").rows())
    same(f"seed {seed}", oracle.LEDGER_COLUMNS[2:], entries[0], entries[1])


@pytest.mark.parametrize("seed", RICH_AND_CUMULATIVE)
def test_with_cumulative_rounding_any_cut_into_nights_gives_the_same_points(
    seed: int, tmp_path: Path
) -> None:
    """Of a person with one account, whatever the order: a refund waits for its original."""
    world = worlds.make(seed, clean=True, rounding="cumulative")
    if world.programme is not None:
        # Where waiting is bounded, another cut may come too late.
        first = world.nights[0]
        lines = world.programme.splitlines(keepends=True)
        unbounded = "".join(line for line in lines if not line.startswith("reconsider_days"))
        world = replace(world, nights=(replace(first, programme=unbounded), *world.nights[1:]))
    rng = Random(seed)
    rows = [row for night in world.nights for row in night.transaction_rows]
    rng.shuffle(rows)
    held = []
    for name, count in (("one", 1), ("five", 5)):
        parts = cut(rng, rows, count)
        book = run_world(worlds.cut_into_nights(world, seed, parts), tmp_path / name)
        ledger = pl.read_delta(str(book / "ledger"))
        held.append(
            ledger.group_by("person_id")
            .agg(
                pl.struct("service_id", "account_id").n_unique().alias("accounts"),
                pl.col("net_amount", "counted_amount", "points").sum(),
            )
            .filter(pl.col("accounts") == 1)
            .sort("person_id")
            .rows()
        )
    columns = ("person_id", "accounts", "net_amount", "counted_amount", "points")
    same(f"seed {seed}", columns, held[0], held[1])

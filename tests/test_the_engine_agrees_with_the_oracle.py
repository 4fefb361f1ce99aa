"""The engine books what the oracle books, in random worlds and in the conformance cases.

`MYNAPOINT_FIRST_SEED` moves the random worlds to other seeds, for long runs in search of new ones.
"""

import gzip
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from datetime import date, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import unquote

import oracle
import polars as pl
import pyarrow as pa
import pytest
import worlds

import mynapoint

ROOT = Path(__file__).parent.parent
CASES = Path(__file__).parent / "cases"
FIRST_SEED = int(os.environ.get("MYNAPOINT_FIRST_SEED", "0"))
WORLDS_A_TEST = 10
CHUNKS = range(25)
SHOWN_ROWS = 5
SETTINGS: tuple[tuple[int | None, int | None], ...] = ((None, None), (None, None), (2, 5))
"""Threads and rows per slice, in turn: small worlds would otherwise never be cut into slices."""


def rich_seeds(count: int, *, clean: bool = False, rounding: str | None = None) -> list[int]:
    """Choose worlds with some nights and a ledger long enough to go wrong."""
    seeds: list[int] = []
    seed = FIRST_SEED + 1_000_000
    while len(seeds) < count:
        world = worlds.make(seed, clean=clean, rounding=rounding)
        nights = worlds.booked_by_the_oracle(world)
        if len(nights) > 1 and sum(len(night.ledger) for night in nights) >= 25:
            seeds.append(seed)
        seed += 1
    return seeds


RICH = rich_seeds(6)
RICH_AND_CLEAN = rich_seeds(6, clean=True)
RICH_AND_CUMULATIVE = rich_seeds(6, clean=True, rounding="cumulative")

LEDGER_SCHEMA: dict[str, Any] = {
    "run_id": pl.String(),
    "booked_on": pl.Date(),
    "person_id": pl.String(),
    "entry_seq": pl.Int64(),
    "service_id": pl.String(),
    "account_id": pl.String(),
    "transaction_id": pl.String(),
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String(),
    "amount": pl.Int64(),
    "original_transaction_id": pl.String(),
    "method": pl.String(),
    "counted_amount": pl.Int64(),
    "points": pl.Int64(),
    "net_spend_after": pl.Int64(),
    "points_after": pl.Int64(),
}

Rows = list[tuple[Any, ...]]


# --- Running the engine ---------------------------------------------------------------------------


def write_file(file: oracle.File, folder: Path, form: str = "csv") -> Path:
    """Write a delivered file as it is, compressed, or as Parquet with every value as text."""
    name, text = file
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if form == "csv":
        path.write_bytes(text.encode())
    elif form == "gz":
        path = path.with_name(f"{name}.gz")
        path.write_bytes(gzip.compress(text.encode()))
    elif form == "zst":
        path = path.with_name(f"{name}.zst")
        path.write_bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))
    else:
        raise ValueError(form)
    return path


class DeliveredAs:
    """A night's files on disk, and which of the world's names each path stands for."""

    def __init__(self, world: worlds.World, number: int, folder: Path, form: str = "csv") -> None:
        self.night = world.nights[number]
        folder = folder / f"night-{number + 1}"
        self.enrollments = [write_file(file, folder, form) for file in self.night.enrollments]
        self.transactions = [write_file(file, folder, form) for file in self.night.transactions]
        paths = [*self.enrollments, *self.transactions]
        files = [*self.night.enrollments, *self.night.transactions]
        self.names = {str(path): name for path, (name, _) in zip(paths, files, strict=True)}
        self.services: Path | None = None
        self.programme: Path | None = None
        if self.night.services is not None:
            self.services = folder / "services.toml"
            self.services.write_bytes(self.night.services.encode())
        if world.programme is not None and number == 0:
            self.programme = folder / "programme.toml"
            self.programme.write_bytes(world.programme.encode())


def run_engine(
    book: Path,
    delivery: DeliveredAs,
    *,
    threads: int | None = None,
    rows_per_slice: int | None = None,
) -> None:
    result = mynapoint.run(
        book,
        booked_on=delivery.night.booked_on,
        transactions=delivery.transactions,
        enrollments=delivery.enrollments,
        services=delivery.services,
        programme=delivery.programme,
        terms_as_of=delivery.night.terms_as_of,
        max_quarantined=1.0,
        threads=threads,
        rows_per_slice=rows_per_slice,
    )
    kept = json.loads((book / "runs" / result.record.run_id / "record.json").read_bytes())
    assert result.record.to_json() == kept


def run_command(book: Path, delivery: DeliveredAs) -> None:
    command = [sys.executable, "-m", "mynapoint", "run", str(book)]
    command += ["--booked-on", str(delivery.night.booked_on), "--max-quarantined", "1"]
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


def run_world(
    world: worlds.World,
    folder: Path,
    *,
    threads: int | None = None,
    rows_per_slice: int | None = None,
    form: str = "csv",
) -> Path:
    book = folder / "book"
    for number in range(len(world.nights)):
        delivery = DeliveredAs(world, number, folder, form)
        run_engine(book, delivery, threads=threads, rows_per_slice=rows_per_slice)
    return book


# --- Reading a book -------------------------------------------------------------------------------


def run_ids(world: worlds.World) -> list[str]:
    return [f"{number:06}" for number in range(1, len(world.nights) + 1)]


def committed_rows(book: Path) -> dict[str, Rows]:
    """Give each run's ledger rows in the order in which its commit's files hold them."""
    rows: dict[str, Rows] = {}
    for commit in sorted((book / "ledger" / "_delta_log").glob("*.json")):
        for line in commit.read_bytes().splitlines():
            action = json.loads(line)
            assert "remove" not in action, f"{commit.name}: the ledger is append-only"
            if "add" not in action:
                continue
            part = pl.read_parquet(book / "ledger" / unquote(action["add"]["path"]))
            for row in part.select(list(LEDGER_SCHEMA)).rows():
                rows.setdefault(row[0], []).append(row)
    return rows


def ledger_rows(book: Path, run_id: str) -> Rows:
    ledger = pl.read_delta(str(book / "ledger"))
    assert dict(ledger.schema) == LEDGER_SCHEMA
    assert ledger.columns == list(oracle.LEDGER_COLUMNS)
    return ledger.filter(pl.col("run_id") == run_id).sort("person_id", "entry_seq").rows()


def loose_rows(book: Path) -> Rows:
    """Read the ledger's Parquet files without its log."""
    rows: Rows = []
    for path in sorted((book / "ledger").rglob("*.parquet")):
        if "_delta_log" not in path.parts:
            rows += pl.read_parquet(path).select(list(LEDGER_SCHEMA)).rows()
    return rows


def table_rows(book: Path, run_id: str, table: str, columns: Sequence[str]) -> Rows:
    frame = pl.read_parquet(book / "runs" / run_id / f"{table}.parquet")
    rows = frame.select(columns).rows()
    return [tuple(tuple(sorted(v)) if isinstance(v, list) else v for v in row) for row in rows]


def quarantined_fields(book: Path, run_id: str) -> dict[tuple[str, int], tuple[str, ...]]:
    """Read every `raw` back as the CSV record that it was."""
    frame = pl.read_parquet(book / "runs" / run_id / "quarantine.parquet")
    return {
        (file, row): worlds.fields_of(raw)
        for file, row, raw in frame.select("file", "row", "raw").rows()
    }


def record_of(book: Path, run_id: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((book / "runs" / run_id / "record.json").read_bytes())
    return record


# --- Comparing ------------------------------------------------------------------------------------


def ordered(rows: Iterable[tuple[Any, ...]]) -> Rows:
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def same(what: str, columns: Sequence[str], expected: Rows, booked: Rows) -> None:
    """Fail with the first rows that differ, named so that they can be found again."""
    if expected == booked:
        return
    shown = [f"{what}: {len(expected)} rows expected, {len(booked)} booked", ", ".join(columns)]
    missing = [row for row in expected if row not in booked]
    surplus = [row for row in booked if row not in expected]
    shown += [f"  not booked: {show(row)}" for row in missing[:SHOWN_ROWS]]
    shown += [f"  too much:   {show(row)}" for row in surplus[:SHOWN_ROWS]]
    if not missing and not surplus:
        for number, (one, other) in enumerate(zip(expected, booked, strict=False)):
            if one != other:
                shown.append("  the same rows in another order or number; the first that differ:")
                shown += [
                    f"  row {number} expected: {show(one)}",
                    f"  row {number} is: {show(other)}",
                ]
                break
    pytest.fail("\n".join(shown), pytrace=False)


def show(row: tuple[Any, ...]) -> str:
    return " | ".join(
        str(value) if isinstance(value, date | datetime | int) else repr(value) for value in row
    )


def stated(split: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Give what a record says under the contract's keys; it may say more.

    A reason that nothing was declined for may be left out or be zero.
    """
    return {
        key: (
            {k: v for k, v in split[key].items() if v != 0}
            if isinstance(split[key], dict)
            else split[key]
        )
        for key in expected
    }


def compare_night(where: str, book: Path, delivery: DeliveredAs, expected: oracle.Night) -> None:
    run_id = expected.run_id
    ledger = [astuple(entry) for entry in expected.ledger]
    same(f"{where}: ledger", oracle.LEDGER_COLUMNS, ledger, ledger_rows(book, run_id))
    same(
        f"{where}: ledger's files, in their order",
        oracle.LEDGER_COLUMNS,
        ledger,
        committed_rows(book).get(run_id, []),
    )
    same(
        f"{where}: declined",
        oracle.DECLINED_COLUMNS,
        ordered(astuple(row) for row in expected.declined),
        ordered(table_rows(book, run_id, "declined", oracle.DECLINED_COLUMNS)),
    )
    quarantine = table_rows(book, run_id, "quarantine", oracle.QUARANTINE_COLUMNS)
    same(
        f"{where}: quarantine",
        oracle.QUARANTINE_COLUMNS,
        ordered((row.file, row.row, row.errors) for row in expected.quarantine),
        ordered((delivery.names.get(file, file), *rest) for file, *rest in quarantine),
    )
    same(
        f"{where}: rejected_enrollments",
        oracle.REJECTED_COLUMNS,
        ordered(astuple(row) for row in expected.rejected),
        ordered(table_rows(book, run_id, "rejected_enrollments", oracle.REJECTED_COLUMNS)),
    )
    fields = {
        (delivery.names.get(file, file), row): raw
        for (file, row), raw in quarantined_fields(book, run_id).items()
    }
    same(
        f"{where}: quarantine's raw, read back as CSV",
        ("file", "row", "fields"),
        ordered((row.file, row.row, row.fields) for row in expected.quarantine),
        ordered((file, row, raw) for (file, row), raw in fields.items()),
    )
    compare_record(where, record_of(book, run_id), expected)


def compare_record(where: str, record: dict[str, Any], expected: oracle.Night) -> None:
    points = {"awarded": expected.points_awarded, "reversed": expected.points_reversed}
    splits: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("counts", record["counts"], vars(expected.counts)),
        ("counts.enrollments", record["counts"]["enrollments"], vars(expected.enrollment_counts)),
        ("yen", record["yen"], vars(expected.yen)),
        ("points", record["points"], points),
    ]
    assert record["run_id"] == expected.run_id, where
    for what, split, wanted in splits:
        said = stated(split, wanted)
        assert said == wanted, f"{where}: record: {what}\n  expected: {wanted}\n  is:       {said}"


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


@pytest.mark.parametrize("chunk", CHUNKS)
def test_the_engine_books_random_worlds_as_the_oracle_does(chunk: int, tmp_path: Path) -> None:
    first = FIRST_SEED + chunk * WORLDS_A_TEST
    for seed in range(first, first + WORLDS_A_TEST):
        threads, rows_per_slice = SETTINGS[seed % len(SETTINGS)]
        check_world(
            worlds.make(seed),
            tmp_path / str(seed),
            partial(run_engine, threads=threads, rows_per_slice=rows_per_slice),
            f"seed {seed}, threads={threads}, rows_per_slice={rows_per_slice}",
        )


@pytest.mark.parametrize("seed", RICH[:5])
def test_the_command_line_books_random_worlds_as_the_oracle_does(seed: int, tmp_path: Path) -> None:
    check_world(worlds.make(seed), tmp_path, run_command, f"seed {seed}")


@pytest.mark.parametrize(
    "case", sorted(path.stem for path in CASES.glob("*.toml") if path.stem != "services")
)
@pytest.mark.parametrize("rows_per_slice", [None, 1])
def test_the_engine_books_the_conformance_case_as_the_oracle_does(
    case: str, rows_per_slice: int | None, tmp_path: Path
) -> None:
    spec = tomllib.loads((CASES / f"{case}.toml").read_text(encoding="utf-8"))
    services = (CASES / "services.toml").read_text(encoding="utf-8")
    nights = []
    for number, night in enumerate(spec["nights"]):
        roles = {
            role: ((f"{role}.csv", night[role]),) if role in night else ()
            for role in ("enrollments", "transactions")
        }
        nights.append(
            worlds.Night(
                booked_on=night["booked_on"],
                terms_as_of=None,
                services=services if number == 0 else None,
                enrollment_rows=(),
                transaction_rows=(),
                enrollments=roles["enrollments"],
                transactions=roles["transactions"],
            )
        )
    world = worlds.World(0, None, tuple(nights))
    check_world(world, tmp_path, partial(run_engine, rows_per_slice=rows_per_slice), case)


# --- What must change nothing ---------------------------------------------------------------------


def books_hold_the_same(
    what: str, world: worlds.World, one: Path, other: Path, *, numbering: bool
) -> None:
    """Compare two books of the same rows; `numbering`: in the same places of their files."""
    ledger_of_one, ledger_of_other = committed_rows(one), committed_rows(other)
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
            "quarantine": ("row", "errors", "raw") if numbering else ("errors",),
        }
        for table, columns in tables.items():
            same(
                f"{where}: {table}",
                columns,
                ordered(table_rows(one, run_id, table, columns)),
                ordered(table_rows(other, run_id, table, columns)),
            )


@pytest.mark.parametrize("seed", RICH)
def test_shuffled_rows_and_other_files_give_the_identical_ledger(seed: int, tmp_path: Path) -> None:
    world = worlds.make(seed)
    one = run_world(world, tmp_path / "one")
    other = run_world(worlds.redelivered(world, seed + 1), tmp_path / "other")
    books_hold_the_same(f"seed {seed}", world, one, other, numbering=False)


@pytest.mark.parametrize("seed", RICH)
@pytest.mark.parametrize(("threads", "rows_per_slice"), [(4, None), (1, 3), (4, 3), (1, 1), (3, 7)])
def test_threads_and_slices_give_the_identical_ledger(
    seed: int, threads: int, rows_per_slice: int | None, tmp_path: Path
) -> None:
    world = worlds.make(seed)
    one = run_world(world, tmp_path / "one", threads=1)
    other = run_world(world, tmp_path / "other", threads=threads, rows_per_slice=rows_per_slice)
    books_hold_the_same(f"seed {seed}", world, one, other, numbering=True)


@pytest.mark.parametrize("seed", RICH)
@pytest.mark.parametrize("form", ["gz", "zst"])
def test_compressed_files_give_the_identical_ledger(seed: int, form: str, tmp_path: Path) -> None:
    world = worlds.make(seed)
    one = run_world(world, tmp_path / "one")
    other = run_world(world, tmp_path / "other", form=form)
    books_hold_the_same(f"seed {seed}", world, one, other, numbering=True)


def parquet_of(rows: Sequence[worlds.Row], role: str, path: Path, *, typed: bool) -> Path:
    """Write the rows as a Parquet file, every value as text or in its own type."""
    required, optional = worlds.columns_of(role)
    readers: dict[str, tuple[pl.DataType, Callable[[str], Any]]] = {"amount": (pl.Int64(), int)}
    for column in ("occurred_at", "applied_at", "reserved_at", "certificate_issued_at"):
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


@pytest.mark.parametrize("seed", RICH_AND_CLEAN)
@pytest.mark.parametrize("typed", [False, True])
def test_parquet_files_are_booked_as_the_same_rows_in_csv(
    seed: int, typed: bool, tmp_path: Path
) -> None:
    world = worlds.make(seed, clean=True)
    book = tmp_path / "book"
    for number, expected in enumerate(worlds.booked_by_the_oracle(world)):
        delivery = DeliveredAs(world, number, tmp_path / "csv")
        folder = tmp_path / "parquet" / str(number)
        night = delivery.night
        delivery.enrollments = [
            parquet_of(night.enrollment_rows, "enrollments", folder / "e.parquet", typed=typed)
        ]
        delivery.transactions = [
            parquet_of(night.transaction_rows, "transactions", folder / "t.parquet", typed=typed)
        ]
        run_engine(book, delivery)
        where = f"seed {seed}, night {number + 1}"
        ledger = [astuple(entry) for entry in expected.ledger]
        same(where, oracle.LEDGER_COLUMNS, ledger, ledger_rows(book, expected.run_id))
        compare_record(where, record_of(book, expected.run_id), expected)


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
    """Refunds come last, so that none lacks its original; with one account to a person."""
    world = worlds.make(seed, clean=True, rounding="cumulative")
    rng = Random(seed)
    rows = [row for night in world.nights for row in night.transaction_rows]
    refunds = [row for row in rows if kind_of(row) == "refund"]
    others = [row for row in rows if kind_of(row) != "refund"]
    rng.shuffle(others)
    held = []
    for name, count in (("one", 1), ("five", 5)):
        parts = cut(rng, others, count)
        parts[-1] = [*parts[-1], *refunds]
        book = run_world(worlds.cut_into_nights(world, seed, parts), tmp_path / name)
        ledger = pl.read_delta(str(book / "ledger"))
        held.append(
            ledger.group_by("person_id")
            .agg(
                pl.struct("service_id", "account_id").n_unique().alias("accounts"),
                pl.col("amount", "counted_amount", "points").sum(),
            )
            .filter(pl.col("accounts") == 1)
            .sort("person_id")
            .rows()
        )
    columns = ("person_id", "accounts", "amount", "counted_amount", "points")
    same(f"seed {seed}", columns, held[0], held[1])

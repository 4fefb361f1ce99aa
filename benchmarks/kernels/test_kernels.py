"""The parts of a run, each on its own: `make bench` times them.

`make test` runs each once on a few rows, so that they stay in step with the engine.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from generate import SERVICES_TOML, World
from pytest_benchmark.fixture import BenchmarkFixture

from engine.booking.duplicates import Occurrences, repeated_within
from engine.booking.enrollment import enroll
from engine.booking.fold import Night, fold
from engine.booking.recounted import Voids
from engine.booking.remembering import enrolled
from engine.booking.standing import Standing
from engine.booking.state import Past, content_hashes
from engine.columns.hashing import FewHashes, hash_pair
from engine.io.book.ledger import write_part
from engine.io.book.waiting import Waiting
from engine.io.delivered.deliveries import find_delivered
from engine.io.delivered.role_files import Files
from engine.io.delivered.roles import TRANSACTIONS
from engine.io.delivered.rows import PartRows
from engine.io.run.intake import Intake
from engine.io.run.joining import JoinedAccounts
from engine.io.run.reconsidering import Reconsidering
from engine.io.run.shuffle import SeenKeys, Shuffle
from engine.reading.canonical import Reading, read_enrollments, read_transactions
from engine.terms.programme import load_programme
from engine.terms.services import parse_services

T = TypeVar("T")
# A slice's worth; and enough to see that it runs.
ROWS, FEW_ROWS = 500_000, 2_000
THREADS = 2
NOTHING_WANTED = FewHashes(np.empty(0, np.uint64))


@dataclass
class Desk:
    """A delivery, read and half booked, for the kernels to start from."""

    folder: Path
    delivered: pl.DataFrame
    past: Past
    night: Night
    parts: list[PartRows] = field(init=False)

    def __post_init__(self) -> None:
        self.delivered.write_parquet(self.folder / "some.parquet")
        self.delivered.write_csv(self.folder / "some.csv", datetime_format="%Y-%m-%d %H:%M:%S")
        self.parts = self.read("some.parquet")

    def read(self, name: str) -> list[PartRows]:
        """Reads a file as a run does."""
        files = Files(TRANSACTIONS, find_delivered([self.folder / name], "transactions"))
        with ThreadPoolExecutor(THREADS) as pool:
            parts = files.read(pool, THREADS + 1, lambda rows: rows)
            return [rows for pieces, _ in parts for rows in pieces]

    def intake(self) -> Intake:
        """An intake into one slice, nothing taken in yet."""
        day = self.night.booked_on
        waiting = Waiting(self.folder)
        reconsidering = Reconsidering(
            waiting, self.past, Voids.none(), everything=False, booked_on=day, days=None
        )
        return Intake(
            self.past,
            self.night.services,
            reconsidering,
            JoinedAccounts.of(Standing((), ()), reconsidering),
            None,
            Shuffle("enrolled", 1, None),
            Shuffle("unenrolled", 1, None),
            SeenKeys(None, self.delivered.height),
        )

    def slice_rows(self) -> pl.DataFrame:
        """What reaches the fold, duplicates and conflicts left out."""
        intake = self.intake()
        for rows in self.parts:
            intake.take(rows)
        taken = intake.enrolled.take(0)
        return taken.unique(["account_no", "transaction_id"], keep="none")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Desk:
    option = request.config.getoption
    timed = option("benchmark_enable") or not option("benchmark_disable")
    rows = ROWS if timed else FEW_ROWS
    world = World(rows, people=rows // 8, seed=1, broken_per_million=0)
    programme = load_programme("mynapoint-2020")
    services, terms = parse_services(SERVICES_TOML, "services"), programme.terms_as_of(None)
    read = read_enrollments(world.enrollments(0, world.people)).good
    read = read.with_columns(row_ref=pl.int_range(pl.len())).drop("row")
    past = Past.empty()
    taken_in = enroll(read, past.registry, past.corrections, services, terms, 1)
    past = enrolled(past, taken_in.accepted, past.corrections)
    night = Night(
        "000001",
        dt.date(2021, 10, 1),
        programme,
        terms,
        services,
        past,
        past,
        past.registry.for_deciding(services),
        np.empty(0, np.int64),
        lambda _: Voids.none().entries,
    )
    folder = tmp_path_factory.mktemp("kernels")
    return Desk(folder, world.transactions(0, rows), past, night)


def fresh(benchmark: BenchmarkFixture, work: Callable[..., T], make: Callable[[], Any]) -> T:
    """Times work that uses up what it is given."""
    rounds = 1 if benchmark.disabled else 5
    pedantic: Callable[..., T] = benchmark.pedantic
    return pedantic(work, setup=lambda: ((make(),), {}), rounds=rounds)


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_reading_a_file(desk: Desk, benchmark: BenchmarkFixture, kind: str) -> None:
    parts = benchmark(desk.read, f"some.{kind}")
    assert sum(rows.good.height for rows in parts) == desk.delivered.height


@pytest.mark.parametrize("kind", ["typed", "text"])
def test_canonical_forms(desk: Desk, benchmark: BenchmarkFixture, kind: str) -> None:
    delivered: pl.DataFrame | pa.Table = desk.delivered
    if kind == "text":
        at = pl.col("occurred_at").dt.strftime("%Y-%m-%d %H:%M:%S")
        delivered = desk.delivered.with_columns(at).cast(pl.String).to_arrow()
    reading: Reading = benchmark(read_transactions, delivered)
    assert reading.good.height == desk.delivered.height


def test_intake(desk: Desk, benchmark: BenchmarkFixture) -> None:
    def take(intake: Intake) -> int:
        for rows in desk.parts:
            intake.take(rows)
        return sum(intake.enrolled.rows) + sum(intake.unenrolled.rows)

    assert fresh(benchmark, take, desk.intake) == desk.delivered.height


def test_keys_seen_twice(desk: Desk, benchmark: BenchmarkFixture) -> None:
    parts = []
    for rows in desk.parts:
        keys = hash_pair(rows.good["service_id"], rows.good["transaction_id"])
        row_refs = rows.good["row_ref"].to_numpy()
        parts.append(Occurrences.of(keys, content_hashes(rows.good, keys), row_refs))
    seen = Occurrences(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    repeated = benchmark(repeated_within, seen)
    assert repeated.duplicates.size


def test_deciding_and_awarding(desk: Desk, benchmark: BenchmarkFixture) -> None:
    rows = desk.slice_rows()
    folded = benchmark(fold, rows, desk.night, NOTHING_WANTED, Voids.none())
    placed = folded.entries.height + folded.declined.height + folded.pending.height
    assert placed == rows.height
    assert folded.entries["points"].sum() > 0


@pytest.fixture
def ledger(desk: Desk) -> Iterator[Path]:
    folder = desk.folder / "ledger"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_writing_a_ledger_file(desk: Desk, benchmark: BenchmarkFixture, ledger: Path) -> None:
    entries = fold(desk.slice_rows(), desk.night, NOTHING_WANTED, Voids.none()).entries

    def place() -> Path:
        (ledger / "part.parquet").unlink(missing_ok=True)
        return ledger

    part = fresh(
        benchmark,
        lambda folder: write_part(entries, folder, "part.parquet", desk.night.programme.cap_yen),
        place,
    )
    assert part.totals.rows == entries.height

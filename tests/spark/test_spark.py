"""Runs whose slices are folded by Spark, in a local cluster of processes; apart from the other
tests, since they need Java: `make test-spark`.
"""

import faulthandler
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import worlds
from against_the_oracle import DeliveredAs, run_engine
from deliveries import Desk, transaction
from sample_book import booked_sample, sample_nights

import mynapoint
from engine.io.book.folder import Book
from engine.io.run.nightly import on_this_machine
from engine.io.run.one_run import Calculated, Calculator, Run
from engine.spark import on_spark

pytestmark = pytest.mark.spark

LONGEST_SECONDS = 480
# Two tasks at once, each tried four times: elsewhere than on a cluster, Spark tries once.
MASTER = "local[2,4]"
LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
# Of the record, all but when, where and by which command the run was made.
SAME = ("booked_on", "programme", "services_sha256", "inputs", "outputs", "counts", "yen", "points")


@pytest.fixture(scope="module")
def spark() -> Iterator[Calculator]:
    """What calculates a run on Spark, which is started once."""
    pytest.importorskip("pyspark")
    # Whatever hangs, this process ends, and with it Spark.
    faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
    try:
        with on_spark(MASTER, LOOPBACK) as how:
            yield how
    finally:
        faulthandler.cancel_dump_traceback_later()


def assert_same_book(book: Path, other: Path) -> None:
    """Every file that speaks of what was booked has the same bytes in both books."""
    runs = Book(book).committed_runs()
    assert Book(other).committed_runs() == runs
    for number in range(1, runs + 1):
        records = [Book(path).record(number) for path in (book, other)]
        for name in SAME:
            assert getattr(records[0], name) == getattr(records[1], name), (number, name)
    names = {path.name for path in (book / "ledger").glob("*.parquet")}
    assert names == {path.name for path in (other / "ledger").glob("*.parquet")}
    assert not (other / "staging").exists()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's first nights, booked on one machine, in some slices each."""
    return booked_sample(tmp_path_factory.mktemp("alone") / "book", 2, rows_per_slice=200)


@pytest.mark.parametrize("seed", [6, 12])
def test_a_world_with_events_gives_the_same_book_byte_for_byte(
    tmp_path: Path, spark: Calculator, seed: int
) -> None:
    world = worlds.make(seed, corrected=True)
    for number in range(len(world.nights)):
        delivery = DeliveredAs(world, number, tmp_path)
        for name, how in (("alone", None), ("spark", spark)):
            run_engine(tmp_path / name, delivery, how=how, rows_per_slice=2)
    assert_same_book(tmp_path / "alone", tmp_path / "spark")
    book = Book(tmp_path / "spark")
    counts = [book.record(number).counts for number in range(1, book.committed_runs() + 1)]
    assert sum(count.voided for count in counts)
    assert sum(count.recounted for count in counts)
    assert len(list(book.ledger.glob("*.parquet"))) > book.committed_runs()


def test_a_book_is_run_by_either_in_turn(tmp_path: Path, spark: Calculator, alone: Path) -> None:
    ways = iter((None, spark))

    def by_turns(run: Run, staged: Path) -> Calculated:
        how = next(ways) or on_this_machine
        return how(run, staged)

    assert_same_book(alone, booked_sample(tmp_path / "book", 2, rows_per_slice=200, how=by_turns))


def test_tasks_that_are_killed_when_they_are_done_are_done_again_and_nothing_is_double(
    tmp_path: Path, spark: Calculator, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    struck = tmp_path / "struck"
    struck.mkdir()
    written: list[int] = []

    def once_more(sent: Any, folder: Path, fingerprint: str, people: Any) -> Any:
        from engine.spark.task import fold_there

        answer = fold_there(sent, folder, fingerprint, people)
        mark = struck / f"{folder.name}-{people.number}"
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    def count(run: Run, staged: Path) -> Calculated:
        calculated = spark(run, staged)
        [folder] = run.book.staging.glob("tasks-*")
        written.append(len(list(folder.iterdir())))
        return calculated

    monkeypatch.setattr("engine.spark.cluster.fold_there", once_more)
    book = booked_sample(tmp_path / "book", 2, rows_per_slice=200, how=count)
    # What the first attempts wrote is still there, beside what was used.
    assert len(list(struck.iterdir())) >= sum(written) >= 4
    assert_same_book(alone, book)


def test_an_error_of_a_task_is_the_error_of_the_run_and_books_nothing(
    tmp_path: Path, spark: Calculator, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        return mynapoint.BookError("a part: cannot be read back", hint="check the disk")

    def breaks(*_: Any) -> Any:
        raise ZeroDivisionError("a person's ID")

    desk = Desk(tmp_path)
    for task, said in (
        (fails, "a part: cannot be read back"),
        (breaks, "Spark gave up: ZeroDivisionError at test_spark.py:"),
    ):
        monkeypatch.setattr("engine.spark.cluster.fold_there", task)
        with pytest.raises(mynapoint.BookError) as refused:
            desk.run(desk.transactions([transaction(1)]), how=spark)
        assert said in refused.value.message
        assert "person" not in refused.value.message
        assert desk.holds_nothing()


def test_the_command_prints_what_it_prints_on_one_machine(tmp_path: Path) -> None:
    folder, day = sample_nights()[0]
    said = []
    for name in ("alone", "spark"):
        settings = [part for item in LOOPBACK.items() for part in ("--conf", "=".join(item))]
        options = ["--engine", "spark", "--master", "local[2]", *settings]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mynapoint", "run", name, "--booked-on", str(day)),
                *("--enrollments", folder / "enrollments.csv", "--max-quarantined", "1"),
                *("--transactions", f"{folder}/transactions-*"),
                *(options if name == "spark" else ()),
            ],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            timeout=300,
        )
        assert done.returncode == 0
        assert "this run has made a new one" in done.stderr
        assert done.stderr.count("\n") == 1
        said.append(done.stdout.replace(name, "book"))
    assert said[0] == said[1]
    assert_same_book(tmp_path / "alone", tmp_path / "spark")

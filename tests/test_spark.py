"""Runs on a real Spark cluster: one master, two workers, processes of their own on the loopback.

Apart from the other tests, since they need Java: `make test-spark`.
"""

import datetime as dt
import faulthandler
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import small_nights
from deliveries import Desk, as_csv, enrollment, transaction
from small_nights import deliver
from spark_cluster import LOOPBACK, Cluster
from test_individual_numbers import numbers
from two_engines import assert_same_run

import mynapoint
from engine.io.book.folder import Book
from engine.spark import on_spark

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_data"
NIGHTS = 3
LONGEST_SECONDS = 480
COMMAND = (sys.executable, "-m", "mynapoint")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("pyspark")
    # Whatever hangs, this process ends, and with it the cluster.
    faulthandler.dump_traceback_later(LONGEST_SECONDS, exit=True)
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield cluster
    finally:
        cluster.stop()
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture(scope="module")
def on_cluster(cluster: Cluster) -> Iterator[Any]:
    """What makes a run on the cluster; Spark is started once."""
    os.environ.update(cluster.environment)
    with on_spark(cluster.master, LOOPBACK) as how:
        yield how


def sample_night(number: int) -> dict[str, Any]:
    folder = SAMPLE / f"night-{number:03}"
    return {
        "booked_on": dt.date(2020, 9, number),
        "transactions": [f"{folder}/transactions-*"],
        "enrollments": [folder / "enrollments.csv"],
        "max_quarantined": 1.0,
    }


def arguments(book: Path, number: int) -> list[str]:
    """The same as a command line."""
    night = sample_night(number)
    return [
        *("run", str(book), "--booked-on", night["booked_on"].isoformat()),
        *("--transactions", *night["transactions"], "--max-quarantined", "1"),
        *("--enrollments", str(night["enrollments"][0])),
    ]


def on_spark_options(cluster: Cluster) -> list[str]:
    settings = [part for item in LOOPBACK.items() for part in ("--conf", "=".join(item))]
    return ["--engine", "spark", "--master", cluster.master, *settings]


def command(cluster: Cluster, *parts: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *parts],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=dict(cluster.environment),
        timeout=240,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample's nights, booked on one machine."""
    book = tmp_path_factory.mktemp("alone") / "book"
    for number in range(1, NIGHTS + 1):
        mynapoint.run(book, **sample_night(number))
    return book


def test_nights_on_the_cluster_are_those_of_one_machine(
    tmp_path: Path, on_cluster: Any, alone: Path
) -> None:
    for number in range(1, NIGHTS + 1):
        mynapoint.run(tmp_path / "book", **sample_night(number), how=on_cluster, rows_per_slice=200)
        assert_same_run(alone, tmp_path / "book", number)
    assert len(list((tmp_path / "book" / "ledger").glob("*.parquet"))) > 2 * NIGHTS


def test_one_book_is_run_by_either_in_turn(tmp_path: Path, on_cluster: Any, alone: Path) -> None:
    for number in range(1, NIGHTS + 1):
        how = {} if number == 2 else {"how": on_cluster}
        mynapoint.run(tmp_path / "book", **sample_night(number), **how)
        assert_same_run(alone, tmp_path / "book", number)


def test_the_same_run_again_changes_nothing(tmp_path: Path, on_cluster: Any) -> None:
    night = deliver(tmp_path, 1)
    night.book(tmp_path / "book")
    before = small_nights.Held.of(tmp_path / "book")
    again = mynapoint.run(
        tmp_path / "book",
        booked_on=night.booked_on,
        transactions=[night.transactions],
        enrollments=[night.enrollments],
        services=night.services,
        max_quarantined=1,
        how=on_cluster,
    )
    assert again.already_booked
    after = small_nights.Held.of(tmp_path / "book")
    assert after.runs == 1
    assert small_nights.same_ledger(before.ledger, after.ledger)


def test_a_worker_killed_in_the_middle_changes_nothing(
    tmp_path: Path, cluster: Cluster, on_cluster: Any, alone: Path
) -> None:
    struck: list[tuple[int, int]] = []

    def strike(phase: str, done: int, total: int) -> None:
        if phase == "transactions" and not struck and 2 < done < total:
            struck.append((done, total))
            cluster.kill_worker()

    book = tmp_path / "book"
    mynapoint.run(book, **sample_night(1), how=on_cluster, rows_per_slice=50, progress=strike)
    assert struck
    cluster.add_worker()
    assert_same_run(alone, book, 1)


def test_after_a_killed_driver_the_next_run_clears_up_and_books_the_same(
    tmp_path: Path, cluster: Cluster, on_cluster: Any, alone: Path
) -> None:
    book = tmp_path / "book"
    mynapoint.run(book, **sample_night(1))
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_spark import LOOPBACK, engine, on_spark, sample_night
def tell(phase, done, total):
    if phase == "transactions" and done > 2:
        print("there", flush=True)
with on_spark({cluster.master!r}, LOOPBACK) as how:
    mynapoint.run({str(book)!r}, **sample_night(2), how=how, rows_per_slice=50, progress=tell)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env=dict(cluster.environment),
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "there\n"
        driver.send_signal(signal.SIGKILL)
        driver.wait(timeout=30)
    assert Book(book).committed_runs() == 1
    assert list((book / "staging").glob("tasks-*"))
    mynapoint.run(book, **sample_night(2), how=on_cluster)
    for number in (1, 2):
        assert_same_run(alone, book, number)


def test_the_command_prints_what_it_prints_on_one_machine(tmp_path: Path, cluster: Cluster) -> None:
    one = command(cluster, *arguments(tmp_path / "one", 1))
    other = command(cluster, *arguments(tmp_path / "other", 1), *on_spark_options(cluster))
    assert (other.returncode, other.stderr) == (0, "")
    assert other.stdout == one.stdout.replace(str(tmp_path / "one"), str(tmp_path / "other"))
    assert_same_run(tmp_path / "one", tmp_path / "other", 1)


def test_spark_submit_starts_it_too(tmp_path: Path, cluster: Cluster, alone: Path) -> None:
    import pyspark

    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    settings = [part for item in LOOPBACK.items() for part in ("--conf", "=".join(item))]
    done = subprocess.run(
        [
            *(str(submit), "--master", cluster.master, *settings),
            str(ROOT / "pipelines" / "__main__.py"),
            *arguments(tmp_path / "book", 1),
            *("--engine", "spark", "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        env=dict(cluster.environment),
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"] == Book(alone).record(1).to_json()["counts"]
    assert_same_run(alone, tmp_path / "book", 1)


@pytest.mark.parametrize(
    "content",
    [
        b"transaction_id,service_id,account_id,occurred_at,kind\nT1,coin,A1,2020-09-05,purchase\n",
        b"transaction_id,service_id,account_id,occurred_at,kind,amount\nT\x83,coin,A1,2020,x,1\n",
        b"\x1f\x8b\x08broken",
    ],
    ids=["a column short", "not UTF-8", "a torn archive"],
)
def test_an_unusable_delivery_is_refused_in_the_same_words(
    tmp_path: Path, on_cluster: Any, content: bytes
) -> None:
    desk = Desk(tmp_path)
    broken = desk.write("broken.csv", content)
    said = []
    for how in (None, on_cluster):
        with pytest.raises(mynapoint.InputError) as refused:
            desk.run(desk.transactions([transaction(1)]), broken, how=how)
        said.append((refused.value.message, refused.value.hint))
        assert desk.holds_nothing()
    assert said[0] == said[1]


def test_too_large_a_share_in_quarantine_books_nothing(tmp_path: Path, on_cluster: Any) -> None:
    desk = Desk(tmp_path)
    rows = [transaction(1), transaction(2, amount="many")]
    with pytest.raises(mynapoint.InputError, match="1 of 3 rows would go to quarantine"):
        desk.run(desk.transactions(rows), max_quarantined=0.1, how=on_cluster)
    assert desk.holds_nothing()


def test_individual_numbers_are_refused_on_the_cluster_too(tmp_path: Path, on_cluster: Any) -> None:
    desk = Desk(tmp_path)
    people = [
        enrollment(number, person_id=person_id) for number, person_id in enumerate(numbers(200))
    ]
    desk.enrollments = desk.write("enrollments.csv", as_csv(people))
    with pytest.raises(mynapoint.InputError, match="Individual Numbers"):
        desk.run(desk.transactions([transaction(1)]), how=on_cluster)
    assert desk.holds_nothing()

"""One writer at a time, whoever it is and however it ends; readers are never in the way."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import small_nights
from command_line import COMMAND
from small_nights import Night, deliver, digests, ledger_of, same_ledger

import mynapoint
from engine.io.book.folder import Book
from engine.io.book.writing import locked

IN_USE = "another run is writing to this book"
WAIT = "wait until it has ended, then run again, or say --wait SECONDS; nothing was booked"
RUNS = 4
MOST_ATTEMPTS = RUNS * 10


def start(night: Night, book: Path) -> subprocess.Popen[str]:
    # Who comes first is chance, so a later night may be booked before an earlier one.
    return subprocess.Popen(
        [*COMMAND, *night.arguments(book), "--allow-backdating"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def held_at(moment: str, night: Night, book: Path) -> Iterator[None]:
    """A run in a process of its own that stops at a moment, and is killed there in the end."""
    program = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(small_nights.__file__).parent)!r})
from small_nights import Night
from engine.io import durable
def before(kind, path):
    if kind == {moment!r}:
        print("there", flush=True)
        sys.stdin.read()
durable.before_operation = before
Night(pathlib.Path({str(night.folder)!r}), {night.number}).book(pathlib.Path({str(book)!r}))
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        try:
            yield
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=30)


def test_four_runs_at_once_book_everything_once(tmp_path: Path) -> None:
    book = tmp_path / "book"
    nights = [deliver(tmp_path, number, refers_back=False) for number in range(1, RUNS + 1)]
    alone = [night.book(tmp_path / f"alone-{night.number}") for night in nights]
    waiting, together, attempts = nights, RUNS, 0
    while waiting:
        running = [(night, start(night, book)) for night in waiting[:together]]
        attempts += len(running)
        # Those that met the lock are started again, two by two to save time.
        waiting, together = waiting[together:], 2
        for night, process in running:
            out, err = process.communicate(timeout=120)
            assert process.returncode in (0, 3), err
            if process.returncode == 3:
                assert IN_USE in err
                assert out == ""
                waiting.append(night)
        assert attempts <= MOST_ATTEMPTS
    assert Book(book).committed_runs() == RUNS
    ledger = ledger_of(book)
    expected = pl.concat([ledger_of(result.book) for result in alone])
    what = [name for name in expected.columns if name != "run_id"]
    order = ["person_id", "entry_seq"]
    assert same_ledger(ledger.select(what).sort(order), expected.select(what).sort(order))
    assert not ledger.select("service_id", "transaction_id").is_duplicated().any()
    records = [Book(book).record(number) for number in range(1, RUNS + 1)]
    assert sorted(record.booked_on for record in records) == [night.booked_on for night in nights]


def test_a_second_run_stops_a_reader_does_not_and_a_dead_writer_is_no_writer(
    tmp_path: Path,
) -> None:
    book = tmp_path / "book"
    first, second, third = (deliver(tmp_path, number) for number in (1, 2, 3))
    first.book(book)
    ledger = ledger_of(book)
    with held_at("commit", second, book):
        held = digests(book)
        for night in (second, third):
            out, err = (process := start(night, book)).communicate(timeout=60)
            assert process.returncode == 3
            assert out == ""
            assert err.splitlines() == [
                f"error: {book}: {IN_USE}",
                f"hint: {WAIT}",
            ]
        assert digests(book) == held
        assert same_ledger(ledger_of(book), ledger)
        assert pl.read_parquet(book / "ledger" / "*.parquet").height > ledger.height
    assert same_ledger(ledger_of(book), ledger)
    out, err = (process := start(third, book)).communicate(timeout=60)
    assert process.returncode == 0, err
    assert Book(book).committed_runs() == 2
    # What the killed run left is gone: the files alone say what the log says.
    alone = pl.read_parquet(book / "ledger" / "*.parquet").sort("run_id", "person_id", "entry_seq")
    assert same_ledger(alone, ledger_of(book))
    assert Book(book).record(2).booked_on == third.booked_on


def test_a_second_run_within_one_process_stops_too(tmp_path: Path) -> None:
    book = tmp_path / "book"
    night = deliver(tmp_path, 1)
    with locked(Book(book)):
        try:
            night.book(book)
        except mynapoint.BookError as error:
            message = error.message
        else:
            message = ""
    assert message == f"{book}: {IN_USE}"
    assert not night.book(book).already_booked


def test_the_same_run_again_is_recognised_even_if_the_first_died_at_its_commit(
    tmp_path: Path,
) -> None:
    book = tmp_path / "book"
    deliver(tmp_path, 1).book(book)
    night = deliver(tmp_path, 2)
    with held_at("committed", night, book):
        pass
    committed = digests(book, "ledger") | digests(book, "runs")
    for _ in range(2):
        done = subprocess.run(
            [*COMMAND, *night.arguments(book)[:-1], "--json"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert record["already_booked"]
        assert record["run_id"] == "000002"
        assert digests(book, "ledger") | digests(book, "runs") == committed
    assert Book(book).committed_runs() == 2

"""What other hands did to a book is named as what it is, and never makes a run do harm."""

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from filelock import FileLock
from small_nights import Night, deliver, digests, ledger_of, same_ledger
from test_concurrent_runs import held_at

import mynapoint
from engine.io import durable
from engine.io.book.folder import Book
from engine.io.book.ledger import delta_schema
from engine.io.book.writing import locked
from pipelines.cli import call
from pipelines.verify import arithmetic, verify


@pytest.fixture
def nights(tmp_path: Path) -> list[Night]:
    return [deliver(tmp_path / "nights", number) for number in (1, 2, 3)]


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-nights")
    for number in (1, 2):
        deliver(folder / "nights", number).book(folder / "book")
    return folder / "book"


@pytest.fixture
def book(tmp_path: Path, two_nights: Path) -> Path:
    """Two nights; a copy to do harm to."""
    return Path(shutil.copytree(two_nights, tmp_path / "book"))


def kinds(book: Path) -> set[str]:
    return set(verify(book).findings.totals)


def refused(night: Night, book: Path) -> mynapoint.MynapointError:
    """The error of a run that changes nothing."""
    before = digests(book)
    with pytest.raises(mynapoint.MynapointError) as raised:
        night.book(book)
    assert isinstance(raised.value, mynapoint.InputError) or "nothing was" in raised.value.hint
    assert digests(book) == before
    return raised.value


# --- The last run cut off -------------------------------------------------------------------------


def test_a_last_run_that_was_cut_off_is_found_by_everything_that_opens_a_book(
    book: Path, nights: list[Night], tmp_path: Path
) -> None:
    shutil.rmtree(book / "index")
    shutil.rmtree(book / "runs" / "000002")
    Book(book).commit_file(2).unlink()
    for part in (book / "ledger").glob("000002-*"):
        part.unlink()
    assert kinds(book) == {"cut_off"}
    delivered = [("--transactions", str(n.transactions)) for n in nights[:1]]
    delivered += [("--enrollments", str(n.enrollments)) for n in nights[:1]]
    assert call(["verify", str(book), *(word for pair in delivered for word in pair)]) == 1
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\n")
    for arguments in (
        ["claim", str(book), "--final"],
        ["report", str(book), "--out", str(tmp_path / "r.html")],
        ["report", str(book), "--out", str(tmp_path / "r.html"), "--verify"],
        ["explain", str(book), "--person", "P010"],
        ["reconcile", str(book), str(claim), "--out", str(tmp_path / "out")],
        ["quarantine", str(book), "1"],
        ["simulate", str(book), "--rate", "30/100", "--quiet"],
        nights[2].arguments(book),
    ):
        with pytest.raises(mynapoint.BookError, match="run 000002 was booked"):
            call(arguments)
    # Neither is the note taken away, nor is it one of a run long ago.
    Book(book).acknowledgement.unlink()
    assert kinds(book) == {"cut_off"}


def test_a_run_added_behind_the_acknowledged_one_is_found(book: Path) -> None:
    Book(book).acknowledgement.write_text("1\n")
    assert not kinds(book)
    Book(book).acknowledgement.write_text("0\n")
    assert kinds(book) == {"cut_off"}


# --- Other programs -------------------------------------------------------------------------------


def optimize(ledger: Path) -> None:
    DeltaTable(ledger).optimize.compact()


def append(ledger: Path) -> None:
    rows = DeltaTable(ledger).to_pyarrow_table().slice(0, 1)
    write_deltalake(ledger, pa.table(rows), mode="append")


def set_properties(ledger: Path) -> None:
    DeltaTable(ledger).alter.set_table_properties({"delta.logRetentionDuration": "interval 3 days"})


@pytest.mark.parametrize(
    ("act", "operation"),
    [
        (optimize, "OPTIMIZE"),
        (append, "WRITE"),
        (set_properties, "SET TBLPROPERTIES"),
    ],
)
def test_another_programs_commit_is_named_and_can_be_undone(
    book: Path, nights: list[Night], act: Callable[[Path], None], operation: str
) -> None:
    sound = digests(book)
    act(book / "ledger")
    added = digests(book).keys() - sound.keys()
    assert added
    found = {finding.kind: finding for finding in verify(book).findings}
    assert found["foreign"].where == "ledger/_delta_log/00000000000000000002.json"
    for text in (found["foreign"].what, refused(nights[2], book).message):
        assert "delta-rs:py-" in text
        assert f"({operation})" in text
    with pytest.raises(mynapoint.BookError, match=operation.split(maxsplit=1)[0]):
        call(["claim", str(book), "--final"])
    # As the documents say: its commits, and the files that verify calls unknown.
    for name in added:
        (book / name).unlink()
    assert not verify(book).findings
    assert not nights[2].book(book).already_booked


def test_the_ledger_opens_in_delta_rs_and_lists_every_feature_that_spark_asks_for(
    book: Path,
) -> None:
    """Spark derives from the metadata which features the protocol must name."""
    table = DeltaTable(book / "ledger")
    assert table.version() == 1
    assert table.transaction_version("mynapoint") == 2
    assert [entry["run_id"] for entry in reversed(table.history())] == ["000001", "000002"]
    fields = json.loads(table.schema().to_json())["fields"]
    protocol = table.protocol()
    assert all(field["nullable"] for field in fields)
    assert table.metadata().configuration["delta.appendOnly"] == "true"
    assert {field["type"] for field in fields} >= {"timestamp_ntz"}
    assert set(protocol.writer_features or ()) == {"appendOnly", "timestampNtz"}
    assert ledger_of(book).height == sum(
        pa.parquet.read_metadata(part).num_rows for part in (book / "ledger").glob("*.parquet")
    )


def test_a_book_whose_schema_says_not_null_is_sound_and_is_mended_by_its_next_run(
    book: Path, nights: list[Night]
) -> None:
    commits = [Book(book).commit_file(number) for number in (1, 2)]
    for commit, earlier in zip(commits, [None, commits[0]], strict=True):
        actions = [json.loads(line) for line in commit.read_text("utf-8").split("\n")]
        for action in actions:
            if "metaData" in action:
                action["metaData"]["schemaString"] = delta_schema(nullable=False)
            if earlier and "commitInfo" in action:
                action["commitInfo"]["previous_commit_sha256"] = durable.sha256_of(earlier)
        commit.write_text(
            "\n".join(json.dumps(a, ensure_ascii=False, separators=(",", ":")) for a in actions),
            "utf-8",
        )
    assert not verify(book).findings
    for _ in range(2):
        nights[-1].book(book)
        table = DeltaTable(book / "ledger")
        assert all(field.nullable for field in table.schema().fields)
        assert not verify(book).findings
        if len(nights) == 3:
            nights.append(deliver(nights[0].folder.parent, 4))
    assert '"metaData"' in Book(book).commit_file(3).read_text("utf-8")
    assert '"metaData"' not in Book(book).commit_file(4).read_text("utf-8")


# --- Links, and folders of other programs ---------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "staging",
        "index",
        "runs/000099",
        "ledger/_delta_log",
        "ledger/x.parquet",
        "runs",
        "payouts",
    ],
)
def test_a_link_inside_a_book_is_refused_and_what_is_behind_it_stays(
    book: Path, nights: list[Night], tmp_path: Path, place: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    link = book / place
    if link.is_dir():
        shutil.copytree(link, outside, dirs_exist_ok=True)
        shutil.rmtree(link)
    (outside / "precious").write_text("")
    link.symlink_to(outside)
    held = digests(outside)
    error = refused(nights[2], book)
    assert f"{link}: this is a link" in error.message
    assert digests(outside) == held
    with pytest.raises(mynapoint.BookError, match="this is a link"):
        call(["claim", str(book), "--final"])
    assert "link" in kinds(book)


def test_nothing_is_noted_behind_a_link(book: Path, nights: list[Night], tmp_path: Path) -> None:
    outside, link = tmp_path / "outside", book / "attempts.jsonl"
    outside.write_text("precious")
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    with pytest.raises(mynapoint.BookError, match="this is a link"):
        call(nights[2].arguments(book))
    assert outside.read_text() == "precious"


def test_a_lock_alone_makes_no_book(tmp_path: Path, nights: list[Night]) -> None:
    other = tmp_path / "app"
    (other / "staging" / "release").mkdir(parents=True)
    (other / ".lock").touch()
    (other / "staging" / "release" / "app.bin").touch()
    assert "holds no book" in refused(nights[0], other).message
    # What a first run leaves that died at once does.
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / ".lock").touch()
    nights[0].book(begun)


# --- The lock -------------------------------------------------------------------------------------


FIRST = "the first run"


def stop_at(
    moment: int,
    there: threading.Event,
    go_on: threading.Event,
    operations: Iterator[int],
    _kind: str,
    _path: Path,
) -> None:
    if threading.current_thread().name == FIRST and next(operations) == moment:
        there.set()
        go_on.wait(60)


def test_a_lock_that_is_removed_while_a_run_holds_it_loses_no_booked_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run books in the meantime, at each moment of the first one."""
    # Whichever comes second is not booked on an earlier day than the other.
    monkeypatch.setattr(Night, "booked_on", dt.date(2020, 10, 5))
    first, second, third = (deliver(tmp_path, n, refers_back=n == 2) for n in (1, 2, 3))
    first.book(tmp_path / "start")
    outcomes = set()
    for moment in range(1, 1000, 29):
        book = tmp_path / "book"
        shutil.rmtree(book, ignore_errors=True)
        shutil.copytree(tmp_path / "start", book)
        there, go_on, booked = threading.Event(), threading.Event(), list[str]()

        before = partial(stop_at, moment, there, go_on, count(1))

        def run(night: Night, booked: list[str], book: Path, there: threading.Event) -> None:
            try:
                booked.append(night.book(book).record.run_id)
            except mynapoint.BookError as error:
                booked.append(error.hint)
            there.set()

        thread = threading.Thread(target=run, args=(second, booked, book, there), name=FIRST)
        durable.before_operation = before
        try:
            thread.start()
            there.wait(60)
            if booked:
                thread.join()
                break
            (book / ".lock").unlink()
            run(third, booked, book, there)
            go_on.set()
            thread.join()
        finally:
            go_on.set()
            durable.before_operation = None
        outcomes.add(tuple(len(outcome) == 6 for outcome in booked))
        for outcome in booked:
            assert len(outcome) == 6 or "nothing" in outcome or "run again" in outcome
        assert not kinds(book) - {"uncommitted"}, (moment, booked)
        assert Book(book).committed_runs() == 1 + sum(len(outcome) == 6 for outcome in booked)
        third.book(book)
        second.book(book)
        assert not kinds(book)
    assert moment > 50
    assert (True, False) in outcomes


@pytest.mark.parametrize("replaced", [False, True])
def test_a_run_whose_lock_is_gone_publishes_nothing(book: Path, replaced: bool) -> None:
    with locked(Book(book)) as held:
        held.lock.unlink()
        if replaced:
            held.lock.touch()
        before = digests(book)
        with pytest.raises(mynapoint.BookError, match="the lock was removed or replaced"):
            held.publish(3)
        (held.staging / "run").mkdir(parents=True)
        held.clear_up()
        # It may be another run's by now.
        assert held.staging.exists()
        assert digests(book) == before


# --- A look that fails ----------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OSError(5, "EIO"), PermissionError(13, "EACCES"), None])
def test_what_is_acknowledged_is_never_cleared_whatever_a_later_look_sees(
    book: Path, nights: list[Night], monkeypatch: pytest.MonkeyPatch, error: OSError | None
) -> None:
    """A look at the log that fails, or passes over its last commit, costs no booked file."""
    nights[2].book(book)
    held, last = digests(book), Book(book).commit_file(3)
    whole = os.listdir

    def passed_over(path: str | Path) -> list[str]:
        if Path(path).name == "_delta_log" and error:
            raise error
        return [name for name in whole(path) if Path(path, name) != last]

    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", passed_over)
        with pytest.raises(mynapoint.BookError) as raised:
            deliver(nights[0].folder.parent, 4).book(book)
    assert "nothing was booked" in raised.value.hint
    assert digests(book) == held
    # Also where that run was not acknowledged, for it died at once after its commit.
    Book(book).acknowledgement.write_text("2\n")
    shutil.rmtree(book / "index")
    with monkeypatch.context() as patch:
        patch.setattr(os, "listdir", passed_over)
        with pytest.raises(mynapoint.BookError):
            deliver(nights[0].folder.parent, 5).book(book)
    assert {name for name in held if not name.startswith("index")} <= digests(book).keys()
    assert nights[2].book(book).already_booked


@pytest.mark.parametrize("moment", ["commit", "committed"])
def test_an_error_at_the_commit_says_nothing_was_booked_only_where_nothing_was(
    book: Path, nights: list[Night], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def before(kind: str, _path: Path) -> None:
        if kind == moment:
            raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "before_operation", before)
        with pytest.raises(mynapoint.BookError) as raised:
            nights[2].book(book)
    error = raised.value
    booked = moment == "committed"
    assert Book(book).committed_runs() == 2 + booked
    assert ("nothing was booked" in error.hint) != booked
    assert ("the run was committed" in error.message) == booked
    assert nights[2].book(book).already_booked == booked
    assert not verify(book).findings


def test_a_lock_that_cannot_be_given_back_takes_nothing_from_a_booked_run(
    book: Path, nights: list[Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    lock_type: Any = FileLock
    release = lock_type._release

    def released_with_an_error(lock: object) -> None:
        release(lock)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(lock_type, "_release", released_with_an_error)
    assert not nights[2].book(book).already_booked
    assert Book(book).committed_runs() == 3


# --- Readers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["rename", "commit", "committed"])
def test_a_verification_sees_nothing_wrong_in_a_run_at_work_and_does_not_hold_it_up(
    book: Path, nights: list[Night], moment: str
) -> None:
    with held_at(moment, nights[2], book):
        assert not verify(book).findings
    # The run was killed there, and what it left is found.
    assert kinds(book) <= {"uncommitted", "index"}
    nights[2].book(book)
    assert not verify(book).findings


def test_a_run_books_while_a_verification_is_at_work(
    book: Path, nights: list[Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = arithmetic.check_arithmetic

    def meanwhile(*arguments: Any) -> bool:
        assert not nights[2].book(book).already_booked
        return whole(*arguments)

    monkeypatch.setattr("pipelines.verify.check_arithmetic", meanwhile)
    assert not verify(book).findings
    assert Book(book).committed_runs() == 3


def test_asking_for_the_lock_holds_nobody_up(book: Path) -> None:
    assert not Book(book).is_being_written()
    with locked(Book(book)):
        assert Book(book).is_being_written()
    assert not Book(book).is_being_written()


def test_a_clock_that_is_set_in_the_middle_of_a_run_is_no_damage(
    tmp_path: Path, nights: list[Night], monkeypatch: pytest.MonkeyPatch
) -> None:
    def before(kind: str, _path: Path) -> None:
        if kind == "commit":
            for part in (tmp_path / "book" / "ledger").glob("*.parquet"):
                os.utime(part, (86_400, 86_400))

    monkeypatch.setattr(durable, "before_operation", before)
    nights[0].book(tmp_path / "book")
    assert not verify(tmp_path / "book").findings


# --- Modes, and where results may go --------------------------------------------------------------


@pytest.mark.parametrize("umask", [0, 0o077])
def test_a_book_and_an_export_are_their_owners_alone(
    tmp_path: Path, nights: list[Night], umask: int
) -> None:
    """Whatever the umask, and whoever made the folder."""
    book, results = tmp_path / "book", tmp_path / "results"
    (tmp_path / "claim").mkdir(mode=0o777)
    for folder in (book, results):
        folder.mkdir()
        folder.chmod(0o777)
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\ncoin,A010,1\n")
    before = os.umask(umask)
    try:
        for night in nights[:2]:
            assert call(night.arguments(book)) == 0
        for arguments in (
            ["explain", str(book), "--person", "P010", "--html", str(results / "p.html")],
            [
                "report",
                str(book),
                "--out",
                str(results / "r.html"),
                "--xlsx",
                str(results / "x.xlsx"),
            ],
            ["quarantine", str(book), "1", "--csv", "--out", str(results / "q")],
            ["claim", str(book), "--final", "--out", str(tmp_path / "claim")],
            ["reconcile", str(book), str(claim), "--out", str(results / "breaks")],
        ):
            call(arguments)
    finally:
        os.umask(before)
    made = [book, *book.rglob("*"), *results.rglob("*"), tmp_path / "claim"]
    made += (tmp_path / "claim").iterdir()
    assert len(made) > 40
    modes = {path: path.stat().st_mode & 0o777 for path in made}
    assert {
        path: mode for path, mode in modes.items() if mode != (0o700 if path.is_dir() else 0o600)
    } == {}


def test_a_result_replaces_nothing_but_what_its_command_wrote(book: Path, tmp_path: Path) -> None:
    page, workbook, own = tmp_path / "r.html", tmp_path / "r.xlsx", tmp_path / "own.html"
    report = ["report", str(book), "--out", str(page), "--xlsx", str(workbook)]
    explain = ["explain", str(book), "--person", "P010", "--html"]
    for _ in range(2):
        assert call(report) == 0
        assert call([*explain, str(own)]) == 0
    others = {
        "text": tmp_path / "text.html",
        "link": tmp_path / "link.html",
        "pipe": tmp_path / "pipe.html",
        "record": book / "runs" / "000001" / "record.json",
        "new in the book": book / "ledger" / "new.html",
    }
    others["text"].write_text("<html>mine</html>")
    others["link"].symlink_to(own)
    os.mkfifo(others["pipe"])
    (tmp_path / "linked").symlink_to(book)
    others["by a link"] = tmp_path / "linked" / "new.html"
    before = digests(book)
    for path in others.values():
        for arguments in ([*explain, str(path)], ["report", str(book), "--out", str(path)]):
            with pytest.raises(mynapoint.InputError):
                call(arguments)
    for arguments in (
        ["quarantine", str(book), "1", "--csv", "--out", str(book / "runs" / "q")],
        ["claim", str(book), "--final", "--out", str(book / "index")],
        ["sample", str(book / "sample")],
        ["report", str(book), "--out", str(page), "--xlsx", str(page)],
    ):
        with pytest.raises(mynapoint.InputError):
            call(arguments)
    assert digests(book) == before
    assert others["text"].read_text() == "<html>mine</html>"
    assert others["link"].is_symlink()


# --- What is said when nobody listens -------------------------------------------------------------


# What is closed one by one: tests/command/test_one_line.py.
@pytest.mark.parametrize("streams", [">/dev/full", "2>/dev/full"])
def test_a_run_ends_as_its_booking_did_whatever_becomes_of_its_output(
    tmp_path: Path, nights: list[Night], streams: str
) -> None:
    assert run_with(streams, *loud(nights[0], tmp_path / "book")) == 0
    assert Book(tmp_path / "book").committed_runs() == 1


def loud(night: Night, book: Path) -> list[str]:
    return [word for word in night.arguments(book) if word != "--quiet"]


def run_with(streams: str, *arguments: str) -> int:
    words = ["bash", "-c", f'"$@" {streams}', "bash", sys.executable, "-m", "mynapoint"]
    return subprocess.run([*words, *arguments], check=False, timeout=60).returncode


@pytest.mark.parametrize("streams", ["<&- >&- 2>&-", ">/dev/full 2>/dev/full"])
def test_every_exit_code_is_the_same_where_nothing_can_be_said(
    tmp_path: Path, nights: list[Night], streams: str
) -> None:
    book = tmp_path / "book"
    assert run_with(streams, *loud(nights[0], book)) == 0
    assert same_ledger(ledger_of(book), ledger_of(nights[0].book(tmp_path / "again").book))
    assert run_with(streams, "explain", str(book), "--person", "nobody") == 1
    assert run_with(streams, "claim", "nothing", "--final") == 2
    if streams == ">/dev/full 2>/dev/full":
        assert run_with(streams, *loud(nights[0], book), "--json") == 0
        assert run_with(streams, "verify", str(book)) == 0
        assert run_with(streams, "explain", str(book), "--person", "P010") == 0
        assert run_with(streams, "--help") == 0
    assert not verify(book).findings

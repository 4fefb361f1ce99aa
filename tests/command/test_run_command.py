"""The command line: exit codes, what goes to stdout and what to stderr, and what it leaves.

In a process of its own where the process is what matters, else in this one, which costs no imports.
"""

import json
import os
import platform
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from command_line import COMMAND, in_this_process, mynapoint, without_note
from deliveries import KEEPS_NO_RUN, ROOT, SAMPLE, Desk, as_csv, bodies, enrollment, transaction

from engine.errors import InputError
from engine.io.run import calculation
from pipelines.__main__ import main
from pipelines.cli import call

NIGHT = ("--booked-on", "2020-09-30")


def words_of(desk: Desk, *arguments: object) -> list[str]:
    return [*map(str, ("run", desk.book, *NIGHT, "--services", desk.services, *arguments))]


def run_in_a_process(
    desk: Desk, *arguments: object, **options: Any
) -> subprocess.CompletedProcess[str]:
    return mynapoint(*words_of(desk, *arguments), **options)


def run(desk: Desk, *arguments: object) -> subprocess.CompletedProcess[str]:
    return in_this_process(*words_of(desk, *arguments))


def run_here(desk: Desk, *arguments: object) -> int:
    """Its exit code alone, or the error."""
    return call(words_of(desk, *arguments))


def says_no(done: subprocess.CompletedProcess[str], code: int, why: str) -> None:
    """Two lines on stderr, what is wrong and what to do; nothing on stdout, no traceback."""
    assert (done.returncode, done.stdout) == (code, "")
    error, hint, *more = done.stderr.splitlines()
    assert error.startswith("error: ")
    assert why in error
    assert hint.startswith("hint: ")
    assert len(hint) > len("hint: ")
    assert not more


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.transactions([transaction(n, amount=str(n * 1000)) for n in range(1, 4)])
    return desk


# --- Wrong usage ----------------------------------------------------------------------------------


def test_help_names_both_commands_and_costs_nothing() -> None:
    done = mynapoint("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "run " in done.stdout
    assert "sample " in done.stdout
    assert "Exit codes" in done.stdout


@pytest.mark.parametrize("command", ["run", "sample"])
def test_each_command_has_its_help(command: str) -> None:
    done = in_this_process(command, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"mynapoint {command} " in done.stdout


def test_the_version_is_that_of_the_package() -> None:
    assert in_this_process("--version").stdout == f"{version('mynapoint')}\n"


WRONG: Mapping[str, tuple[tuple[str, ...], str]] = {
    "no command": ((), "no command"),
    "a command that is none": (("rum",), "rum"),
    "no book": (("run",), "BOOK"),
    "no date": (("run", "BOOK"), "--booked-on"),
    "a date that is none": (("run", "BOOK", "--booked-on", "2020-02-30"), "2020-02-30"),
    "a date in another form": (("run", "BOOK", "--booked-on", "30.9.2020"), "30.9.2020"),
    "a terms' date that is none": (("run", "BOOK", *NIGHT, "--terms-as-of", "x"), "--terms-as-of"),
    "an unknown option": (("run", "BOOK", *NIGHT, "--colour", "red"), "--colour"),
    "a word too many": (("run", "BOOK", "MORE", *NIGHT), "MORE"),
    "no threads": (("run", "BOOK", *NIGHT, "--threads", "0"), "--threads"),
    "a share that is not a number": (("run", "BOOK", *NIGHT, "--max-quarantined", "x"), "max-quar"),
    "a sample of nobody": (("sample", "DIR", "--people", "0"), "--people"),
}


COMMANDS = (
    *((name,) for name in ("run", "verify", "explain", "reconcile", "claim", "report", "simulate")),
    *(("seal",), ("diff",)),
    *(("sample",), ("layouts",), ("preview",), ("quarantine",), ("layout", "new")),
    *(("payout",), ("due",), ("pending",), ("runs",), ("status",), ("check",), ("browse",)),
    *(("draw",), ("remarks",), ("workpapers",)),
    *(("night",), ("config", "show"), ("config", "validate")),
    *(("completion",), ("manual",), ("replay",), ("publish",)),
)


@pytest.mark.parametrize("what", WRONG)
def test_wrong_usage_is_two_lines_and_exit_2(what: str) -> None:
    arguments, why = WRONG[what]
    says_no(in_this_process(*arguments), 2, why)


def test_wrong_usage_is_exit_2_as_a_shell_sees_it() -> None:
    says_no(mynapoint("run", "BOOK", "MORE", *NIGHT), 2, "MORE")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("places", [0, 1, 3])
def test_an_option_that_a_command_does_not_have_is_named(
    command: tuple[str, ...], places: int
) -> None:
    """Also where an option that it needs is missing, and where a value follows."""
    for option in (["--colour", "red"], ["--colour=red"]):
        with pytest.raises(InputError, match="--colour") as caught:
            call([*command, *["BOOK"] * places, *option])
        assert caught.value.message.startswith(f"mynapoint {' '.join(command)}: there is no option")
        assert caught.value.hint == f"see mynapoint {' '.join(command)} --help"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_offers_the_opposites_of_its_options(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    call([*command, "--help"])
    said = capsys.readouterr().out
    assert f"mynapoint {' '.join(command)} " in said
    assert not re.search(r"--(empty|no)-", said)
    with pytest.raises(InputError, match="--empty-transaction"):
        call([*command, "BOOK", "--empty-transaction"])


def test_the_first_example_of_the_help_can_be_copied_whatever_the_width(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = set()
    for columns in ("60", "80", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        said = in_this_process("--help").stdout
        examples.update(re.findall(r"\n\n((?:    .*\n)+)\n", said))
    [example] = examples
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "mynapoint"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m mynapoint "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-euc", example],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert (done.returncode, without_note(done.stderr)) == (0, "")
    record = json.loads((tmp_path / "BOOK" / "runs" / "000001" / "record.json").read_bytes())
    assert record["counts"]["booked"] > 100


UNUSABLE: Mapping[str, tuple[tuple[str, ...], str]] = {
    "a share above one": (("--transactions", "t", "--max-quarantined", "1.5"), "1.5"),
    "no such transactions": (("--transactions", "gone.csv"), "transactions: gone.csv"),
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_used_is_exit_2_and_makes_no_book(tmp_path: Path, what: str) -> None:
    arguments, why = UNUSABLE[what]
    says_no(in_this_process("run", tmp_path / "book", *NIGHT, *arguments), 2, why)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--transactions", "t", "--max-quarantined", "-0.1"), "-0.1"),
        (("--transactions", "t", "--max-quarantined", "nan"), "nan"),
        (("--enrollments", "gone-*.csv"), "enrollments: gone-*.csv"),
        (("--transactions", "README.md", "--services", "gone.toml"), "gone.toml"),
        (("--transactions", "README.md", "--programme", "gone"), "gone"),
        (("--enrollments", f"{SAMPLE}/night-001/*.csv", "--terms-as-of", "2019-01-01"), "2019"),
    ],
)
def test_more_that_cannot_be_used_is_refused(
    tmp_path: Path, arguments: tuple[str, ...], why: str
) -> None:
    with pytest.raises(InputError, match=re.escape(why)) as caught:
        call(["run", str(tmp_path / "book"), *NIGHT, *arguments])
    assert caught.value.exit_code == 2
    assert set(bodies(tmp_path)) <= {f"book/{name}" for name in KEEPS_NO_RUN}


def test_a_file_is_no_book(desk: Desk) -> None:
    desk.book.write_text("a diary")
    says_no(run(desk, "--enrollments", desk.enrollments), 2, f"{desk.book}: this is a file")
    assert desk.book.read_text() == "a diary"


def test_a_folder_with_something_else_in_it_is_no_book_and_is_left_alone(desk: Desk) -> None:
    desk.book.mkdir()
    (desk.book / "diary.txt").write_text("dear")
    with pytest.raises(InputError, match="the folder is not empty and holds no book"):
        run_here(desk, "--enrollments", desk.enrollments)
    assert bodies(desk.book) == {"diary.txt": b"dear"}


def test_a_sample_is_not_written_over_what_is_there(tmp_path: Path) -> None:
    diary = tmp_path / "diary.txt"
    diary.write_text("dear")
    says_no(in_this_process("sample", tmp_path), 2, f"{tmp_path}: there is something already")
    with pytest.raises(InputError, match="there is something already"):
        call(["sample", str(diary)])
    with pytest.raises(InputError, match="Not a directory"):
        call(["sample", str(diary / "x")])
    assert bodies(tmp_path) == {"diary.txt": b"dear"}


# --- A night --------------------------------------------------------------------------------------


def test_a_sample_can_be_booked_and_each_command_says_what_it_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--people", "5", "--transactions", "20", "--nights", "1")
    assert call(["sample", str(tmp_path / "in"), *few]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        str(tmp_path / "in" / name) for name in bodies(tmp_path / "in")
    )
    night = tmp_path / "in" / "night-001"
    done = in_this_process(
        *("run", tmp_path / "book", *NIGHT, "--enrollments", night / "enrollments.csv"),
        *("--transactions", f"{night}/transactions-*", "--max-quarantined", 1),
    )
    assert (done.returncode, without_note(done.stderr)) == (0, "")


def test_the_summary_has_rows_yen_points_and_places_on_stdout_alone(desk: Desk) -> None:
    rows = [transaction(n, amount=str(n * 1000)) for n in (1, 2, 3)]
    rows += [transaction(4, account_id="A9", amount="70"), transaction(5, amount="-1")]
    done = run_in_a_process(
        *(desk, "--enrollments", desk.enrollments, "--transactions", desk.transactions(rows)),
        *("--max-quarantined", "0.5"),
    )
    assert (done.returncode, without_note(done.stderr)) == (0, "")
    said = [line.split() for line in done.stdout.splitlines()]
    for words in (
        ["read", "5", "6,070"],
        ["booked", "3", "6,000"],
        ["declined", "1", "70"],
        ["not_enrolled", "1", "70"],
        ["quarantined", "1", "0"],
    ):
        assert words in said
    assert "1,500 awarded, 0 reversed, 1,500 net" in done.stdout
    assert "1 read, 1 accepted, 0 unchanged, 0 rejected, 0 quarantined" in done.stdout
    assert str(desk.book / "ledger") in done.stdout
    assert str(desk.book / "runs" / "000001") in done.stdout


def test_quiet_prints_nothing_and_json_prints_the_record(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered = ("--enrollments", desk.enrollments)
    quiet = run(desk, *delivered, "--quiet")
    assert (quiet.returncode, quiet.stdout, without_note(quiet.stderr)) == (0, "", "")
    again = run(desk, *delivered, "--json")
    assert (again.returncode, again.stderr) == (0, "")
    assert json.loads(again.stdout) == desk.record() | {"already_booked": True}
    capsys.readouterr()
    run_here(desk, "--transactions", desk.folder / "transactions.csv", "--json")
    assert json.loads(capsys.readouterr().out) == desk.record(2) | {"already_booked": False}


def test_the_same_night_again_says_so_and_is_exit_0(desk: Desk) -> None:
    desk.run()
    done = run(desk, "--enrollments", desk.enrollments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("This very run is in the book already, as run 000001")


@pytest.mark.parametrize("repeated", [False, True])
def test_an_option_takes_several_files_and_may_be_repeated(desk: Desk, repeated: bool) -> None:
    names = ["a.csv", "b.csv", "c.csv"]
    paths = [desk.transactions([transaction(n)], name) for n, name in enumerate(names)]
    files: list[object] = ["--transactions", *paths]
    if repeated:
        files = ["--transactions", paths[0], "--transactions", *paths[1:]]
    assert run_here(desk, *files, "--enrollments", desk.enrollments, "--quiet") == 0
    inputs = desk.record()["inputs"]
    assert [read["name"] for read in inputs] == [str(desk.enrollments), *map(str, paths)]
    assert desk.booked() == ["T0", "T1", "T2"]


def test_a_bar_is_shown_on_a_terminal_and_stdout_stays_clean(desk: Desk) -> None:
    with read_terminal() as (terminal, shown):
        done = run_in_a_process(
            *(desk, "--enrollments", desk.enrollments, "--json"),
            *("--transactions", desk.folder / "transactions.csv"),
            stdout=subprocess.PIPE,
            stderr=terminal,
            capture_output=False,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        )
    assert json.loads(done.stdout)["run_id"] == "000001"
    assert "transactions" in shown.decode()


@contextmanager
def read_terminal() -> Iterator[tuple[int, bytearray]]:
    """A terminal, and what is shown on it in the end.

    It is read while the command runs: a terminal holds a few thousand characters, and whoever
    writes more waits until they are read.
    """
    own_end, terminal = pty.openpty()
    shown = bytearray()

    def read() -> None:
        # The last reader of a terminal that nobody writes to any more gets an error.
        with suppress(OSError):
            while printed := os.read(own_end, 1 << 16):
                shown.extend(printed)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield terminal, shown
    finally:
        os.close(terminal)
        reader.join(timeout=10)
        os.close(own_end)


def test_a_terminal_is_read_however_much_is_shown_on_it() -> None:
    written = b"x" * 200_000
    with read_terminal() as (terminal, shown):
        writer = threading.Thread(target=write_all, args=(terminal, written), daemon=True)
        writer.start()
        writer.join(timeout=10)
        assert not writer.is_alive()
    assert shown == written


def write_all(terminal: int, data: bytes) -> None:
    while data:
        data = data[os.write(terminal, data) :]


def test_each_phase_ends_with_all_of_its_rows(desk: Desk) -> None:
    """Also where the size of the files made more be expected than there are."""
    rows = [transaction(n, method="" if n < 2_000 else "long " * 20) for n in range(20_000)]
    files = [desk.transactions(rows[start::3], f"{start}.csv") for start in range(3)]
    last_of_phase: dict[str, tuple[int, int]] = {}

    def progress(phase: str, done: int, total: int) -> None:
        assert done <= total
        last_of_phase[phase] = (done, total)

    desk.run(*files, progress=progress)
    assert last_of_phase == {
        "index": (1, 1),
        "enrollments": (1, 1),
        "transactions": (20_000, 20_000),
        "booking": (1, 1),
        "commit": (1, 1),
    }


def test_whoever_stops_reading_the_output_changes_nothing(desk: Desk) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = run_in_a_process(
        *(desk, "--enrollments", desk.enrollments),
        stdout=writer,
        stderr=subprocess.PIPE,
        capture_output=False,
    )
    os.close(writer)
    assert (done.returncode, without_note(done.stderr)) == (0, "")
    assert desk.record()["counts"]["enrollments"]["read"] == 1


def test_a_terminal_that_cannot_show_japanese_is_told_all_the_same(desk: Desk) -> None:
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run_in_a_process(desk, "--enrollments", desk.enrollments, "--lang", "ja", env=ascii_only)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stdout.startswith(r"\u8a18\u5e33\u56de 000001")


# --- What books nothing ---------------------------------------------------------------------------


def test_past_the_share_for_the_quarantine_nothing_is_booked_and_at_it_all_is(desk: Desk) -> None:
    # Three of twelve rows, the enrollment and a ragged line among them.
    path = desk.transactions(transaction(n, amount="x" if n < 2 else "5") for n in range(10))
    path.write_text(path.read_text() + "ragged\n")
    delivered = ("--enrollments", desk.enrollments, "--transactions", path)
    says_no(run(desk, *delivered), 2, "the share of 0.05")
    assert set(bodies(desk.book)) <= KEEPS_NO_RUN
    desk.run()
    before = bodies(desk.book, without=["index/"])
    with pytest.raises(InputError, match="3 of 12 rows"):
        run_here(desk, *delivered, "--max-quarantined", "0.2499")
    assert bodies(desk.book, without=["index/"]) == before
    assert not (desk.book / "staging").exists()
    assert run_here(desk, *delivered, "--max-quarantined", "0.25") == 0
    assert len(desk.booked()) == 8


def test_bad_enrollments_count_for_the_share_too(desk: Desk) -> None:
    path = desk.write("e.csv", as_csv([enrollment(1), enrollment(2, applied_at="soon")]))
    with pytest.raises(InputError, match="1 of 2 rows"):
        run_here(desk, "--enrollments", path, "--max-quarantined", "0.4")
    assert desk.holds_nothing()


def test_a_book_in_use_is_exit_3_and_free_again_when_its_user_is_gone(desk: Desk) -> None:
    desk.run()
    before = bodies(desk.book)
    holding = (
        "import sys, filelock\n"
        "with filelock.FileLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(desk.book / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        delivered = ("--transactions", desk.folder / "transactions.csv")
        says_no(run(desk, *delivered), 3, f"{desk.book}: another run is writing")
        assert bodies(desk.book) == before
        other.kill()
    assert run_here(desk, *delivered, "--quiet") == 0


def test_an_interrupted_command_says_so_and_is_exit_130(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(calculation, "recall", interrupted)
    arguments = ["run", desk.book, *NIGHT, "--enrollments", desk.enrollments]
    monkeypatch.setattr(sys, "argv", ["mynapoint", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        main()
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (130, "")
    assert err == "error: interrupted\nhint: run again: what is booked is recognised\n"
    assert desk.holds_nothing()


@pytest.mark.parametrize("traceback_wanted", [False, True])
def test_a_fault_of_the_engine_shows_no_traceback_unless_it_is_asked_for(
    desk: Desk,
    traceback_wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def faulty(*_: object, **__: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(calculation, "recall", faulty)
    monkeypatch.setenv("MYNAPOINT_TRACEBACK", "1" if traceback_wanted else "")
    arguments = ["run", desk.book, *NIGHT, "--enrollments", desk.enrollments]
    monkeypatch.setattr(sys, "argv", ["mynapoint", *map(str, arguments)])
    with pytest.raises(RuntimeError if traceback_wanted else SystemExit) as caught:
        main()
    if not traceback_wanted:
        assert caught.value.args == (3,)
        error, hint, *more = capsys.readouterr().err.splitlines()
        # Where, and not what: an error's text may hold values of people's rows.
        assert error.startswith("error: internal fault: RuntimeError at test_run_command.py:")
        assert "MYNAPOINT_TRACEBACK=1" in hint
        assert not more
    assert desk.holds_nothing()


def test_output_that_cannot_be_written_changes_no_exit_code(desk: Desk) -> None:
    command = [*COMMAND, "run", desk.book, *NIGHT, "--enrollments", desk.enrollments, "--json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            list(map(str, command)), stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False
        )
    assert (done.returncode, b"warning: the output could not" in done.stderr) == (0, True)
    assert desk.record()["counts"]["enrollments"]["read"] == 1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_the_c_library_takes_every_setting_that_keeps_its_heap() -> None:
    # In a process of its own, whose heap may be kept.
    program = (
        "import ctypes; from pipelines.__main__ import _KEEP_HEAP; "
        "print([ctypes.CDLL(None).mallopt(*setting) for setting in _KEEP_HEAP.values()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[1, 1, 1, 1]"


def test_the_environment_says_what_no_option_does_under_the_commands_own_name(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MYNAPOINT_RUN_EXISTING", "true")
    monkeypatch.setenv("MYNAPOINT_STATUS_MAX_AGE", "0s")
    run = ["run", str(desk.book), "--booked-on", "2020-10-01", "--quiet"]
    with pytest.raises(InputError, match="there is no book"):
        call(run)
    monkeypatch.delenv("MYNAPOINT_RUN_EXISTING")
    assert call(run) == 0
    assert call(["status", str(desk.book)]) == 1
    # What stands on the command line counts.
    assert call(["status", str(desk.book), "--max-age", "9999d"]) == 0
    capsys.readouterr()


@pytest.mark.parametrize("name", ["LAYOUT", "SET"])
def test_what_holds_for_the_files_that_follow_it_is_not_taken_from_the_environment(
    desk: Desk, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MYNAPOINT_RUN_{name}", "waon")
    with pytest.raises(InputError, match=f"MYNAPOINT_RUN_{name}: .* hold for the files"):
        call(["run", str(desk.book), "--booked-on", "2020-10-01", "--quiet"])
    assert not desk.book.exists()

"""What ran, what failed, and who is told of it."""

import datetime as dt
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, bodies, transaction

import mynapoint
from engine.errors import InputError
from engine.io.book.folder import Book
from engine.io.durable import append_line
from engine.io.run import calculation
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.run import phase_log
from pipelines.run.attempts import ATTEMPTS_FILE, Notes, attempts_of
from pipelines.runs.history import status_of


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    assert call(command(desk, "--services", desk.services, "--enrollments", desk.enrollments)) == 0
    return desk


def command(desk: Desk, *more: object) -> list[str]:
    words = ("run", desk.book, "--booked-on", "2020-09-30", "--quiet", *more)
    return [str(word) for word in words]


def night(desk: Desk, *more: object) -> list[str]:
    return command(desk, "--transactions", desk.transactions([transaction(1)]), *more)


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    assert call(words) in (0, 1)
    return json.loads(capsys.readouterr().out)


def refuse(desk: Desk, *more: object) -> None:
    with pytest.raises(InputError):
        call(command(desk, "--transactions", desk.folder / "gone.csv", *more))


# --- Attempts -------------------------------------------------------------------------------------


def test_attempts_are_noted_whether_they_book_or_fail(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refuse(desk)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(calculation, "recall", interrupted)
        with pytest.raises(KeyboardInterrupt):
            call(night(desk))
    assert call(night(desk)) == 0
    assert call(night(desk)) == 0
    attempts = said(["runs", str(desk.book), "--attempts", "--json"], capsys)
    assert [(attempt["exit"], attempt["code"], attempt["run_id"]) for attempt in attempts] == [
        (0, None, "000001"),
        (2, "unusable_input", None),
        (130, "interrupted", None),
        (0, None, "000002"),
        (0, None, "000002"),
    ]
    for attempt in attempts:
        assert attempt["begun_at"] <= attempt["ended_at"]
        assert attempt["seconds"] >= 0
        assert attempt["user"]
        assert attempt["host"]
        assert attempt["booked_on"] == "2020-09-30"
    assert (desk.book / ATTEMPTS_FILE).stat().st_mode & 0o777 == 0o600
    latest = said(["runs", str(desk.book), "--attempts", "--json", "--last", "2"], capsys)
    assert latest == attempts[-2:]


def test_a_killed_attempt_is_closed_by_the_next_and_one_under_way_is_not(desk: Desk) -> None:
    book = Book(desk.book)
    for process in ("999999999 1 another-start", "999999999"):
        killed = Notes(book, dt.date(2020, 9, 30), "mynapoint run")
        object.__setattr__(killed.attempt, "process", process)
        killed.begin()
    under_way = Notes(book, dt.date(2020, 9, 30), "mynapoint run")
    under_way.begin()
    assert call(night(desk)) == 0
    _, first, second, still, last = attempts_of(book)
    assert {(attempt.exit, attempt.code) for attempt in (first, second)} == {(None, "killed")}
    assert first.ended_at is not None
    assert (still.ended_at, last.exit) == (None, 0)


def test_a_note_that_was_cut_short_harms_nothing(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = desk.book / ATTEMPTS_FILE
    whole = notes.read_bytes()
    notes.write_bytes(whole + b'{"attempt": "x", "begun\n[]\n\xff\n'.replace(b"\xff", b"7"))
    assert call(night(desk)) == 0
    assert len(said(["runs", str(desk.book), "--attempts", "--json"], capsys)) == 2


def test_a_dry_run_is_no_attempt_and_verify_minds_no_notes(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (desk.book / ATTEMPTS_FILE).read_bytes()
    assert call(night(desk, "--dry-run")) == 0
    assert (desk.book / ATTEMPTS_FILE).read_bytes() == before
    assert said(["verify", str(desk.book), "--json"], capsys)["findings"] == []


# --- Runs and status ------------------------------------------------------------------------------


def test_runs_and_status_agree_with_the_records(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(night(desk)) == 0
    runs = said(["runs", str(desk.book), "--json"], capsys)
    records = [desk.record(number) for number in (1, 2)]
    assert [run["run_id"] for run in runs] == ["000001", "000002"]
    assert [run["finished_at"] for run in runs] == [
        record["ran"]["finished_at"] for record in records
    ]
    assert [run["booked"] for run in runs] == [0, 1]
    assert said(["runs", str(desk.book), "--json", "--last", "1"], capsys) == runs[1:]
    status = said(["status", str(desk.book), "--json"], capsys)
    assert status["last_run"] == runs[1]
    assert status["totals"] == {
        "runs": 2,
        "entries": 1,
        "yen_booked": 100,
        "points_awarded": 25,
        "points_reversed": 0,
        "points_net": 25,
    }
    for lang in ("ja", "en"):
        for words in (["runs"], ["runs", "--attempts"], ["status", "--max-age", "0s"]):
            assert call([words[0], str(desk.book), *words[1:], "--lang", lang]) in (0, 1)
            assert "000002" in capsys.readouterr().out


def test_status_is_exit_1_when_the_last_success_is_too_long_ago(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    before = bodies(desk.book)
    assert call(["status", str(desk.book), "--max-age", "1d"]) == 0
    assert call(["status", str(desk.book), "--max-age", "0s"]) == 1
    assert said(["status", str(desk.book), "--max-age", "0s", "--json"], capsys)["is_too_old"]
    assert bodies(desk.book) == before


def test_the_same_night_again_is_a_success_and_a_failure_after_it_is_told(desk: Desk) -> None:
    refuse(desk)
    now = dt.datetime.now(dt.UTC)
    [failed] = status_of(open_book(desk.book), now).failed_since
    assert failed.code == "unusable_input"
    assert call(night(desk)) == 0
    assert call(night(desk)) == 0
    status = status_of(open_book(desk.book), dt.datetime.now(dt.UTC))
    assert not status.failed_since
    assert status.last_success_at > status.last.finished_at


# --- Who is told ----------------------------------------------------------------------------------


def test_the_log_has_a_line_for_each_phase_with_its_rows(desk: Desk) -> None:
    log = desk.folder / "log.jsonl"
    assert call(night(desk, "--log-json", log)) == 0
    refuse(desk, "--log-json", log)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line.get("phase", line["event"]) for line in lines] == [
        *("begun", "index", "transactions", "booking", "commit", "ended"),
        *("begun", "ended"),
    ]
    assert lines[2]["rows"] == 1
    assert all(line["seconds"] >= 0 for line in lines if line["event"] == "phase")
    assert (lines[5]["exit"], lines[5]["run_id"]) == (0, "000002")
    assert (lines[7]["exit"], lines[7]["code"]) == (2, "unusable_input")
    assert log.stat().st_mode & 0o777 == 0o600


def test_metrics_of_success_are_there_after_a_success_alone(desk: Desk) -> None:
    metrics = desk.folder / "night.prom"
    assert call(night(desk, "--metrics", metrics)) == 0
    values = of_prometheus(metrics)
    assert values["mynapoint_run_number"] == 2
    assert values['mynapoint_run_rows state="booked"'] == 1
    assert values["mynapoint_attempt_exit_code"] == 0
    assert "mynapoint_last_success_timestamp_seconds" in values
    refuse(desk, "--metrics", metrics)
    values = of_prometheus(metrics)
    assert values["mynapoint_attempt_exit_code"] == 2
    assert not [name for name in values if "attempt" not in name]


def of_prometheus(path: Path) -> dict[str, float]:
    from prometheus_client.parser import text_string_to_metric_families

    values = {}
    for family in text_string_to_metric_families(path.read_text()):
        for sample in family.samples:
            labels = [f'{k}="{v}"' for k, v in sample.labels.items() if k != "book"]
            values[" ".join([sample.name, *labels])] = sample.value
    return values


def test_a_command_gets_the_record_or_the_error_and_changes_no_exit_code(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    out = desk.folder / "told.jsonl"
    program = f"import sys; open({str(out)!r}, 'a').write(sys.stdin.read() + chr(10)); sys.exit(7)"
    script = desk.write("tell.py", program)
    option = ("--on-finish", f"{sys.executable} {script}")
    assert call(night(desk, *option)) == 0
    assert "ended with exit code 7" in capsys.readouterr().err
    refuse(desk, *option)
    record, error = (json.loads(line) for line in out.read_text().splitlines())
    assert record == desk.record(2) | {"already_booked": False}
    assert error["error"]["code"] == "unusable_input"


def test_who_cannot_be_told_is_said_before_anything_is_booked(desk: Desk) -> None:
    for option, value in (
        ("--log-json", desk.folder / "no" / "such" / "folder"),
        ("--log-json", desk.book / "log"),
        ("--metrics", desk.folder / "night.txt"),
        ("--on-finish", "'"),
        ("--on-finish", ""),
    ):
        with pytest.raises(InputError):
            call(night(desk, option, value))
    assert len(desk.record()) > 0
    assert not (desk.book / "runs" / "000002").exists()


# --- A run that is booked stays so ----------------------------------------------------------------


def test_a_terminal_that_is_gone_after_the_commit_fails_no_run(desk: Desk) -> None:
    def progress(phase: str, done: int, _: int) -> None:
        if (phase, done) == ("commit", 1):
            raise BrokenPipeError(32, "Broken pipe")

    result = mynapoint.run(
        desk.book,
        booked_on=dt.date(2020, 9, 30),
        transactions=[desk.transactions([transaction(1)])],
        progress=progress,
    )
    assert (result.record.run_id, result.already_booked) == ("000002", False)


@pytest.mark.parametrize("full_from", ["begun", "transactions", "commit", "ended"])
def test_a_log_whose_disk_is_full_refuses_a_run_before_it_begins_alone(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    full_from: str,
) -> None:
    is_full = False

    def append(path: Path, line: str) -> None:
        nonlocal is_full
        is_full = is_full or f'"{full_from}"' in line
        if is_full:
            raise OSError(28, "No space left on device")
        append_line(path, line)

    monkeypatch.setattr(phase_log, "append_line", append)
    words = night(desk, "--log-json", desk.folder / "log.jsonl")
    if full_from == "begun":
        with pytest.raises(InputError, match="No space left"):
            call(words)
        assert not (desk.book / "runs" / "000002").exists()
        return
    assert call(words) == 0
    assert capsys.readouterr().err.count("No space left") == 1
    assert (desk.book / "runs" / "000002").exists()


def test_bytes_that_a_command_prints_need_not_be_text(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(night(desk, "--on-finish", r"printf 'told \223\372'")) == 0
    assert "told" in capsys.readouterr().err


def test_no_fault_of_a_watcher_fails_a_booked_run(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("a fault of its own")

    monkeypatch.setattr("pipelines.run.observed.subprocess.run", fail)
    assert call(night(desk, "--on-finish", "true")) == 0
    assert "a fault of its own" in capsys.readouterr().err


def test_no_damage_of_the_attempts_stops_a_run(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = {
        "attempt": "a",
        "begun_at": "2026-01-01T00:00:00+00:00",
        "booked_on": "x",
        "user": "u",
        "host": socket.gethostname(),
        "process": "1",
        "command": "c",
    }
    faults: list[dict[str, object]] = [
        {"process": 123},
        {"process": "9" * 9},
        {"process": "9" * 30},
        {"process": "9" * 5000},
        {"host": None},
        {"begun_at": "2026-01-01", "ended_at": "2026-01-02T00:00:00+00:00"},
        {"exit": "0"},
        {"attempt": ["a"]},
    ]
    notes = desk.book / ATTEMPTS_FILE
    with notes.open("a") as file:
        for number, fault in enumerate(faults):
            file.write(json.dumps(begun | {"attempt": str(number)} | fault) + "\n")
        file.write("[" * 200_000 + "\n")
    assert call(night(desk)) == 0
    # A process of a number that there cannot be is gone; the rest is not understood.
    attempts = said(["runs", str(desk.book), "--attempts", "--json"], capsys)
    assert [attempt["code"] for attempt in attempts] == [None, "killed", "killed", "killed", None]


def test_a_pipe_in_the_place_of_the_attempts_keeps_no_run_waiting(desk: Desk) -> None:
    notes = desk.book / ATTEMPTS_FILE
    notes.unlink()
    os.mkfifo(notes)
    assert call(night(desk)) == 0
    assert not attempts_of(Book(desk.book))


def test_a_user_without_a_name_is_named_by_number(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr("getpass.getuser", fail)
    assert call(night(desk)) == 0
    name = f"uid {os.getuid()}"
    assert desk.record(2)["ran"]["user"] == name
    assert attempts_of(Book(desk.book))[-1].user == name

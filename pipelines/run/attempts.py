"""Attempts to book a night, failed ones too: lines of JSON in ``BOOK/attempts.jsonl``.

An attempt is a line when it begins and one when it ends. One that was killed has no second line:
the next attempt adds it. It is written beside the book's promises: nothing in a book depends on it,
a line that cannot be written stops no run, and whoever does not want it may delete it.
"""

import datetime as dt
import json
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from engine.io.book.folder import Book
from engine.io.book.writing import owner_of
from engine.io.durable import append_line
from engine.io.users import user_name

ATTEMPTS_FILE: Final = "attempts.jsonl"
_LONGEST_PID: Final = 10
_BEGUN: Final = ("attempt", "begun_at", "booked_on", "user", "host", "process", "command")


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt to book a night.

    Attributes:
        booked_on: the day, as it was asked for.
        process: what tells the process from all others of the host, later ones included.
        exit: its exit code; None while it is under way, and where it was killed.
        code: what was wrong; ``killed`` where it ended without a word.
        run_id: the run that it booked, or found booked before.
    """

    attempt: str
    begun_at: dt.datetime
    booked_on: str
    user: str
    host: str
    process: str
    command: str
    ended_at: dt.datetime | None = None
    exit: int | None = None
    code: str | None = None
    run_id: str | None = None

    @property
    def seconds(self) -> float | None:
        """How long it took."""
        return None if self.ended_at is None else (self.ended_at - self.begun_at).total_seconds()

    def to_json(self) -> dict[str, Any]:
        """The attempt for machines."""
        return {
            "attempt": self.attempt,
            "begun_at": self.begun_at.isoformat(),
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "seconds": self.seconds,
            "booked_on": self.booked_on,
            "user": self.user,
            "host": self.host,
            "command": self.command,
            "exit": self.exit,
            "code": self.code,
            "run_id": self.run_id,
        }


def attempts_of(book: Book) -> list[Attempt]:
    """All attempts that were noted, in the order in which they began.

    Lines that cannot be understood, such as one that a full disk cut short, are left out.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in _lines(book):
        # Whatever a line is: deep nesting is a RecursionError.
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            values = json.loads(line)
            if "begun_at" in values:
                found[values["attempt"]] = values
            else:
                found[values["attempt"]] |= values
    attempts = []
    for values in found.values():
        if not _is_understood(values):
            continue
        with suppress(ValueError, TypeError):
            times: dict[str, Any] = {
                name: dt.datetime.fromisoformat(values[name])
                for name in ("begun_at", "ended_at")
                if name in values
            }
            if all(time.tzinfo for time in times.values()):
                attempts.append(Attempt(**(values | times)))
    return attempts


def _is_understood(values: Mapping[str, Any]) -> bool:
    return all(
        value is None or (type(value) is int if name == "exit" else isinstance(value, str))
        for name, value in values.items()
    ) and all(isinstance(values.get(name), str) for name in _BEGUN)


def _lines(book: Book) -> Iterable[str]:
    path = book.path / ATTEMPTS_FILE
    try:
        # A pipe of that name would never be read to its end.
        return path.read_text(encoding="utf-8").split("\n") if path.is_file() else ()
    except (OSError, ValueError):
        return ()


class Notes:
    """Notes one attempt in its book, as far as there is a book. What cannot be noted is not noted:
    nothing that is wrong with the notes is an error of the run.
    """

    def __init__(self, book: Book, booked_on: dt.date, command: str) -> None:
        self._book = book
        self.attempt = Attempt(
            uuid4().hex,
            dt.datetime.now(dt.UTC),
            booked_on.isoformat(),
            user_name(),
            socket.gethostname(),
            _this_process(),
            command,
        )
        self._is_begun = False

    def begin(self) -> None:
        """Notes that the attempt begins, and which ones before it were killed."""
        with suppress(Exception):
            self._begin()

    def _begin(self) -> None:
        if self._is_begun or not self._book.is_begun() or not _is_ours(self._book):
            return
        self._is_begun = True
        for killed in _killed(attempts_of(self._book)):
            self._note({"attempt": killed.attempt, "ended_at": _now(), "code": "killed"})
        values = self.attempt.to_json() | {"process": self.attempt.process}
        self._note({name: values[name] for name in _BEGUN})

    def end(self, exit_code: int, code: str | None, run_id: str | None) -> None:
        """Notes how the attempt ended; that of a first run, which made the book, in whole."""
        self.begin()
        if self._is_begun:
            ended: dict[str, object] = {"attempt": self.attempt.attempt, "ended_at": _now()}
            self._note(ended | {"exit": exit_code, "code": code, "run_id": run_id})

    def _note(self, values: Mapping[str, object]) -> None:
        path = self._book.path / ATTEMPTS_FILE
        # The command may hold bytes that are not text and cannot be encoded as UTF-8.
        with suppress(OSError, ValueError):
            # A pipe of that name would keep the run until someone reads it; behind a link is what
            # is not the book's.
            if not os.path.lexists(path) or stat.S_ISREG(path.lstat().st_mode):
                append_line(path, json.dumps(values, ensure_ascii=False))


def _is_ours(book: Book) -> bool:
    """Whether the book is this user's; another's file its owner could not add to."""
    return not hasattr(os, "geteuid") or owner_of(book) == os.geteuid()


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat()


def _killed(attempts: Iterable[Attempt]) -> Iterator[Attempt]:
    """Attempts of this machine that have no end, and whose process is gone."""
    host = socket.gethostname()
    for attempt in attempts:
        if attempt.ended_at is None and attempt.host == host and not _is_alive(attempt.process):
            yield attempt


def _this_process() -> str:
    return _process(os.getpid()) or str(os.getpid())


def _process(pid: int) -> str:
    """A process's number, the machine's start and its own: numbers are given again."""
    with suppress(OSError, IndexError):
        start_of_machine = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        status = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
        # The command's name, in brackets, may hold anything.
        started = status.rpartition(")")[2].split()[19]
        return f"{pid} {started} {start_of_machine}"
    return ""


def _is_alive(process: str) -> bool:
    pid, _, more = process.partition(" ")
    if not pid.isdecimal() or len(pid) > _LONGEST_PID:
        return False
    if more:
        return _process(int(pid)) == process
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True

"""A book: a folder that is changed by one run at a time, and only by whole runs.

``ledger/`` the Delta Lake table, ``runs/NNNNNN/`` what else each run left, ``memory/`` what can be
made again from the two, ``staging/`` what a run is still writing, ``.lock`` who may write,
``.acknowledged`` the last run whose commit is known to be on the disk.
A run is in the book when its ledger commit is; all else of a run that did not get there is cleared
by the next one.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from filelock import FileLock, Timeout

from engine.errors import BookError, InputError
from engine.io.book.format import RECORD_FILE
from engine.io.book.run_record import Output, RunRecord
from engine.io.durable import (
    make_folder,
    remove,
    remove_folder,
    rename,
    sync,
    sync_entry,
    write_text,
)

_LOG: Final = logging.getLogger(__name__)
WORK_OF_TASKS: Final = "tasks-"
_RUN: Final = re.compile(r"[0-9]{6}")
_PART: Final = re.compile(r"[0-9]{6}-[0-9]{5}\.parquet")
_COMMIT_FILE: Final = re.compile(r"[0-9]{20}\.json")
# What delta-rs leaves when it dies at a commit.
_HALF_A_COMMIT: Final = re.compile(r"[0-9]{20}\.json#[0-9]+|_commit_.*\.tmp")


@dataclass(frozen=True, slots=True)
class Book:
    """The places in a book.

    A table beside the ledger that is committed in the same way has a class of its own, with other
    names for its table, for the folder of its records, and for a record's number.
    """

    TABLE: ClassVar[str] = "ledger"
    RECORDS: ClassVar[str] = "runs"
    NUMBER: ClassVar[str] = "run_id"
    ACKNOWLEDGED: ClassVar[str] = ".acknowledged"

    path: Path

    @property
    def ledger(self) -> Path:
        return self.path / self.TABLE

    @property
    def runs(self) -> Path:
        return self.path / self.RECORDS

    @property
    def memory(self) -> Path:
        return self.path / "memory"

    @property
    def staging(self) -> Path:
        return self.path / "staging"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def acknowledgement(self) -> Path:
        return self.path / self.ACKNOWLEDGED

    @property
    def log(self) -> Path:
        return self.ledger / "_delta_log"

    def commit_file(self, number: int) -> Path:
        """Where the ledger's log has a run's commit."""
        return self.log / f"{number - 1:020}.json"

    def run_folder(self, number: int) -> Path:
        """The folder of a run."""
        return self.runs / run_id(number)

    def exists(self) -> bool:
        """Whether a run has begun here, ever."""
        return self.lock.exists() or self.log.exists()

    def committed_runs(self) -> int:
        """How many runs are in the book: the ledger's version is the last one's number less one.

        Raises:
            BookError: the ledger's log cannot be read, or holds what is no whole run's commit.
        """
        try:
            committed = DeltaTable(self.ledger).version() + 1
        except TableNotFoundError:
            return 0
        except (DeltaError, OSError, ValueError) as error:
            raise BookError(
                f"{self.ledger}: the ledger's log cannot be read: {str(error).splitlines()[0]}",
                hint="restore the book from a copy; nothing was booked",
            ) from error
        for number in range(1, committed + 1):
            # delta-rs takes an empty commit, or one that lost its last lines, for a whole one.
            if not self._holds_a_whole_commit(number):
                raise BookError(
                    f"{self.commit_file(number)}: this is not the whole commit of run "
                    f"{run_id(number)}",
                    hint="restore the book from a copy; nothing was booked",
                )
        return committed

    def _holds_a_whole_commit(self, number: int) -> bool:
        try:
            actions = self._actions(number)
            numbers = [action["txn"]["version"] for action in actions if "txn" in action]
            adds = [action["add"] for action in actions if "add" in action]
            added = sorted((f"{self.TABLE}/{add['path']}", add["size"]) for add in adds)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        if numbers != [number]:
            return False
        named = [(output.name, output.bytes) for output in self.table_files(number)]
        return added == sorted(named)

    def clear_torn_commit(self) -> None:
        """Removes the last commit when a power cut left it empty or cut short; needs the lock.

        delta-rs does not sync a commit; the run does, and acknowledges it then. Only a commit that
        was never acknowledged can be torn; any other that cannot be read is damage.
        """
        commits = self._commit_files()
        number = len(commits)
        if not commits or commits[-1] != self.commit_file(number) or not self._is_torn(number):
            return
        acknowledged = self._acknowledged()
        if acknowledged is None or acknowledged >= number:
            return
        remove(commits[-1])
        sync(self.log)
        _LOG.warning(
            "%s: the commit of run %s was cut short by a crash before the run was done; it is "
            "cleared, and that run must be made again",
            self.ledger,
            run_id(number),
        )

    def _commit_files(self) -> list[Path]:
        if not self.log.exists():
            return []
        return sorted(file for file in self.log.iterdir() if _COMMIT_FILE.fullmatch(file.name))

    def _is_torn(self, number: int) -> bool:
        """Whether a commit file is the beginning of this run's commit and no more."""
        try:
            actions = self._actions(number)
        except ValueError:
            return True
        try:
            mine = not actions or actions[0]["commitInfo"][self.NUMBER] == run_id(number)
        except (KeyError, TypeError):
            return False
        return mine and not self._holds_a_whole_commit(number)

    def _actions(self, number: int) -> list[Any]:
        # Not splitlines(): a person's ID may hold what only Python takes for the end of a line.
        lines = self.commit_file(number).read_bytes().split(b"\n")
        return [json.loads(line) for line in lines if line]

    def _acknowledged(self) -> int | None:
        """The last run that was acknowledged; None where nothing says which."""
        try:
            return int(self.acknowledgement.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def check_acknowledged(self, committed: int) -> None:
        """Refuses a book whose log has lost a run that was in it; needs the lock.

        Raises:
            BookError: naming the log; what else is left of the lost run is not touched.
        """
        known = max(self._acknowledged() or 0, self._remembered())
        if known > committed:
            raise BookError(
                f"{self.log}: the log ends with run {run_id(committed)}, but run "
                f"{run_id(known)} was booked",
                hint="restore the ledger's log from a copy; nothing was booked",
            )

    def _remembered(self) -> int:
        try:
            return int(json.loads((self.memory / "manifest.json").read_bytes())["runs"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def acknowledge(self, number: int) -> None:
        """Notes that a run's commit is on the disk, and all before it."""
        if self._acknowledged() == number:
            return
        fresh = self.acknowledgement.with_suffix(".new")
        if fresh.exists():
            remove(fresh)
        write_text(fresh, f"{number}\n")
        rename(fresh, self.acknowledgement)
        sync(self.path)

    def sync_commit(self, number: int) -> None:
        """Returns when a run's commit is on the disk."""
        for path in (self.commit_file(number), self.log, self.ledger):
            sync(path)

    def table_files(self, number: int) -> list[Output]:
        """The files of the table that a run left."""
        return self.record(number).ledger_files

    def record(self, number: int) -> RunRecord:
        """The record of a run.

        Raises:
            BookError: it is missing, damaged, or of a later format than this engine knows.
        """
        value, path = self._read_record(number)
        record = RunRecord.from_json(value, path)
        if record.run_id != run_id(number):
            raise another_record(number, path)
        return record

    def _read_record(self, number: int) -> tuple[object, Path]:
        path = self.run_folder(number) / RECORD_FILE
        try:
            return json.loads(path.read_text(encoding="utf-8")), path
        except (OSError, ValueError) as error:
            raise BookError(
                f"{path}: the record of a booked run is missing or damaged",
                hint="restore the book from a copy; nothing was booked",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out; the folder is made when it is not there.

        Raises:
            InputError: the path is something else than a book.
            BookError: another run is at work.
        """
        for place in (self.path, *self.path.parents):
            if place.exists() and not place.is_dir():
                raise InputError(
                    f"{place}: this is a file, not a book", hint="name a folder for the book"
                )
        # Looked at in this order, since a first run may begin at the same moment.
        if self.path.exists() and any(self.path.iterdir()) and not self.exists():
            raise InputError(
                f"{self.path}: the folder is not empty and holds no book",
                hint="name a new or an empty folder, or an existing book",
            )
        try:
            # What a book holds is about people: its owner alone may look.
            make_folder(self.path, mode=0o700)
            is_new = not self.lock.exists()
            # The system drops such a lock when its holder dies; the fallback would outlive it.
            lock = FileLock(self.lock, mode=0o600, fallback_to_soft=False)
            with lock.acquire(blocking=False):
                if is_new:
                    sync(self.path)
                yield
        except Timeout as error:
            raise BookError(
                f"{self.path}: another run is writing to this book",
                hint="wait until it has ended, then run again; nothing was booked",
            ) from error

    def clear_leftovers(self, committed: int) -> None:
        """Removes what a run that was not committed left behind; needs the lock."""
        for folder in sorted(self.staging.glob(f"{WORK_OF_TASKS}*")):
            # Tasks on other machines that outlive their run find no such folder any more.
            rename(folder, folder.with_name(f"gone-{folder.name}"))
        remove_folder(self.staging)
        if self.runs.exists():
            for folder in sorted(self.runs.iterdir()):
                if _RUN.fullmatch(folder.name) and folder.name > run_id(committed):
                    remove_folder(folder)
        if self.ledger.exists():
            for part in sorted(self.ledger.iterdir()):
                if _PART.fullmatch(part.name) and part.name[:6] > run_id(committed):
                    remove(part)
        if self.log.exists():
            for file in sorted(self.log.iterdir()):
                if _HALF_A_COMMIT.fullmatch(file.name):
                    remove(file)

    def stage(self) -> Path:
        """A fresh folder for a run's files."""
        for name in ("run", "ledger", "work"):
            make_folder(self.staging / name)
        return self.staging / "run"

    def publish(self, number: int) -> None:
        """Moves a run's staged files to where its commit will make them part of the book."""
        make_folder(self.ledger)
        make_folder(self.runs)
        staged = self.staging / "ledger"
        for part in sorted(staged.iterdir()):
            rename(part, self.ledger / part.name)
        sync(self.staging / "run")
        rename(self.staging / "run", self.run_folder(number))
        # All of them, even if they were there: a run that died may have made them.
        for folder in (self.ledger, self.runs, self.path):
            sync(folder)
        if number == 1:
            sync_entry(self.path)


def another_record(number: int, path: Path) -> BookError:
    """The error of a record that is of another run than its folder."""
    return BookError(
        f"{path}: this is not the record of run {run_id(number)}",
        hint="restore the book from a copy; nothing was booked",
    )


def run_id(number: int) -> str:
    """A run's name, such as ``000001``."""
    return f"{number:06}"


def part_name(number: int, part: int) -> str:
    """The name of a run's ledger file; by name, files stand in the order of their rows."""
    return f"{run_id(number)}-{part:05}.parquet"

"""A book: a folder that is changed by one run at a time, and only by whole runs.

``ledger/`` the Delta Lake table, ``runs/NNNNNN/`` what else each run left, ``memory/`` what can be
made again from the two, ``staging/`` what a run is still writing, ``.lock`` who may write.
A run is in the book when its ledger commit is; all else of a run that did not get there is cleared
by the next one.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError
from filelock import FileLock, Timeout

from engine.errors import BookError, InputError
from engine.io.durable import sync


@dataclass(frozen=True, slots=True)
class Book:
    """The places in a book."""

    path: Path

    @property
    def ledger(self) -> Path:
        return self.path / "ledger"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def memory(self) -> Path:
        return self.path / "memory"

    @property
    def staging(self) -> Path:
        return self.path / "staging"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    def run(self, number: int) -> Path:
        """The folder of a run."""
        return self.runs / run_id(number)

    def exists(self) -> bool:
        """Whether a run has begun here, ever."""
        return self.lock.exists() or (self.ledger / "_delta_log").exists()

    def committed_runs(self) -> int:
        """How many runs are in the book: the ledger's version is the last one's number less one.

        Raises:
            BookError: the ledger's log cannot be read.
        """
        try:
            return DeltaTable(self.ledger).version() + 1
        except TableNotFoundError:
            return 0
        except (DeltaError, OSError, ValueError) as error:
            raise BookError(
                f"{self.ledger}: the ledger's log cannot be read: {str(error).splitlines()[0]}",
                hint="restore the book from a copy; nothing was booked",
            ) from error

    def record(self, number: int) -> dict[str, Any]:
        """The record of a run.

        Raises:
            BookError: it is missing or damaged.
        """
        path = self.run(number) / "record.json"
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise BookError(
                f"{path}: the record of a booked run is missing or damaged",
                hint="restore the book from a copy; nothing was booked",
            ) from error
        if not isinstance(record, dict) or record.get("run_id") != run_id(number):
            raise BookError(
                f"{path}: this is not the record of run {run_id(number)}",
                hint="restore the book from a copy; nothing was booked",
            )
        return record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other runs out; the folder is made when it is not there.

        Raises:
            InputError: the path is something else than a book.
            BookError: another run is at work.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(
                f"{self.path}: this is a file, not a book", hint="name a folder for the book"
            )
        if self.path.exists() and not self.exists() and any(self.path.iterdir()):
            raise InputError(
                f"{self.path}: the folder is not empty and holds no book",
                hint="name a new or an empty folder, or an existing book",
            )
        try:
            # What a book holds is about people: its owner alone may look.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = FileLock(self.lock, mode=0o600)
            with lock.acquire(blocking=False):
                yield
        except Timeout as error:
            raise BookError(
                f"{self.path}: another run is writing to this book",
                hint="wait until it has ended, then run again; nothing was booked",
            ) from error

    def clear_leftovers(self, committed: int) -> None:
        """Removes what a run that was not committed left behind; needs the lock."""
        shutil.rmtree(self.staging, ignore_errors=True)
        if self.runs.exists():
            for folder in self.runs.iterdir():
                if folder.name > run_id(committed):
                    shutil.rmtree(folder)
        if self.ledger.exists():
            for part in self.ledger.glob("*.parquet"):
                if part.name[:6] > run_id(committed):
                    part.unlink()

    def stage(self) -> Path:
        """A fresh folder for a run's files."""
        staged = self.staging / "run"
        staged.mkdir(parents=True)
        (self.staging / "ledger").mkdir()
        (self.staging / "work").mkdir()
        return staged

    def publish(self, number: int) -> None:
        """Moves a run's staged files to where its commit will make them part of the book."""
        self.ledger.mkdir(exist_ok=True)
        self.runs.mkdir(exist_ok=True)
        staged = self.staging / "ledger"
        for part in sorted(staged.iterdir()):
            part.rename(self.ledger / part.name)
        sync(self.staging / "run")
        (self.staging / "run").rename(self.run(number))
        for folder in (self.ledger, self.runs, self.path):
            sync(folder)


def run_id(number: int) -> str:
    """A run's name, such as ``000001``."""
    return f"{number:06}"


def part_name(number: int, part: int) -> str:
    """The name of a run's ledger file; by name, files stand in the order of their rows."""
    return f"{run_id(number)}-{part:05}.parquet"

"""A book: a folder that is changed by one run at a time, and only by whole runs.

``ledger/`` the Delta Lake table, ``runs/NNNNNN/`` what else each run left, ``index/`` what can be
made again from the two, ``staging/`` what a run is still writing, ``.lock`` who may write,
``.acknowledged`` the last run whose commit is known to be on the disk.
A run is in the book when its ledger commit is; all else of a run that did not get there is cleared
by the next one.
"""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import ClassVar, Final, NamedTuple

from engine.errors import BookError, InputError
from engine.io.book.checked import DamagedIndex
from engine.io.book.format import RECORD_FILE
from engine.io.book.log import Log, commit_name, run_id
from engine.io.book.manifest import read_manifest
from engine.io.book.run_record import Output, RunRecord
from engine.io.book.typed_json import no_key_twice
from engine.io.durable import make_folder, sha256_of
from engine.paths import local_path

__all__ = ["Book", "another_record", "no_book", "part_name", "refuse_within_books", "run_id"]

_FOLDERS: Final = (
    *("ledger", "ledger/_delta_log", "runs"),
    *("payouts", "payouts/_delta_log", "payout_runs", "seals"),
)
# A first run that died may have left no more.
_BEGUN: Final = {".lock", ".acknowledged.new"}


class Indexed(NamedTuple):
    """What an index says that it covers: so many runs, the digest of the last one's record, and
    ``Book.stamp_of_runs`` when it had been brought up to date.
    """

    runs: int
    last_record: str
    stamp: str


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

    @classmethod
    def at(cls, path: str | Path) -> "Book":
        """The book at a path as it is given, whether or not there is one.

        Raises:
            InputError: it is a URL.
        """
        return cls(local_path(path))

    @property
    def ledger(self) -> Path:
        return self.path / self.TABLE

    @property
    def runs(self) -> Path:
        return self.path / self.RECORDS

    @property
    def index(self) -> Path:
        return self.path / "index"

    @property
    def staging(self) -> Path:
        return self.path / "staging"

    def stage(self) -> Path:
        """A fresh folder for a run's files."""
        for name in ("run", "ledger", "work"):
            make_folder(self.staging / name)
        return self.staging / "run"

    @property
    def lock(self) -> Path:
        return self.path / ".lock"

    @property
    def acknowledgement(self) -> Path:
        return self.path / self.ACKNOWLEDGED

    @property
    def log(self) -> Path:
        return self.ledger / "_delta_log"

    @property
    def commits(self) -> Log:
        return Log(self.log)

    def commit_file(self, number: int) -> Path:
        """Where the ledger's log has a run's commit."""
        return self.commits.commit_file(number)

    def run_folder(self, number: int) -> Path:
        """The folder of a run."""
        return self.runs / run_id(number)

    def is_begun(self) -> bool:
        """Whether a run has begun here, ever; other programs have locks, too."""
        return self.acknowledged() is not None or self.log.exists()

    def holds_others(self) -> bool:
        """Whether the folder has contents that are not a book."""
        # In this order, since a first run may begin at the same moment.
        there = set(os.listdir(self.path)) if self.path.exists() else set()  # noqa: PTH208
        return not there <= _BEGUN and not self.is_begun()

    def check_readable(self) -> None:
        """Checks that this is a book that can be read.

        Raises:
            InputError: it is not a book.
            BookError: it holds a link.
        """
        try:
            found = self.path.is_dir() and self.is_begun()
        except OSError as error:
            raise BookError(
                f"{error.filename or self.path}: {error.strerror or error}",
                hint="check the folder's permissions",
            ) from error
        if not found:
            raise InputError(
                f"{self.path}: there is no book to read",
                hint="name the folder of a book that a run has made",
                code="no_book",
            )
        self.refuse_links()

    def refuse_links(self) -> None:
        """Refuses a book of which a part is elsewhere.

        Raises:
            BookError: naming the link.
        """
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            if folder != self.path and not folder.exists():
                continue
            with os.scandir(folder) as entries:
                links = sorted(entry.name for entry in entries if entry.is_symlink())
            if links:
                raise BookError(
                    f"{folder / links[0]}: this is a link, and a book holds none",
                    hint="put what is behind the link in its place, or remove the link; "
                    "nothing was booked",
                )

    def committed_runs(self) -> int:
        """How many runs are in the book: the ledger's version is the last one's number less one.

        Raises:
            BookError: the ledger's log cannot be read, holds a commit of an incomplete run, or has
                lost a run that was in it.
        """
        # Ahead of the log: meanwhile a run may be booked.
        indexed = self._indexed()
        known = max(self.acknowledged() or 0, indexed.runs)
        try:
            committed = self.commits.last()
        except OSError as error:
            raise BookError(
                f"{error.filename}: the ledger's log cannot be read: {error.strerror}",
                hint="check the disk and the folder's permissions; nothing was booked",
            ) from error
        for number in range(self._first_to_examine(indexed, committed), committed + 1):
            if not self.holds_a_whole_commit(number):
                raise BookError(
                    f"{self.commit_file(number)}: this is not the whole commit of run "
                    f"{run_id(number)}",
                    hint="restore the book from a copy; nothing was booked",
                )
        if known > committed:
            raise BookError(
                f"{self.log}: the log ends with run {run_id(committed)}, but run "
                f"{run_id(known)} was booked",
                hint="restore the ledger's log from a copy; nothing was booked",
            )
        return committed

    def holds_a_whole_commit(self, number: int) -> bool:
        """Whether the log has a run's commit, and it names the files that the run's record does.

        Raises:
            BookError: the commit is another program's, or the run's record cannot be read.
        """
        try:
            actions = self.commits.actions(number)
            self.commits.refuse_foreign(number, actions)
            numbers = [action["txn"]["version"] for action in actions if "txn" in action]
            adds = [action["add"] for action in actions if "add" in action]
            added = sorted((f"{self.TABLE}/{add['path']}", add["size"]) for add in adds)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False
        if numbers != [number]:
            return False
        named = [(output.name, output.bytes) for output in self.table_files(number)]
        return added == sorted(named)

    def acknowledged(self) -> int | None:
        """The last run that was acknowledged; None where nothing says which."""
        try:
            return int(self.acknowledgement.read_text(encoding="ascii"))
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return None

    def _indexed(self) -> Indexed:
        """What the index says that it covers."""
        with suppress(DamagedIndex):
            manifest = read_manifest(self.index)
            if manifest is not None:
                # Indexes of earlier formats have no stamp.
                stamp = manifest.get("stamp", "")
                return Indexed(manifest["runs"], manifest["last_record"], stamp)
        return Indexed(0, "", "")

    def _first_to_examine(self, indexed: Indexed, committed: int) -> int:
        """The first run whose commit is examined: of those that the index sums up, which it does if
        it knows the last one's record, the chain of their digests is enough; and that nobody
        touched their files since.
        """
        last = indexed.runs
        with suppress(OSError):
            if (
                1 < last <= committed
                and self.record_mark(last) == indexed.last_record
                and (self.stamp_of_runs(last) == indexed.stamp or self._is_chained(last))
            ):
                return last
        return 1

    def stamp_of_runs(self, last: int) -> str:
        """A digest of the sizes and times of change of all commits and records up to a run's.

        It stays the same as long as none of these files is touched; the system alone sets when a
        file was changed last.

        Raises:
            OSError: one of the files is missing.
        """
        stamp, log = sha256(), self.log
        for number in range(1, last + 1):
            # There may be years of them: a path is made once.
            record = f"{self.path}/{self.RECORDS}/{run_id(number)}/{RECORD_FILE}"
            for file in (f"{log}/{commit_name(number)}", record):
                found = os.stat(file)  # noqa: PTH116
                times = (found.st_mtime_ns, found.st_ctime_ns)
                stamp.update(f"{found.st_size} {times}\n".encode())
        return stamp.hexdigest()

    def _is_chained(self, last: int) -> bool:
        """Whether each commit up to the last names the digests of its run's record and of the
        commit before it.
        """
        commits, before = self.commits, b""
        for number in range(1, last + 1):
            commit = commits.read(number)
            named = [self._record_bytes(number), *([before] if before else ())]
            if not all(sha256(data).hexdigest().encode() in commit for data in named):
                return False
            before = commit
        return True

    def record_mark(self, number: int) -> str:
        """The digest of a run's record, which ties what is made from runs to their book."""
        return sha256_of(self.run_folder(number) / RECORD_FILE)

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

    def record_text(self, number: int) -> str:
        """The record of a run as it was written.

        Raises:
            BookError: it is missing or cannot be read.
        """
        try:
            return self._record_bytes(number).decode()
        except (OSError, ValueError) as error:
            raise _damaged_record(self.run_folder(number) / RECORD_FILE) from error

    def _record_bytes(self, number: int) -> bytes:
        # There may be years of them: a path is made once.
        with open(f"{self.path}/{self.RECORDS}/{run_id(number)}/{RECORD_FILE}", "rb") as file:
            return file.read()

    def _read_record(self, number: int) -> tuple[object, Path]:
        path = self.run_folder(number) / RECORD_FILE
        try:
            return json.loads(self.record_text(number), object_pairs_hook=no_key_twice), path
        except ValueError as error:
            raise _damaged_record(path) from error

    def is_being_written(self) -> bool:
        """Whether a run is at work; it is not held up by the question."""
        try:
            import fcntl

            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except (ImportError, OSError):
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False


def refuse_within_books(path: Path) -> None:
    """Refuses a place for a result among a book's own files.

    Raises:
        InputError: naming the book.
    """
    place = path.resolve()
    for above in (place, *place.parents):
        if Book(above).is_begun():
            raise InputError(
                f"{path}: this is within the book {above}", hint="name a place outside of any book"
            )


def no_book(book: Book) -> InputError:
    """What is said where there is no book, or no run in it."""
    return InputError(
        f"{book.path}: there is no book with a run in it",
        hint="name the folder of a book that mynapoint run has made",
        code="no_book",
    )


def _damaged_record(path: Path) -> BookError:
    return BookError(
        f"{path}: the record of a booked run is missing or damaged",
        hint="restore the book from a copy; nothing was booked",
    )


def another_record(number: int, path: Path) -> BookError:
    """The error of a record that is of another run than its folder."""
    return BookError(
        f"{path}: this is not the record of run {run_id(number)}",
        hint="restore the book from a copy; nothing was booked",
    )


def part_name(number: int, part: int) -> str:
    """The name of a run's ledger file; by name, files stand in the order of their rows."""
    return f"{run_id(number)}-{part:05}.parquet"

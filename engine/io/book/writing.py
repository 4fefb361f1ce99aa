"""A book in the hands of a run: who may write to it, and what is cleared away, when."""

import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock, Timeout

from engine.errors import BookError, InputError
from engine.io.book.folder import Book
from engine.io.book.log import HALF_A_COMMIT, Action, run_id
from engine.io.durable import (
    make_folder,
    move,
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
# A reader asks in passing whether the lock is held; a run waits longer than that takes.
_WAIT_SECONDS: Final = 0.5

Identity = tuple[int, ...]
Table = TypeVar("Table", bound="LockedBook")


@dataclass(slots=True)
class _Hold:
    """What this process holds and has moved into the book; ``committing``: its commit may be there.

    Files are known by what the system says of them: another run may give the same names.
    """

    lock: Identity
    moved: list[tuple[Path, Identity]] = field(default_factory=list)
    committing: bool = False


@dataclass(frozen=True, slots=True)
class LockedBook(Book):
    """A book that this process alone may write to, as long as the lock is in its place."""

    _hold: _Hold

    def table(self, kind: type[Table]) -> Table:
        """Another table of the book, under the same lock."""
        return kind(self.path, _Hold(self._hold.lock))

    def recover(self) -> int:
        """Clears what dead runs left; gives the number of runs that are in the table.

        Raises:
            BookError: the book is damaged.
        """
        self.refuse_links()
        self._clear_torn_commit()
        committed = self.committed_runs()
        if committed:
            # The run before may have died between its commit and the sync of it.
            self.sync_commit(committed)
        if committed or self.NUMBER == Book.NUMBER:
            self.acknowledge(committed)
        self._clear_leftovers(committed)
        return committed

    def _clear_torn_commit(self) -> None:
        """Removes the last commit when a power cut left it empty or cut short.

        Earlier versions did not sync a commit before it had its name. Only one that was never
        acknowledged can be torn; any other that cannot be read is damage.
        """
        number = self.commits.last()
        if not number or not self._is_torn(number):
            return
        acknowledged = self.acknowledged()
        if acknowledged is None or acknowledged >= number:
            return
        remove(self.commit_file(number))
        sync(self.log)
        _LOG.warning(
            "%s: the commit of run %s was cut short by a crash before the run was done; it is "
            "cleared, and that run must be made again",
            self.ledger,
            run_id(number),
        )

    def _is_torn(self, number: int) -> bool:
        """Whether a commit file is the beginning of this run's commit and no more."""
        try:
            actions = self.commits.actions(number)
        except ValueError:
            return True
        try:
            of_this_run = not actions or actions[0]["commitInfo"][self.NUMBER] == run_id(number)
        except (KeyError, TypeError):
            return False
        return of_this_run and not self.holds_a_whole_commit(number)

    def acknowledge(self, number: int) -> None:
        """Notes that a run's commit is on the disk, and all before it."""
        if self.acknowledged() == number:
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

    def _clear_leftovers(self, acknowledged: int) -> None:
        """Removes what runs after the acknowledged one, which were not committed, left behind."""
        if os.path.lexists(self.commit_file(acknowledged + 1)):
            raise BookError(
                f"{self.log}: the log changed while it was read",
                hint="check the disk; no other program may write to a book; nothing was booked",
            )
        self._clear_staging()
        last = run_id(acknowledged)
        for name in _names(self.runs, _RUN):
            if name > last:
                remove_folder(self.runs / name)
        for name in _names(self.ledger, _PART):
            if name[:6] > last:
                remove(self.ledger / name)
        for name in _names(self.log, HALF_A_COMMIT):
            remove(self.log / name)

    def _clear_staging(self) -> None:
        for folder in sorted(self.staging.glob(f"{WORK_OF_TASKS}*")):
            # Tasks on other machines that outlive their run find no such folder any more.
            rename(folder, folder.with_name(f"gone-{folder.name}"))
        remove_folder(self.staging)

    def clear_up(self) -> None:
        """Removes what this run leaves: its staging, and what it moved without a commit.

        Nothing is looked up: what other runs wrote meanwhile, without a lock, is theirs.
        """
        if not self._hold.committing:
            for path, identity in self._hold.moved:
                if os.path.lexists(path) and _made(path) == identity:
                    (remove_folder if path.is_dir() else remove)(path)
        if self._holds_lock():
            self._clear_staging()

    def publish(self, number: int) -> None:
        """Moves a run's staged files to where its commit will make them part of the book.

        Raises:
            BookError: the lock was lost, or something else was staged than the record names.
        """
        self._check_lock()
        self._check_staged(number)
        for folder in (self.ledger, self.log, self.runs):
            make_folder(folder)
        staged = self.staging / "ledger"
        for part in sorted(staged.iterdir()):
            self._move(part, self.ledger / part.name)
        sync(self.staging / "run")
        self._move(self.staging / "run", self.run_folder(number))
        # All of them, even if they were there: a run that died may have made them.
        for folder in (self.log, self.ledger, self.runs, self.path):
            sync(folder)
        if number == 1:
            sync_entry(self.path)

    def _check_staged(self, number: int) -> None:
        record = json.loads((self.staging / "run" / "record.json").read_bytes())
        named = {output["name"] for output in record["outputs"]}
        folder = f"{self.RECORDS}/{run_id(number)}"
        staged = {f"{folder}/{file.name}" for file in (self.staging / "run").iterdir()}
        staged |= {f"{self.TABLE}/{file.name}" for file in (self.staging / "ledger").iterdir()}
        if staged != named | {f"{folder}/record.json"}:
            raise BookError(
                f"{self.staging}: other files were staged than the run's record names",
                hint="no other program may write to a book; nothing was booked, run again",
            )

    def _move(self, path: Path, to: Path) -> None:
        self._hold.moved.append((to, _made(path)))
        move(path, to)

    def commit(self, number: int, actions: list[Action]) -> None:
        """Makes a published run part of the book: the one act that does.

        Raises:
            BookError: its message says whether the run is in the book.
        """
        staged = self.commits.stage(number, actions, self.staging)
        self._check_lock()
        self._hold.committing = True
        try:
            self.commits.enter(number, staged)
            self.sync_commit(number)
        except FileExistsError as error:
            self._hold.committing = False
            raise BookError(
                f"{self.ledger}: another run was booked while this one was at work",
                hint="nothing of this run was booked; run again",
                code="book_in_use",
            ) from error
        except (OSError, MemoryError) as error:
            raise self._after_a_failed_commit(number, actions, error) from error
        try:
            self.acknowledge(number)
        except OSError as error:
            _LOG.warning(
                "%s: run %s is booked, but that could not be noted: %s; the next run notes it",
                self.path,
                run_id(number),
                error.strerror or error,
            )

    def _after_a_failed_commit(
        self, number: int, actions: list[Action], error: OSError | MemoryError
    ) -> BookError:
        """What an error at the commit means, after a look at the book."""
        try:
            is_booked = self.commits.actions(number) == actions
        except FileNotFoundError:
            is_booked = False
        except (OSError, ValueError):
            return BookError(
                f"{self.path}: whether the run is in the book cannot be told: {error}",
                hint="check the disk, then run again: what is in the book is recognised",
                code="disk",
            )
        if is_booked:
            return BookError(
                f"{self.path}: the run was committed, but the disk did not confirm it: {error}",
                hint="run again: what is in the book is recognised, what is not is booked",
                code="disk",
            )
        return BookError(
            f"{self.path}: the commit failed: {error}",
            hint="check the disk; nothing was booked, run again",
            code="disk",
        )

    def _holds_lock(self) -> bool:
        try:
            return _identity(self.lock) == self._hold.lock
        except OSError:
            return False

    def _check_lock(self) -> None:
        if not self._holds_lock():
            raise BookError(
                f"{self.lock}: the lock was removed or replaced while this run held it",
                hint="leave the lock alone: the system frees it; nothing was booked, run again",
            )


def check_place(book: Book) -> None:
    """Refuses a path at which there is something else than a book.

    Raises:
        InputError: naming it.
    """
    for place in (book.path, *book.path.parents):
        if place.exists() and not place.is_dir():
            raise InputError(
                f"{place}: this is a file, not a book",
                hint="name a folder for the book",
                code="not_a_book",
            )
    if book.holds_others():
        raise InputError(
            f"{book.path}: the folder is not empty and holds no book",
            hint="name a new or an empty folder, or an existing book",
            code="not_a_book",
        )


@dataclass(frozen=True, slots=True)
class Access:
    """How a book is taken hold of.

    Attributes:
        wait_seconds: how long to wait until another run has ended.
        any_owner: whether the book may be another user's.
        existing: whether there has to be a book.
    """

    wait_seconds: float = 0
    any_owner: bool = False
    existing: bool = False


USUAL_ACCESS: Final = Access()


def _check_owner(book: Book) -> None:
    """Refuses a book of another user, who could not write to it any more: files are 0600.

    Raises:
        InputError: naming both users.
    """
    if not hasattr(os, "geteuid") or not book.is_begun():
        return
    owner, user = owner_of(book), os.geteuid()
    if owner != user:
        raise InputError(
            f"{book.path}: the book belongs to {_user_name(owner)}, and this command is run by "
            f"{_user_name(user)}",
            hint="run it as the book's owner, who could not read what another user writes; or say "
            "--any-owner",
            code="other_owner",
        )


def owner_of(book: Book) -> int:
    """The user who began a book; its folder may have been made for them by another."""
    places = (book.log, book.acknowledgement, book.path)
    return next(place for place in places if place.exists()).stat().st_uid


def _user_name(uid: int) -> str:
    import pwd

    with suppress(KeyError):
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    return f"uid {uid}"


@contextmanager
def locked(book: Book, access: Access = USUAL_ACCESS) -> Iterator[LockedBook]:
    """Keeps other runs out; the folder is made when it is not there.

    Raises:
        InputError: the path is something else than a book, the book is another user's, or there is
            none where there has to be one.
        BookError: another run is at work, or a part of the book is a link.
    """
    check_place(book)
    if access.existing:
        book.check_readable()
    if not access.any_owner:
        _check_owner(book)
    try:
        make_folder(book.path)
        book.refuse_links()
        is_new = not book.lock.exists()
        # The system drops such a lock when its holder dies; the fallback would outlive it.
        lock = FileLock(book.lock, mode=0o600, fallback_to_soft=False)
        wait_seconds = max(_WAIT_SECONDS, access.wait_seconds)
        with lock.acquire(timeout=wait_seconds, poll_interval=_WAIT_SECONDS / 20):
            if is_new:
                # Whoever made the folder: what a book holds is its owner's alone to read.
                with suppress(PermissionError):
                    book.path.chmod(0o700)
                sync(book.path)
            yield LockedBook(book.path, _Hold(_identity(book.lock)))
    except Timeout as error:
        raise BookError(
            f"{book.path}: another run is writing to this book",
            hint="wait until it has ended, then run again, or say --wait SECONDS; nothing was "
            "booked",
            code="book_in_use",
        ) from error


def _names(folder: Path, of: re.Pattern[str]) -> list[str]:
    """The names of this form in a folder, of which there may be years: no path is made of each."""
    if not folder.exists():
        return []
    return sorted(filter(of.fullmatch, os.listdir(folder)))  # noqa: PTH208


def _identity(path: Path) -> Identity:
    status = path.lstat()
    return status.st_dev, status.st_ino


def _made(path: Path) -> Identity:
    """As ``_identity``, of what may have been removed: the system gives its number again."""
    return *_identity(path), path.lstat().st_mtime_ns

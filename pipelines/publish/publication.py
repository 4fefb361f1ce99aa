"""A copy of a book's ledger in an object store, which any reader of Delta Lake can open.

A run's files go first, its commit last, and every object is made by a write that makes it or does
nothing. So readers see whole runs at each moment, whatever ends a publication, and the next one
goes on where it stopped. Nothing at the place is ever changed or removed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.io.book.folder import Book, no_book, run_id
from engine.io.book.format import LEDGER_FOLDER
from engine.io.object_store import AlreadyThereError, ObjectStore, StoreUrl, is_store_url
from engine.io.run.order import Progress
from pipelines.desk.opened_book import book_readable

_LOG: Final = "_delta_log/"


@dataclass
class Published:
    """What became of a publication.

    Attributes:
        runs: how many runs of the ledger are at the place.
        new_runs: how many of them were not there before.
        files: how many objects were made, commits included.
    """

    book: Path
    to: StoreUrl
    runs: int
    new_runs: int = 0
    files: int = 0
    bytes: int = 0


def publish(book: Book, to: str, progress: Progress) -> Published:
    """Copies what the place does not have yet.

    Raises:
        InputError: there is no book, the place holds something else, or the store fails.
        BookError: a file of the book is damaged.
    """
    if not is_store_url(to):
        raise InputError(
            f"publish: {to}: not a place in an object store",
            hint="write s3://BUCKET/FOLDER, gs://BUCKET/FOLDER or az://CONTAINER/FOLDER; "
            "to another folder of this machine a book is copied",
        )
    url = StoreUrl.of(to)
    book.check_readable()
    # A commit that may not be on the disk yet could be gone after a power cut.
    committed, acknowledged = book.committed_runs(), book.acknowledged()
    runs = committed if acknowledged is None else min(committed, acknowledged)
    if runs == 0:
        raise no_book(book)
    place = _Place(ObjectStore(url, what="publish"), url)
    place.check(book, runs)
    published = Published(book.path, url, runs)
    for number in range(1, runs + 1):
        progress("publish", number - 1, runs)
        for name, data in place.missing(book, number):
            place.create(name, data)
            published.files += 1
            published.bytes += len(data)
            published.new_runs += name.startswith(_LOG)
    progress("publish", runs, runs)
    return published


@dataclass
class _Place:
    """Where a ledger is published.

    Attributes:
        there: the objects at the place, by name, with their sizes.
    """

    store: ObjectStore
    url: StoreUrl
    there: Mapping[str, int] = field(init=False)

    def __post_init__(self) -> None:
        folder = self.url.key.strip("/")
        self._prefix = f"{folder}/" if folder else ""
        self.there = {
            stored.url.key.removeprefix(self._prefix): stored.size_bytes
            for stored in self.store.below(folder)
        }

    def check(self, book: Book, runs: int) -> None:
        """Refuses a place that holds anything but an earlier publication of this book.

        Commits are compared by their sizes, the first and the last by their bytes: each names the
        digest of the one before.
        """
        commits = {_commit_name(book, number): number for number in range(1, runs + 1)}
        in_log = sorted(name for name in self.there if name.startswith(_LOG))
        if not in_log:
            of_the_book = {
                name for number in commits.values() for name, _, _ in _files(book, number)
            }
            for name in sorted(self.there.keys() - of_the_book):
                raise self._refused(name, "the place is not empty, and no ledger is there")
        for name in in_log:
            if name not in commits:
                raise self._refused(
                    name,
                    "this is not of the book's log: another program wrote there, or the book was "
                    "put back to an earlier state",
                )
        for name in in_log:
            data = _commit(book, commits[name])
            is_same = self.there[name] == len(data)
            if is_same and name in (in_log[0], in_log[-1]):
                is_same = self._content(name) == data
            if not is_same:
                raise self._refused(name, "this is another book's commit, or was changed there")

    def missing(self, book: Book, number: int) -> Iterator[tuple[str, bytes]]:
        """What of a run is to be made at the place, files first; by name."""
        commit = _commit_name(book, number)
        for name, size, digest in _files(book, number):
            # As long as its commit is not there, a file may be another book's of the same name.
            if commit in self.there and self.there.get(name) == size:
                continue
            with book_readable(book):
                data = (book.ledger / name).read_bytes()
            if sha256(data).hexdigest() != digest:
                raise BookError(
                    f"{book.ledger / name}: this is not the file that run {run_id(number)} wrote",
                    hint="mynapoint verify names what is wrong; restore the book from a copy",
                )
            yield name, data
        if commit not in self.there:
            yield commit, _commit(book, number)

    def create(self, name: str, data: bytes) -> None:
        """Makes an object, unless there is this very one."""
        try:
            self.store.create(f"{self._prefix}{name}", data)
        except AlreadyThereError:
            raise self._refused(name, "another object of this name is there") from None

    def _content(self, name: str) -> bytes | None:
        return self.store.content(f"{self._prefix}{name}")

    def _refused(self, name: str, why: str) -> InputError:
        return InputError(
            f"publish: {self.url.at(self._prefix + name)}: {why}",
            hint="name a place for this book alone; nothing there was changed",
        )


def _files(book: Book, number: int) -> list[tuple[str, int, str]]:
    """The ledger's files of a run: name, size and sha256."""
    return [
        (output.name.removeprefix(LEDGER_FOLDER), output.bytes, output.sha256)
        for output in book.table_files(number)
    ]


def _commit_name(book: Book, number: int) -> str:
    return f"{_LOG}{book.commit_file(number).name}"


def _commit(book: Book, number: int) -> bytes:
    with book_readable(book):
        return book.commits.read(number)

"""The book's index: what it knows, kept on disk so that a night need not read the ledger.

It is made from committed runs alone and brought up to date when a run begins. What is read from it
is checked as it is read: any access may raise ``DamagedIndex``, at any time. Then it is thrown
away (``clear_index``) and made anew from the ledger, and whatever was begun with it begins again.
"""

from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from engine.booking.state import RUN_SHIFT, Past
from engine.columns.hashing import FINGERPRINT
from engine.io.book.checked import DamagedIndex
from engine.io.book.facts import FactFiles
from engine.io.book.folder import Book
from engine.io.book.index_files import IndexFiles
from engine.io.book.indexing import with_run
from engine.io.book.manifest import (
    MANIFEST,
    Manifest,
    read_manifest,
    remove_manifest,
    write_manifest,
)
from engine.io.book.run_record import Input
from engine.io.book.segments import Segments
from engine.io.book.waiting import Waiting
from engine.io.durable import make_folder, remove, remove_folder

FORMAT: Final = 8
_MARK_DIGITS: Final = 16
_FOLDER_OF_FORMAT_6: Final = "memory"


class Known(NamedTuple):
    """What the book knows of its committed runs, and what waits in it."""

    past: Past
    waiting: Waiting


def recall(book: Book, committed: int) -> Known:
    """What the book knows of its committed runs.

    Raises:
        BookError: a committed run's files are missing or damaged.
        DamagedIndex: the index is not what was written, or not of this book.
    """
    if committed == 0:
        return Known(Past.empty(), Waiting(book.index))
    manifest = _manifest(book, committed)
    index = (
        IndexFiles.none(book.index) if manifest is None else IndexFiles.open(book.index, manifest)
    )
    if manifest is None:
        _remove_old(book)
        make_folder(book.index)
        remove_manifest(book.index)
    _clear(book.index, index.files)
    if index.runs == committed:
        return Known(index.past, index.waiting)
    listed = index.files
    while index.runs < committed:
        index = with_run(book, index)
        # Many runs one after the other merge the same rows again and again.
        _clear(book.index, {*listed, *index.files})
    index = index.written(book.index)
    write_manifest(
        book.index,
        {
            "format": FORMAT,
            "hashes": FINGERPRINT,
            "last_record": book.record_mark(committed),
            "stamp": book.stamp_of_runs(committed),
            "deliveries": _marks(book, committed, manifest),
            "sizes": _sizes(book.index, index.files),
            **index.listed,
        },
    )
    _clear(book.index, index.files)
    return Known(index.past, index.waiting)


def runs_with_deliveries(book: Book, committed: int, deliveries: Iterable[Input]) -> Iterator[int]:
    """The runs, the latest first, that may have had just these deliveries; without an index that
    covers all runs it may be any.
    """
    with suppress(DamagedIndex):
        manifest = read_manifest(book.index)
        if manifest is not None and (manifest["format"], manifest["runs"]) == (FORMAT, committed):
            mark, marks = _mark_of(deliveries), manifest["deliveries"]
            yield from (number for number in range(committed, 0, -1) if marks[number - 1] == mark)
            return
    yield from range(committed, 0, -1)


def _marks(book: Book, committed: int, before: Manifest | None) -> list[str]:
    """By run number less one, the mark of its deliveries."""
    marks: list[str] = [] if before is None else before["deliveries"]
    later = range(len(marks) + 1, committed + 1)
    return [*marks, *(_mark_of(book.record(number).inputs) for number in later)]


def _mark_of(deliveries: Iterable[Input]) -> str:
    """The beginning of a digest of what was delivered, in whatever order."""
    digests = "".join(sorted(read.sha256 for read in deliveries))
    return sha256(digests.encode()).hexdigest()[:_MARK_DIGITS]


def clear_index(book: Book) -> None:
    """Throws the index away; the next to ask for it makes it anew."""
    if book.index.is_symlink() or not book.index.is_dir():
        remove(book.index)
    else:
        remove_manifest(book.index)
        remove_folder(book.index)


def find_bookings(
    book: Book, committed: int, service_id: str, transaction_id: str
) -> tuple[list[tuple[int, int]], int]:
    """Where the index has a transaction's bookings, the latest first: run number and place in it.

    Reads what the search needs and nothing else, and changes nothing. The second value says how
    many runs the index covers: of those after it, and of a book without an index to be believed, it
    does not know.
    """
    with suppress(DamagedIndex, OSError):
        manifest = _manifest(book, committed)
        if manifest is None:
            return [], 0
        past = replace(
            Past.empty(),
            keys=Segments.open(book.index, "keys", manifest["keys"]).segments,
            facts=FactFiles.open(book.index, manifest["facts"]).facts,
        )
        key = (pl.Series([service_id]), pl.Series([transaction_id]))
        found, position = [], int(past.entries_of(*key)[0])
        while position >= 0:
            run = position >> RUN_SHIFT
            found.append((run, position & ((1 << RUN_SHIFT) - 1)))
            position = int(past.entries_of(*key, before_run=run)[0])
        return found, manifest["runs"]
    return [], 0


def _manifest(book: Book, committed: int) -> Manifest | None:
    """What the index says of itself; None where there is none, or one of another engine.

    Raises:
        DamagedIndex: it is damaged, or not of this book.
    """
    manifest = read_manifest(book.index)
    if manifest is None or (manifest["format"], manifest["hashes"]) != (FORMAT, FINGERPRINT):
        return None
    runs = manifest["runs"]
    if runs > committed or manifest["last_record"] != book.record_mark(runs):
        raise DamagedIndex(f"{book.index}: it is not of the runs that are in the book")
    try:
        sizes = _sizes(book.index, manifest["sizes"])
    except OSError as error:
        raise DamagedIndex(f"{error.filename}: it cannot be read: {error.strerror}") from error
    if sizes != manifest["sizes"]:
        name = next(name for name, size in sizes.items() if size != manifest["sizes"][name])
        raise DamagedIndex(f"{book.index / name}: it is not as long as it was")
    return manifest


def _sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}


def _clear(folder: Path, kept: Container[str]) -> None:
    """Removes what is not kept."""
    for file in sorted(folder.iterdir()):
        if file.name in kept or file.name == MANIFEST:
            continue
        if file.is_dir() and not file.is_symlink():
            remove_folder(file)
        else:
            remove(file)


def _remove_old(book: Book) -> None:
    """Removes what an earlier engine kept as its index."""
    old = book.index.parent / _FOLDER_OF_FORMAT_6
    if old.is_dir() and not old.is_symlink():
        remove_folder(old)

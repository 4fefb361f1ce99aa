"""The book's memory in parts, for runs on many machines: which files it has.

Like the other memory it is made from committed runs alone, may be deleted, and is believed only
when it fits the book; the two do not know of each other, so a book may be run either way.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.columns.hashing import FINGERPRINT
from engine.io.book.folder import Book
from engine.io.book.format import RECORD_FILE
from engine.io.durable import make_folder, remove, rename, sha256_of, sync, write_json
from engine.spark.key_index import Segment
from engine.spark.people_index import PeopleFile

FORMAT: Final = 2
_MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class PartitionedMemory:
    """The files of a memory that covers the first ``runs`` runs of a book."""

    book: Book
    runs: int
    people: tuple[PeopleFile, ...]
    segments: tuple[Segment, ...]

    @property
    def folder(self) -> Path:
        return folder_of(self.book)

    @classmethod
    def of(cls, book: Book, committed: int) -> "PartitionedMemory":
        """What is remembered, when all of it is there; nothing otherwise."""
        folder = folder_of(book)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            memory = cls(
                book,
                manifest["runs"],
                tuple(PeopleFile(**one) for one in manifest["people"]),
                tuple(Segment(**one) for one in manifest["segments"]),
            )
            if (
                manifest["format"] == FORMAT
                and manifest["hashes"] == FINGERPRINT
                and all(type(number) is int for number in memory._numbers())
                and 0 < memory.runs <= committed
                and manifest["last_record"] == _record_mark(book, memory.runs)
                and manifest["files"] == _sizes(folder, memory.files())
            ):
                return memory
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return cls(book, 0, (), ())

    def _numbers(self) -> Iterator[object]:
        yield self.runs
        yield from (one.accounts for one in self.people)
        for one in self.segments:
            yield from (one.first, one.beyond, one.entries, one.refunded)

    def files(self) -> Iterator[str]:
        """The names of its files."""
        for one in self.people:
            yield one.name
        for segment in self.segments:
            yield from segment.files()

    def adopt(
        self,
        runs: int,
        work: Path,
        people: Iterable[PeopleFile],
        segments: Iterable[Segment],
        replaced: Iterable[str],
    ) -> None:
        """Becomes a memory of so many runs: takes up what tasks wrote, drops what it replaces."""
        gone = set(replaced)
        kept = [one for one in self.segments if one.name not in gone]
        # Tasks end in any order; people are read in that of their ranges.
        in_order = tuple(sorted(people, key=lambda one: one.first or ""))
        fresh = PartitionedMemory(self.book, runs, in_order, (*kept, *segments))
        make_folder(self.folder)
        known = set(self.files())
        for name in fresh.files():
            if name not in known:
                rename(work / name, self.folder / name)
        sync(self.folder)
        unfinished = self.folder / "manifest.new"
        if unfinished.exists():
            remove(unfinished)
        write_json(
            unfinished,
            {
                "format": FORMAT,
                "hashes": FINGERPRINT,
                "runs": runs,
                "last_record": _record_mark(self.book, runs),
                "people": [one.as_json() for one in fresh.people],
                "segments": [one.as_json() for one in fresh.segments],
                "files": _sizes(self.folder, fresh.files()),
            },
        )
        rename(unfinished, self.folder / _MANIFEST)
        sync(self.folder)
        wanted = {_MANIFEST, *fresh.files()}
        for file in sorted(self.folder.iterdir()):
            if file.name not in wanted:
                remove(file)


def folder_of(book: Book) -> Path:
    """Where a book keeps its memory in parts."""
    return book.path / "memory-in-parts"


def _record_mark(book: Book, number: int) -> str:
    return sha256_of(book.run_folder(number) / RECORD_FILE)


def _sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}

"""The index's files, and the past that they make up."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.booking.state import Past
from engine.io.book.facts import FactFiles
from engine.io.book.folder import run_id
from engine.io.book.manifest import Manifest
from engine.io.book.segments import Segments
from engine.io.book.waiting import Waiting
from engine.io.book.whole_files import (
    CORRECTIONS,
    REGISTRY,
    Listed,
    read_past,
    write_corrections,
    write_registry,
    write_state,
)


@dataclass(frozen=True, slots=True)
class IndexFiles:
    """The index after some runs, and its files.

    Attributes:
        whole: the files of what is kept as a whole, as far as they were written.
        enrolled_in: the run that changed who is enrolled, if that is not written yet.
        corrected_in: the run that changed what is kept of events, likewise.
    """

    runs: int
    past: Past
    keys: Segments
    people: Segments
    facts: FactFiles
    waiting: Waiting
    whole: Listed
    enrolled_in: int = 0
    corrected_in: int = 0

    @classmethod
    def none(cls, folder: Path) -> "IndexFiles":
        """The index before the first run."""
        return cls(
            0,
            Past.empty(),
            Segments(folder, "keys"),
            Segments(folder, "people"),
            FactFiles(folder),
            Waiting(folder),
            {},
        )

    @classmethod
    def open(cls, folder: Path, manifest: Manifest) -> "IndexFiles":
        """The index that a manifest lists.

        Raises:
            DamagedIndex: what is kept as a whole is not what was written.
        """
        index = cls(
            manifest["runs"],
            read_past(folder, manifest["whole"]),
            Segments.open(folder, "keys", manifest["keys"]),
            Segments.open(folder, "people", manifest["people"]),
            FactFiles.open(folder, manifest["facts"]),
            Waiting.open(folder, manifest["waiting"]),
            manifest["whole"],
        )
        return index.with_past(index.past)

    def with_past(self, past: Past) -> "IndexFiles":
        """The index with another past, whose entries are those of the files."""
        return replace(
            self,
            past=replace(
                past,
                keys=self.keys.segments,
                people=self.people.segments,
                facts=self.facts.facts,
            ),
        )

    def without_files(self, *kinds: str) -> "IndexFiles":
        """The index whose files of these kinds are still to be written."""
        whole = {kind: file for kind, file in self.whole.items() if kind not in kinds}
        return replace(self, whole=whole)

    @property
    def listed(self) -> dict[str, Any]:
        """The index, for JSON."""
        return {
            "runs": self.runs,
            "keys": self.keys.listed,
            "people": self.people.listed,
            "facts": self.facts.listed,
            "waiting": self.waiting.listed,
            "whole": self.whole,
        }

    @property
    def files(self) -> list[str]:
        """The names of all files."""
        of_entries = (self.keys, self.people, self.facts, self.waiting)
        whole = [name for name, _ in self.whole.values()]
        return [*whole, *(name for files in of_entries for name in files.files)]

    def written(self, folder: Path) -> "IndexFiles":
        """Writes what is kept as a whole, where it changed."""
        whole = dict(self.whole)
        if not whole.keys() >= {*REGISTRY}:
            whole |= write_registry(folder, self.past.registry, run_id(self.enrolled_in))
        if CORRECTIONS not in whole:
            whole |= write_corrections(folder, self.past.corrections, run_id(self.corrected_in))
        whole |= write_state(folder, self.past, run_id(self.runs))
        return replace(self, whole=dict(sorted(whole.items())))

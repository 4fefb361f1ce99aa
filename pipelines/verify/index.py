"""The book's memory against one that is made anew from the ledger.

No promise is about the memory's bytes, but each run decides by it: one that says something else
than the ledger would make later runs wrong.
"""

import filecmp
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from engine.columns.hashing import FINGERPRINT
from engine.errors import BookError
from engine.io.book.folder import Book
from engine.io.book.index import FORMAT, recall
from pipelines.verify.bytes import Kept
from pipelines.verify.findings import NO_CHANGED_BYTE, Finding, Findings

MANIFEST: Final = "manifest.json"
_AT_ONCE: Final = 1 << 20
# Files that are written when they change; one that is made anew is called by the last run.
_NAMED_BY_THEIR_LAST_RUN: Final = ("registry", "people_ids", "state", "corrections")
_HINT: Final = "; BOOK/memory may be deleted, the next run makes it anew"


def check_memory(book: Book, kept: Kept, scratch: Path, findings: Findings) -> None:
    """Compares what the book remembers with what its committed runs say."""
    if not (book.memory / MANIFEST).exists():
        return
    for name, what in _differences(book, kept, scratch):
        where = f"memory/{name}"
        findings.add(Finding("memory", NO_CHANGED_BYTE, where, what + _HINT))


def to_compare(folder: Path, kept: Kept, version: int) -> tuple[dict[str, Any] | None, str | None]:
    """The manifest of a memory that can be compared, else what is wrong with it, if anything is."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        runs, made_by = manifest["runs"], (manifest["format"], manifest["hashes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, "the memory's manifest cannot be read"
    if made_by != (version, FINGERPRINT):
        # Of another version of the engine or of its hashes: no run of this version believes it.
        return None, None
    if not isinstance(runs, int) or not 0 < runs <= len(kept.runs):
        return None, "the memory is not of as many runs as the log: it, or the log, was changed"
    if kept.whole_runs() is None:
        # What it should be is not known until the ledger's files are restored.
        return None, None
    return manifest, None


def _differences(book: Book, kept: Kept, scratch: Path) -> Iterator[tuple[str, str]]:
    manifest, wrong = to_compare(book.memory, kept, FORMAT)
    if wrong is not None:
        yield MANIFEST, wrong
    if manifest is None:
        return
    anew = Book(scratch / "anew")
    anew.path.mkdir()
    anew.ledger.symlink_to(book.ledger.resolve())
    anew.runs.symlink_to(book.runs.resolve())
    try:
        recall(anew, manifest["runs"])
    except (BookError, ArithmeticError, LookupError, ValueError, pl.exceptions.PolarsError):
        yield MANIFEST, "no memory can be made from the ledger to compare it with"
        return
    expected = json.loads((anew.memory / MANIFEST).read_text(encoding="utf-8"))
    if _without_files(manifest) != _without_files(expected):
        yield MANIFEST, "the memory's manifest is not the one that the ledger gives"
        return
    kept_under = {expected[role]: str(manifest[role]) for role in _NAMED_BY_THEIR_LAST_RUN}
    for file in sorted(anew.memory.iterdir()):
        name = kept_under.get(file.name, file.name)
        if file.name != MANIFEST and not _same(book.memory / name, file):
            yield name, "the memory is not what the ledger says"


def _without_files(manifest: dict[str, Any]) -> dict[str, Any]:
    """The manifest without its files: what is in them is compared."""
    left_out = {"files", *_NAMED_BY_THEIR_LAST_RUN}
    return {name: value for name, value in manifest.items() if name not in left_out}


def _same(one: Path, other: Path) -> bool:
    """Whether two files of a memory hold the same; archives carry the time they were made."""
    try:
        if filecmp.cmp(one, other, shallow=False):
            return True
        if one.suffix == ".arrow":
            return pl.read_ipc(one).equals(pl.read_ipc(other))
        if one.suffix == ".npz":
            with np.load(one) as left, np.load(other) as right:
                return set(left) == set(right) and all(_equal(left[n], right[n]) for n in left)
        return _equal(np.load(one, mmap_mode="r"), np.load(other, mmap_mode="r"))
    # Whatever a damaged file makes of its readers.
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001
        return False


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401 - arrays of any type
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return all(
        np.array_equal(one[at : at + _AT_ONCE], other[at : at + _AT_ONCE])
        for at in range(0, max(1, len(one)), _AT_ONCE)
    )

"""The book's index against one that is made anew from the ledger.

No promise is about the index's bytes, but each run decides by it: one that says something else
than the ledger would make later runs wrong.
"""

import filecmp
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.columns.hashing import FINGERPRINT
from engine.errors import BookError
from engine.io.book.checked import DamagedIndex
from engine.io.book.folder import Book
from engine.io.book.index import FORMAT, recall
from engine.io.book.manifest import MANIFEST, read_manifest
from pipelines.verify.findings import NO_CHANGED_BYTE, Finding, Findings
from pipelines.verify.kept_runs import KeptRuns

_HINT: Final = "; BOOK/index may be deleted, the next run makes it anew"


def check_index(book: Book, kept: KeptRuns, scratch: Path, findings: Findings) -> None:
    """Compares what the index says with what the committed runs say."""
    if not (book.index / MANIFEST).exists():
        return
    for name, what in _differences(book, kept, scratch):
        where = f"index/{name}"
        findings.add(Finding("index", NO_CHANGED_BYTE, where, what + _HINT))


def to_compare(
    folder: Path, kept: KeptRuns, version: int
) -> tuple[dict[str, Any] | None, str | None]:
    """The manifest of an index that can be compared, else what is wrong with it, if anything is."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        runs, made_by = manifest["runs"], (manifest["format"], manifest["hashes"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, "the index's manifest cannot be read"
    if made_by != (version, FINGERPRINT):
        # Of another version of the engine or of its hashes: no run of this version believes it.
        return None, None
    if not isinstance(runs, int) or not 0 < runs <= len(kept.runs):
        return None, "the index is not of as many runs as the log: it, or the log, was changed"
    if kept.whole_runs() is None:
        # What it should be is not known until the ledger's files are restored.
        return None, None
    return manifest, None


def _differences(book: Book, kept: KeptRuns, scratch: Path) -> Iterator[tuple[str, str]]:
    manifest, wrong = to_compare(book.index, kept, FORMAT)
    if manifest is not None:
        try:
            read_manifest(book.index)
        except DamagedIndex:
            manifest, wrong = None, "the index's manifest is not what was written"
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
    except FileNotFoundError:
        # A commit or a record: it has been named as missing, and is to be restored first.
        return
    except (BookError, ArithmeticError, LookupError, ValueError, pl.exceptions.PolarsError):
        yield MANIFEST, "no index can be made from the ledger to compare it with"
        return
    expected = json.loads((anew.index / MANIFEST).read_text(encoding="utf-8"))
    if not _say_the_same(manifest, expected):
        yield MANIFEST, "the index's manifest is not the one that the ledger gives"
        return
    for file in sorted(anew.index.iterdir()):
        if file.name != MANIFEST and not _same(book.index / file.name, file):
            yield file.name, "the index is not what the ledger says"


def _say_the_same(manifest: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Whether two manifests do, but for when the book's files were last touched."""
    of_times = {"stamp", "sha256"}
    return manifest.keys() == expected.keys() and all(
        manifest[name] == expected[name] for name in expected.keys() - of_times
    )


def _same(file: Path, other: Path) -> bool:
    try:
        return filecmp.cmp(file, other, shallow=False)
    except OSError:
        return False

"""Everything in the book's folder that no record and no log names: places, kinds of files, modes.

What breaks a promise is a finding: a link in place of a file, a file that no run makes. What a dead
run, a copy or another program may have left without harm is a remark.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.io.book.checked import DamagedIndex
from engine.io.book.folder import Book
from engine.io.book.manifest import MANIFEST, read_manifest
from pipelines.run.attempts import ATTEMPTS_FILE
from pipelines.verify.findings import NO_CHANGED_BYTE, REMARK, WHOLE_RUNS, Finding, Findings
from pipelines.verify.kept_runs import KeptRun, KeptRuns
from pipelines.verify.log_end import is_changing

# Of these, bytes, payouts and seals name what does not belong there.
_NAMED_BY_RECORDS: Final = frozenset({"ledger", "runs", "payouts", "payout_runs", "seals"})
_FOLDERS: Final = _NAMED_BY_RECORDS | {"index", "staging"}
_NOTES: Final = (".acknowledged", ".payouts-acknowledged", ".copying")
_FILES: Final = frozenset({".lock", ATTEMPTS_FILE, *_NOTES, *(f"{name}.new" for name in _NOTES)})
_OF_EARLIER_VERSIONS: Final = frozenset({"memory", "memory-in-parts"})
_STAGED: Final = re.compile(r"run|ledger|work|[0-9]{20}\.json|(?:gone-)?tasks-[0-9a-f]+")
_INDEX_FILE: Final = re.compile(r"manifest\.new|[a-z]+(?:-[a-z0-9]+)*\.(?:arrow|array|json|npy)")
_OF_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class _Place:
    """A file or folder of the book.

    Attributes:
        name: seen from the book, ``.`` for the book itself.
        status: as the system has it, of a link and not of what is behind it.
    """

    name: str
    status: os.stat_result

    @property
    def parts(self) -> tuple[str, ...]:
        return Path(self.name).parts


def check_places(book: Book, kept: KeptRuns, findings: Findings) -> None:
    """Looks at everything that is in the book's folder."""
    # What is at work, or was a moment ago, changes staging and index while they are looked at.
    changing = is_changing(book, len(kept.runs))
    places = [_Place(".", book.path.stat()), *_walked(book.path, book.path)]
    for found in (*_kinds(places), *_unknown(book, places, changing=changing)):
        if os.path.lexists(book.path / found.where):
            findings.add(found)
    for finding, times in (*_modes(places), *_older_than_their_runs(places, kept)):
        findings.add(finding, times)


def _walked(folder: Path, top: Path) -> Iterator[_Place]:
    """All that is below a folder; what disappears meanwhile is left out."""
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    for entry in listed:
        try:
            status = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue
        yield _Place(Path(entry.path).relative_to(top).as_posix(), status)
        if stat.S_ISDIR(status.st_mode):
            yield from _walked(Path(entry.path), top)


def _kinds(places: Iterable[_Place]) -> Iterator[Finding]:
    for place in places:
        mode = place.status.st_mode
        if stat.S_ISLNK(mode):
            what = "this is a link, and a book holds none"
            yield Finding("link", NO_CHANGED_BYTE, place.name, what)
        elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            what = "this is neither a file nor a folder, and a book holds nothing else"
            yield Finding("special", NO_CHANGED_BYTE, place.name, what)


def _unknown(book: Book, places: Iterable[_Place], *, changing: bool) -> Iterator[Finding]:
    sizes = _indexed(book)
    for place in places:
        top, *inner = place.parts or (".",)
        is_link = stat.S_ISLNK(place.status.st_mode)
        if place.name == "." or is_link or top in _NAMED_BY_RECORDS:
            continue
        if not inner:
            if top in _OF_EARLIER_VERSIONS:
                what = "an earlier version's index; nothing reads it, and it may be deleted"
                yield Finding("left_over", WHOLE_RUNS, top, what, severity=REMARK)
            elif top not in _FOLDERS | _FILES:
                yield _nobodys(top)
        elif changing or top in _OF_EARLIER_VERSIONS:
            continue
        elif top == "staging" and len(inner) == 1:
            if _STAGED.fullmatch(inner[0]):
                what = "a run died and left this; the next run clears it away"
                yield Finding("left_over", WHOLE_RUNS, place.name, what, severity=REMARK)
            else:
                yield _nobodys(place.name)
        elif top == "index" and inner[0] not in {MANIFEST, *(sizes or ())}:
            if len(inner) > 1 or not _INDEX_FILE.fullmatch(inner[0]):
                yield _nobodys(place.name)
            elif sizes is not None:
                what = "the index does not name this file; the next run clears it away"
                yield Finding("left_over", WHOLE_RUNS, place.name, what, severity=REMARK)


def _nobodys(name: str) -> Finding:
    return Finding("unknown", NO_CHANGED_BYTE, name, "no run has made this")


def _indexed(book: Book) -> dict[str, int] | None:
    """The files that the index names; None where there is no index, or it is damaged."""
    try:
        manifest = read_manifest(book.index)
    except DamagedIndex:
        return None
    sizes = manifest.get("sizes") if manifest else None
    return sizes if isinstance(sizes, dict) else None


def _modes(places: Iterable[_Place]) -> Iterator[tuple[Finding, int]]:
    """Where others than the owner may write or read: one remark each, by the first such place."""
    writable: list[_Place] = []
    readable: list[_Place] = []
    for place in places:
        mode = place.status.st_mode
        if not stat.S_ISLNK(mode) and mode & _OF_OTHERS:
            (writable if mode & _WRITABLE else readable).append(place)
    for kind, found, verb in (
        ("writable", writable, "change"),
        ("readable", readable, "read"),
    ):
        if found:
            mode = stat.S_IMODE(found[0].status.st_mode)
            what = f"others than the owner may {verb} it (mode {mode:04o})"
            where = found[0].name
            yield Finding(kind, NO_CHANGED_BYTE, where, what, severity=REMARK), len(found)


def _older_than_their_runs(
    places: Iterable[_Place], kept: KeptRuns
) -> Iterator[tuple[Finding, int]]:
    """Files whose time is before the run that made them; a copy may be newer, never older."""
    runs = {run.id: run for run in kept.runs if run is not None}
    older = []
    for place in places:
        run = _run_of(place, runs)
        if run is None or run.record.ran is None or not stat.S_ISREG(place.status.st_mode):
            continue
        if place.status.st_mtime < run.record.ran.started_at.timestamp() - _DAY_SECONDS:
            older.append(place.name)
    if older:
        what = "the file's time is before the run that made it"
        yield Finding("file_time", NO_CHANGED_BYTE, older[0], what, severity=REMARK), len(older)


def _run_of(place: _Place, runs: dict[str, KeptRun]) -> KeptRun | None:
    match place.parts:
        case ("runs", run, _):
            return runs.get(run)
        case ("ledger", name):
            return runs.get(name.partition("-")[0])
    return None

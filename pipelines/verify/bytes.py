"""Every byte of the book against what the records and the log say of it.

Each file stands with its size and sha256 in its run's record; each record with its sha256 in its
commit and in the next record; each commit in the next commit. The last commit is guarded by its
content alone: all of it that follows from the record and the files is compared.
"""

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.io.book.folder import Book, run_id
from engine.io.book.format import (
    CORRECTIONS_FILE,
    GATES_FILE,
    PROGRAMME_FILE,
    SERVICES_FILE,
    TABLES_OF_EVERY_RUN,
    RunTable,
    layout_file,
)
from engine.io.book.run_record import RunRecord
from engine.io.durable import sha256_of
from pipelines.verify.commits import Commits
from pipelines.verify.findings import NEVER_TOO_MUCH, NO_CHANGED_BYTE, WHOLE_RUNS, Finding, Findings
from pipelines.verify.kept_runs import KeptRun, KeptRuns
from pipelines.verify.log_end import check_acknowledged, is_changing
from pipelines.verify.records import contradictions, read_record, used_layouts

_TERMS: Final = (PROGRAMME_FILE, SERVICES_FILE)
# Files that a run writes only if there is something to put into them.
_OPTIONAL: Final = (RunTable.WAITING.file_name, CORRECTIONS_FILE, GATES_FILE)
_LEDGER_FILE: Final = re.compile(r"ledger/([0-9]{6,})-[0-9]{5}\.parquet")
# What delta-rs leaves when it dies at a commit.
_HALF_A_COMMIT: Final = re.compile(r"ledger/_delta_log/(?:[0-9]{20}\.json#[0-9]+|_commit_.*\.tmp)")
_IN_THE_LOG: Final = re.compile(r"ledger/_delta_log/[0-9]{20}\.json(?:#[0-9]+)?")
_RUN_PLACE: Final = re.compile(r"(?:runs/|ledger/)([0-9]{6,})(?=[-/]|$)")


@dataclass(frozen=True, slots=True)
class _Digest:
    size: int
    sha256: str


def check_bytes(book: Book, findings: Findings) -> KeptRuns:
    """Compares the bytes of every file with what its record says, and the log with the records."""
    # In this order: a run may be booked meanwhile, and is left for the next verification.
    acknowledged = book.acknowledged()
    commits = Commits(book.ledger / "_delta_log")
    listing = sorted(_listing(book.path, ("ledger", "runs")))
    digests = _digests(book.path, listing)
    check_acknowledged(acknowledged, commits.last, findings, book.ACKNOWLEDGED)
    for finding in commits.foreign:
        findings.add(finding)
    expected = {"ledger", "ledger/_delta_log", "runs"} | {
        f"ledger/_delta_log/{name}" for name in commits.names
    }
    kept = KeptRuns()
    for number in range(1, commits.last + 1):
        expected |= {f"runs/{run_id(number)}", f"runs/{run_id(number)}/record.json"}
        record = read_record(book, number, findings)
        run = None
        if record is not None:
            names = {output.name for output in record.outputs}
            expected |= names
            sound = frozenset(_sound(number, record, digests, findings))
            kept.damaged += sorted(names - sound)
            run = KeptRun(number, record, sound)
            for what in contradictions(run):
                findings.add(Finding("record", NEVER_TOO_MUCH, run.where, what))
        else:
            kept.damaged.append(f"runs/{run_id(number)}/record.json")
            expected |= {name for name in listing if _run_of(name) == number}
        kept.runs.append(run)
        record_sha256 = _sha256(digests, f"runs/{run_id(number)}/record.json")
        people = _first_and_last_people(book, run) if run else {}
        for finding in commits.check(number, record, record_sha256, people):
            findings.add(finding)
    _unexpected(book, listing, expected, digests, commits.last, findings)
    return kept


def _listing(top: Path, folders: Iterable[str]) -> Iterator[str]:
    """Everything in the folders, and they themselves, named from the top."""
    for folder in folders:
        for root, inner, files in os.walk(top / folder):
            place = Path(root).relative_to(top)
            yield place.as_posix()
            yield from ((place / name).as_posix() for name in files)
            yield from (
                (place / name).as_posix() for name in inner if (top / place / name).is_symlink()
            )


def _digests(top: Path, listing: Iterable[str]) -> dict[str, _Digest | None]:
    """By name, what each file is; None where it cannot be read. Folders are left out."""

    def digest(name: str) -> _Digest | None:
        path = top / name
        try:
            return _Digest(path.stat().st_size, sha256_of(path))
        except OSError:
            return None

    names = [name for name in listing if not (top / name).is_dir()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(names, pool.map(digest, names), strict=True))


def _sha256(digests: dict[str, _Digest | None], name: str) -> str | None:
    digest = digests.get(name)
    return digest.sha256 if digest else None


def _sound(
    number: int, record: RunRecord, digests: dict[str, _Digest | None], findings: Findings
) -> Iterator[str]:
    """Compares the run's files with its record; gives the names of those that are the same."""
    folder = f"runs/{run_id(number)}"
    tables = TABLES_OF_EVERY_RUN[record.format]
    names = [*(table.file_name for table in tables), *_TERMS]
    names += [layout_file(layout.id) for layout in used_layouts(record)]
    wanted = {f"{folder}/{name}" for name in names}
    optional = {f"{folder}/{name}" for name in (_OPTIONAL if record.format > 1 else ())}
    seen: set[str] = set()
    for output in record.outputs:
        name = output.name
        part = _LEDGER_FILE.fullmatch(name)
        belongs = name in wanted or name in optional or (part and part[1] == run_id(number))
        if name in seen or not belongs:
            what = f"outputs name {name}, which is none of this run's files or named before"
            findings.add(Finding("record", NO_CHANGED_BYTE, f"{folder}/record.json", what))
            continue
        seen.add(name)
        digest = digests.get(name)
        if name not in digests:
            what = "the file is missing"
            findings.add(Finding("missing", NO_CHANGED_BYTE, name, what))
        elif digest is None:
            findings.add(Finding("changed", NO_CHANGED_BYTE, name, "the file cannot be read"))
        elif digest.size != output.bytes:
            what = f"the file has {digest.size} bytes, its record says {output.bytes}"
            findings.add(Finding("changed", NO_CHANGED_BYTE, name, what))
        elif digest.sha256 != output.sha256:
            what = "the file's bytes are not those that were booked: its sha256 is another"
            findings.add(Finding("changed", NO_CHANGED_BYTE, name, what))
        else:
            yield name
    for name in sorted(wanted - seen):
        what = f"outputs do not name {name}"
        findings.add(Finding("record", NO_CHANGED_BYTE, f"{folder}/record.json", what))


def _first_and_last_people(book: Book, run: KeptRun) -> dict[str, tuple[str, str]]:
    """By the name of a sound ledger file, the first and the last person in it."""
    people = {}
    for name in run.ledger_files:
        if name in run.sound:
            try:
                with pq.ParquetFile(book.path / name) as file:
                    last = file.num_row_groups - 1
                    ids = [file.read_row_group(g, ["person_id"])["person_id"] for g in (0, last)]
                people[name] = (str(ids[0][0].as_py()), str(ids[1][-1].as_py()))
            except (pa.ArrowException, OSError, IndexError, KeyError):
                continue
    return people


def _run_of(name: str) -> int:
    """The number of the run that a place in the book belongs to, or 0."""
    place = _RUN_PLACE.match(name)
    return int(place[1]) if place else 0


def _unexpected(
    book: Book,
    listing: Iterable[str],
    expected: set[str],
    digests: dict[str, _Digest | None],
    committed: int,
    findings: Findings,
) -> None:
    unexpected = [name for name in listing if name not in expected]
    changing = None
    for name in unexpected:
        number = _run_of(name)
        if number > committed or _IN_THE_LOG.fullmatch(name):
            changing = is_changing(book, committed) if changing is None else changing
            if changing or not os.path.lexists(book.path / name):
                # A run's, which is at work or was a moment ago.
                continue
        if _HALF_A_COMMIT.fullmatch(name):
            what = "a commit was begun here and not made; the next run clears this away"
            findings.add(Finding("uncommitted", WHOLE_RUNS, name, what))
        elif number <= committed:
            what = "no run has made this; it belongs to no record"
            findings.add(Finding("unknown", NO_CHANGED_BYTE, name, what))
        elif name not in digests or name.startswith("ledger/"):
            # Of a run's folder, one finding names the folder and not each of its files.
            what = (
                f"run {run_id(number)} has no commit: a run died before it was booked, or its "
                "commit was removed from the log; look before the next run clears this away"
            )
            findings.add(Finding("uncommitted", WHOLE_RUNS, name, what))

"""Every byte of the book against what the records and the log say of it.

Each file stands with its size and sha256 in its run's record; each record with its sha256 in its
commit and in the next record; each commit in the next commit. The last commit is guarded by its
content alone: all of it that follows from the record and the files is compared.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from engine.io.book.folder import Book, run_id
from engine.io.book.format import (
    CORRECTIONS_FILE,
    PROGRAMME_FILE,
    SERVICES_FILE,
    TABLES_OF_EVERY_RUN,
    RunTable,
    check_known,
    layout_file,
)
from engine.io.book.payouts import record_before
from engine.io.book.run_record import RunRecord, UsedLayout
from engine.io.durable import sha256_of
from pipelines.verify.commits import Commits
from pipelines.verify.findings import (
    NEVER_TOO_MUCH,
    NO_CHANGED_BYTE,
    WHOLE_RUNS,
    Finding,
    Findings,
)
from pipelines.verify.shape import (
    COUNT,
    DAY,
    LAYOUT_ID,
    TEXT,
    TEXT_OR_NULL,
    TRUE_OR_FALSE,
    Each,
    Optionally,
    differences,
)

TERMS: Final = (PROGRAMME_FILE, SERVICES_FILE)
# What a run leaves only where there is something to say.
_OPTIONAL: Final = (RunTable.WAITING.file_name, CORRECTIONS_FILE)

_LEDGER_FILE: Final = re.compile(r"ledger/([0-9]{6,})-[0-9]{5}\.parquet")
# What delta-rs leaves when it dies at a commit.
_HALF_A_COMMIT: Final = re.compile(r"ledger/_delta_log/(?:[0-9]{20}\.json#[0-9]+|_commit_.*\.tmp)")
_IN_THE_LOG: Final = re.compile(r"ledger/_delta_log/[0-9]{20}\.json(?:#[0-9]+)?")
_RUN_PLACE: Final = re.compile(r"(?:runs/|ledger/)([0-9]{6,})(?=[-/]|$)")
_SPLIT: Final = {
    "read": COUNT,
    "booked": COUNT,
    "declined": Each(dict, COUNT),
    "quarantined": COUNT,
    "skipped": Optionally(Each(dict, COUNT)),
}
_INPUT: Final = {
    "role": TEXT,
    "name": TEXT,
    "bytes": COUNT,
    "sha256": TEXT,
    "rows": COUNT,
    "layout": Optionally({"id": LAYOUT_ID, "sha256": TEXT, "parameters": Each(dict, TEXT)}),
}
_RAN: Final = {
    "started_at": TEXT,
    "finished_at": TEXT,
    "user": TEXT,
    "host": TEXT,
    "command": TEXT,
}
_DECISIONS: Final = {
    "read": COUNT,
    "accepted": COUNT,
    "unchanged": COUNT,
    "rejected": Each(dict, COUNT),
    "quarantined": COUNT,
    "skipped": Optionally(Each(dict, COUNT)),
}
_RECORD_OF_FORMAT_1: Final[dict[str, Any]] = {
    "format": Optionally(1),
    "run_id": TEXT,
    "booked_on": DAY,
    "programme": {
        "id": TEXT,
        "sha256": TEXT,
        "terms": {
            "announced_on": DAY,
            "window_first": DAY,
            "window_last": DAY,
            "applications_last": DAY,
            "card_applications_last": DAY,
            "source": TEXT,
        },
    },
    "services_sha256": TEXT,
    "inputs": Each(list, _INPUT),
    "counts": {
        **_SPLIT,
        "people": COUNT,
        "people_at_the_cap": COUNT,
        "enrollments": _DECISIONS,
    },
    "yen": _SPLIT,
    "points": {"awarded": COUNT, "reversed": COUNT},
    "outputs": Each(
        list, {"name": TEXT, "bytes": COUNT, "sha256": TEXT, "rows": Optionally(COUNT)}
    ),
    "ledger_version": COUNT,
    "engine": Each(dict, TEXT),
    "previous_sha256": TEXT_OR_NULL,
}
_RECONSIDERED: Final = {"reconsidered": COUNT}
_RECORD: Final = {
    **_RECORD_OF_FORMAT_1,
    "format": 2,
    "programme": {**_RECORD_OF_FORMAT_1["programme"], "built_in": TRUE_OR_FALSE},
    "counts": {
        **_RECORD_OF_FORMAT_1["counts"],
        **_RECONSIDERED,
        "voided": COUNT,
        "recounted": COUNT,
        "recounted_of_format_1": Optionally(COUNT),
        "enrollments": {**_DECISIONS, **_RECONSIDERED},
        "events": {**_DECISIONS, **_RECONSIDERED},
    },
    "yen": {**_SPLIT, **_RECONSIDERED},
    "ran": _RAN,
    "warnings": Each(list, {"file": TEXT, "row": COUNT, "what": TEXT}),
}


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A committed run whose record can be read.

    Attributes:
        sound: the names of its outputs whose bytes are the record's.
    """

    number: int
    record: RunRecord
    sound: frozenset[str]

    @property
    def id(self) -> str:
        return run_id(self.number)

    @property
    def where(self) -> str:
        """The record, as a finding names it."""
        return f"runs/{self.id}/record.json"

    @property
    def ledger_files(self) -> list[str]:
        return [output.name for output in self.record.ledger_files]

    @property
    def entries(self) -> int:
        return sum(output.rows or 0 for output in self.record.ledger_files)

    @property
    def tables(self) -> list[RunTable]:
        """The tables that the run left."""
        names = {output.name for output in self.record.outputs}
        return [table for table in RunTable if self.file(table.file_name) in names]

    def file(self, name: str) -> str:
        """One of the run's other files."""
        return f"runs/{self.id}/{name}"

    @property
    def whole(self) -> bool:
        """Whether every file that the record names is as it was."""
        return len(self.sound) == len(self.record.outputs)


@dataclass(slots=True)
class Kept:
    """What the book keeps: its committed runs by number less one, None where one is past reading.

    Attributes:
        damaged: the names of files that are not as their records say.
    """

    runs: list[KeptRun | None] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)

    def whole_runs(self) -> list[KeptRun] | None:
        """All runs, when every file that later work relies on is as it was."""
        runs = [run for run in self.runs if run is not None and run.whole]
        return runs if len(runs) == len(self.runs) else None


@dataclass(frozen=True, slots=True)
class _Digest:
    size: int
    sha256: str


def check_bytes(book: Book, findings: Findings) -> Kept:
    """Compares the bytes of every file with what its record says, and the log with the records."""
    # In this order: a run may be booked meanwhile, and is left for the next verification.
    acknowledged = book.acknowledged()
    commits = Commits(book.ledger / "_delta_log")
    listing = sorted(_listing(book.path, ("ledger", "runs")))
    digests = _digests(book.path, listing)
    check_acknowledged(acknowledged, commits.last, findings, book.ACKNOWLEDGED)
    for finding in commits.foreign:
        findings.add(finding)
    for link in _links(book.path, listing):
        what = "this is a link, and a book holds none"
        findings.add(Finding("link", NO_CHANGED_BYTE, link, what))
    expected = {"ledger", "ledger/_delta_log", "runs"} | {
        f"ledger/_delta_log/{name}" for name in commits.names
    }
    kept = Kept()
    for number in range(1, commits.last + 1):
        expected |= {f"runs/{run_id(number)}", f"runs/{run_id(number)}/record.json"}
        record = _record(book, number, findings)
        run = None
        if record is not None:
            names = {output.name for output in record.outputs}
            expected |= names
            sound = frozenset(_sound(number, record, digests, findings))
            kept.damaged += sorted(names - sound)
            run = KeptRun(number, record, sound)
            for what in _contradictions(run):
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


def is_changing(book: Book, committed: int) -> bool:
    """Whether a run is at work, or was since the log was looked at."""
    return book.is_being_written() or book.commit_file(committed + 1).exists()


def check_acknowledged(
    acknowledged: int | None, committed: int, findings: Findings, where: str
) -> None:
    """Compares a log with the number of the last run that was told to be booked."""
    if acknowledged is None:
        what = "what says which run was the last is missing: later ones may have been cut off"
        findings.add(Finding("cut_off", NO_CHANGED_BYTE, where, what))
    elif acknowledged > committed:
        what = (
            f"the log ends with run {run_id(committed)}, run {run_id(acknowledged)} was booked: "
            "the runs after it were cut off, or the book is an older copy"
        )
        findings.add(Finding("cut_off", WHOLE_RUNS, where, what))
    elif acknowledged < committed - 1:
        # The last one's commit may have been made and not yet noted.
        what = f"it says that run {run_id(acknowledged)} is the last: runs were added behind it"
        findings.add(Finding("cut_off", NO_CHANGED_BYTE, where, what))


def _links(top: Path, listing: Iterable[str]) -> Iterator[str]:
    names = [path.name for path in top.iterdir()]
    yield from (name for name in sorted({*names, *listing}) if (top / name).is_symlink())


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


def _record(
    book: Book,
    number: int,
    findings: Findings,
) -> RunRecord | None:
    """A run's record, when all of it can be understood."""
    name = f"runs/{run_id(number)}/record.json"

    def found(what: str) -> None:
        findings.add(Finding("record", NO_CHANGED_BYTE, name, what))

    try:
        value = json.loads((book.path / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        findings.add(Finding("missing", NO_CHANGED_BYTE, name, "the run's record is missing"))
        return None
    except (OSError, ValueError):
        found("the run's record cannot be read")
        return None
    check_known(value, book.path / name)
    is_old = isinstance(value, dict) and value.get("format", 1) == 1
    faults = list(differences(_RECORD_OF_FORMAT_1 if is_old else _RECORD, value))
    for fault in faults:
        found(fault)
    if faults:
        return None
    record = RunRecord.from_json(value, book.path / name)
    before_it = record_before(book, number)
    before = sha256_of(before_it) if number > 1 and before_it.exists() else None
    if record.previous_sha256 != before:
        if number == 1:
            found("the first run's record names a record before it")
        else:
            where = before_it.relative_to(book.path).as_posix()
            what = "the next record was made after another record than this one"
            findings.add(Finding("record", NO_CHANGED_BYTE, where, what))
    if record.run_id != run_id(number):
        found("this is the record of another run")
    if record.ledger_version != number - 1:
        findings.add(Finding("record", WHOLE_RUNS, name, f"ledger_version is not {number - 1}"))
    return record


def _sound(
    number: int, record: RunRecord, digests: dict[str, _Digest | None], findings: Findings
) -> Iterator[str]:
    """Compares the run's files with its record; gives the names of those that are the same."""
    folder = f"runs/{run_id(number)}"
    tables = TABLES_OF_EVERY_RUN[record.format]
    names = [*(table.file_name for table in tables), *TERMS]
    names += [layout_file(layout.id) for layout in used_layouts(record)]
    wanted = {f"{folder}/{name}" for name in names}
    optional = {f"{folder}/{name}" for name in (_OPTIONAL if record.format > 1 else ())}
    seen: set[str] = set()
    for output in record.outputs:
        name = output.name
        part = _LEDGER_FILE.fullmatch(name)
        mine = name in wanted or name in optional or (part and part[1] == run_id(number))
        if name in seen or not mine:
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


def _contradictions(run: KeptRun) -> Iterator[str]:
    """What in a record contradicts itself."""
    record = run.record
    counts, yen, enrollments = record.counts, record.yen, record.counts.enrollments
    # The sums of the engine's own rule, on purpose without it.
    for what, split in (("rows", counts), ("yen", yen)):
        out = split.booked + split.quarantined
        out += sum(split.declined.values()) + sum(split.skipped.values())
        if split.read + split.reconsidered != out:
            yield f"{split.read} {what} of transactions were read, {out} are accounted for"
    for what, decided in (("enrollments", enrollments), ("events", counts.events)):
        out = decided.accepted + decided.unchanged + decided.quarantined
        out += sum(decided.rejected.values()) + sum(decided.skipped.values())
        if decided.read + decided.reconsidered != out:
            yield f"{decided.read} {what} were read, {out} are accounted for"
    for role, read in (
        ("transactions", counts.read),
        ("enrollments", enrollments.read),
        ("events", counts.events.read),
    ):
        rows = sum(one.rows for one in record.inputs if one.role == role)
        if rows != read:
            yield f"the inputs have {rows} {role}, {read} were read"
    kept = {output.name: output.sha256 for output in record.outputs}
    for name, sha256 in (
        (PROGRAMME_FILE, record.programme.sha256),
        (SERVICES_FILE, record.services_sha256),
        *((layout_file(layout.id), layout.sha256) for layout in used_layouts(record)),
    ):
        if kept.get(run.file(name)) != sha256:
            yield f"it was booked by another {name} than the one that it keeps"


def used_layouts(record: RunRecord) -> list[UsedLayout]:
    """The layouts by which the run's deliveries were read, one a file that had one."""
    return [one.layout for one in record.inputs if one.layout is not None]


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
            # The folder stands for the files in it.
            what = (
                f"run {run_id(number)} has no commit: a run died before it was booked, or its "
                "commit was removed from the log; look before the next run clears this away"
            )
            findings.add(Finding("uncommitted", WHOLE_RUNS, name, what))

"""What is wrong with a night's files: those that cannot be used, rows that cannot be read."""

import datetime as dt
import os
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.io.book.folder import Book
from engine.io.delivered.deliveries import Delivered, DeliveredAs, find_delivered
from engine.io.delivered.role_files import Files, check_parameters
from engine.io.delivered.roles import ROLES, Role
from engine.io.delivered.rows import PartRows
from engine.io.parquet import scan_parquet
from engine.io.run.changes import JAPAN
from engine.io.run.nightly import run
from engine.io.run.one_run import RunResult
from engine.records import RoleName

ROLES_OF_A_NIGHT: tuple[RoleName, ...] = ("events", "enrollments", "transactions")


@dataclass(frozen=True, slots=True)
class UnusableFile:
    """A file, or what was named and cannot be found, that would make a run fail."""

    role: RoleName
    name: str
    why: str
    hint: str


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """A file that a run can read.

    Attributes:
        rows: how many records it has.
        faults: by fault, how many of them would go to quarantine for it.
    """

    role: RoleName
    name: str
    rows: int
    quarantined: int
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class CheckedNight:
    """What was found out of a night's files.

    Attributes:
        result: what a run with the usable files would do; None where there are none.
    """

    unusable: Sequence[UnusableFile]
    files: Sequence[CheckedFile]
    result: RunResult | None

    @property
    def has_findings(self) -> bool:
        """Whether a file cannot be used, or a row would go to quarantine."""
        return bool(self.unusable) or any(file.quarantined for file in self.files)


@dataclass
class _Usable:
    found: dict[RoleName, list[DeliveredAs]] = field(
        default_factory=lambda: {role: [] for role in ROLES_OF_A_NIGHT}
    )
    unusable: list[UnusableFile] = field(default_factory=list)

    def look_at(self, role: Role, given: str | Path | DeliveredAs) -> None:
        delivered_as = given if isinstance(given, DeliveredAs) else DeliveredAs(given)
        try:
            files = find_delivered([delivered_as], role.name)
        except InputError as error:
            self._refuse(role, str(delivered_as.path), error)
            return
        for delivered in files:
            try:
                _read_whole(role, delivered)
            except InputError as error:
                self._refuse(role, delivered.name, error)
            else:
                as_given = DeliveredAs(delivered.name, delivered_as.layout, delivered_as.parameters)
                self.found[role.name].append(as_given)

    def _refuse(self, role: Role, name: str, error: InputError) -> None:
        self.unusable.append(UnusableFile(role.name, name, error.message, error.hint))


def check_night(
    book: Path,
    delivered: Mapping[RoleName, Sequence[str | Path | DeliveredAs]],
    *,
    booked_on: dt.date | None,
    services: Path | None,
    programme: str | None,
    terms_as_of: dt.date | None,
) -> CheckedNight:
    """Looks at every file of a night, then at all that can be used as a run would.

    Raises:
        InputError: the options or the terms cannot be used.
        BookError: the book is damaged.
    """
    usable = _Usable()
    for role in ROLES_OF_A_NIGHT:
        for given in delivered[role]:
            usable.look_at(ROLES[role], given)
    if not any(usable.found.values()):
        return CheckedNight(usable.unusable, (), None)
    with tempfile.TemporaryDirectory(prefix="mynapoint-check-") as scratch:
        out = Path(scratch) / "run"
        result = run(
            book,
            booked_on=booked_on or _next_day(book),
            transactions=usable.found["transactions"],
            enrollments=usable.found["enrollments"],
            events=usable.found["events"],
            services=services,
            programme=programme,
            terms_as_of=terms_as_of,
            max_quarantined=1.0,
            dry_run=True,
            out=out,
        )
        return CheckedNight(usable.unusable, _files(result, out), result)


def _read_whole(role: Role, delivered: Delivered) -> None:
    files = Files(role, [delivered])
    check_parameters(files)
    threads = (os.cpu_count() or 1) + 1
    with ThreadPoolExecutor(threads) as pool:
        for _ in files.read(pool, threads + 1, _forgotten):
            pass
    files.screen.judge()


def _forgotten(_: PartRows) -> None:
    """What is kept of rows that are only looked at."""


def _next_day(path: Path) -> dt.date:
    """Today in Japan, or the last run's day where that is later."""
    book, today = Book.at(path), dt.datetime.now(JAPAN).date()
    if not book.path.is_dir() or not book.is_begun():
        return today
    committed = book.committed_runs()
    return max(today, book.record(committed).booked_on) if committed else today


def _files(result: RunResult, out: Path) -> list[CheckedFile]:
    record = result.record
    faults: dict[str, Counter[str]] = {read.name: Counter() for read in record.inputs}
    rows: Counter[str] = Counter()
    path = out / "runs" / record.run_id / "quarantine.parquet"
    if path.exists():
        table = scan_parquet(path).select("file", "errors").collect()
        rows.update(dict(table["file"].value_counts().iter_rows()))
        by_fault = table.explode("errors").group_by("file", "errors").agg(pl.len())
        for file, fault, number in by_fault.iter_rows():
            faults[file][fault] += number
    return [
        CheckedFile(
            read.role,
            read.name,
            read.rows,
            rows[read.name],
            dict(sorted(faults[read.name].items())),
        )
        for read in record.inputs
    ]

"""A run whose calculation is done by Spark; what comes before and after it is every run's."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from uuid import uuid4

import polars as pl

from engine.booking.enrollment import enroll
from engine.booking.registry import Registry
from engine.errors import BookError, InputError
from engine.io.book.folder import part_name
from engine.io.book.ledger import Part
from engine.io.book.tables import WrittenTable
from engine.io.book.writing import WORK_OF_TASKS
from engine.io.delivered.deliveries import Delivered, check_unchanged
from engine.io.delivered.parquet_file import ROW_BYTES
from engine.io.delivered.rows import ENROLLMENT_VALUES, Files
from engine.io.durable import make_folder, rename
from engine.io.parquet import scan_parquet
from engine.io.run.nightly import Run, write_enrollments
from engine.io.run.refusal import Kind
from engine.spark.cluster import Step
from engine.spark.index import PartitionedMemory
from engine.spark.job import (
    STRETCHES,
    AccountsToRead,
    FileToPlan,
    Job,
    LedgerToRead,
    StretchToRead,
)
from engine.spark.messages import Station
from engine.spark.preparing import (
    Census,
    Collected,
    Decided,
    EnrollJob,
    Planned,
    Routed,
    collect_enrollments,
    decide_enrollments,
    find_related,
    find_routes,
    keep_routes,
    plan,
    read_enrollments,
    take_census,
)
from engine.spark.stages import (
    Booked,
    Read,
    Remembered,
    Screened,
    Written,
    fold_people,
    read,
    settle_keys,
    write_tables,
)

T = TypeVar("T")
Tasks = list[list[Any]]

_LEAST_TASK_BYTES: Final = 16 << 20
_MOST_TASK_BYTES: Final = 128 << 20
_MOST_SLICES: Final = 4096
_ROUTES_A_TABLE: Final = 1 << 22
_SEEDS: Final = range(1, 9)


class Cluster(Protocol):
    """What does a run's jobs."""

    @property
    def cores(self) -> int:
        """About how many tasks are at work at once."""
        ...

    def run(
        self, progress: Callable[[int, int], None], tasks: Tasks, steps: Sequence[Step]
    ) -> list[Any]:
        """Does a job: ``tasks`` are the items of each task of the first step, None to begin with.

        Gives what tasks say to the driver, in the order of its places; ``progress`` is told how
        many tasks of how many are done.

        Raises:
            MynapointError: a task raised it, or the cluster gave up.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Plan:
    """What was learnt of the delivered files of a role."""

    stretches: list[StretchToRead]
    sha256: list[str]
    rows: int


class SparkRun(Run):
    """One run on a locked book, calculated by Spark."""

    def __init__(self, cluster: Cluster, *arguments: Any) -> None:  # noqa: ANN401 - those of Run
        super().__init__(*arguments)
        self.cluster = cluster
        self.work = self.book.staging / f"{WORK_OF_TASKS}{uuid4().hex}"

    def calculate(self, staged: Path) -> tuple[list[Part], list[WrittenTable]]:
        # Tasks that outlive a driver find no folder of this name later, and make none.
        make_folder(self.work)
        memory = PartitionedMemory.of(self.book, self.number - 1)
        job = Job(
            book=self.book.path.absolute(),
            work=self.work.absolute(),
            memory=memory.folder.absolute(),
            number=self.number,
            booked_on=self.order.booked_on,
            programme=self.programme,
            terms=self.terms,
            services=self.services,
            transactions=tuple(absolute(self.transactions)),
            enrollments=tuple(absolute(self.enrollments)),
            unknown_runs=tuple(range(memory.runs + 1, self.number)),
            people=memory.people,
            segments=memory.segments,
        )
        enrollments, transactions = self._plan(job)
        job, tables = self._enroll(job, enrollments, staged)
        job = self._cut(job, transactions)
        return self._book(job, transactions, memory, staged, tables)

    def _done(self, phase: str, tasks: Tasks, steps: Sequence[Step]) -> list[Any]:
        return self.cluster.run(partial(self.order.progress, phase), tasks, steps)

    # --- Files --------------------------------------------------------------------------------

    def _plan(self, job: Job) -> tuple[_Plan, _Plan]:
        files = (self.enrollments, self.transactions)
        delivered = (job.enrollments, job.transactions)
        tasks: Tasks = [
            [FileToPlan(role.role.name, index, file)]
            for role, its in zip(files, delivered, strict=True)
            for index, file in enumerate(its)
        ]
        done = self._done(
            "enrollments", tasks, [Step(Station.READING, plan, job, max(1, len(tasks)))]
        )
        first, second = (self._planned(role, of_type(done, Planned)) for role in files)
        return first, second

    def _planned(self, files: Files, all_planned: list[Planned]) -> _Plan:
        mine = sorted(
            (one for one in all_planned if one.role == files.role.name), key=lambda one: one.index
        )
        for one in mine:
            files.describe(one.index, one.described)
        stretches = [(one.index, stretch) for one in mine for stretch in one.stretches]
        if len(stretches) > STRETCHES:
            raise InputError(
                f"{files.role.name}: more is delivered than one run can number its rows by",
                hint="deliver it in several nights",
            )
        numbered = [
            StretchToRead(files.role.name, index, number, stretch)
            for number, (index, stretch) in enumerate(stretches)
        ]
        rows = sum(one.stretch.text_bytes for one in numbered) // ROW_BYTES
        return _Plan(numbered, [one.sha256 for one in mine], rows)

    def _input(self, files: Files, planned: _Plan, done: list[Read]) -> None:
        records = [0] * len(files.delivered)
        for one in done:
            if one.role == files.role.name:
                records[one.index] += one.records
                for skipped in one.skipped:
                    files.skip(skipped)
        for index, delivered in enumerate(files.delivered):
            check_unchanged(delivered)
            files.add_input(index, planned.sha256[index], records[index])

    def _tasks(self, items: Sequence[StretchToRead]) -> Tasks:
        """Stretches that are read by one task each, in the files' order; the first begins."""
        total = sum(one.stretch.text_bytes for one in items)
        size = min(max(total // (3 * self.cluster.cores), _LEAST_TASK_BYTES), _MOST_TASK_BYTES)
        tasks: Tasks = [[None]]
        held = 0
        for item in items:
            if held >= size:
                tasks.append([])
                held = 0
            tasks[-1].append(item)
            held += item.stretch.text_bytes
        return tasks

    # --- Applications -------------------------------------------------------------------------

    def _enroll(
        self, job: Job, planned: _Plan, staged: Path
    ) -> tuple[Job, list[tuple[str, WrittenTable]]]:
        """Decides the applications; their tables wait in the run's folder until it is booked."""
        if not planned.stretches:
            self._input(self.enrollments, planned, [])
            nobody = enroll(
                pl.DataFrame(schema=ENROLLMENT_VALUES), Registry.empty(), self.services, self.terms
            )
            tables = [table.written() for table in write_enrollments(staged, nobody)]
            return job, [("", table) for table in tables]
        job = replace(job, stretches=tuple((one.index, one.stretch) for one in planned.stretches))
        tasks = self._tasks(planned.stretches)
        done = self._done(
            "enrollments",
            tasks,
            [
                Step(Station.READING, read_enrollments, job, len(tasks)),
                Step(Station.PEOPLE, collect_enrollments, job, 1),
            ],
        )
        (collected,) = of_type(done, Collected)
        reads = of_type(done, Read)
        self._input(self.enrollments, planned, reads)
        task = EnrollJob(job, collected)
        tasks = self._account_tasks(job, of_this_run=False)
        (decided,) = of_type(
            self._done(
                "enrollments",
                tasks,
                [
                    Step(Station.READING, find_related, task, len(tasks)),
                    Step(Station.PEOPLE, decide_enrollments, task, 1),
                ],
            ),
            Decided,
        )
        tally = self.tally
        tally.enrollments_read = sum(one.records for one in reads)
        tally.enrollments_accepted = decided.tally.enrollments_accepted
        tally.enrollments_unchanged = decided.tally.enrollments_unchanged
        tally.enrollments_rejected = decided.tally.enrollments_rejected
        tally.enrollments_quarantined = (
            collected.tally.enrollments_quarantined + decided.tally.enrollments_quarantined
        )
        accepted = next(name for name, _ in decided.tables if "accepted" in name)
        faulty = (*collected.faulty, *decided.faulty)
        job = replace(job, accepted=accepted, quarantined=faulty)
        return job, list(decided.tables)

    def _account_tasks(self, job: Job, *, of_this_run: bool) -> Tasks:
        files = [job.memory / one.name for one in job.people]
        files += job.accepted_files(of_this_run=of_this_run)
        return [[None], *([AccountsToRead(path)] for path in files)]

    # --- Slices -------------------------------------------------------------------------------

    def _cut(self, job: Job, planned: _Plan) -> Job:
        """Cuts people into slices and keys into partitions."""
        entries = sum(self.book.record(run).counts.booked for run in job.unknown_runs)
        rows = self.order.rows_per_slice
        partitions = max(1, -(-(planned.rows + entries) // rows))
        job = replace(
            job,
            stretches=tuple((one.index, one.stretch) for one in planned.stretches),
            key_bits=(min(partitions, _MOST_SLICES) - 1).bit_length(),
        )
        accepted = [[AccountsToRead(path)] for path in job.accepted_files(of_this_run=True)]
        counted = [(one.accounts, one.sample) for one in job.people if one.sample]
        known = sum(one.accounts for one in job.people)
        joined = self.tally.enrollments_accepted + sum(
            self.book.record(run).counts.enrollments.accepted for run in job.unknown_runs
        )
        slices = min(_MOST_SLICES, max(partitions, -(-(known + joined) // rows)))
        if slices == 1:
            return job
        if accepted:
            done = self._done(
                "enrollments", accepted, [Step(Station.READING, take_census, job, len(accepted))]
            )
            counted += [(one.accounts, one.sample) for one in of_type(done, Census) if one.sample]
        job = replace(job, bounds=tuple(bounds_of(counted, slices)))
        return self._route(job, known + joined)

    def _route(self, job: Job, accounts: int) -> Job:
        tables = max(1, accounts // _ROUTES_A_TABLE)
        bits = (tables - 1).bit_length()
        tasks = self._account_tasks(job, of_this_run=True)
        for seed in _SEEDS:
            task = replace(job, key_bits=bits, route_seed=seed)
            done = self._done(
                "enrollments",
                tasks,
                [
                    Step(Station.READING, find_routes, task, len(tasks)),
                    Step(Station.PEOPLE, keep_routes, task, 1 << bits),
                ],
            )
            routed = sorted(of_type(done, Routed), key=lambda one: one.number)
            names = [one.name for one in routed if one.name is not None]
            if len(names) == 1 << bits:
                return replace(job, routes=tuple(names), route_seed=seed)
        # Hashes that meet under every seed are of the same account.
        raise BookError(
            f"{self.book.path}: an account is enrolled twice",
            hint="mynapoint verify says more; restore the book from a copy; nothing was booked",
        )

    # --- Transactions -------------------------------------------------------------------------

    def _book(
        self,
        job: Job,
        planned: _Plan,
        memory: PartitionedMemory,
        staged: Path,
        enrollments: list[tuple[str, WrittenTable]],
    ) -> tuple[list[Part], list[WrittenTable]]:
        tasks = self._tasks(planned.stretches)
        tasks += [[one] for one in self._unknown_ledger(job)]
        done = self._done(
            "transactions",
            tasks,
            [
                Step(Station.READING, read, job, len(tasks)),
                Step(Station.KEYS, settle_keys, job, job.key_partitions),
                Step(Station.PEOPLE, fold_people, job, len(job.slices)),
                Step(Station.TABLES, write_tables, job, 2, in_order=True),
            ],
        )
        reads = of_type(done, Read)
        self._input(self.transactions, planned, reads)
        self.tally.read = sum(one.records for one in reads)
        self.tally.read_yen = sum(one.yen for one in reads)
        for screened in of_type(done, Screened):
            self.transactions.screen.join(screened.noted)
        self._remember(memory, of_type(done, Remembered))
        self.transactions.screen.judge()
        tables = [self._placed(one, staged) for one in of_type(done, Written)]
        for name, table in enrollments:
            if name:
                rename(self.work / name, staged / table.name)
            tables.append(table)
        quarantined = scan_parquet(staged / "quarantine.parquet").collect()
        self.quarantined_rows.add(quarantined, Kind.WITH_EITHER)
        if self.same is None:
            self.check_quarantined()
        return [self._placed_part(one) for one in of_type(done, Booked)], tables

    def _unknown_ledger(self, job: Job) -> Iterator[LedgerToRead]:
        for run in job.unknown_runs:
            for output in self.book.record(run).ledger_files:
                yield LedgerToRead(job.book / output.name)

    def _remember(self, memory: PartitionedMemory, written: list[Remembered]) -> None:
        if memory.runs == self.number - 1:
            return
        memory.adopt(
            self.number - 1,
            self.work,
            [one.people for one in written if one.people is not None],
            [one.segment for one in written if one.segment is not None],
            [name for one in written for name in one.replaced],
        )

    def _placed(self, written: Written, staged: Path) -> WrittenTable:
        """A table under its own name."""
        rename(self.work / written.table.name, staged / written.name)
        tally, its = self.tally, written.tally
        tally.quarantined += its.quarantined
        tally.quarantined_yen += its.quarantined_yen
        tally.declined |= its.declined
        tally.declined_yen |= its.declined_yen
        return replace(written.table, name=written.name)

    def _placed_part(self, booked: Booked) -> Part:
        """A slice's ledger file under its own name; by name, files stand in order."""
        part: Part = booked.part
        name = part_name(self.number, booked.slice_no)
        rename(self.work / part.name, self.book.staging / "ledger" / name)
        return replace(part, name=name)


def of_type(done: Iterable[Any], kind: type[T]) -> list[T]:
    """Of what tasks said to the driver, what is of a kind."""
    return [one for one in done if isinstance(one, kind)]


def absolute(files: Files) -> list[Delivered]:
    """The files with paths that are the same on every machine, under the names as given."""
    return [replace(file, path=file.path.absolute()) for file in files.delivered]


def bounds_of(counted: Sequence[tuple[int, list[str]]], slices: int) -> list[str]:
    """Person IDs that part people into slices of like size.

    ``counted``: of several sets of people, how many there are and some of them, evenly spread.
    """
    people = pl.DataFrame(
        [(one, count / len(sample)) for count, sample in counted for one in sample],
        schema={"person_id": pl.String, "people": pl.Float64},
        orient="row",
    ).sort("person_id")
    edges = people.select(
        "person_id", slice=(pl.col("people").cum_sum() * slices / pl.col("people").sum()).floor()
    )
    first = edges.filter((pl.col("slice") > 0) & (pl.col("slice") < slices)).unique(
        "slice", keep="first", maintain_order=True
    )
    return first["person_id"].unique(maintain_order=True).to_list()

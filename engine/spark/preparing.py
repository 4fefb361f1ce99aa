"""What comes before the transactions: files are planned, applications decided, routes made."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.enrollment import enroll
from engine.booking.registry import Registry
from engine.columns.hashing import FewHashes, hash_text
from engine.io.book.tables import WrittenTable
from engine.io.book.tally import Tally
from engine.io.delivered.deliveries import Stretch, check_unchanged
from engine.io.delivered.rows import (
    ENROLLMENT_VALUES,
    ENROLLMENTS,
    REF_SHIFT,
    TRANSACTIONS,
    Role,
    described_as,
    opened,
    read_part,
    read_part_again,
)
from engine.io.durable import new_file
from engine.io.run.nightly import write_enrollments
from engine.layouts.model import Described
from engine.reading.individual_number import Screen
from engine.records import (
    ENROLLMENT_COLUMNS,
    ENROLLMENT_CONFLICT,
    Enrollment,
    polars_schema,
)
from engine.spark.job import WORK_BITS, AccountsToRead, FileToPlan, Job, StretchToRead
from engine.spark.key_index import account_hashes, partition_of
from engine.spark.messages import Message, Outbox, Say, Station, all_of, packed, told
from engine.spark.people_index import accounts_in, range_of, sampled
from engine.spark.routes import ROUTE, write_routes
from engine.spark.stages import Read, done, name_rows, works_of

_SEED: Final = 5
_ROLES: Final[dict[str, Role]] = {role.name: role for role in (TRANSACTIONS, ENROLLMENTS)}


@dataclass(frozen=True, slots=True)
class Planned:
    """A delivered file, read once: its digest, its stretches, and how it is written."""

    role: str
    index: int
    sha256: str
    stretches: tuple[Stretch, ...]
    described: Described | None


@dataclass(frozen=True, slots=True)
class Collected:
    """Delivered applications, read: where their values and the hashes of their IDs are."""

    values: str
    hashes: str
    faulty: tuple[str, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Decided:
    """Applications, decided and written under names of the task's own."""

    tables: tuple[tuple[str, WrittenTable], ...]
    faulty: tuple[str, ...]
    tally: Tally


@dataclass(frozen=True, slots=True)
class Census:
    """How many accounts a file has, and some of its people, evenly spread."""

    accounts: int
    sample: list[str]


@dataclass(frozen=True, slots=True)
class Routed:
    """A table of routes: the range it is of, and its name; none where hashes met."""

    number: int
    name: str | None


def plan(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Reads delivered files once, for their digests, and cuts them into stretches."""
    job.check_machine()
    for message in arriving:
        item: FileToPlan = told(message.payload)
        role = _ROLES[item.role]
        described = described_as(role, item.delivered)
        file = opened(role, item.delivered, described)
        stretches = tuple(file.stretches())
        sha256 = file.sha256
        check_unchanged(item.delivered)
        planned = Planned(item.role, item.index, sha256, stretches, described)
        yield done(planned, item.index)


# --- Applications -----------------------------------------------------------------------------


def read_enrollments(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Reads stretches of delivered applications."""
    job.check_machine()
    outbox, screen = Outbox(), Screen(ENROLLMENTS.name)
    for message in arriving:
        if message.kind == Say.BEGIN:
            yield Message(Station.PEOPLE, 0, Say.BEGIN, -1, b"")
            continue
        item: StretchToRead = told(message.payload)
        records, skipped = [], []
        for part, work in works_of(item):
            count, pieces, left_out = read_part(ENROLLMENTS, work, part, screen, lambda rows: rows)
            records.append((part, item.index, count))
            skipped.append(left_out)
            for rows in pieces:
                yield from outbox.add(Station.PEOPLE, Say.ROWS, rows.good, 0)
                yield from outbox.add(Station.PEOPLE, Say.FAULTY, rows.faulty, 0)
        check_unchanged(job.enrollments[item.index])
        parts = pl.DataFrame(
            records, schema={"part": pl.Int64, "file": pl.Int64, "records": pl.Int64}, orient="row"
        )
        yield Message(Station.PEOPLE, 0, Say.PARTS, 0, packed(parts))
        total = int(parts["records"].sum())
        yield done(Read(ENROLLMENTS.name, item.index, total, 0, skipped), item.number)
    yield from outbox.rest()
    yield Message(Station.PEOPLE, 0, Say.SCREEN, 0, pickle.dumps(screen.noted()))


def collect_enrollments(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Gathers the applications, and what tells which of the book's accounts matter to them."""
    rows, faulty, parts = [], [], []
    screen = Screen(ENROLLMENTS.name)
    for message in arriving:
        if message.kind == Say.SCREEN:
            screen.join(told(message.payload))
        elif message.kind == Say.ROWS:
            rows.append(message.payload)
        elif message.kind == Say.FAULTY:
            faulty.append(message.payload)
        elif message.kind == Say.PARTS:
            parts.append(message.payload)
    screen.judge()
    tally = Tally()
    values = all_of(rows, pl.DataFrame(schema=ENROLLMENT_VALUES)).sort("row_ref")
    name = uuid4().hex
    with new_file(job.work / f"values-{name}.arrow") as file:
        values.with_columns(pl.col("basis").cast(pl.String)).write_ipc(cast("IO[bytes]", file))
    with new_file(job.work / f"hashes-{name}.npz") as file:
        np.savez(
            cast("IO[bytes]", file),
            people=np.unique(hash_text(values["person_id"], _SEED)),
            accounts=np.unique(account_hashes(values)),
        )
    written = []
    if parts:
        with new_file(job.work / f"parts-{name}.arrow") as file:
            all_of(parts, pl.DataFrame()).write_ipc(cast("IO[bytes]", file))
    if faulty:
        frame = all_of(faulty, pl.DataFrame()).sort("row_ref")
        tally.enrollments_quarantined = frame.height
        written.append(f"faulty-{name}.arrow")
        names = [one.name for one in job.enrollments]
        name_rows([all_of(parts, pl.DataFrame())], names, frame, job.work / written[0])
    yield done(Collected(f"values-{name}.arrow", f"hashes-{name}.npz", tuple(written), tally))


@dataclass(frozen=True, slots=True)
class EnrollJob:
    """What the deciding of applications knows beside the run."""

    job: Job
    collected: Collected


def find_related(task: EnrollJob, arriving: Iterator[Message]) -> Iterator[Message]:
    """Of the book's accounts, those that share a person or an account with an application."""
    job, outbox = task.job, Outbox()
    job.check_machine()
    people: FewHashes | None = None
    for message in arriving:
        if message.kind == Say.BEGIN:
            yield Message(Station.PEOPLE, 0, Say.BEGIN, -1, b"")
            continue
        if people is None:
            hashes = np.load(job.work / task.collected.hashes)
            people, accounts = FewHashes(hashes["people"]), FewHashes(hashes["accounts"])
        item: AccountsToRead = told(message.payload)
        for frame in accounts_in(item.path, ENROLLMENT_COLUMNS):
            related = np.zeros(frame.height, np.bool_)
            related[people.places_among(hash_text(frame["person_id"], _SEED))] = True
            related[accounts.places_among(account_hashes(frame))] = True
            some = frame.filter(pl.Series(related)).select(ENROLLMENT_COLUMNS)
            yield from outbox.add(Station.PEOPLE, Say.ROWS, some, 0)
    yield from outbox.rest()


def decide_enrollments(task: EnrollJob, arriving: Iterator[Message]) -> Iterator[Message]:
    """Decides the applications, all in one task: each accepted one stands in the way of others."""
    job, collected = task.job, task.collected
    payloads = [message.payload for message in arriving if message.kind == Say.ROWS]
    schema = polars_schema(Enrollment)
    known = all_of(payloads, pl.DataFrame(schema=schema))
    registry = Registry.empty().extended(known.sort("person_id", maintain_order=True))
    # Held by none but who decides them, for they are all applications of the run.
    enrolled = enroll(
        pl.read_ipc(job.work / collected.values).cast({"basis": ENROLLMENT_VALUES["basis"]}),
        registry,
        job.services,
        job.terms,
    )
    tally, faulty = Tally(), []
    tally.enroll(enrolled.counts())
    refs = np.sort(enrolled.conflicts)
    tally.enrollments_quarantined = refs.size
    name = uuid4().hex
    if refs.size:
        frames = list(_read_again(job, refs))
        parts = pl.read_ipc(job.work / collected.values.replace("values", "parts"))
        faulty.append(f"faulty-{name}.arrow")
        names = [one.name for one in job.enrollments]
        name_rows([parts], names, pl.concat(frames), job.work / faulty[0])
    folder = job.work / f"enrollments-{name}"
    folder.mkdir()
    tables = write_enrollments(folder, enrolled)
    written = tuple((f"{folder.name}/{table.path.name}", table.written()) for table in tables)
    yield done(Decided(written, tuple(faulty), tally))


def _read_again(job: Job, refs: npt.NDArray[np.int64]) -> Iterator[pl.DataFrame]:
    parts = refs >> REF_SHIFT
    for number in np.unique(parts >> WORK_BITS).tolist():
        index, stretch = job.stretches[number]
        for part, work in works_of(StretchToRead(ENROLLMENTS.name, index, number, stretch)):
            some = refs[parts == part]
            if some.size:
                rows = read_part_again(ENROLLMENTS, work, some)
                yield rows.all_at_fault(ENROLLMENT_CONFLICT)
        check_unchanged(job.enrollments[index])


# --- Slices -----------------------------------------------------------------------------------


def take_census(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Counts accepted applications that the memory does not cover, and samples their people."""
    job.check_machine()
    for message in arriving:
        item: AccountsToRead = told(message.payload)
        for frame in accounts_in(item.path, ["person_id"]):
            yield done(Census(frame.height, sampled(frame["person_id"])))


def find_routes(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """For each enrolled account, the slice of its person."""
    job.check_machine()
    for message in arriving:
        if message.kind == Say.BEGIN:
            for target in range(job.key_partitions):
                yield Message(Station.PEOPLE, target, Say.BEGIN, -1, b"")
            continue
        item: AccountsToRead = told(message.payload)
        for frame in accounts_in(item.path, ["person_id", "service_id", "account_id"]):
            routes = np.empty(frame.height, ROUTE)
            routes["account"] = account_hashes(frame, job.route_seed)
            routes["slice"] = range_of(frame["person_id"], job.bounds)
            tables = partition_of(np.ascontiguousarray(routes["account"]), job.key_bits)
            for target in np.unique(tables).tolist():
                some = routes[tables == target].tobytes()
                yield Message(Station.PEOPLE, target, Say.ROWS, target, some)


def keep_routes(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Writes the routes of a range of accounts."""
    target, routes = 0, [np.empty(0, ROUTE)]
    for message in arriving:
        target = message.target
        if message.kind == Say.ROWS:
            routes.append(np.frombuffer(message.payload, ROUTE))
    yield done(Routed(target, write_routes(job.work, np.concatenate(routes))))

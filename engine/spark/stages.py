"""What is done at each station with a partition's messages."""

import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from engine.booking.duplicates import (
    Occurrences,
    against_the_book,
    repeated_within,
    settled_by_text,
)
from engine.booking.fold import Night, as_duplicates, fold, in_fixed_order, resolve_pending
from engine.booking.registry import Numbers
from engine.booking.remembering import ENTRY_COLUMNS
from engine.booking.state import months_of
from engine.columns.hashing import FewHashes, Hashes, hash_pair
from engine.errors import BookError, InputError
from engine.io.book.folder import run_id
from engine.io.book.format import RunTable
from engine.io.book.ledger import write_part
from engine.io.book.tables import TableWriter, WrittenTable
from engine.io.book.tally import Tally
from engine.io.delivered.deliveries import Work, check_unchanged
from engine.io.delivered.rows import (
    FAULTS_SCHEMA,
    PIECE_ROWS,
    REF_SHIFT,
    TRANSACTIONS,
    Rows,
    read_part,
    read_part_again,
)
from engine.io.durable import new_file
from engine.io.run.intake import Settled, with_unenrolled_reason
from engine.reading.individual_number import Screen
from engine.records import TRANSACTION_CONFLICT, Kind
from engine.spark.job import WORK_BITS, Job, LedgerToRead, StretchToRead
from engine.spark.key_index import (
    ANSWER,
    ENTRY,
    REFUNDED,
    KeyMemory,
    Segment,
    account_hashes,
    entries_of_ledger,
    partition_of,
)
from engine.spark.messages import Message, Outbox, Say, Station, all_of, packed, told, unpacked
from engine.spark.people_index import (
    BALANCES,
    People,
    PeopleFile,
    range_of,
)
from engine.spark.routes import Router

DECLINED_TABLE: Final = 0
QUARANTINE_TABLE: Final = 1
_NO_SLICE: Final = -1
_MONTHS: Final = ("service_id", "account_id", "month", "counted")
_LEDGER_COLUMNS: Final = ("person_id", *ENTRY_COLUMNS)


@dataclass(frozen=True, slots=True)
class Read:
    """What became of a stretch: records, the yen of all rows whose amount can be read, and by part
    what a layout left out.
    """

    role: str
    index: int
    records: int
    yen: int
    skipped: Sequence[Mapping[str, tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Files of the memory that a partition wrote, and those they take the place of."""

    segment: Segment | None = None
    people: PeopleFile | None = None
    replaced: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Written:
    """A table of the run, under the name that its task gave it, and what it counted."""

    table: WrittenTable
    name: str
    tally: Tally


@dataclass(frozen=True, slots=True)
class Booked:
    """A slice's ledger file."""

    slice_no: int
    part: Any


@dataclass(frozen=True, slots=True)
class Screened:
    """What the screens for Individual Numbers took note of."""

    noted: Any


def done(what: Any, place: int = 0) -> Message:  # noqa: ANN401 - one of the above
    """Something that the driver must know."""
    return Message(Station.DRIVER, 0, Say.DONE, place, pickle.dumps(what))


# --- Reading ----------------------------------------------------------------------------------


def read(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Reads stretches of deliveries, and ledger files that are not yet remembered."""
    job.check_machine()
    outbox, router, screen = Outbox(), Router(job), Screen(TRANSACTIONS.name)
    number = 0
    for message in arriving:
        if message.kind == Say.BEGIN:
            yield from _begin(job)
            continue
        item = told(message.payload)
        if isinstance(item, StretchToRead):
            number = item.number
            yield from _read_stretch(job, item, outbox, router, screen)
        else:
            yield from _read_ledger(job, item, outbox)
    yield from outbox.rest()
    target = number % job.key_partitions
    yield Message(Station.KEYS, target, Say.SCREEN, number, pickle.dumps(screen.noted()))


def _begin(job: Job) -> Iterator[Message]:
    """Wakes every partition, those without rows too."""
    stations = (
        (Station.KEYS, job.key_partitions),
        (Station.PEOPLE, len(job.slices)),
        (Station.TABLES, 2),
    )
    for station, partitions in stations:
        for target in range(partitions):
            yield Message(station, target, Say.BEGIN, -1, b"")


def works_of(item: StretchToRead) -> Iterator[tuple[int, Work]]:
    """A stretch's works, each with its number as a part of a delivery."""
    for number, work in enumerate(item.stretch.works()):
        if number >> WORK_BITS:
            raise InputError(
                f"{item.role}: a delivered file is too large to be read in one stretch",
                hint="deliver it uncompressed, or in several files",
            )
        yield item.number << WORK_BITS | number, work


def _read_stretch(
    job: Job, item: StretchToRead, outbox: Outbox, router: Router, screen: Screen
) -> Iterator[Message]:
    records, skipped, yen = [], [], 0
    for part, work in works_of(item):
        # A part's messages are made when all of it is read, since it may be unusable.
        count, pieces, left_out = read_part(TRANSACTIONS, work, part, screen, _piece)
        records.append((part, item.index, count))
        skipped.append(left_out)
        for rows in pieces:
            yen += int(rows.good["amount"].sum()) + int(rows.faulty["amount"].sum())
            yield from _faulty(rows.faulty)
            yield from _hand_on(job, rows.good, outbox, router)
    check_unchanged(job.transactions[item.index])
    parts = pl.DataFrame(
        records, schema={"part": pl.Int64, "file": pl.Int64, "records": pl.Int64}, orient="row"
    )
    yield Message(Station.TABLES, QUARANTINE_TABLE, Say.PARTS, 0, packed(parts))
    total = int(parts["records"].sum())
    yield done(Read(TRANSACTIONS.name, item.index, total, yen, skipped), item.number)


def _piece(rows: Rows) -> Rows:
    return rows


def _faulty(rows: pl.DataFrame) -> Iterator[Message]:
    if rows.height:
        place = 1 + int(cast("int", rows["row_ref"][0]))
        yield Message(Station.TABLES, QUARANTINE_TABLE, Say.FAULTY, place, packed(rows))


def _hand_on(job: Job, good: pl.DataFrame, outbox: Outbox, router: Router) -> Iterator[Message]:
    accounts = account_hashes(good)
    slices = router.slices_of(good, accounts)
    rows = good.with_columns(slice=pl.Series(slices, dtype=pl.Int32))
    keys = hash_pair(good["service_id"], good["transaction_id"])
    yield from outbox.add(Station.KEYS, Say.ROWS, rows, partition_of(keys, job.key_bits))
    asks = (
        rows.with_columns(account=pl.Series(accounts))
        .filter((pl.col("kind") == "refund") & (pl.col("slice") != _NO_SLICE))
        .select("service_id", "original_transaction_id", "account", "slice")
    )
    targets = hash_pair(asks["service_id"], asks["original_transaction_id"])
    yield from outbox.add(Station.KEYS, Say.ASKED, asks, partition_of(targets, job.key_bits))


def _read_ledger(job: Job, item: LedgerToRead, outbox: Outbox) -> Iterator[Message]:
    for rows in _ledger_rows(item.path):
        slices = range_of(rows["person_id"], job.bounds)
        frame = rows.with_columns(slice=pl.Series(slices, dtype=pl.Int32))
        entries = entries_of_ledger(frame)
        keys = partition_of(np.ascontiguousarray(entries["hash"]), job.key_bits)
        for target in np.unique(keys).tolist():
            yield Message(
                Station.KEYS, target, Say.FACTS, target, entries[keys == target].tobytes()
            )
        last = (frame["person_id"] != frame["person_id"].shift(-1)).fill_null(value=True)
        balances = frame.select("person_id", *BALANCES).filter(last)
        yield from outbox.add(Station.PEOPLE, Say.BALANCES, balances, slices[last.to_numpy()])
        spent = frame.filter((pl.col("kind") != "refund") & (pl.col("counted_amount") != 0))
        months = (
            spent.with_columns(
                month=pl.Series(months_of(spent["occurred_at"].to_physical().to_numpy()))
            )
            .group_by("slice", "service_id", "account_id", "month")
            .agg(counted=pl.col("counted_amount").sum())
        )
        targets = months["slice"].to_numpy().astype(np.int64)
        yield from outbox.add(Station.PEOPLE, Say.MONTHS, months.select(_MONTHS), targets)
        refunds = frame.filter(pl.col("kind") == "refund").select(
            "service_id",
            "original_transaction_id",
            "amount",
            "counted_amount",
            "account_id",
            "slice",
        )
        originals = hash_pair(refunds["service_id"], refunds["original_transaction_id"])
        yield from outbox.add(
            Station.KEYS, Say.REFUNDS, refunds, partition_of(originals, job.key_bits)
        )


def _ledger_rows(path: Path) -> Iterator[pl.DataFrame]:
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(
                PIECE_ROWS, columns=list(_LEDGER_COLUMNS), use_threads=False
            ):
                frame = pl.DataFrame(batch).select(_LEDGER_COLUMNS)
                yield frame.with_columns(pl.col("kind").cast(Kind))
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise BookError(
            f"{path}: a file of a booked run is missing or damaged: {str(error).splitlines()[0]}",
            hint="restore the book from a copy; nothing was booked",
        ) from error


# --- Keys -------------------------------------------------------------------------------------


def settle_keys(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Settles what came twice, in this run or before, and answers what refunds ask for."""
    job.check_machine()
    got: dict[int, list[bytes]] = {}
    target, screen = 0, Screen(TRANSACTIONS.name)
    for message in arriving:
        target = message.target
        if message.kind == Say.SCREEN:
            screen.join(told(message.payload))
        else:
            got.setdefault(message.kind, []).append(message.payload)
    yield done(Screened(screen.noted()))
    memory = KeyMemory(job.memory, job.segments, job.key_bits, target)
    if Say.FACTS in got or Say.REFUNDS in got:
        yield from _remember_keys(job, memory, got)
    asked = all_of(got.pop(Say.ASKED, []), pl.DataFrame())
    rows = all_of(got.pop(Say.ROWS, []), pl.DataFrame())
    if asked.height:
        yield from _answer(memory, asked)
    if rows.height:
        yield from _settle(job, memory, rows, asked, target)


def _remember_keys(job: Job, memory: KeyMemory, got: dict[int, list[bytes]]) -> Iterator[Message]:
    facts = [np.frombuffer(one, ENTRY) for one in got.pop(Say.FACTS, [])]
    memory.add(np.concatenate([np.empty(0, ENTRY), *facts]))
    refunds = all_of(got.pop(Say.REFUNDS, []), pl.DataFrame())
    if refunds.height:
        ids = refunds["service_id"], refunds["original_transaction_id"]
        past = memory.past
        facts_of = past.facts_at(past.entries_of(*ids))
        refunded = np.empty(refunds.height, REFUNDED)
        refunded["hash"], refunded["check"] = hash_pair(*ids), facts_of["check"]
        refunded["yen"] = refunds["amount"].to_numpy()
        refunded["counted"] = refunds["counted_amount"].to_numpy()
        memory.add_refunded(refunded)
        months = refunds.select(
            "service_id",
            "account_id",
            month=pl.Series(months_of(np.ascontiguousarray(facts_of["occurred_at"]))),
            counted="counted_amount",
        )
        outbox = Outbox()
        slices = refunds["slice"].to_numpy().astype(np.int64)
        yield from outbox.add(Station.PEOPLE, Say.MONTHS, months, slices)
        yield from outbox.rest()
    segment, replaced = memory.write(job.work)
    yield done(Remembered(segment=segment, replaced=tuple(replaced)))


def _answer(memory: KeyMemory, asked: pl.DataFrame) -> Iterator[Message]:
    ids = asked["service_id"], asked["original_transaction_id"]
    positions = memory.past.entries_of(*ids)
    known = np.flatnonzero(positions >= 0)
    pairs = np.stack([asked["slice"].to_numpy()[known].astype(np.int64), positions[known]])
    _, first = np.unique(pairs, axis=1, return_index=True)
    known = known[first]
    answers = memory.answers(hash_pair(*ids)[known], positions[known])
    slices = asked["slice"].to_numpy()[known]
    for target in np.unique(slices):
        some = answers[slices == target]
        yield Message(Station.PEOPLE, int(target), Say.ANSWERS, 0, some.tobytes())
    # A refund of another person's spending: only the reason remains to be told.
    spent = known[answers["entry"]["fact"]["signed_amount"] > 0]
    elsewhere = asked[spent].filter(
        pl.Series(answers["entry"]["account"][answers["entry"]["fact"]["signed_amount"] > 0])
        != asked[spent]["account"]
    )
    originals = elsewhere.select("service_id", transaction_id="original_transaction_id").unique()
    if originals.height:
        yield _to_table(Say.ORIGINALS, originals, 0)


def _settle(
    job: Job, memory: KeyMemory, rows: pl.DataFrame, asked: pl.DataFrame, target: int
) -> Iterator[Message]:
    # Whatever order the messages came in.
    rows = rows.sort("row_ref")
    keys = hash_pair(rows["service_id"], rows["transaction_id"])
    positions, contents, differs = against_the_book(rows, keys, memory.past)
    fresh = positions < 0
    against_it = rows["row_ref"].to_numpy()[differs]
    duplicates = [as_duplicates(rows.filter(pl.Series(~fresh & ~differs)))]
    rows, keys, contents = rows.filter(pl.Series(fresh)), keys[fresh], contents[fresh]
    settled, conflicts = _settled(rows, keys, contents)
    stay, repeated = settled.split(
        rows.with_columns(asked=pl.Series(_asked_by_others(rows, keys, asked)))
    )
    duplicates.append(as_duplicates(repeated))
    strange = pl.col("slice") == _NO_SLICE
    unenrolled = with_unenrolled_reason(stay.filter(strange), job.services).with_columns(
        pl.col("kind").cast(pl.String)
    )
    declined = in_fixed_order(pl.concat([*duplicates, unenrolled.select(duplicates[0].columns)]))
    yield from _to_declined(declined, 1, target)
    outbox = Outbox()
    stay = stay.filter(~strange)
    slices = stay["slice"].to_numpy().astype(np.int64)
    yield from outbox.add(Station.PEOPLE, Say.ROWS, stay.drop("slice"), slices)
    refs = np.concatenate([against_it, conflicts])
    if refs.size:
        # Whoever reads a part again reads it for all its conflicts.
        parts = (refs >> REF_SHIFT >> WORK_BITS) % len(job.slices)
        yield from outbox.add(Station.PEOPLE, Say.CONFLICTS, pl.DataFrame({"row_ref": refs}), parts)
    yield from outbox.rest()


def _settled(rows: pl.DataFrame, keys: Hashes, contents: Hashes) -> tuple[Settled, Numbers]:
    """What became of keys that the run has more than once, and the ``row_ref`` of conflicts."""
    row_refs = rows["row_ref"].to_numpy()
    duplicates, contested = repeated_within(Occurrences.of(keys, contents, row_refs))
    nothing = pl.DataFrame(schema=FAULTS_SCHEMA)
    if contested.size == 0:
        return Settled.of(duplicates, contested, nothing), contested
    some = rows.select("service_id", "transaction_id", "row_ref").with_columns(
        content=pl.Series(contents)
    )
    in_question = pl.col("row_ref").is_in(pl.Series(contested).implode())
    more, conflicts = settled_by_text(some.filter(in_question))
    settled = Settled.of(np.concatenate([duplicates, more]), conflicts, nothing)
    return settled, conflicts


def _asked_by_others(
    rows: pl.DataFrame, keys: Hashes, asked: pl.DataFrame
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Whether a refund of another account names the row as its original."""
    if asked.is_empty():
        return np.zeros(rows.height, np.bool_)
    by = asked.select(
        "account", key=pl.Series(hash_pair(asked["service_id"], asked["original_transaction_id"]))
    )
    mine = pl.DataFrame({"key": keys, "mine": account_hashes(rows)}).with_row_index("row")
    others = mine.join(by, on="key").filter(pl.col("mine") != pl.col("account"))
    found = np.zeros(rows.height, np.bool_)
    found[others["row"].to_numpy()] = True
    return found


def _to_table(kind: Say, frame: pl.DataFrame, place: int) -> Message:
    return Message(Station.TABLES, DECLINED_TABLE, kind, place, packed(frame))


def _to_declined(rows: pl.DataFrame, rank: int, number: int) -> Iterator[Message]:
    """Declined rows for their table: what comes first there has the lower rank."""
    for at, some in enumerate(rows.iter_slices(PIECE_ROWS)):
        if some.height:
            yield _to_table(Say.DECLINED, some, rank << 56 | number << 24 | at)


# --- People -----------------------------------------------------------------------------------


def fold_people(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Folds a slice of people and writes its ledger file."""
    job.check_machine()
    got: dict[int, list[bytes]] = {}
    target = 0
    for message in arriving:
        target = message.target
        got.setdefault(message.kind, []).append(message.payload)
    conflicts = all_of(got.pop(Say.CONFLICTS, []), pl.DataFrame(schema={"row_ref": pl.Int64}))
    yield from _read_conflicts(job, np.sort(conflicts["row_ref"].to_numpy()))
    if Say.ROWS not in got and not job.unknown_runs:
        return
    mine = job.slices[target]
    people = People.in_range(job.memory, job.people, mine)
    if job.unknown_runs:
        for accepted in job.accepted_files(of_this_run=False):
            people = people.joined_by(accepted, mine)
        people = people.carried_over(
            all_of(got.pop(Say.BALANCES, []), _empty_balances()),
            all_of(got.pop(Say.MONTHS, []), _empty_months()),
        )
        yield done(Remembered(people=people.write(job.work, mine)))
    if Say.ROWS not in got:
        return
    if job.accepted:
        people = people.joined_by(job.work / job.accepted, mine)
    answers = [np.frombuffer(one, ANSWER) for one in got.pop(Say.ANSWERS, [])]
    past = people.past(np.concatenate([np.empty(0, ANSWER), *answers]))
    rows = all_of(got.pop(Say.ROWS), pl.DataFrame())
    numbers = past.registry.finder.find(rows["service_id"], rows["account_id"])
    known = rows["service_id"].is_in(list(job.services.by_id)).to_numpy()
    enrolled = pl.Series((numbers >= 0) & known)
    unenrolled = with_unenrolled_reason(rows.filter(~enrolled), job.services)
    yield from _to_declined(
        in_fixed_order(unenrolled.with_columns(pl.col("kind").cast(pl.String))), 2, target
    )
    rows = rows.with_columns(account_no=pl.Series(numbers, dtype=pl.Int32)).filter(enrolled)
    if rows.is_empty():
        return
    asked = rows.filter("asked")
    wanted = FewHashes(hash_pair(asked["service_id"], asked["transaction_id"]))
    night = Night(
        run_id(job.number),
        job.booked_on,
        job.programme,
        job.terms,
        job.services,
        past,
        past.registry.for_deciding(job.services),
    )
    folded = fold(rows.drop("service_id", "account_id", "asked"), night, wanted)
    if folded.entries.height:
        name = f"{target:05}-{uuid4().hex}.parquet"
        part = write_part(folded.entries, job.work, name, job.programme.cap_yen)
        yield done(Booked(target, part))
    yield from _to_declined(folded.declined, 3, target)
    if folded.pending.height:
        yield _to_table(Say.PENDING, folded.pending, 4 << 56 | target << 24)
    if folded.originals.height:
        yield _to_table(Say.ORIGINALS, folded.originals, 0)


def _empty_balances() -> pl.DataFrame:
    return pl.DataFrame(schema={"person_id": pl.String, **dict.fromkeys(BALANCES, pl.Int64)})


def _empty_months() -> pl.DataFrame:
    texts = {"service_id": pl.String, "account_id": pl.String}
    return pl.DataFrame(schema={**texts, "month": pl.Int64, "counted": pl.Int64})


def _read_conflicts(job: Job, refs: Numbers) -> Iterator[Message]:
    """Conflicting rows, read once more for their text as they came."""
    parts = refs >> REF_SHIFT
    for number in np.unique(parts >> WORK_BITS).tolist():
        index, stretch = job.stretches[number]
        item = StretchToRead(TRANSACTIONS.name, index, number, stretch)
        wanted = parts[parts >> WORK_BITS == number]
        last = int(wanted.max()) & ((1 << WORK_BITS) - 1)
        for part, work in islice(works_of(item), last + 1):
            some = refs[parts == part]
            if some.size:
                rows = read_part_again(TRANSACTIONS, work, some)
                yield from _faulty(rows.all_at_fault(TRANSACTION_CONFLICT))
        check_unchanged(job.transactions[index])


# --- Tables -----------------------------------------------------------------------------------


def write_tables(job: Job, arriving: Iterator[Message]) -> Iterator[Message]:
    """Writes one of the run's tables; messages arrive in the order of their places."""
    for first in arriving:
        write = _write_declined if first.target == DECLINED_TABLE else _write_quarantine
        yield done(write(job, arriving))


def _write_declined(job: Job, arriving: Iterable[Message]) -> Written:
    tally, name = Tally(), f"declined-{uuid4().hex}.parquet"
    originals = [pl.DataFrame(schema={"service_id": pl.String, "transaction_id": pl.String})]
    with TableWriter(job.work / name, RunTable.DECLINED.record) as table:
        for message in arriving:
            rows = unpacked(message.payload)
            if message.kind == Say.ORIGINALS:
                originals.append(rows)
                continue
            if message.kind == Say.PENDING:
                rows = resolve_pending(rows, pl.concat(originals))
            tally.decline(rows)
            table.write(rows)
    return Written(table.written(), RunTable.DECLINED.file_name, tally)


def _write_quarantine(job: Job, arriving: Iterable[Message]) -> Written:
    tally, name = Tally(), f"quarantine-{uuid4().hex}.parquet"
    parts: list[pl.DataFrame] = []
    names: _Names | None = None
    with TableWriter(job.work / name, RunTable.QUARANTINE.record) as table:
        for file in job.quarantined:
            table.write(pl.read_ipc(job.work / file))
        for message in arriving:
            rows = unpacked(message.payload)
            if message.kind == Say.PARTS:
                parts.append(rows)
                continue
            if names is None:
                names = _Names(parts, [file.name for file in job.transactions])
            tally.quarantine(rows)
            table.write(names.of(rows))
    return Written(table.written(), RunTable.QUARANTINE.file_name, tally)


class _Names:
    """Names rows by their file and their number in it."""

    def __init__(self, parts: Sequence[pl.DataFrame], files: Sequence[str]) -> None:
        """``parts`` are all parts: number, file, records."""
        self._files = pl.Series(files, dtype=pl.String)
        self._parts = (
            pl.concat(parts)
            .sort("part")
            .with_columns(first=pl.col("records").cum_sum().over("file") - pl.col("records"))
        )

    def of(self, faulty: pl.DataFrame) -> pl.DataFrame:
        """Faulty rows as ``Quarantined``."""
        row_refs = faulty["row_ref"].to_numpy()
        at = np.searchsorted(self._parts["part"].to_numpy(), row_refs >> REF_SHIFT)
        places = row_refs & ((1 << REF_SHIFT) - 1)
        return faulty.select(
            self._files.gather(self._parts["file"].to_numpy()[at]).alias("file"),
            pl.Series("row", self._parts["first"].to_numpy()[at] + places + 1),
            "errors",
            "raw",
        )


def name_rows(
    parts: Sequence[pl.DataFrame], files: Sequence[str], faulty: pl.DataFrame, path: Path
) -> None:
    """Writes faulty rows, named by file and number, to be put in the quarantine."""
    with new_file(path) as file:
        _Names(parts, files).of(faulty).write_ipc(cast("Any", file))

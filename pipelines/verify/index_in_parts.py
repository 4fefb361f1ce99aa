"""The memory that runs on Spark keep, in parts, against the ledger.

How it is cut depends on the runs that made it, so it is not its files that are compared but what
is in them: the entries' facts by ranges of their keys' hashes, the people in SQL.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from engine.booking.remembering import ENTRY_COLUMNS
from engine.booking.state import FACT, key_checks
from engine.columns.hashing import hash_pair
from engine.io.book.folder import Book
from engine.io.book.format import RunTable
from engine.io.book.manifest import MANIFEST
from engine.io.parquet import scan_parquet
from engine.records import Enrollment, Kind, LedgerEntry, arrow_schema
from engine.spark.index import FORMAT, PartitionedMemory, folder_of
from engine.spark.key_index import (
    ENTRY,
    REFUNDED,
    Segment,
    entries_of_ledger,
    partition_of,
)
from engine.spark.people_index import STATE_SCHEMA, PeopleFile, sampled
from pipelines.desk.database import Database
from pipelines.verify.bytes import Kept, KeptRun
from pipelines.verify.findings import NO_CHANGED_BYTE, Finding, Findings
from pipelines.verify.index import to_compare

_ROWS_AT_ONCE: Final = 1 << 18
_ENTRIES_AT_ONCE: Final = 1 << 22
_BEYOND_ALL: Final = 1 << 64
_OTHERWISE: Final = "the memory is not what the ledger says"
_HINT: Final = "; BOOK/memory-in-parts may be deleted, the next run on Spark makes it anew"
_COLUMNS_OF_FILES: Final = (["hash"], list(FACT.names or ()), ["account"])

Differences = Iterator[tuple[str, str]]


def check_memory_in_parts(book: Book, kept: Kept, scratch: Path, findings: Findings) -> None:
    """Compares what the book remembers for runs on Spark with what its committed runs say."""
    folder = folder_of(book)
    if not (folder / MANIFEST).exists():
        return
    for name, what in _differences(book, kept, scratch):
        where = f"{folder.name}/{name}"
        findings.add(Finding("memory", NO_CHANGED_BYTE, where, what + _HINT))


def _differences(book: Book, kept: Kept, scratch: Path) -> Differences:
    import duckdb

    manifest, wrong = to_compare(folder_of(book), kept, FORMAT)
    if wrong is not None:
        yield MANIFEST, wrong
    whole = kept.whole_runs()
    if manifest is None or whole is None:
        return
    runs = manifest["runs"]
    memory = PartitionedMemory.of(book, runs)
    if memory.runs == 0:
        yield MANIFEST, "the memory is not of this book, or a file of it is missing or cut short"
        return
    damaged = [*_damaged_people(memory), *_damaged_segments(memory)]
    if damaged:
        yield from damaged
        return
    try:
        yield from _people(memory, whole[:runs], scratch / "people-in-parts")
    except duckdb.Error as error:
        yield MANIFEST, f"people could not be compared: {str(error).splitlines()[0]}"
    # A wrong file differs in every part of the keys, and is named once.
    yield from dict.fromkeys(_keys(memory, whole[:runs], scratch / "keys-in-parts"))


# --- People -----------------------------------------------------------------------------------


def _damaged_people(memory: PartitionedMemory) -> Differences:
    edges = [None, *(one.beyond for one in memory.people)]
    if [*(one.first for one in memory.people), None] != edges:
        yield MANIFEST, "the ranges of people do not follow each other"
    for one in memory.people:
        if not _is_people_file(memory.folder / one.name, one):
            yield one.name, "the file does not hold what the manifest says of it"


def _is_people_file(path: Path, told: PeopleFile) -> bool:
    try:
        people = scan_parquet(path).collect()
        same = people.schema == pl.Schema(STATE_SCHEMA) and people.height == told.accounts
        return same and sampled(people["person_id"]) == told.sample
    # Whatever a damaged file makes of its readers.
    except (Exception, pl.exceptions.PanicException):  # noqa: BLE001
        return False


def _people(memory: PartitionedMemory, runs: list[KeptRun], scratch: Path) -> Differences:
    book = memory.book.path
    names = [one.name for one in memory.people]
    ledger = [book / name for run in runs for name in sorted(run.ledger_files)]
    accepted = [book / run.file(RunTable.ACCEPTED.file_name) for run in runs]
    with Database(scratch) as database:
        schema = pl.DataFrame(schema=STATE_SCHEMA).to_arrow().schema
        database.parquet("people_rows", [memory.folder / name for name in names], schema)
        database.parquet("accepted_rows", accepted, arrow_schema(Enrollment))
        database.parquet("ledger_rows", ledger, arrow_schema(LedgerEntry))
        database.table(
            "people_file",
            {"file": "BIGINT", "first": "VARCHAR", "beyond": "VARCHAR"},
            [(number, one.first, one.beyond) for number, one in enumerate(memory.people)],
        )
        script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
        database.script(script)
        for file, what in database.rows("SELECT file, what FROM wrong_people ORDER BY ALL"):
            yield MANIFEST if file is None else names[file], what


# --- Keys -------------------------------------------------------------------------------------


def _damaged_segments(memory: PartitionedMemory) -> Differences:
    for segment in memory.segments:
        width = segment.beyond - segment.first
        if width <= 0 or width & (width - 1) or segment.first % width:
            yield MANIFEST, "a range of keys is none that runs make"
            continue
        for name, dtype, rows in zip(
            segment.files(),
            (np.dtype("u8"), FACT, np.dtype("u8"), REFUNDED),
            (*(segment.entries,) * 3, segment.refunded),
            strict=True,
        ):
            array = _loaded(memory.folder / name)
            if array is None or array.dtype != dtype or array.shape != (rows,):
                yield name, "the file does not hold what the manifest says of it"
            elif dtype != FACT and name != segment.files()[2]:
                hashes = array if array.dtype.names is None else array["hash"]
                if not _ascending_within(hashes, segment):
                    yield name, "keys are not in order, or outside the range of the manifest"


def _loaded(path: Path) -> Any:  # noqa: ANN401 - an array of any type
    for mode in ("r", None):
        # What is empty cannot be mapped.
        with suppress(Exception):
            return np.load(path, mmap_mode=mode)
    return None


def _ascending_within(hashes: Any, segment: Segment) -> bool:  # noqa: ANN401 - as above
    if not hashes.size:
        return True
    inside = segment.first <= int(hashes[0]) and int(hashes[-1]) < segment.beyond
    return inside and bool((hashes[1:] >= hashes[:-1]).all())


def _keys(memory: PartitionedMemory, runs: list[KeptRun], scratch: Path) -> Differences:
    bits = (sum(run.entries for run in runs) // _ENTRIES_AT_ONCE).bit_length()
    _set_down(memory.book, runs, bits, scratch)
    segments = [
        (one, [_loaded(memory.folder / name) for name in one.files()]) for one in memory.segments
    ]
    for part in range(1 << bits):
        entries, refunded = (_taken_up(scratch, what, part) for what in (ENTRY, REFUNDED))
        bounds = (part << (64 - bits), (part + 1) << (64 - bits))
        yield from _entries(segments, entries, bounds)
        yield from _refunded(segments, refunded, bounds)


def _set_down(book: Book, runs: list[KeptRun], bits: int, scratch: Path) -> None:
    """What should be remembered of the ledger, in files by the leading bits of keys' hashes."""
    scratch.mkdir()
    for run in runs:
        for name in run.ledger_files:
            with pq.ParquetFile(book.path / name) as file:
                for batch in file.iter_batches(_ROWS_AT_ONCE, columns=list(ENTRY_COLUMNS)):
                    frame = pl.DataFrame(batch).with_columns(pl.col("kind").cast(Kind))
                    for records in (entries_of_ledger(frame), _refunds_of_ledger(frame)):
                        parts = partition_of(np.ascontiguousarray(records["hash"]), bits)
                        for part in np.unique(parts).tolist():
                            with _place(scratch, records.dtype, part).open("ab") as into:
                                records[parts == part].tofile(into)


def _refunds_of_ledger(frame: pl.DataFrame) -> np.ndarray:
    refunds = frame.filter(pl.col("kind") == "refund")
    ids = refunds["service_id"], refunds["original_transaction_id"]
    refunded = np.zeros(refunds.height, REFUNDED)
    refunded["hash"], refunded["check"] = hash_pair(*ids), key_checks(*ids)
    refunded["yen"] = refunds["amount"].to_numpy()
    refunded["counted"] = refunds["counted_amount"].to_numpy()
    return refunded


def _place(scratch: Path, what: np.dtype, part: int) -> Path:
    return scratch / f"{'entries' if what == ENTRY else 'refunded'}-{part}"


def _taken_up(scratch: Path, what: np.dtype, part: int) -> np.ndarray:
    place = _place(scratch, what, part)
    return np.fromfile(place, what) if place.exists() else np.empty(0, what)


Held = list[tuple[Segment, list[Any]]]


def _entries(held: Held, expected: np.ndarray, bounds: tuple[int, int]) -> Differences:
    right = _frame(expected["hash"], expected["fact"], expected["account"])
    all_found, sound = [right.clear()], True
    for segment, (hashes, facts, accounts, _) in held:
        some = _within(hashes, bounds)
        found = _frame(hashes[some], facts[some], accounts[some])
        all_found.append(found)
        columns: list[str] = []
        for name, further in zip(segment.files(), _COLUMNS_OF_FILES, strict=False):
            columns += further
            if found.join(right, on=columns, how="anti").height:
                sound = False
                yield name, _OTHERWISE
                break
    # Where each is one of those expected, as many as those, and no two the same, all are there.
    together = pl.concat(all_found)
    if sound and not (together.height == right.height and together.is_unique().all()):
        yield MANIFEST, "entries are missing, or stand there twice"


def _refunded(held: Held, expected: np.ndarray, bounds: tuple[int, int]) -> Differences:
    key, sums = ["hash", "check"], ["yen", "counted"]
    found = [_sums(np.empty(0, REFUNDED)).with_columns(file=pl.lit(""))]
    for segment, (_, _, _, refunded) in held:
        some = refunded[_within(refunded["hash"], bounds)]
        found.append(_sums(some).with_columns(file=pl.lit(segment.files()[-1])))
    together = pl.concat(found)
    right = _sums(expected).group_by(key).agg(pl.col(sums).sum())
    summed = together.group_by(key).agg(pl.col(sums).sum())
    wrong = summed.join(right, on=[*key, *sums], how="anti")
    for name in together.join(wrong, on=key, how="semi")["file"].unique().sort():
        yield name, _OTHERWISE
    if wrong.is_empty() and summed.height != right.height:
        yield MANIFEST, "what was refunded is missing"


def _within(ascending: Any, bounds: tuple[int, int]) -> slice:  # noqa: ANN401 - an array
    first, beyond = bounds
    start = int(np.searchsorted(ascending, np.uint64(first)))
    if beyond == _BEYOND_ALL:
        return slice(start, None)
    return slice(start, int(np.searchsorted(ascending, np.uint64(beyond))))


def _frame(hashes: np.ndarray, facts: np.ndarray, accounts: np.ndarray) -> pl.DataFrame:
    columns = {name: np.ascontiguousarray(facts[name]) for name in FACT.names or ()}
    own = {"hash": np.ascontiguousarray(hashes), "account": np.ascontiguousarray(accounts)}
    return pl.DataFrame({**own, **columns})


def _sums(records: np.ndarray) -> pl.DataFrame:
    names = REFUNDED.names or ()
    return pl.DataFrame({name: np.ascontiguousarray(records[name]) for name in names})

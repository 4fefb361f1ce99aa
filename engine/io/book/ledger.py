"""The ledger: Parquet files, written, synced and read back, and one Delta Lake commit a run."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import uuid4

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import LEDGER_FOLDER
from engine.io.book.log import APPLICATION, Action
from engine.io.book.run_record import Output
from engine.io.book.writing import LockedBook
from engine.io.durable import NewFile, sha256_of
from engine.io.parquet import scan_parquet
from engine.io.versions import version_of
from engine.records import KINDS, RECOUNT, VOIDS, LedgerEntry, Record, arrow_schema, view_schema
from engine.validation import validated

ROWS_PER_GROUP: Final = 128 * 1024
NAME: Final = "ledger"
DESCRIPTION: Final = "マイナポイント: awards, one entry a booked transaction"
CONFIGURATION: Final = {"delta.appendOnly": "true", "delta.enableExpiredLogCleanup": "false"}
PROTOCOL: Final = {
    "minReaderVersion": 3,
    "minWriterVersion": 7,
    "readerFeatures": ["timestampNtz"],
    "writerFeatures": ["appendOnly", "timestampNtz"],
}

_SCHEMA: Final = arrow_schema(LedgerEntry)
# Measured: small numbers pack well as differences; of the texts, only the few-worded gain from a
# dictionary, and sorted or distinct ones compress as well without.
_ENCODINGS: Final = {
    name: "DELTA_BINARY_PACKED"
    for name in _SCHEMA.names
    if pa.types.is_int64(_SCHEMA.field(name).type)
}
_DICTIONARIES: Final = ["run_id", "service_id", "kind", "method"]
_STATISTICS: Final = ["run_id", "booked_on", "person_id", "occurred_at"]


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What must be the same before and after writing: rows, yen and points."""

    rows: int
    booked: int
    booked_yen: int
    voided: int
    recounted: int
    net_yen: int
    counted_yen: int
    points_awarded: int
    points_reversed: int

    @classmethod
    def of(cls, entries: pl.LazyFrame) -> "LedgerTotals":
        """The totals of ledger rows."""
        kind, points = pl.col("kind"), pl.col("points")
        is_booked = kind.is_in(KINDS)
        sums = entries.select(
            rows=pl.len(),
            booked=is_booked.sum(),
            booked_yen=pl.col("amount").filter(is_booked).sum(),
            voided=kind.is_in(VOIDS).sum(),
            recounted=(kind == RECOUNT).sum(),
            net_yen=pl.col("net_amount").sum(),
            counted_yen=pl.col("counted_amount").sum(),
            points_awarded=points.filter(points > 0).sum(),
            points_reversed=-points.filter(points < 0).sum(),
        )
        return cls(**sums.collect(engine="in-memory").row(0, named=True))


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """A ledger file that is on the disk and was read back."""

    name: str
    bytes: int
    sha256: str
    totals: LedgerTotals
    people: int
    people_at_the_cap: int
    first_person: str
    last_person: str

    def output(self) -> Output:
        """The file as the run record names it."""
        return Output(f"{LEDGER_FOLDER}{self.name}", self.bytes, self.sha256, self.totals.rows)

    @property
    def statistics(self) -> dict[str, Any]:
        """What the log says of the file's rows."""
        return {
            "numRecords": self.totals.rows,
            "minValues": {"run_id": self.name[:6], "person_id": self.first_person},
            "maxValues": {"run_id": self.name[:6], "person_id": self.last_person},
            "nullCount": {"run_id": 0, "person_id": 0},
        }


class TablePart(Protocol):
    """A file of a table, as its log names it."""

    @property
    def name(self) -> str: ...

    @property
    def bytes(self) -> int: ...

    @property
    def statistics(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class DeltaForm:
    """What a table's log says of it."""

    name: str
    description: str
    row: Record


LEDGER: Final = DeltaForm(NAME, DESCRIPTION, LedgerEntry)


def write_part(entries: pl.DataFrame, folder: Path, name: str, cap_yen: int) -> LedgerPart:
    """Validates entries, writes them, and reads back what was written.

    Columns of few words may be Enums, which are cheaper than text.

    Raises:
        BookError: an entry breaks its declaration, or the disk gives back something else.
    """
    validated(entries, LedgerEntry)
    last_entries = entries.select(
        at_the_cap=pl.col("net_spend_after") >= cap_yen,
        is_last=pl.col("person_id").ne_missing(pl.col("person_id").shift(-1)),
    ).filter("is_last")
    first_person, last_person = entries["person_id"][0], entries["person_id"][-1]
    totals = LedgerTotals.of(entries.lazy())
    table = _arrow_table(entries)
    del entries
    path = folder / name
    with NewFile(path) as file:
        pq.write_table(
            table,
            file,
            compression="zstd",
            compression_level=1,
            use_dictionary=_DICTIONARIES,
            write_statistics=_STATISTICS,
            column_encoding=_ENCODINGS,
            row_group_size=ROWS_PER_GROUP,
            store_schema=False,
        )
        del table
        sha256 = file.finish()
    part = LedgerPart(
        name,
        file.bytes,
        sha256,
        totals,
        last_entries.height,
        int(last_entries["at_the_cap"].sum()),
        first_person,
        last_person,
    )
    read_back = _read_back(path)
    if read_back != part.totals:
        raise BookError(
            f"{name}: what was read back differs from what was written: "
            f"{asdict(read_back)} instead of {asdict(part.totals)}",
            hint="check the disk; nothing was booked",
        )
    return part


def _arrow_table(entries: pl.DataFrame) -> pa.Table:
    """Entries as they are written, their texts uncopied."""
    views = entries.to_arrow(compat_level=pl.CompatLevel.newest())
    columns, fields = [], []
    for field, column, values in zip(
        view_schema(LedgerEntry), views.columns, entries.iter_columns(), strict=True
    ):
        few = isinstance(values.dtype, pl.Enum)
        columns.append(_dictionaries(values) if few else column)
        fields.append(field.with_type(columns[-1].type))
    return pa.table(columns, schema=pa.schema(fields))


def _dictionaries(words: pl.Series) -> pa.ChunkedArray:
    """An Enum as each row group has it: with a dictionary of the words in it, as they appear.

    So the writer need not look up the text of every row; the file is the same.
    """
    codes = words.to_physical().to_numpy()
    assert isinstance(words.dtype, pl.Enum)
    texts = words.dtype.categories.to_arrow()
    chunks = []
    for start in range(0, codes.size, ROWS_PER_GROUP):
        of_group = codes[start : start + ROWS_PER_GROUP]
        present, first = np.unique(of_group, return_index=True)
        present = present[np.argsort(first)]
        places = np.zeros(len(texts), np.int32)
        places[present] = np.arange(present.size)
        dictionary = texts.take(pa.array(present)).cast(pa.string())
        chunks.append(pa.DictionaryArray.from_arrays(places[of_group], dictionary))
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.string()))


def _read_back(path: Path) -> LedgerTotals:
    """The totals that a file has, by another library than wrote it."""
    try:
        return LedgerTotals.of(scan_parquet(path))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BookError(
            f"{path.name}: what was written cannot be read back",
            hint="check the disk; nothing was booked",
        ) from error


def commit(
    book: LockedBook,
    number: int,
    parts: Sequence[TablePart],
    *,
    record_sha256: str,
    form: DeltaForm = LEDGER,
) -> None:
    """Makes a run part of the book: one commit, whose version is the run's number less one.

    The commit carries the digests of the run's record and of the commit before, so that a byte
    changed in either is found even where no later record speaks of it.

    Raises:
        BookError: its message says whether the run is in the book.
    """
    now_ms = time.time_ns() // 1_000_000
    is_first = number == 1
    info: Action = {
        "timestamp": now_ms,
        "operation": "CREATE TABLE" if is_first else "WRITE",
        "operationParameters": {"mode": "ErrorIfExists" if is_first else "Append"},
        "isBlindAppend": True,
        "engineInfo": f"{APPLICATION}/{version_of(APPLICATION)}",
        book.NUMBER: run_id(number),
        "record_sha256": record_sha256,
    }
    actions: list[Action] = [{"commitInfo": info}]
    if is_first:
        actions.append({"protocol": PROTOCOL})
    else:
        info["previous_commit_sha256"] = sha256_of(book.commit_file(number - 1))
    if is_first:
        metadata: Action | None = _metadata(form, now_ms)
    else:
        # A table that began with the present columns has them still.
        metadata = mended_metadata(metadata_at(book, 1), form.row)
        if metadata is not None:
            metadata = mended_metadata(metadata_at(book, number - 1), form.row)
    actions += [{"metaData": metadata}] if metadata else []
    actions += [{"add": _add(part, now_ms)} for part in parts]
    actions.append({"txn": {"appId": APPLICATION, "version": number}})
    book.commit(number, actions)


@cache
def delta_schema(row: Record = LedgerEntry, *, nullable: bool = True) -> str:
    """A table's schema as its log has it.

    Its columns are nullable there: for others Spark asks for a writer feature that the protocol
    does not name. The Parquet files and the validation ahead of them hold what must not be null.
    """
    from deltalake import Schema

    schema = arrow_schema(row)
    fields = [field.with_nullable(nullable or field.nullable) for field in schema]
    return Schema.from_arrow(pa.schema(fields)).to_json()


def _metadata(form: DeltaForm, now_ms: int) -> Action:
    return {
        "id": str(uuid4()),
        "name": form.name,
        "description": form.description,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": delta_schema(form.row),
        "partitionColumns": [],
        "createdTime": now_ms,
        "configuration": CONFIGURATION,
    }


def metadata_at(book: Book, number: int) -> Any:  # noqa: ANN401 - JSON
    """The table's metadata after a run, as the log has them."""
    commits = book.commits
    for earlier in range(number, 0, -1):
        if b'"metaData"' not in commits.read(earlier):
            continue
        for action in commits.actions(earlier):
            if "metaData" in action:
                return action["metaData"]
    return None


def mended_metadata(
    metadata: Any,  # noqa: ANN401 - JSON
    row: Record = LedgerEntry,
) -> Action | None:
    """What to put in the place of an earlier version's metadata; None where they do.

    Those had other columns, or columns that are not nullable.
    """
    if not isinstance(metadata, dict) or metadata.get("schemaString") == delta_schema(row):
        return None
    return metadata | {"schemaString": delta_schema(row)}


def _add(part: TablePart, now_ms: int) -> Action:
    return {
        "path": part.name,
        "partitionValues": {},
        "size": part.bytes,
        # The commit's own: a clock that was set since the file was written makes no difference.
        "modificationTime": now_ms,
        "dataChange": True,
        "stats": json.dumps(part.statistics, ensure_ascii=False),
    }

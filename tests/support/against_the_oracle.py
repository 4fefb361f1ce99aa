"""Running the engine on a random world's nights, and comparing what it books with the oracle's."""

import gzip
import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import oracle
import polars as pl
import pyarrow as pa
import worlds

import mynapoint
from engine.io.run.one_run import Calculator

SHOWN_ROWS = 5
ROLES = ("events", "enrollments", "transactions")

LEDGER_SCHEMA: dict[str, Any] = {
    "run_id": pl.String(),
    "booked_on": pl.Date(),
    "person_id": pl.String(),
    "entry_seq": pl.Int64(),
    "service_id": pl.String(),
    "account_id": pl.String(),
    "transaction_id": pl.String(),
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String(),
    "amount": pl.Int64(),
    "original_transaction_id": pl.String(),
    "method": pl.String(),
    "enrolled_account_id": pl.String(),
    "net_amount": pl.Int64(),
    "counted_amount": pl.Int64(),
    "points": pl.Int64(),
    "net_spend_after": pl.Int64(),
    "points_after": pl.Int64(),
    "event_id": pl.String(),
}

Rows = list[tuple[Any, ...]]


# --- Running the engine ---------------------------------------------------------------------------


def write_file(file: oracle.File, folder: Path, form: str = "csv") -> Path:
    """Write a delivered file as it is, or compressed."""
    name, text = file
    path = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    if form == "csv":
        path.write_bytes(text.encode())
    elif form == "gz":
        path = path.with_name(f"{name}.gz")
        path.write_bytes(gzip.compress(text.encode()))
    elif form == "zst":
        path = path.with_name(f"{name}.zst")
        path.write_bytes(pa.Codec("zstd").compress(text.encode(), asbytes=True))
    else:
        raise ValueError(form)
    return path


class DeliveredAs:
    """A night's files on disk, and which of the world's names each path stands for."""

    def __init__(self, world: worlds.World, number: int, folder: Path, form: str = "csv") -> None:
        self.night = world.nights[number]
        folder = folder / f"night-{number + 1}"
        folder.mkdir(parents=True, exist_ok=True)
        self.events = [write_file(file, folder, form) for file in self.night.events]
        self.enrollments = [write_file(file, folder, form) for file in self.night.enrollments]
        self.transactions = [write_file(file, folder, form) for file in self.night.transactions]
        paths = [*self.events, *self.enrollments, *self.transactions]
        files = [*self.night.events, *self.night.enrollments, *self.night.transactions]
        self.names = {str(path): name for path, (name, _) in zip(paths, files, strict=True)}
        self.services: Path | None = None
        self.programme: Path | None = None
        if self.night.services is not None:
            self.services = folder / "services.toml"
            self.services.write_bytes(self.night.services.encode())
        if self.night.programme is not None:
            self.programme = folder / "programme.toml"
            self.programme.write_bytes(self.night.programme.encode())


def run_engine(
    book: Path,
    delivery: DeliveredAs,
    *,
    threads: int | None = None,
    rows_per_slice: int | None = None,
    how: Calculator | None = None,
) -> None:
    result = mynapoint.run(
        book,
        booked_on=delivery.night.booked_on,
        transactions=delivery.transactions,
        enrollments=delivery.enrollments,
        events=delivery.events,
        services=delivery.services,
        programme=delivery.programme,
        terms_as_of=delivery.night.terms_as_of,
        max_quarantined=1.0,
        threads=threads,
        rows_per_slice=rows_per_slice,
        # Where there are several slices, their rows wait on the disk.
        memory_mib=None if rows_per_slice is None else 0,
        how=how,
    )
    kept = json.loads((book / "runs" / result.record.run_id / "record.json").read_bytes())
    assert result.record.to_json() == kept


def run_world(
    world: worlds.World,
    folder: Path,
    *,
    threads: int | None = None,
    rows_per_slice: int | None = None,
    form: str = "csv",
) -> Path:
    book = folder / "book"
    for number in range(len(world.nights)):
        delivery = DeliveredAs(world, number, folder, form)
        run_engine(book, delivery, threads=threads, rows_per_slice=rows_per_slice)
    return book


@dataclass(frozen=True)
class BookedWorld:
    """A random world's book, and by role all that was delivered to it; only to read."""

    world: worlds.World
    book: Path
    delivered: dict[str, list[Path]]

    @classmethod
    def of(cls, seed: int, folder: Path) -> "BookedWorld":
        """Most have corrections; each second one waits for its slices on the disk."""
        world = worlds.make(seed, corrected=seed % 4 != 3)
        nights = [DeliveredAs(world, n, folder / "given") for n in range(len(world.nights))]
        for night in nights:
            run_engine(folder / "book", night, rows_per_slice=(None, 5)[seed % 2])
        delivered = {role: [path for n in nights for path in getattr(n, role)] for role in ROLES}
        return cls(world, folder / "book", delivered)


# --- Reading a book -------------------------------------------------------------------------------


def run_ids(world: worlds.World) -> list[str]:
    return [f"{number:06}" for number in range(1, len(world.nights) + 1)]


def committed_rows(book: Path, run_id: str | None = None) -> dict[str, Rows]:
    """Give each run's ledger rows, or one's, in the order in which its commit's files hold them."""
    rows: dict[str, Rows] = {}
    commits = "*" if run_id is None else f"{record_of(book, run_id)['ledger_version']:020}"
    for commit in sorted((book / "ledger" / "_delta_log").glob(f"{commits}.json")):
        for line in commit.read_bytes().splitlines():
            action = json.loads(line)
            assert "remove" not in action, f"{commit.name}: the ledger is append-only"
            if "add" not in action:
                continue
            part = pl.read_parquet(book / "ledger" / unquote(action["add"]["path"]))
            for row in part.select(list(LEDGER_SCHEMA)).rows():
                rows.setdefault(row[0], []).append(row)
    return rows


def ledger_rows(book: Path, run_id: str) -> Rows:
    ledger = pl.read_delta(str(book / "ledger"))
    assert dict(ledger.schema) == LEDGER_SCHEMA
    assert ledger.columns == list(oracle.LEDGER_COLUMNS)
    return ledger.filter(pl.col("run_id") == run_id).sort("person_id", "entry_seq").rows()


def loose_rows(book: Path) -> Rows:
    """Read the ledger's Parquet files without its log."""
    rows: Rows = []
    for path in sorted((book / "ledger").rglob("*.parquet")):
        if "_delta_log" not in path.parts:
            rows += pl.read_parquet(path).select(list(LEDGER_SCHEMA)).rows()
    return rows


def table_rows(book: Path, run_id: str, table: str, columns: Sequence[str]) -> Rows:
    path = book / "runs" / run_id / f"{table}.parquet"
    if table in ("accepted_events", "rejected_events") and not path.exists():
        return []
    rows = pl.read_parquet(path).select(columns).rows()
    return [tuple(tuple(sorted(v)) if isinstance(v, list) else v for v in row) for row in rows]


def quarantined_fields(book: Path, run_id: str) -> dict[tuple[str, int], tuple[str, ...]]:
    """Read every `raw` back as the CSV record that it was."""
    frame = pl.read_parquet(book / "runs" / run_id / "quarantine.parquet")
    return {
        (file, row): worlds.fields_of(raw)
        for file, row, raw in frame.select("file", "row", "raw").rows()
    }


def unmarked(fields: tuple[str, ...]) -> tuple[str, ...]:
    """Drop U+FEFF from a record's beginning: there it is a file's mark of its byte order."""
    return (fields[0].lstrip("\ufeff"), *fields[1:])


def record_of(book: Path, run_id: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((book / "runs" / run_id / "record.json").read_bytes())
    return record


# --- Comparing ------------------------------------------------------------------------------------


def ordered(rows: Iterable[tuple[Any, ...]]) -> Rows:
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def show(row: tuple[Any, ...]) -> str:
    return " | ".join(
        str(value) if isinstance(value, date | datetime | int) else repr(value) for value in row
    )


@dataclass(frozen=True)
class Difference:
    """Where two lists of rows differ."""

    table: str
    columns: tuple[str, ...]
    only_expected: Rows
    only_booked: Rows
    first_out_of_order: tuple[int, tuple[Any, ...], tuple[Any, ...]] | None

    def __str__(self) -> str:
        lines = [self.table, "  " + ", ".join(self.columns)]
        lines += [f"  only in the oracle: {show(row)}" for row in self.only_expected[:SHOWN_ROWS]]
        lines += [f"  only in the engine: {show(row)}" for row in self.only_booked[:SHOWN_ROWS]]
        left_out = max(0, len(self.only_expected) - SHOWN_ROWS)
        left_out += max(0, len(self.only_booked) - SHOWN_ROWS)
        if left_out:
            lines.append(f"  and {left_out} more")
        if self.first_out_of_order is not None:
            number, expected, booked = self.first_out_of_order
            lines.append("  the same rows in another order or number; the first that differ:")
            lines.append(f"  row {number} in the oracle: {show(expected)}")
            lines.append(f"  row {number} in the engine: {show(booked)}")
        return "\n".join(lines)


def difference_of(
    table: str, columns: Sequence[str], expected: Rows, booked: Rows
) -> Difference | None:
    if expected == booked:
        return None
    only_expected = [row for row in expected if row not in booked]
    only_booked = [row for row in booked if row not in expected]
    out_of_order = None
    if not only_expected and not only_booked:
        for number, (wanted, got) in enumerate(zip(expected, booked, strict=False)):
            if wanted != got:
                out_of_order = (number, wanted, got)
                break
    return Difference(table, tuple(columns), only_expected, only_booked, out_of_order)


def stated(split: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Give what a record says under the specification's keys; it may say more.

    A reason that nothing was declined for may be left out or be zero.
    """
    return {
        key: (
            {k: v for k, v in split[key].items() if v != 0}
            if isinstance(split.get(key), dict)
            else split.get(key)
        )
        for key in expected
    }


def as_text(value: Any) -> str:
    """Write a number, or numbers by reason, whose order says nothing."""
    return str(dict(sorted(value.items())) if isinstance(value, dict) else value)


def differences_of_records(record: dict[str, Any], expected: oracle.Night) -> list[Difference]:
    counts = vars(expected.counts) | {"voided": expected.voided, "recounted": expected.recounted}
    points = {"awarded": expected.points_awarded, "reversed": expected.points_reversed}
    enrollments, events = vars(expected.enrollment_counts), vars(expected.event_counts)
    splits: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("counts", record["counts"], counts),
        ("counts.enrollments", record["counts"].get("enrollments", {}), enrollments),
        ("counts.events", record["counts"].get("events", {}), events),
        ("yen", record["yen"], vars(expected.yen)),
        ("points", record["points"], points),
        ("run_id", {"run_id": record["run_id"]}, {"run_id": expected.run_id}),
    ]
    differences = []
    for what, split, wanted in splits:
        said = stated(split, wanted)
        differences.append(
            difference_of(
                f"record: {what}",
                ("key", "value"),
                [(key, as_text(value)) for key, value in wanted.items()],
                [(key, as_text(value)) for key, value in said.items()],
            )
        )
    return [difference for difference in differences if difference is not None]


def differences_of_night(
    book: Path, delivery: DeliveredAs, expected: oracle.Night
) -> list[Difference]:
    """Compare all that the engine wrote of a run with the oracle's night."""
    run_id = expected.run_id
    ledger = [astuple(entry) for entry in expected.ledger]
    quarantine = table_rows(book, run_id, "quarantine", oracle.QUARANTINE_COLUMNS)
    fields = {
        (delivery.names.get(file, file), row): raw
        for (file, row), raw in quarantined_fields(book, run_id).items()
    }
    tables: list[tuple[str, Sequence[str], Rows, Rows]] = [
        (
            "quarantine",
            oracle.QUARANTINE_COLUMNS,
            ordered((row.file, row.row, row.errors) for row in expected.quarantine),
            ordered((delivery.names.get(file, file), *rest) for file, *rest in quarantine),
        ),
        (
            "quarantine's raw, read back as CSV",
            ("file", "row", "fields"),
            ordered((row.file, row.row, unmarked(row.fields)) for row in expected.quarantine),
            ordered((file, row, unmarked(raw)) for (file, row), raw in fields.items()),
        ),
    ]
    named: list[tuple[str, Sequence[str], Iterable[Any]]] = [
        ("accepted_events", oracle.ACCEPTED_EVENT_COLUMNS, expected.accepted_events),
        ("rejected_events", oracle.REJECTED_EVENT_COLUMNS, expected.rejected_events),
        ("rejected_enrollments", oracle.REJECTED_COLUMNS, expected.rejected),
        ("declined", oracle.DECLINED_COLUMNS, expected.declined),
    ]
    for table, columns, rows in named:
        tables.append(
            (
                table,
                columns,
                ordered(astuple(row) for row in rows),
                ordered(table_rows(book, run_id, table, columns)),
            )
        )
    tables += [
        ("ledger", oracle.LEDGER_COLUMNS, ledger, ledger_rows(book, run_id)),
        (
            "ledger's files, in their order",
            oracle.LEDGER_COLUMNS,
            ledger,
            committed_rows(book, run_id).get(run_id, []),
        ),
    ]
    differences = [difference_of(*table) for table in tables]
    return [
        *(difference for difference in differences if difference is not None),
        *differences_of_records(record_of(book, run_id), expected),
    ]

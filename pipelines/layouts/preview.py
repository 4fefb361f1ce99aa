"""``mynapoint preview``: how a file would be read, what would be set aside; nothing is booked."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from engine.booking.state import content_hashes
from engine.columns.hashing import hash_pair
from engine.errors import InputError
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.recognising import beginning_of, layout_of
from engine.io.delivered.role_files import Files, check_parameters
from engine.io.delivered.roles import ROLES
from engine.io.delivered.rows import REF_SHIFT, PartRows
from engine.layouts.catalogue import load_layout
from engine.layouts.parameters import Described
from engine.layouts.provider_faults import jointly_named
from engine.records import TRANSACTION_CONFLICT, RoleName

FIRST: Final = 3
_EXAMPLES: Final = 3
_PLACES: Final = (1 << REF_SHIFT) - 1


@dataclass(slots=True)
class PreviewedRow:
    """A row, as it came and as it is read.

    Attributes:
        values: by canonical column; None where the row is left out.
        errors: what is wrong with it.
    """

    row: int
    raw: str
    values: Mapping[str, str] | None
    errors: Sequence[str] = ()


@dataclass(slots=True)
class Fault:
    """A fault: how many rows have it, and the first of them."""

    rows: int = 0
    examples: list[tuple[int, str]] = field(default_factory=list)


@dataclass(slots=True)
class Preview:
    """What a file would be read to.

    Attributes:
        described: its layout; None for the canonical form.
        skipped: by reason, rows and yen that are left out.
        faults: by fault as quarantine names it.
        yen: of the rows that can be read.
        repeated: readable rows that repeat another of the file, and would be duplicates.
        warnings: of which a run would warn, each with its first row.
    """

    path: str
    role: RoleName
    described: Described | None = None
    first: list[PreviewedRow] = field(default_factory=list)
    read: int = 0
    readable: int = 0
    quarantined: int = 0
    yen: int = 0
    skipped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    kinds: dict[str, tuple[int, int]] = field(default_factory=dict)
    repeated: int = 0
    warnings: list[tuple[int, str]] = field(default_factory=list)


def preview(
    path: Path,
    *,
    layout: str | None = None,
    role: RoleName | None = None,
    parameters: Mapping[str, str] | None = None,
    first: int = FIRST,
) -> Preview:
    """Reads a whole file as a run would.

    Raises:
        InputError: it cannot be read at all.
    """
    role = role or _role(path, layout)
    what = DeliveredAs(path, layout, parameters or {})
    files = Files(ROLES[role], find_delivered([what], role))
    if len(files.delivered) != 1:
        raise InputError(f"{path}: these are several files", hint="name one file")
    check_parameters(files)
    made = Preview(str(path), role)
    keys: list[pl.DataFrame] = []
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for pieces, records in files.read(pool, threads + 1, lambda rows: rows):
            for rows in pieces:
                _count(made, rows, files)
                if role == "transactions":
                    keys.append(_keys(rows))
            if made.read < first and pieces:
                wanted = min(records, first - made.read)
                made.first += _first(pieces, made.read, wanted)
            made.read += records
    files.screen.judge()
    made.described, made.skipped = files.described(0), files.skipped
    made.warnings = [(warning.row, warning.what) for warning in files.warnings]
    _settle(made, keys)
    return made


def _role(path: Path, layout: str | None) -> RoleName:
    """What a file holds: its layout says so, or its header."""
    if layout is not None and layout != "canonical":
        return load_layout(layout).role
    delivered = find_delivered([path], "preview")
    if len(delivered) != 1:
        raise InputError(f"{path}: these are several files", hint="name one file")
    begins = beginning_of(delivered[0])
    names = begins.data.split(b"\n", 1)[0]
    if b"event_id" in names:
        return "events"
    if b"person_id" in names or layout_of(begins, "enrollments", str(path)) is not None:
        return "enrollments"
    return "transactions"


def _count(made: Preview, rows: PartRows, files: Files) -> None:
    made.readable += rows.good.height
    made.quarantined += rows.faulty.height
    if "amount" in rows.good.columns:
        made.yen += int(rows.good["amount"].sum())
        for kind, count, yen in (
            rows.good.group_by("kind").agg(pl.len(), pl.col("amount").sum()).iter_rows()
        ):
            before = made.kinds.get(kind, (0, 0))
            made.kinds[kind] = (before[0] + count, before[1] + yen)
    if rows.faulty.height == 0:
        return
    errors = files.as_quarantined(rows.faulty).explode("errors")
    for error, count, numbers, raws in (
        errors.group_by("errors", maintain_order=True)
        .agg(pl.len(), pl.col("row").head(_EXAMPLES), pl.col("raw").head(_EXAMPLES))
        .iter_rows()
    ):
        fault = made.faults.setdefault(error, Fault())
        fault.rows += count
        left = _EXAMPLES - len(fault.examples)
        fault.examples += list(zip(numbers, raws, strict=True))[:left]


def _keys(rows: PartRows) -> pl.DataFrame:
    """Hashes that distinguish transactions: of the key, and of the whole content."""
    keys = hash_pair(rows.good["service_id"], rows.good["transaction_id"])
    return pl.DataFrame({"key": keys, "content": content_hashes(rows.good, keys)})


def _settle(made: Preview, keys: list[pl.DataFrame]) -> None:
    """Counts rows with the same key: duplicates, or conflicts if their contents differ."""
    if not keys:
        return
    repeated = (
        pl.concat(keys)
        .group_by("key")
        .agg(pl.len(), pl.col("content").n_unique().alias("contents"))
        .filter(pl.col("len") > 1)
    )
    in_conflict = repeated.filter(pl.col("contents") > 1)
    made.repeated = int((repeated["len"] - 1).sum()) - int((in_conflict["len"] - 1).sum())
    conflicts = int(in_conflict["len"].sum())
    if conflicts:
        described = made.described
        error = TRANSACTION_CONFLICT
        if described is not None:
            error = jointly_named(described, error)
        made.faults[error] = Fault(conflicts)
        made.quarantined += conflicts
        made.readable -= conflicts


def _first(pieces: Sequence[PartRows], before: int, wanted: int) -> list[PreviewedRow]:
    """The part's first records, including records that are left out."""
    first_ref = pieces[0].first_ref
    good: dict[int, Mapping[str, str]] = {}
    faulty: dict[int, Sequence[str]] = {}
    for rows in pieces:
        places = rows.good["row_ref"] & _PLACES
        for row in rows.good.filter(places < wanted).iter_rows(named=True):
            place = row.pop("row_ref") - first_ref
            good[place] = {name: _text(value) for name, value in row.items()}
        few = rows.faulty.filter((rows.faulty["row_ref"] & _PLACES) < wanted)
        for ref, errors in few.select("row_ref", "errors").iter_rows():
            faulty[ref - first_ref] = errors
    raws = pieces[0].batch.raw(np.arange(wanted).tolist())
    return [
        PreviewedRow(before + place + 1, raw, good.get(place), faulty.get(place, ()))
        for place, raw in enumerate(raws)
    ]


def _text(value: object) -> str:
    return "" if value is None else str(value)

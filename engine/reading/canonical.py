"""The canonical form: delivered columns become values; what cannot be read is named.

A cell is trimmed of spaces, tabs, U+3000 and U+FEFF; an empty cell is missing. Every fault of a row
is a code: ``missing``, ``malformed``, ``out_of_range``, ``unknown``, ``unexpected``.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_
from typing import Final, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from engine.reading.cells import CellForm, Cells, is_blank, marked
from engine.reading.forms import (
    ANSWER_FORMS,
    CLAIM_FORMS,
    ENROLLMENT_FORMS,
    EVENT_FORMS,
    TRANSACTION_FORMS,
)
from engine.records import (
    ANSWER_REQUIRED,
    CLAIM_REQUIRED,
    ENROLLMENT_REQUIRED,
    EVENT_BY_KIND,
    EVENT_MAY_HAVE,
    EVENT_NEEDS,
    EVENT_REQUIRED,
    TRANSACTION_REQUIRED,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A batch after reading.

    Attributes:
        good: the canonical columns, typed, and ``row``, the row's place in the batch.
        faulty: ``row``, ``errors`` (list of ``column:code``) and ``amount`` where it could be
            read (yen, else null; transactions only).
        values: what could be read, of all rows, good or not.
    """

    good: pl.DataFrame
    faulty: pl.DataFrame
    values: pl.DataFrame


Delivery: TypeAlias = pl.DataFrame | pa.Table


def read_transactions(table: Delivery) -> Reading:
    """Reads a batch of delivered transactions; columns that may be left out may be missing."""
    cells = _cells(table, TRANSACTION_FORMS, TRANSACTION_REQUIRED)
    original = cells["original_transaction_id"]
    refund, given = cells["kind"].values == "refund", original.values.is_not_null()
    unexpected, missing = (~refund & given).fill_null(value=False), refund & ~given
    faults = {code: mask & ~unexpected for code, mask in original.faults.items()}
    cells["original_transaction_id"] = Cells(
        original.values, marked(faults | {"unexpected": unexpected, "missing": missing})
    )
    return _split(cells, table.shape[0])


def read_enrollments(table: Delivery) -> Reading:
    """Reads a batch of delivered enrollments; columns that may be left out may be missing."""
    return _split(_cells(table, ENROLLMENT_FORMS, ENROLLMENT_REQUIRED), table.shape[0])


def read_events(table: Delivery) -> Reading:
    """Reads a batch of delivered events: each kind needs some columns and allows no others."""
    cells = _cells(table, EVENT_FORMS, EVENT_REQUIRED)
    values = pl.DataFrame([cells[name].values.alias(name) for name in EVENT_BY_KIND])
    # A cell that cannot be read holds something, too.
    given = [
        reduce(or_, cells[readable.name].faults.values(), readable)
        for readable in values.select(pl.all().is_not_null()).iter_columns()
    ]
    kind = cells["kind"].values.cast(pl.String).alias("kind")
    masks = pl.DataFrame([kind, *given]).select(_events_by_kind())
    for name in EVENT_BY_KIND:
        cell, unexpected = cells[name], masks[f"unexpected {name}"]
        faults = {code: mask & ~unexpected for code, mask in cell.faults.items()}
        faults |= {"unexpected": unexpected, "missing": masks[f"missing {name}"]}
        cells[name] = Cells(cell.values, marked(faults))
    return _split(cells, table.shape[0])


@cache
def _events_by_kind() -> tuple[pl.Expr, ...]:
    """By an event's kind, and by which of its columns hold something: what each column lacks or
    has too much.
    """
    judged = []
    for name in EVENT_BY_KIND:
        needed_by = [kind for kind, needs in EVENT_NEEDS.items() if name in needs]
        allowed_by = [kind for kind, names in EVENT_MAY_HAVE.items() if name in names]
        kind = pl.col("kind")
        allowed = kind.is_null() | kind.is_in([*needed_by, *allowed_by]).fill_null(value=False)
        needed = kind.is_in(needed_by).fill_null(value=False)
        judged += [
            (pl.col(name) & ~allowed).alias(f"unexpected {name}"),
            (needed & ~pl.col(name)).alias(f"missing {name}"),
        ]
    return tuple(judged)


def read_claims(table: Delivery) -> Reading:
    """Reads a batch of a claim that a layout describes; points and months are still text."""
    return _split(_cells(table, CLAIM_FORMS, CLAIM_REQUIRED), table.shape[0])


def read_answers(
    table: Delivery, instructed: pl.DataFrame | None = None, today: dt.date = dt.date.max
) -> Reading:
    """Reads a batch of delivered answers, and compares them with what was instructed.

    Args:
        table: the batch; columns that may be left out may be missing.
        instructed: `payout_id` and `instructed`, its points; None where no book is at hand.
        today: an answer of a later day is at fault.
    """
    cells = _cells(table, ANSWER_FORMS, ANSWER_REQUIRED)
    if instructed is None:
        return _split(cells, table.shape[0])
    frame = pl.DataFrame([cells[name].values.alias(name) for name in ANSWER_FORMS]).join(
        instructed, on="payout_id", how="left", maintain_order="left"
    )
    judged = frame.select(answer_faults(today))
    for mask in cells["points"].faults.values():
        judged = judged.with_columns(pl.col("points:missing", "points:out_of_range") & ~mask)
    for fault in judged.iter_columns():
        if fault.any():
            name, code = fault.name.split(":")
            before = cells[name].faults
            mask = before[code] | fault if code in before else fault
            cells[name] = Cells(cells[name].values, before | {code: mask})
    return _split(cells, table.shape[0])


def answer_faults(today: dt.date) -> list[pl.Expr]:
    """What can be wrong with an answer that can be read, by the points that were instructed.

    The columns are those of the form, and `instructed`, which is null where there is no such
    payout; each expression is called by its fault.
    """
    outcome, said, whole = pl.col("outcome"), pl.col("points"), pl.col("instructed")
    out_of_range = (
        pl.when(outcome == "refused")
        .then(said != 0)
        .when(outcome == "partly")
        .then((said < 1) | (said >= whole))
        .otherwise((outcome == "done") & (said != whole))
    )
    faults = {
        "payout_id:unknown": pl.col("payout_id").is_not_null() & whole.is_null(),
        "points:missing": (outcome == "partly") & said.is_null(),
        "points:out_of_range": out_of_range,
        "answered_on:out_of_range": pl.col("answered_on") > today,
    }
    return [fault.fill_null(value=False).alias(name) for name, fault in faults.items()]


def _cells(
    table: Delivery, forms: Mapping[str, CellForm], required: tuple[str, ...]
) -> dict[str, Cells]:
    cells = {}
    names = table.columns if isinstance(table, pl.DataFrame) else table.column_names
    for name, form in forms.items():
        if name in names and not is_blank(table[name]):
            read = form(table[name])
        else:
            read = Cells(_nothing(form).new_from_index(0, table.shape[0]), {})
        if name in required and read.values.null_count():
            at_fault = read.values.is_null()
            for mask in read.faults.values():
                at_fault &= ~mask
            read = Cells(read.values, read.faults | marked({"missing": at_fault}))
        cells[name] = read
    return cells


@cache
def _nothing(form: CellForm) -> pl.Series:
    """What a form makes of an empty text."""
    return form(pl.Series([""])).values


_NO_FAULTS: Final = pl.DataFrame(
    schema={"row": pl.UInt32, "errors": pl.List(pl.String), "amount": pl.Int64}
)


def _split(cells: Mapping[str, Cells], rows: int) -> Reading:
    row = pl.Series("row", np.arange(rows, dtype=np.uint32))
    frame = pl.DataFrame([*(read.values.alias(name) for name, read in cells.items()), row])
    masks = [
        mask.alias(f"{name}:{code}")
        for name, read in cells.items()
        for code, mask in read.faults.items()
    ]
    if not masks:
        return Reading(frame, _NO_FAULTS, frame)
    amounts = pl.col("amount") if "amount" in frame.columns else pl.lit(None, pl.Int64)
    flags = pl.DataFrame(masks)
    at_fault = reduce(or_, masks)
    errors = flags.filter(at_fault).select(
        pl.concat_list(
            [pl.when(pl.col(name)).then(pl.lit(name)) for name in flags.columns]
        ).list.drop_nulls()
    )
    faulty = frame.filter(at_fault).select(
        "row", errors.to_series().alias("errors"), amounts.alias("amount")
    )
    return Reading(frame.filter(~at_fault), faulty, frame)

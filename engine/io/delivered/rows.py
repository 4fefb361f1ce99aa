"""The rows of one part of a file: typed values, or the faults of those that cannot be read.

A row is known by its ``row_ref``: the number of its part among all parts of the role's files, times
2^32, plus its place in the part. References ascend in the order of delivery.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
import polars as pl

from engine.booking.index_spaces import RowRefs
from engine.booking.registry import Numbers
from engine.io.delivered.deliveries import SECOND, Batch, Work
from engine.io.delivered.roles import Role
from engine.reading.canonical import Reading
from engine.reading.individual_number import Screen
from engine.records import AcceptedEvent, Basis, Enrollment, EventKind, polars_schema

T = TypeVar("T")
PartRead = tuple[int, int, list[T], Mapping[str, tuple[int, int]]]
RAGGED: Final = "row:malformed"
REF_SHIFT: Final = 32
PIECE_ROWS: Final = 256 * 1024
ENROLLMENT_VALUES: Final = polars_schema(Enrollment) | {"basis": Basis, "row_ref": pl.Int64()}
EVENT_VALUES: Final = polars_schema(AcceptedEvent) | {
    "kind": EventKind,
    "basis": Basis,
    "row_ref": pl.Int64(),
}
FAULTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row_ref": pl.Int64(),
    "errors": pl.List(pl.String()),
    "raw": pl.String(),
    "amount": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class PartRows:
    """A part of a file after reading.

    Attributes:
        good: typed canonical columns and ``row_ref``.
        faulty: the rows that cannot be read, columns of ``FAULTS_SCHEMA``.
        values: what could be read of all rows of the batch's table, good or not.
    """

    good: pl.DataFrame
    faulty: pl.DataFrame
    values: pl.DataFrame
    batch: Batch
    first_ref: int

    def yen(self, *, second: bool = False) -> int:
        """The sum of all amounts that can be read; ``second``: of second rows out of a record."""
        parts = [self.good, self.faulty]
        if second:
            parts = [rows.filter(pl.col("row_ref") & SECOND != 0) for rows in parts]
        return sum(int(rows["amount"].sum()) for rows in parts)

    def all_at_fault(self, error: str) -> pl.DataFrame:
        """The good rows as faulty ones; for a batch that holds nothing else."""
        return self._at_fault(self.good, np.arange(self.good.height), error)

    def some_at_fault(self, rows: pl.DataFrame, error: str) -> pl.DataFrame:
        """Some of the good rows, as faulty ones."""
        return self._at_fault(rows, rows["row_ref"].to_numpy() - self.first_ref, error)

    def _at_fault(self, rows: pl.DataFrame, places: Numbers, error: str) -> pl.DataFrame:
        """Rows, by their places in the batch, as faulty ones."""
        errors = self.batch.name_faults(places, alike(error, rows.height))
        return at_fault(rows, self.batch.raw(places.tolist()), errors)


def read_part(
    role: Role, batch: Batch, part: int, screen: Screen, then: Callable[[PartRows], T]
) -> PartRead[T]:
    """Reads a part's records: how many there are, how many of them give a second row, what ``then``
    makes of its pieces, what a layout left out.
    """
    screen.look_at_lines(batch.sample)
    made = []
    for piece in batch.pieces(PIECE_ROWS):
        reading = role.read(piece.table)
        screen.look(reading.values)
        made.append(then(_rows(reading, piece, part << REF_SHIFT)))
    return batch.records, batch.split, made, batch.skipped


def read_part_again(role: Role, work: Work, row_refs: RowRefs) -> PartRows:
    """Reads some rows of a part, ascending, once more."""
    batch = work.read_some((row_refs & ((1 << REF_SHIFT) - 1)).tolist())
    return _rows(role.read(batch.table), batch, 0, row_refs)


def alike(error: str, rows: int) -> pl.Series:
    """The faults of rows that all have the same single fault."""
    return pl.Series([[error]], dtype=pl.List(pl.String)).new_from_index(0, rows)


def at_fault(rows: pl.DataFrame, raw: list[str], errors: pl.Series) -> pl.DataFrame:
    """Readable rows as faulty ones."""
    amount = pl.col("amount") if "amount" in rows.columns else pl.lit(None, pl.Int64)
    return rows.select(
        "row_ref",
        errors.alias("errors"),
        pl.Series("raw", raw, dtype=pl.String),
        amount.alias("amount"),
    )


def _rows(
    reading: Reading, batch: Batch, first_ref: int, row_refs: RowRefs | None = None
) -> PartRows:
    refs = first_ref + batch.places if row_refs is None else row_refs
    good = reading.good.drop("row").hstack(
        [pl.Series("row_ref", refs[reading.good["row"].to_numpy()])]
    )
    faulty = pl.DataFrame(schema=FAULTS_SCHEMA)
    if reading.faulty.height or batch.ragged:
        rows = reading.faulty["row"].to_numpy()
        places = batch.places[rows]
        ragged = [first_ref + record.row for record in batch.ragged]
        faulty = pl.concat(
            [
                reading.faulty.select(
                    pl.Series("row_ref", refs[rows], dtype=pl.Int64),
                    batch.name_faults(places, reading.faulty["errors"]).alias("errors"),
                    pl.Series("raw", batch.raw(places.tolist()), dtype=pl.String),
                    "amount",
                ),
                at_fault(
                    pl.DataFrame({"row_ref": ragged}, schema={"row_ref": pl.Int64}),
                    [record.raw for record in batch.ragged],
                    alike(RAGGED, len(ragged)),
                ),
            ]
        ).sort("row_ref")
    return PartRows(good, faulty, reading.values, batch, first_ref)

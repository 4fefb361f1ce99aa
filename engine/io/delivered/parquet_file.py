"""Parquet deliveries: the canonical columns, typed or as text."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.io.delivered.deliveries import (
    Batch,
    Delivered,
    Work,
    check_required,
    check_unchanged,
    open_file,
)
from engine.io.parquet import scan_parquet
from engine.reading.canonical import Form, check_column_type

BATCH_ROWS: Final = 500_000
GROUP_ROWS: Final = 2_000_000
PLAIN_ROWS: Final = 500_000
ROW_BYTES: Final = 60
MAGIC: Final = b"PAR1"


@dataclass
class ParquetFile:
    """A Parquet delivery while it is read."""

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]
    forms: Mapping[str, Form]

    @cached_property
    def sha256(self) -> str:
        """The file's digest.

        Raises:
            InputError: the file changed meanwhile.
        """
        check_unchanged(self.delivered)
        with open_file(self.delivered) as raw:
            return hashlib.file_digest(raw, "sha256").hexdigest()

    def works(self) -> Iterator[Work]:
        """The file's parts, in its order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        for stretch in self.stretches():
            yield from stretch.works()

    def stretches(self) -> Iterator["RowGroup"]:
        """The file's row groups, each of which may be read on any machine.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        with open_file(self.delivered) as raw:
            try:
                file = pq.ParquetFile(raw)
                columns = self._columns(file)
                plain = all(_is_plain(file.schema_arrow.field(column).type) for column in columns)
                first = 0
                for number in range(file.num_row_groups):
                    rows = file.metadata.row_group(number).num_rows
                    yield RowGroup(self.delivered, number, columns, first, rows, plain)
                    first += rows
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _unreadable(self.delivered.name, error) from error

    def _columns(self, file: pq.ParquetFile) -> list[str]:
        name, schema = self.delivered.name, file.schema_arrow
        for column, times in Counter(schema.names).items():
            if times > 1:
                raise InputError(
                    f"{name}: the file has the column {column} twice",
                    hint="each column may be there once; remove or rename one of them",
                )
        check_required(schema.names, self.required, f"{name}: the file")
        columns = [c for c in (*self.required, *self.optional) if c in schema.names]
        for column in columns:
            check_column_type(name, column, schema.field(column).type, self.forms[column])
        _refuse_int96(file, columns, name)
        return columns


def _is_plain(kind: pa.DataType) -> bool:
    """Whether polars reads the type as what it is."""
    plain = (pa.string(), pa.large_string(), pa.int64(), pa.date32(), pa.timestamp("us"))
    return any(kind == one for one in plain)


def _refuse_int96(file: pq.ParquetFile, columns: list[str], name: str) -> None:
    # Such a time has no zone, but its writers mean UTC, and far years wrap: it cannot be trusted.
    for place in range(file.metadata.num_columns):
        leaf = file.schema.column(place)
        if leaf.path in columns and leaf.physical_type == "INT96":
            raise InputError(
                f"{name}: column {leaf.path} is an INT96 time, which does not say its zone",
                hint="write it as a Parquet timestamp in microseconds (in Spark: "
                "spark.sql.parquet.outputTimestampType=TIMESTAMP_MICROS)",
            )


@dataclass(frozen=True, slots=True)
class _Held:
    """Rows that have been read."""

    table: pa.Table
    name: str

    def read(self) -> Batch:
        try:
            self.table.validate(full=True)
        except pa.ArrowInvalid as error:
            raise _unreadable(self.name, error) from error
        rows = self.table.num_rows
        return Batch(self.table, rows, np.arange(rows), (), partial(_rows_as_json, self.table))

    def read_some(self, places: Sequence[int]) -> Batch:
        return _Held(_rows_of(self.table, places), self.name).read()


@dataclass(frozen=True, slots=True)
class _PlainRows:
    """Rows of plain types, which polars decodes in half the time that pyarrow takes."""

    delivered: Delivered
    first: int
    rows: int
    columns: list[str]

    def read(self) -> Batch:
        return _batch(self._frame())

    def read_some(self, places: Sequence[int]) -> Batch:
        return _batch(self._frame()[list(places)])

    def _frame(self) -> pl.DataFrame:
        try:
            frame = (
                scan_parquet(self.delivered.path)
                .slice(self.first, self.rows)
                .select(self.columns)
                .collect(engine="streaming")
            )
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise _unreadable(self.delivered.name, error) from error
        check_unchanged(self.delivered)
        return frame


def _batch(frame: pl.DataFrame) -> Batch:
    def raw(rows: Sequence[int]) -> list[str]:
        return _rows_as_json(frame[list(rows)].to_arrow(), range(len(rows)))

    return Batch(frame, frame.height, np.arange(frame.height), (), raw)


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group that is read when it is asked for; a large one in parts."""

    delivered: Delivered
    number: int
    columns: list[str]
    first: int
    rows: int
    plain: bool

    @property
    def text_bytes(self) -> int:
        """About how many bytes of text it holds."""
        return self.rows * ROW_BYTES

    def works(self) -> Iterator[Work]:
        """Itself, or its parts.

        Raises:
            InputError: it cannot be read.
        """
        if self.plain and self.rows <= GROUP_ROWS:
            # A night is often one row group, and more than one worker waits for it.
            for start in range(0, self.rows, PLAIN_ROWS):
                rows = min(PLAIN_ROWS, self.rows - start)
                yield _PlainRows(self.delivered, self.first + start, rows, self.columns)
            return
        if self.rows <= GROUP_ROWS:
            yield self
            return
        name = self.delivered.name
        try:
            with open_file(self.delivered) as raw, pq.ParquetFile(raw) as file:
                for batch in file.iter_batches(
                    BATCH_ROWS, row_groups=[self.number], columns=self.columns
                ):
                    yield _Held(pa.Table.from_batches([batch]), name)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(name, error) from error

    def read(self) -> Batch:
        return self._held().read()

    def read_some(self, places: Sequence[int]) -> Batch:
        return self._held().read_some(places)

    def _held(self) -> _Held:
        name = self.delivered.name
        try:
            with open_file(self.delivered) as raw, pq.ParquetFile(raw) as file:
                table = file.read_row_group(self.number, columns=self.columns, use_threads=False)
                return _Held(table, name)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(
        f"{name}: the file cannot be read as Parquet: {reason}",
        hint="have the file delivered again; nothing was booked",
    )


def _rows_of(table: pa.Table, rows: Sequence[int]) -> pa.Table:
    # No rows can be taken from views of text.
    for place, field in enumerate(table.schema):
        if pa.types.is_string_view(field.type):
            text = table.column(place).cast(pa.large_string())
            table = table.set_column(place, field.name, text)
    return table.take(pa.array(rows, pa.int64()))


def _rows_as_json(table: pa.Table, rows: Sequence[int]) -> list[str]:
    taken = _rows_of(table, rows)
    for place, field in enumerate(taken.schema):
        if pa.types.is_temporal(field.type):
            text = _times_as_text(taken.column(place))
            taken = taken.set_column(place, field.name, text)
    return [json.dumps(row, ensure_ascii=False, default=str) for row in taken.to_pylist()]


def _times_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """As stored, UTC with a Z: Python's own times know no nanoseconds and no year 10000."""
    if not pa.types.is_timestamp(column.type) or column.type.tz is None:
        return column.cast(pa.string())
    utc = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return pc.binary_join_element_wise(utc, "Z", "")

"""Parquet deliveries: the canonical columns, typed or as text."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import InputError
from engine.io.delivered.byte_stream import MOST_EXPANSION
from engine.io.delivered.deliveries import (
    Batch,
    Delivered,
    Work,
    check_required,
    check_unchanged,
    open_file,
)
from engine.io.delivered.parquet_pages import (
    ColumnChunk,
    DamagedPageError,
    refused,
    uncompressed_bytes,
)
from engine.io.parquet import scan_parquet
from engine.reading.cells import CellForm
from engine.reading.forms import check_column_type
from engine.reading.individual_number import SAMPLED_RECORDS

BATCH_ROWS: Final = 500_000
GROUP_ROWS: Final = 2_000_000
PLAIN_ROWS: Final = 500_000
ROW_BYTES: Final = 60
MAX_TEXT_BYTES: Final = 256 << 20
"""The most that the texts of a part's rows may come to."""
_LEAST_ROW_BYTES: Final = 16
MAGIC: Final = b"PAR1"


@dataclass
class ParquetFile:
    """A Parquet delivery while it is read."""

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]
    forms: Mapping[str, CellForm]

    @property
    def is_cut(self) -> bool:
        """Never: its footer stands at its end."""
        return False

    @cached_property
    def sha256(self) -> str:
        """The file's digest.

        Raises:
            InputError: the file changed meanwhile.
        """
        check_unchanged(self.delivered)
        with open_file(self.delivered) as raw:
            digest = hashlib.file_digest(raw, "sha256").hexdigest()
            check_unchanged(self.delivered, raw)
            return digest

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
                self._check_rows(file.metadata)
                self._check_pages(raw, file, columns)
                plain = all(_is_plain(file.schema_arrow.field(column).type) for column in columns)
                first = 0
                for number in range(file.num_row_groups):
                    rows = file.metadata.row_group(number).num_rows
                    yield RowGroup(self.delivered, number, columns, first, rows, plain)
                    first += rows
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _unreadable(self.delivered.name, error) from error

    def _check_rows(self, metadata: pq.FileMetaData) -> None:
        """Refuses a footer that disagrees with itself, or a small file of very many rows."""
        name = self.delivered.name
        groups = range(metadata.num_row_groups)
        rows = sum(metadata.row_group(number).num_rows for number in groups)
        if rows != metadata.num_rows:
            raise InputError(
                f"{name}: the footer says {metadata.num_rows:,} rows, its row groups have {rows:,}",
                hint="have the file delivered again; nothing was booked",
            )
        if rows * _LEAST_ROW_BYTES > self._most_bytes:
            raise self._too_large()

    def _check_pages(self, raw: io.FileIO, file: pq.ParquetFile, columns: Sequence[str]) -> None:
        """Refuses pages that are not what the footer says, or that become far too large."""
        metadata, size = file.metadata, 0
        leaves = {file.schema.column(place).path: place for place in range(metadata.num_columns)}
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            for column in columns:
                leaf = group.column(leaves[column])
                start = min(filter(None, (leaf.dictionary_page_offset, leaf.data_page_offset)))
                chunk = ColumnChunk(start, leaf.total_compressed_size, group.num_rows)
                try:
                    size += uncompressed_bytes(raw, chunk)
                except DamagedPageError as error:
                    raise refused(self.delivered.name, column, error) from error
        if size > self._most_bytes:
            raise self._too_large()

    @property
    def _most_bytes(self) -> int:
        return MOST_EXPANSION * (self.delivered.size_bytes + (1 << 20))

    def _too_large(self) -> InputError:
        return InputError(
            f"{self.delivered.name}: the file unpacks to more than {MOST_EXPANSION} times its size",
            hint="no real delivery does; look at it yourself",
        )

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
    return any(kind == plain_kind for plain_kind in plain)


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
        raw = partial(_rows_as_json, self.table)
        sample = raw(range(min(rows, SAMPLED_RECORDS)))
        return Batch(self.table, rows, np.arange(rows), (), raw, sample=sample)

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
        name = self.delivered.name
        with open_file(self.delivered) as raw:
            try:
                # The very file that was opened, whatever its path leads to by now.
                frame = (
                    scan_parquet(Path(f"/dev/fd/{raw.fileno()}"))
                    .slice(self.first, self.rows)
                    .select(self.columns)
                    .collect(engine="streaming")
                )
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                raise _unreadable(name, error) from error
            check_unchanged(self.delivered, raw)
        _check_height(name, frame.height, self.rows)
        texts = frame.select(pl.col(pl.String).str.len_bytes().cast(pl.Int64).sum())
        _check_text_bytes(name, sum(texts.row(0)) if texts.width else 0)
        return frame


def _batch(frame: pl.DataFrame) -> Batch:
    def raw(rows: Sequence[int]) -> list[str]:
        return _rows_as_json(frame[list(rows)].to_arrow(), range(len(rows)))

    sample = raw(range(min(frame.height, SAMPLED_RECORDS)))
    return Batch(frame, frame.height, np.arange(frame.height), (), raw, sample=sample)


def _check_height(name: str, height: int, rows: int) -> None:
    if height != rows:
        raise InputError(
            f"{name}: {height:,} rows were read where the footer says {rows:,}",
            hint="have the file delivered again; nothing was booked",
        )


def _check_text_bytes(name: str, size: int) -> None:
    """Refuses texts that are small in the file because they repeat, and huge in memory."""
    if size > MAX_TEXT_BYTES:
        raise InputError(
            f"{name}: the texts of some rows come to more than {MAX_TEXT_BYTES >> 20} MiB",
            hint="no real delivery has such texts; look at it yourself",
        )


def _decoded(name: str, table: pa.Table, kept: pa.Schema) -> pa.Table:
    """A table whose texts were read as dictionaries, once it is known how large they become."""
    size = 0
    for column in table.columns:
        if pa.types.is_dictionary(column.type):
            for chunk in column.chunks:
                lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
                size += pc.sum(lengths.take(chunk.indices)).as_py() or 0
    _check_text_bytes(name, size)
    return table.cast(pa.schema([kept.field(column) for column in table.column_names]))


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
            with self._opened() as (file, schema):
                rows = 0
                for batch in file.iter_batches(
                    BATCH_ROWS, row_groups=[self.number], columns=self.columns
                ):
                    rows += batch.num_rows
                    yield _Held(_decoded(name, pa.Table.from_batches([batch]), schema), name)
                _check_height(name, rows, self.rows)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(name, error) from error

    @contextmanager
    def _opened(self) -> Iterator[tuple[pq.ParquetFile, pa.Schema]]:
        """The file, with its texts as dictionaries, and the types that they have in it."""
        with open_file(self.delivered) as raw:
            with pq.ParquetFile(raw) as file:
                schema = file.schema_arrow
            texts = [
                name
                for name in self.columns
                if pa.types.is_string(schema.field(name).type)
                or pa.types.is_large_string(schema.field(name).type)
            ]
            raw.seek(0)
            with pq.ParquetFile(raw, read_dictionary=texts) as file:
                yield file, schema
            check_unchanged(self.delivered, raw)

    def read(self) -> Batch:
        return self._held().read()

    def read_some(self, places: Sequence[int]) -> Batch:
        return self._held().read_some(places)

    def _held(self) -> _Held:
        name = self.delivered.name
        try:
            with self._opened() as (file, schema):
                table = file.read_row_group(self.number, columns=self.columns, use_threads=False)
                _check_height(name, table.num_rows, self.rows)
                return _Held(_decoded(name, table, schema), name)
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

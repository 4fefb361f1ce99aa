"""The tables that a run keeps beside the ledger, written part by part."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import polars as pl
import pyarrow
import pyarrow.compute as pc
import pyarrow.parquet as pq

from engine.errors import BookError
from engine.io.book.format import RunTable
from engine.io.book.ledger import ROWS_PER_GROUP
from engine.io.book.run_record import Output
from engine.io.durable import NewFile
from engine.records import Record, view_schema

FEW_WORDED: Final = ("service_id", "kind", "method", "basis", "reason", "file")
# What rows are looked for by; statistics of the other columns would be made for nobody.
_LOOKED_FOR: Final = ("occurred_at", "applied_at")


@dataclass(frozen=True, slots=True)
class WrittenTable:
    """A table's file that is on the disk and was read back."""

    name: str
    bytes: int
    sha256: str
    rows: int

    def output(self, folder: str) -> Output:
        """The file as the run record names it in the run's folder."""
        return Output(f"{folder}/{self.name}", self.bytes, self.sha256, self.rows)


class TableWriter:
    """Writes one Parquet file of a record type; synced and read back when it is closed."""

    def __init__(self, path: Path, record: Record) -> None:
        self.path = path
        self.rows = 0
        self.sha256 = ""
        self._schema = view_schema(record)
        self._checked = "amount" if "amount" in self._schema.names else self._schema.names[0]
        self._sum = 0
        self._file = NewFile(path)
        self._writer = pq.ParquetWriter(
            self._file,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=[name for name in FEW_WORDED if name in self._schema.names],
            write_statistics=[name for name in _LOOKED_FOR if name in self._schema.names],
            column_encoding={
                field.name: "DELTA_BINARY_PACKED"
                for field in self._schema
                if pyarrow.types.is_int64(field.type) or pyarrow.types.is_timestamp(field.type)
            },
            store_schema=False,
        )

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._file:
            if error is None:
                self._writer.close()
                self.sha256 = self._file.finish()
                self._check()

    def _check(self) -> None:
        rows = total = 0
        with pq.ParquetFile(self.path) as file:
            for group in range(file.num_row_groups):
                column = file.read_row_group(
                    group, columns=[self._checked], use_threads=False
                ).column(0)
                rows, total = rows + len(column), total + self._sum_of(column)
        if (rows, total) != (self.rows, self._sum):
            raise BookError(
                f"{self.path.name}: what was read back differs from what was written: "
                f"{rows} rows instead of {self.rows}, or another sum of {self._checked}",
                hint="check the disk; nothing was booked",
            )

    def _sum_of(self, column: pyarrow.ChunkedArray) -> int:
        if self._checked != "amount":
            return 0
        return int(pc.sum(column, min_count=0).as_py())

    def write(self, frame: pl.DataFrame) -> None:
        """Writes further rows."""
        if frame.is_empty():
            return
        self.rows += frame.height
        for group in frame[self._schema.names].iter_slices(ROWS_PER_GROUP):
            table = pyarrow.table(
                [_column(group[field.name], field.type) for field in self._schema],
                schema=self._schema,
            )
            self._sum += self._sum_of(table[self._checked])
            self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)

    def written(self) -> WrittenTable:
        """The file, closed."""
        return WrittenTable(self.path.name, self._file.bytes, self.sha256, self.rows)


def _column(values: pl.Series, kind: pyarrow.DataType) -> pyarrow.Array:
    if isinstance(values.dtype, pl.List):
        return values.to_arrow().cast(kind)
    if isinstance(values.dtype, pl.Enum):
        values = values.cast(pl.String)
    return values.to_arrow(compat_level=pl.CompatLevel.newest())


def table_writer(folder: Path, table: RunTable) -> TableWriter:
    """Writes one of a run's tables under its own name."""
    return TableWriter(folder / table.file_name, table.record)

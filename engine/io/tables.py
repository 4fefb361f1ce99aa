"""The tables that a run keeps beside the ledger, written part by part."""

from pathlib import Path
from types import TracebackType
from typing import Any

import pandera.polars as pa
import polars as pl
import pyarrow.parquet as pq

from engine.io.durable import sha256_of, sync
from engine.records import arrow_schema

ROWS_PER_GROUP = 128 * 1024


class TableWriter:
    """Writes one Parquet file of a record type; synced when it is closed."""

    def __init__(self, path: Path, record: type[pa.DataFrameModel]) -> None:
        self.path = path
        self.rows = 0
        self._schema = arrow_schema(record)
        self._writer = pq.ParquetWriter(
            path, self._schema, compression="zstd", compression_level=1, store_schema=False
        )

    def __enter__(self) -> "TableWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        sync(self.path)

    def write(self, frame: pl.DataFrame) -> None:
        """Writes further rows."""
        if frame.is_empty():
            return
        self.rows += frame.height
        table = frame.select(self._schema.names).to_arrow().cast(self._schema)
        self._writer.write_table(table, row_group_size=ROWS_PER_GROUP)


def output_of(path: Path, name: str, rows: int | None) -> dict[str, Any]:
    """A written file as the run record names it: read back for its digest."""
    output = {"name": name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return output if rows is None else output | {"rows": rows}

"""What a Parquet file says of its rows beside them, compared with the rows.

Readers pass over rows, and take conditions for granted, by the least and greatest value that a file
names for a column. A file that names others shows each reader another book.
"""

from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_WRITER: Final = "parquet-cpp-arrow version "
# Longer texts have no least and no greatest value in a file.
_LONGEST_BYTES: Final = 4096


def untrue_statistics(path: Path) -> str | None:
    """What is not so of the file's rows, or None."""
    try:
        return _untrue(path)
    except (pa.ArrowException, OSError, ValueError):
        return "not a Parquet file"


def _untrue(path: Path) -> str | None:
    with pq.ParquetFile(path) as file:
        if not (file.metadata.created_by or "").startswith(_WRITER):
            # Arrow would not show what other readers go by.
            return "another program than Arrow wrote the file"
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            columns = [group.column(place) for place in range(group.num_columns)]
            said = {
                column.path_in_schema: column.statistics
                for column in columns
                # What is within a list, nothing is looked for by.
                if column.is_stats_set and "." not in column.path_in_schema
            }
            rows = file.read_row_group(number, list(said), use_threads=False)
            for column in columns:
                name = column.path_in_schema
                if (
                    column.has_column_index
                    or column.bloom_filter_offset is not None
                    or (name in said and not _is_so(said[name], rows[name]))
                ):
                    return (
                        f"what the file says of its column {name} is not so of its rows: "
                        "readers that go by it pass over rows"
                    )
    return None


def _is_so(said: Any, values: pa.ChunkedArray) -> bool:  # noqa: ANN401 - untyped in pyarrow
    if said.has_null_count and said.null_count != values.null_count:
        return False
    if values.null_count == len(values):
        return not said.has_min_max
    stored = values.cast(_as_stored(values.type))
    least, greatest = pc.min_max(stored).as_py().values()
    if not said.has_min_max:
        return pa.types.is_binary(stored.type) and max(len(least), len(greatest)) > _LONGEST_BYTES
    return bool(said.min_raw <= least and greatest <= said.max_raw)


def _as_stored(type_: pa.DataType) -> pa.DataType:
    """Values compare as they are stored: not every stored number is a time that Python knows."""
    if pa.types.is_string(type_):
        return pa.binary()
    if pa.types.is_timestamp(type_):
        return pa.int64()
    return pa.int32() if pa.types.is_date32(type_) else type_

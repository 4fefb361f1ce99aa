"""Parquet files scanned, each by its own name: nothing in a path is taken for a pattern."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl


def scan_parquet(
    paths: Path | Sequence[Path],
    *,
    path_column: str | None = None,
    schema: Mapping[str, pl.DataType] | None = None,
) -> pl.LazyFrame:
    """The rows of files, in order.

    Args:
        paths: the files.
        path_column: the column that says which file a row is from.
        schema: the columns, null where a file has none of the name; by default the first file's.
    """
    files = [paths] if isinstance(paths, Path) else paths
    # Polars expands a ``~`` at the beginning of a relative path.
    return pl.scan_parquet(  # noqa: TID251 - here alone
        [file.absolute() for file in files],
        glob=False,
        hive_partitioning=False,
        include_file_paths=path_column,
        schema=None if schema is None else dict(schema),
        missing_columns="raise" if schema is None else "insert",
    )

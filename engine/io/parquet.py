"""Parquet files scanned, each by its own name: nothing in a path is taken for a pattern."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl


def scan_parquet(paths: Path | Sequence[Path], *, path_column: str | None = None) -> pl.LazyFrame:
    """The rows of files, in order; ``path_column`` says which file a row is from."""
    files = [paths] if isinstance(paths, Path) else paths
    # Polars expands a ``~`` at the beginning of a relative path.
    return pl.scan_parquet(  # noqa: TID251 - here alone
        [file.absolute() for file in files],
        glob=False,
        hive_partitioning=False,
        include_file_paths=path_column,
    )

"""Which rows of a file may hold an ID: files are read once, and 32 bits of each ID's hash are kept.

What is kept is of committed files, which never change, as long as a command runs. It only finds: a
row that is found may hold another ID, but none that holds the ID is left out.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.io.parquet import scan_parquet
from engine.records import Record, polars_schema

_MOST_IDS: Final = 16
"""Of more IDs at once it is as quick to read the whole file."""
_BITS: Final = 32


class IdPlaces:
    """Where the IDs of some columns of some files stand; 4 bytes a row and column."""

    def __init__(self) -> None:
        self._hashes: dict[tuple[Path, str], npt.NDArray[np.uint32]] = {}

    def add(self, files: Iterable[Path], record: Record, columns: Sequence[str]) -> None:
        """Reads columns of files with the rows of a record type."""
        schema = polars_schema(record)
        for path in files:
            rows = scan_parquet([path], schema=schema).select(columns).collect(engine="streaming")
            for name in columns:
                self._hashes[path, name] = _hashed(rows[name])

    def rows(self, path: Path, column: str, ids: Sequence[str]) -> list[int] | None:
        """The rows of a file that may hold one of some IDs in a column, from 0; None where that is
        not known.
        """
        hashes = self._hashes.get((path, column))
        if hashes is None or len(ids) > _MOST_IDS:
            return None
        found = np.zeros(hashes.size, np.bool_)
        for wanted in _hashed(pl.Series(ids, dtype=pl.String)):
            found |= hashes == wanted
        return np.flatnonzero(found).tolist()


def _hashed(ids: pl.Series) -> npt.NDArray[np.uint32]:
    return (ids.hash(seed=0).to_numpy() >> np.uint64(_BITS)).astype(np.uint32)

"""By which slice an account's person is calculated: tables that every machine maps into memory.

12 bytes an account: its hash and the slice. A table holds a range of hashes, in their order. No two
enrolled accounts have the same hash (else all are made with another seed); one that is not enrolled
may have that of an enrolled one, and goes to its slice, where the texts decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt

from engine.columns.hashing import KEY_SEED
from engine.io.durable import new_file
from engine.spark.key_index import account_hashes, partition_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    import polars as pl

    from engine.columns.hashing import Hashes
    from engine.spark.job import Job

ROUTE: Final = np.dtype([("account", "u8"), ("slice", "i4")])


def write_routes(folder: Path, routes: np.ndarray) -> str | None:
    """Writes the routes of a range of accounts; gives the table's name, or none if hashes meet."""
    routes = routes[np.argsort(routes["account"], kind="stable")]
    if (routes["account"][1:] == routes["account"][:-1]).any():
        return None
    name = f"routes-{uuid4().hex}"
    for column in ROUTE.names or ():
        with new_file(folder / f"{name}.{column}.npy") as file:
            np.save(cast("Any", file), np.ascontiguousarray(routes[column]))
    return name


class Router:
    """Finds accounts' slices."""

    def __init__(self, job: Job) -> None:
        """Maps the run's tables; without any there is but one slice."""
        self._tables = [
            tuple(_mapped(job.work / f"{name}.{column}.npy") for column in ROUTE.names or ())
            for name in job.routes
        ]
        self._seed = job.route_seed
        self._bits = max(0, len(self._tables) - 1).bit_length()

    def slices_of(self, rows: pl.DataFrame, accounts: Hashes) -> npt.NDArray[np.int32]:
        """The slice of each row's account (``accounts`` are their usual hashes); -1 where it is
        not enrolled.
        """
        if not self._tables:
            return np.zeros(accounts.size, np.int32)
        if self._seed != KEY_SEED:
            accounts = account_hashes(rows, self._seed)
        slices = np.full(accounts.size, -1, np.int32)
        order = np.argsort(accounts)
        ascending = accounts[order]
        cuts = np.searchsorted(
            partition_of(ascending, self._bits), np.arange(len(self._tables) + 1)
        )
        for number, (hashes, its_slices) in enumerate(self._tables):
            mine = slice(cuts[number], cuts[number + 1])
            wanted, at_rows = ascending[mine], order[mine]
            at = np.minimum(np.searchsorted(hashes, wanted), max(0, hashes.size - 1))
            if hashes.size:
                hit = hashes[at] == wanted
                slices[at_rows[hit]] = its_slices[at[hit]]
        return slices


def _mapped(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path)
    return array if array.size == 0 else np.load(path, mmap_mode="r")

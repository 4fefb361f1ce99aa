"""Whose entries must be looked at one after the other, found by what costs little for each entry.

Most people spend by one account, one entry after the other. Of them, everything follows from each
entry and the one before it, as they stand in the file (``steps.sql``), and from where their keys,
their accounts and their months meet those of others (``suspects.sql``). All that is not so simple,
wrong or not, is left to ``arithmetic.sql``, which takes in sets of any shape.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from typing import Final

from pipelines.desk.database import Database

_ROWS_AT_ONCE: Final = 500_000


def find_suspects(database: Database, rows_of_files: Sequence[int]) -> None:
    """Makes the tables ``edge``, ``account``, ``everyone``, ``suspect`` and ``fault``.

    Args:
        database: with the tables and views that ``arithmetic.sql`` names.
        rows_of_files: how many rows each file of the ledger has.
    """
    database.script(statements("macros"))

    def pass_by(files_of_part: range) -> None:
        with database.beside() as connection:
            connection.part_of_ledger(files_of_part)
            connection.script(statements("steps"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(pass_by, _parts(rows_of_files)), maxlen=0)
    database.script(statements("suspects"))


def statements(name: str) -> str:
    """One of the scripts beside this module."""
    return files("pipelines.verify").joinpath(f"{name}.sql").read_text("utf-8")


def _parts(rows_of_files: Sequence[int]) -> Iterator[range]:
    """Files that are gone through together."""
    first = rows = 0
    for file, more in enumerate(rows_of_files):
        rows += more
        if rows >= _ROWS_AT_ONCE or file == len(rows_of_files) - 1:
            yield range(first, file + 1)
            first, rows = file + 1, 0

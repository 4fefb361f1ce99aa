"""IDs as spreadsheets leave them: 1.23457E+15, where digits are lost, and ="0012" or '0012.

In the canonical form they are IDs like any other; but another delivery of the same row has other
ones, and would be booked a second time. So a run names them. In a provider's form they are faults.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from threading import Lock
from typing import Final

import polars as pl

_IDS: Final = ("transaction_id", "account_id", "original_transaction_id", "person_id")
# A spreadsheet treats all rows alike, so the first ones of each piece show it.
_LOOKED_AT: Final = 2_048
_ROUNDED: Final = r"^[0-9](?:\.[0-9]+)?[Ee]\+[0-9]{1,3}$|^[0-9]\.[0-9]+[Ee][0-9]{1,3}$"
_GUARDED: Final = r"""^=".*"$|^['’＇][0-9A-Za-z]"""
_FOUND: Final = (
    (_ROUNDED, "looks rounded by a spreadsheet (1.2E+15)"),
    (_GUARDED, 'looks guarded against a spreadsheet (="0012" or \'0012)'),
)


@dataclass(slots=True)
class SpreadsheetIds:
    """For each column and kind of mark the first row that has it; used by several threads."""

    _first_ref: dict[tuple[str, str], int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def look(self, good: pl.DataFrame) -> None:
        """Looks at readable rows, which have a ``row_ref``."""
        first_rows = good.head(_LOOKED_AT)
        columns = [column for column in _IDS if column in first_rows.columns]
        if not columns:
            return
        first_refs = first_rows.select(
            pl.col("row_ref").filter(pl.col(column).str.contains(pattern)).first().alias(f"{at}")
            for at, (column, (pattern, _)) in enumerate(product(columns, _FOUND))
        )
        for ref, (column, (_, what)) in zip(
            first_refs.row(0), product(columns, _FOUND), strict=True
        ):
            if ref is not None:
                with self._lock:
                    key = column, what
                    self._first_ref[key] = min(ref, self._first_ref.get(key, ref))

    def found(self) -> Iterator[tuple[int, str]]:
        """The first row's reference, and what to say."""
        for (column, what), ref in sorted(
            self._first_ref.items(), key=lambda item: (item[1], item[0])
        ):
            yield ref, f"{column} {what}; the same row with another ID would be booked again"

"""Rows partitioned into slices that fit into memory: by account, in order, or by a number."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from engine.payouts.schedule import KEY

ROWS_PER_SLICE: Final = 500_000
MOST_SLICES: Final = 256


def slices_for(rows: int, rows_per_slice: int = ROWS_PER_SLICE) -> int:
    """Into how many slices so many rows are cut."""
    return max(1, min(MOST_SLICES, -(-rows // rows_per_slice)))


def cut_by(numbers: pl.Series, rows: pl.DataFrame, slices: int) -> tuple[pl.DataFrame, list[int]]:
    """Rows, sorted by the number of their slice, and where each slice begins among them."""
    if slices == 1:
        return rows, [0, rows.height]
    of_rows = numbers.to_numpy()
    order = np.argsort(of_rows, kind="stable")
    bounds = np.searchsorted(of_rows[order], np.arange(slices + 1))
    return rows[order], bounds.tolist()


@dataclass(frozen=True, slots=True)
class AccountRanges:
    """Ranges of accounts that ascend by (service, account).

    Attributes:
        first: the first account of each range but the first range.
    """

    count: int
    first: pl.Series

    @classmethod
    def over(cls, accounts: pl.DataFrame, count: int) -> "AccountRanges":
        """Ranges of one size, by some of the accounts, taken at random: columns of `KEY`."""
        keys = accounts.select(_sort_key()).to_series().sort()
        places = [len(keys) * number // count for number in range(1, count)]
        return cls(count, keys.gather(places) if len(keys) else keys)

    def cut(self, rows: pl.DataFrame, whose: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
        """Rows, sorted by range, and where each range begins among them.

        ``whose`` has, for each row, the columns of `KEY`.
        """
        keys = whose.select(_sort_key()).to_series()
        return cut_by(self.first.search_sorted(keys, side="right"), rows, self.count)


def _sort_key() -> pl.Expr:
    # No ID holds U+0000, so pairs are ordered as their texts are.
    return pl.concat_str(*KEY, separator="\0")

"""The control totals of a delivered file: noted part by part, judged once all were read."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.errors import InputError
from engine.io.delivered.deliveries import Batch
from engine.layouts.canonical_rows import CanonicalRows
from engine.layouts.model import TotalsLine
from engine.layouts.provider_column import Places
from engine.layouts.totals import (
    FoundTotals,
    PartTotals,
    differences,
    lines_with_totals,
    sums_between,
)

_CALLED: Final = {"rows": "rows", "yen": "yen", "net_yen": "yen, refunds taken off"}


@dataclass(slots=True)
class ControlTotals:
    """What a file says its rows come to.

    Attributes:
        ahead: the line ahead of the header that says it.
        parts: by number, in whatever order they are read.
    """

    totals: TotalsLine
    ahead: FoundTotals | None = None
    parts: dict[int, PartTotals] = field(default_factory=dict)

    def look_ahead(self, text: str) -> None:
        """Takes the last line with totals ahead of the header, where such lines stand there."""
        if self.totals.stand == "ahead":
            raws = text.splitlines()
            self.ahead = next(reversed(lines_with_totals(self.totals, [0] * len(raws), raws)), None)

    def judge(self, name: str) -> int:
        """How many rows no line counts, once all parts were read.

        Raises:
            InputError: the rows do not come to what a line says.
        """
        parts = [self.parts[number] for number in sorted(self.parts)]
        found, uncounted = differences(self.totals.stand, self.ahead, parts)
        for difference in found[:1]:
            where = f"row {difference.record}" if difference.record else "ahead of the header"
            said = "no number" if difference.said is None else f"{difference.said:,}"
            raise InputError(
                f"{name}: {where}: the line with totals says {said} where the rows come to "
                f"{difference.read:,} ({_CALLED[difference.figure]})",
                hint="have the file delivered again, as it was made; nothing was booked",
            )
        return uncounted.rows


def part_totals(totals: TotalsLine, batch: Batch, made: CanonicalRows, stays: Places) -> PartTotals:
    """A part's lines with totals, and its rows' sums.

    Args:
        totals: how its lines are known.
        batch: all records of the part, as the provider has them.
        made: its rows in the canonical form.
        stays: the numbers of records that are set aside for their number of fields.
    """
    assert made.figures is not None
    rows = made.figures.with_columns(record=pl.Series(batch.places, dtype=pl.Int64))
    kept = np.zeros(rows.height, np.bool_)
    kept[made.kept] = True
    counted = rows.filter(
        pl.Series(kept) | pl.col("reason").is_in(totals.with_skipped).fill_null(value=False)
    )
    is_row = np.zeros(batch.records, np.bool_)
    is_row[batch.places[made.kept]] = True
    is_row[stays] = True
    others = np.flatnonzero(~is_row).tolist()
    lines = lines_with_totals(totals, others, batch.raw(others))
    counted = counted.filter(~pl.col("record").is_in([line.record for line in lines]))
    unread = pl.DataFrame(
        {"record": stays, "yen": [None] * len(stays), "is_refund": [False] * len(stays)},
        schema={"record": pl.Int64, "yen": pl.Int64, "is_refund": pl.Boolean},
    )
    all_rows = pl.concat([counted.select("record", "yen", "is_refund"), unread])
    sums = sums_between(
        lines, all_rows["record"].to_numpy(), all_rows["yen"], all_rows["is_refund"]
    )
    return PartTotals(batch.records, tuple(lines), sums)

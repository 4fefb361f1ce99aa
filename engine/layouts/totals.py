"""Control totals: what a line of a provider's file says its rows come to, and what they do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import polars as pl

from engine.layouts.amounts import read_amounts
from engine.layouts.model import ColumnSource, Fixed, Separated, Skip, TotalsLine, TotalsPlace
from engine.layouts.provider_column import Places
from engine.layouts.row_tests import pattern
from engine.records import BLANKS
from engine.terms.strict_toml import StrictTable

FIGURES: Final = ("rows", "yen", "net_yen")
_KEYS: Final = ("line_matches", "stand", "with_skipped")


def parse_totals(
    top: StrictTable,
    file: Separated | Fixed,
    skips: Sequence[Skip],
    columns: Mapping[str, ColumnSource],
) -> TotalsLine | None:
    """The section `[totals]` of a layout; None where there is none."""
    table = top.optional_table("totals", _KEYS)
    if table is None:
        return None
    table.text("line_matches")
    line_matches = pattern(table, "line_matches")
    assert line_matches is not None
    figures = re.findall(r"\(\?P<([^>]*)>", line_matches)
    if not figures or not {*figures} <= {*FIGURES}:
        raise table.fault(
            "line_matches",
            f"names {', '.join(figures) or 'no figure'}",
            f"name groups of it as (?P<rows>[0-9]+), of {', '.join(FIGURES)}",
        )
    if "amount" not in columns and figures != ["rows"]:
        raise table.fault("line_matches", "the rows have no amounts", "name rows alone")
    stand = table.word("stand", get_args(TotalsPlace), default="below")
    if stand == "ahead" and not (isinstance(file, Separated) and file.header):
        raise table.fault("stand", "only a file with a header has lines ahead", "leave it out")
    with_skipped = table.texts("with_skipped")
    reasons = {skip.reason for skip in skips}
    for reason in with_skipped:
        if reason not in reasons:
            raise table.fault(
                "with_skipped",
                f'no [[skip]] has the reason "{reason}"',
                f"there are {', '.join(sorted(reasons)) or 'none'}",
            )
    return TotalsLine(line_matches, tuple(figures), stand, with_skipped)


@dataclass(frozen=True, slots=True)
class Sum:
    """What some rows come to.

    Attributes:
        yen: of all amounts; `net_yen` takes refunds off.
        unreadable: how many amounts are in neither.
    """

    rows: int = 0
    yen: int = 0
    net_yen: int = 0
    unreadable: int = 0

    def __add__(self, other: Sum) -> Sum:
        return Sum(
            self.rows + other.rows,
            self.yen + other.yen,
            self.net_yen + other.net_yen,
            self.unreadable + other.unreadable,
        )


@dataclass(frozen=True, slots=True)
class FoundTotals:
    """A line with totals.

    Attributes:
        record: its number in its part, from 0.
        figures: by name; None where the line has no number there.
    """

    record: int
    figures: Mapping[str, int | None]


@dataclass(frozen=True, slots=True)
class PartTotals:
    """A part's lines with totals, and what the rows ahead of each, and below the last, come to."""

    records: int
    lines: tuple[FoundTotals, ...]
    sums: tuple[Sum, ...]


def lines_with_totals(
    totals: TotalsLine, places: Sequence[int], raws: Sequence[str]
) -> list[FoundTotals]:
    """Those of some records that are lines with totals; `places` are their numbers."""
    texts = pl.Series(raws, dtype=pl.String)
    groups = texts.str.extract_groups(totals.line_matches).struct.unnest()
    found = np.flatnonzero(texts.str.contains(totals.line_matches).to_numpy())
    numbers = {name: _numbers(groups[name]) for name in totals.figures}
    return [
        FoundTotals(places[at], {name: numbers[name][at] for name in totals.figures})
        for at in found.tolist()
    ]


def _numbers(texts: pl.Series) -> pl.Series:
    amounts = read_amounts(texts.str.strip_chars(f'{BLANKS}"'))
    return amounts.signed.cast(pl.Int64, strict=False)


def sums_between(
    lines: Sequence[FoundTotals], records: Places, yen: pl.Series, is_refund: pl.Series
) -> tuple[Sum, ...]:
    """What rows come to ahead of the first line, between each two, and below the last.

    Args:
        lines: ascending.
        records: each row's number in the part.
        yen: each row's amount, null where it cannot be read; below 0 where it is written so.
        is_refund: whether it takes back.
    """
    stretch = np.searchsorted([line.record for line in lines], records)
    amounts = pl.DataFrame({"yen": yen, "is_refund": is_refund, "stretch": stretch}).select(
        "stretch",
        pl.col("yen").abs(),
        net_yen=pl.when(pl.col("is_refund").fill_null(value=False) | (pl.col("yen") < 0))
        .then(-pl.col("yen").abs())
        .otherwise(pl.col("yen")),
    )
    sums = {
        number: Sum(*figures)
        for number, *figures in amounts.group_by("stretch")
        .agg(
            rows=pl.len(),
            yen=pl.col("yen").sum(),
            net_yen=pl.col("net_yen").sum(),
            unreadable=pl.col("yen").null_count(),
        )
        .iter_rows()
    }
    return tuple(sums.get(number, Sum()) for number in range(len(lines) + 1))


@dataclass(frozen=True, slots=True)
class Difference:
    """A line whose figures are not those of its rows.

    Attributes:
        record: the line's number in the file, from 1; 0 where it stands ahead of the header.
        said: None where the line has no number.
    """

    record: int
    figure: str
    said: int | None
    read: int


def differences(
    stand: TotalsPlace, ahead: FoundTotals | None, parts: Sequence[PartTotals]
) -> tuple[list[Difference], Sum]:
    """Where a file's lines differ from its rows, and what the rows come to that no line counts.

    Args:
        stand: where the lines stand of their rows.
        ahead: the line ahead of the header, if there is one.
        parts: the file's, in its order.
    """
    found: list[Difference] = []
    counted, first, above = Sum(), 0, ahead
    for part in parts:
        for line, rows in zip(part.lines, part.sums[:-1], strict=True):
            counted += rows
            here = FoundTotals(first + line.record + 1, line.figures)
            of = here if stand == "below" else above
            if of is not None:
                found += _differing(of, counted)
                counted = Sum()
            above = here
        counted += part.sums[-1]
        first += part.records
    if stand == "ahead" and above is not None:
        return [*found, *_differing(above, counted)], Sum()
    return found, counted


def _differing(line: FoundTotals, rows: Sum) -> list[Difference]:
    return [
        Difference(line.record, figure, said, read)
        for figure, said in line.figures.items()
        if said != (read := getattr(rows, figure))
        # Rows whose amounts cannot be read are set aside, and named there.
        and (said is None or figure == "rows" or not rows.unreadable)
    ]

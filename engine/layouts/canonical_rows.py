"""A provider's rows in the canonical form, as its layout says; with those that it skips.

What a layout cannot read becomes what no canonical column can hold, so that reading the
canonical form finds it at fault, by one set of rules: an amount `?…`, a word `?…`, an ID with
U+0000, an instant and a day beyond all years.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from engine.layouts.amounts import UNREADABLE
from engine.layouts.canonical_columns import CanonicalColumns
from engine.layouts.model import Skip, Test
from engine.layouts.parameters import Described
from engine.layouts.passing_rows import rows_that_pass
from engine.layouts.provider_column import FIRST_CELL, Places, ProviderColumn


@dataclass(frozen=True, slots=True)
class CanonicalRows:
    """Rows in the canonical form.

    Attributes:
        table: canonical columns of the rows that stay, as text, times and days typed.
        kept: the places of these rows among all.
        skipped: by reason, how many rows were left out and their yen, where it can be read.
        refunds: second rows, out of those that say how much of them was refunded.
        refunds_of: the places of the rows that these come from, among all.
        figures: where a layout has totals, of all rows ``reason``, ``yen`` and ``is_refund``.
    """

    table: pl.DataFrame
    kept: Places
    skipped: dict[str, tuple[int, int]]
    refunds: pl.DataFrame
    refunds_of: Places
    figures: pl.DataFrame | None = None


def lay_out(
    described: Described,
    columns: Mapping[str, ProviderColumn],
    rows: int,
    number: Callable[[pl.Series], Places] | None = None,
) -> CanonicalRows:
    """Rows of a provider's file in the canonical form.

    Args:
        described: the file's layout, and what was said of it.
        rows: how many there are.
        columns: by name, those that the layout uses, ahead's and parameters' included; under the
            empty name the file's first, if a record's beginning is asked for.
        number: numbers rows by their IDs, where the layout does so with equal rows.

    Raises:
        UnicodeDecodeError: a cell that is read is not in the file's encoding.
    """
    made = CanonicalColumns(described, columns, rows)
    table = made.all()
    reasons = _skip_reasons(described, columns, rows)
    figures = None
    if described.layout.totals is not None:
        why = pl.repeat(None, rows, dtype=pl.String, eager=True) if reasons is None else reasons
        figures = made.figures().with_columns(why.alias("reason"))
    if reasons is None:
        table = _numbered(table, number)
        places = np.arange(rows)
        refunds = _refunds(described, made, table, places)
        return CanonicalRows(table, places, {}, *refunds, figures)
    kept = reasons.is_null()
    skipped: dict[str, tuple[int, int]] = {}
    left_out = pl.DataFrame({"reason": reasons, "yen": made.yen()}).filter(~kept)
    for reason, count, total in (
        left_out.group_by("reason").agg(pl.len(), pl.col("yen").sum()).sort("reason").iter_rows()
    ):
        skipped[reason] = (count, total)
    table = table if kept.all() else table.filter(kept)
    table, places = _numbered(table, number), np.flatnonzero(kept)
    refunds = _refunds(described, made, table, places)
    return CanonicalRows(table, places, skipped, *refunds, figures)


def _refunds(
    described: Described, made: CanonicalColumns, table: pl.DataFrame, kept: Places
) -> tuple[pl.DataFrame, Places]:
    """The second rows of those that say how much of them was refunded, and where they stand."""
    refunded = described.layout.refunded
    if refunded is None:
        return table.clear(), kept[:0]
    amounts = made.amounts_of(refunded.amount).gather(pl.Series(kept))
    has_refund = (amounts.filled | amounts.unreadable).fill_null(value=False)
    own = pl.col("transaction_id")
    refunds = (
        table.with_columns(amount=amounts.signed)
        .filter(has_refund)
        .with_columns(
            own.alias("original_transaction_id"),
            (own + refunded.suffix).alias("transaction_id"),
            # A refund cannot be refunded: its second row has a word that no kind is.
            pl.when(pl.col("kind") == "refund")
            .then(pl.lit(UNREADABLE))
            .otherwise(pl.lit("refund"))
            .alias("kind"),
        )
    )
    return refunds.select(table.columns) if "original_transaction_id" in table.columns else (
        refunds.select(*table.columns, "original_transaction_id")
    ), kept[has_refund.to_numpy()]


def _numbered(table: pl.DataFrame, number: Callable[[pl.Series], Places] | None) -> pl.DataFrame:
    if number is None:
        return table
    ids = table["transaction_id"]
    numbers = number(ids)
    numbered = ids + "-1"
    # Few rows share their ID with others.
    more = np.flatnonzero(numbers > 1)
    if more.size:
        numbered.scatter(more, ids.gather(more) + "-" + pl.Series(numbers[more]).cast(pl.String))
    return table.with_columns(numbered)


def _skip_reasons(
    described: Described, columns: Mapping[str, ProviderColumn], rows: int
) -> pl.Series | None:
    """Why each row is left out, the first reason that holds; null where it stays."""
    skips = described.layout.skips
    if not skips:
        return None
    masks = pl.DataFrame(
        [_holds(skip, columns, rows).alias(str(number)) for number, skip in enumerate(skips)]
    )
    return masks.select(
        pl.coalesce(
            pl.when(str(number)).then(pl.lit(skip.reason)) for number, skip in enumerate(skips)
        )
    ).to_series()


def _holds(skip: Skip, columns: Mapping[str, ProviderColumn], rows: int) -> pl.Series:
    test = skip.test
    if test is None:
        assert skip.line_begins is not None
        test = Test(FIRST_CELL, begins=(skip.line_begins,))
    return rows_that_pass(test, columns, rows)

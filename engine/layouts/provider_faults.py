"""Faults of canonical columns, named by the provider's columns that are to blame."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from engine.layouts.canonical_columns import CanonicalColumns
from engine.layouts.model import Separated
from engine.layouts.parameters import Described
from engine.layouts.provider_column import Places, ProviderColumn
from engine.records import ENROLLMENT_CONFLICT, EVENT_CONFLICT, TRANSACTION_CONFLICT

# No single column of an ID is to blame for these.
_CONFLICTS: Final = (TRANSACTION_CONFLICT, ENROLLMENT_CONFLICT, EVENT_CONFLICT)


def faults_as_the_provider_names_them(
    described: Described, columns: Mapping[str, ProviderColumn], places: Places, errors: pl.Series
) -> pl.Series:
    """Faults of some rows, by the provider's columns where one is at fault.

    Args:
        described: the file's layout.
        columns: as for ``lay_out``.
        places: the rows, among those of the columns.
        errors: of each row its canonical faults, a list of ``column:code``.
    """
    if len(places) == 0:
        return errors
    faults = pl.DataFrame({"n": np.arange(len(places)), "error": errors}).explode("error")
    order = faults.with_row_index("order")
    named = []
    for error in faults["error"].unique(maintain_order=True).to_list():
        rows = order.filter(pl.col("error") == error)
        at = places[rows["n"].to_numpy()]
        named.append(rows.with_columns(error=_named(described, columns, at, error)))
    return (
        pl.concat(named)
        .explode("error")
        .sort("order", maintain_order=True)
        .group_by("n", maintain_order=True)
        .agg(pl.col("error").unique(maintain_order=True))
        .sort("n")["error"]
    )


def _named(
    described: Described, columns: Mapping[str, ProviderColumn], places: Places, error: str
) -> pl.Series:
    column, code = error.rsplit(":", 1)
    names = _names(described, column)
    source = described.layout.columns.get(column)
    if source is None or len(names) < 2 or error in _CONFLICTS:
        return _each([jointly_named(described, error)], len(places))
    faulty = {name: column.take(places) for name, column in columns.items()}
    canonical = CanonicalColumns(described, faulty, len(places))
    at_fault = canonical.at_fault(column, source, code)
    frame = pl.DataFrame({name: mask for name, mask in at_fault.items() if name in names})
    named = pl.concat_list(
        [pl.when(name).then(pl.lit(f"{name}:{code}")) for name in frame.columns]
    ).list.drop_nulls()
    together = pl.lit([jointly_named(described, error)], pl.List(pl.String))
    return frame.select(pl.when(named.list.len() > 0).then(named).otherwise(together)).to_series()


def jointly_named(described: Described, error: str) -> str:
    """A canonical column's fault by all of the provider's columns that it is made from."""
    column, code = error.rsplit(":", 1)
    names = _names(described, column)
    return f"{'+'.join(names)}:{code}" if names else error


def _names(described: Described, column: str) -> list[str]:
    source = described.layout.columns.get(column)
    return [name for name in (source.names if source else ()) if _is_of_file(described, name)]


def _each(errors: list[str], rows: int) -> pl.Series:
    return pl.Series([errors], dtype=pl.List(pl.String)).new_from_index(0, rows)


def _is_of_file(described: Described, name: str) -> bool:
    layout = described.layout
    if isinstance(layout.file, Separated):
        return name not in layout.ahead and name not in layout.parameters
    return name not in layout.parameters

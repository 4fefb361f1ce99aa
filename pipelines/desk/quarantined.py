"""What a quarantined row says: it could not be read, so its fields have no names any more."""

import csv
import json
from collections.abc import Sequence
from typing import Any, Final

import polars as pl

_TRIMMED: Final = " \t\u3000"
_KEYS: Final = ("service_id", "transaction_id", "account_id", "person_id")


def fields_of(raw: pl.Series) -> pl.Series:
    """The fields of rows as they came, trimmed: lists of text.

    A CSV row has lost its header, so all its fields are there, in no order to rely on; of a
    Parquet row, kept as JSON, those that name the transaction and its account.
    """
    odd = raw.str.contains_any(['"', "\r", "\n"]).arg_true()
    parsed = pl.DataFrame(
        {"place": odd, "parsed": [_parsed(row) for row in raw.gather(odd)]},
        schema={"place": pl.UInt32, "parsed": pl.List(pl.String)},
    )
    return (
        pl.DataFrame({"raw": raw})
        .with_row_index("place")
        .join(parsed, on="place", how="left", maintain_order="left")
        .select(
            fields=pl.coalesce(
                "parsed",
                pl.col("raw").str.split(",").list.eval(pl.element().str.strip_chars(_TRIMMED)),
            )
        )
        .to_series()
    )


def _parsed(raw: str) -> list[str]:
    """The fields of one row that holds quotes."""
    values: Sequence[Any] = ()
    if raw.startswith("{"):
        try:
            row = json.loads(raw)
        except ValueError:
            row = None
        if isinstance(row, dict):
            return [str(row[key]).strip(_TRIMMED) for key in _KEYS if row.get(key) is not None]
    try:
        values = next(csv.reader([raw], strict=True), ())
    except csv.Error:
        # Broken quotes are why the row is here.
        values = raw.replace('"', "").split(",")
    return [value.strip(_TRIMMED) for value in values]

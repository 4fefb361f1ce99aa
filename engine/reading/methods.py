"""Values of ``method``: counted while deliveries are read, to name those that no service lists."""

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import polars as pl

_MAX_VALUES: Final = 1000
_MAX_SHOWN: Final = 10
_SHOWN_CHARACTERS: Final = 30
# A longer number may belong to a person: a card, an account, a telephone.
_NUMBER: Final = re.compile(r"\d{4,}")


@dataclass(slots=True)
class MethodCounts:
    """For each value of ``method`` its rows and the first of them; used by several threads.

    Of more than 1,000 values only the first ones are counted: such a column holds no codes.
    """

    _rows: dict[str, int] = field(default_factory=dict)
    _first_ref: dict[str, int] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def count(self, good: pl.DataFrame) -> None:
        """Counts the methods of readable rows, which have a ``row_ref``."""
        if "method" not in good.columns or good["method"].null_count() == good.height:
            return
        values = (
            good.lazy()
            .filter(pl.col("method").is_not_null())
            .group_by("method")
            .agg(pl.len(), pl.col("row_ref").min())
            .collect()
        )
        with self._lock:
            for method, rows, ref in values.iter_rows():
                if method not in self._rows and len(self._rows) >= _MAX_VALUES:
                    continue
                self._rows[method] = self._rows.get(method, 0) + rows
                self._first_ref[method] = min(ref, self._first_ref.get(method, ref))

    def unknown(self, known: AbstractSet[str]) -> Iterator[tuple[int, str]]:
        """The values that are not known: the first row's reference, and what to say."""
        if not known:
            return
        unknown = sorted(self._rows.keys() - known, key=lambda method: self._first_ref[method])
        for method in unknown[:_MAX_SHOWN]:
            rows = self._rows[method]
            what = f'method "{_shown(method)}" is listed by no service of the registry'
            yield self._first_ref[method], f"{what} ({rows:,} row{'s' if rows > 1 else ''})"
        if len(unknown) > _MAX_SHOWN:
            yield (
                self._first_ref[unknown[_MAX_SHOWN]],
                f"{len(unknown) - _MAX_SHOWN:,} more methods are listed by no service",
            )


def _shown(method: str) -> str:
    text = _NUMBER.sub("…", method)
    if len(text) > _SHOWN_CHARACTERS:
        text = text[:_SHOWN_CHARACTERS] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]

"""A table of the report, the same for page and workbook: columns, rows, how values are shown."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal

from pipelines.shown.terminal import plain, table

if TYPE_CHECKING:
    from rich.table import Table as PrintedTable

Kind = Literal["text", "code", "day", "number", "share"]
Value = str | int | float | dt.date | None


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: its heading, how its values are to be shown, whether they are long texts, and its
    name for machines.
    """

    heading: str
    kind: Kind = "text"
    long: bool = False
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        name: one word for it, in no language.
        rows: each a value a column; a ``share`` is a number between 0 and 1.
        sortable: whether it is long enough to be sorted, filtered and shown in pages.
        total: whether the last row is the sum of the others.
    """

    name: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: Sequence[tuple[Value, ...]]
    sortable: bool = False
    total: bool = False
    note: str = ""


def share(part: int, whole: int | None) -> float | None:
    """The share of the whole that a part is, 0 to 1; None if the whole is nothing."""
    return part / whole if whole else None


def shown(value: Value, kind: Kind) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if kind == "share":
        return f"{value:.1%}"
    if kind == "number":
        return f"{value:,}"
    return plain(value, keep="\n\t")


def file_name(name: str) -> str:
    """A delivered file's name without its folders, which often are the nights."""
    return PurePath(name).name


def printed(table_: Table) -> "PrintedTable":
    """A table on the terminal, without its caption."""
    columns = [(column.heading, column.kind == "number") for column in table_.columns]
    return table(columns, table_.rows, total=table_.total)

"""Lines of a provider's file that its layout does not describe, and below which rows may mean
something else: they make the file unusable.

A damaged row is set aside alone. What is not a row is a heading, another header, or what stands
below the table; it is known by having one filled field at most, the names of columns, or neither a
number nor a day where these stand.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal

import polars as pl

from engine.errors import InputError
from engine.io.delivered.section_lines import cells_of
from engine.io.delivered.sections import TableTitles
from engine.layouts.amounts import UNREADABLE
from engine.layouts.canonical_values import BEYOND_ALL_YEARS_DAYS, BEYOND_ALL_YEARS_US
from engine.layouts.look_alikes import plain
from engine.layouts.model import Layout
from engine.layouts.names import spelled

_SHOWN_TITLES: Final = 5
_DIGIT: Final = re.compile(r"[0-9０-９元]")
_LIKE_A_DAY: Final = re.compile(
    r"\D{0,2}(?:[0-9]{1,4}|元)[/年.-]?[0-9]{1,2}[/月.-]?[0-9]{1,2}日?(?:[ T].*)?"
)
FEWEST_NAMES: Final = 2
_DAYS: Final = ("occurred_at", "applied_at", "effective_at", "answered_on")
_DESCRIBE: Final = (
    "rows below it may mean something else; describe it with [[sections]] or [[skip]] of the "
    "layout, or have each table delivered as a file of its own"
)
_DESCRIBE_TABLE: Final = (
    "left out by [[skip]], it would not change how the rows below it are read; describe the table "
    "with [[sections]] and header or ends, or have it delivered as a file of its own"
)
Line = Literal["blank", "heading", "header", "no_row", "row"]


def rows_without_day_and_amount(table: pl.DataFrame) -> pl.Series:
    """The rows that have neither a readable day nor a readable amount: few, if any."""
    at_fault = pl.repeat(value=True, n=table.height, eager=True)
    if "amount" in table.columns:
        amount = table["amount"]
        at_fault = amount.is_null()
        if amount.dtype == pl.String:
            at_fault |= amount == UNREADABLE
    if not at_fault.any():
        return at_fault
    for name in _DAYS:
        if name in table.columns:
            day = table[name]
            if day.dtype == pl.String:
                readable = day.str.contains("[0-9]").fill_null(value=False)
            else:
                beyond = BEYOND_ALL_YEARS_DAYS if day.dtype == pl.Date else BEYOND_ALL_YEARS_US
                readable = (day.to_physical() != beyond).fill_null(value=False)
            at_fault &= ~readable
    return at_fault


def kind_of_line(raw: str, table: TableTitles, layout: Layout, separator: str) -> Line:
    """What a record is that has no readable day and amount, or another width than the table.

    ``no_row`` is a record of several texts, without a number where days and amounts stand: it
    means something only for rows below it.
    """
    cells = cells_of(raw, separator)
    filled = [cell for cell in cells if cell]
    if not filled:
        return "blank"
    if len(titles_in(cells, table, layout)) >= FEWEST_NAMES:
        return "header"
    if len(filled) == 1 and len(table.titles) > 1:
        return "heading"
    if len(cells) != len(table.titles):
        return "row" if _may_be_a_damaged_row(cells, table, layout) else "no_row"
    places = _places_of_values(table, layout, (*_DAYS, "amount"))
    has_digit = not places or any(_DIGIT.search(cells[place]) for place in places)
    return "row" if has_digit else "no_row"


def titles_in(cells: Sequence[str], table: TableTitles, layout: Layout) -> list[str]:
    """The table's titles that stand in a line, in the table's order."""
    written = {*spelled(cells, layout)}
    return [title for title in table.titles if title and title in written]


def _may_be_a_damaged_row(cells: Sequence[str], table: TableTitles, layout: Layout) -> bool:
    """Whether a record of another width has something like a day, or ends ahead of it."""
    days = _places_of_values(table, layout, _DAYS)
    if not days or max(days) >= len(cells):
        return any(_DIGIT.search(cell) for cell in cells)
    return any(_LIKE_A_DAY.fullmatch(plain(cell)) for cell in cells)


def _places_of_values(table: TableTitles, layout: Layout, columns: Sequence[str]) -> Sequence[int]:
    """Where a table has what some canonical columns are made from."""
    names = [
        part.name
        for name, source in layout.columns.items()
        if name in columns
        for part in source.parts
    ]
    return [table.places[name] for name in names if name in table.places]


def refused_line(
    kind: Line, titles: Sequence[str], name: str, row: int, layout: Layout
) -> InputError:
    """The error for a line that is not a row; ``titles`` are those of the table that it has."""
    if kind == "header":
        return other_header(titles, name, row)
    return InputError(
        f"{name}: row {row}: a line that layout {layout.layout_id} does not describe stands among "
        "the rows",
        hint=_DESCRIBE,
    )


def other_header(
    titles: Sequence[str], name: str, row: int, *, is_left_out: bool = False
) -> InputError:
    """The error for a second header, which has these titles of the first one.

    Of the line itself nothing is shown: what else stands in it may be somebody's.
    """
    shown = ", ".join(titles[:_SHOWN_TITLES]) + (", …" if len(titles) > _SHOWN_TITLES else "")
    return InputError(
        f"{name}: row {row}: a second header stands among the rows, with {shown}",
        hint=_DESCRIBE_TABLE if is_left_out else _DESCRIBE,
    )


def below_the_table(name: str, row: int, layout: Layout) -> InputError:
    """The error for records of another width below the last row."""
    return InputError(
        f"{name}: row {row}: below the table stand lines of another width, which layout "
        f"{layout.layout_id} does not describe",
        hint="another table may begin there; describe the line with [[sections]] or [[skip]] of "
        "the layout, or have the file delivered with nothing below the table",
    )

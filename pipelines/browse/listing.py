"""What a page shows: sentences and tables, the same for HTML, CSV and JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.report.table import Kind, Value


@dataclass(frozen=True, slots=True)
class ListingColumn:
    """A column: its name for machines, its heading, how its values are shown."""

    key: str
    heading: str
    kind: Kind = "text"
    long: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A value that leads to another page; ``to`` is relative to the page."""

    value: Value
    to: str


Cell = Value | Link


@dataclass(frozen=True, slots=True)
class Listing:
    """A table.

    Attributes:
        name: one word for it, in no language.
        notes: a sentence below each row, or none at all.
        note: what is said below the table.
        following: the query of the page with the next rows, if there are more.
        total: whether the last row is the sum of the others.
    """

    name: str
    caption: str
    columns: tuple[ListingColumn, ...]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    note: str = ""
    following: str | None = None
    total: bool = False

    def values(self) -> list[dict[str, Any]]:
        """The rows for machines, without a total."""
        keys = [column.key for column in self.columns]
        rows = list(self.rows[:-1] if self.total else self.rows)
        found = [dict(zip(keys, map(value_of, row), strict=True)) for row in rows]
        if self.notes:
            notes = self.notes[: len(rows)]
            found = [row | {"why": note} for row, note in zip(found, notes, strict=True)]
        return found


@dataclass(frozen=True, slots=True)
class PageBlock:
    """A part of a page: a heading, sentences, points of a list, tables."""

    heading: str = ""
    sentences: Sequence[str] = ()
    items: Sequence[str] = ()
    listings: Sequence[Listing] = ()
    links: Sequence[Link] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        name: of its address.
        facts: names and values at its top.
        value: what JSON says in place of the tables, where that is more.
        status: of HTTP.
    """

    name: str
    title: str
    blocks: Sequence[PageBlock]
    facts: Sequence[tuple[str, str]] = ()
    value: dict[str, Any] | None = None
    status: int = 200

    @property
    def listings(self) -> list[Listing]:
        return [listing for block in self.blocks for listing in block.listings]


@dataclass(slots=True)
class Draft:
    """Blocks as they are put together."""

    blocks: list[PageBlock] = field(default_factory=list)

    def add(self, block: PageBlock) -> None:
        """Adds a block, unless there is nothing in it."""
        if block.sentences or block.items or block.listings or block.links:
            self.blocks.append(block)


def value_of(cell: Cell) -> Value:
    """A cell's value, without where it leads."""
    return cell.value if isinstance(cell, Link) else cell

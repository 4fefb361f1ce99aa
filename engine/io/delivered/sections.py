"""A file with separators in parts, each with the table and the sections that its records stand in.

A part ends where another table begins or the table ends; lines that set a value or a kind stay
within their part, which knows their places.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.errors import InputError
from engine.io.delivered.byte_stream import Stream
from engine.io.delivered.csv_block import CsvBlock
from engine.io.delivered.csv_file import regular_lines
from engine.io.delivered.csv_framing import Dialect, blocks, bounds
from engine.io.delivered.irregular_csv import (
    IrregularBlock,
    IrregularRecord,
    irregular_records,
)
from engine.io.delivered.section_lines import (
    SectionLine,
    blanks_of,
    cells_of,
    find_section_lines,
    section_of,
    skip_of,
)
from engine.layouts.model import Layout, Section, Separated
from engine.layouts.provider_column import FIRST_CELL

# Columns without a name are numbered as those of one name are.
_NO_TITLE: Final = re.compile(r" \([0-9]+\)")
Records = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TableTitles:
    """The columns of a table.

    Attributes:
        titles: of all columns, by position; an empty title is not a column.
        places: for each column that the layout uses, its position.
        blank: positions beyond the header, where rows have nothing but separators.
    """

    titles: tuple[str, ...]
    places: Mapping[str, int]
    blank: tuple[int, ...] = ()

    def fitted(self, cells: Sequence[str]) -> "TableTitles":
        """The table with as many columns as its first row, where the two differ by separators.

        Spreadsheets and banks end all rows with one, or the header alone.
        """
        width, own = len(cells), len(self.titles)
        if width > own and not any(cells[own:]):
            blank = tuple(range(own, width))
            return TableTitles((*self.titles, *[""] * (width - own)), self.places, blank)
        used = max(self.places.values(), default=-1)
        if used < width < own and not any(self.titles[width:]):
            return TableTitles(self.titles[:width], self.places)
        return self

    def fits(self, raw: str, separator: str) -> str | None:
        """A record of another width with the table's, where the two differ by separators."""
        cells, own = cells_of(raw, separator), len(self.titles)
        more = len(cells) - own
        text = raw.rstrip(blanks_of(separator))
        if more > 0 and text.endswith(separator * more) and not any(cells[own:]):
            return text[:-more]
        if more < 0 and any(cells) and not any(self.titles[more:]):
            return raw + separator * -more
        return None


def table_of(titles: Sequence[str], layout: Layout, renamed: Mapping[str, str]) -> TableTitles:
    """A table by its header; ``renamed`` says which column of the layout some stand for."""
    names = [renamed.get(title, title) for title in titles]
    places = {used: names.index(used) for used in layout.used if used in names}
    if any(skip.line_begins for skip in layout.skips):
        places[FIRST_CELL] = 0
    return TableTitles(
        tuple("" if _NO_TITLE.fullmatch(title) else title for title in titles), places
    )


@dataclass(frozen=True, slots=True)
class InForce:
    """What sections say of the records below them.

    Attributes:
        values: by name.
        kind: None where the rows say it.
        left_out: the reason by which all records are left out.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    left_out: str | None = None

    def after(self, section: Section, values: Mapping[str, str]) -> "InForce":
        """What is in force below a section's line."""
        kind = self.kind
        if section.kind is not None:
            kind = None if section.kind == "as_written" else section.kind
        return InForce(
            {**self.values, **values}, kind, section.reason if section.ends else self.left_out
        )


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections that the records of a part stand in.

    Attributes:
        at: the part's records that are section lines, ascending.
        reasons: by which these are left out.
        in_force: what holds ahead of the first of them, and below each.
    """

    at: Records
    reasons: tuple[str, ...]
    in_force: tuple[InForce, ...]

    def of(self, records: Records) -> Records:
        """For each record its number among ``in_force``."""
        if self.at.size == 0:
            return np.zeros(records.size, np.int64)
        return np.searchsorted(self.at, records, "right")


NO_SECTIONS: Final = Sections(np.empty(0, np.int64), (), (InForce(),))


@dataclass(frozen=True, slots=True)
class SectionPart:
    """A part of a file: records of one table."""

    work: CsvBlock | IrregularBlock
    table: TableTitles
    sections: Sections


def table_parts(
    rest: bytes, stream: Stream, first: TableTitles, layout: Layout, name: str
) -> Iterator[SectionPart]:
    """The parts of a file, below its header: first ``rest``, then the stream.

    Raises:
        InputError: a line that may only stand ahead of the header stands among the rows.
    """
    assert isinstance(layout.file, Separated)
    dialect = Dialect(layout.file.separator, layout.file.encoding)
    cutting = _Cutting(layout, dialect, name, first)
    for data, quoted, stream_on in blocks(rest, stream, name, dialect):
        if stream_on is None:
            yield from cutting.block(regular_lines(data, dialect, quoted=quoted), quoted=quoted)
        else:
            for records in irregular_records(data, stream_on, name, dialect):
                yield from cutting.records(records)
            return


@dataclass(slots=True)
class _Cutting:
    """Cuts parts where another table begins, and carries what is in force from part to part."""

    layout: Layout
    dialect: Dialect
    name: str
    table: TableTitles
    in_force: InForce = field(default_factory=InForce)
    is_fitted: bool = False

    def block(self, data: bytes, *, quoted: bool) -> Iterator[SectionPart]:
        begin, first, marks = 0, 0, _Marks(self.in_force)
        for line in find_section_lines(data, self.layout, self.dialect, quoted=quoted):
            if not self._is_taken(line):
                continue
            if line.section is not None and line.section.begins_other_rows and line.start > begin:
                yield self._part(data[begin : line.start], quoted, marks)
                begin, first, marks = line.start, line.record, _Marks(self.in_force)
            self._take(line, line.record - first, marks)
        yield self._part(data[begin:], quoted, marks)

    def _part(self, data: bytes, quoted: bool, marks: "_Marks") -> SectionPart:  # noqa: FBT001
        if not self.is_fitted:
            self._fit(_records(data, self.dialect.encoding, quoted=quoted), marks)
        columns = self._columns()
        block = CsvBlock(data, quoted, len(self.table.titles), columns, self.name, self.dialect)
        return SectionPart(block, self.table, marks.sections)

    def _columns(self) -> dict[str, int]:
        # One field is read once, under one of its names.
        places = [*self.table.places.values(), *self.table.blank]
        return {str(place): place for place in places}

    def _fit(self, records: Iterable[str], marks: "_Marks") -> None:
        """Fits the table to its first row, if the part has one."""
        separator = self.dialect.separator
        for number, raw in enumerate(records):
            cells = cells_of(raw, separator)
            if number in marks.at or not any(cells) or skip_of(raw, self.layout):
                continue
            self.table, self.is_fitted = self.table.fitted(cells), True
            return

    def records(self, records: Sequence[IrregularRecord]) -> Iterator[SectionPart]:
        begin, marks = 0, _Marks(self.in_force)
        for number, record in enumerate(records):
            section = section_of(record.raw, self.layout)
            line = SectionLine(number, 0, record.raw, section)
            if (section is None and line.begins_ahead(self.layout) is None) or not self._is_taken(
                line
            ):
                continue
            if section is not None and section.begins_other_rows and number > begin:
                yield self._irregular(records[begin:number], marks)
                begin, marks = number, _Marks(self.in_force)
            self._take(line, number - begin, marks)
        yield self._irregular(records[begin:], marks)

    def _irregular(self, records: Sequence[IrregularRecord], marks: "_Marks") -> SectionPart:
        if not self.is_fitted:
            self._fit((record.raw for record in records), marks)
        block = IrregularBlock(list(records), len(self.table.titles), self._columns())
        return SectionPart(block, self.table, marks.sections)

    def _is_taken(self, line: SectionLine) -> bool:
        """Whether a line changes anything: below a table's end, another header alone does."""
        if line.section is None:
            if self.in_force.left_out is not None:
                return False
            raise InputError(
                f"{self.name}: a line that layout {self.layout.layout_id} takes from ahead of the "
                f"header stands among the rows: it begins with {line.begins_ahead(self.layout)}",
                hint="rows below it may mean something else; describe the line with [[sections]], "
                "or have each part delivered as a file of its own",
            )
        return self.in_force.left_out is None or bool(line.section.header)

    def _take(self, line: SectionLine, record: int, marks: "_Marks") -> None:
        section = line.section
        assert section is not None
        if section.header:
            self.table = table_of(line.names(self.layout), self.layout, section.renamed)
            self.in_force, self.is_fitted = replace(self.in_force, left_out=None), False
        assert isinstance(self.layout.file, Separated)
        self.in_force = self.in_force.after(section, line.values(self.layout.file))
        marks.add(record, section.reason, self.in_force)


def _records(data: bytes, encoding: str, *, quoted: bool) -> Iterator[str]:
    """The records of a part, as they are numbered."""
    if not data:
        return
    for start, end in zip(*bounds(data, quoted=quoted), strict=True):
        yield data[start:end].removesuffix(b"\r").decode(encoding, "replace")


@dataclass(slots=True)
class _Marks:
    """The section lines of a part, as they are found."""

    before: InForce
    at: list[int] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    below: list[InForce] = field(default_factory=list)

    def add(self, record: int, reason: str, below: InForce) -> None:
        self.at.append(record)
        self.reasons.append(reason)
        self.below.append(below)

    @property
    def sections(self) -> Sections:
        at = np.array(self.at, np.int64)
        return Sections(at, tuple(self.reasons), (self.before, *self.below))

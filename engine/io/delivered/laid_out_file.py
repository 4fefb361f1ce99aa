"""A delivered file that is read by its layout: its header is found, its records are cut, and each
part is laid out.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice

from engine.errors import InputError
from engine.io.delivered.byte_stream import MAX_RECORD_BYTES, Bounded, read_fully
from engine.io.delivered.control_totals import ControlTotals
from engine.io.delivered.deliveries import Delivered, HashingFile, Stretch, Work, open_file
from engine.io.delivered.fixed_sections import fixed_parts
from engine.io.delivered.kinds import refuse_other_kinds
from engine.io.delivered.laid_out_work import LaidOutWork
from engine.io.delivered.numbered_work import numbered_works
from engine.io.delivered.provider_header import (
    check_clear,
    check_no_table_ahead,
    find_header,
    no_such_header,
)
from engine.io.delivered.section_lines import cells_of, section_of, skip_of
from engine.io.delivered.sections import SectionPart, Sections, TableTitles, table_of, table_parts
from engine.io.delivered.undescribed import below_the_table
from engine.io.delivered.unpacking import PACKED_BADLY, badly_packed, text_bytes, unpacked
from engine.layouts.model import Fixed, Layout, Separated
from engine.layouts.parameters import Described


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file that is read from its beginning to its end."""

    delivered: Delivered
    described: Described

    def works(self) -> Iterator[Work]:
        return LaidOutFile(self.delivered, self.described).works()

    @property
    def text_bytes(self) -> int:
        return text_bytes(self.delivered)


@dataclass(slots=True)
class LaidOutFile:
    """A delivery while it is read by its layout.

    Attributes:
        sha256: known once the file was read to its end.
        is_cut: whether the last record lacks a line end; known at the same time.
    """

    delivered: Delivered
    described: Described
    sha256: str = ""
    is_cut: bool = False
    _totals: ControlTotals | None = None

    def __post_init__(self) -> None:
        totals = self.described.layout.totals
        self._totals = None if totals is None else ControlTotals(totals)

    def uncounted_rows(self) -> int:
        """How many rows no line with totals counts, where the layout has such lines.

        To be asked once all parts have been read.

        Raises:
            InputError: the rows do not come to what a line says.
        """
        return 0 if self._totals is None else self._totals.judge(self._name)

    def stretches(self) -> Iterator[Stretch]:
        """The file as one stretch: its rows depend on others, or its header may stand anywhere.

        Raises:
            InputError: the file cannot be opened.
        """
        with open_file(self.delivered) as raw:
            self.sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        yield _Whole(self.delivered, self.described)

    def works(self) -> Iterator[Work]:
        """The file's parts, in the file's order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        with open_file(self.delivered) as raw:
            hashing = HashingFile(raw)
            try:
                stream = unpacked(hashing, self.delivered, self.described.layout.file)
                parts = self._works(stream)
                yield from numbered_works(parts) if self._numbers else parts
                while hashing.read(1 << 20):
                    pass
            except PACKED_BADLY as error:
                raise badly_packed(self.delivered.name, error) from error
            self.sha256 = hashing.hexdigest()
            # A record of a fixed length shows by itself that it is whole.
            self.is_cut = stream.is_cut and isinstance(self.described.layout.file, Separated)

    def section_lines(self) -> Iterator[tuple[int, str]]:
        """The section lines among the rows: each line's number among the records, and the line."""
        with open_file(self.delivered) as raw:
            ahead = 0
            file = self.described.layout.file
            for work in self._works(unpacked(HashingFile(raw), self.delivered, file)):
                batch, at = work.work.read(), work.sections.at.tolist()
                yield from zip((ahead + place + 1 for place in at), batch.raw(at), strict=True)
                ahead += batch.records

    @property
    def _numbers(self) -> bool:
        return self.described.layout.numbers_equal_rows

    def _works(self, stream: Bounded) -> Iterator[LaidOutWork]:
        layout = self.described.layout
        if isinstance(layout.file, Fixed):
            parts = fixed_parts(layout, layout.file, self.delivered.name, stream)
            for number, (block, sections) in enumerate(parts):
                yield self._work(block, {}, number, None, sections)
            return
        table, given, rest = self._table(layout, stream)
        last: SectionPart | None = None
        number = -1
        for number, part in enumerate(table_parts(rest, stream, table, layout, self._name)):
            last = part
            yield self._work(part.work, given, number, part.table, part.sections)
        if last is not None:
            self._check_end(last, number, is_cut=stream.is_cut)

    def _work(
        self,
        work: Work,
        given: Mapping[str, str],
        number: int,
        table: TableTitles | None,
        sections: Sections,
    ) -> LaidOutWork:
        row_number = partial(self._row_number, number)
        note = None if self._totals is None else partial(self._totals.parts.__setitem__, number)
        return LaidOutWork(
            work, self.described, given, self._name, row_number, table, sections, note
        )

    def _table(
        self, layout: Layout, stream: Bounded
    ) -> tuple[TableTitles, Mapping[str, str], bytes]:
        """The first table, the values from lines ahead of it, and the bytes read beyond it."""
        data = read_fully(stream, MAX_RECORD_BYTES)
        refuse_other_kinds(self._name, data)
        found = find_header(data, layout)
        if found is None:
            raise no_such_header(layout, data, self._name)
        for ahead, begins in layout.ahead.items():
            if not found.ahead.get(ahead):
                raise InputError(
                    f"{self._name}: no line ahead of the header begins with {begins}",
                    hint=f"layout {layout.layout_id} takes {ahead} from there; have the file "
                    "delivered whole",
                )
        check_clear(found, layout, self._name)
        check_no_table_ahead(found, layout, self._name)
        if self._totals is not None:
            self._totals.look_ahead(found.before)
        return table_of(found.names, layout, {}), found.ahead, found.rest

    @property
    def _name(self) -> str:
        return self.delivered.name

    def _check_end(self, last: SectionPart, part: int, *, is_cut: bool) -> None:
        """Refuses a file with lines of another width below its last row.

        A last line without an end may be a row that was cut short, and is set aside as one.
        """
        layout = self.described.layout
        assert isinstance(layout.file, Separated)
        if last.sections.in_force[-1].left_out is not None:
            return
        separator, width = layout.file.separator, len(last.table.titles)
        below: int | None = None
        lines = last.work.last_records()
        for back, line in enumerate(reversed(lines)):
            cells = cells_of(line, separator)
            if len(cells) == width or last.table.fits(line, separator) is not None:
                break
            if (back or not is_cut) and any(cells) and not _is_described(line, layout):
                below = back
        else:
            if part == 0:
                # There is no table that anything could stand below.
                return
        if below is not None:
            record = last.work.read().records - 1 - below
            raise below_the_table(self._name, self._row_number(part, record), layout)

    def _row_number(self, part: int, record: int) -> int:
        """A record of a part as the file counts it; the parts ahead of it are read for it."""
        with open_file(self.delivered) as raw:
            file = self.described.layout.file
            stream = unpacked(HashingFile(raw), self.delivered, file)
            ahead = islice(self._works(stream), part)
            return sum(work.work.read().records for work in ahead) + record + 1


def _is_described(line: str, layout: Layout) -> bool:
    return skip_of(line, layout) is not None or section_of(line, layout) is not None

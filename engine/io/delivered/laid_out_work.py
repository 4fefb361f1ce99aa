"""A part of a provider's file: the provider's columns become canonical ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import polars as pl
import pyarrow as pa

from engine.io.delivered.control_totals import part_totals
from engine.io.delivered.csv_block import CsvBlock
from engine.io.delivered.deliveries import Batch, Ragged, Work
from engine.io.delivered.encodings import wrong_encoding
from engine.io.delivered.irregular_csv import IrregularBlock
from engine.io.delivered.second_rows import some_rows, with_refunds
from engine.io.delivered.section_lines import cells_of, skip_of
from engine.io.delivered.sections import NO_SECTIONS, Records, Sections, TableTitles
from engine.io.delivered.undescribed import (
    FEWEST_NAMES,
    Line,
    kind_of_line,
    other_header,
    refused_line,
    rows_without_day_and_amount,
    titles_in,
)
from engine.layouts.canonical_rows import CanonicalRows, lay_out
from engine.layouts.model import Encoding, Separated
from engine.layouts.names import spelled
from engine.layouts.parameters import Described
from engine.layouts.provider_column import (
    FIRST_CELL,
    KIND_BELOW,
    Places,
    ProviderColumn,
    same_for_all,
    some_for_each,
)
from engine.layouts.provider_faults import faults_as_the_provider_names_them
from engine.layouts.totals import PartTotals
from engine.records import BLANKS

# The engine's own reason, beside a layout's, by which rows of separators alone are left out.
BLANK: str = "blank"
Skipped = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class LaidOutWork:
    """A part of a file with the provider's columns, which is read in the canonical form.

    Attributes:
        given: values that hold for all rows, taken from the lines ahead of the header.
        row_number: a record of the part, from 0, as the file counts it.
        table: the columns; None for records of one length.
        sections: those that the part's records stand in.
        note_totals: takes what the part's rows come to, where the layout has totals.
    """

    work: Work
    described: Described
    given: Mapping[str, str]
    name: str
    row_number: Callable[[int], int]
    table: TableTitles | None = None
    sections: Sections = NO_SECTIONS
    note_totals: Callable[[PartTotals], None] | None = None

    def read(self) -> Batch:
        """All its records except those that the layout leaves out."""
        return self.numbered(None)

    def read_some(self, places: Sequence[int]) -> Batch:
        """Only the records in these places, ascending."""
        if self.described.layout.refunded is not None:
            return some_rows(self.read(), places)
        batch = self._fitted(self.work.read_some(places), places)
        return self._laid_out(batch, np.asarray(places, np.int64))

    def numbered(self, number: Callable[[pl.Series], Places] | None) -> Batch:
        """As ``read``, with the rows numbered by their IDs."""
        batch = self._fitted(self.work.read())
        return self._laid_out(batch, np.arange(batch.records), number, note=self.note_totals)

    def _fitted(self, batch: Batch, places: Sequence[int] | None = None) -> Batch:
        """The batch with those of its ragged records that only separators make ragged as rows."""
        if not batch.ragged or self.table is None:
            return batch
        separator = self._separator
        lines = {
            record.row if places is None else places[record.row]: line
            for record in batch.ragged
            if (line := self.table.fits(record.raw, separator)) is not None
        }
        if not lines:
            return batch
        assert isinstance(self.work, (CsvBlock, IrregularBlock))
        work = self.work.with_records(lines, separator)
        again = work.read() if places is None else work.read_some(places)
        return replace(again, raw=batch.raw, sample=batch.sample)

    @property
    def _separator(self) -> str:
        file = self.described.layout.file
        return file.separator if isinstance(file, Separated) else ""

    def _laid_out(
        self,
        batch: Batch,
        records: Records,
        number: Callable[[pl.Series], Places] | None = None,
        note: Callable[[PartTotals], None] | None = None,
    ) -> Batch:
        """``records`` are the places of the batch's records in the part."""
        layout = self.described.layout
        skipped: Skipped = {}
        batch = self._without_section_lines(batch, records, skipped)
        batch = self._with_blank_ends(batch)
        columns = self._columns(batch.table, self.sections.of(records[batch.places]))
        with _decoding(self.name, layout.file.encoding):
            self._complete_beginnings(columns, batch)
            made = lay_out(self.described, columns, batch.table.shape[0], number)
            made = self._without_other_lines(columns, made, batch, records)
        for reason, (rows, yen) in made.skipped.items():
            _count(skipped, reason, rows, yen)
        ragged = self._kept(batch, records, skipped)
        if layout.totals is not None and note is not None:
            set_aside = np.array([record.row for record in ragged], np.int64)
            note(part_totals(layout.totals, batch, made, set_aside))
        laid_out = replace(
            batch,
            table=made.table,
            places=batch.places[made.kept],
            ragged=ragged,
            skipped=skipped,
            name_faults=_Namer(self.described, columns, batch.places, self.name),
        )
        return with_refunds(laid_out, made, batch)

    def _without_section_lines(self, batch: Batch, records: Records, skipped: Skipped) -> Batch:
        sections = self.sections
        if sections is NO_SECTIONS or (sections.at.size == 0 and not sections.in_force[0].left_out):
            return batch
        left_out = np.array([section.left_out for section in sections.in_force], np.object_)
        reason_of = np.array([*sections.reasons], np.object_)

        def reasons(places: Records) -> np.ndarray:
            of_part = records[places]
            found = left_out[sections.of(of_part)]
            at = np.searchsorted(sections.at, of_part)
            lines = np.flatnonzero(np.isin(of_part, sections.at))
            found[lines] = reason_of[at[lines]]
            return found

        of_rows = reasons(batch.places)
        of_ragged = reasons(np.array([record.row for record in batch.ragged], np.int64))
        for reason in [*of_rows[of_rows != None], *of_ragged[of_ragged != None]]:  # noqa: E711
            _count(skipped, reason, 1, 0)
        kept = of_rows == None  # noqa: E711
        ragged = zip(batch.ragged, of_ragged, strict=True)
        return replace(
            batch,
            table=batch.table.filter(pa.array(kept)),
            places=batch.places[kept],
            ragged=tuple(record for record, reason in ragged if reason is None),
        )

    def _with_blank_ends(self, batch: Batch) -> Batch:
        """Rows that have something beyond the header's last column are ragged."""
        if self.table is None or not self.table.blank:
            return batch
        filled = np.zeros(batch.table.shape[0], np.bool_)
        for place in self.table.blank:
            column = self._column(batch.table, str(place))
            filled |= column.texts.is_not_null().to_numpy()
        if not filled.any():
            return batch
        places = batch.places[filled]
        more = map(Ragged, places.tolist(), batch.raw(places.tolist()))
        return replace(
            batch,
            table=batch.table.filter(pa.array(~filled)),
            places=batch.places[~filled],
            ragged=tuple(sorted((*batch.ragged, *more), key=lambda record: record.row)),
        )

    def _column(self, table: pa.Table, name: str) -> ProviderColumn:
        layout = self.described.layout
        unwrap = isinstance(layout.file, Separated) and layout.file.unwrap
        return ProviderColumn.of_chunks(
            table[name], layout.file.encoding, layout.empty, unwrap=unwrap
        )

    def _columns(self, table: pa.Table, sections: Records) -> dict[str, ProviderColumn]:
        """The provider's columns by name; ``sections`` is each row's."""
        layout, rows = self.described.layout, table.num_rows
        read = {column: self._column(table, column) for column in table.column_names}
        if self.table is None:
            columns = read
        else:
            columns = {name: read[str(place)] for name, place in self.table.places.items()}
        given = {**self.given, **self.described.parameters}
        in_force = self.sections.in_force
        set_by_lines = {name for section in in_force for name in section.values}
        for name in set_by_lines.union(layout.set_by_sections):
            values = [section.values.get(name, given.get(name)) or None for section in in_force]
            columns[name] = some_for_each(values, sections)
        if any(section.kind for section in in_force):
            columns[KIND_BELOW] = some_for_each([section.kind for section in in_force], sections)
        return columns | {
            name: same_for_all(given.get(name) or None, rows)
            for source in layout.columns.values()
            for name in source.names
            if name not in columns
        }

    def _complete_beginnings(self, columns: dict[str, ProviderColumn], batch: Batch) -> None:
        """Makes more than the first cell of a record's beginning, where a `line_begins` has it."""
        separator = self._separator
        begins = [skip.line_begins for skip in self.described.layout.skips if skip.line_begins]
        longer = [text for text in begins if separator and separator in text]
        if not longer or FIRST_CELL not in columns:
            return
        texts = columns[FIRST_CELL].texts
        firsts = pl.Series([text.split(separator)[0].strip(BLANKS) for text in longer])
        may_be = texts.fill_null("").is_in(firsts.implode()).to_numpy()
        places = np.flatnonzero(may_be)
        if places.size:
            lines = batch.raw(batch.places[places].tolist())
            trimmed = pl.Series([separator.join(cells_of(line, separator)) for line in lines])
            columns[FIRST_CELL] = ProviderColumn.of_texts(texts.scatter(places, trimmed))

    def _without_other_lines(
        self,
        columns: Mapping[str, ProviderColumn],
        made: CanonicalRows,
        batch: Batch,
        records: Records,
    ) -> CanonicalRows:
        """The rows without blank ones; a line that is not a row makes the file unusable."""
        if self.table is None:
            return made
        layout = self.described.layout
        self._check_no_other_header(columns, made, batch, records)
        suspects = np.flatnonzero(rows_without_day_and_amount(made.table))
        if suspects.size == 0:
            return made
        places = batch.places[made.kept[suspects]]
        lines = batch.raw(places.tolist())
        kinds = [kind_of_line(line, self.table, layout, self._separator) for line in lines]
        sound = np.delete(made.kept, suspects)
        last = int(batch.places[sound[-1]]) if sound.size else -1
        for kind, line, place in zip(kinds, lines, places.tolist(), strict=True):
            if kind in ("heading", "header") or (kind == "no_row" and place < last):
                raise self._refused(kind, line, int(records[place]))
        blank = suspects[[kind == BLANK for kind in kinds]]
        if blank.size == 0:
            return made
        kept = np.ones(made.table.height, np.bool_)
        kept[blank] = False
        skipped = dict(made.skipped)
        _count(skipped, BLANK, blank.size, 0)
        table = made.table.filter(pl.Series(kept))
        return replace(made, table=table, kept=made.kept[kept], skipped=skipped)

    def _check_no_other_header(
        self,
        columns: Mapping[str, ProviderColumn],
        made: CanonicalRows,
        batch: Batch,
        records: Records,
    ) -> None:
        """Refuses a file in which a second table begins: its rows would be read as the first one's.

        A repetition of the file's own header is allowed if the layout leaves it out.
        """
        layout, table = self.described.layout, self.table
        assert table is not None
        if not isinstance(layout.file, Separated) or not layout.file.header:
            return
        named = [name for name in layout.used if name in layout.file.header]
        titles = {name: table.titles[table.places[name]] for name in named if name in table.places}
        again = np.zeros(batch.table.shape[0], np.int64)
        for name, title in titles.items():
            same = columns[name].map(_equals(_as_written(title)))
            again += same.fill_null(value=False).to_numpy()
        self._check_no_header_left_out(columns, made, batch, records)
        # A merchant may be called as its column is.
        headers = np.flatnonzero(again >= max(1, min(FEWEST_NAMES, len(titles))))
        if headers.size == 0:
            return
        left_out = ~np.isin(headers, made.kept)
        for row in headers[~(left_out & (again[headers] == len(titles)))].tolist():
            place = int(batch.places[row])
            number = self.row_number(int(records[place]))
            cells = cells_of(batch.raw([place])[0], self._separator)
            raise other_header(titles_in(cells, table, layout), self.name, number)

    def _check_no_header_left_out(
        self,
        columns: Mapping[str, ProviderColumn],
        made: CanonicalRows,
        batch: Batch,
        records: Records,
    ) -> None:
        """Refuses a file in which the layout leaves out the header of another table: its rows
        would be read as the first one's.
        """
        layout, table = self.described.layout, self.table
        assert table is not None
        rows = batch.table.shape[0]
        if made.kept.size == rows:
            return
        is_left_out = np.ones(rows, np.bool_)
        is_left_out[made.kept] = False
        left_out = np.flatnonzero(is_left_out)
        titles = pl.Series([_as_written(title) for title in table.titles if title]).implode()
        has_title = np.zeros(left_out.size, np.bool_)
        for name in layout.used:
            if name in table.places:
                texts = columns[name].take(left_out).texts
                has_title |= texts.is_in(titles).fill_null(value=False).to_numpy()
        places = batch.places[left_out[has_title]]
        for place, line in zip(places.tolist(), batch.raw(places.tolist()), strict=True):
            self._check_is_no_other_header(line, int(records[place]))

    def _check_is_no_other_header(self, line: str, record: int) -> None:
        """Refuses a line that is left out and is a header, unless it repeats the table's own."""
        layout, table, separator = self.described.layout, self.table, self._separator
        assert table is not None
        cells = cells_of(line, separator)
        titles = titles_in(cells, table, layout)
        written = separator.join(spelled(cells, layout)).rstrip(separator)
        own = separator.join(map(_as_written, table.titles)).rstrip(separator)
        if len(titles) >= FEWEST_NAMES and written != own:
            raise other_header(titles, self.name, self.row_number(record), is_left_out=True)

    def _kept(self, batch: Batch, records: Records, skipped: Skipped) -> tuple[Ragged, ...]:
        """The ragged records that the layout does not leave out."""
        layout = self.described.layout
        last = int(batch.places[-1]) if batch.places.size else -1
        kept = []
        for record in batch.ragged:
            skip = skip_of(record.raw, layout)
            if skip is not None:
                if self.table is not None:
                    self._check_is_no_other_header(record.raw, int(records[record.row]))
                _count(skipped, skip.reason, 1, 0)
                continue
            if self.table is not None:
                kind = kind_of_line(record.raw, self.table, layout, self._separator)
                if kind == BLANK:
                    _count(skipped, BLANK, 1, 0)
                    continue
                if kind in ("heading", "header") or (kind == "no_row" and record.row < last):
                    raise self._refused(kind, record.raw, int(records[record.row]))
            kept.append(record)
        return tuple(kept)

    def _refused(self, kind: Line, line: str, record: int) -> Exception:
        layout, row = self.described.layout, self.row_number(record)
        assert self.table is not None
        titles = titles_in(cells_of(line, self._separator), self.table, layout)
        return refused_line(kind, titles, self.name, row, layout)


def _as_written(title: str) -> str:
    """A column's title as the file has it: repeated titles are numbered."""
    return title.removesuffix(" (2)").removesuffix(" (3)")


def _count(skipped: Skipped, reason: str, rows: int, yen: int) -> None:
    before = skipped.get(reason, (0, 0))
    skipped[reason] = (before[0] + rows, before[1] + yen)


def _equals(text: str) -> Callable[[pl.Series], pl.Series]:
    def equal(values: pl.Series) -> pl.Series:
        return values == text

    return equal


@contextmanager
def _decoding(name: str, encoding: Encoding) -> Iterator[None]:
    """Turns a cell that is not in the file's encoding into an error that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise wrong_encoding(name, encoding, error.object) from error


@dataclass(frozen=True)
class _Namer:
    """Names the faults of some records of a batch by the provider's columns."""

    described: Described
    columns: Mapping[str, ProviderColumn] = field(repr=False)
    places: Places = field(repr=False)
    name: str

    def __call__(self, places: Places, errors: pl.Series) -> pl.Series:
        rows = np.searchsorted(self.places, places)
        with _decoding(self.name, self.described.layout.file.encoding):
            return faults_as_the_provider_names_them(self.described, self.columns, rows, errors)

"""A part of a provider's file: the provider's columns become canonical ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.errors import InputError
from engine.io.delivered.deliveries import Batch, Work
from engine.io.delivered.encodings import wrong_encoding
from engine.layouts.canonical_rows import CanonicalRows, lay_out
from engine.layouts.model import Encoding, Separated
from engine.layouts.parameters import Described
from engine.layouts.provider_column import Column, Places, same_for_all
from engine.layouts.provider_faults import faults_as_the_provider_names_them
from engine.records import BLANKS

_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class LaidOutWork:
    """A part of a file with the provider's columns, which is read in the canonical form.

    Attributes:
        given: values that hold for all rows, taken from the lines ahead of the header.
        names: for each column that the layout uses, the field to read it from; two columns may
            share one field.
    """

    work: Work
    described: Described
    given: Mapping[str, str]
    name: str
    names: Mapping[str, str] | None = None

    def read(self) -> Batch:
        """All its records except those that the layout leaves out."""
        return self._laid_out(self.work.read())

    def read_some(self, places: Sequence[int]) -> Batch:
        """Only the records in these places, ascending."""
        return self._laid_out(self.work.read_some(places))

    def numbered(self, number: Callable[[pl.Series], Places]) -> Batch:
        """As ``read``, with the rows numbered by their IDs."""
        return self._laid_out(self.work.read(), number)

    def _columns(self, table: pa.Table) -> dict[str, Column]:
        layout = self.described.layout
        names = self.names or {name: name for name in table.column_names}
        rows = table.num_rows
        read = {
            column: Column.of_chunks(table[column], layout.file.encoding, layout.empty)
            for column in table.column_names
        }
        columns = {name: read[column] for name, column in names.items()}
        given = {**self.given, **self.described.parameters}
        return columns | {
            name: same_for_all(given.get(name) or None, rows)
            for source in layout.columns.values()
            for name in source.names
            if name not in columns
        }

    def _laid_out(self, batch: Batch, number: Callable[[pl.Series], Places] | None = None) -> Batch:
        layout = self.described.layout
        columns = self._columns(batch.table)
        with _decoding(self.name, layout.file.encoding):
            made = lay_out(self.described, columns, batch.table.shape[0], number)
            self._check_no_other_header(columns, made, batch)
        ragged, skipped = batch.ragged, dict(made.skipped)
        for skip in layout.skips:
            if skip.line_begins is not None:
                begins = skip.line_begins
                kept = tuple(record for record in ragged if not _begins(record.raw, begins))
                if len(kept) < len(ragged):
                    rows, yen = skipped.get(skip.reason, (0, 0))
                    skipped[skip.reason] = (rows + len(ragged) - len(kept), yen)
                    ragged = kept
        return replace(
            batch,
            table=made.table,
            places=batch.places[made.kept],
            ragged=ragged,
            skipped=skipped,
            name_faults=_Namer(self.described, columns, batch.places, self.name),
        )

    def _check_no_other_header(
        self, columns: Mapping[str, Column], made: CanonicalRows, batch: Batch
    ) -> None:
        """Refuses a file in which a second table begins: its rows would be read as the first one's.

        A repetition of the file's own header is allowed if the layout leaves it out.
        """
        file = self.described.layout.file
        if not isinstance(file, Separated) or not file.header:
            return
        named = [name for name in self.described.layout.used if name in file.header]
        own = [name.removesuffix(" (2)").removesuffix(" (3)") for name in named]
        again = np.zeros(batch.table.shape[0], np.int64)
        for name, text in zip(named, own, strict=True):
            same = columns[name].map(_equals(text))
            again += same.fill_null(value=False).to_numpy()
        headers = np.flatnonzero(again)
        if headers.size == 0:
            return
        left_out = ~np.isin(headers, made.kept)
        for row in headers[~(left_out & (again[headers] == len(named)))].tolist():
            line = batch.raw([int(batch.places[row])])[0]
            raise InputError(
                f'{self.name}: a second header stands among the rows: "{line[:_SHOWN_CHARACTERS]}"',
                hint="rows below it may mean something else; have each table delivered as a file "
                "of its own",
            )


def _equals(text: str) -> Callable[[pl.Series], pl.Series]:
    def equal(values: pl.Series) -> pl.Series:
        return values == text

    return equal


def _begins(line: str, begins: str) -> bool:
    return line.lstrip(f'{BLANKS}"').startswith(begins)


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
    columns: Mapping[str, Column] = field(repr=False)
    places: Places = field(repr=False)
    name: str

    def __call__(self, places: Places, errors: pl.Series) -> pl.Series:
        rows = np.searchsorted(self.places, places)
        with _decoding(self.name, self.described.layout.file.encoding):
            return faults_as_the_provider_names_them(self.described, self.columns, rows, errors)

"""A delivered file that is read by its layout: found by its header, framed, laid out."""

import csv
import hashlib
import io
import json
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa

from engine.errors import InputError
from engine.io.delivered.csv_file import (
    MAX_RECORD_BYTES,
    PACKED_BADLY,
    Dialect,
    Stream,
    badly_packed,
    read_fully,
    read_records,
    text_bytes,
    unpacked,
)
from engine.io.delivered.deliveries import Batch, Delivered, HashingFile, Stretch, Work, open_file
from engine.io.delivered.encodings import CALLED, is_likely, wrong_encoding
from engine.io.delivered.fixed_file import FixedFrame, first_record
from engine.io.delivered.kinds import refuse_other_kinds
from engine.layouts.canonical_rows import CanonicalRows, lay_out
from engine.layouts.equal_rows import EqualRows, Ids
from engine.layouts.model import MAX_LINES_AHEAD, Encoding, Fixed, Layout, Separated, Separator
from engine.layouts.names import numbered
from engine.layouts.parameters import Described
from engine.layouts.provider_column import Column, Places, same_for_all
from engine.layouts.provider_faults import faults_as_the_provider_names_them
from engine.records import BLANKS

MOST_NUMBERED_ROWS: Final = 5_000_000
_BOM: Final = "\ufeff"
_FIRST: Final = ""
_SEPARATORS: Final[Mapping[Separator, str]] = {
    ",": "commas",
    "\t": "tabs",
    ";": "semicolons",
    "|": "vertical bars",
}
_SHOWN_CHARACTERS: Final = 60
# As many as a run has under way by default: one more than threads, of which there is one more than
# cores.
_MOST_WAITING: Final = (os.cpu_count() or 1) + 2


@dataclass(frozen=True, slots=True)
class Found:
    """A file's header, and what stands ahead of it.

    Attributes:
        names: of all columns, by position, told apart where they repeat.
        ahead: the values that the layout takes from lines ahead.
        before: the lines ahead of the header, as they came.
        header: its own line or lines, as they came; empty where a file has none.
        rest: what was read beyond.
    """

    names: tuple[str, ...]
    ahead: Mapping[str, str]
    before: str
    header: str
    rest: bytes


def find_header(data: bytes, layout: Layout, encoding: str | None = None) -> Found | None:
    """The header that a layout describes, in a file's first bytes; None if it is not there.

    ``encoding`` is another one to look in than the layout's.
    """
    file = layout.file
    assert isinstance(file, Separated)
    encoding = encoding or file.encoding
    text = data.decode(encoding, "surrogateescape")
    lines = io.StringIO(text.lstrip(_BOM) if encoding == "utf-8" else text, newline="")
    if file.columns:
        ahead = "".join(lines.readline() for _ in range(file.lines_ahead))
        rest = lines.read().encode(encoding, "surrogateescape")
        return Found(file.columns, {}, ahead, "", rest)
    wanted = {*file.header}
    passed: list[str] = []
    start = 0
    try:
        for record in csv.reader(iter(lines.readline, ""), delimiter=file.separator):
            names = numbered([cell.strip(BLANKS) for cell in record])
            if wanted <= {*names}:
                before, header = lines.getvalue()[:start], lines.getvalue()[start : lines.tell()]
                rest = lines.read().encode(encoding, "surrogateescape")
                return Found(names, _ahead(layout, passed), before, header, rest)
            start = lines.tell()
            passed.append(file.separator.join(record))
            if len(passed) > MAX_LINES_AHEAD:
                return None
    except csv.Error:
        return None
    return None


def _ahead(layout: Layout, lines: Sequence[str]) -> dict[str, str]:
    assert isinstance(layout.file, Separated)
    values = {}
    for name, begins in layout.ahead.items():
        line = next((line for line in lines if line.strip(BLANKS).startswith(begins)), None)
        if line is not None:
            value = line.strip(BLANKS).removeprefix(begins).lstrip(layout.file.separator)
            values[name] = value.split(layout.file.separator)[0].strip(BLANKS)
    return values


def nearest_header(data: bytes, layout: Layout) -> list[str]:
    """What the line that comes nearest to a layout's header lacks of it."""
    file = layout.file
    assert isinstance(file, Separated)
    lines = data.decode(file.encoding, "replace").splitlines()[: MAX_LINES_AHEAD + 1]
    missing = []
    for line in lines:
        cells = next(csv.reader([line], delimiter=file.separator), [])
        names = {*numbered([cell.strip(BLANKS) for cell in cells])}
        missing.append([name for name in file.header if name not in names])
    return min(missing, key=len, default=list(file.header))


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
        sha256: known once it was read to its end.
        is_cut: likewise; whether its last record lacks a line end.
    """

    delivered: Delivered
    described: Described
    sha256: str = ""
    is_cut: bool = False

    def stretches(self) -> Iterator[Stretch]:
        """The file as one stretch: its rows depend on others, or its header may stand anywhere.

        Raises:
            InputError: the file cannot be opened.
        """
        with open_file(self.delivered) as raw:
            self.sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        yield _Whole(self.delivered, self.described)

    def works(self) -> Iterator[Work]:
        """The file's parts, in its order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        with open_file(self.delivered) as raw:
            hashing = HashingFile(raw)
            try:
                stream = unpacked(hashing, self.delivered)
                parts = self._works(stream)
                yield from self._numbered(parts) if self._numbers else parts
                while hashing.read(1 << 20):
                    pass
            except PACKED_BADLY as error:
                raise badly_packed(self.delivered.name, error) from error
            self.sha256 = hashing.hexdigest()
            # A record of a fixed length shows by itself that it is whole.
            self.is_cut = stream.is_cut and isinstance(self.described.layout.file, Separated)

    @property
    def _numbers(self) -> bool:
        return self.described.layout.numbers_equal_rows

    def _works(self, stream: Stream) -> Iterator["_LaidOutWork"]:
        layout, name = self.described.layout, self.delivered.name
        if isinstance(layout.file, Fixed):
            frame = FixedFrame(layout.file, name)
            first = first_record(frame, stream)
            for block in frame.works(stream):
                yield _LaidOutWork(block, self.described, first, name)
            return
        data = read_fully(stream, MAX_RECORD_BYTES)
        refuse_other_kinds(name, data)
        found = find_header(data, layout)
        if found is None:
            raise _no_such_header(layout, data, name)
        for ahead, begins in layout.ahead.items():
            if not found.ahead.get(ahead):
                raise InputError(
                    f"{name}: no line ahead of the header begins with {begins}",
                    hint=f"layout {layout.layout_id} takes {ahead} from there; have the file "
                    "delivered whole",
                )
        _check_clear(found, layout, name)
        columns = {used: found.names.index(used) for used in layout.used if used in found.names}
        if any(skip.line_begins for skip in layout.skips):
            columns[_FIRST] = 0
        dialect = Dialect(layout.file.separator, layout.file.encoding)
        # One field is read once, under one of its names.
        places = {str(place): place for place in columns.values()}
        names = {column: str(place) for column, place in columns.items()}
        works = read_records(found.rest, stream, places, len(found.names), name, dialect)
        for work in works:
            yield _LaidOutWork(work, self.described, found.ahead, name, names)

    def _numbered(self, works: Iterator["_LaidOutWork"]) -> Iterator[Work]:
        """The parts, whose rows are numbered among all of their ID."""
        equal_rows = EqualRows()
        before: _NumberedWork | None = None
        waiting: deque[_NumberedWork] = deque()
        for work in works:
            before = _NumberedWork(work, equal_rows, before)
            waiting.append(before)
            while waiting[0].is_numbered:
                waiting.popleft()
                if not waiting:
                    break
            # Parts that nobody reads must not be held until the last one asks for their numbers.
            if len(waiting) > _MOST_WAITING:
                waiting.popleft().see_numbered()
            yield before


@dataclass(slots=True)
class _NumberedWork:
    """A part of which each row is numbered after those of its ID in the parts before.

    Parts are read in any thread, and then numbered one after the other: who reads a part waits for
    those before it, and reads them itself if nobody does. Whoever holds a part's lock asks but for
    locks of parts before it, so nobody waits for ever.
    """

    work: "_LaidOutWork"
    equal_rows: EqualRows
    before: "_NumberedWork | None"
    numbers: Places | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def is_numbered(self) -> bool:
        return self.numbers is not None

    def read(self) -> Batch:
        """All its records, but for those that the layout leaves out."""
        with self.lock:
            return self.work.numbered(self._number)

    def read_some(self, places: Sequence[int]) -> Batch:
        """Only the records in these places, ascending."""
        batch = self.read()
        rows = np.searchsorted(batch.places, places)
        assert isinstance(batch.table, pl.DataFrame)

        def raw(some: Sequence[int], /) -> list[str]:
            return batch.raw([places[place] for place in some])

        def name_faults(some: Places, errors: pl.Series, /) -> pl.Series:
            return batch.name_faults(np.asarray(places, np.int64)[some], errors)

        return replace(
            batch,
            table=batch.table[rows],
            records=len(places),
            places=np.arange(len(places)),
            ragged=(),
            raw=raw,
            name_faults=name_faults,
        )

    def see_numbered(self) -> None:
        """Reads it, unless it was read already."""
        with self.lock:
            if self.numbers is None:
                self.work.numbered(self._number)

    def _number(self, ids: pl.Series) -> Places:
        if self.numbers is None:
            hashed = Ids.of(ids)
            for part in self._parts_before():
                part.see_numbered()
            self.numbers = self.equal_rows.numbers(hashed)
            self.before = None
            if len(self.equal_rows) > MOST_NUMBERED_ROWS:
                raise InputError(
                    f"{self.work.name}: the file has more than {MOST_NUMBERED_ROWS:,} rows, "
                    "too many to number the equal ones",
                    hint="have it delivered in several files, cut between days",
                )
        return self.numbers

    def _parts_before(self) -> "list[_NumberedWork]":
        """The parts before it without numbers, in the file's order."""
        parts, part = [], self.before
        while part is not None and not part.is_numbered:
            parts.append(part)
            part = part.before
        return parts[::-1]


def _check_clear(found: Found, layout: Layout, name: str) -> None:
    """Refuses a header that names a column more often than the layout that reads it knows."""
    assert isinstance(layout.file, Separated)
    cells = next(
        csv.reader(io.StringIO(found.header, newline=""), delimiter=layout.file.separator), []
    )
    known = {*layout.file.header, *layout.file.optional}
    for column, times in Counter(cell.strip(BLANKS) for cell in cells).items():
        same = numbered([column] * times)
        if not known.issuperset(same[1:]) and not {*same}.isdisjoint(layout.used):
            raise InputError(
                f"{name}: the header names the column {column} {times} times, and layout "
                f"{layout.layout_id} cannot tell which is meant",
                hint="have the others renamed, or copy the layout and write the name into its "
                "header as often as it is there",
            )


def _no_such_header(layout: Layout, data: bytes, name: str) -> InputError:
    assert isinstance(layout.file, Separated)
    for encoding in CALLED:
        if encoding != layout.file.encoding and find_header(data, layout, encoding) is not None:
            return wrong_encoding(name, layout.file.encoding, data, CALLED[encoding])
    if not is_likely(data, layout.file.encoding):
        return wrong_encoding(name, layout.file.encoding, data)
    if not data.strip(b" \t\r\n"):
        return InputError(f"{name}: the file is empty", hint="have it delivered again")
    for separator, called in _SEPARATORS.items():
        other = replace(layout, file=replace(layout.file, separator=separator))
        if separator != layout.file.separator and find_header(data, other) is not None:
            return InputError(
                f"{name}: the columns are separated by {called}, which layout {layout.layout_id} "
                "does not say",
                hint=f"copy the layout and write separator = {json.dumps(separator)}",
            )
    missing = nearest_header(data, layout)
    if not missing:
        return InputError(
            f"{name}: the header of layout {layout.layout_id} is there, but a quotation mark ahead "
            "of it is not closed",
            hint="have the file delivered again",
        )
    return InputError(
        f"{name}: no line has all columns of layout {layout.layout_id}; the nearest lacks "
        f"{', '.join(missing)}",
        hint="check that this is such a file; mynapoint preview shows how others would read it",
    )


@dataclass(frozen=True, slots=True)
class _LaidOutWork:
    """A part of a file with the provider's columns, to be read in the canonical form.

    Attributes:
        given: values that hold for all rows, from ahead of them.
        names: the names of the part's columns; of one field there may be two.
    """

    work: Work
    described: Described
    given: Mapping[str, str]
    name: str
    names: Mapping[str, str] | None = None

    def read(self) -> Batch:
        """All its records, but for those that the layout leaves out."""
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
                kept = tuple(one for one in ragged if not _begins(one.raw, begins))
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
        """Refuses a file in which another table begins: its rows would be read as the first's.

        The very header once more is none, where the layout leaves it out.
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
    """What a cell in another encoding than the file's means."""
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

"""CSV deliveries: UTF-8, commas, quotes as in RFC 4180, plain or compressed.

A file is cut into blocks at the ends of records, and pyarrow reads each block. Where quotes do
not stand as RFC 4180 has them, the rest of the file is read record by record with the standard
library's ``csv``, which takes a stray quote for text. A record of several lines must keep to
RFC 4180 all the same, or it would swallow others: else it is set aside whole.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv

from engine.errors import InputError
from engine.io.delivered.deliveries import (
    Batch,
    Delivered,
    HashingFile,
    Ragged,
    Stretch,
    Work,
    check_required,
    open_file,
)
from engine.io.delivered.encodings import not_text, wrong_encoding
from engine.reading.individual_number import SAMPLED_RECORDS
from engine.records import BLANKS

BLOCK_BYTES: Final = 16 << 20
MAX_RECORD_BYTES: Final = 1 << 20
MOST_EXPANSION: Final = 100
COMPRESSION: Final = 8
_SLOW_RECORDS: Final = 50_000
_MAX_BLOCK_LINES: Final = 400_000
_SAMPLED_BYTES: Final = 1 << 18
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_BOM: Final = "\ufeff"
_LINE_ENDS: Final = b"\r\n"
# With NULs or Ctrl-Z old systems, and some that copy, fill up a file after its last line.
_PADDING: Final = b"\x00\x1a"
_IN_ASCII: Final = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))
PACKED_BADLY: Final = (OSError, EOFError, zlib.error)

T = TypeVar("T")
Header = list[str]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file's bytes are to be taken.

    A separator, quotes and line ends must be bytes that no character of several bytes contains:
    so a file is framed before it is decoded.

    Attributes:
        encoding: as Python names it; columns of other encodings than UTF-8 stay bytes.
    """

    separator: str = ","
    encoding: str = "utf-8"


CANONICAL: Final = Dialect()


class Stream(Protocol):
    """Bytes to be read once."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        ...


@dataclass(slots=True)
class CsvFile:
    """A CSV delivery while it is read.

    Attributes:
        sha256: known once it was read to its end.
        is_cut: likewise; whether its last record lacks a line end.
    """

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]
    sha256: str = ""
    is_cut: bool = False

    def works(self) -> Iterator[Work]:
        """The file's parts, in its order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        yield from self._through(self._works)

    def stretches(self) -> Iterator[Stretch]:
        """The file's stretches, in its order; together they are read as ``works`` reads the file.

        To find them the file is read once, as for its digest. A compressed one is a single stretch.

        Raises:
            InputError: the file cannot be used; a stretch's work may raise it too.
        """
        yield from self._through(self._stretches)

    def _through(self, made_of: Callable[["_Bounded"], Iterator[T]]) -> Iterator[T]:
        """What is made of the file's bytes, and their digest."""
        with open_file(self.delivered) as raw:
            hashing = HashingFile(raw)
            try:
                stream = unpacked(hashing, self.delivered)
                yield from made_of(stream)
                while hashing.read(1 << 20):
                    pass
            except PACKED_BADLY as error:
                raise badly_packed(self.delivered.name, error) from error
            self.sha256, self.is_cut = hashing.hexdigest(), stream.is_cut

    def _stretches(self, stream: "_Bounded") -> Iterator[Stretch]:
        name = self.delivered.name
        header, rest, start = read_header_at(stream, name)
        columns = canonical_columns(header, self.required, self.optional, name)
        if not stream.is_plain:
            yield _Whole(self.delivered, self.required, self.optional)
            return
        for data, quoted, stream_on in _blocks(rest, stream, name, CANONICAL):
            size = len(data) if stream_on is None else None
            yield _Stretch(self.delivered, start, size, quoted, len(header), columns)
            if stream_on is not None:
                return
            start += len(data)

    def _works(self, stream: Stream) -> Iterator[Work]:
        name = self.delivered.name
        header, rest, _ = read_header_at(stream, name)
        columns = canonical_columns(header, self.required, self.optional, name)
        yield from read_records(rest, stream, columns, len(header), name)


def read_records(
    rest: bytes,
    stream: Stream,
    columns: dict[str, int],
    fields: int,
    name: str,
    dialect: Dialect = CANONICAL,
) -> Iterator[Work]:
    """The records that follow a header: bytes that were read already, ``rest``, then a stream.

    ``columns`` are those to read, under the names to give them, by place among a record's
    ``fields``.
    """
    for data, quoted, stream_on in _blocks(rest, stream, name, dialect):
        if stream_on is None:
            may_have_marks = not quoted and dialect.encoding == CANONICAL.encoding
            lines = _without_marks(data) if may_have_marks else data
            yield _Block(lines, quoted, fields, columns, name, dialect)
        else:
            for records in _slow_records(data, stream_on, name, dialect):
                yield _SlowBlock(records, fields, columns)
            return


def unpacked(file: HashingFile, delivered: Delivered) -> "_Bounded":
    """The bytes of a file, unpacked where it is compressed, within bounds."""
    return _Bounded(_decompressed(io.BufferedReader(file, 1 << 20)), delivered)


def badly_packed(name: str, error: Exception) -> InputError:
    """What is said of a file that cannot be unpacked."""
    return InputError(
        f"{name}: the compressed file is cut short or damaged: {error}",
        hint="have the file delivered again; nothing was booked",
    )


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file in which nobody can begin in the middle."""

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]

    def works(self) -> Iterator[Work]:
        return CsvFile(self.delivered, self.required, self.optional).works()

    @property
    def text_bytes(self) -> int:
        return text_bytes(self.delivered)


def text_bytes(delivered: Delivered) -> int:
    """About how many bytes of text a file holds, by its name."""
    packed = delivered.name.lower().endswith((".gz", ".zst"))
    return delivered.size_bytes * (COMPRESSION if packed else 1)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bytes of a plain file: a block, or, without a size, what the slow reader reads to the end."""

    delivered: Delivered
    start: int
    size: int | None
    quoted: bool
    fields: int
    columns: dict[str, int]

    def works(self) -> Iterator[Work]:
        name = self.delivered.name
        with open_file(self.delivered) as file:
            file.seek(self.start)
            if self.size is None:
                stream = _Bounded(file, self.delivered)
                for records in _slow_records(b"", stream, name, CANONICAL):
                    yield _SlowBlock(records, self.fields, self.columns)
                return
            data = read_fully(file, self.size)
        if not data.endswith(b"\n"):
            data = data.rstrip(_PADDING) + b"\n"
        if not self.quoted:
            data = _without_marks(data)
        yield _Block(data, self.quoted, self.fields, self.columns, name, CANONICAL)

    @property
    def text_bytes(self) -> int:
        return self.delivered.size_bytes - self.start if self.size is None else self.size


def _without_marks(data: bytes) -> bytes:
    """Lines without the byte order marks that some begin with, where files were joined."""
    while data.startswith(_BOM.encode()):
        data = data.removeprefix(_BOM.encode())
    while (mark := b"\n" + _BOM.encode()) in data:
        data = data.replace(mark, b"\n")
    return data


def _decompressed(file: "io.BufferedReader[HashingFile]") -> Stream:
    magic = file.peek(4)[:4]
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if magic.startswith(_ZSTD):
        zstd: Stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return zstd
    return file


class _Bounded:
    """A file's bytes, without the padding at its end.

    They must not become far more than the file that they are unpacked from.

    Attributes:
        is_cut: whether the bytes, once all were read, end within a line.
    """

    def __init__(self, stream: Stream, delivered: Delivered) -> None:
        self._stream, self._name = stream, delivered.name
        self.is_plain = isinstance(stream, io.BufferedReader)
        self.is_cut = False
        self._left = MOST_EXPANSION * (delivered.size_bytes + (1 << 20))
        self._ready = b""
        self._padding = b""

    def read(self, size: int, /) -> bytes:
        while not self._ready:
            data = self._unpack(size)
            if not data:
                return b""
            end = _end_without_padding(data)
            if not data[:end].strip(_LINE_ENDS) and self._padding:
                # Still nothing but padding, unless more follows.
                end = 0
            if end:
                if len(self._padding) > MAX_RECORD_BYTES:
                    raise _record_too_long(self._name)
                self._ready, self._padding = self._padding + data[:end], b""
                self.is_cut = not self._ready.endswith((b"\r", b"\n"))
            if end < len(data):
                self.is_cut = False
                if len(self._padding) <= MAX_RECORD_BYTES:
                    self._padding += data[end:]
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _unpack(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise InputError(
                f"{self._name}: the file unpacks to more than {MOST_EXPANSION} times its size",
                hint="no real delivery does; unpack it yourself and look at it",
            )
        return data


def _end_without_padding(data: bytes) -> int:
    """Where the padding begins that some bytes end with, line ends in it included.

    Padding follows a line end, or nothing follows it: ahead of a line end it is a record's own.
    """
    text = data.rstrip(_PADDING + _LINE_ENDS)
    tail = data[len(text) :]
    ended = tail.lstrip(_PADDING)
    if len(ended) < len(tail) and ended:
        text, tail = data[: len(data) - len(ended)], ended
    if not tail.strip(_LINE_ENDS):
        return len(data)
    return len(text) + len(tail) - len(tail.lstrip(_LINE_ENDS))


def read_header(stream: Stream, name: str) -> tuple[Header, bytes]:
    """The first record that is no empty line, and the bytes read beyond it.

    Raises:
        InputError: there is none, or it is not UTF-8.
    """
    header, rest, _ = read_header_at(stream, name)
    return header, rest


def read_header_at(stream: Stream, name: str) -> tuple[Header, bytes, int]:
    """The same, and where the bytes beyond begin."""
    data = read_fully(stream, MAX_RECORD_BYTES)
    text = io.StringIO(data.decode("utf-8", "surrogateescape").lstrip(_BOM), newline="")
    try:
        header = next((record for record in csv.reader(iter(text.readline, "")) if record), [])
    except csv.Error as error:
        raise _no_header(name, str(error)) from error
    _check_utf8(",".join(header).encode("utf-8", "surrogateescape"), name)
    rest = text.read().encode("utf-8", "surrogateescape")
    if len(data) == MAX_RECORD_BYTES and not rest:
        raise _no_header(name, "the first line is longer than 1 MiB")
    return [cell.strip(BLANKS) for cell in header], rest, len(data) - len(rest)


def read_fully(stream: Stream, count: int) -> bytes:
    """So many bytes, fewer only at the end."""
    parts = []
    while count and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _no_header(name: str, why: str) -> InputError:
    return InputError(
        f"{name}: no header can be read: {why}",
        hint="the first line must name the columns, separated by commas",
    )


def canonical_columns(
    header: Header, required: tuple[str, ...], optional: tuple[str, ...], name: str
) -> dict[str, int]:
    """By canonical column that the header has, its place.

    Raises:
        InputError: the header lacks a required column, or names one twice.
    """
    columns: dict[str, int] = {}
    for place, column in enumerate(header):
        if column and column in columns:
            # A file without a header begins with a row, whose values are people's.
            known = column in required or column in optional
            raise InputError(
                f"{name}: the header names the column {column} twice"
                if known
                else f"{name}: columns {columns[column] + 1} and {place + 1} of the header have "
                "the same name",
                hint="each column may be there once; remove or rename one of them",
            )
        columns[column] = place
    check_required(columns, required, f"{name}: the header")
    return {column: columns[column] for column in (*required, *optional) if column in columns}


def _check_utf8(data: bytes, name: str) -> None:
    if data.isascii():
        return
    ends = pa.array([0, len(data)], pa.int32()).buffers()[1]
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(data)])
    try:
        # Ten times as fast as to decode it, which is done to find the place at fault.
        whole.cast(pa.string())
    except pa.ArrowInvalid:
        _refuse_other_than_utf8(data, name)


def _refuse_other_than_utf8(data: bytes, name: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_text(name, data) or InputError(
            f"{name}: the file is not UTF-8: byte 0x{data[error.start]:02x} cannot stand there",
            hint="save the file as UTF-8 (a Shift_JIS file must be converted), then run again",
        ) from error


def _blocks(
    rest: bytes, stream: Stream, name: str, dialect: Dialect
) -> Iterator[tuple[bytes, bool, Stream | None]]:
    """Whole records: (bytes, quoted, None); last, maybe, what the slow reader goes on with."""
    carry, ended = rest, False
    while not ended:
        chunk = read_fully(stream, BLOCK_BYTES)
        ended = not chunk
        data = carry + chunk
        if ended:
            if not data:
                return
            if not data.endswith(b"\n"):
                data += b"\n"
        quotes = _quotes_in(data)
        end = _last_end(data, quotes, 0, len(data)) + 1
        if not _is_regular(data, quotes, ord(dialect.separator)) or (ended and end < len(data)):
            yield data, True, stream
            return
        if _has_a_long_record(data, quotes, end):
            raise _record_too_long(name)
        for block in _of_few_lines(data[:end], quotes):
            yield block, quotes.size > 0, None
        carry = data[end:]


def _of_few_lines(data: bytes, quotes: Places) -> Iterator[bytes]:
    """Whole records in blocks; one of very short lines is cut, for each line costs memory, too."""
    if not data:
        return
    if data.count(b"\n") > _MAX_BLOCK_LINES:
        end = _last_end(data, quotes, 0, len(data) // 2) + 1
        if end:
            yield from _of_few_lines(data[:end], quotes)
            yield from _of_few_lines(data[end:], quotes[np.searchsorted(quotes, end) :] - end)
            return
    yield data


def _record_too_long(name: str) -> InputError:
    return InputError(
        f"{name}: a record is longer than 1 MiB",
        hint="look for a quote that is opened and never closed; have the file delivered again",
    )


def _quotes_in(data: bytes) -> Places:
    if b'"' not in data:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 0x22)


def _last_end(data: bytes, quotes: Places, start: int, stop: int) -> int:
    """The last newline between two places that is not within quotes; -1 when there is none."""
    newline = data.rfind(b"\n", start, stop)
    while newline >= 0 and (before := int(np.searchsorted(quotes, newline))) % 2:
        newline = data.rfind(b"\n", start, int(quotes[before - 1]))
    return newline


def _has_a_long_record(data: bytes, quotes: Places, end: int) -> bool:
    """Whether a record, or what is there of the last one, is longer than ``MAX_RECORD_BYTES``."""
    if len(data) - end > MAX_RECORD_BYTES:
        return True
    start = 0
    while end - start > MAX_RECORD_BYTES:
        newline = _last_end(data, quotes, start, start + MAX_RECORD_BYTES + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _is_regular(data: bytes, quotes: Places, separator: int) -> bool:
    """Whether lines end in LF or CRLF and all quotes stand as RFC 4180 has them."""
    view = np.frombuffer(data, dtype=np.uint8)
    returns = np.flatnonzero(view == 0x0D)
    if data.endswith(b"\r"):
        returns = returns[:-1]
    if (view[returns + 1] != 0x0A).any():
        return False
    return quotes.size == 0 or _quotes_are_regular(view, quotes, separator)


def _quotes_are_regular(view: np.ndarray, quotes: Places, separator: int) -> bool:
    """Each opening quote begins a field, each closing one ends it; ``""`` inside is one of each."""
    opening, closing = quotes[::2], quotes[1::2]
    before = view[np.maximum(opening - 1, 0)]
    begins = (opening == 0) | (before == separator) | (before == 0x0A)
    begins[1:] |= opening[1:] == closing[: opening.size - 1] + 1
    after = view[np.minimum(closing + 1, view.size - 1)]
    ends = (after == separator) | (after == 0x0A) | (after == 0x0D) | (closing == view.size - 1)
    ends[: opening.size - 1] |= closing[: opening.size - 1] + 1 == opening[1:]
    return bool(begins.all() and ends.all())


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole records, each quote where RFC 4180 has it."""

    data: bytes
    quoted: bool
    fields: int
    columns: dict[str, int]
    name: str
    dialect: Dialect

    def read(self) -> Batch:
        if self._is_utf8:
            _check_utf8(self.data, self.name)
        ragged: list[int] = []

        def set_aside(row: pa_csv.InvalidRow) -> str:
            ragged.append(row.number - 1)
            return "skip"

        table = self._table(self.data, set_aside if self._is_utf8 else None)
        if table is None:
            # Which records are ragged is told by separators, quotes and line ends alone.
            self._table(self.data.translate(_IN_ASCII), set_aside)
            table = self._table(_without(self.data, ragged, quoted=self.quoted), None)
            assert table is not None
        records = table.num_rows + len(ragged)
        places = np.delete(np.arange(records), ragged)
        texts = self._raw(ragged) if ragged else []
        raggeds = tuple(map(Ragged, ragged, texts))
        return Batch(table, records, places, raggeds, self._raw, sample=self._sample)

    @property
    def _sample(self) -> list[str]:
        lines = self.data[:_SAMPLED_BYTES].decode(self.dialect.encoding, "replace").split("\n")
        return lines[:SAMPLED_RECORDS]

    def read_some(self, places: Sequence[int]) -> Batch:
        lines = b"".join(raw + b"\n" for raw in self._records(places))
        return replace(self, data=lines).read()

    @property
    def _is_utf8(self) -> bool:
        return self.dialect.encoding == CANONICAL.encoding

    def _table(
        self, data: bytes, set_aside: Callable[[pa_csv.InvalidRow], str] | None
    ) -> pa.Table | None:
        """The records; None when some are ragged and nobody sets them aside.

        pyarrow gives a ragged record as text, so its bytes must be UTF-8 then.
        """
        if data[:1] in (b"", b"\r", b"\n") and not data.strip(b"\r\n"):
            return pa.table({column: pa.array([], pa.string()) for column in self.columns})
        cell = pa.string() if set_aside else pa.binary()
        names = [str(place) for place in range(self.fields)]
        wanted = [str(place) for place in self.columns.values()]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(data),
                read_options=pa_csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=len(data) + 1
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.dialect.separator,
                    newlines_in_values=self.quoted,
                    invalid_row_handler=set_aside,
                ),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, cell),
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                    check_utf8=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if set_aside is None:
                return None
            raise InputError(
                f"{self.name}: the file cannot be read as CSV: {str(error).splitlines()[0]}",
                hint="have the file delivered again; nothing was booked",
            ) from error
        return table.rename_columns(list(self.columns))

    def _raw(self, rows: Sequence[int], /) -> list[str]:
        encoding = self.dialect.encoding
        return [record.decode(encoding, errors="replace") for record in self._records(rows)]

    def _records(self, rows: Sequence[int]) -> list[bytes]:
        return _records_as_they_came(self.data, rows, quoted=self.quoted)


def _records_as_they_came(data: bytes, rows: Sequence[int], *, quoted: bool) -> list[bytes]:
    starts, ends = _bounds(data, quoted=quoted)
    return [data[starts[row] : ends[row]].removesuffix(b"\r") for row in rows]


def _without(data: bytes, rows: Sequence[int], *, quoted: bool) -> bytes:
    """Some records without those of some ascending places."""
    starts, ends = _bounds(data, quoted=quoted)
    parts, last = [], 0
    for row in rows:
        parts.append(data[last : starts[row]])
        last = ends[row] + 1
    return b"".join([*parts, data[last:]])


def _bounds(data: bytes, *, quoted: bool) -> tuple[Places, Places]:
    """Where each record begins, and the newline at its end; empty lines are none."""
    view = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(view == 0x0A)
    if quoted:
        quotes = np.flatnonzero(view == 0x22)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts
    filled = ~((length == 0) | ((length == 1) & (view[starts] == 0x0D)))
    return starts[filled], ends[filled]


@dataclass(slots=True)
class _SlowRecord:
    """A record; without fields when its quotes leave open where it ends."""

    fields: list[str]
    raw: str


class _Lines:
    """The lines of a text, remembered until they are taken as a record's; the last one ends too."""

    def __init__(self, text: io.TextIOWrapper, name: str) -> None:
        self._text, self._name = text, name
        self._held: list[str] = []
        self._held_bytes = 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_RECORD_BYTES + 2)
        if not self._held:
            # Where files were joined, a byte order mark may stand ahead of a quote.
            line = line.lstrip(_BOM)
        if not line:
            raise StopIteration
        if not line.endswith(("\r", "\n")):
            line += "\n"
        self._held_bytes += len(line if line.isascii() else line.encode())
        if self._held_bytes > MAX_RECORD_BYTES + 1:
            raise _record_too_long(self._name)
        self._held.append(line)
        return line

    def take(self) -> list[str]:
        lines, self._held, self._held_bytes = self._held, [], 0
        return lines


class _Chained(io.RawIOBase):
    """Some bytes, then a stream."""

    def __init__(self, first: bytes, then: Stream) -> None:
        self._first, self._then = memoryview(first), then

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._first[: len(buffer)] if self._first else self._then.read(len(buffer))
        self._first = self._first[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def _slow_records(
    data: bytes, stream: Stream, name: str, dialect: Dialect
) -> Iterator[list[_SlowRecord]]:
    text = io.TextIOWrapper(
        io.BufferedReader(_Chained(data, stream), 1 << 20), encoding=dialect.encoding, newline=""
    )
    lines = _Lines(text, name)
    csv.field_size_limit(MAX_RECORD_BYTES)
    records: list[_SlowRecord] = []
    size = 0
    try:
        for fields in csv.reader(lines, delimiter=dialect.separator):
            held = lines.take()
            if not fields:
                continue
            # A quote that is left open takes the line's end into the last field.
            open_ended = len(held) > 1 or fields[-1].endswith(("\r", "\n"))
            if open_ended and not _is_strict(held, dialect.separator):
                fields.clear()
            records.append(_SlowRecord(fields, "".join(held).rstrip("\r\n")))
            size += len(records[-1].raw)
            if len(records) == _SLOW_RECORDS or size > BLOCK_BYTES:
                yield records
                records, size = [], 0
    except csv.Error as error:
        raise _record_too_long(name) from error
    except UnicodeDecodeError as error:
        if dialect.encoding != CANONICAL.encoding:
            raise wrong_encoding(name, dialect.encoding, error.object) from error
        _check_utf8(error.object, name)
    if records:
        yield records


def _is_strict(lines: list[str], separator: str) -> bool:
    try:
        return len(list(csv.reader(lines, strict=True, delimiter=separator))) == 1
    except csv.Error:
        return False


@dataclass(frozen=True, slots=True)
class _SlowBlock:
    """Records that the standard library has read."""

    records: list[_SlowRecord]
    fields: int
    columns: dict[str, int]

    def read(self) -> Batch:
        whole = [n for n, record in enumerate(self.records) if len(record.fields) == self.fields]
        table = pa.table(
            {
                column: pa.array([self.records[n].fields[at] for n in whole], pa.string())
                for column, at in self.columns.items()
            }
        )
        ragged = tuple(
            Ragged(n, record.raw)
            for n, record in enumerate(self.records)
            if len(record.fields) != self.fields
        )
        places = np.array(whole, dtype=np.int64)
        sample = [record.raw for record in self.records[:SAMPLED_RECORDS]]
        return Batch(table, len(self.records), places, ragged, self._raw, sample=sample)

    def read_some(self, places: Sequence[int]) -> Batch:
        return replace(self, records=[self.records[place] for place in places]).read()

    def _raw(self, rows: Sequence[int], /) -> list[str]:
        return [self.records[row].raw for row in rows]

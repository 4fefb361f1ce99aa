"""CSV deliveries: UTF-8, commas, quotes as in RFC 4180, plain or compressed.

A file is cut into blocks at the ends of records, and pyarrow reads each block. From the first
irregular quote on, the rest of the file is read record by record.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from engine.io.delivered.byte_stream import PADDING, Bounded, Stream, read_fully
from engine.io.delivered.csv_block import CsvBlock
from engine.io.delivered.csv_framing import CANONICAL_DIALECT, Dialect, blocks, without_marks
from engine.io.delivered.csv_header import canonical_columns, read_header_at
from engine.io.delivered.deliveries import Delivered, HashingFile, Stretch, Work, open_file
from engine.io.delivered.encodings import is_utf_16
from engine.io.delivered.irregular_csv import IrregularBlock, irregular_records
from engine.io.delivered.unpacking import PACKED_BADLY, badly_packed, text_bytes, unpacked

T = TypeVar("T")


@dataclass(slots=True)
class CsvFile:
    """A CSV delivery while it is read.

    Attributes:
        sha256: known once the file was read to its end.
        is_cut: whether the last record lacks a line end; known at the same time.
    """

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]
    sha256: str = ""
    is_cut: bool = False

    def works(self) -> Iterator[Work]:
        """The file's parts, in the file's order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        yield from self._through(self._works)

    def stretches(self) -> Iterator[Stretch]:
        """The file's stretches, in the file's order; together they hold what ``works`` gives.

        Finding them takes one pass over the file, which also gives its digest. A compressed file
        is a single stretch.

        Raises:
            InputError: the file cannot be used; a stretch's work may raise it too.
        """
        yield from self._through(self._stretches)

    def _through(self, made_of: Callable[["Bounded"], Iterator[T]]) -> Iterator[T]:
        """Yields what ``made_of`` makes of the file's bytes, and takes their digest."""
        with open_file(self.delivered) as raw:
            hashing = HashingFile(raw)
            try:
                stream = unpacked(hashing, self.delivered)
                if stream.form == "utf-16":
                    raise is_utf_16(self.delivered.name)
                yield from made_of(stream)
                while hashing.read(1 << 20):
                    pass
            except PACKED_BADLY as error:
                raise badly_packed(self.delivered.name, error) from error
            self.sha256, self.is_cut = hashing.hexdigest(), stream.is_cut

    def _stretches(self, stream: "Bounded") -> Iterator[Stretch]:
        name = self.delivered.name
        header, rest, start = read_header_at(stream, name)
        columns = canonical_columns(header, self.required, self.optional, name)
        if not stream.is_plain:
            yield _Whole(self.delivered, self.required, self.optional)
            return
        for data, quoted, stream_on in blocks(rest, stream, name, CANONICAL_DIALECT):
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
    dialect: Dialect = CANONICAL_DIALECT,
) -> Iterator[Work]:
    """The records after a header: first ``rest``, the bytes already read, then the stream.

    ``columns`` says which of a record's ``fields`` to read: the name to give, and the place.
    """
    for data, quoted, stream_on in blocks(rest, stream, name, dialect):
        if stream_on is None:
            lines = regular_lines(data, dialect, quoted=quoted)
            yield CsvBlock(lines, quoted, fields, columns, name, dialect)
        else:
            for records in irregular_records(data, stream_on, name, dialect):
                yield IrregularBlock(records, fields, columns)
            return


def regular_lines(data: bytes, dialect: Dialect, *, quoted: bool) -> bytes:
    """A block's lines without the byte order marks that some may begin with."""
    may_have_marks = not quoted and dialect.encoding == CANONICAL_DIALECT.encoding
    return without_marks(data) if may_have_marks else data


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file that must be read from its start: a compressed one cannot be split."""

    delivered: Delivered
    required: tuple[str, ...]
    optional: tuple[str, ...]

    def works(self) -> Iterator[Work]:
        return CsvFile(self.delivered, self.required, self.optional).works()

    @property
    def text_bytes(self) -> int:
        return text_bytes(self.delivered)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Bytes of a plain file: a block, or, without a size, all irregular records up to the end."""

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
                stream = Bounded(file, self.delivered)
                for records in irregular_records(b"", stream, name, CANONICAL_DIALECT):
                    yield IrregularBlock(records, self.fields, self.columns)
                return
            data = read_fully(file, self.size)
        if not data.endswith(b"\n"):
            data = data.rstrip(PADDING) + b"\n"
        if not self.quoted:
            data = without_marks(data)
        yield CsvBlock(data, self.quoted, self.fields, self.columns, name, CANONICAL_DIALECT)

    @property
    def text_bytes(self) -> int:
        return self.delivered.size_bytes - self.start if self.size is None else self.size

"""CSV records with quotes that RFC 4180 does not allow: the standard library's ``csv`` reads them
one by one, and takes a stray quote for text.

A record of several lines must keep to RFC 4180 all the same, or it would swallow others: if it does
not, it is set aside whole.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from engine.io.delivered.byte_stream import MAX_RECORD_BYTES, Stream, record_too_long
from engine.io.delivered.csv_framing import BLOCK_BYTES, CANONICAL_DIALECT, Dialect
from engine.io.delivered.deliveries import Batch, Ragged
from engine.io.delivered.encodings import BOM, check_utf8, wrong_encoding
from engine.reading.individual_number import SAMPLED_RECORDS

_RECORDS_AT_ONCE: Final = 50_000


@dataclass(slots=True)
class IrregularRecord:
    """A record; its fields are empty if its quotes do not show where it ends."""

    fields: list[str]
    raw: str


class _Lines:
    """The lines of a text, held until ``take`` asks for those of a record; a last line without a
    line end gets one.
    """

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
            line = line.lstrip(BOM)
        if not line:
            raise StopIteration
        if not line.endswith(("\r", "\n")):
            line += "\n"
        self._held_bytes += len(line if line.isascii() else line.encode())
        if self._held_bytes > MAX_RECORD_BYTES + 1:
            raise record_too_long(self._name)
        self._held.append(line)
        return line

    def take(self) -> list[str]:
        lines, self._held, self._held_bytes = self._held, [], 0
        return lines


class _Chained(io.RawIOBase):
    """The given bytes, followed by a stream."""

    def __init__(self, first: bytes, then: Stream) -> None:
        self._first, self._then = memoryview(first), then

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._first[: len(buffer)] if self._first else self._then.read(len(buffer))
        self._first = self._first[len(data) :]
        buffer[: len(data)] = data
        return len(data)


def irregular_records(
    data: bytes, stream: Stream, name: str, dialect: Dialect
) -> Iterator[list[IrregularRecord]]:
    text = io.TextIOWrapper(
        io.BufferedReader(_Chained(data, stream), 1 << 20), encoding=dialect.encoding, newline=""
    )
    lines = _Lines(text, name)
    csv.field_size_limit(MAX_RECORD_BYTES)
    records: list[IrregularRecord] = []
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
            records.append(IrregularRecord(fields, "".join(held).rstrip("\r\n")))
            size += len(records[-1].raw)
            if len(records) == _RECORDS_AT_ONCE or size > BLOCK_BYTES:
                yield records
                records, size = [], 0
    except csv.Error as error:
        raise record_too_long(name) from error
    except UnicodeDecodeError as error:
        if dialect.encoding != CANONICAL_DIALECT.encoding:
            raise wrong_encoding(name, dialect.encoding, error.object) from error
        check_utf8(error.object, name)
    if records:
        yield records


def _is_strict(lines: list[str], separator: str) -> bool:
    try:
        return len(list(csv.reader(lines, strict=True, delimiter=separator))) == 1
    except csv.Error:
        return False


@dataclass(frozen=True, slots=True)
class IrregularBlock:
    """Records that the standard library has read."""

    records: list[IrregularRecord]
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

    def last_records(self) -> list[str]:
        """Its records as they came."""
        return [record.raw for record in self.records]

    def with_records(self, lines: Mapping[int, str], separator: str) -> "IrregularBlock":
        """The same with other lines in the places of some records."""
        records = list(self.records)
        for place, line in lines.items():
            records[place] = IrregularRecord(next(csv.reader([line], delimiter=separator)), line)
        return replace(self, records=records)

    def _raw(self, rows: Sequence[int], /) -> list[str]:
        return [self.records[row].raw for row in rows]

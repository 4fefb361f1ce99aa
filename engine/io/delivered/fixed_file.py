"""Files of records of one length, with line ends between them or without, as banks have them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa

from engine.errors import InputError
from engine.io.delivered.byte_stream import Stream, read_fully
from engine.io.delivered.deliveries import Batch, Ragged
from engine.io.delivered.encodings import is_likely, likely_encoding, wrong_encoding
from engine.layouts.model import Field, Fixed
from engine.layouts.provider_column import FIRST_CELL
from engine.reading.individual_number import SAMPLED_RECORDS
from engine.records import BLANKS

BLOCK_BYTES: Final = 4 << 20
_LINE_ENDS: Final = b"\r\n"
_ENDS: Final = (b"", b"\r", b"\n")
# Ctrl-Z, with which old systems end a file.
_END_OF_FILE: Final = b"\x1a"


@dataclass(slots=True)
class FixedFrame:
    """Cuts a file into records.

    Attributes:
        lines: whether records end in line ends; known once the first was read.
        returns: whether these are CR alone.
        carry: bytes that were read and belong to no record yet.
        beginning_bytes: how much of each record's beginning is read as its first cell.
    """

    file: Fixed
    name: str
    lines: bool = False
    returns: bool = False
    carry: bytes = b""
    beginning_bytes: int = 0

    def works(self, stream: Stream) -> Iterator["FixedBlock"]:
        """The file's records in parts."""
        ended = False
        while not ended:
            chunk = read_fully(stream, BLOCK_BYTES)
            ended = not chunk
            data = self.carry + (chunk.replace(b"\r", b"\n") if self.returns else chunk)
            if ended:
                data = data.rstrip(_END_OF_FILE)
                end = len(data)
            elif self.lines:
                end = data.rfind(b"\n") + 1
            else:
                end = len(data) - len(data) % self.file.record_bytes
            if end == 0 and len(data) > BLOCK_BYTES:
                raise InputError(
                    f"{self.name}: a record has no end",
                    hint="check that this is a file of fixed records, and its layout's length",
                )
            if data[:end]:
                yield FixedBlock(self._records(data[:end]), self.file, self.beginning_bytes)
            self.carry = data[end:]

    def _records(self, data: bytes) -> list[bytes] | np.ndarray:
        """The records, as the rows of a matrix if all have the length that they should have."""
        length = self.file.record_bytes
        if not self.lines and len(data) % length == 0:
            return np.frombuffer(data, np.uint8).reshape(-1, length)
        for end in (b"\r\n", b"\n"):
            stride = length + len(end)
            whole = data if data.endswith(end) else data + end
            if self.lines and len(whole) % stride == 0:
                matrix = np.frombuffer(whole, np.uint8).reshape(-1, stride)
                if (matrix[:, length:] == np.frombuffer(end, np.uint8)).all() and not (
                    np.isin(matrix[:, :length], np.frombuffer(_LINE_ENDS, np.uint8)).any()
                ):
                    return matrix[:, :length]
        if self.lines:
            return [line.rstrip(_LINE_ENDS) for line in data.split(b"\n") if line.strip(_LINE_ENDS)]
        return [data[at : at + length] for at in range(0, len(data), length)]


def first_record(frame: FixedFrame, stream: Stream) -> bytes | None:
    """The first record, if it holds for all; also finds out whether records end in line ends.

    Raises:
        InputError: there is no first record of the layout's length.
    """
    file = frame.file
    data = read_fully(stream, BLOCK_BYTES)
    frame.returns = b"\r" in data and b"\n" not in data
    if frame.returns:
        data = data.replace(b"\r", b"\n")
    record, rest = data[: file.record_bytes], data[file.record_bytes :]
    frame.lines = b"\n" in data
    if not file.first:
        frame.carry = data
        return None
    whole = len(record) == file.record_bytes and not (frame.lines and rest[:1] not in _ENDS)
    if not whole or any(end in record for end in _ENDS[1:]):
        raise _no_first_record(frame, data)
    if not record.startswith(file.first_begins.encode(file.encoding)):
        raise InputError(
            f"{frame.name}: the first record does not begin with {file.first_begins}",
            hint="it may have lost bytes, and then its fields stand elsewhere; have the file "
            "delivered again, as it was made",
        )
    if frame.lines:
        rest = rest.removeprefix(b"\r").removeprefix(b"\n")
    frame.carry = rest
    return record


def _no_first_record(frame: FixedFrame, data: bytes) -> InputError:
    """The error for a first record of another length; it names the likely cause."""
    file = frame.file
    if not is_likely(data, file.encoding) and likely_encoding(data, file.encoding):
        return wrong_encoding(frame.name, file.encoding, data)
    length, *others = [len(line.rstrip(_LINE_ENDS)) for line in data.split(b"\n", 3)[:3]]
    trimmed = frame.lines and 0 < length < file.record_bytes not in others
    return InputError(
        f"{frame.name}: the first record does not have {file.record_bytes} bytes"
        + (f", but {length}" if data else ", the file is empty"),
        hint="an editor seems to have cut the blanks at the ends of lines; have the file delivered "
        "as it was made"
        if trimmed
        else "others have; it lost some, or has more: have the file delivered again, as it was made"
        if file.record_bytes in others
        else "check that this is a file of fixed records, delivered as it was made",
    )


def fields_of(record: bytes, file: Fixed) -> dict[str, str]:
    """What a first record says."""
    return {field.name: _text(record, field, file.encoding) for field in file.first}


def _text(record: bytes, field: Field, encoding: str) -> str:
    cell = record[field.start : field.start + field.length]
    return cell.decode(encoding, "replace").strip(BLANKS)


@dataclass(frozen=True, slots=True)
class FixedBlock:
    """A part's records; a list if not all have the length that they should have.

    Attributes:
        beginning_bytes: how much of each record's beginning is read as its first cell.
    """

    records: list[bytes] | np.ndarray
    file: Fixed
    beginning_bytes: int = 0

    def read(self) -> Batch:
        """Reads all records; records of another length are ragged."""
        length = self.file.record_bytes
        ragged: tuple[Ragged, ...] = ()
        if isinstance(self.records, np.ndarray):
            matrix = self.records
            places = np.arange(len(matrix))
        else:
            whole = [n for n, record in enumerate(self.records) if len(record) == length]
            joined = b"".join(self.records[n] for n in whole)
            matrix = np.frombuffer(joined, np.uint8).reshape(-1, length)
            places = np.array(whole, np.int64)
            ragged = tuple(
                Ragged(n, record.decode(self.file.encoding, "replace"))
                for n, record in enumerate(self.records)
                if len(record) != length
            )
        fields = [*self.file.fields]
        if self.beginning_bytes:
            fields.append(Field(FIRST_CELL, 0, self.beginning_bytes))
        table = pa.table({field.name: _column(matrix, field) for field in fields})
        sample = self._raw(range(min(SAMPLED_RECORDS, len(self.records))))
        return Batch(table, len(self.records), places, ragged, self._raw, sample=sample)

    def read_some(self, places: Sequence[int]) -> Batch:
        """Reads only the records at these places."""
        chosen = self.records
        chosen = (
            chosen[list(places)] if isinstance(chosen, np.ndarray) else [chosen[n] for n in places]
        )
        return replace(self, records=chosen).read()

    def _raw(self, rows: Sequence[int], /) -> list[str]:
        return [bytes(self.records[n]).decode(self.file.encoding, "replace") for n in rows]


def _column(matrix: np.ndarray, field: Field) -> pa.Array:
    cells = np.ascontiguousarray(matrix[:, field.start : field.start + field.length])
    rows = len(matrix)
    offsets = np.arange(rows + 1, dtype=np.int32) * field.length
    return pa.Array.from_buffers(
        pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(cells)]
    )

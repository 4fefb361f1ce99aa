"""The pages of a Parquet file, looked at before they are decoded.

The readers take a file's footer at its word. A page's own header says how many values it has, how
large it becomes, and, where its writer wrote one, its checksum. (The format:
https://parquet.apache.org/docs/file-format/data-pages, headers in Thrift's compact protocol.)
"""

import io
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import InputError

MAX_PAGE_BYTES: Final = 256 << 20
_HEADER_BYTES: Final = 1 << 12
_MAX_HEADER_BYTES: Final = 1 << 20
_CHECKED_BYTES: Final = 1 << 20

# Fields of Thrift's PageHeader, and what holds a page's values by its type.
_TYPE, _UNCOMPRESSED, _COMPRESSED, _CRC = 1, 2, 3, 4
_DATA_PAGE, _DATA_PAGE_V2 = 0, 3
_HEADER_OF_TYPE: Final = {_DATA_PAGE: 5, _DATA_PAGE_V2: 8}
_VALUES: Final = 1

_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12


@dataclass(frozen=True, slots=True)
class ColumnChunk:
    """A column's pages of a row group: where they stand, and what the footer says of them."""

    start: int
    compressed_bytes: int
    rows: int


class DamagedPageError(Exception):
    """A page is not what its header or the footer says; the message says how."""


def uncompressed_bytes(file: io.FileIO, chunk: ColumnChunk) -> int:
    """How large a column's pages become; its values are counted and its checksums compared.

    Raises:
        DamagedPageError: they disagree, or a page is larger than any writer makes them.
    """
    size = values = 0
    at, end = chunk.start, chunk.start + chunk.compressed_bytes
    while at < end:
        header, length = _header(file, at, end)
        compressed, uncompressed = _size(header, _COMPRESSED), _size(header, _UNCOMPRESSED)
        at += length
        if at + compressed > end:
            raise DamagedPageError("a page ends beyond its column")
        if uncompressed > MAX_PAGE_BYTES:
            raise DamagedPageError(f"a page unpacks to more than {MAX_PAGE_BYTES >> 20} MiB")
        if _CRC in header and header[_CRC] & 0xFFFFFFFF != _checksum(file, at, compressed):
            raise DamagedPageError("a page does not have its checksum")
        of_type = header.get(_HEADER_OF_TYPE.get(header.get(_TYPE, -1), -1), {})
        values += of_type.get(_VALUES, 0)
        size += uncompressed
        at += compressed
    if values != chunk.rows:
        raise DamagedPageError(f"the pages have {values:,} rows, the footer says {chunk.rows:,}")
    return size


def _size(header: dict[int, Any], field: int) -> int:
    size = header.get(field)
    if not isinstance(size, int) or size < 0:
        raise DamagedPageError("a page has no size")
    return size


def _checksum(file: io.FileIO, start: int, size: int) -> int:
    checksum = 0
    for at in range(start, start + size, _CHECKED_BYTES):
        wanted = min(_CHECKED_BYTES, start + size - at)
        checksum = zlib.crc32(os.pread(file.fileno(), wanted, at), checksum)
    return checksum


def _header(file: io.FileIO, at: int, end: int) -> tuple[dict[int, Any], int]:
    """A page's header, by field number, and its length."""
    size = _HEADER_BYTES
    while True:
        data = os.pread(file.fileno(), min(size, end - at), at)
        try:
            return _Thrift(data).struct()
        except (IndexError, RecursionError):
            if size >= _MAX_HEADER_BYTES or size >= end - at:
                raise DamagedPageError("a page's header cannot be read") from None
            size *= 16


class _Thrift:
    """Thrift's compact protocol, as far as page headers need it; what is beyond the end raises."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> tuple[dict[int, Any], int]:
        """The fields of a struct by number, and where it ends."""
        return dict(self._fields()), self._at

    def _fields(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while (first := self._byte()) != 0:
            delta, kind = first >> 4, first & 0x0F
            number = number + delta if delta else self._signed()
            yield number, self._value(kind)

    def _value(self, kind: int) -> Any:  # noqa: ANN401
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _STRUCT:
            return self.struct()[0]
        if kind in (_LIST, _SET):
            return self._list()
        if kind == _BYTE:
            return self._byte()
        if kind in (_BINARY, _DOUBLE):
            self._skip(8 if kind == _DOUBLE else self._unsigned())
            return None
        if kind in (4, 5, 6):
            return self._signed()
        raise DamagedPageError("a page's header cannot be read")

    def _list(self) -> None:
        head = self._byte()
        count, kind = head >> 4, head & 0x0F
        for _ in range(self._unsigned() if count == 0x0F else count):
            # A boolean in a list has a byte of its own.
            self._value(_BYTE if kind in (_TRUE, _FALSE) else kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80 or shift > 63:
                return value

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)


def refused(name: str, column: str, error: DamagedPageError) -> InputError:
    """What is said of a file with such a page."""
    return InputError(
        f"{name}: the file cannot be read as Parquet: column {column}: {error}",
        hint="have the file delivered again; nothing was booked",
    )

"""Delivered files unpacked: compressed ones, the table in an archive, the sheet of a workbook, and
text in UTF-16.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from typing import Final

import pyarrow as pa

from engine.errors import InputError
from engine.io.delivered.archives import ZIP, is_workbook, open_archive, table_in
from engine.io.delivered.byte_stream import Bounded, Stream, most_bytes, read_fully
from engine.io.delivered.deliveries import PACKED_ENDINGS, Delivered, HashingFile
from engine.io.delivered.packed import BZIP2, XZ, bzip2_stream, xz_stream
from engine.io.delivered.utf16 import UTF_16_MARKS, Utf16Text
from engine.io.delivered.workbook import SheetText
from engine.layouts.model import Fixed, Separated

COMPRESSION: Final = 8
PACKED_BADLY: Final = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_COMPRESSED: Final = (*PACKED_ENDINGS, ".zip", ".xlsx")
_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_SKIPPABLE: Final = b"\x2a\x4d\x18"
_PARQUET: Final = b"PAR1"


def unpacked(
    file: HashingFile, delivered: Delivered, written: Separated | Fixed | None = None
) -> "Bounded":
    """The bytes of a file, unpacked if it is compressed, within bounds.

    The text of a workbook, and UTF-16, come as a layout has ``written`` that such files are, or
    else in UTF-8 with commas.

    Raises:
        InputError: it is an archive that cannot be read, or a packed Parquet file.
    """
    name, encoding = delivered.name, "utf-8" if written is None else written.encoding
    reader = io.BufferedReader(file, 1 << 20)
    if reader.peek(len(ZIP)).startswith(ZIP):
        archive = open_archive(file.file, name)
        if is_workbook(archive):
            if isinstance(written, Fixed):
                raise InputError(
                    f"{name}: a layout of fixed records describes text, and this is an Excel "
                    "workbook",
                    hint="describe it with [file], or have the records delivered as text",
                )
            separator = "," if written is None else written.separator
            sheet = SheetText(archive, name, separator, encoding, most_bytes(delivered))
            return Bounded(sheet, delivered, "workbook")
        stream: Stream = table_in(archive, name)
    else:
        stream = _decompressed(reader)
    if stream is reader:
        begins = reader.peek(2)[:2]
    else:
        begins = read_fully(stream, len(_PARQUET))
        stream = _Resumed(begins, stream)
        if begins == _PARQUET:
            raise InputError(
                f"{name}: this is a Parquet file, packed once more",
                hint="unpack it, and name the file in it",
            )
    if begins[:2] in UTF_16_MARKS:
        return Bounded(Utf16Text(stream, name, encoding), delivered, "utf-16")
    return Bounded(stream, delivered, "bytes")


class _Resumed:
    """A stream whose first bytes were read already."""

    def __init__(self, begins: bytes, stream: Stream) -> None:
        self._begins, self._stream = begins, stream

    def read(self, size: int, /) -> bytes:
        begins, self._begins = self._begins, b""
        return begins or self._stream.read(size)


def badly_packed(name: str, error: Exception) -> InputError:
    """The error for a file that cannot be unpacked, or not even read."""
    if isinstance(error, OSError) and error.errno is not None:
        return InputError(
            f"{name}: the file cannot be read: {error.strerror}",
            hint="check the disk that it is on, or have it delivered again; nothing was booked",
        )
    return InputError(
        f"{name}: the compressed file is cut short or damaged: {error}",
        hint="have the file delivered again; nothing was booked",
    )


def text_bytes(delivered: Delivered) -> int:
    """About how many bytes of text a file holds, judged by its name and size."""
    packed = delivered.name.lower().endswith(_COMPRESSED)
    return delivered.size_bytes * (COMPRESSION if packed else 1)


def _decompressed(file: "io.BufferedReader[HashingFile]") -> Stream:
    magic = file.peek(4)[:4]
    while magic[1:] == _SKIPPABLE and magic[0] & 0xF0 == 0x50:
        # Frames of zstd that hold no data, such as parallel compressors write ahead of the others.
        length = int.from_bytes(file.read(8)[4:], "little")
        while length and (passed := file.read(min(length, 1 << 20))):
            length -= len(passed)
        magic = file.peek(4)[:4]
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if magic.startswith(BZIP2):
        return bzip2_stream(file)
    if file.peek(len(XZ)).startswith(XZ):
        return xz_stream(file)
    if magic.startswith(_ZSTD):
        zstd: Stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return zstd
    return file

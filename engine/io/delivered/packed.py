"""bzip2 and xz, unpacked as they are read and within a bound of memory."""

import bz2
import lzma
from collections.abc import Callable
from typing import Final, Protocol

BZIP2: Final = b"BZh"
XZ: Final = b"\xfd7zXZ\x00"
_MOST_MEMORY_BYTES: Final = 128 * 1024 * 1024
_READ_BYTES: Final = 1 << 18


class _Packed(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class PackedStreams:
    """The bytes of one or several streams of bzip2 or xz, one after the other.

    The library's own file objects take a damaged later stream of bzip2 for the end of the file, and
    unpack xz with whatever memory a file asks for.
    """

    def __init__(self, file: _Packed, decompressor: Callable[[], _Decompressor]) -> None:
        self._file = file
        self._waiting = b""
        self._new_decompressor = decompressor
        self._decompressor = decompressor()

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end.

        Raises:
            OSError: a stream of bzip2 is damaged, or what follows a stream is none.
            lzma.LZMAError: the same of xz, or it wants too much memory.
            EOFError: the file is cut short.
        """
        while True:
            if self._decompressor.eof:
                # Between and behind streams there may be padding of NULs.
                self._waiting = (self._decompressor.unused_data or self._next()).lstrip(b"\0")
                while not self._waiting:
                    self._waiting = self._next()
                    if not self._waiting:
                        return b""
                    self._waiting = self._waiting.lstrip(b"\0")
                self._decompressor = self._new_decompressor()
            elif self._decompressor.needs_input and not self._waiting:
                self._waiting = self._next()
                if not self._waiting:
                    raise EOFError("the file ends within a stream")
            packed, self._waiting = self._waiting, b""
            data = self._decompressor.decompress(packed, size)
            if data:
                return data

    def _next(self) -> bytes:
        return self._file.read(_READ_BYTES)


def bzip2_stream(file: _Packed) -> PackedStreams:
    """What a file that begins as ``BZIP2`` holds."""
    return PackedStreams(file, bz2.BZ2Decompressor)


def xz_stream(file: _Packed) -> PackedStreams:
    """What a file that begins as ``XZ`` holds."""
    return PackedStreams(
        file, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY_BYTES)
    )

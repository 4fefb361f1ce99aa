"""bzip2 and xz, unpacked as they are read and within a bound of memory."""

import lzma
from typing import Final, Protocol

BZIP2: Final = b"BZh"
XZ: Final = b"\xfd7zXZ\x00"
_MOST_MEMORY_BYTES: Final = 128 * 1024 * 1024
_READ_BYTES: Final = 1 << 18


class _Packed(Protocol):
    def read(self, size: int, /) -> bytes: ...


class XzStream:
    """The bytes of one or several xz streams, one after the other.

    The library's own file object unpacks with whatever memory a file asks for.
    """

    def __init__(self, file: _Packed) -> None:
        self._file = file
        self._waiting = b""
        self._decompressor = _decompressor()

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end.

        Raises:
            lzma.LZMAError: the file is damaged, or wants too much memory.
            EOFError: the file is cut short.
        """
        while True:
            if self._decompressor.eof:
                # Between streams there may be padding of NULs.
                self._waiting = (self._decompressor.unused_data or self._next()).lstrip(b"\0")
                while not self._waiting:
                    self._waiting = self._next()
                    if not self._waiting:
                        return b""
                    self._waiting = self._waiting.lstrip(b"\0")
                self._decompressor = _decompressor()
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


def _decompressor() -> lzma.LZMADecompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MOST_MEMORY_BYTES)

"""A delivered file's bytes as one stream, without the padding after its last line, and kept to the
bounds that every real delivery stays within.
"""

import io
from typing import Final, Literal, Protocol

from engine.errors import InputError
from engine.io.delivered.deliveries import Delivered

MAX_RECORD_BYTES: Final = 1 << 20
MOST_EXPANSION: Final = 100
_LINE_ENDS: Final = b"\r\n"
# Old systems, and some that copy files, pad a file after its last line with NULs or Ctrl-Z.
PADDING: Final = b"\x00\x1a"
TextForm = Literal["bytes", "utf-16", "workbook"]
"""What a file's text is made from: the bytes themselves, or what says by itself what it means."""


class Stream(Protocol):
    """Bytes that can be read once."""

    def read(self, size: int, /) -> bytes:
        """About ``size`` bytes; none at the end."""
        ...


def most_bytes(delivered: Delivered) -> int:
    """The most that a delivered file may unpack to."""
    return MOST_EXPANSION * (delivered.size_bytes + (1 << 20))


class Bounded:
    """A file's bytes, without the padding at its end.

    Fails if they become far more than the file that they are unpacked from.

    Attributes:
        form: what the bytes are made from.
        is_cut: whether the bytes, once all were read, end within a line.
    """

    def __init__(self, stream: Stream, delivered: Delivered, form: TextForm = "bytes") -> None:
        self._stream, self._name, self.form = stream, delivered.name, form
        self.is_plain = isinstance(stream, io.BufferedReader)
        self.is_cut = False
        self._left = most_bytes(delivered)
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
                    raise record_too_long(self._name)
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
    """Where the padding at the end of the bytes begins, line ends in it included.

    Padding stands after a line end or at the very end; what stands ahead of a line end belongs to
    the record.
    """
    text = data.rstrip(PADDING + _LINE_ENDS)
    tail = data[len(text) :]
    ended = tail.lstrip(PADDING)
    if len(ended) < len(tail) and ended:
        text, tail = data[: len(data) - len(ended)], ended
    if not tail.strip(_LINE_ENDS):
        return len(data)
    return len(text) + len(tail) - len(tail.lstrip(_LINE_ENDS))


def read_fully(stream: Stream, count: int) -> bytes:
    """Reads ``count`` bytes; fewer only at the end of the stream."""
    parts = []
    while count and (part := stream.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def record_too_long(name: str) -> InputError:
    """The error for a record beyond ``MAX_RECORD_BYTES``."""
    return InputError(
        f"{name}: a record is longer than 1 MiB",
        hint="look for a quote that is opened and never closed; have the file delivered again",
    )

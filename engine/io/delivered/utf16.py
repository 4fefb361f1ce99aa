"""UTF-16 text, by the mark at its beginning, in the encoding of its layout."""

import codecs
from typing import Final

from engine.errors import InputError
from engine.io.delivered.byte_stream import Stream

UTF_16_MARKS: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Utf16Text:
    """The text of a stream, which begins with a mark."""

    def __init__(self, stream: Stream, name: str, encoding: str) -> None:
        self._stream, self._name, self._encoding = stream, name, encoding
        self._decoder = codecs.getincrementaldecoder("utf-16")()

    def read(self, size: int, /) -> bytes:
        """The text of the next ``size`` bytes or more; none at the end.

        Raises:
            InputError: these bytes are not UTF-16, or the layout's encoding lacks a character.
        """
        data, text = b" ", ""
        while data and not text:
            data = self._stream.read(size)
            try:
                text = self._decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{self._name}: the file begins as UTF-16 text and goes on as none",
                    hint="have the file delivered again; nothing was booked",
                ) from error
        return encoded(text, self._encoding, self._name)


def encoded(text: str, encoding: str, name: str) -> bytes:
    """A text in the encoding of its layout.

    Raises:
        InputError: the encoding lacks a character of it.
    """
    try:
        return text.encode(encoding)
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name}: the text has a character that {encoding} lacks: "
            f"U+{ord(text[error.start]):04X}",
            hint='copy the layout and write encoding = "utf-8"',
        ) from error

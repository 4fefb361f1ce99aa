"""Files that are not text with separators: refused with the name of what they are."""

import re
from typing import Final

from engine.errors import InputError
from engine.io.delivered.encodings import not_text

_UTF_16: Final = (
    "UTF-16 text without a mark at its beginning",
    "save it as UTF-8, or in the encoding that its layout names",
)
_PAGE: Final = re.compile(rb"\s*<(?:!doctype|html|\?xml|table)", re.IGNORECASE)
_LOOKED_AT: Final = 4096


def empty_file(name: str) -> InputError:
    """The error for a file without a line."""
    return InputError(f"{name}: the file is empty", hint="have it delivered again")


def refuse_other_kinds(name: str, data: bytes) -> None:
    """Refuses a file by its first bytes.

    Raises:
        InputError: naming what the file is.
    """
    if (error := not_text(name, data)) is not None:
        raise error
    kind, hint = _kind(data)
    if kind:
        raise InputError(f"{name}: this is {kind}", hint=hint)


def _kind(data: bytes) -> tuple[str, str]:
    if data.startswith(b"{"):
        return "JSON, not CSV", "ask for the data as CSV"
    if _PAGE.match(data.removeprefix(b"\xef\xbb\xbf")):
        return (
            "a web page (HTML or XML), not CSV",
            "it may be a sign-in page",
        )
    beginning = data[:_LOOKED_AT]
    # Text of Japanese and ASCII has a NUL in every second byte of what is ASCII.
    for nuls in (beginning[0::2].count(0), beginning[1::2].count(0)):
        if len(beginning) > 1 and nuls * 8 > len(beginning) and b"\x00\x00\x00" not in beginning:
            return _UTF_16
    return "", ""

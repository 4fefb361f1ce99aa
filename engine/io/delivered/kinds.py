"""Files that are no text with separators at all: refused, and named for what they are."""

import re
from typing import Final

from engine.errors import InputError

_BY_FIRST_BYTES: Final = (
    (b"PK\x03\x04", "a zip archive, not CSV", "unpack it, and deliver what is in it"),
    (b"\xd0\xcf\x11\xe0", "a workbook (xls), not CSV", "save the sheet as CSV UTF-8"),
    (b"%PDF", "a PDF, not CSV", "ask for the data as CSV"),
    (b"\xff\xfe", "UTF-16 text, not UTF-8", "save it as UTF-8"),
    (b"\xfe\xff", "UTF-16 text, not UTF-8", "save it as UTF-8"),
    (b"{", "JSON, not CSV", "ask for the data as CSV"),
)
_WORKBOOK: Final = (b"[Content_Types].xml", b"xl/")
_PAGE: Final = re.compile(rb"\s*<(?:!doctype|html|\?xml|table)", re.IGNORECASE)
_LOOKED_AT: Final = 4096


def refuse_other_kinds(name: str, data: bytes) -> None:
    """Refuses a file by its first bytes.

    Raises:
        InputError: naming what the file is.
    """
    kind, hint = _kind(data)
    if kind:
        raise InputError(f"{name}: the file is {kind}", hint=hint)


def _kind(data: bytes) -> tuple[str, str]:
    if data.startswith(b"PK\x03\x04") and any(part in data for part in _WORKBOOK):
        return "a workbook (xlsx), not CSV", "save the sheet as CSV UTF-8"
    for first, kind, hint in _BY_FIRST_BYTES:
        if data.startswith(first):
            return kind, hint
    if _PAGE.match(data.removeprefix(b"\xef\xbb\xbf")):
        return (
            "a web page (HTML or XML), not CSV",
            "it may be a sign-in page",
        )
    some = data[:_LOOKED_AT]
    # Text of Japanese and ASCII has a NUL in every second byte of what is ASCII.
    for nuls in (some[0::2].count(0), some[1::2].count(0)):
        if len(some) > 1 and nuls * 8 > len(some) and b"\x00\x00\x00" not in some:
            return "UTF-16 text, not UTF-8", "save it as UTF-8"
    return "", ""

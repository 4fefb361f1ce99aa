"""Text in another encoding than it should have: refused, and the likely one is named."""

from typing import Final

from engine.errors import InputError

CALLED: Final = {"utf-8": "UTF-8", "cp932": "CP932 (Shift_JIS)", "euc_jp": "EUC-JP"}
_MOST_BYTES_OF_A_CHARACTER: Final = 4
_SAVE_AS_CSV: Final = "save the sheet as CSV (UTF-8), then run again"
_UNPACK: Final = "unpack it, and name the files in it"
_ZIP: Final = b"PK\x03\x04"
_PARTS_OF_WORKBOOKS: Final = (b"[Content_Types].xml", b"docProps/", b"xl/")
_NOT_TEXT: Final = (
    (_ZIP, "this is a ZIP archive, not CSV", _UNPACK),
    (b"\xd0\xcf\x11\xe0", "this is an old Excel workbook, not CSV", _SAVE_AS_CSV),
    (b"%PDF", "this is a PDF, not CSV", "have the figures delivered as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive, not CSV", _UNPACK),
)


def wrong_encoding(name: str, encoding: str, data: bytes, likely: str | None = None) -> InputError:
    """What is said of a file in another encoding than it should have; the hint names which."""
    likely = likely or likely_encoding(data, encoding)
    looks = f"it looks like {likely}" if likely else "it looks like no encoding of Japanese text"
    return InputError(
        f"{name}: the file is not {CALLED.get(encoding, encoding)}",
        hint=f"{looks}; have it delivered as its layout says, or write a layout with its encoding",
    )


def not_text(name: str, data: bytes) -> InputError | None:
    """What is said of a file that is not text, by its first bytes; None of any other."""
    if data.startswith(_ZIP) and any(part in data for part in _PARTS_OF_WORKBOOKS):
        return InputError(f"{name}: this is an Excel workbook, not CSV", hint=_SAVE_AS_CSV)
    for begins, what, what_to_do in _NOT_TEXT:
        if data.startswith(begins):
            return InputError(f"{name}: {what}", hint=what_to_do)
    return None


def likely_encoding(data: bytes, other_than: str) -> str | None:
    """The encoding that some text seems to have, for people; None when nothing fits."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    if b"\x1b$" in data:
        return "ISO-2022-JP"
    likely = (
        encoding for encoding in CALLED if encoding != other_than and is_likely(data, encoding)
    )
    return next((CALLED[encoding] for encoding in likely), None)


def is_likely(data: bytes, encoding: str) -> bool:
    """Whether some text, maybe cut within its last character, can be in an encoding."""
    if b"\x1b$" in data:
        return False
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start >= len(data) - _MOST_BYTES_OF_A_CHARACTER
    return True

"""Text in another encoding than it should have: refused, and the likely one is named."""

from typing import Final

import pyarrow as pa

from engine.errors import InputError

BOM: Final = "\ufeff"
CALLED: Final = {"utf-8": "UTF-8", "cp932": "CP932 (Shift_JIS)", "euc_jp": "EUC-JP"}
_MOST_BYTES_OF_A_CHARACTER: Final = 4
_SAVE_AS_CSV: Final = "save the sheet as .xlsx or as CSV (UTF-8), then run again"
_UNPACK: Final = "unpack it, and name the files in it"
_NOT_TEXT: Final = (
    (b"PK\x03\x04", "this is a ZIP archive or an Excel workbook, packed once more", _UNPACK),
    (
        b"\xd0\xcf\x11\xe0",
        "this is an old Excel workbook, or one with a password, not CSV",
        _SAVE_AS_CSV,
    ),
    (b"%PDF", "this is a PDF, not CSV", "have the figures delivered as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive, not CSV", _UNPACK),
)


def wrong_encoding(name: str, encoding: str, data: bytes, likely: str | None = None) -> InputError:
    """The error for a file in another encoding than it should have; the hint says which."""
    likely = likely or likely_encoding(data, encoding)
    looks = f"it looks like {likely}" if likely else "it looks like no encoding of Japanese text"
    return InputError(
        f"{name}: the file is not {CALLED.get(encoding, encoding)}",
        hint=f"{looks}; have it delivered as its layout says, or write a layout with its encoding",
    )


def not_text(name: str, data: bytes) -> InputError | None:
    """The error for a file whose first bytes show that it is not text; else None."""
    for begins, what, what_to_do in _NOT_TEXT:
        if data.startswith(begins):
            return InputError(f"{name}: {what}", hint=what_to_do)
    return None


def is_utf_16(name: str) -> InputError:
    """The error for UTF-16 text where nothing but UTF-8 is read."""
    return InputError(
        f"{name}: this is UTF-16 text, not UTF-8",
        hint="save it as UTF-8; in a provider's own form, which a layout describes, it is read",
    )


def likely_encoding(data: bytes, other_than: str) -> str | None:
    """The encoding that some text seems to have, as people call it; None if nothing fits."""
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


def check_utf8(data: bytes, name: str) -> None:
    """Refuses bytes that are not UTF-8.

    Raises:
        InputError: naming the file, and the first byte at fault.
    """
    if data.isascii():
        return
    ends = pa.array([0, len(data)], pa.int32()).buffers()[1]
    whole = pa.Array.from_buffers(pa.binary(), 1, [None, ends, pa.py_buffer(data)])
    try:
        # Ten times as fast as to decode it, which is done to find the place at fault.
        whole.cast(pa.string())
    except pa.ArrowInvalid:
        _refuse_other_than_utf8(data, name)


def _refuse_other_than_utf8(data: bytes, name: str) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_text(name, data) or InputError(
            f"{name}: the file is not UTF-8: byte 0x{data[error.start]:02x} cannot stand there",
            hint="save the file as UTF-8 (a Shift_JIS file must be converted), then run again",
        ) from error

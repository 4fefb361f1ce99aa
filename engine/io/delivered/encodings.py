"""Text in another encoding than it should have: refused, and the likely one is named."""

from typing import Final

from engine.errors import InputError

CALLED: Final = {"utf-8": "UTF-8", "cp932": "CP932 (Shift_JIS)", "euc_jp": "EUC-JP"}
_MOST_BYTES_OF_A_CHARACTER: Final = 4


def wrong_encoding(name: str, encoding: str, data: bytes, likely: str | None = None) -> InputError:
    """What is said of a file in another encoding than it should have; the hint names which."""
    likely = likely or likely_encoding(data, encoding)
    looks = f"it looks like {likely}" if likely else "it looks like no encoding of Japanese text"
    return InputError(
        f"{name}: the file is not {CALLED.get(encoding, encoding)}",
        hint=f"{looks}; have it delivered as its layout says, or write a layout with its encoding",
    )


def likely_encoding(data: bytes, other_than: str) -> str | None:
    """The encoding that some text seems to have, for people; None when nothing fits."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    if b"\x1b$" in data:
        return "ISO-2022-JP"
    likely = (one for one in CALLED if one != other_than and is_likely(data, one))
    return next((CALLED[one] for one in likely), None)


def is_likely(data: bytes, encoding: str) -> bool:
    """Whether some text, maybe cut within its last character, can be in an encoding."""
    if b"\x1b$" in data:
        return False
    try:
        data.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start >= len(data) - _MOST_BYTES_OF_A_CHARACTER
    return True

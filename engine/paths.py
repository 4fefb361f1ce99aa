"""Paths as people give them: each names one file or folder of this machine, letter by letter."""

import os
import re
from pathlib import Path
from typing import Final

from engine.errors import InputError

# pathlib makes one slash of two. A drive of Windows has one letter.
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


def local_path(given: str | Path) -> Path:
    """The absolute path that is meant; ``~`` stands for the user's own folder.

    It is absolute because libraries read more into the beginning of a relative one: ``~``, a
    store's name.

    Raises:
        InputError: it is a URL, or no text.
    """
    text = os.fspath(given)
    if _URL.match(text):
        raise InputError(
            f"{text}: this is a URL, not a path",
            hint="name a file or a folder of this machine; copy to it what lies in a store",
        )
    try:
        path = Path(expanded(text)).absolute()
    except FileNotFoundError as error:
        raise InputError(
            f"{text}: the folder that the command was run in is gone",
            hint="change to a folder that is there, or name the whole path",
        ) from error
    if not is_utf8(str(path)):
        # Records are JSON, and the libraries take texts.
        raise InputError(
            f"{path}: the name is not UTF-8", hint="rename the file or folder, then run again"
        )
    return path


def is_utf8(name: str) -> bool:
    """Whether a name is a text: the system's names are bytes, whatever they stand for."""
    return name.isascii() or name == name.encode("utf-8", "replace").decode("utf-8")


def expanded(given: str) -> str:
    """A path, or a pattern of paths, with ``~`` at its beginning expanded."""
    return os.path.expanduser(given)  # noqa: PTH111 - pathlib's fails if the user does not exist

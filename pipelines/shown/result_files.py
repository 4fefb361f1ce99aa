"""Result files: whole or not at all, their owner's alone, and over nothing that is not theirs."""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.durable import sync
from engine.io.result_folders import check_folder, check_outside_books, whole_folder, writable
from engine.paths import local_path

__all__ = [
    "MAKER",
    "check_file",
    "check_folder",
    "check_new_file",
    "check_outside_books",
    "whole_file",
    "whole_folder",
    "whole_new_file",
]

MAKER: Final = "mynapoint"
"""What pages (``generator``) and workbooks (``creator``) say of who made them."""

_MARK_OF_A_PAGE: Final = f'<meta name="generator" content="{MAKER}">'.encode()
_MARK_OF_A_WORKBOOK: Final = f"<dc:creator>{MAKER}</dc:creator>".encode()
_HEAD_BYTES: Final = 4096
_WORKBOOK_BYTES: Final = 1 << 16


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a place to write to; what was written there takes the file's name at the end.

    Raises:
        InputError: nothing can be written there, or there is what this command has not written.
    """
    path = local_path(path)
    check_file(path)
    with _fresh_file(path) as fresh:
        yield fresh
        sync(fresh)
        check_file(path)
        fresh.replace(path)


@contextmanager
def whole_new_file(path: Path) -> Iterator[Path]:
    """As ``whole_file``, but over nothing at all: evidence is not written over.

    Raises:
        InputError: nothing can be written there, or there is something already.
    """
    path = local_path(path)
    check_new_file(path)
    with _fresh_file(path) as fresh:
        yield fresh
        sync(fresh)
        check_new_file(path)
        # To look is not enough: the name is taken in one act, or somebody else has it.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError as error:
            raise _taken(path) from error
        fresh.replace(path)


@contextmanager
def _fresh_file(path: Path) -> Iterator[Path]:
    with writable(path):
        # The system makes it its owner's alone.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        fresh = Path(name)
        try:
            yield fresh
        finally:
            fresh.unlink(missing_ok=True)


def _taken(path: Path) -> InputError:
    return InputError(f"{path}: there is something already", hint="name a new file")


def check_file(path: Path) -> None:
    """Makes sure, before any work is done, that a result may take a file's place.

    Raises:
        InputError: there is something that this command has not written, or it is a book's.
    """
    path = local_path(path)
    check_outside_books(path)
    with writable(path):
        if os.path.lexists(path) and not _is_ours(path):
            raise InputError(
                f"{path}: there is something already, and this command has not written it",
                hint="name a new file",
            )


def check_new_file(path: Path) -> None:
    """Makes sure, before any work is done, that a result has a place of its own.

    Raises:
        InputError: there is something already, or it is a book's.
    """
    path = local_path(path)
    check_outside_books(path)
    with writable(path):
        if os.path.lexists(path):
            raise _taken(path)


def _is_ours(path: Path) -> bool:
    """Whether this is a page or a workbook that a command has written."""
    if not stat.S_ISREG(path.lstat().st_mode):
        return False
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(b"PK"):
        return _MARK_OF_A_PAGE in head
    try:
        with zipfile.ZipFile(path) as workbook, workbook.open("docProps/core.xml") as properties:
            return _MARK_OF_A_WORKBOOK in properties.read(_WORKBOOK_BYTES)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError):
        return False

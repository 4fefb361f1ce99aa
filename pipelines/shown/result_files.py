"""Result files: whole or not at all, their owner's alone, and over nothing that is not theirs."""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.book.folder import refuse_within_books
from engine.io.durable import remove_folder, sync
from engine.paths import local_path

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
    with _writable(path):
        # The system makes it its owner's alone.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        fresh = Path(name)
        try:
            yield fresh
            sync(fresh)
            check_file(path)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to; it becomes the one that was named when all of it is there.

    Raises:
        InputError: there is something already, or nothing can be written there.
    """
    folder = local_path(folder)
    check_folder(folder)
    with _writable(folder):
        parent = folder.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", dir=parent))
        try:
            yield fresh
            for file in fresh.iterdir():
                file.chmod(0o600)
            check_folder(folder)
            # The system renames a folder over an empty one, and over nothing else.
            fresh.replace(folder.resolve())
        finally:
            with suppress(OSError):
                remove_folder(fresh)


def check_outside_books(path: Path) -> None:
    """Makes sure that a result is not written among a book's own files.

    Raises:
        InputError: it would be.
    """
    with _writable(path):
        refuse_within_books(local_path(path))


def check_file(path: Path) -> None:
    """Makes sure, before any work is done, that a result may take a file's place.

    Raises:
        InputError: there is something that this command has not written, or it is a book's.
    """
    path = local_path(path)
    check_outside_books(path)
    with _writable(path):
        if os.path.lexists(path) and not _is_ours(path):
            raise InputError(
                f"{path}: there is something already, and this command has not written it",
                hint="name a new file",
            )


def check_folder(folder: Path) -> None:
    """Makes sure, before any work is done, that a folder may hold a result.

    Raises:
        InputError: it is a file, holds something, or is a book's.
    """
    folder = local_path(folder)
    check_outside_books(folder)
    if not os.path.lexists(folder):
        return
    with _writable(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            return
    raise InputError(f"{folder}: there is something already", hint="name a new or an empty folder")


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


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: the result cannot be written: {error.strerror or error}",
            hint="name a place that can be written to and has room",
        ) from error

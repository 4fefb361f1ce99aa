"""Folders of results: whole or not at all, their owner's alone, and over nothing that is there."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError
from engine.io.book.folder import refuse_within_books
from engine.io.durable import remove_folder
from engine.paths import local_path


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to; it becomes the one that was named when all of it is there.

    Raises:
        InputError: there is something already, or nothing can be written there.
    """
    folder = local_path(folder)
    check_folder(folder)
    with writable(folder):
        parent = folder.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", dir=parent))
        try:
            yield fresh
            for file in fresh.rglob("*"):
                if file.is_file():
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
    with writable(path):
        refuse_within_books(local_path(path))


def check_folder(folder: Path) -> None:
    """Makes sure, before any work is done, that a folder may hold a result.

    Raises:
        InputError: it is a file, holds something, or is a book's.
    """
    folder = local_path(folder)
    check_outside_books(folder)
    if not os.path.lexists(folder):
        return
    with writable(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            return
    raise InputError(f"{folder}: there is something already", hint="name a new or an empty folder")


@contextmanager
def writable(path: Path) -> Iterator[None]:
    """Says of a place that cannot be written to that the result cannot be written.

    Raises:
        InputError: naming the place.
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: the result cannot be written: {error.strerror or error}",
            hint="name a place that can be written to and has room",
        ) from error

"""Result files: whole or not at all, and never over something that is not theirs."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError
from engine.io.durable import sync


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a place to write to; what was written there takes the file's name at the end.

    Raises:
        InputError: nothing can be written there.
    """
    with _writable(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        fresh = Path(name)
        try:
            yield fresh
            fresh.chmod(0o666 & ~_umask())
            sync(fresh)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to; it becomes the one that was named when all of it is there.

    Raises:
        InputError: there is something already, or nothing can be written there.
    """
    check_new_or_empty(folder)
    with _writable(folder):
        parent = folder.resolve().parent
        parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{folder.resolve().name}.", dir=parent))
        try:
            yield fresh
            fresh.chmod(0o777 & ~_umask())
            # The system renames a folder over an empty one, and over nothing else.
            fresh.replace(folder.resolve())
        finally:
            with suppress(OSError):
                shutil.rmtree(fresh)


def check_outside(book: Path, path: Path) -> None:
    """Makes sure that a result is not written among a book's own files.

    Raises:
        InputError: it would be.
    """
    if path.resolve().is_relative_to(book.resolve()):
        raise InputError(
            f"{path}: this is within the book", hint="name a place outside of the book"
        )


def check_new_or_empty(folder: Path) -> None:
    """Makes sure, before any work is done, that no earlier result would be lost.

    Raises:
        InputError: there is a file, or a folder with something in it.
    """
    if not folder.exists():
        return
    with _writable(folder):
        if folder.is_dir() and not any(folder.iterdir()):
            return
    raise InputError(f"{folder}: there is something already", hint="name a new or an empty folder")


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{path}: the result cannot be written: {error.strerror or error}",
            hint="name a place that can be written to and has room",
        ) from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

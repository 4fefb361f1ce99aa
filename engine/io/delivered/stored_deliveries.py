"""Deliveries in an object store, fetched before they are read.

A delivery is read several times, in several threads and up to its last byte, since its sha256 is
recorded. So it is fetched once, into a folder of the system's (``TMPDIR``), and what is read and
hashed is that copy: a store that fails or changes in the middle fails the fetch, ahead of the run.
The copy is gone when nothing refers to it any more.
"""

import fcntl
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import has_magic
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.durable import NewFile
from engine.io.object_store import ObjectStore, StoredObject, StoreUrl

FOLDERS: Final = "mynapoint-delivered-"


class ScratchFolder:
    """A folder that goes when nothing refers to it any more, at the latest with the process.

    What a process leaves that was killed goes with the next such folder.
    """

    def __init__(self) -> None:
        parent = Path(tempfile.gettempdir())
        for left in parent.glob(f"{FOLDERS}*"):
            _remove_if_left(left)
        # It has a name that others would remove only when it is locked.
        fresh = Path(tempfile.mkdtemp(prefix=f".{FOLDERS}"))
        lock = os.open(fresh, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.path = fresh.rename(parent / fresh.name.removeprefix("."))
        weakref.finalize(self, _remove, self.path, lock)


def _remove(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _remove_if_left(folder: Path) -> None:
    # Another user's cannot be opened.
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A delivery that was fetched.

    Attributes:
        url: where it was.
        folder: keeps the copy.
    """

    url: str
    path: Path
    folder: ScratchFolder


def stored_deliveries(
    url: StoreUrl, role: str, endings: Sequence[str], *, nothing_is_fine: bool
) -> list[StoredObject]:
    """The objects behind a URL: an object's, a folder's or a pattern's, ordered by key.

    Raises:
        InputError: nothing is there, or a folder holds something of another kind.
    """
    store = ObjectStore(url, what=role)
    if url.key and not url.key.endswith("/"):
        stored = store.find(url.key)
        if stored is not None:
            return [stored]
    is_pattern = has_magic(url.key)
    wanted = [segment for segment in url.key.split("/") if segment]
    fixed = next((n for n, segment in enumerate(wanted) if has_magic(segment)), len(wanted))
    found = []
    for stored in store.below("/".join(wanted[:fixed])):
        segments = stored.url.key.split("/")
        if is_pattern and _matches(segments, wanted):
            found.append(stored)
            continue
        folders = (segments[:depth] for depth in range(len(segments)))
        inside = next((len(folder) for folder in folders if _matches(folder, wanted)), None)
        if inside is None or any(name.startswith((".", "_")) for name in segments[inside:]):
            continue
        if not segments[-1].lower().endswith(tuple(endings)):
            raise InputError(
                f"{role}: {stored.url}: an object of a kind that is not read stands in the folder",
                hint="name the objects one by one or with a pattern; read are "
                + ", ".join(endings),
            )
        found.append(stored)
    if not found and not nothing_is_fine:
        raise InputError(
            f"{role}: {url}: there is no such object, folder or match",
            hint="check the URL; a pattern must reach the command in quotes",
        )
    return found


def _matches(segments: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a key's segments are those of a pattern, as the shell would see files."""
    if not pattern:
        return not segments
    if pattern[0] == "**":
        return _matches(segments, pattern[1:]) or (
            bool(segments) and not segments[0].startswith(".") and _matches(segments[1:], pattern)
        )
    if not segments:
        return False
    is_hidden = segments[0].startswith(".") and not pattern[0].startswith(".")
    is_one = segments[0] == pattern[0] or (not is_hidden and fnmatchcase(segments[0], pattern[0]))
    return is_one and _matches(segments[1:], pattern[1:])


def fetched(
    stored: Sequence[StoredObject], role: str, progress: Callable[[str, int, int], None]
) -> Iterator[Fetched]:
    """Copies of objects, as they were found.

    Raises:
        InputError: the store fails, an object is another one by now, or there is no room.
    """
    total = sum(delivery.size_bytes for delivery in stored)
    done = 0
    folder: ScratchFolder | None = None
    for number, delivery in enumerate(stored):
        store = ObjectStore(delivery.url, what=role)
        try:
            folder = folder or ScratchFolder()
            path = folder.path / f"{number:06}"
            with NewFile(path) as file:
                if delivery.size_bytes:
                    # A disk without room is found out at once.
                    file.allocate(delivery.size_bytes)
                for data in store.read(delivery):
                    file.write(data)
                    done += len(data)
                    progress("fetch", done, total)
                file.write_held()
        except OSError as error:
            raise InputError(
                f"{role}: {delivery.url}: it cannot be fetched to {tempfile.gettempdir()}: "
                f"{error.strerror}",
                hint="let TMPDIR name a folder with room for all that is delivered",
            ) from error
        yield Fetched(str(delivery.url), path, folder)

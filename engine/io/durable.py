"""The one door to the disk: every change that a run makes to its book's files goes through here.

A new file is written, synced and read back before anything relies on it; a new name is synced in
its folder. What is made here is its owner's alone to read: a book is about people.
"""

import errno
import hashlib
import io
import json
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

before_operation: Callable[[str, Path], None] | None = None
"""Is told of each operation on a file before it is done; so that tests may count and fail them."""

_BUFFER_BYTES: Final = 1 << 20
_OWNERS_FILE: Final = 0o600
_OWNERS_FOLDER: Final = 0o700


def operation(kind: str, path: Path) -> None:
    """Announces an operation on a file."""
    if before_operation is not None:
        before_operation(kind, path)


def write_some(descriptor: int, data: memoryview) -> int:
    """Writes as much as the system takes at once; so that tests may take less."""
    return os.write(descriptor, data)


class NewFile(io.RawIOBase):
    """A file that was not there before; knows what was written to it.

    Attributes:
        path: where it is.
        bytes: how much was written.
    """

    _descriptor = -1

    def __init__(self, path: Path) -> None:
        operation("create", path)
        self.path, self.bytes = path, 0
        self._digest = hashlib.sha256()
        self._held: list[bytes] = []
        self._held_bytes = 0
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._descriptor = os.open(path, flags, _OWNERS_FILE)

    def writable(self) -> bool:
        return True

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        """Takes all of the data, which may wait for more before it is written."""
        if self.closed:
            # A writer that was given up after an error may still want to add its footer.
            return len(data)
        size = memoryview(data).nbytes
        if size >= _BUFFER_BYTES:
            self.write_held()
            self._write_now(memoryview(data).cast("B"))
            return size
        self._held.append(bytes(data))
        self._held_bytes += size
        if self._held_bytes >= _BUFFER_BYTES:
            self.write_held()
        return size

    def write_held(self) -> None:
        """Writes what waits."""
        if not self._held:
            return
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        self._write_now(memoryview(data))

    def _write_now(self, data: memoryview) -> None:
        operation("write", self.path)
        rest = data
        while rest:
            rest = rest[write_some(self._descriptor, rest) :]
        self._remember(data)
        self.bytes += len(data)

    def _remember(self, data: memoryview) -> None:
        self._digest.update(data)

    def allocate(self, more: int) -> None:
        """Makes the file so much longer, with room on the disk for every byte."""
        self.write_held()
        operation("allocate", self.path)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._descriptor, self.bytes, more)
        else:
            os.ftruncate(self._descriptor, self.bytes + more)

    def finish(self) -> str:
        """Writes what waits, syncs, and reads the file back; gives its sha256.

        Raises:
            OSError: or the disk gives back something else.
        """
        self.write_held()
        operation("sync", self.path)
        os.fsync(self._descriptor)
        sha256 = self.check()
        self.close()
        return sha256

    def check(self) -> str:
        """Writes what waits and reads the file back, without a sync; gives its sha256.

        Raises:
            OSError: or the disk gives back something else.
        """
        self.write_held()
        sha256 = self._digest.hexdigest()
        if sha256_of(self.path) != sha256:
            raise _differs(self.path)
        return sha256

    def close(self) -> None:
        """Closes the file; what waits is given up."""
        if not self.closed:
            super().close()
            if self._descriptor >= 0:
                os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Scratch:
    """A file that a run has written for itself: what any process needs to read it."""

    path: Path
    bytes: int
    crc: int

    def read(self) -> pa.Buffer:
        """All that was written.

        Raises:
            OSError: or the disk gives back something else.
        """
        # Arrow's pool has the pages of the file before; others would be cleared by the system.
        data = pa.allocate_buffer(self.bytes)
        with self.path.open("rb") as file:
            whole = file.readinto(data) == self.bytes and not file.read(1)
        if not whole or zlib.crc32(data) != self.crc:
            raise _differs(self.path)
        return data

    def remove(self) -> None:
        """Removes the file."""
        remove(self.path)


class ScratchFile(NewFile):
    """A file that a run writes for itself and reads back, held to its CRC."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._crc = 0

    def _remember(self, data: memoryview) -> None:
        self._crc = zlib.crc32(data, self._crc)

    def take(self) -> pa.Buffer:
        """All that was written; the file is gone then.

        Raises:
            OSError: or the disk gives back something else.
        """
        left = self.leave()
        data = left.read()
        left.remove()
        return data

    def leave(self) -> Scratch:
        """Closes the file and leaves it where it is."""
        self.write_held()
        self.close()
        return Scratch(self.path.absolute(), self.bytes, self._crc)


def _differs(path: Path) -> OSError:
    return OSError(errno.EIO, "what was read back differs from what was written", str(path))


@contextmanager
def new_file(path: Path) -> Iterator[NewFile]:
    """A new file to write to, synced and read back at the end."""
    with NewFile(path) as file:
        yield file
        file.finish()


def write_bytes(path: Path, content: bytes) -> str:
    """Writes a new file, whole, synced and read back; gives its sha256."""
    with NewFile(path) as file:
        file.write(content)
        return file.finish()


def write_text(path: Path, text: str) -> str:
    """Writes a new file, whole, synced and read back; gives its sha256."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    """Writes a new JSON file, whole, synced and read back; gives its sha256."""
    return write_text(path, json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def append_line(path: Path, line: str) -> None:
    """Adds a line to a file, made where it is not there, and syncs it; for notes, not for a book's
    own files.
    """
    operation("append", path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, _OWNERS_FILE)
    try:
        # In one act, so that lines of several processes stay apart.
        os.write(descriptor, f"{line}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def new_array(path: Path, dtype: np.dtype[Any], rows: int) -> np.memmap[Any, Any]:
    """A new array on the disk, to be filled in place and then given to ``sync_array``.

    Its room is allocated: in a file with holes, a full disk would kill the process as it fills it.
    """
    with NewFile(path) as file:
        header = {
            "descr": np.lib.format.dtype_to_descr(dtype),
            "fortran_order": False,
            "shape": (rows,),
        }
        np.lib.format.write_array_header_1_0(file, header)
        file.check()
        file.allocate(rows * dtype.itemsize)
    array = np.load(path, mmap_mode="r+")
    assert isinstance(array, np.memmap)
    return array


def sync_array(path: Path, array: np.memmap[Any, Any]) -> None:
    """Returns when a filled array is on the disk."""
    operation("write", path)
    array.flush()
    sync(path)


def sync(path: Path) -> None:
    """Returns when the file, or the folder's entries, are on the disk."""
    operation("sync", path)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, each with a synced entry in the one above it."""
    if path.is_dir():
        return
    make_folder(path.parent)
    operation("make folder", path)
    path.mkdir(mode=_OWNERS_FOLDER, exist_ok=True)
    sync_entry(path)


def sync_entry(path: Path) -> None:
    """Returns when the entry of a book or of what is above it is on the disk."""
    # One may make a folder where one may not look; then the system alone can see to it.
    with suppress(PermissionError):
        sync(path.parent)


def rename(path: Path, to: Path) -> None:
    """Renames a file or a folder; a file that is there already is replaced."""
    operation("rename", to)
    path.replace(to)


def move(path: Path, to: Path) -> None:
    """Gives a file or a folder a name that nothing has.

    Raises:
        FileExistsError: something has it; it is left as it is.
    """
    operation("rename", to)
    if os.path.lexists(to):
        raise FileExistsError(errno.EEXIST, "there is something already", str(to))
    if path.is_dir():
        # Should a folder appear now, the system refuses to replace it unless it is empty.
        path.rename(to)
    else:
        link(path, to)
        path.unlink()


def link(path: Path, to: Path) -> None:
    """Gives a file a further name that nothing has: one act, done or not.

    Raises:
        FileExistsError: something has it; it is left as it is.
    """
    os.link(path, to, follow_symlinks=False)


def remove(path: Path) -> None:
    """Removes a file."""
    operation("remove", path)
    path.unlink()


def remove_folder(path: Path) -> None:
    """Removes a folder and all that is in it, when it is there; of links, the links."""
    if path.is_symlink():
        remove(path)
        return
    for root, folders, names in os.walk(path, topdown=False):
        here = Path(root)
        links = [name for name in folders if (here / name).is_symlink()]
        for name in (*names, *links):
            remove(here / name)
        operation("remove", here)
        here.rmdir()


def sha256_of(path: Path) -> str:
    """The file's sha256, read back from the file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

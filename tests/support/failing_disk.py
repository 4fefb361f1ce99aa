"""A file system in user space that passes everything on, and fails one operation when told to.

Run as a program: ``failing_disk.py BEHIND MOUNT CONTROL``. CONTROL holds the number of the
operation that is to fail, the name of its error, and whether all after it fail, too; it is read at
a look at the file ``arm``. How many operations there were is written beside it.
"""

import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

ARM = "arm"
OPERATIONS = (
    *("getattr", "readdir", "mkdir", "rmdir", "unlink", "rename", "link", "create", "open"),
    *("read", "write", "truncate", "fsync", "fsyncdir"),
)


class FailingDisk:
    """The disk, as the test tells it what to do."""

    def __init__(self, folder: Path) -> None:
        self.behind, self.mount = folder / "behind", folder / "mount"
        self._control = folder / "control"

    def arm(self, operation: int, error: str = "EIO", *, for_good: bool = False) -> None:
        """Fails the operation of this number; 0 for none. Counting begins anew."""
        self._control.write_text(json.dumps([operation, error, for_good]))
        (self.mount / ARM).exists()

    def operations(self) -> int:
        """How many there were since."""
        self.arm(0)
        return int((self._control.parent / "control.count").read_text())


@contextmanager
def mounted(folder: Path) -> Iterator[FailingDisk]:
    """A disk that fails on demand."""
    disk = FailingDisk(folder)
    for place in (disk.behind, disk.mount):
        place.mkdir()
    words = [__file__, str(disk.behind), str(disk.mount), str(disk._control)]
    with Popen([sys.executable, *words]) as process:
        try:
            for _ in range(200):
                if disk.mount.is_mount():
                    break
                time.sleep(0.05)
            yield disk
        finally:
            process.terminate()
            process.wait(timeout=30)


def main(behind: str, mount: str, control: str) -> None:
    from fuse import FUSE, FuseOSError, Operations

    class PassedOn(Operations):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seen, self.fails_at, self.error, self.for_good = 0, 0, "EIO", False

        def at(self, path: str) -> str:
            return behind + path

        def arm(self) -> None:
            Path(f"{control}.count").write_text(str(self.seen))
            self.fails_at, self.error, self.for_good = json.loads(Path(control).read_text())
            self.seen = 0

        def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
            if path == f"/{ARM}":
                self.seen -= 1
                self.arm()
                raise FuseOSError(errno.ENOENT)
            status = os.lstat(self.at(path))
            names = ("st_atime", "st_ctime", "st_gid", "st_ino", "st_mode", "st_mtime")
            return {n: getattr(status, n) for n in (*names, "st_nlink", "st_size", "st_uid")}

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *os.listdir(self.at(path))]

        def readlink(self, path: str) -> str:
            return os.readlink(self.at(path))

        def mkdir(self, path: str, mode: int) -> None:
            os.mkdir(self.at(path), mode)

        def rmdir(self, path: str) -> None:
            os.rmdir(self.at(path))

        def unlink(self, path: str) -> None:
            os.unlink(self.at(path))

        def rename(self, old: str, new: str) -> None:
            os.rename(self.at(old), self.at(new))

        def link(self, target: str, source: str) -> None:
            os.link(self.at(source), self.at(target))

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            return os.open(self.at(path), os.O_RDWR | os.O_CREAT, mode)

        def open(self, path: str, flags: int) -> int:
            reads = flags & os.O_ACCMODE == os.O_RDONLY
            return os.open(self.at(path), os.O_RDONLY if reads else os.O_RDWR)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> None:
            os.truncate(self.at(path), length)

        def chmod(self, path: str, mode: int) -> None:
            os.chmod(self.at(path), mode)

        def utimens(self, path: str, times: Any = None) -> None:
            os.utime(self.at(path), times)

        def release(self, path: str, fh: int) -> None:
            os.close(fh)

        def fsync(self, path: str, datasync: int, fh: int) -> None:
            """Kept in memory: the test ends no machine."""

        def fsyncdir(self, path: str, datasync: int, fh: int) -> None:
            """Likewise."""

    def failing(operation: Callable[..., Any]) -> Callable[..., Any]:
        def passed_on(self: PassedOn, *arguments: Any) -> Any:
            self.seen += 1
            beyond = self.for_good and 0 < self.fails_at < self.seen
            if (self.seen == self.fails_at or beyond) and arguments[0] != f"/{ARM}":
                raise FuseOSError(getattr(errno, self.error))
            return operation(self, *arguments)

        return passed_on

    for name in OPERATIONS:
        setattr(PassedOn, name, failing(getattr(PassedOn, name)))
    FUSE(
        PassedOn(),
        mount,
        foreground=True,
        nothreads=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        use_ino=True,
        hard_remove=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A disk that fails whatever is asked of it, by us or by a library, loses no booked run.

The crash tests fail what goes through the one door; here fails what polars, pyarrow, numpy and
filelock ask of the system, too. It needs a file system in user space: Linux, root, libfuse 2.
"""

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Set
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from command_line import without_note
from failing_disk import FailingDisk, mounted
from small_nights import Night, deliver, digests
from test_crash import COMMITTED

from engine.io.book.folder import Book

pytestmark = pytest.mark.skipif(
    not (
        find_spec("fuse")
        and ctypes.util.find_library("fuse")
        and os.access("/dev/fuse", os.W_OK)
        and os.getuid() == 0
    ),
    reason="no file system in user space can be mounted here",
)
ATTEMPTS = 3
ERRORS = (("EIO", False), ("EACCES", False), ("ENOENT", False), ("EIO", True))


@dataclass(frozen=True)
class Prepared:
    """A book of one night, and what booking the second asks of the disk."""

    disk: FailingDisk
    start: Path
    second: Night
    operations: int
    of_the_run: Set[str]

    @property
    def behind(self) -> Path:
        """The book itself, where nothing fails."""
        return self.disk.behind / "book"

    def begin(self) -> None:
        shutil.rmtree(self.behind, ignore_errors=True)
        shutil.copytree(self.start, self.behind)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("failing-disk")
    first, second = (deliver(folder / "nights", number) for number in (1, 2))
    first.book(folder / "start")
    (folder / "disk").mkdir()
    with mounted(folder / "disk") as disk:
        shutil.copytree(folder / "start", disk.behind / "book")
        disk.arm(0)
        assert attempt(second, disk.mount / "book") == (0, "")
        operations = disk.operations()
        names = digests(disk.behind / "book")
        of_the_run = {name for name in names if name.startswith(COMMITTED)}
        yield Prepared(disk, folder / "start", second, operations, of_the_run)


@pytest.mark.parametrize(("error", "for_good"), ERRORS)
def test_no_booked_run_is_lost_and_nothing_is_said_that_is_not_so(
    prepared: Prepared, error: str, for_good: bool
) -> None:
    disk, behind, operations = prepared.disk, prepared.behind, prepared.operations
    assert operations > 500
    seen = set()
    # The first, and each error at other places. Few operations come after the commit.
    step = operations // ATTEMPTS
    first = step * (1 + ERRORS.index((error, for_good))) // (1 + len(ERRORS))
    for operation in (1, *range(first, operations, step), operations - 9, operations - 3):
        prepared.begin()
        disk.arm(operation, error, for_good=for_good)
        code, said = attempt(prepared.second, disk.mount / "book")
        disk.arm(0)
        booked = Book(behind).commit_file(2).exists()
        seen.add(booked)
        assert "Traceback" not in said
        assert not (booked and "nothing was booked" in said), (operation, said)
        assert booked or code, operation
        assert not booked or code != 2, (operation, said)
        if booked:
            # All that the run has is there.
            assert digests(behind).keys() >= prepared.of_the_run, operation
        assert prepared.second.book(behind).already_booked == booked
        assert Book(behind).committed_runs() == 2
    # Where a file may be missing, a look-up that finds nothing is met: such runs may all be booked.
    assert True in seen if error == "ENOENT" else seen == {True, False}


def attempt(night: Night, book: Path) -> tuple[int, str]:
    """How the command ends and what it says; a library that the disk kills takes it with it."""
    done = subprocess.run(
        [sys.executable, "-m", "mynapoint", *night.arguments(book), "--threads", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, without_note(done.stderr)

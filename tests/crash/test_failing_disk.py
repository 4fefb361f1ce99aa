"""A disk that fails whatever is asked of it, by us or by a library, loses no booked run.

The crash tests fail what goes through the one door; here fails what polars, pyarrow, numpy and
filelock ask of the system, too. It needs a file system in user space: Linux, root, libfuse 2.
"""

import ctypes.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
ATTEMPTS = 6


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[FailingDisk]:
    (tmp_path / "disk").mkdir()
    with mounted(tmp_path / "disk") as disk:
        yield disk


@pytest.mark.parametrize(
    ("error", "for_good"), [("EIO", False), ("EACCES", False), ("ENOENT", False), ("EIO", True)]
)
def test_no_booked_run_is_lost_and_nothing_is_said_that_is_not_so(
    tmp_path: Path, disk: FailingDisk, error: str, for_good: bool
) -> None:
    first, second = (deliver(tmp_path / "nights", number) for number in (1, 2))
    first.book(tmp_path / "start")
    shutil.copytree(tmp_path / "start", disk.behind / "book")
    disk.arm(0)
    assert attempt(second, disk.mount / "book") == (0, "")
    operations = disk.operations()
    of_the_run = [name for name in digests(disk.behind / "book") if name.startswith(COMMITTED)]
    assert operations > 500
    seen = set()
    # Few come after the commit.
    chosen = [*range(1, operations, max(1, operations // ATTEMPTS)), operations - 9, operations - 3]
    for operation in chosen:
        behind = disk.behind / "book"
        shutil.rmtree(behind)
        shutil.copytree(tmp_path / "start", behind)
        disk.arm(operation, error, for_good=for_good)
        code, said = attempt(second, disk.mount / "book")
        disk.arm(0)
        booked = Book(behind).commit_file(2).exists()
        seen.add(booked)
        assert "Traceback" not in said
        assert not (booked and "nothing was booked" in said), (operation, said)
        assert booked or code, operation
        assert not booked or code != 2, (operation, said)
        if booked:
            # All that the run has is there.
            assert digests(behind).keys() >= set(of_the_run), operation
        assert second.book(behind).already_booked == booked
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

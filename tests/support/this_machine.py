"""The machine as tests use it: a disk in memory where there is room, one thread a process."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 4 << 30
_TEMPORARY = "PYTEST_DEBUG_TEMPROOT"
_POLARS_THREADS = "POLARS_MAX_THREADS"


def _has_room(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and shutil.disk_usage(folder).free > _ROOM_BYTES


# Books of a few rows are made by the thousand.
if _TEMPORARY not in os.environ and _IN_MEMORY.is_dir() and _has_room(_IN_MEMORY):
    os.environ[_TEMPORARY] = str(_IN_MEMORY)
    # What commands put into a folder of their own for a moment.
    os.environ.setdefault("TMPDIR", str(_IN_MEMORY))
    tempfile.tempdir = None

# As many processes as cores run the tests: with one thread of Polars' in each there is a tenth less
# to do. What tests start themselves has its own again.
if "PYTEST_XDIST_WORKER" in os.environ and _POLARS_THREADS not in os.environ:
    os.environ[_POLARS_THREADS] = "1"
    import polars as pl

    pl.thread_pool_size()
    del os.environ[_POLARS_THREADS]

# The command line is started a hundred times, and tests are collected by every process: modules are
# compiled once, as where they are installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

"""``mynapoint`` and ``python -m pipelines``."""

import io
import os
import sys
from contextlib import suppress

from pipelines.cli import call
from pipelines.shown.errors import one_line_errors, prepare_streams

# Read by polars' allocator when it is loaded: pages that it keeps for some seconds need not be
# cleared by the system over and over, a tenth of a large run's processor time.
_KEEP_PAGES = "dirty_decay_ms:5000,muzzy_decay_ms:5000"
# The same for numpy's allocator, which is glibc's: one heap for all threads, which grows by 64 MiB,
# keeps large arrays too, and gives back what is beyond 2 GiB; a thirtieth of a run's time.
# Names and numbers are <malloc.h>'s.
_KEEP_HEAP = {
    "M_ARENA_MAX": (-8, 1),
    "M_TOP_PAD": (-2, 64 << 20),
    "M_MMAP_THRESHOLD": (-3, 32 << 20),
    "M_TRIM_THRESHOLD": (-1, (1 << 31) - 1),
}
_SET_BY_THE_OPERATOR = ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_")


def keep_heap() -> None:
    """Has the C library keep its memory, where it is one that can."""
    with suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _KEEP_HEAP.values():
            mallopt(option, value)


def main() -> None:
    """Runs a command and leaves with its exit code."""
    prepare_streams()
    if not any(name in os.environ for name in _SET_BY_THE_OPERATOR):
        keep_heap()
    os.environ.setdefault("_RJEM_MALLOC_CONF", _KEEP_PAGES)
    # pandera names no engine, and its many small queries of frames are slower in the streaming one.
    os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show Japanese is no reason to fail when the night is booked.
        sys.stdout.reconfigure(errors="backslashreplace")
    with one_line_errors():
        sys.exit(call())


if __name__ == "__main__":
    main()

"""``mynapoint`` and ``python -m pipelines``."""

import ctypes
import io
import os
import sys
from contextlib import suppress

from pipelines.cli import call
from pipelines.errors import one_line_errors

# Read by polars' allocator when it is loaded: pages that it keeps for some seconds need not be
# cleared by the system over and over, a tenth of a large run's processor time.
_KEEP_PAGES = "dirty_decay_ms:5000,muzzy_decay_ms:5000"
# The same for numpy's, which is glibc's: one arena, which grows by 64 MiB, serves all threads, and
# gives hardly anything back in between (a thirtieth). By <malloc.h>: M_ARENA_MAX, M_MMAP_THRESHOLD,
# M_TRIM_THRESHOLD, M_TOP_PAD.
_KEEP_HEAP = {-8: 1, -3: 32 << 20, -1: (2 << 30) - 1, -2: 64 << 20}


def main() -> None:
    """Runs a command and leaves with its exit code."""
    # Another system's C library has no such call, or heeds it not.
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _KEEP_HEAP.items():
            mallopt(option, value)
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

"""``mynapoint`` and ``python -m pipelines``.

What is imported here is little, and interrupts are met before anything else is loaded.
"""

import gc
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

# Read by polars' allocator when it is loaded: pages that it keeps for some seconds need not be
# cleared by the system over and over, a tenth of a large run's processor time. Of few arenas each
# has more to hand out again: a fiftieth.
_KEEP_PAGES = "narenas:2,dirty_decay_ms:5000,muzzy_decay_ms:5000"
# The same for numpy's allocator, which is glibc's: one heap for all threads, which grows by 64 MiB,
# keeps large arrays too, and gives back what is beyond 2 GiB; a thirtieth of a run's time.
# Names and numbers are <malloc.h>'s.
_KEEP_HEAP = {
    "M_ARENA_MAX": (-8, 1),
    "M_TOP_PAD": (-2, 64 << 20),
    "M_MMAP_THRESHOLD": (-3, 32 << 20),
    "M_TRIM_THRESHOLD": (-1, (1 << 31) - 1),
}
# What is imported stays, so to walk through it some 200 times in search of garbage takes a tenth of
# a start and finds nothing.
_OBJECTS_BETWEEN_COLLECTIONS = 200_000
_SET_BY_THE_OPERATOR = ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_")
_INTERRUPTED = b"error: interrupted\nhint: run again: what is booked is recognised\n"


def keep_heap() -> None:
    """Has the C library keep its memory, where it is one that can."""
    with suppress(ImportError, AttributeError, OSError, TypeError):
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
        for option, value in _KEEP_HEAP.values():
            mallopt(option, value)


def leave_interrupted(*_: object) -> NoReturn:
    """Leaves at once, with the lines that an interrupted command says."""
    with suppress(OSError):
        os.write(2, _INTERRUPTED)
    os._exit(130)


@contextmanager
def stderr_for_us_alone() -> Iterator[None]:
    """Sends what libraries say on stderr by themselves nowhere: a panic of Rust is many lines.

    The error reaches Python all the same, and is reported on one line.
    """
    if os.environ.get("MYNAPOINT_TRACEBACK") or os.environ.get("POLARS_VERBOSE"):
        yield
        return
    before, whole = sys.stderr, os.dup(2)
    before.flush()
    with suppress(OSError):
        if before.fileno() == 2:
            from pipelines.shown.errors import unfailing

            sys.stderr = unfailing(os.dup(2), before.encoding)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    os.close(nothing)
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            yield
    finally:
        if sys.stderr is not before:
            with suppress(OSError):
                sys.stderr.close()
            sys.stderr = before
        os.dup2(whole, 2)
        os.close(whole)


def main() -> None:
    """Runs a command and leaves with its exit code."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, leave_interrupted)
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    from pipelines.shown.errors import one_line_errors, prepare_streams

    prepare_streams()
    if not any(name in os.environ for name in _SET_BY_THE_OPERATOR):
        keep_heap()
    os.environ.setdefault("_RJEM_MALLOC_CONF", _KEEP_PAGES)
    # pandera names no engine, and its many small queries of frames are slower in the streaming one.
    os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that cannot show Japanese must not make a booked night fail.
        sys.stdout.reconfigure(errors="backslashreplace")
    from pipelines.cli import call

    try:
        with stderr_for_us_alone(), one_line_errors():
            if interruptible:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            sys.exit(call())
    finally:
        if interruptible:
            # All is said: an interrupt of what Python does last has nothing to add.
            signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()

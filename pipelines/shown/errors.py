"""How a command says no: one line what, where and why, one line what to do, and the exit code."""

import io
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import MynapointError


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns whatever ends a command into its exit code; no traceback reaches the user."""
    try:
        yield
    except MynapointError as error:
        _leave(error.message, error.hint, error.exit_code)
    except KeyboardInterrupt:
        _leave("interrupted", "run again: what is booked is recognised", 130)
    except MemoryError:
        _leave("memory ran out", "run with fewer --threads, or on a larger machine", 2)
    except BaseException as error:
        # Beyond Exception are an exit, which is meant, and panics of the libraries written in Rust.
        if isinstance(error, (SystemExit, GeneratorExit)):
            raise
        if os.environ.get("MYNAPOINT_TRACEBACK"):
            raise
        # The error's own text may hold values of rows, and those are people's.
        frame = traceback.extract_tb(error.__traceback__)[-1]
        _leave(
            f"internal fault: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}",
            "run again, what is booked is recognised; report what MYNAPOINT_TRACEBACK=1 prints",
            3,
        )


@contextmanager
def output_may_fail() -> Iterator[None]:
    """Lets a command end as it would even if its output cannot be written; the work is done."""
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        # Nothing more can be said there, at the end of the process either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"warning: the output could not be written: {error.strerror}\n")


class _Unfailing(io.TextIOWrapper):
    """A stream that drops what cannot be written: the exit code says the rest."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def prepare_streams() -> None:
    """Makes sure that no standard stream can change how a command ends.

    Where the caller closed one, the first files that the process opens, a book's among them, would
    take its place and all that is printed: it gets one that leads nowhere. Standard output then
    cannot be written to, so that who wanted it is told.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest number that is free, and those below are taken by now.
            os.open(os.devnull, flags)
    # What stands for a stream that was closed when Python began is None.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is sys.__stderr__:
        raw = io.FileIO(2, "wb", closefd=False)
        sys.stderr = _Unfailing(
            io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
        )


def _leave(message: str, hint: str, code: int) -> None:
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    sys.exit(code)

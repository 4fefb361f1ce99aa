"""Turning errors into exit codes and two lines on stderr."""

import io
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from engine.errors import ErrorCode, MynapointError
from pipelines.shown.texts import Lang, lang_of_locale

# Set by this program itself, unless the operator does.
_OURS: Final = "POLARS_ENGINE_AFFINITY"
# Looked for in the command line itself, since that may be what is wrong.
_JSON: Final = "--json"


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns whatever ends a command into its exit code; no traceback reaches the user."""
    try:
        yield
    except BaseException as error:
        # An exit is meant.
        if isinstance(error, (SystemExit, GeneratorExit)):
            raise
        is_foreseen = isinstance(error, (MynapointError, KeyboardInterrupt, MemoryError))
        if os.environ.get("MYNAPOINT_TRACEBACK") and not is_foreseen:
            raise
        _leave(error_value(error))


def error_value(error: BaseException) -> dict[str, Any]:
    """What is said of an error: ``code``, ``exit_code``, ``message``, ``hint`` and its details."""
    if isinstance(error, MynapointError):
        value = _value(error.code, error.exit_code, error.message, error.hint)
        return value | dict(error.details)
    if isinstance(error, KeyboardInterrupt):
        return _value("interrupted", 130, "interrupted", "run again: what is booked is recognised")
    if isinstance(error, MemoryError):
        hint = "run with fewer --threads, or on a larger machine"
        return _value("out_of_memory", 2, "memory ran out", hint)
    set_for_polars = [name for name in os.environ if name.startswith("POLARS_")]
    if _OURS in set_for_polars:
        set_for_polars.remove(_OURS)
    if set_for_polars and type(error).__name__ == "PanicException":
        return _value(
            "unusable_input",
            2,
            f"Polars fails with what the environment sets: {', '.join(set_for_polars)}",
            "run again without these variables; what is booked is recognised",
        )
    # The error's own text may hold values of rows, and those are people's.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return _value(
        "internal_fault",
        3,
        f"internal fault: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}",
        "run again, what is booked is recognised; report what MYNAPOINT_TRACEBACK=1 prints",
    )


def _value(code: ErrorCode, exit_code: int, message: str, hint: str) -> dict[str, Any]:
    return {"code": code, "exit_code": exit_code, "message": message, "hint": hint}


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


def unfailing(descriptor: int, encoding: str, *, keep_open: bool = False) -> io.TextIOWrapper:
    """A stream of messages that ends no command, whatever becomes of it."""
    raw = io.FileIO(descriptor, "wb", closefd=not keep_open)
    return _Unfailing(io.BufferedWriter(raw), encoding, "backslashreplace", line_buffering=True)


def prepare_streams() -> None:
    """Makes sure that no standard stream can change how a command ends.

    Where the caller closed one, the first files that the process opens, a book's among them, would
    take its place and all that is printed: it gets one that leads nowhere.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # It takes the lowest number that is free, and those below are taken by now.
            os.open(os.devnull, os.O_RDWR)
    # What stands for a stream that was closed when Python began is None.
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if sys.stderr is sys.__stderr__:
        encoding = "utf-8" if sys.stderr is None else sys.stderr.encoding
        sys.stderr = unfailing(2, encoding, keep_open=True)


def _lang() -> Lang:
    """The language that the command line, or else the locale, asks for."""
    given = sys.argv[1:]
    for place, argument in enumerate(given):
        name, equals, value = argument.partition("=")
        if name == "--lang":
            chosen = value if equals else "".join(given[place + 1 : place + 2])
            return "ja" if chosen == "ja" else "en"
    return lang_of_locale()


def _leave(error: Mapping[str, Any]) -> None:
    from pipelines.shown.said import said

    lang = _lang()
    message, hint = said(error["message"], lang), said(error["hint"], lang)
    sys.stderr.write(f"error: {message}\nhint: {hint}\n")
    if _JSON in sys.argv[1:]:
        from pipelines.shown.terminal import print_json

        with output_may_fail():
            print_json({"error": error})
    sys.exit(error["exit_code"])

"""The errors a user can meet, each with its exit code and a hint.

An error is two lines: the message says what, where and why, the hint says what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar


class MynapointError(Exception):
    """Something the user can act on; raise one of the subclasses.

    Attributes:
        message: what is wrong, where and why, on one line; also what `str()` gives.
        hint: what to do about it, on one line.
        exit_code: the exit code of a command that ends with this error.
    """

    exit_code: ClassVar[int]

    def __init__(self, message: str, *, hint: str) -> None:
        self.message = _one_line(message)
        self.hint = _one_line(hint)
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Callable[..., MynapointError], tuple[str]]:
        # The default calls cls(*args), which has no hint: an error of a worker process
        # could not reach its parent.
        return partial(type(self), hint=self.hint), (self.message,)


class InputError(MynapointError):
    """Unusable input or wrong usage; nothing was booked."""

    exit_code = 2


class BookError(MynapointError):
    """The book is in use by another run, or damaged; nothing was booked."""

    exit_code = 3


def _one_line(text: str) -> str:
    """Escape whatever would break the line or steer the terminal.

    File names and cell values get into messages, and both may hold any character.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

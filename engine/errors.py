"""The errors a user can meet, each with its exit code and a hint.

An error is two lines: the message says what, where and why, the hint says what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import ClassVar, Literal

ErrorCode = Literal[
    "unusable_input",
    "wrong_usage",
    "no_book",
    "not_a_book",
    "missing_extra",
    "too_many_quarantined",
    "personal_numbers",
    "booked_on_too_early",
    "booked_on_in_future",
    "terms_may_not_change",
    "unexpected_run",
    "other_owner",
    "gate_failed",
    "manifest_differs",
    "something_delivered",
    "store_failed",
    "book_in_use",
    "book_damaged",
    "later_format",
    "copy_incomplete",
    "disk",
    "interrupted",
    "out_of_memory",
    "internal_fault",
]
"""What is wrong, in a word that does not change; docs/operators-guide.md says what each means."""


class MynapointError(Exception):
    """Something the user can act on; raise one of the subclasses.

    Attributes:
        message: what is wrong, where and why, on one line; also what `str()` gives.
        hint: what to do about it, on one line.
        code: what is wrong in a word that does not change, for programs.
        details: what else programs may want to know, ready for JSON.
        exit_code: the exit code of a command that ends with this error.
    """

    exit_code: ClassVar[int]
    usual_code: ClassVar[ErrorCode]

    def __init__(
        self,
        message: str,
        *,
        hint: str,
        code: ErrorCode | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        self.message = _one_line(message)
        self.hint = _one_line(hint)
        self.code: ErrorCode = code or self.usual_code
        self.details = details or {}
        super().__init__(self.message)

    def __reduce__(self) -> tuple[Callable[..., MynapointError], tuple[str]]:
        # The default calls cls(*args), which has no hint: an error of a worker process
        # could not reach its parent.
        whole = partial(type(self), hint=self.hint, code=self.code, details=self.details)
        return whole, (self.message,)


class InputError(MynapointError):
    """Unusable input or wrong usage; nothing was booked."""

    exit_code = 2
    usual_code: ClassVar[ErrorCode] = "unusable_input"


class BookError(MynapointError):
    """The book is in use by another run, or damaged; nothing was booked."""

    exit_code = 3
    usual_code: ClassVar[ErrorCode] = "book_damaged"


def _one_line(text: str) -> str:
    """Escape whatever would break the line or steer the terminal.

    File names and cell values get into messages, and both may hold any character.
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

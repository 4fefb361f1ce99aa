"""The arguments of a run that comes from a program, checked as a command line's are."""

import datetime as dt
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.delivered.deliveries import DeliveredAs
from engine.io.run.delivery_note import DeliveryNote

_PATH: Final = (str, Path)


def check_types_of_days(*, needed: str = "booked_on", **days: object) -> None:
    """Refuses what is not a day; None stands for a default but for the one that is needed.

    Raises:
        InputError: naming the argument.
    """
    for name, day in days.items():
        # A datetime is a date for Python, and a run record would have its time in it.
        if day is None and name != needed:
            continue
        if not isinstance(day, dt.date) or isinstance(day, dt.datetime):
            raise _wrong(name, "a datetime.date", day, "pass datetime.date(2020, 11, 3)")


def check_paths(**paths: object) -> None:
    """Refuses what is not a path.

    Raises:
        InputError: naming the argument.
    """
    for name, path in paths.items():
        if path is None and name != "book":
            continue
        if not isinstance(path, _PATH):
            raise _wrong(name, "a str or a pathlib.Path", path, 'pass "FILE" or Path("FILE")')


def check_counts(at_least: int = 1, **counts: object) -> None:
    """Refuses what is not a whole number of 1, or ``at_least``, or more.

    Raises:
        InputError: naming the argument.
    """
    for name, count in counts.items():
        if count is None:
            continue
        if not isinstance(count, int) or isinstance(count, bool) or count < at_least:
            raise _wrong(
                name, f"a whole number of {at_least} or more", count, "leave it out, or pass 4"
            )


def check_delivered(**delivered: object) -> None:
    """Refuses what is not a list of paths: a text alone would be taken letter by letter.

    Raises:
        InputError: naming the argument.
    """
    hint = 'pass a list: ["FILE", …]'
    what = "a list of str, pathlib.Path or DeliveredAs"
    for name, paths in delivered.items():
        if not isinstance(paths, (list, tuple)):
            raise _wrong(name, what, paths, hint)
        for path in paths:
            if not isinstance(path, (*_PATH, DeliveredAs)):
                raise _wrong(name, what, path, hint)
            if isinstance(path, DeliveredAs):
                _check_parameters(name, path)


def check_names(**names: object) -> None:
    """Refuses what is not a list of texts.

    Raises:
        InputError: naming the argument.
    """
    for name, texts in names.items():
        if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
            raise _wrong(name, "a list of str", texts, 'pass a list: ["NAME", …]')


def check_seconds(**seconds: object) -> None:
    """Refuses what is not a time of 0 seconds or more.

    Raises:
        InputError: naming the argument.
    """
    for name, value in seconds.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise _wrong(name, "a number of 0 or more", value, "leave it out, or pass 60")


def check_notes(**notes: object) -> None:
    """Refuses what is not a list of delivery notes or their paths.

    Raises:
        InputError: naming the argument.
    """
    for name, given in notes.items():
        if not isinstance(given, (list, tuple)) or not all(
            isinstance(note, (*_PATH, DeliveryNote)) for note in given
        ):
            raise _wrong(name, "a list of str or pathlib.Path", given, 'pass a list: ["FILE", …]')


def check_share(name: str, share: object) -> None:
    """Refuses what is not a number between 0 and 1.

    Raises:
        InputError: naming the argument.
    """
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share <= 1:
        raise InputError(
            f"{name}: must be between 0 and 1, is {share!s:.40}",
            hint="give 0.05 for five rows in a hundred",
        )


def _check_parameters(name: str, delivered: DeliveredAs) -> None:
    check_paths(**{f"{name}: path": delivered.path, f"{name}: layout": delivered.layout})
    for parameter, value in delivered.parameters.items():
        if not isinstance(parameter, str) or not isinstance(value, str):
            raise _wrong(f"{name}: parameters", "texts by name", value, 'pass {"account_id": "…"}')


def _wrong(name: str, what: str, value: object, hint: str) -> InputError:
    return InputError(f"{name}: must be {what}, is of type {type(value).__name__}", hint=hint)

"""Who runs a command, and by which words: as records and logs name both."""

import getpass
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress


def user_name() -> str:
    """The name of the user; ``uid N`` where the system knows none, as in a container."""
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def command_line() -> str:
    """The command line of the process, as a record keeps it."""
    words = shlex.join(_without_values(sys.argv))
    # A name that is not UTF-8 can be typed, but not kept.
    return words.encode("utf-8", "backslashreplace").decode("utf-8")


def _without_values(arguments: Sequence[str]) -> Iterator[str]:
    """A command line as the record keeps it: what is set for a layout may be a person's ID."""
    is_set = False
    for argument in arguments:
        if argument.startswith("-"):
            is_set = argument.partition("=")[0] == "--set"
            yield "--set=…" if is_set and "=" in argument else argument
        else:
            name, equals, _ = argument.partition("=")
            yield (f"{name}=…" if equals else "…") if is_set else argument

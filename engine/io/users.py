"""Who runs a command, as records and logs name the user."""

import getpass
import os
from contextlib import suppress


def user_name() -> str:
    """The name of the user; ``uid N`` where the system knows none, as in a container."""
    with suppress(KeyError, OSError, ImportError):
        return getpass.getuser()
    return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"

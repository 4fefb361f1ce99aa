"""The versions of what a run is made with, as its record keeps them."""

import platform
from functools import cache
from importlib.metadata import version
from typing import Final

_LIBRARIES: Final = ("mynapoint", "polars", "pyarrow", "pandera", "deltalake", "numpy")


@cache
def version_of(library: str) -> str:
    """The version that is installed; its metadata is read once a process."""
    return version(library)


def versions() -> dict[str, str]:
    """Python's and the libraries' versions by name."""
    return {"python": platform.python_version()} | {
        library: version_of(library) for library in _LIBRARIES
    }

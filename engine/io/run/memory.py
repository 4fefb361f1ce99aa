"""How much of what a run sets down may stay in memory; the rest goes to its staging folder."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

_SHARE_OF_FREE: Final = 8
MOST_BYTES: Final = 512 << 20
_MEMINFO: Final = Path("/proc/meminfo")
_CONTAINER: Final = Path("/sys/fs/cgroup")


class Memory:
    """A budget that those who hold something share; what was taken is not given back."""

    def __init__(self, budget_bytes: int) -> None:
        self._left_bytes = budget_bytes
        self._lock = threading.Lock()

    def has_room(self, more_bytes: int) -> bool:
        """Takes so many bytes, if they are left."""
        with self._lock:
            if more_bytes > self._left_bytes:
                return False
            self._left_bytes -= more_bytes
            return True


def usual_memory_bytes() -> int:
    """A share of what is free on this machine and in this container, and never more than
    ``MOST_BYTES``, which are enough for the rows of a usual night.
    """
    return min(MOST_BYTES, *(free // _SHARE_OF_FREE for free in _free_bytes()))


def _free_bytes() -> list[int]:
    free = []
    with suppress(OSError, ValueError, IndexError):
        lines = _MEMINFO.read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("MemAvailable:"))
        free.append(int(kib) << 10)
    with suppress(OSError, ValueError):
        # The limit of a container that has none is the word "max".
        limit = int((_CONTAINER / "memory.max").read_text())
        free.append(max(0, limit - int((_CONTAINER / "memory.current").read_text())))
    return free

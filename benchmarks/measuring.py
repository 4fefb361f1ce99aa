"""Runs a program as a process of its own and says what it took, seen from outside.

Linux only. Nothing heavy may be imported here or by who imports this: what a process held before
`exec` counts into its peak, and that is what its parent holds.
"""

import ctypes
import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_LOOK_EVERY_S: Final = 0.25
_NO_BYTECODE: Final = "PYTHONDONTWRITEBYTECODE"
_SET_CHILD_SUBREAPER: Final = 36


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a program took.

    Attributes:
        wall_s: from its start to the end of its first process.
        user_s, system_s: processor time of all its processes.
        peak_bytes: of memory, of its largest process, or of all together as they were seen a few
            times a second, whichever is more; pages that processes share count for each of them.
        stopped: why it was stopped from outside, if it was.
    """

    wall_s: float
    user_s: float
    system_s: float
    peak_bytes: int
    exit_code: int
    stdout: str
    stderr: str
    stopped: str | None = None

    @property
    def cpu_s(self) -> float:
        """Processor time; where a machine is shared it says more than the clock does."""
        return self.user_s + self.system_s


def measure(
    command: Sequence[str], folder: Path, *, cap_bytes: int | None = None, timeout_s: float = 7200.0
) -> Run:
    """Runs a program to its end; what it prints goes by way of files in the folder.

    Its processes are killed when together they hold more than the cap or take longer than the
    timeout.
    """
    # Processes that outlive the one which started them become this one's children, whatever
    # session or group they made their own: Spark's JVM and its Python workers are such.
    ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    others = frozenset(_children(os.getpid()))
    folder.mkdir(parents=True, exist_ok=True)
    printed = folder / "stdout", folder / "stderr"
    # What the run before left to write must not be written at this one's expense.
    os.sync()
    with printed[0].open("wb") as stdout, printed[1].open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            process_group=0,
            # As it is installed: with its modules compiled, whoever keeps Python from that here.
            env={name: text for name, text in os.environ.items() if name != _NO_BYTECODE},
        )
        watch = _Watch(others, began, cap_bytes, timeout_s)
        try:
            watch.start()
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
            usages = [usage, *_left_behind(others)]
        except BaseException:
            _kill(_family(others))
            raise
        finally:
            watch.end()
    return Run(
        wall_s=wall_s,
        user_s=sum(used.ru_utime for used in usages),
        system_s=sum(used.ru_stime for used in usages),
        peak_bytes=max(watch.peak_bytes, *(used.ru_maxrss * 1024 for used in usages)),
        exit_code=process.returncode,
        stdout=printed[0].read_text(encoding="utf-8", errors="replace"),
        stderr=printed[1].read_text(encoding="utf-8", errors="replace"),
        stopped=watch.stopped,
    )


def _left_behind(others: Set[int]) -> Iterator[resource.struct_rusage]:
    """Waits for this process's children, those that they leave behind included."""
    while pids := set(_children(os.getpid())) - others:
        for pid in pids:
            yield os.wait4(pid, 0)[2]


def _family(others: Set[int]) -> list[int]:
    """All processes that descend from this one, but for those others and theirs."""
    found = [pid for pid in _children(os.getpid()) if pid not in others]
    for pid in found:
        found += _children(pid)
    return found


def _children(pid: int) -> Iterator[int]:
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from map(int, children.read_text().split())
        except OSError:
            continue


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class _Watch(threading.Thread):
    """Looks at what was started now and then, and kills all of it when it has too much."""

    def __init__(
        self, others: Set[int], began: float, cap_bytes: int | None, timeout_s: float
    ) -> None:
        super().__init__(daemon=True)
        self._others, self._began = others, began
        self._cap_bytes, self._timeout_s = cap_bytes, timeout_s
        self._ended = threading.Event()
        self.peak_bytes = 0
        self.stopped: str | None = None

    def run(self) -> None:
        while not self._ended.wait(_LOOK_EVERY_S):
            family = _family(self._others)
            held = sum(map(_resident_bytes, family))
            self.peak_bytes = max(self.peak_bytes, held)
            if self.stopped is None and self._cap_bytes is not None and held > self._cap_bytes:
                self.stopped = f"held more than the cap of {self._cap_bytes / 1e9:.1f} GB"
            elif self.stopped is None and time.perf_counter() - self._began > self._timeout_s:
                self.stopped = f"took longer than {self._timeout_s:.0f} s"
            if self.stopped:
                # And again at the next look, for those that were started meanwhile.
                _kill(family)

    def end(self) -> None:
        self._ended.set()
        self.join()


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return 0


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some measurements, and how far they lie apart."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """At least one value."""
        return cls(median(values), min(values), max(values))

    def text(self, decimals: int = 1) -> str:
        """`12.3 (11.9-13.0)`; the median alone where there is nothing else to say."""
        middle, least, most = (
            f"{value:,.{decimals}f}" for value in (self.median, self.least, self.most)
        )
        return middle if least == most else f"{middle} ({least}–{most})"


def last_line(text: str) -> str:
    """The last line that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "nothing was printed"

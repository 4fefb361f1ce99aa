"""A run's phases as lines of JSON, for those who watch it."""

import datetime as dt
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.durable import append_line
from engine.io.result_folders import check_outside_books
from engine.io.run.order import Progress
from engine.paths import local_path

_UNITS: Final = {
    "fetch": "bytes",
    "enrollments": "rows",
    "transactions": "rows",
    "booking": "slices",
}


class PhaseLog:
    """Adds a line to a file when a phase ends; ``None`` adds nothing.

    Only the first line may refuse a run. When a later one cannot be written, that is said once, and
    the log ends there: a run does not fail for its log, and may be booked already.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._phase: tuple[str, int, float] | None = None

    @classmethod
    def at(cls, path: Path | None) -> "PhaseLog":
        """The log at a path as it is given.

        Raises:
            InputError: nothing can be written there.
        """
        if path is None:
            return cls(None)
        path = local_path(path)
        check_outside_books(path)
        return cls(path)

    def begin(self, **values: object) -> None:
        """Adds the first line.

        Raises:
            InputError: it cannot be written.
        """
        try:
            self._add("begun", values)
        except (OSError, ValueError) as error:
            raise InputError(
                f"--log-json: {self._path}: {_why(error)}",
                hint="name a file that can be written to; nothing was booked",
            ) from error

    def event(self, event: str, **values: object) -> None:
        """Adds a line, as long as that can be done."""
        try:
            self._add(event, values)
        except (OSError, ValueError) as error:
            path, self._path = self._path, None
            # The terminal may be gone, too.
            with suppress(OSError, ValueError):
                sys.stderr.write(
                    f"warning: --log-json: {path}: {_why(error)}; the log of this run ends here\n"
                )

    def _add(self, event: str, values: Mapping[str, object]) -> None:
        if self._path is None:
            return
        at = dt.datetime.now(dt.UTC).isoformat()
        line = json.dumps({"at": at, "event": event, **values}, ensure_ascii=False)
        append_line(self._path, line)

    def ends(self) -> None:
        """Says that the phase under way, if there is one, has ended."""
        if self._phase is None:
            return
        (phase, done, begun), self._phase = self._phase, None
        seconds = round(time.monotonic() - begun, 3)
        unit = _UNITS.get(phase)
        self.event("phase", phase=phase, seconds=seconds, **({unit: done} if unit else {}))

    @contextmanager
    def watching(self, progress: Progress) -> Iterator[Progress]:
        """A callback that tells another, and notes when phases end."""
        if self._path is None:
            yield progress
            return

        def report(phase: str, done: int, total: int) -> None:
            # A phase that begins anew, as the fetching of each path does, has a line of its own.
            if self._phase is None or self._phase[0] != phase or done < self._phase[1]:
                self.ends()
                self._phase = (phase, done, time.monotonic())
            self._phase = (phase, done, self._phase[2])
            progress(phase, done, total)

        yield report
        self.ends()


def _why(error: OSError | ValueError) -> str:
    return str(error.strerror or error) if isinstance(error, OSError) else str(error)

"""An attempt to book a night, and its watchers: the book, a log, metrics, lineage, a command."""

import datetime as dt
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import InputError, MynapointError
from engine.io.book.folder import Book
from engine.io.run.one_run import RunResult
from engine.io.run.order import Progress
from pipelines.run.attempts import Notes
from pipelines.run.lineage import Lineage
from pipelines.run.metrics import metrics_file, write_metrics
from pipelines.run.phase_log import PhaseLog
from pipelines.shown.errors import error_value
from pipelines.shown.summary import record_value


@dataclass(frozen=True, slots=True)
class Watchers:
    """The watchers of an attempt, beside the book.

    Attributes:
        log_json: a file to which lines of JSON are added.
        metrics: a text file for Prometheus.
        on_finish: a command that gets the record, or the error, on its standard input.
    """

    log_json: Path | None = None
    metrics: Path | None = None
    on_finish: str | None = None


@dataclass
class Observed:
    """An attempt under way.

    Attributes:
        progress: what the run reports its progress to.
        result: what the run gave, once it is done.
    """

    progress: Progress
    result: RunResult | None = None


@contextmanager
def observed(
    book: Path,
    booked_on: dt.date,
    command: str,
    watchers: Watchers,
    progress: Progress,
    *,
    dry_run: bool,
) -> Iterator[Observed]:
    """Tells of an attempt: what is done in it, and how it ended, however it ended.

    Raises:
        InputError: a watcher cannot be told; nothing was booked.
    """
    place = Book.at(book)
    log = PhaseLog.at(watchers.log_json)
    metrics = None if watchers.metrics is None else metrics_file(watchers.metrics)
    on_finish = _words(watchers.on_finish)
    notes = Notes(place, booked_on, command)
    lineage = Lineage(place.path, notes.attempt.attempt, booked_on, dry_run=dry_run)
    attempt = Observed(progress)
    log.begin(book=str(place.path), booked_on=booked_on.isoformat(), dry_run=dry_run)
    exit_code, error = 0, None
    try:
        if not dry_run:
            notes.begin()
        lineage.begin()
        with log.watching(progress) as attempt.progress:
            yield attempt
    except BaseException as failure:
        error = error_value(failure)
        exit_code = int(error["exit_code"])
        raise
    finally:
        result = attempt.result if error is None else None
        code = None if error is None else str(error["code"])
        run_id = None if result is None else result.record.run_id
        if not dry_run:
            notes.end(exit_code, code, run_id)
        ended_at = dt.datetime.now(dt.UTC)
        ended = replace(notes.attempt, ended_at=ended_at, exit=exit_code, code=code, run_id=run_id)
        value = {"error": error} if result is None else record_value(result)
        # The run is done, or has failed for a reason of its own: a watcher changes neither.
        with _only_warned_of():
            log.event("ended", exit=exit_code, code=code, run_id=run_id, seconds=ended.seconds)
        with _only_warned_of():
            if metrics is not None and not dry_run:
                write_metrics(metrics, place.path, ended, result)
        lineage.end(result, code)
        with _only_warned_of():
            if on_finish:
                _tell(on_finish, value)


@contextmanager
def _only_warned_of() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # noqa: BLE001 - a run that is booked stays so
        what = error.message if isinstance(error, MynapointError) else str(error)
        with suppress(Exception):
            sys.stderr.write(f"warning: {what}\n")


def _words(command: str | None) -> Sequence[str]:
    if command is None:
        return ()
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(
            f"--on-finish: {error}", hint="quote it as for a shell, which it does not pass through"
        ) from error
    if not words:
        raise InputError("--on-finish: the command is empty", hint="name a program")
    return words


def _tell(command: Sequence[str], value: dict[str, Any]) -> None:
    """Runs a command with a value on its standard input; what it prints goes to stderr."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own words, and no shell
            command,
            input=text,
            encoding="utf-8",
            errors="replace",
            stdout=subprocess.PIPE,
            check=False,
        )
    except OSError as error:
        raise InputError(
            f"--on-finish: {command[0]}: {error.strerror or error}", hint="name a program"
        ) from error
    sys.stderr.write(done.stdout)
    if done.returncode:
        raise InputError(
            f"--on-finish: {command[0]} ended with exit code {done.returncode}", hint="see above"
        )

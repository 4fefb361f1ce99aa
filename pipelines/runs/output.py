"""Runs, attempts and the state of a book, on the terminal and for machines."""

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final

from pipelines.run.attempts import Attempt
from pipelines.runs.history import BookedRun, BookStatus
from pipelines.shown.terminal import output, plain, print_json, table
from pipelines.shown.texts import Texts

__all__ = ["print_attempts", "print_json", "print_runs", "print_status", "status_value"]

_JAPAN: Final = dt.timezone(dt.timedelta(hours=9))
_RUN_NUMBERS: Final = ("read", "booked", "declined", "quarantined", "points")


def print_runs(runs: Sequence[BookedRun], texts: Texts) -> None:
    """Prints a line for each run."""
    columns = [
        *((texts(name), False) for name in ("run", "booked_on", "finished", "by")),
        (texts("seconds"), True),
        *((texts(name), True) for name in _RUN_NUMBERS),
    ]
    rows = []
    for run in runs:
        value = run.to_json()
        by = "" if value["user"] is None else f"{value['user']}@{value['host']}"
        rows.append(
            (
                *(value["run_id"], value["booked_on"], _local(run.finished_at), by),
                _seconds(run.seconds),
                *(value[name] for name in _RUN_NUMBERS),
            )
        )
    output().print(table(columns, rows))


def print_attempts(attempts: Sequence[Attempt], texts: Texts) -> None:
    """Prints a line for each attempt."""
    if not attempts:
        output().print(texts("no_attempts"))
        return
    columns = [
        *((texts(name), False) for name in ("begun", "booked_on", "by")),
        (texts("seconds"), True),
        (texts("exit"), True),
        *((texts(name), False) for name in ("code", "run")),
    ]
    rows = [
        (
            *(_local(attempt.begun_at), attempt.booked_on, f"{attempt.user}@{attempt.host}"),
            _seconds(attempt.seconds),
            attempt.exit,
            attempt.code or (texts("under_way") if attempt.ended_at is None else ""),
            attempt.run_id,
        )
        for attempt in attempts
    ]
    output().print(table(columns, rows))


def status_value(status: BookStatus, max_age: dt.timedelta | None) -> dict[str, Any]:
    """The state of a book for machines."""
    return {
        "last_run": status.last.to_json(),
        "last_success_at": status.last_success_at.isoformat(),
        "age_seconds": int(status.age.total_seconds()),
        "max_age_seconds": None if max_age is None else int(max_age.total_seconds()),
        "is_too_old": max_age is not None and status.age > max_age,
        "is_at_work": status.is_at_work,
        "failed_since": [attempt.to_json() for attempt in status.failed_since],
        "totals": dict(status.totals),
    }


def print_status(status: BookStatus, max_age: dt.timedelta | None, texts: Texts) -> None:
    """Prints the state of a book."""
    console, last = output(), status.last
    console.print(
        texts(
            "last_run",
            run=last.record.run_id,
            booked_on=last.record.booked_on,
            finished=_local(last.finished_at),
        )
    )
    age = _age(status.age)
    console.print(texts("last_success", at=_local(status.last_success_at), age=age))
    if max_age is not None and status.age > max_age:
        console.print(texts("too_old", max_age=_age(max_age)), style="bold")
    if status.is_at_work:
        console.print(texts("at_work"))
    if status.failed_since:
        latest = status.failed_since[-1]
        console.print(
            plain(
                texts(
                    "failed_since",
                    attempts=len(status.failed_since),
                    at=_local(latest.ended_at or latest.begun_at),
                    code=latest.code,
                )
            )
        )
    totals = [(texts(name), number) for name, number in status.totals.items()]
    console.print(table([("", False), ("", True)], totals))


def _local(instant: dt.datetime) -> str:
    return f"{instant.astimezone(_JAPAN):%Y-%m-%d %H:%M:%S}"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:,.1f}"


def _age(age: dt.timedelta) -> str:
    days, seconds = age.days, age.seconds
    return f"{days}d {seconds // 3600:02}:{seconds // 60 % 60:02}"

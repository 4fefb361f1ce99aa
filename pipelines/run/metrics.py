"""What a run was, as a text file for Prometheus's node exporter (its textfile collector)."""

from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.result_folders import check_outside_books, writable
from engine.io.run.one_run import RunResult
from engine.paths import local_path
from pipelines.run.attempts import Attempt


def metrics_file(path: Path) -> Path:
    """The place of the file, looked at before the run.

    Raises:
        InputError: the library is not installed, or the place is none for such a file.
    """
    require_extra("--metrics", "metrics", "prometheus_client")
    path = local_path(path)
    check_outside_books(path)
    if path.suffix != ".prom":
        raise InputError(
            f"--metrics: {path}: the name does not end in .prom",
            hint="the textfile collector reads no other files",
        )
    return path


def write_metrics(path: Path, book: Path, attempt: Attempt, result: RunResult | None) -> None:
    """Puts a new file in the place of the one before; without a result, none of success.

    Raises:
        InputError: it cannot be written.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    registry = CollectorRegistry()

    def gauge(name: str, help_: str, value: float, **labels: str) -> None:
        labelled = {"book": str(book), **labels}
        if name not in made:
            made[name] = Gauge(f"mynapoint_{name}", help_, list(labelled), registry=registry)
        made[name].labels(**labelled).set(value)

    made: dict[str, Gauge] = {}
    assert attempt.ended_at is not None
    assert attempt.exit is not None
    gauge("attempt_timestamp_seconds", "When the last attempt ended.", attempt.ended_at.timestamp())
    gauge("attempt_seconds", "How long the last attempt took.", attempt.seconds or 0)
    gauge("attempt_exit_code", "The exit code of the last attempt.", attempt.exit)
    if result is not None:
        record = result.record
        counts, yen, points = record.counts, record.yen, record.points
        gauge(
            "last_success_timestamp_seconds",
            "When the last attempt that succeeded ended.",
            attempt.ended_at.timestamp(),
        )
        gauge("run_number", "The number of the run.", record.number)
        gauge("run_booked_on_timestamp_seconds", "Midnight UTC of --booked-on.", _midnight(result))
        for split, name, what in ((counts, "rows", "Transactions"), (yen, "yen", "Yen")):
            for state, value in (
                ("read", split.read),
                ("reconsidered", split.reconsidered),
                ("booked", split.booked),
                ("declined", split.all_declined),
                ("quarantined", split.quarantined),
                ("skipped", split.all_skipped),
            ):
                gauge(
                    f"run_{name}", f"{what} of the run, by what became of them.", value, state=state
                )
        for reason, value in counts.declined.items():
            gauge("run_declined_rows", "Declined transactions, by reason.", value, reason=reason)
        for direction, value in (("awarded", points.awarded), ("reversed", points.reversed)):
            gauge("run_points", "Points of the run.", value, direction=direction)
        for state, value in (
            ("accepted", counts.enrollments.accepted),
            ("rejected", counts.enrollments.all_rejected),
            ("quarantined", counts.enrollments.quarantined),
        ):
            gauge("run_enrollments", "Applications, by what became of them.", value, state=state)
        gauge("run_warnings", "Warnings of the run.", len(record.warnings))
    with writable(path):
        # For another user to read, and nothing of people is in it.
        write_to_textfile(str(path), registry)


def _midnight(result: RunResult) -> float:
    import datetime as dt

    booked_on = result.record.booked_on
    return dt.datetime.combine(booked_on, dt.time(), dt.UTC).timestamp()

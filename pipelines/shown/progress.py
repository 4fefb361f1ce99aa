"""A progress bar on a terminal, and nothing in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.io.run.order import Progress, no_progress

_PHASES = {
    "fetch": "取得 fetch",
    "index": "索引 index",
    "enrollments": "申込 enrollments",
    "transactions": "取引 transactions",
    "booking": "記帳 booking",
    "commit": "確定 commit",
    "publish": "公開 publish",
}


@contextmanager
def progress_bar(*, wanted: bool) -> Iterator[Progress]:
    """Gives a run what it reports its progress to."""
    if not (wanted and sys.stderr.isatty()):
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, object] = {}

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(_PHASES[phase], total=total)
            bars.update(tasks[phase], completed=done, total=total)  # type: ignore[arg-type]

        yield report

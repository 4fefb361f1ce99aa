"""A progress bar on a terminal, and nothing in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.io.run.order import Progress, no_progress
from pipelines.shown.texts import Lang, Texts, lang_of_locale


@contextmanager
def progress_bar(lang: Lang | None = None, *, wanted: bool) -> Iterator[Progress]:
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
        texts = Texts("run", lang or lang_of_locale())

        def report(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = bars.add_task(texts(f"phase_{phase}"), total=total)
            bars.update(tasks[phase], completed=done, total=total)  # type: ignore[arg-type]

        yield report

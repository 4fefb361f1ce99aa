"""Where a run is calculated: on this machine, or on a Spark cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from engine.errors import InputError
from engine.io.run.one_run import Calculator


@contextmanager
def engine_of(
    name: str, master: str | None, settings: Sequence[str]
) -> Iterator[Calculator | None]:
    """What calculates a run on the engine that the command line names; None for this machine's own.

    Raises:
        InputError: the cluster cannot be used, or its options do not belong to this engine.
    """
    if name != "spark":
        if master is not None or settings:
            raise InputError(
                "--master and --conf are of a Spark cluster",
                hint="give --engine spark as well, or leave them out",
            )
        yield None
        return
    from engine.spark import on_spark

    with on_spark(master, dict(map(_setting, settings))) as how:
        yield how


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise InputError(
            f"--conf {text}: expected NAME=VALUE", hint="such as spark.executor.memory=8g"
        )
    return name.strip(), value

"""The cluster: a Spark context, and how slices of people are sent to it."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from pickle import PicklingError
from subprocess import TimeoutExpired
from typing import TYPE_CHECKING, Any, Final

from engine.columns.hashing import FINGERPRINT
from engine.errors import BookError, InputError, MynapointError
from engine.extras import require_extra
from engine.io.book.checked import DamagedIndex
from engine.io.run.slices import FoldedSlice, Slice, SliceWork
from engine.spark.task import fold_there

if TYPE_CHECKING:
    from pyspark import SparkContext

LOG: Final = "MYNAPOINT_SPARK_LOG"
Fold = Callable[[Slice], FoldedSlice]
_UNLESS_SET: Final = {
    "spark.app.name": "mynapoint",
    # A task is one thread; Spark runs as many as there are cores.
    "spark.executorEnv.POLARS_MAX_THREADS": "1",
}
_LONGEST_END_SECONDS: Final = 30


def check_installed() -> None:
    """Refuses a machine on which Spark cannot be.

    Raises:
        InputError: naming what is missing.
    """
    require_extra(
        "--engine spark", "spark", "pyspark", where=", here and on the cluster's machines"
    )
    home = os.environ.get("JAVA_HOME")
    if "PYSPARK_GATEWAY_PORT" not in os.environ and not (
        shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    ):
        raise InputError(
            "--engine spark: there is no Java"
            + (f" in JAVA_HOME ({home})" if home else " on the PATH"),
            hint="install Java 17, or set JAVA_HOME to where it is",
        )


@contextmanager
def spark_context(master: str | None, settings: Mapping[str, str]) -> "Iterator[SparkContext]":
    """A Spark context, with Spark's own configuration and these settings on top of it.

    Raises:
        InputError: Spark cannot be started, or does not reach the master.
    """
    check_installed()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    from py4j.protocol import Py4JError, Py4JJavaError
    from pyspark import SparkConf, SparkContext
    from pyspark.errors import PySparkException
    from pyspark.java_gateway import launch_gateway

    # Whoever starts Spark as a shell would get its progress bar.
    given = SparkConf(loadDefaults=False).set("spark.ui.showConsoleProgress", "false")
    if master is not None:
        given.setMaster(master)
        if master.startswith("local"):
            # Java moves bytes here and no more: compiling itself thoroughly would be most of a
            # small run's work.
            given.set("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1")
    given.setAll(list(settings.items()))
    try:
        with _quiet():
            gateway = launch_gateway(given)
        conf = SparkConf(_jvm=gateway.jvm).setAll(given.getAll())
        unless_set = dict(_UNLESS_SET)
        if conf.get("spark.master", "").startswith("local"):
            unless_set["spark.ui.enabled"] = "false"
        for name, value in unless_set.items():
            conf.setIfMissing(name, value)
        context = SparkContext(conf=conf, gateway=gateway)
        if LOG not in os.environ:
            context.setLogLevel("OFF")
    except (PySparkException, Py4JJavaError, Py4JError, OSError, ValueError) as error:
        raise InputError(
            f"--engine spark: Spark could not be started: {_reason(error)}",
            hint=f"Spark needs Java 17 and a master that it can reach; {LOG}=FILE keeps what it "
            "says; nothing was booked",
        ) from error
    try:
        yield context
    finally:
        with suppress(Exception):
            context.stop()
            _end(gateway)


def _end(gateway: Any) -> None:  # noqa: ANN401 - py4j has no types
    """Waits for the end of the Java process, when it was started here."""
    process = getattr(gateway, "proc", None)
    if process is None:
        return
    from pyspark import SparkContext

    gateway.shutdown()
    process.stdin.close()
    try:
        process.wait(timeout=_LONGEST_END_SECONDS)
    except TimeoutExpired:
        process.kill()
        process.wait()
    # Or a further session in this process would look for it.
    SparkContext._gateway = SparkContext._jvm = None


@contextmanager
def _quiet() -> Iterator[None]:
    """What is started meanwhile writes to a log, not to this command's outputs."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        yield
        return
    sys.stdout.flush()
    sys.stderr.flush()
    path = os.environ.get(LOG) or os.devnull
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    kept = os.dup(1), os.dup(2)
    try:
        os.dup2(log, 1)
        os.dup2(log, 2)
        yield
    finally:
        for descriptor, to in zip(kept, (1, 2), strict=True):
            os.dup2(descriptor, to)
            os.close(descriptor)
        os.close(log)


class SparkCluster:
    """Has slices folded on Spark."""

    def __init__(self, context: "SparkContext") -> None:
        self._context = context

    @property
    def cores(self) -> int:
        """How many tasks are at work at once, as far as Spark knows."""
        return max(1, int(self._context.defaultParallelism))

    @contextmanager
    def sending(self, work: SliceWork, folder: Path) -> Iterator[Fold]:
        """Sends to the cluster what every slice is folded with; gives what has one folded there."""
        with _reported():
            sent = self._context.broadcast(work)

        def fold(people: Slice) -> FoldedSlice:
            answer: FoldedSlice | MynapointError | DamagedIndex
            with _reported():
                (answer,) = (
                    self._context.parallelize([people], 1)
                    .map(partial(fold_there, sent, folder, FINGERPRINT))
                    .collect()
                )
            if isinstance(answer, Exception):
                raise answer
            return answer

        try:
            yield fold
        finally:
            # After an error, slices may still be under way.
            with suppress(Exception):
                self._context.cancelAllJobs()
                sent.destroy()


@contextmanager
def _reported() -> Iterator[None]:
    """Reports in a line that Spark gave up.

    Raises:
        BookError: it did.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JError, OSError, PicklingError) as error:
        raise BookError(
            f"Spark gave up: {_reason(error)}",
            hint=f"see Spark's own log ({LOG}=FILE keeps the driver's); nothing was booked, "
            "run again",
        ) from error


def _reason(error: Exception) -> str:
    """Why Spark gave up, without the values that an error of a task may hold."""
    text = str(error)
    frames = re.findall(r'File "([^"]+)", line (\d+)', text)
    raised = re.findall(
        r"^(?:[\w.]+\.)?(\w+(?:Error|Exception|Exit|Interrupt)): ", text, re.MULTILINE
    )
    if frames and raised:
        return f"{raised[-1]} at {Path(frames[-1][0]).name}:{frames[-1][1]} in a task"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    error_line = next((line for line in lines if "Exception" in line or "Error" in line), "")
    line = error_line or (lines[0] if lines else "") or type(error).__name__
    return line.split("most recent failure")[0][:300]

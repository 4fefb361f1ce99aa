"""A Spark cluster: one master and two workers, processes of their own, on the loopback alone."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PATIENCE_SECONDS = 60
# Compiling itself thoroughly would be most of what Java does here.
QUICK_JAVA = "-XX:TieredStopAtLevel=1"
_DIE_WITH_PARENT = 1
LOOPBACK = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.ui.enabled": "false",
    # One on each worker, so that a second run finds cores too.
    "spark.cores.max": "2",
    "spark.executor.cores": "1",
    "spark.executor.memory": "512m",
    "spark.driver.memory": "512m",
    "spark.driver.extraJavaOptions": QUICK_JAVA,
    "spark.executor.extraJavaOptions": QUICK_JAVA,
}


def _end_with_the_test() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)


class Cluster:
    """Started when it is made; ``stop`` ends every process of it."""

    def __init__(self, folder: Path) -> None:
        import pyspark

        self._folder = folder
        self._spark_class = Path(pyspark.__file__).parent / "bin" / "spark-class"
        self._started = 0
        self._workers: list[subprocess.Popen[bytes]] = []
        self._master, log = self._start(
            "org.apache.spark.deploy.master.Master", "--port", "0", "--webui-port", "0"
        )
        self.master = _told(log, r"Starting Spark master at (spark://127\.0\.0\.1:\d+)")
        for _ in range(2):
            self.add_worker()

    @property
    def environment(self) -> Mapping[str, str]:
        return os.environ | {"SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}

    def _start(self, name: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        self._started += 1
        log = self._folder / f"{self._started}-{name.rsplit('.', 1)[-1]}.log"
        command = [str(self._spark_class), name, "--host", "127.0.0.1", *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={
                    **self.environment,
                    "SPARK_DAEMON_MEMORY": "256m",
                    "SPARK_DAEMON_JAVA_OPTS": QUICK_JAVA,
                },
                start_new_session=True,
                preexec_fn=_end_with_the_test,  # noqa: PLW1509 - a system call and no more
            )
        return process, log

    def add_worker(self) -> None:
        """Starts a worker, and waits until the master knows it."""
        work = self._folder / f"work-{self._started}"
        worker, log = self._start(
            "org.apache.spark.deploy.worker.Worker",
            *("--cores", "3", "--memory", "2g", "--webui-port", "0", "--work-dir", str(work)),
            self.master,
        )
        _told(log, r"(Successfully registered) with master")
        self._workers.append(worker)

    def kill_worker(self) -> None:
        """Ends a worker and its executors in the middle of whatever they do."""
        _kill(self._workers.pop(0))

    def stop(self) -> None:
        for process in (*self._workers, self._master):
            _kill(process)


def _kill(process: subprocess.Popen[bytes]) -> None:
    # A session of its own: the worker, its executors, their Python processes.
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=PATIENCE_SECONDS)


def _told(log: Path, pattern: str) -> str:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"{log.name}: not told within {PATIENCE_SECONDS} s: {pattern}")

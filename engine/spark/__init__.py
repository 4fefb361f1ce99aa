"""A run whose slices of people are folded by an Apache Spark cluster.

The driver does all that one machine does (``engine.io.run.calculation``) up to the slices: it
recalls the book, takes in the deliveries and settles what came twice; each slice's rows are in a
file in the book's staging folder. Then it broadcasts what all slices are folded with, and each
slice is a Spark job of one task, which reads the rows, folds them and writes the ledger file. What
comes back is small: digests, totals, declined rows. The driver gives the files their names, in
order, and commits.

Each attempt of a task writes a file of its own; the driver uses that of the answer it got, so a
task that is retried or run twice leaves nothing double.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from engine.io.run.one_run import Calculated, Calculator, Run


@contextmanager
def on_spark(master: str | None, settings: Mapping[str, str]) -> Iterator[Calculator]:
    """Starts Spark; gives what calculates a run on it, for ``mynapoint.run(how=...)``.

    Raises:
        InputError: Spark is not there, cannot be started, or does not reach the master.
    """
    from engine.spark.calculation import CalculationOnSpark
    from engine.spark.cluster import SparkCluster, spark_context

    with spark_context(master, settings) as context:
        cluster = SparkCluster(context)

        def calculate(run: Run, staged: Path) -> Calculated:
            return CalculationOnSpark(cluster, run, staged).calculate()

        yield calculate

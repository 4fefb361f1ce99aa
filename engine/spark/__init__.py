"""A run on Apache Spark: the same functions on many machines, the shuffle between them Spark's.

Rows travel as messages: some thousand rows of Arrow in one Spark row, addressed to a partition of
the next station. Stations are Python functions that Spark runs through Arrow (``mapInArrow``):

    reading     a stretch of a delivery, or a ledger file that is not yet remembered
    keys        all rows of some keys, and what the book knows of these keys
    people      all rows of some people: the slice is folded and its ledger file written
    tables      what the run keeps beside the ledger, one writer a table

Whatever a task writes has a name of its own attempt; only the names that come back through the
shuffle are used, so a task that is retried or run twice leaves nothing double. The driver sees
names, counts and digests, no rows.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from engine.io.run.nightly import Run


@contextmanager
def on_spark(master: str | None, settings: Mapping[str, str]) -> Iterator[Callable[..., Run]]:
    """Starts Spark; gives what makes a run on it, for ``engine.run(how=...)``.

    Raises:
        InputError: Spark is not there, cannot be started, or does not reach the master.
    """
    from engine.spark.cluster import SparkCluster, spark_session
    from engine.spark.spark_run import SparkRun

    with spark_session(master, settings) as session:
        yield partial(SparkRun, SparkCluster(session))

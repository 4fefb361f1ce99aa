"""The first night's job in Spark SQL: the SQL beside this file, on `local[THREADS]`.

It is plain Spark SQL with adaptive execution, no Python function in it. Whole rows are shuffled
once, by ranges of people; enrollments are broadcast, which some millions of them allow. It books
what the engine books on a fresh book from input that is already known to be well formed, and
leaves out:

- reading with suspicion: trimming, codes for malformed values, ragged rows, offsets in times.
  Conflicting keys are counted, not written to quarantine;
- what each entry changes: the night is booked as it ends. A charge or purchase says what it counts
  and earns after all refunds, a refund says 0, and nothing is recounted. So the points of one entry
  are not the engine's, but what was awarded less what was reversed is;
- half of what can befall enrollments: an account that two people claim is not looked for, nor an
  application delivered twice; a person's later application is accepted if the service of the one
  before it had ended, whether or not that one was accepted; rejections are not written;
- books: no earlier nights, no events, no lock, no commit to a Delta table, no run record, no digest
  of the files read or written, nothing synced to disk, nothing read back.

The ledger and the declined rows are folders of Parquet files, as are the tables on the way. Of the
memory that is measured most is the Java process's heap, which takes what it is given:
`--memory-limit`.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import interface
from pyspark.sql import SparkSession

TYPES = {
    "amount": "BIGINT",
    "occurred_at": "TIMESTAMP_NTZ",
    "applied_at": "TIMESTAMP_NTZ",
    "reserved_at": "TIMESTAMP_NTZ",
    "certificate_issued_at": "TIMESTAMP_NTZ",
    "card_applied_on": "DATE",
    "preregistered_on": "DATE",
}
SERVICES = (
    "service_id STRING, basis STRING, rounding STRING, counts_from STRING, preregistration BOOLEAN,"
    " applications_close_on DATE, awards_close_on DATE, excluded_methods ARRAY<STRING>"
)
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.log.level": "ERROR",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.compression.codec.zstd.level": "1",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}


def started(job: interface.Job) -> SparkSession:
    """Spark on this machine, with so many threads and so much memory."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(f"local[{job.threads}]")
    settings = SETTINGS | {
        "spark.driver.memory": job.memory_limit.lower().removesuffix("b"),
        "spark.local.dir": str(job.out / "spill"),
        "spark.sql.warehouse.dir": str(job.out / "warehouse"),
        "spark.sql.shuffle.partitions": str(16 * job.threads),
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session: SparkSession = builder.getOrCreate()
    return session


def view(session: SparkSession, name: str, files: list[Path], columns: tuple[str, ...]) -> None:
    """Make a view of the files with all canonical columns, those not delivered null."""
    delivered = interface.columns_of(files[0])
    paths = [str(path) for path in files]
    if interface.is_parquet(files[0]):
        frame = session.read.parquet(*paths)
    else:
        schema = ", ".join(f"`{c}` {TYPES.get(c, 'STRING')}" for c in delivered)
        frame = session.read.csv(
            paths, schema=schema, header=True, nullValue="", emptyValue="", escape='"'
        )
    frame.selectExpr(
        *(
            f"CAST({c if c in delivered else 'NULL'} AS {TYPES.get(c, 'STRING')}) AS {c}"
            for c in columns
        )
    ).createTempView(name)


def prepare(session: SparkSession, job: interface.Job) -> None:
    """Give the SQL its inputs."""
    names = [column.split()[0] for column in SERVICES.split(", ")]
    rows = [tuple(service[name] for name in names) for service in job.services]
    session.createDataFrame(rows, SERVICES).createTempView("service_in")
    view(session, "enrollment_in", job.enrollments, interface.ENROLLMENT_COLUMNS)
    view(session, "transaction_in", job.transactions, interface.TRANSACTION_COLUMNS)


def outcome(session: SparkSession, job: interface.Job) -> interface.Outcome:
    """Count what was booked and declined."""

    def rows(query: str) -> list[Any]:
        return [tuple(row) for row in session.sql(query).collect()]

    ledger, declined = (f"parquet.`{job.out}/{name}.parquet`" for name in ("ledger", "declined"))
    ((points, booked),) = rows(f"SELECT coalesce(sum(points), 0), count(*) FROM {ledger}")
    return interface.Outcome(
        rows=rows("SELECT count(*) FROM transaction_in")[0][0],
        booked=booked,
        conflicts=rows("SELECT count(*) FROM set_aside WHERE conflict")[0][0],
        points_net=points,
        declined=dict(rows(f"SELECT reason, count(*) FROM {declined} GROUP BY reason")),
    )


def main() -> None:
    """Run the job and print what came of it."""
    job = interface.parse(__doc__)
    began = time.perf_counter()
    session = started(job)
    prepare(session, job)
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
    names = {"run_id": interface.RUN_ID, "booked_on": interface.BOOKED_ON.isoformat()}
    lines = (line for line in script.splitlines() if not line.startswith("--"))
    for statement in "\n".join(lines).split(";"):
        if statement.strip():
            session.sql(statement.format(**names))
    for name in ("ledger", "declined"):
        session.table(name).write.mode("overwrite").parquet(f"{job.out}/{name}.parquet")
    found = outcome(session, job)
    seconds = time.perf_counter() - began
    gateway = session.sparkContext._gateway
    session.stop()
    gateway.shutdown()
    # Java counts as this process's child once it has ended.
    gateway.proc.stdin.close()
    gateway.proc.wait()
    interface.print_outcome(found, seconds, of_children=True)


if __name__ == "__main__":
    main()

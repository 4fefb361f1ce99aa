"""The first night's job in DuckDB: the SQL beside this file, run from top to bottom.

It books what the engine books on a fresh book from input that is already known to be well formed,
and leaves out:

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

Memory-bound steps may spill under `--out`.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import duckdb
import interface

TYPES = {
    "amount": "BIGINT",
    "occurred_at": "TIMESTAMP",
    "applied_at": "TIMESTAMP",
    "reserved_at": "TIMESTAMP",
    "certificate_issued_at": "TIMESTAMP",
    "card_applied_on": "DATE",
    "preregistered_on": "DATE",
}
SERVICE_COLUMNS = {
    "service_no": "SMALLINT",
    "service_id": "VARCHAR",
    "basis": "VARCHAR",
    "rounding": "VARCHAR",
    "counts_from": "VARCHAR",
    "preregistration": "BOOLEAN",
    "applications_close_on": "DATE",
    "awards_close_on": "DATE",
    "excluded_methods": "VARCHAR[]",
}


def text(value: str) -> str:
    """A text literal in SQL."""
    return "'" + value.replace("'", "''") + "'"


def view(name: str, files: Sequence[Path], columns: Sequence[str]) -> str:
    """The SQL for a view of the files with all canonical columns, those not delivered null."""
    delivered = set(interface.columns_of(files[0]))
    names = "[" + ", ".join(text(str(path)) for path in files) + "]"
    if interface.is_parquet(files[0]):
        source = f"read_parquet({names}, union_by_name = {str(len(files) > 1).lower()})"
    else:
        typed = {c: TYPES.get(c, "VARCHAR") for c in columns if c in delivered}
        source = (
            f"read_csv({names}, header = true, delim = ',', quote = '\"', escape = '\"',"
            f" nullstr = '', union_by_name = {str(len(files) > 1).lower()}, types = {typed})"
        )
    selected = ", ".join(
        f"{c if c in delivered else 'NULL'}::{TYPES.get(c, 'VARCHAR')} AS {c}" for c in columns
    )
    return f"CREATE VIEW {name} AS SELECT {selected} FROM {source}"


def prepare(connection: duckdb.DuckDBPyConnection, job: interface.Job) -> None:
    """Set DuckDB up and give the SQL its inputs and its variables."""
    settings = {
        "threads": str(job.threads),
        "memory_limit": text(job.memory_limit),
        "temp_directory": text(str(job.out / "spill")),
        "preserve_insertion_order": "false",
        "enable_progress_bar": "false",
    }
    for name, value in settings.items():
        connection.execute(f"SET {name} = {value}")
    columns = ", ".join(f"{name} {kind}" for name, kind in SERVICE_COLUMNS.items())
    connection.execute(f"CREATE TABLE service_in ({columns})")
    # Numbered in the order of their names, so that numbers sort as the names do.
    in_order = sorted(job.services, key=lambda service: service["service_id"])
    numbered = [service | {"service_no": number} for number, service in enumerate(in_order)]
    connection.executemany(
        f"INSERT INTO service_in VALUES ({', '.join('?' * len(SERVICE_COLUMNS))})",
        [[service[name] for name in SERVICE_COLUMNS] for service in numbered],
    )
    connection.execute(view("enrollment_in", job.enrollments, interface.ENROLLMENT_COLUMNS))
    connection.execute(view("transaction_in", job.transactions, interface.TRANSACTION_COLUMNS))
    variables = {
        "run_id": text(interface.RUN_ID),
        "booked_on": f"DATE '{interface.BOOKED_ON}'",
        "ledger_file": text(str(job.out / "ledger.parquet")),
        "declined_file": text(str(job.out / "declined.parquet")),
    }
    for name, value in variables.items():
        connection.execute(f"SET VARIABLE {name} = {value}")


def outcome(connection: duckdb.DuckDBPyConnection, job: interface.Job) -> interface.Outcome:
    """Count what was booked and declined."""

    def row(query: str) -> tuple[int, ...]:
        return connection.execute(query).fetchall()[0]

    points, booked = row(
        "SELECT coalesce(sum(points), 0)::BIGINT, count(*)"
        " FROM read_parquet(getvariable('ledger_file'))"
    )
    declined = connection.execute(
        "SELECT reason, count(*) FROM read_parquet(getvariable('declined_file')) GROUP BY reason"
    ).fetchall()
    # A Parquet file knows its rows; to count a CSV file's would be to parse it again.
    delivered = "transaction_in" if interface.is_parquet(job.transactions[0]) else "tx"
    return interface.Outcome(
        rows=row(f"SELECT count(*) FROM {delivered}")[0],
        booked=booked,
        conflicts=row("SELECT count(*) FROM set_aside WHERE conflict")[0],
        points_net=points,
        declined=dict(declined),
    )


def main() -> None:
    """Run the job and print what came of it."""
    job = interface.parse(__doc__)
    started = time.perf_counter()
    with duckdb.connect() as connection:
        prepare(connection, job)
        script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")
        for statement in connection.extract_statements(script):
            connection.execute(statement)
        found = outcome(connection, job)
    interface.print_outcome(found, time.perf_counter() - started)


if __name__ == "__main__":
    main()

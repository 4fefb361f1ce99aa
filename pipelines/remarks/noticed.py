"""A book looked through for each pattern."""

from dataclasses import dataclass
from typing import Any, Final

import pyarrow.compute as pc

from engine.io.book.format import RunTable
from engine.records import arrow_schema
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.remarks.looked_for import NFKC, PATTERNS, Pattern

_STANDING: Final = """
CREATE VIEW standing AS
SELECT l.*
FROM ledger_rows AS l
LEFT JOIN void_of AS v USING (service_id, transaction_id)
-- A run's voids come ahead of its bookings.
WHERE l.kind IN ('charge', 'purchase', 'refund') AND l.run_id >= coalesce(v.voided_in, '')
"""
_VOIDS: Final = """
CREATE TABLE void_of AS
SELECT service_id, transaction_id, max(run_id) AS voided_in
FROM ledger_rows
WHERE kind IN ('charge_void', 'purchase_void', 'refund_void')
GROUP BY service_id, transaction_id
"""
_BY_RUN: Final = """
CREATE TABLE by_run AS
SELECT run_id, sum(points)::BIGINT AS points, sum(points) / count(*) AS per_entry
FROM ledger_rows
WHERE points > 0
GROUP BY run_id
"""
_COLUMNS: Final = (
    "run_id::VARCHAR AS run_id, service_id::VARCHAR AS service_id, "
    "account_id::VARCHAR AS account_id, person_id::VARCHAR AS person_id, "
    "transaction_id::VARCHAR AS transaction_id, occurred_at::TIMESTAMP AS occurred_at, "
    "points::BIGINT AS points, detail::BIGINT AS detail"
)


@dataclass(frozen=True, slots=True)
class Remark:
    """What was found of one pattern: how often, and the points concerned."""

    pattern: Pattern
    times: int
    points: int

    def value(self) -> dict[str, Any]:
        """For machines."""
        return {
            "pattern": self.pattern.name,
            "thresholds": dict(self.pattern.thresholds),
            "times": self.times,
            "points": self.points,
        }


def look_through(opened: OpenedBook, database: Database) -> list[Remark]:
    """Looks for each pattern; leaves the table ``remarks`` with a row for each time it was found.

    Raises:
        BookError: a file of the book is damaged.
    """
    with book_readable(opened.book):
        files = [file.path for file in opened.ledger_files]
    database.ledger(files)
    database.function_of_text(NFKC, lambda texts: pc.utf8_normalize(texts, form="NFKC"))
    for statement in (_VOIDS, _STANDING, _BY_RUN):
        database.rows(statement)
    for view, table in (("accepted", RunTable.ACCEPTED), ("event", RunTable.ACCEPTED_EVENTS)):
        paths = opened.tables(table)
        database.parquet(f"{view}_rows", paths, arrow_schema(table.record))
        places = [(place, path.parent.name) for place, path in enumerate(paths)]
        database.table(f"{view}_run", {"file": "BIGINT", "run_id": "VARCHAR"}, places)
    database.rows(
        "CREATE VIEW enrolled AS SELECT * FROM accepted_rows JOIN accepted_run USING (file)"
    )
    database.rows(
        "CREATE VIEW stopped AS SELECT DISTINCT service_id, account_id, effective_at "
        "FROM event_rows WHERE kind = 'enrollment_stopped'"
    )
    caps = [(record.run_id, opened.programme(record.number).cap_yen) for record in opened.records]
    database.table("cap_of_run", {"run_id": "VARCHAR", "cap_yen": "BIGINT"}, caps)
    parts = [
        f"SELECT '{pattern.name}' AS pattern, {_COLUMNS} "  # noqa: S608 - names of ours
        f"FROM ({pattern.sql.format(**pattern.thresholds)})"
        for pattern in PATTERNS
    ]
    database.rows(f"CREATE TABLE remarks AS {parts[0]} LIMIT 0")
    for part in parts:
        # One after the other: each may need all the memory that there is.
        database.rows(f"INSERT INTO remarks {part}")
    found = {
        name: (int(times), int(points))
        for name, times, points in database.rows(
            "SELECT pattern, count(*), sum(points) FROM remarks GROUP BY pattern"
        )
    }
    return [Remark(pattern, *found.get(pattern.name, (0, 0))) for pattern in PATTERNS]

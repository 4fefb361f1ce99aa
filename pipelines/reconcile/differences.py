"""The claim beside the ledger, key by key: every difference is one row, and the sums agree.

A key's points in the ledger are the sum over all its entries: refunds, voids, recounts. A key that
is absent on one side counts as none there, so what earned nothing needs no row in the claim.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import BookError
from engine.io.book.folder import run_id
from engine.io.book.format import RunTable
from engine.records import BLANKS, arrow_schema
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.desk.quarantined import fields_of
from pipelines.reconcile.claim_file import ACCOUNT, ALL, MONTH, SCOPE, TRANSACTION
from pipelines.reconcile.resolutions import OPEN, RESOLUTIONS, Resolution

MISSING_IN_CLAIM: Final = "missing_in_claim"
MISSING_IN_LEDGER: Final = "missing_in_ledger"
POINTS_DIFFER: Final = "points_differ"
CLAIMED_TWICE: Final = "claimed_twice"
KINDS: Final = (MISSING_IN_CLAIM, MISSING_IN_LEDGER, POINTS_DIFFER, CLAIMED_TWICE)

_BATCH_ROWS: Final = 200_000

# The key of a ledger entry by the claim's form.
_LEDGER_KEYS: Final = {
    TRANSACTION: "transaction_id",
    ACCOUNT: "account_id",
    MONTH: "strftime(booked_on, '%Y-%m')",
    SCOPE: f"'{ALL}'",
}
MEETINGS: Final = ("blanks", "apostrophes", "leading_zeros")
"""What has to be dropped, each with those before it, for keys of the two sides to be the same."""


@dataclass(frozen=True, slots=True)
class DifferenceTotals:
    """What the two sides come to.

    Attributes:
        by_kind: of the open breaks, by kind: how many, and the sum of their differences.
        resolved: likewise of those that are resolved, by resolution.
        meetings: how many keys of the claim would be keys of the ledger if something were dropped.
    """

    ledger_points: int
    claim_points: int
    by_kind: dict[str, tuple[int, int]]
    resolved: dict[str, tuple[int, int]] = field(default_factory=dict)
    meetings: dict[str, int] = field(default_factory=dict)

    @property
    def breaks(self) -> int:
        return sum(rows for rows, _ in self.by_kind.values())

    @property
    def difference(self) -> int:
        """What all breaks come to, open and resolved."""
        parts = [*self.by_kind.values(), *self.resolved.values()]
        return sum(difference for _, difference in parts)


def compare(
    opened: OpenedBook,
    database: Database,
    key: str,
    month: str | None,
    resolutions: Sequence[Resolution] = (),
) -> DifferenceTotals:
    """Holds the table ``claim`` against the ledger; leaves the tables ``breaks``, of those that
    are open, and ``resolved``.

    ``month`` takes of the ledger what was booked in it alone.

    Raises:
        BookError: the ledger's entries do not come to what the run records say.
    """
    with book_readable(opened.book):
        files = [file.path for file in opened.ledger_files]
    database.ledger(files)
    booked_in = "" if month is None else f"WHERE strftime(booked_on, '%Y-%m') = '{month}'"
    database.rows(
        f"""
        CREATE VIEW side AS
        SELECT
            service_id, {_LEDGER_KEYS[key]} AS key,
            points AS ledger, 0::BIGINT AS claim, 1 AS booked, 0 AS claimed
        FROM ledger_rows {booked_in}
        UNION ALL
        SELECT service_id, key, 0, points, 0, 1 FROM claim
        """  # noqa: S608 - names of ours, and a month that was checked
    )
    database.rows(
        """
        CREATE TABLE found AS
        SELECT
            service_id, key,
            sum(ledger)::BIGINT AS ledger, sum(claim)::BIGINT AS claim,
            sum(booked)::BIGINT AS booked, sum(claimed)::BIGINT AS claimed
        FROM side
        GROUP BY service_id, key
        HAVING sum(claimed) > 1 OR sum(booked) = 0 OR sum(ledger) <> sum(claim)
        """
    )
    database.table("resolution", _RESOLUTION, [resolution.row for resolution in resolutions])
    database.rows(
        f"""
        CREATE TABLE difference AS
        SELECT f.*, coalesce(r.resolution, '{OPEN}') AS status
        FROM (
            SELECT *, {_KIND} AS kind, {_id_in_sql(key, month)} AS difference_id FROM found
        ) AS f
        LEFT JOIN resolution AS r USING (difference_id)
        """  # noqa: S608 - names of ours, and a month that was checked
    )
    _meetings(database, key)
    totals = _totals(database)
    _check_against_records(opened, totals, month)
    _reasons(opened, database, key, month)
    database.rows(
        f"""
        CREATE TABLE all_breaks AS
        SELECT
            d.service_id, d.key AS {key}, d.kind,
            ledger AS ledger_points, claim AS claim_points, claim - ledger AS difference,
            claimed AS claim_rows,
            coalesce(n.reason, q.reason) AS reason,
            coalesce(n.run_id, q.run_id) AS run_id,
            CASE WHEN n.reason IS NULL THEN q.file END AS quarantine_file,
            CASE WHEN n.reason IS NULL THEN q.row END AS quarantine_row,
            d.difference_id, m.other AS meets, d.status
        FROM difference AS d
        LEFT JOIN meeting AS m USING (service_id, key)
        LEFT JOIN known AS n USING (service_id, key)
        LEFT JOIN quarantined AS q USING (service_id, key)
        """  # noqa: S608 - names of ours
    )
    database.rows(
        f"CREATE TABLE breaks AS SELECT * EXCLUDE (status) FROM all_breaks WHERE status = '{OPEN}'"  # noqa: S608
    )
    database.rows(
        "CREATE TABLE resolved AS SELECT a.* EXCLUDE (status), r.* EXCLUDE (difference_id) "
        "FROM all_breaks AS a JOIN resolution AS r USING (difference_id)"
    )
    return totals


_RESOLUTION: Final = {
    "difference_id": "VARCHAR",
    "resolution": "VARCHAR",
    "resolved_by": "VARCHAR",
    "resolved_on": "DATE",
    "evidence_sha256": "VARCHAR",
    "note": "VARCHAR",
}


def _id_in_sql(key: str, month: str | None) -> str:
    """What a difference is known by: with other figures it is another one."""
    parts = f"'{key}', '{month or ''}', service_id, key, ledger, claim, claimed"
    # A letter ahead, so that no spreadsheet takes it for a number.
    return f"'d' || substr(sha256(concat_ws(chr(10), {parts})), 1, 16)"


def _meetings(database: Database, key: str) -> None:
    """Leaves the table ``meeting``: keys without a partner, each with one that it would have if
    blanks, an apostrophe ahead or zeros ahead were dropped.
    """
    database.rows(
        f"""
        CREATE TABLE bare AS
        SELECT
            *, ltrim(without_blanks, '''') AS without_apostrophes,
            ltrim(ltrim(without_blanks, ''''), '0') AS without_zeros
        FROM (
            SELECT
                service_id, key, booked = 0 AS of_claim, trim(service_id, '{BLANKS}') AS service,
                trim(key, '{BLANKS}') AS without_blanks
            FROM found
            WHERE (booked = 0 OR claimed = 0) AND '{key}' NOT IN ('{MONTH}', '{SCOPE}')
        )
        """  # noqa: S608 - names of ours
    )
    blanks, apostrophes, zeros = MEETINGS
    database.rows(
        f"""
        CREATE TABLE meeting AS
        SELECT
            a.service_id, a.key, a.of_claim, min(b.key) AS other,
            CASE
                WHEN bool_or(a.without_blanks = b.without_blanks) THEN '{blanks}'
                WHEN bool_or(a.without_apostrophes = b.without_apostrophes) THEN '{apostrophes}'
                ELSE '{zeros}'
            END AS how
        FROM bare AS a
        JOIN bare AS b USING (service, without_zeros)
        WHERE a.of_claim <> b.of_claim
        GROUP BY a.service_id, a.key, a.of_claim
        """  # noqa: S608 - names of ours
    )


_KIND: Final = (
    f"CASE WHEN claimed > 1 THEN '{CLAIMED_TWICE}' WHEN booked = 0 THEN '{MISSING_IN_LEDGER}' "
    f"WHEN claimed = 0 THEN '{MISSING_IN_CLAIM}' ELSE '{POINTS_DIFFER}' END"
)


def _totals(database: Database) -> DifferenceTotals:
    [(ledger, claim)] = database.rows(
        "SELECT coalesce(sum(ledger), 0), coalesce(sum(claim), 0) FROM side"
    )
    sums = "count(*), sum(claim - ledger)"
    by_kind = database.rows(
        f"SELECT kind, {sums} FROM difference WHERE status = '{OPEN}' GROUP BY kind"  # noqa: S608
    )
    by_status = database.rows(
        f"SELECT status, {sums} FROM difference WHERE status <> '{OPEN}' GROUP BY status"  # noqa: S608
    )
    met = dict(database.rows("SELECT how, count(*) FROM meeting WHERE of_claim GROUP BY how"))
    found, resolved = (
        {name: (int(rows), int(difference)) for name, rows, difference in sums_of_names}
        for sums_of_names in (by_kind, by_status)
    )
    totals = DifferenceTotals(
        int(ledger),
        int(claim),
        {kind: found.get(kind, (0, 0)) for kind in KINDS},
        {word: resolved[word] for word in RESOLUTIONS if word in resolved},
        {how: int(met[how]) for how in MEETINGS if how in met},
    )
    if totals.ledger_points + totals.difference != totals.claim_points:
        raise BookError(
            f"the breaks do not add up: {totals.ledger_points} points in the ledger and "
            f"{totals.difference} of differences are not the claim's {totals.claim_points}",
            hint="this is a fault of the command, not of the claim; please report it",
        )
    return totals


def _check_against_records(opened: OpenedBook, totals: DifferenceTotals, month: str | None) -> None:
    points = sum(
        record.points.net for record in opened.records if month is None or record.month == month
    )
    if points != totals.ledger_points:
        raise BookError(
            f"{opened.book.path}: the ledger comes to {totals.ledger_points} points, the run "
            f"records to {points}",
            hint="find out with mynapoint verify; a claim cannot be held against such a ledger",
        )


# --- Why the ledger does not have a key -----------------------------------------------------------


def _reasons(opened: OpenedBook, database: Database, key: str, month: str | None) -> None:
    """Leaves the tables ``known`` and ``quarantined``: what the runs know of unknown keys."""
    columns = {"service_id": "VARCHAR", "key": "VARCHAR", "reason": "VARCHAR", "run_id": "VARCHAR"}
    database.table("known", columns, [])
    database.table("quarantined", columns | {"file": "VARCHAR", "row": "BIGINT"}, [])
    database.rows("CREATE TABLE unknown AS SELECT service_id, key FROM difference WHERE booked = 0")
    [(unknown,)] = database.rows("SELECT count(*) FROM unknown")
    if not unknown:
        return
    _declined_or_rejected(opened, database, key)
    for batch in _set_aside(opened, key, month):
        database.given("batch", batch)
        database.rows(
            """
            INSERT INTO quarantined
            SELECT service_id, key, reason, run_id, file, row
            FROM (
                SELECT u.*, b.*, list_contains(b.fields, u.service_id) AS names_the_service
                FROM unknown AS u
                JOIN (SELECT *, unnest(fields) AS field FROM batch) AS b ON b.field = u.key
            )
            WHERE names_the_service
            """
        )
    database.rows(
        """
        CREATE OR REPLACE TABLE quarantined AS
        SELECT service_id, key, last.reason, last.run_id, last.file, last.row
        FROM (
            SELECT
                service_id, key,
                max({'run_id': run_id, 'file': file, 'row': row, 'reason': reason}) AS last
            FROM quarantined
            GROUP BY service_id, key
        )
        """
    )


def _declined_or_rejected(opened: OpenedBook, database: Database, key: str) -> None:
    """The reasons of each unknown key's declined rows, the most frequent first; and, of an
    account's, of its applications.
    """
    database.table(
        "run_of_month",
        {"run_id": "VARCHAR", "month": "VARCHAR"},
        [(record.run_id, record.month) for record in opened.records],
    )
    declined = _with_run(opened, database, RunTable.DECLINED)
    keys = {TRANSACTION: "transaction_id", ACCOUNT: "account_id", MONTH: "month"}
    keys[SCOPE] = f"'{ALL}'"
    queries = [
        f"SELECT service_id, {keys[key]} AS key, reason, run_id "  # noqa: S608 - names of ours
        f"FROM {declined} JOIN run_of_month USING (run_id)"
        # The key is in no entry: what it doubles was declined too, and says why.
        + (" WHERE reason <> 'duplicate'" if key == TRANSACTION else "")
    ]
    if key == ACCOUNT:
        rejected = _with_run(opened, database, RunTable.REJECTED)
        queries.append(
            "SELECT service_id, account_id, 'rejected:' || reason, run_id "  # noqa: S608
            f"FROM {rejected}"
        )
    all_queries = " UNION ALL ".join(queries)
    # Of a transaction, what the last run to see it said; of others, all that was said.
    last = "WHERE run_id = last" if key == TRANSACTION else ""
    database.rows(
        f"""
        INSERT INTO known
        SELECT
            service_id, key, string_agg(reason, ' ' ORDER BY times DESC, reason), max(run_id)
        FROM (
            SELECT service_id, key, reason, count(*) AS times, max(run_id) AS run_id
            FROM (
                SELECT *, max(run_id) OVER (PARTITION BY service_id, key) AS last
                FROM ({all_queries})
                SEMI JOIN unknown USING (service_id, key)
            )
            {last}
            GROUP BY ALL
        )
        GROUP BY service_id, key
        """  # noqa: S608 - names of ours
    )


def _with_run(opened: OpenedBook, database: Database, table: RunTable) -> str:
    """One of the runs' tables as a view that has the run; gives its name."""
    name, paths = table.stem, opened.tables(table)
    database.parquet(f"{name}_rows", paths, arrow_schema(table.record))
    database.table(
        f"{name}_run",
        {"file": "BIGINT", "run_id": "VARCHAR"},
        [(place, path.parent.name) for place, path in enumerate(paths)],
    )
    view = f"{name}_of_run"
    database.rows(f"CREATE VIEW {view} AS SELECT * FROM {name}_rows JOIN {name}_run USING (file)")  # noqa: S608
    return view


def _set_aside(opened: OpenedBook, key: str, month: str | None) -> Iterator[pa.Table]:
    """Quarantined transactions, batch by batch, with the fields that each of them names.

    By service and month, a row names the month of its run.
    """
    for path in opened.tables(RunTable.QUARANTINE):
        record = opened.record(int(path.parent.name))
        booked_in = record.month
        if month is not None and booked_in != month:
            continue
        # The layout may say of which service a whole file is; its rows do not.
        laid_out = opened.laid_out(int(path.parent.name))
        deliveries = [
            delivery.name for delivery in record.inputs if delivery.role == "transactions"
        ]
        with book_readable(opened.book), pq.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH_ROWS):
                rows = pl.DataFrame(batch)
                named = rows.with_columns(fields_of(rows["raw"])).filter(
                    pl.col("file").is_in(deliveries)
                )
                if laid_out:
                    service = pl.col("file").replace_strict(
                        laid_out, default=None, return_dtype=pl.String
                    )
                    named = named.with_columns(pl.concat_list("fields", service).list.drop_nulls())
                if key in (MONTH, SCOPE):
                    alike = booked_in if key == MONTH else ALL
                    named = named.with_columns(pl.col("fields").list.concat([pl.lit(alike)]))
                yield named.select(
                    "file",
                    "row",
                    pl.col("fields").list.unique(),
                    reason=pl.lit("quarantined:") + pl.col("errors").list.join(","),
                    run_id=pl.lit(run_id(int(path.parent.name))),
                ).to_arrow()

"""The ledger recalculated from the ledger alone, in SQL; and the records' totals from the tables.

This is done only if every file that is read is the file that was booked: changed files have been
named already, and what follows from a damaged file proves nothing.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from engine.io.book.folder import Book
from engine.io.book.format import LEDGER_ENTRY, RunTable
from engine.records import arrow_schema
from pipelines.desk.database import Database
from pipelines.verify.corrected import load_corrections
from pipelines.verify.findings import (
    MOST_SHOWN,
    NEVER_TOO_MUCH,
    NEVER_TWICE,
    NO_CHANGED_BYTE,
    REMARK,
    Finding,
    Findings,
)
from pipelines.verify.kept_runs import KeptRun, KeptRuns
from pipelines.verify.screening import find_suspects, statements
from pipelines.verify.statistics import untrue_statistics
from pipelines.verify.terms import EXCLUDED, RUNS, SERVICES, read_terms


def check_arithmetic(book: Book, kept: KeptRuns, scratch: Path, findings: Findings) -> bool:
    """Recalculates the ledger; says whether that could be done."""
    import duckdb

    runs = kept.whole_runs()
    if runs is None:
        what = (
            f"not recalculated: {len(kept.damaged)} files that it needs are damaged or missing; "
            "restore them, then verify again"
        )
        findings.add(Finding("not_recalculated", NO_CHANGED_BYTE, "ledger", what))
        return False
    foreign = list(_foreign(book, runs))
    for finding in foreign:
        findings.add(finding)
    if foreign:
        return False
    try:
        with Database(scratch / "arithmetic") as database:
            if not _load(book, runs, database, findings):
                return False
            find_suspects(database, _rows_of_files(runs))
            database.script(statements("arithmetic"))
            _report(runs, database, findings)
            _remark_on_times(database, findings)
            _compare_totals(runs, database, findings)
    except duckdb.Error as error:
        what = f"not recalculated: {str(error).splitlines()[0]}"
        findings.add(Finding("not_recalculated", NO_CHANGED_BYTE, "ledger", what))
        return False
    return True


def _foreign(book: Book, runs: list[KeptRun]) -> Iterator[Finding]:
    """Files that match their records and yet do not hold the table that they should hold."""
    tables: list[tuple[str, Any, int | None]] = []
    for run in runs:
        book_format = run.record.format
        rows = {output.name: output.rows for output in run.record.outputs}
        tables += [(name, LEDGER_ENTRY[book_format], rows[name]) for name in run.ledger_files]
        for table in run.tables:
            name = run.file(table.file_name)
            tables.append((name, table.record_of(book_format), rows[name]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(lambda table: _foreign_file(book, *table), tables)
        yield from (finding for finding in found if finding is not None)


def _foreign_file(book: Book, name: str, record: Any, rows: int | None) -> Finding | None:  # noqa: ANN401
    path = book.path / name
    try:
        metadata = pq.read_metadata(path)
        if not metadata.schema.to_arrow_schema().equals(arrow_schema(record)):
            what = "the file has other columns than a book's table has"
            return Finding("changed", NO_CHANGED_BYTE, name, what)
        if metadata.num_rows != rows:
            what = f"the file has {metadata.num_rows} rows, its record says {rows}"
            return Finding("changed", NEVER_TOO_MUCH, name, what)
    except (pa.ArrowException, OSError, ValueError):
        return Finding("changed", NO_CHANGED_BYTE, name, "not a Parquet file")
    untrue = untrue_statistics(path)
    return Finding("changed", NO_CHANGED_BYTE, name, untrue) if untrue else None


def _load(book: Book, runs: list[KeptRun], database: Database, findings: Findings) -> bool:
    terms = []
    for run in runs:
        try:
            terms.append(read_terms(book, run))
        except (ValueError, LookupError, TypeError, AttributeError):
            what = "programme.toml and services.toml of the run do not say what its record says"
            findings.add(Finding("terms", NO_CHANGED_BYTE, run.where, what))
    if len(terms) < len(runs):
        return False
    database.table("run", RUNS, [run_terms.run for run_terms in terms])
    database.table("service", SERVICES, [row for run_terms in terms for row in run_terms.services])
    database.table("excluded", EXCLUDED, [row for run_terms in terms for row in run_terms.excluded])
    ledger = [(run.number, name) for run in runs for name in sorted(run.ledger_files)]
    database.table(
        "ledger_file",
        {"file": "BIGINT", "run": "BIGINT", "name": "VARCHAR"},
        [(file, *row) for file, row in enumerate(ledger)],
    )
    database.rows("CREATE TABLE file_terms AS FROM ledger_file JOIN run USING (run)")
    database.ledger([book.path / name for _, name in ledger])
    for view, table in (
        ("accepted_rows", RunTable.ACCEPTED),
        ("rejected_rows", RunTable.REJECTED),
        ("declined_rows", RunTable.DECLINED),
    ):
        paths = [book.path / run.file(table.file_name) for run in runs]
        database.parquet(view, paths, arrow_schema(table.record))
    # No run of format 1 has such a table, and no later run is of format 1.
    database.parquet(
        "rejected_event_rows",
        [
            book.path / run.file(RunTable.REJECTED_EVENTS.file_name)
            for run in runs
            if RunTable.REJECTED_EVENTS in run.tables
        ],
        arrow_schema(RunTable.REJECTED_EVENTS.record),
    )
    wrong = list(load_corrections(book, runs, database))
    for finding in wrong:
        findings.add(finding)
    return not wrong


def _rows_of_files(runs: list[KeptRun]) -> list[int]:
    """The rows of each file of the ledger, in the order of ``ledger_file``."""
    rows = {output.name: output.rows or 0 for run in runs for output in run.record.outputs}
    return [rows[name] for run in runs for name in sorted(run.ledger_files)]


def _report(runs: list[KeptRun], database: Database, findings: Findings) -> None:
    for kind, promise, total in database.rows(
        "SELECT kind, promise, count(*) FROM fault GROUP BY ALL ORDER BY min(pos), kind"
    ):
        shown = database.rows(
            "SELECT f.name, e.pos & 4294967295, what, service_id, transaction_id, person_id, "
            "account_id FROM (SELECT pos, what FROM fault WHERE kind = ? ORDER BY pos LIMIT ?) "
            "JOIN entry AS e USING (pos) JOIN ledger_file AS f ON f.file = e.pos >> 32 "
            "ORDER BY pos",
            [kind, MOST_SHOWN],
        )
        for place, (name, row, what, *ids) in enumerate(shown):
            times = total - len(shown) + 1 if place == len(shown) - 1 else 1
            findings.add(Finding(kind, promise, name, what, row, *ids), times)
    for file, what in database.rows("SELECT file, what FROM enrollment_fault ORDER BY file"):
        where = runs[file].file(RunTable.ACCEPTED.file_name)
        findings.add(Finding("enrolled_twice", NEVER_TWICE, where, what))
    _report_waiting(runs, database, findings)


def _remark_on_times(database: Database, findings: Findings) -> None:
    """Entries that are booked on a day before the one that they happened on."""
    shown = database.rows(
        "WITH ahead AS MATERIALIZED (SELECT file, row, count(*) OVER () AS total FROM ledger_rows "
        "WHERE occurred_at::DATE > booked_on AND kind IN ('charge', 'purchase', 'refund') "
        "ORDER BY file, row LIMIT ?) "
        "SELECT total, l.name, r.row, r.booked_on, r.occurred_at::DATE, r.service_id, "
        "r.transaction_id, r.person_id, r.account_id FROM ahead JOIN ledger_rows AS r "
        "USING (file, row) JOIN ledger_file AS l USING (file) ORDER BY r.file, r.row",
        [MOST_SHOWN],
    )
    for place, (total, name, row, booked_on, day, service, transaction, *ids) in enumerate(shown):
        what = f"it was booked on {booked_on} and happened on {day}"
        times = total - len(shown) + 1 if place == len(shown) - 1 else 1
        person, account = ids
        remark = Finding(
            "ahead",
            NEVER_TOO_MUCH,
            name,
            what,
            row,
            service,
            transaction,
            person,
            account,
            severity=REMARK,
        )
        findings.add(remark, times)


def _report_waiting(runs: list[KeptRun], database: Database, findings: Findings) -> None:
    """Rows that could be booked and wait, and runs that took up more rows than waited."""
    shown = database.rows(
        "SELECT count(*) OVER (), w.file, w.row, f.name, w.pos & 4294967295, what, service_id, "
        "transaction_id, person_id, account_id FROM waiting_fault AS w "
        "LEFT JOIN ledger_file AS f ON f.file = w.pos >> 32 "
        "ORDER BY w.file, w.row, w.pos LIMIT ?",
        [MOST_SHOWN],
    )
    for place, (total, file, row, name, entry, what, *ids) in enumerate(shown):
        times = total - len(shown) + 1 if place == len(shown) - 1 else 1
        where = name if file is None else runs[file].file(RunTable.DECLINED.file_name)
        found = Finding("not_booked", NEVER_TOO_MUCH, where, what, row or entry, *ids)
        findings.add(found, times)
    taken_up = {row[0]: row[1:] for row in database.rows("SELECT run, rows, yen FROM taken_up")}
    for run in runs:
        waited, yen = taken_up.get(run.number, (0, 0))
        counts = run.record.counts
        if counts.reconsidered > waited or run.record.yen.reconsidered > yen:
            what = (
                f"{counts.reconsidered} rows that waited were booked, "
                f"only {waited} of the run's entries waited in an earlier run"
            )
            findings.add(Finding("not_waiting", NEVER_TOO_MUCH, run.where, what))


def _compare_totals(runs: list[KeptRun], database: Database, findings: Findings) -> None:
    totals = {row[0]: row[1:] for row in database.rows("SELECT * FROM total")}
    people = {row[0]: row[1:] for row in database.rows("SELECT * FROM people")}
    declined = _by_run(
        database,
        "SELECT file, reason, count(*), sum(amount)::BIGINT FROM declined_rows GROUP BY ALL",
    )
    rejected = _by_run(database, "SELECT file, reason, count(*) FROM rejected_rows GROUP BY ALL")
    first = next((place for place, run in enumerate(runs) if run.record.format > 1), 0)
    rejected_events = _by_run(
        database,
        f"SELECT file + {first}, reason, count(*) FROM rejected_event_rows GROUP BY ALL",  # noqa: S608
    )
    inherited = dict(database.rows("SELECT run, count(*) FROM inherited_recount GROUP BY ALL"))
    for run in runs:
        rows, yen, voided, recounted, awarded, reversed_ = totals.get(run.number, (0,) * 6)
        with_entries, at_the_cap = people.get(run.number, (0, 0))
        reasons = declined.get(run.number, {})
        kept = {output.name: output.rows or 0 for output in run.record.outputs}
        counts = run.record.counts
        enrollments, events = counts.enrollments, counts.events
        for what, recorded, counted in (
            ("counts.booked", counts.booked, rows),
            ("counts.people", counts.people, with_entries),
            ("counts.people_at_the_cap", counts.people_at_the_cap, at_the_cap),
            ("counts.declined", counts.declined, {r: numbers[0] for r, numbers in reasons.items()}),
            ("counts.voided", counts.voided, voided),
            ("counts.recounted", counts.recounted, recounted),
            (
                "counts.recounted_of_format_1",
                counts.recounted_of_format_1,
                inherited.get(run.number, 0),
            ),
            (
                "counts.quarantined, enrollments and events included,",
                counts.quarantined + enrollments.quarantined + events.quarantined,
                kept[run.file(RunTable.QUARANTINE.file_name)],
            ),
            (
                "counts.enrollments.accepted",
                enrollments.accepted,
                kept[run.file(RunTable.ACCEPTED.file_name)],
            ),
            (
                "counts.enrollments.rejected",
                enrollments.rejected,
                {reason: numbers[0] for reason, numbers in rejected.get(run.number, {}).items()},
            ),
            (
                "counts.events.accepted",
                events.accepted,
                kept.get(run.file(RunTable.ACCEPTED_EVENTS.file_name), 0),
            ),
            (
                "counts.events.rejected",
                events.rejected,
                {
                    reason: numbers[0]
                    for reason, numbers in rejected_events.get(run.number, {}).items()
                },
            ),
            ("yen.booked", run.record.yen.booked, yen),
            (
                "yen.declined",
                run.record.yen.declined,
                {reason: numbers[1] for reason, numbers in reasons.items()},
            ),
            ("points.awarded", run.record.points.awarded, awarded),
            ("points.reversed", run.record.points.reversed, reversed_),
        ):
            if recorded != counted:
                text = f"{what} is {_shown(recorded)}, the run's files add up to {_shown(counted)}"
                findings.add(Finding("totals", NEVER_TOO_MUCH, run.where, text))


def _by_run(database: Database, sql: str) -> dict[int, dict[str, tuple[int, ...]]]:
    gathered: dict[int, dict[str, tuple[int, ...]]] = {}
    for file, reason, *numbers in database.rows(sql):
        gathered.setdefault(file + 1, {})[reason] = tuple(numbers)
    return gathered


def _shown(value: int | Mapping[str, int]) -> str:
    if isinstance(value, int):
        return str(value)
    return ", ".join(f"{name} {number}" for name, number in sorted(value.items())) or "none"

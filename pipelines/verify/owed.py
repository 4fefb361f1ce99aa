"""What was owed, calculated by other code than the payout run's, and held against what it booked.

The arithmetic is SQL of its own (``payouts.sql``, ``lines.sql``, ``owed.sql``, ``answered.sql``),
and the schedules are read from the kept registries as they stand there. Whose an account was is
read as the engine reads events, as for the ledger.
"""

import datetime as dt
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from engine.io.book.folder import Book, run_id
from engine.io.book.format import SERVICES_FILE, layout_file
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.payouts import SCHEMA, PayoutBook
from engine.io.payout.files import PREFIX, file_stem
from engine.io.payout.form_file import SUFFIX, load_written_form
from engine.io.payout.known import accounts_of
from engine.payouts.entry import DIRECTIONS
from engine.payouts.lines import FILE_COLUMNS
from engine.payouts.write_form import read_back
from engine.payouts.written_form import WrittenForm
from pipelines.desk.database import Database
from pipelines.verify.findings import MOST_SHOWN, NEVER_TOO_MUCH, NEVER_TWICE, Finding, Findings
from pipelines.verify.payout_tables import TERMS, Bridge, Moment, PayoutTables

_POINTS: Final = ("granted", "taken_back", "refused", "replaced")


class Owed:
    """The payouts of a book, in a database that calculates them again."""

    def __init__(
        self,
        book: Book,
        runs: int,
        records: Sequence[PayoutRecord],
        database: Database,
        findings: Findings,
    ) -> None:
        self._book, self._database, self._findings = book, database, findings
        self._known: Moment | None = None
        ledger = [
            (number, output.name)
            for number in range(1, runs + 1)
            for output in book.table_files(number)
        ]
        table = [
            (number, output.name)
            for number, record in enumerate(records, 1)
            for output in record.table_files
        ]
        database.ledger([book.path / name for _, name in ledger])
        database.parquet("table_rows", [book.path / name for _, name in table], SCHEMA)
        database.table(
            "ledger_file",
            {"file": "BIGINT", "run": "BIGINT"},
            [(file, number) for file, (number, _) in enumerate(ledger)],
        )
        database.table(
            "payout_file",
            {"file": "BIGINT", "payout_run": "BIGINT", "name": "VARCHAR"},
            [(file, *numbered) for file, numbered in enumerate(table)],
        )
        self._tables = PayoutTables(database)
        self._report()

    def check_instructed(self, number: int, record: PayoutRecord) -> None:
        """Holds what a payout run instructed, in its table and its files, against what was owed."""
        assert record.due_by is not None
        moment = self._before(number, int(record.run_id), record.due_by)
        self._tables.calculate(moment, record.services)
        self._report(number)
        self._check_files(number, record)

    def check_answered(self, number: int, record: PayoutRecord) -> None:
        """Holds answers against what was instructed and answered before."""
        self._tables.hold_answers(self._before(number, int(record.run_id), dt.date.max))
        self._report(number)
        answers, *points = self._database.rows("SELECT * FROM answered")[0]
        accepted = record.counts["accepted"] + record.counts["others_done"]
        if answers != accepted or points != [record.points[name] for name in _POINTS]:
            self._found("answer", number, "the record counts other answers than the table has")

    def bridge(self, payout_runs: int, runs: int) -> Bridge:
        """The bridge on the day of the last run, and findings where it does not close."""
        record = self._book.record(runs)
        moment = self._before(payout_runs + 1, runs, record.booked_on)
        self._tables.calculate(moment, None)
        awarded = dict(
            self._database.rows(
                "SELECT service_id, sum(points)::BIGINT FROM ledger_rows GROUP BY ALL"
            )
        )
        bridge = self._tables.bridge()
        for service, terms in bridge.items():
            arrived = terms["granted"] - terms["taken_back"] + terms["unanswered"]
            left = sum(terms[name] for name in ("due", "withheld", "not_yet_due", "lapsed"))
            closes = arrived + left - terms["debt"] == awarded.get(service, 0)
            if not closes or min(terms[name] for name in TERMS if name != "unanswered") < 0:
                what = "what is awarded does not come to what is granted, due and owed"
                self._findings.add(
                    Finding("bridge", NEVER_TOO_MUCH, PayoutBook.TABLE, what, service_id=service)
                )
        return bridge

    def _before(self, number: int, run: int, on: dt.date) -> Moment:
        """What a payout run knew."""
        if self._known is None or self._known.run != run:
            record = self._book.record(run)
            path = self._book.run_folder(run) / SERVICES_FILE
            self._known = Moment(
                payout_run=number,
                run=run,
                on=on,
                last_booked_on=record.booked_on,
                window_last=record.programme.terms.window_last,
                services=tomllib.loads(path.read_bytes().decode("utf-8-sig"))["services"],
                accounts=accounts_of(self._book, run),
            )
        return replace(self._known, payout_run=number, on=on)

    def _report(self, number: int | None = None) -> None:
        """Adds what a script has found."""
        kinds = self._database.rows("SELECT DISTINCT kind FROM payout_fault ORDER BY kind")
        for (kind,) in kinds:
            rows = self._database.rows(
                "SELECT count(*) OVER (), what, name, row, service_id, account_id "
                "FROM payout_fault WHERE kind = ? ORDER BY ALL LIMIT ?",
                [kind, MOST_SHOWN],
            )
            promise = NEVER_TWICE if kind == "payout_twice" else NEVER_TOO_MUCH
            folder = PayoutBook.TABLE if number is None else _folder(number)
            for place, (total, what, where, row, service, account) in enumerate(rows):
                times = total - len(rows) + 1 if place == len(rows) - 1 else 1
                ids = {"service_id": service, "account_id": account}
                found = Finding(kind, promise, where or folder, what, row, **ids)
                self._findings.add(found, times)

    def _found(self, kind: str, number: int, what: str) -> None:
        self._findings.add(Finding(kind, NEVER_TOO_MUCH, _folder(number), what))

    def _check_files(self, number: int, record: PayoutRecord) -> None:
        """Holds the files for the points systems, and their list, against the table."""
        folder = self._book.path / _folder(number)
        listed = json.loads((folder / f"{PREFIX}{run_id(number)}.json").read_bytes())["files"]
        by_name = {entry["name"]: entry for entry in listed}
        sums: dict[str, dict[str, tuple[int, int]]] = {}
        for service, direction, rows, points in self._database.rows(_SUMS, [number]):
            sums.setdefault(service, {})[direction] = rows, points
        form = _form_of(self._book, record)
        services = {file_stem(number, service): service for service in {*record.services, *sums}}
        seen = set()
        for output in record.outputs:
            path = self._book.path / output.name
            if path.suffix == ".json" or not path.name.startswith(PREFIX):
                continue
            service = services.get(path.stem)
            of_service = sums.get(service or "", {})
            entry = by_name.pop(path.name, None)
            if (
                service is None
                or entry is None
                or entry["sha256"] != output.sha256
                or entry["rows"] != sum(rows for rows, _ in of_service.values())
                or entry["points"]
                != {name: of_service.get(name, (0, 0))[1] for name in ("pay", "take_back")}
                or self._differs(path, number, service, form)
            ):
                what = f"{path.name} or the list of files says something else than the table"
                self._found("payout_file", number, what)
            seen.add(path.name)
        stems = [file_stem(number, service) for service in sums]
        unseen = {f"{stem}.{form}" for stem in stems for form in ("csv", "parquet")} - seen
        if unseen or by_name:
            what = f"there is no file {min(unseen or by_name)} for the points system"
            self._found("payout_file", number, what)

    def _differs(self, path: Path, number: int, service: str, form: WrittenForm | None) -> bool:
        """Whether a file for the points systems has other lines than the table."""
        if path.suffix == SUFFIX:
            return form is None or self._written_otherwise(path, number, service, form)
        columns = (
            '{"payout_id": "VARCHAR", "service_id": "VARCHAR", "account_id": "VARCHAR", '
            '"direction": "VARCHAR", "points": "BIGINT", "due_on": "DATE", "instructed_on": "DATE"}'
        )
        source = (
            "read_csv(?, header = true, auto_detect = false, delim = ',', quote = '\"', "
            f"escape = '\"', nullstr = '', columns = {columns})"
            if path.suffix == ".csv"
            else "read_parquet(?)"
        )
        link = self._database.folder / f"given{path.suffix}"
        link.unlink(missing_ok=True)
        link.symlink_to(path.resolve())
        differ = self._database.rows(
            f"WITH said AS (SELECT {_FILE_COLUMNS} FROM {source}), "  # noqa: S608 - SQL of ours
            f"booked AS (SELECT {_TABLE_COLUMNS} FROM payout_row "
            "WHERE payout_run = ? AND service_id = ? AND entry = 'instructed') "
            "SELECT count(*) FROM ((FROM said EXCEPT ALL FROM booked) UNION ALL "
            "(FROM booked EXCEPT ALL FROM said))",
            [str(link), number, service],
        )
        return bool(differ[0][0])

    def _written_otherwise(self, path: Path, number: int, service: str, form: WrittenForm) -> bool:
        """Whether a file in a points system's own form, read back, says other than the table."""
        try:
            found = read_back(form, path.read_bytes())
        except ValueError:
            return True
        booked = self._database.rows(
            f"SELECT {_TABLE_COLUMNS} FROM payout_row "  # noqa: S608 - columns of ours
            "WHERE payout_run = ? AND service_id = ? AND entry = 'instructed' "
            "ORDER BY enrolled_account_id",
            [number, service],
        )
        lines = [dict(zip(FILE_COLUMNS, row, strict=True)) for row in booked]
        booked_lines: list[Mapping[str, object]] = [
            {name: line[name] for name in written}
            for line, written in zip(lines, found.lines, strict=False)
        ]
        totals: dict[str, object] = {
            "rows": len(lines),
            "payout_run_id": run_id(number),
            "service_id": service,
        }
        for direction in DIRECTIONS:
            points = [line["points"] for line in lines if line["direction"] == direction]
            totals |= {f"{direction}_rows": len(points), f"{direction}_points": sum(points)}
        return (
            len(lines) != len(found.lines)
            or booked_lines != found.lines
            or any(
                totals.get(name, value) != value
                for said in (found.first, found.last)
                for name, value in said.items()
            )
        )


def _form_of(book: Book, record: PayoutRecord) -> WrittenForm | None:
    """The form that the payout run's files were written in, as it kept it."""
    for output in record.outputs:
        if Path(output.name).name.startswith(layout_file("").removesuffix(".toml")):
            return load_written_form(book.path / output.name)
    return None


def _folder(number: int) -> str:
    return f"{PayoutBook.RECORDS}/{run_id(number)}"


_FILE_COLUMNS: Final = "payout_id, service_id, account_id, direction, points, due_on, instructed_on"
_TABLE_COLUMNS: Final = (
    'payout_id, service_id, account_id, direction, points, due_on, "on" AS instructed_on'
)
_SUMS: Final = """
SELECT service_id, direction, count(*), sum(points)::BIGINT
FROM payout_row WHERE payout_run = ? AND entry = 'instructed' GROUP BY ALL
"""

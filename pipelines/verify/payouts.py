"""The payouts: every byte of them, and that each was owed when it was instructed, and only once.

Each payout run is calculated again by the book as it was then, and held against its rows and files;
each answer is held against what was instructed and against the answer before it.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import RECORD_FILE
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.payouts import PayoutBook
from engine.io.durable import sha256_of
from engine.io.parquet import scan_parquet
from engine.io.payout.calculation import Calculation
from engine.io.payout.known import PAYOUT_COLUMNS, Known
from engine.payouts.bridge import is_closed
from engine.payouts.lines import FILE_COLUMNS, as_file, instructed
from engine.payouts.owed import lines_of
from pipelines.verify.findings import (
    NEVER_TOO_MUCH,
    NEVER_TWICE,
    NO_CHANGED_BYTE,
    WHOLE_RUNS,
    Finding,
    Findings,
)
from pipelines.verify.log_end import check_acknowledged, is_changing

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError)
_COMPARED: Final = ("account_id", "direction", "points", "on", "due_on")


@dataclass
class _Check:
    """The payouts of one book, on their way through the checks."""

    book: PayoutBook
    ledger: Book
    findings: Findings
    committed: int = 0

    def found(self, kind: str, promise: int, path: Path, what: str) -> None:
        where = path.relative_to(self.book.path).as_posix()
        self.findings.add(Finding(kind, promise, where, what))

    def records(self) -> list[PayoutRecord | None]:
        """The records, in order, None where one is past reading; bytes and chain are checked."""
        # In this order: a payout run may be booked meanwhile, and is left for the next time.
        acknowledged = self.book.acknowledged()
        commits = sorted(self.book.log.glob("[0-9]*.json")) if self.book.log.exists() else []
        self.committed = len(commits)
        if commits or acknowledged is not None:
            where = self.book.ACKNOWLEDGED
            check_acknowledged(acknowledged, self.committed, self.findings, where)
        records: list[PayoutRecord | None] = []
        expected = {self.book.ledger, self.book.log, self.book.runs, *commits}
        for number in range(1, self.committed + 1):
            folder = self.book.run_folder(number)
            path = folder / RECORD_FILE
            expected |= {folder, path}
            try:
                record = self.book.payout_record(number)
            except BookError as error:
                self.found("record", NO_CHANGED_BYTE, path, error.message)
                records.append(None)
                continue
            records.append(record)
            expected |= {self.book.path / output.name for output in record.outputs}
            self._check_files(record)
            self._check_chain(number, record)
            self._check_commit(number, record)
        for folder in (self.book.ledger, self.book.runs):
            for path in sorted(folder.rglob("*")) if folder.exists() else ():
                if path not in expected:
                    self._unexpected(path)
        return records

    def _unexpected(self, path: Path) -> None:
        number = next((part[:6] for part in path.parts[::-1] if part[:6].isdigit()), "000000")
        is_later = int(number) > self.committed
        if (is_later or path.parent == self.book.log) and (
            is_changing(self.book, self.committed) or not os.path.lexists(path)
        ):
            # A payout run's, which is at work or was a moment ago.
            return
        if is_later:
            what = f"payout run {number} has no commit: it died before it was booked, or its "
            what += "commit was removed; look before the next payout run clears this away"
            self.found("uncommitted", WHOLE_RUNS, path, what)
        else:
            what = "no payout run has made this; it belongs to no record"
            self.found("unknown", NO_CHANGED_BYTE, path, what)

    def _check_files(self, record: PayoutRecord) -> None:
        for output in record.outputs:
            path = self.book.path / output.name
            try:
                same = path.stat().st_size == output.bytes and sha256_of(path) == output.sha256
            except OSError:
                self.found("missing", NO_CHANGED_BYTE, path, "the file is missing")
                continue
            if not same:
                what = "the file's bytes are not those that were booked"
                self.found("changed", NO_CHANGED_BYTE, path, what)

    def _check_chain(self, number: int, record: PayoutRecord) -> None:
        before = self.ledger.run_folder(int(record.run_id)) / RECORD_FILE
        if number > 1:
            earlier = self.book.run_folder(number - 1) / RECORD_FILE
            try:
                if self.book.payout_record(number - 1).run_id == record.run_id:
                    before = earlier
            except BookError:
                return
        try:
            same = sha256_of(before) == record.previous_sha256
        except OSError:
            same = False
        if not same:
            what = f"payout run {run_id(number)} was made after another record than this one"
            self.found("record", NO_CHANGED_BYTE, before, what)

    def _check_commit(self, number: int, record: PayoutRecord) -> None:
        path = self.book.commit_file(number)
        try:
            actions = [
                next(iter(json.loads(line).items()))
                for line in path.read_bytes().split(b"\n")
                if line
            ]
            info: dict[str, Any] = dict(actions)["commitInfo"]
            added = sorted(
                (f"payouts/{value['path']}", value["size"])
                for name, value in actions
                if name == "add"
            )
            names = {name for name, _ in actions}
            version = dict(actions)["txn"]["version"]
        except (*_UNREADABLE, StopIteration):
            self.found("changed", NO_CHANGED_BYTE, path, "the commit cannot be read")
            return
        if "remove" in names:
            what = "the commit removes a file of the append-only table"
            self.found("removed", NEVER_TWICE, path, what)
        record_path = self.book.run_folder(number) / RECORD_FILE
        if info.get("record_sha256") != sha256_of(record_path):
            what = f"the commit is of another record than payout_runs/{run_id(number)}/record.json"
            self.found("record", NO_CHANGED_BYTE, record_path, what)
        if number > 1:
            before = self.book.commit_file(number - 1)
            if info.get("previous_commit_sha256") != sha256_of(before):
                what = f"the next commit, {path.name}, was made after another commit than this one"
                self.found("changed", NO_CHANGED_BYTE, before, what)
        outputs = sorted((output.name, output.bytes) for output in record.table_files)
        if added != outputs or version != number:
            what = "the commit's actions are not those of a payout run with this record's files"
            self.found("changed", NO_CHANGED_BYTE, path, what)

    def check_instructed(self, known: Known, record: PayoutRecord, scratch: Path) -> None:
        """Holds a payout run's rows and files against what was owed."""
        assert record.due_by is not None
        number = record.payout_run_id
        folder = self.book.runs / number
        calculation = Calculation(known, record.due_by, scratch)
        expected = pl.concat(
            [pl.DataFrame(schema=PAYOUT_COLUMNS)]
            + [
                instructed(lines, number, record.due_by)
                for lines in calculation.lines(list(record.services))
            ]
        )
        rows = self.rows_of(record)
        where = Path(self.book.path / record.table_files[0].name) if record.table_files else folder
        key = ["service_id", "enrolled_account_id"]
        both = expected.select(*key, *_COMPARED, "payout_id").join(
            rows.select(*key, *_COMPARED, "payout_id"),
            on=key,
            how="full",
            coalesce=True,
            suffix="_found",
        )
        differs = pl.any_horizontal(
            pl.col(name).ne_missing(pl.col(f"{name}_found")) for name in (*_COMPARED, "payout_id")
        )
        for row in both.filter(differs).iter_rows(named=True):
            if row["payout_id_found"] is None:
                what = f"{row['points']} points were owed ({row['direction']}) and not instructed"
            elif row["payout_id"] is None:
                what = f"{row['points_found']} points were instructed and not owed"
            else:
                names = [n for n in _COMPARED if row[n] != row[f"{n}_found"]]
                what = f"the payout has another {', '.join(names) or 'payout_id'} than was owed"
            self._of(row, "payout", NEVER_TOO_MUCH, where, what)
        twice = rows.filter(pl.col("payout_id").is_duplicated())
        for row in twice.iter_rows(named=True):
            self._of(row, "payout_twice", NEVER_TWICE, where, "the payout is instructed twice")
        if rows.height and not rows.equals(rows.sort("service_id", "enrolled_account_id")):
            self.found("payout", NEVER_TOO_MUCH, where, "the rows are not in the table's order")
        self._check_service_files(record, rows)

    def _check_service_files(self, record: PayoutRecord, rows: pl.DataFrame) -> None:
        said = [
            self.book.path / output.name
            for output in record.outputs
            if output.name.endswith(".parquet") and not output.name.startswith("payouts/")
        ]
        written = scan_parquet(said).collect() if said else None
        if written is None or not written.sort(FILE_COLUMNS).equals(
            as_file(rows).sort(FILE_COLUMNS)
        ):
            what = "the files for the points systems say something else than the table"
            self.found("payout", NEVER_TOO_MUCH, self.book.runs / record.payout_run_id, what)

    def check_answered(self, known: Known, record: PayoutRecord) -> None:
        """Holds answers against what was instructed and answered before."""
        rows = self.rows_of(record)
        where = self.book.runs / record.payout_run_id
        if record.table_files:
            where = self.book.path / record.table_files[0].name
        before = lines_of(known.all_payouts(), known.accounts).select(
            "payout_id", "instructed", "answered", "answered_on"
        )
        points, is_done = pl.col("points"), pl.col("entry") == "done"
        said = rows.group_by("payout_id").agg(
            pl.col("service_id").first(),
            account_id=pl.col("enrolled_account_id").first(),
            done=points.filter(is_done & (points > 0)).sum(),
            refused=points.filter(~is_done & (points > 0)).sum(),
            done_back=-points.filter(is_done & (points < 0)).sum(),
            refused_back=-points.filter(~is_done & (points < 0)).sum(),
            first_on=pl.col("on").min(),
            last_on=pl.col("on").max(),
        )
        both = said.join(before, on="payout_id", how="left")
        whole, earlier = pl.col("instructed"), pl.col("answered")
        checks = {
            "the answer is to no payout": whole.is_null(),
            "the answer has other points than were instructed": (
                pl.col("done") + pl.col("refused") != whole
            ),
            "what an earlier answer said is not taken back as it was said": (
                (pl.col("done_back") != earlier.fill_null(0))
                | (pl.col("refused_back") != (whole - earlier).fill_null(0))
            ),
            "the answer is not of a later day than the one before": (
                pl.col("first_on") <= pl.col("answered_on")
            ),
            "the answer is of two days": pl.col("first_on") != pl.col("last_on"),
        }
        for what, check in checks.items():
            for row in both.filter(check.fill_null(value=False)).iter_rows(named=True):
                self._of(row, "answer", NEVER_TOO_MUCH, where, what)
        accepted = record.counts["accepted"] + record.counts["others_done"]
        granted = rows.filter(is_done & (points > 0) & (pl.col("direction") == "pay"))
        if said.height != accepted or int(granted["points"].sum()) != record.points["granted"]:
            self.found("answer", NEVER_TOO_MUCH, where, "the record counts other answers")

    def rows_of(self, record: PayoutRecord) -> pl.DataFrame:
        """A payout run's rows of the table."""
        files = [self.book.path / output.name for output in record.table_files]
        return pl.concat(
            [
                pl.DataFrame(schema=PAYOUT_COLUMNS),
                *(scan_parquet(file).collect() for file in files),
            ]
        )

    def _of(self, row: dict[str, Any], kind: str, promise: int, path: Path, what: str) -> None:
        self.findings.add(
            Finding(
                kind,
                promise,
                path.relative_to(self.book.path).as_posix(),
                what,
                service_id=row["service_id"],
                account_id=row.get("enrolled_account_id") or row.get("account_id"),
            )
        )


def check_payouts(book: Book, scratch: Path, findings: Findings, *, whole: bool) -> bool | None:
    """Checks the payouts; whether they could be calculated again, None where there are none.

    Args:
        book: the book.
        scratch: an empty folder.
        findings: takes what is found.
        whole: whether the runs are as they were booked, so that payouts can follow from them.
    """
    places = PayoutBook(book.path)
    if not places.is_begun() and not places.ledger.exists() and not places.runs.exists():
        return None
    check = _Check(places, book, findings)
    before = sum(findings.totals.values())
    records = check.records()
    if not whole or sum(findings.totals.values()) > before:
        return False
    try:
        for number, record in enumerate(_readable(records), 1):
            known = Known(book, int(record.run_id), number - 1)
            if record.due_by is None:
                check.check_answered(known, record)
            else:
                folder = scratch / f"payout-{number}"
                folder.mkdir()
                check.check_instructed(known, record, folder)
        runs = book.committed_runs()
        last = Known(book, runs, check.committed)
        sums = Calculation(last, last.last_run.booked_on).bridge()
    except (BookError, *_UNREADABLE) as error:
        what = f"the payouts cannot be calculated again: {str(error).splitlines()[0]}"
        check.found("payout", NO_CHANGED_BYTE, places.ledger, what)
        return False
    if not is_closed(sums):
        what = "what is awarded does not come to what is granted, due and owed"
        check.found("payout", NEVER_TOO_MUCH, places.ledger, what)
    return True


def _readable(records: list[PayoutRecord | None]) -> Iterator[PayoutRecord]:
    for record in records:
        if record is not None:
            yield record

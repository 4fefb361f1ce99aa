"""The payouts: every byte of them, and that each was owed when it was instructed, and only once.

Bytes, chain and commits are looked at here; ``owed`` calculates each payout run again by the book
as it was then, and holds every answer against what was instructed and against the answer before it.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import RECORD_FILE
from engine.io.book.log import foreign_maker
from engine.io.book.payout_record import PayoutRecord
from engine.io.book.payouts import PayoutBook
from engine.io.durable import sha256_of
from pipelines.desk.database import Database
from pipelines.verify.commits import of_another_program
from pipelines.verify.findings import (
    NEVER_TWICE,
    NO_CHANGED_BYTE,
    WHOLE_RUNS,
    Finding,
    Findings,
)
from pipelines.verify.log_end import check_acknowledged, is_changing
from pipelines.verify.owed import Owed
from pipelines.verify.payout_tables import Bridge
from pipelines.verify.statistics import untrue_statistics

_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError)


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
        while self.committed and self._is_foreign(self.committed):
            self.committed -= 1
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

    def _is_foreign(self, number: int) -> bool:
        """Whether another program has made a commit, which is found then."""
        path = self.book.commit_file(number)
        try:
            maker = foreign_maker(self.book.commits.actions(number))
        except (OSError, ValueError):
            return False
        if maker is None:
            return False
        self.found("foreign", NO_CHANGED_BYTE, path, of_another_program(maker))
        return True

    def _unexpected(self, path: Path) -> None:
        number = next((part[:6] for part in path.parts[::-1] if part[:6].isdigit()), "000000")
        is_later = int(number) > self.committed
        if (is_later or path.parent == self.book.log) and (
            is_changing(self.book, self.committed) or not os.path.lexists(path)
        ):
            # A payout run's, which is at work or was a moment ago.
            return
        if is_later:
            what = (
                f"payout run {number} has no commit: it died before it was booked, or its "
                "commit was removed; look before the next payout run clears this away"
            )
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
            what = None if same else "the file's bytes are not those that were booked"
            if same and path.suffix == ".parquet":
                what = untrue_statistics(path)
            if what:
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


@dataclass(frozen=True, slots=True)
class CheckedPayouts:
    """What was found out about a book's payouts.

    Attributes:
        payout_runs: how many are committed.
        bridge: from award to grant on the day of the last run; None where it could not be
            calculated again.
    """

    payout_runs: int
    bridge: Bridge | None = None


def check_payouts(
    book: Book, scratch: Path, findings: Findings, *, whole: bool
) -> CheckedPayouts | None:
    """Checks the payouts; gives their bridge, None where there are no payouts.

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
        return CheckedPayouts(check.committed)
    import duckdb

    sound = [record for record in records if record is not None]
    try:
        with Database(scratch / "payouts") as database:
            runs = book.committed_runs()
            owed = Owed(book, runs, sound, database, findings)
            for number, record in enumerate(sound, 1):
                if record.due_by is None:
                    owed.check_answered(number, record)
                else:
                    owed.check_instructed(number, record)
            bridge = owed.bridge(check.committed, runs)
    except (BookError, duckdb.Error, *_UNREADABLE) as error:
        what = f"the payouts cannot be calculated again: {str(error).splitlines()[0]}"
        check.found("payout", NO_CHANGED_BYTE, places.ledger, what)
        return CheckedPayouts(check.committed)
    return CheckedPayouts(check.committed, bridge)

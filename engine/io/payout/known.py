"""What a book knows that payouts follow from: its ledger, its payouts, its services, its people."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from engine.booking.standing import Standing
from engine.errors import BookError
from engine.io.book.folder import Book, no_book
from engine.io.book.format import RunTable
from engine.io.book.kept import kept_corrections, kept_services
from engine.io.book.payouts import PayoutBook
from engine.io.book.run_record import RunRecord
from engine.io.parquet import scan_parquet
from engine.payouts.accounts import ENROLLED, Account, Accounts, Replacement, few_accounts
from engine.payouts.entry import PayoutEntry
from engine.payouts.owed import FiguresRequest, with_account
from engine.records import polars_schema
from engine.terms.services import Services

_ENTRY_COLUMNS: Final = (
    "booked_on",
    "person_id",
    "entry_seq",
    "service_id",
    "account_id",
    "enrolled_account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "original_transaction_id",
    "net_amount",
    "points",
)
PAYOUT_COLUMNS: Final = polars_schema(PayoutEntry)
_UNREADABLE: Final = (OSError, ValueError, pl.exceptions.PolarsError)


@dataclass(frozen=True)
class KnownPayouts:
    """A book at one version of its two tables.

    Attributes:
        runs, payout_runs: how many of each are committed.
    """

    book: Book
    runs: int
    payout_runs: int

    @property
    def payouts(self) -> PayoutBook:
        return PayoutBook(self.book.path)

    @cached_property
    def last_run(self) -> RunRecord:
        """The record of the last run."""
        return self.book.record(self.runs)

    @cached_property
    def services(self) -> Services:
        """The registry in force."""
        return kept_services(self.book, self.runs)

    @cached_property
    def accounts(self) -> Accounts:
        """Whose the accounts are now."""
        return accounts_of(self.book, self.runs)

    def asked(self, on: dt.date) -> FiguresRequest:
        """The figures of a day, by all that the book knows."""
        return FiguresRequest(
            on,
            self.last_run.booked_on,
            self.last_run.programme.terms.window_last,
            self.services,
            self.accounts,
        )

    @cached_property
    def ledger_files(self) -> list[Path]:
        """The ledger's files, in the order of their rows."""
        return [
            self.book.path / output.name
            for number in range(1, self.runs + 1)
            for output in self.book.table_files(number)
        ]

    @property
    def entries_expected(self) -> int:
        """How many entries the records say the ledger has."""
        return sum(
            output.rows or 0
            for number in range(1, self.runs + 1)
            for output in self.book.table_files(number)
        )

    def entries(self) -> Iterator[pl.DataFrame]:
        """The ledger, file by file, by the account of the enrollment."""
        for path in self.ledger_files:
            yield with_account(_read(path, _ENTRY_COLUMNS))

    def payouts_expected(self, number: int) -> int:
        """How many rows the record of a payout run says that the table has of it."""
        return sum(output.rows or 0 for output in self.payouts.table_files(number))

    def payout_rows(self, number: int | None = None) -> Iterator[pl.DataFrame]:
        """The table of payouts, or a payout run's part of it, file by file."""
        if number is None:
            paths = self.payouts.files(self.payout_runs)
        else:
            paths = [self.book.path / file.name for file in self.payouts.table_files(number)]
        for path in paths:
            yield _read(path, tuple(PAYOUT_COLUMNS))

    def last_asked_for(self) -> dict[str, dt.date]:
        """By service, the last day that was asked for it."""
        last: dict[str, dt.date] = {}
        for number in range(1, self.payout_runs + 1):
            record = self.payouts.payout_record(number)
            if record.due_by is not None:
                for service in record.services:
                    last[service] = max(record.due_by, last.get(service, record.due_by))
        return last


def known(path: str | Path, runs: int | None = None) -> KnownPayouts:
    """A book as it stands, for those who read it and never write to it.

    Args:
        path: the book.
        runs: take it as it was after this run, without the payout runs that know later ones.

    Raises:
        InputError: there is no book, or it holds no run.
        BookError: it is damaged.
    """
    book = Book.at(path)
    book.check_readable()
    committed = book.committed_runs()
    if committed == 0:
        raise no_book(book)
    payouts = PayoutBook(book.path)
    payouts.refuse_links()
    payout_runs = payouts.committed_runs()
    if runs is not None:
        while payout_runs and int(payouts.payout_record(payout_runs).run_id) > runs:
            payout_runs -= 1
    return KnownPayouts(book, committed if runs is None else runs, payout_runs)


def accounts_of(book: Book, runs: int) -> Accounts:
    """Whose the accounts are, as the runs up to one of them left it.

    Events concern few people: theirs are read one by one, all others as they were accepted.
    """
    columns = ("person_id", "service_id", "account_id")
    frames = [pl.DataFrame(schema=dict.fromkeys(columns, pl.String))]
    frames += [
        _read(book.run_folder(number) / RunTable.ACCEPTED.file_name, columns)
        for number in range(1, runs + 1)
    ]
    corrections = kept_corrections(book, runs)
    enrolled = pl.concat(frames).with_columns(in_force=True).select(list(ENROLLED))
    if not corrections.taken:
        return Accounts(enrolled)
    standing = Standing(corrections.taken, corrections.enrollments)
    whose = _corrected(standing)
    corrected = pl.DataFrame(
        [(*account, *said) for account, said in sorted(whose.items()) if said is not None],
        schema=ENROLLED,
        orient="row",
    )
    unconcerned = enrolled.join(few_accounts(whose), on=["service_id", "account_id"], how="anti")
    return Accounts(
        pl.concat([unconcerned, corrected]),
        [
            Replacement(*event.account, event.other_id or "", event.effective)
            for event in (taken.event for taken in corrections.taken)
            if event.kind == "account_replaced" and not standing.is_undone(event.event_id)
        ],
        partial(_stopped, standing),
        partial(_accepted_first, standing),
    )


def _corrected(standing: Standing) -> dict[Account, tuple[str, bool] | None]:
    """By account that events concern, its person and whether it is enrolled; None for nobody."""
    whose: dict[Account, tuple[str, bool] | None] = {}
    for enrollment in standing.enrollments():
        account = enrollment.account
        if standing.is_in_force(enrollment):
            whose[account] = standing.person_of(enrollment), True
        elif (
            enrollment.granted_by is None
            and not standing.is_read_as_accepted(enrollment)
            and not standing.is_barred(account, enrollment.person_id)
            and not (whose.get(account) or ("", False))[1]
        ):
            whose[account] = standing.read(enrollment.person_id).person, False
        else:
            whose.setdefault(account, None)
    return whose


def _stopped(standing: Standing, until: dt.datetime, /) -> set[Account]:
    before = until - dt.timedelta(microseconds=1)
    return {
        enrollment.account
        for enrollment in standing.in_force()
        if standing.is_stopped(enrollment, before)
    }


def _accepted_first(standing: Standing, accounts: Sequence[Account], /) -> Account:
    owned = [
        (owner.enrollment.moment, account)
        for account in accounts
        if (owner := standing.owner(account))
    ]
    return min(owned)[1] if owned else accounts[0]


def _read(path: Path, columns: tuple[str, ...]) -> pl.DataFrame:
    try:
        there = pq.read_schema(path).names
        frame = scan_parquet(path).select(name for name in columns if name in there).collect()
    except _UNREADABLE as error:
        raise BookError(
            f"{path}: a file of the book is missing or damaged",
            hint="find out with mynapoint verify, and restore the book from a copy",
        ) from error
    if "net_amount" in columns and "net_amount" not in there:
        frame = _of_format_1(path, frame)
    return frame.select(columns)


def _of_format_1(path: Path, frame: pl.DataFrame) -> pl.DataFrame:
    """Entries that were booked before a number could be replaced or an entry voided."""
    amount = scan_parquet(path).select("amount").collect()
    sign = pl.when(frame["kind"] == "refund").then(-1).otherwise(1)
    return frame.with_columns(
        amount.select(net_amount=sign * pl.col("amount")).to_series(),
        enrolled_account_id=pl.lit(None, pl.String),
    )

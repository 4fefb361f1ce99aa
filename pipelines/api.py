"""The auditor's questions for programs: the same answers as the commands', as typed values."""

import datetime as dt
import tempfile
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.run.arguments import check_counts, check_paths, check_types_of_days
from pipelines.claim.settlement import Claim, settled
from pipelines.desk.database import readable_by_duckdb
from pipelines.desk.months import checked_month
from pipelines.desk.opened_book import OpenedBook
from pipelines.desk.opened_book import open_book as open_at
from pipelines.due.forecast import OVERDUE_DAYS, Due, forecast
from pipelines.explain.lookup import person_of, transaction_of
from pipelines.explain.story import Person, Transaction


def open_book(book: str | Path) -> OpenedBook:
    """A book to read from, at the version that it has now; a run may be booked meanwhile.

    Raises:
        InputError: there is no book, or no run is in it yet.
        BookError: it is damaged.
    """
    check_paths(book=book)
    return open_at(book)


def explain(
    book: str | Path,
    *,
    person: str | None = None,
    transaction: tuple[str, str] | None = None,
    declined: bool = False,
) -> Person | Transaction:
    """A person's account, or what became of a transaction; ``mynapoint explain``.

    Args:
        book: the book's folder.
        person: a person's ID.
        transaction: a service's ID and a transaction's.
        declined: of a person, also the declined transactions; looks at every declined row.

    Raises:
        InputError: not one of the two was asked for, or there is no book.
        BookError: the book is damaged.
    """
    check_paths(book=book)
    if (person is None) == (transaction is None):
        raise InputError(
            "explain: one of person and transaction is needed",
            hint='pass person="…", or transaction=("SERVICE_ID", "TRANSACTION_ID")',
        )
    if transaction is None:
        if not isinstance(person, str):
            raise _wrong("person", "a str", person, 'pass person="…"')
        return person_of(open_at(book), person, with_declined=declined)
    if (
        not isinstance(transaction, tuple)
        or len(transaction) != 2
        or not all(isinstance(part, str) for part in transaction)
    ):
        hint = 'pass transaction=("SERVICE_ID", "TRANSACTION_ID")'
        raise _wrong("transaction", "a tuple of two str", transaction, hint)
    return transaction_of(open_at(book), *transaction)


def claim(book: str | Path, *, month: str | None = None) -> Claim:
    """What may be claimed for a month of booking, or over all; ``mynapoint claim``.

    Args:
        book: the book's folder.
        month: such as ``2021-03``; None for the final settlement.

    Raises:
        InputError: the book has no such month, there is no book, or DuckDB is not installed.
        BookError: the book is damaged, or does not tie to its records.
    """
    check_paths(book=book)
    if month is not None and not isinstance(month, str):
        raise _wrong("month", "a str such as 2021-03", month, 'pass month="2021-03"')
    require_extra("claim", "desk", "duckdb")
    opened = open_at(book)
    if month is not None:
        checked_month(opened, month)
    with (
        tempfile.TemporaryDirectory(prefix="mynapoint-claim-") as scratch,
        readable_by_duckdb(opened.book.path),
    ):
        return settled(opened, month, Path(scratch))


def due(book: str | Path, *, on: dt.date, overdue_days: int = OVERDUE_DAYS) -> Due:
    """The bridge from award to grant on a day, and what comes due when; ``mynapoint due``.

    Args:
        book: the book's folder.
        on: the day, past or ahead.
        overdue_days: after how many days an instruction without an answer is overdue.

    Raises:
        InputError: there is no book.
        BookError: the book is damaged.
    """
    check_paths(book=book)
    check_types_of_days(needed="on", on=on)
    check_counts(0, overdue_days=overdue_days)
    return forecast(Path(book), on, by_day=True, overdue_days=overdue_days)


def _wrong(name: str, what: str, value: object, hint: str) -> InputError:
    return InputError(f"{name}: must be {what}, is of type {type(value).__name__}", hint=hint)

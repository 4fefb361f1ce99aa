"""``mynapoint verify``: nothing lost, nothing twice, nothing changed in silence.

Three questions, each in a module of its own. ``bytes``: is every byte the one that was booked, by
``records`` that can be read? ``arithmetic``: does the ledger, on its own, say what it should?
``origin``: do the deliveries, decided again, give this very book? Beside the bytes, ``index`` asks
whether the book's index follows from its ledger. The answers are findings, one a line.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.extras import require_extra
from engine.io.book.folder import Book
from engine.io.delivered.deliveries import find_delivered
from pipelines.verify.arithmetic import check_arithmetic
from pipelines.verify.bytes import check_bytes
from pipelines.verify.findings import Finding, Findings
from pipelines.verify.index import check_index
from pipelines.verify.kept_runs import Kept
from pipelines.verify.log_end import is_changing
from pipelines.verify.origin import Deliveries, check_origin
from pipelines.verify.payouts import check_payouts

__all__ = ["Finding", "Findings", "Verified", "verify"]

BYTES: Final = "bytes"
ARITHMETIC: Final = "arithmetic"
ORIGIN: Final = "origin"
PAYOUTS: Final = "payouts"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found.

    Attributes:
        runs, entries: how many the book has, by its log and its records.
        checked: those of bytes, arithmetic and origin that could be checked to their end.
        unused: deliveries that were given and that no run has booked.
        unproven: how many runs were booked in format 1: how that decided is no longer known, so
            deliveries do not prove their origin.
    """

    book: Path
    runs: int
    entries: int
    checked: tuple[str, ...]
    unused: int
    unproven: int
    findings: Findings


def verify(
    path: str | Path,
    *,
    transactions: Sequence[str | Path] = (),
    enrollments: Sequence[str | Path] = (),
    events: Sequence[str | Path] = (),
) -> Verified:
    """Verifies a book; with its deliveries, their origin too.

    Raises:
        InputError: there is no book, the deliveries cannot be found, or DuckDB is not installed.
        BookError: the book may not be read.
    """
    require_extra("verify", "verify", "duckdb")
    book = Book.at(path)
    delivered = {
        "events": find_delivered(events, "events"),
        "enrollments": find_delivered(enrollments, "enrollments"),
        "transactions": find_delivered(transactions, "transactions"),
    }
    _check_that_there_is_a_book(book)
    findings = Findings()
    try:
        with tempfile.TemporaryDirectory(prefix="mynapoint-verify-") as scratch:
            kept, checked, unused = _check(book, delivered, Path(scratch), findings)
    except OSError as error:
        raise BookError(
            f"{error.filename or book.path}: {error.strerror or error}",
            hint="check the permissions, and that TMPDIR has as much room as the book takes",
        ) from error
    return Verified(
        book=book.path,
        runs=len(kept.runs),
        entries=sum(run.entries for run in kept.runs if run),
        checked=tuple(checked),
        unused=unused,
        unproven=sum(run.record.format == 1 for run in kept.runs if run),
        findings=findings,
    )


def _check(
    book: Book, delivered: Deliveries, scratch: Path, findings: Findings
) -> tuple[Kept, list[str], int]:
    kept = check_bytes(book, findings)
    checked, unused = [BYTES], 0
    if check_arithmetic(book, kept, scratch, findings):
        checked.append(ARITHMETIC)
    if check_payouts(book, scratch, findings, whole=kept.whole_runs() is not None):
        checked.append(PAYOUTS)
    _check_what_runs_change(book, kept, scratch, findings)
    if any(delivered.values()):
        whole, unused = check_origin(book, kept, delivered, scratch, findings)
        checked += [ORIGIN] if whole else []
    return kept, checked, unused


def _check_what_runs_change(book: Book, kept: Kept, scratch: Path, findings: Findings) -> None:
    """Checks what the book remembers; a run that is at work meanwhile changes it as we look."""
    found = Findings()
    try:
        check_index(book, kept, scratch, found)
    except OSError:
        if not is_changing(book, len(kept.runs)):
            raise
        return
    if found and is_changing(book, len(kept.runs)):
        return
    findings.join(found)


def _check_that_there_is_a_book(book: Book) -> None:
    try:
        found = book.is_begun() or any(path.is_dir() for path in (book.ledger, book.runs))
    except OSError as error:
        raise BookError(
            f"{error.filename or book.path}: {error.strerror or error}",
            hint="check the folder's permissions",
        ) from error
    if not found:
        raise InputError(
            f"{book.path}: there is no book to read",
            hint="name the folder of a book that a run has made",
        )

"""``mynapoint verify``: nothing lost, nothing twice, nothing changed in silence.

Three questions, each in a module of its own. ``bytes``: is every byte the one that was booked?
``arithmetic``: does the ledger, on its own, say what it should? ``origin``: do the deliveries,
decided again, give this very book? Beside the bytes, ``index`` asks whether what the book remembers
follows from its ledger. The answers are findings, one a line.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.extras import require_extra
from engine.io.book.folder import Book
from engine.io.delivered.deliveries import find_delivered
from pipelines.verify.arithmetic import check_arithmetic
from pipelines.verify.bytes import Kept, check_bytes
from pipelines.verify.findings import Finding, Findings
from pipelines.verify.index import check_memory
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
    """

    book: Path
    runs: int
    entries: int
    checked: tuple[str, ...]
    unused: int
    findings: Findings


def verify(
    path: str | Path,
    *,
    transactions: Sequence[str | Path] = (),
    enrollments: Sequence[str | Path] = (),
) -> Verified:
    """Verifies a book; with its deliveries, their origin too.

    Raises:
        InputError: there is no book, the deliveries cannot be found, or DuckDB is not installed.
        BookError: a run is writing to the book.
    """
    require_extra("verify", "verify", "duckdb")
    book = Book(Path(path))
    delivered = {
        "enrollments": find_delivered(enrollments, "enrollments"),
        "transactions": find_delivered(transactions, "transactions"),
    }
    _check_that_there_is_a_book(book)
    findings = Findings()
    try:
        with _undisturbed(book), tempfile.TemporaryDirectory(prefix="mynapoint-verify-") as scratch:
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
    check_memory(book, kept, scratch, findings)
    if any(delivered.values()):
        whole, unused = check_origin(book, kept, delivered, scratch, findings)
        checked += [ORIGIN] if whole else []
    return kept, checked, unused


def _check_that_there_is_a_book(book: Book) -> None:
    try:
        files = [*book.ledger.rglob("*"), *book.runs.rglob("*")]
    except OSError as error:
        raise BookError(
            f"{error.filename or book.path}: {error.strerror or error}",
            hint="check the folder's permissions",
        ) from error
    if not any(file.is_file() for file in files):
        raise InputError(
            f"{book.path}: there is no book to read",
            hint="name the folder of a book that a run has made",
        )


@contextmanager
def _undisturbed(book: Book) -> Iterator[None]:
    """Keeps runs out, where the book can be locked: a copy to read from cannot be written to."""
    with ExitStack() as held:
        if book.lock.exists():
            with suppress(OSError):
                held.enter_context(book.locked())
        yield

"""``mynapoint verify``: nothing lost, nothing twice, nothing changed in silence.

Three questions, each in a module of its own. ``bytes``: is every byte the one that was booked, by
``records`` that can be read, and is nothing else in the folder (``places``)? ``arithmetic``: does
the ledger, on its own, say what it should? ``origin``: do the deliveries, decided again, give this
very book? Beside the bytes, ``index`` asks whether the book's index follows from its ledger. The
answers are findings and remarks, one a line.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.extras import require_extra
from engine.io.book.chain import ChainRecord, chain_of
from engine.io.book.folder import Book
from engine.io.book.payouts import PayoutBook
from engine.io.delivered.deliveries import find_delivered
from engine.io.run.arguments import check_delivered, check_paths
from pipelines.verify.arithmetic import check_arithmetic
from pipelines.verify.bytes import check_bytes
from pipelines.verify.claims import FiledClaim, check_claims
from pipelines.verify.findings import Finding, Findings
from pipelines.verify.index import check_index
from pipelines.verify.kept_runs import KeptRuns
from pipelines.verify.log_end import is_changing
from pipelines.verify.origin import Deliveries, check_origin
from pipelines.verify.payouts import CheckedPayouts, check_payouts
from pipelines.verify.places import check_places
from pipelines.verify.seals import Expected, Vouched, check_seals

__all__ = ["Expected", "Finding", "Findings", "Verified", "verify"]

BYTES: Final = "bytes"
PLACES: Final = "places"
INDEX: Final = "index"
ARITHMETIC: Final = "arithmetic"
ORIGIN: Final = "origin"
PAYOUTS: Final = "payouts"
SEALS: Final = "seals"
CLAIMS: Final = "claims"


@dataclass(slots=True)
class Verified:
    """What was looked at, and what was found.

    Attributes:
        runs, entries: how many the book has, by its log and its records.
        completed: those of bytes, arithmetic, payouts and origin that were checked to their end.
        by_check: the findings and remarks of each check that was begun.
        unused: deliveries that were given and that no run has booked.
        chain: the records of runs and payout runs that can be read.
        vouched: what stands for the book from outside of it.
        claims: filed claims that the book still gives, with the record that they were made at.
        unproven: how many runs were booked in format 1: how that decided is no longer known, so
            deliveries do not prove their origin.
        payouts: how many payout runs there are, and the bridge from award to grant; None where the
            book has no payouts.
    """

    book: Path
    kept: KeptRuns = field(default_factory=KeptRuns)
    completed: list[str] = field(default_factory=list)
    by_check: dict[str, Findings] = field(default_factory=dict)
    unused: int = 0
    chain: list[ChainRecord] = field(default_factory=list)
    vouched: Vouched = field(default_factory=Vouched)
    payouts: CheckedPayouts | None = None
    claims: list[tuple[FiledClaim, ChainRecord]] = field(default_factory=list)

    @property
    def checked(self) -> tuple[str, ...]:
        return tuple(self.completed)

    @property
    def runs(self) -> int:
        return len(self.kept.runs)

    @property
    def entries(self) -> int:
        return sum(run.entries for run in self.kept.runs if run)

    @property
    def unproven(self) -> int:
        return sum(run.record.format == 1 for run in self.kept.runs if run)

    @property
    def findings(self) -> Findings:
        """All findings and remarks."""
        findings = Findings()
        for of_check in self.by_check.values():
            findings.join(of_check)
        return findings

    def of(self, check: str) -> Findings:
        """The findings and remarks of a check, to be added to."""
        return self.by_check.setdefault(check, Findings())


def verify(
    path: str | Path,
    *,
    transactions: Sequence[str | Path] = (),
    enrollments: Sequence[str | Path] = (),
    events: Sequence[str | Path] = (),
    also_unbooked: bool = False,
    expected: Expected | None = None,
    claims: Sequence[FiledClaim] = (),
) -> Verified:
    """Verifies a book; with its deliveries, their origin too.

    Args:
        path: the book.
        transactions: delivered files, folders or globs; all nights', if any.
        enrollments: likewise.
        events: likewise.
        also_unbooked: whether more deliveries are given than have been booked; else one that no
            run has booked is a finding.
        expected: whose seals and which heads the book is held against.
        claims: filed claims that it is held against.

    Raises:
        InputError: there is no book or no run in it, the deliveries cannot be found, or DuckDB is
            not installed.
        BookError: the book may not be read.
    """
    require_extra("verify", "verify", "duckdb")
    check_paths(book=path)
    check_delivered(transactions=transactions, enrollments=enrollments, events=events)
    book = Book.at(path)
    delivered = {
        "events": find_delivered(events, "events"),
        "enrollments": find_delivered(enrollments, "enrollments"),
        "transactions": find_delivered(transactions, "transactions"),
    }
    _check_that_there_is_a_book(book)
    verified = Verified(book.path)
    try:
        with tempfile.TemporaryDirectory(prefix="mynapoint-verify-") as scratch:
            _check(book, delivered, Path(scratch), verified, also_unbooked=also_unbooked)
            _check_from_outside(book, verified, expected or Expected())
            if claims:
                found = verified.of(CLAIMS)
                verified.claims = check_claims(
                    book.path, verified.chain, claims, Path(scratch), found
                )
    except OSError as error:
        raise BookError(
            f"{error.filename or book.path}: {error.strerror or error}",
            hint="check the permissions, and that TMPDIR has as much room as the book takes",
        ) from error
    return verified


def _check(
    book: Book, delivered: Deliveries, scratch: Path, verified: Verified, *, also_unbooked: bool
) -> None:
    kept = verified.kept = check_bytes(book, verified.of(BYTES))
    verified.completed.append(BYTES)
    check_places(book, kept, verified.of(PLACES))
    if check_arithmetic(book, kept, scratch, verified.of(ARITHMETIC)):
        verified.completed.append(ARITHMETIC)
    whole = kept.whole_runs() is not None
    verified.payouts = check_payouts(book, scratch, verified.of(PAYOUTS), whole=whole)
    if verified.payouts is not None and verified.payouts.bridge is not None:
        verified.completed.append(PAYOUTS)
    _check_what_runs_change(book, kept, scratch, verified.of(INDEX))
    if not kept.runs and not verified.findings:
        raise InputError(
            f"{book.path}: no run is in this book",
            hint="name the folder of a book that a run has made; restore one that had runs",
            code="no_book",
        )
    if any(delivered.values()):
        proven, verified.unused = check_origin(
            book, kept, delivered, scratch, verified.of(ORIGIN), also_unbooked=also_unbooked
        )
        verified.completed += [ORIGIN] if proven else []


def _check_from_outside(book: Book, verified: Verified, expected: Expected) -> None:
    payouts = PayoutBook(book.path)
    payout_runs = len(list(payouts.log.glob("[0-9]*.json"))) if payouts.log.is_dir() else 0
    verified.chain = chain_of(book, verified.runs, payout_runs)
    verified.vouched = check_seals(book, verified.chain, expected, verified.of(SEALS))


def _check_what_runs_change(book: Book, kept: KeptRuns, scratch: Path, findings: Findings) -> None:
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

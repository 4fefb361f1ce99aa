"""The command's body: read the claim, compare, write, print; exit 1 when there are breaks."""

import sys
import tempfile
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.durable import sha256_of
from engine.paths import local_path
from pipelines.desk.database import Database, readable_by_duckdb
from pipelines.desk.months import checked_month
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.reconcile.claim_file import ClaimFile, load, recognised
from pipelines.reconcile.differences import Totals, compare
from pipelines.reconcile.output import (
    print_json,
    print_reconciled,
    too_many,
    write_results,
)
from pipelines.reconcile.report import Reconciled
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.texts import Lang, Texts


def reconcile(
    book: Path,
    claim: Path,
    out: Path,
    *,
    lang: Lang,
    month: str | None = None,
    as_of: int | None = None,
    as_json: bool = False,
) -> int:
    """Holds a claim against a book's ledger, and writes every difference to ``out``.

    Gives 1 when there are differences.

    Raises:
        InputError: the claim cannot be used, or ``out`` holds something else.
        BookError: there is no book, a file of it is damaged, or it does not add up.
    """
    require_extra("reconcile", "desk", "duckdb", "xlsxwriter")
    check_folder(out)
    opened = open_book(book, as_of)
    if month is not None:
        checked_month(opened, month)
    texts = Texts("reconcile", lang)
    with tempfile.TemporaryDirectory(prefix="mynapoint-reconcile-") as scratch:
        reconciled = _reconciled(opened, claim, out, Path(scratch), month, texts)
    with output_may_fail():
        if as_json:
            print_json(reconciled)
        else:
            print_reconciled(reconciled, out, texts)
    if reconciled.untold:
        sys.stderr.write(f"{too_many(reconciled, texts)}\n")
    return 1 if reconciled.totals.breaks else 0


def _reconciled(
    opened: OpenedBook, path: Path, out: Path, scratch: Path, month: str | None, texts: Texts
) -> Reconciled:
    path = local_path(path)
    claim = recognised(path)
    last = opened.record(opened.runs)
    with readable_by_duckdb(opened.book.path), Database(scratch / "database") as database:
        rows = load(claim, database)
        totals = _compared(opened, claim, database, month)
        reconciled = Reconciled(
            book=str(opened.book.path),
            last_run=last.run_id,
            chain_sha256=opened.chain_sha256,
            seals=opened.seals,
            claim=str(path),
            claim_bytes=path.stat().st_size,
            claim_sha256=sha256_of(path),
            claim_rows=rows,
            key=claim.key,
            month=month,
            totals=totals,
        )
        with whole_folder(out) as folder:
            write_results(folder, reconciled, database, texts, last.booked_on)
    return reconciled


def _compared(
    opened: OpenedBook, claim: ClaimFile, database: Database, month: str | None
) -> Totals:
    import duckdb

    try:
        return compare(opened, database, claim.key, month)
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise InputError(
            f"{claim.path}: the points of one key, or what they differ by, come to more than 64 "
            "bits hold",
            hint="check the points column of the claim",
        ) from error

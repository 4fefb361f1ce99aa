"""The command's body: read the claim, compare, write, print; exit 1 when there are breaks."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.durable import sha256_of
from engine.paths import local_path
from pipelines.desk.database import Database, readable_by_duckdb
from pipelines.desk.months import checked_month
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.desk.ordered_options import parameters_of
from pipelines.reconcile.claim_file import ClaimFile, load, recognised_claim
from pipelines.reconcile.differences import DifferenceTotals, compare
from pipelines.reconcile.history import (
    RESOLUTIONS_FILE,
    Carried,
    ReconciliationSeries,
    open_history,
)
from pipelines.reconcile.laid_out_claim import laid_out, load_laid_out
from pipelines.reconcile.output import (
    print_json,
    print_reconciled,
    too_many,
    write_carried,
    write_results,
    write_summary,
)
from pipelines.reconcile.report import Reconciliation, SeriesPlace
from pipelines.reconcile.resolutions import Resolution
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.texts import Lang, Texts


def reconcile(
    book: Path,
    claim: Path,
    out: Path | None,
    *,
    lang: Lang,
    month: str | None = None,
    as_of: int | None = None,
    history: Path | None = None,
    layout: str | None = None,
    settings: Sequence[str] = (),
    as_json: bool = False,
) -> int:
    """Holds a claim against a book's ledger, and writes every difference to ``out``, or to the
    next folder of ``history``.

    Gives 1 when there are differences that nobody has resolved.

    Raises:
        InputError: the claim cannot be used, or ``out`` holds something else.
        BookError: there is no book, a file of it is damaged, or it does not add up.
    """
    require_extra("reconcile", "desk", "duckdb", "xlsxwriter")
    if (out is None) == (history is None):
        raise InputError(
            "reconcile: one of --out and --history is needed",
            hint="--out DIR for one result, --history DIR to keep results and resolutions",
        )
    parameters = parameters_of(settings)
    if out is not None:
        check_folder(out)
    opened = open_book(book, as_of)
    if month is not None:
        checked_month(opened, month)
    texts = Texts("reconcile", lang)
    kept = None if history is None else open_history(history)
    if kept is not None:
        out = kept.out
        if layout is None:
            layout, parameters = kept.policy.layout, dict(kept.policy.parameters) | parameters
    assert out is not None
    if parameters and layout is None:
        raise InputError("--set: it is for a layout", hint="name it: --layout ID")
    with tempfile.TemporaryDirectory(prefix="mynapoint-reconcile-") as scratch:
        asked = _Asked(local_path(claim), month, layout, parameters)
        reconciled = _reconciled(opened, asked, out, Path(scratch), kept, texts)
    with output_may_fail():
        if as_json:
            print_json(reconciled)
        else:
            print_reconciled(reconciled, out, texts)
    if reconciled.untold:
        sys.stderr.write(f"{too_many(reconciled, texts)}\n")
    return 1 if reconciled.is_open else 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A claim as it was named, and what it is held against."""

    path: Path
    month: str | None
    layout: str | None
    parameters: Mapping[str, str]


def _reconciled(
    opened: OpenedBook,
    asked: _Asked,
    out: Path,
    scratch: Path,
    history: ReconciliationSeries | None,
    texts: Texts,
) -> Reconciliation:
    last, path = opened.record(opened.runs), asked.path
    with readable_by_duckdb(opened.book.path), Database(scratch / "database") as database:
        skipped: dict[str, int] = {}
        if asked.layout is None:
            claim = recognised_claim(path)
            rows = load(claim, database)
        else:
            laid = laid_out(path, asked.layout, asked.parameters)
            claim, skipped = laid.claim, laid.skipped
            rows = load_laid_out(laid, database)
        resolutions = () if history is None else history.resolutions
        if history is not None:
            chain = [record.sha256 for record in open_book(opened.book.path).chain]
            history.check_state(claim.key, asked.month, chain, opened.chain_sha256)
        totals = _compared(opened, claim, database, asked.month, resolutions)
        carried = None if history is None else history.carried(claim.key, asked.month)
        reconciled = Reconciliation(
            book=str(opened.book.path),
            last_run=last.run_id,
            chain_sha256=opened.chain_sha256,
            seals=opened.seals,
            claim=str(path),
            claim_bytes=path.stat().st_size,
            claim_sha256=sha256_of(path),
            claim_rows=rows,
            key=claim.key,
            month=asked.month,
            totals=totals,
            layout=claim.described.layout.layout_id if claim.described else None,
            skipped=skipped,
            kept=None if history is None or carried is None else _kept(history, carried),
        )
        with whole_folder(out) as folder:
            write_results(folder, reconciled, database, texts, last.booked_on)
            if history is not None and carried is not None:
                write_carried(folder, carried)
                (folder / RESOLUTIONS_FILE).write_bytes(history.resolutions_text)
            write_summary(folder, reconciled)
    return reconciled


def _kept(history: ReconciliationSeries, carried: Carried) -> SeriesPlace:
    return SeriesPlace(
        history.out.name,
        history.previous_sha256,
        history.resolutions_sha256,
        carried.still_open.height,
        int(carried.still_open["difference"].sum()),
        carried.resolved.height,
        int(carried.resolved["difference"].sum()),
    )


def _compared(
    opened: OpenedBook,
    claim: ClaimFile,
    database: Database,
    month: str | None,
    resolutions: Sequence[Resolution],
) -> DifferenceTotals:
    import duckdb

    try:
        return compare(opened, database, claim.key, month, resolutions)
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        raise InputError(
            f"{claim.path}: the points of one key, or what they differ by, come to more than 64 "
            "bits hold",
            hint="check the points column of the claim",
        ) from error

"""The command's body: add up, write, print."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from pipelines.claim.output import print_claim, print_json, write_results
from pipelines.claim.settlement import settled
from pipelines.desk.database import readable_by_duckdb
from pipelines.desk.months import checked_month
from pipelines.desk.opened_book import open_book
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.texts import Lang, Texts


def claim(
    book: Path,
    *,
    lang: Lang,
    month: str | None = None,
    final: bool = False,
    granted: bool = False,
    lapsed: Sequence[str] = (),
    as_of: int | None = None,
    out: Path | None = None,
    as_json: bool = False,
) -> int:
    """Says what may be claimed for a month of booking or over all; writes it to ``out``.

    With ``granted``, what was granted counts instead of what was booked.

    Raises:
        InputError: not one of the two was asked for, the book has no such month, or ``out`` holds
            something else.
        BookError: there is no book, a file is damaged, or the ledger does not tie to the records.
    """
    if granted:
        from pipelines.claim.granted import claim_granted

        return claim_granted(
            book,
            month=month,
            final=final,
            lapsed=lapsed,
            as_of=as_of,
            out=out,
            lang=lang,
            as_json=as_json,
        )
    if lapsed:
        raise InputError("--lapsed: says nothing without --granted", hint="leave it out")
    if (month is None) != final:
        raise InputError(
            "claim: one of --month and --final is needed",
            hint="--month YYYY-MM for a month of booking, --final for all of the book",
        )
    require_extra("claim", "desk", "duckdb")
    if out is not None:
        require_extra("claim --out", "desk", "xlsxwriter")
        check_folder(out)
    opened = open_book(book, as_of)
    if month is not None:
        checked_month(opened, month)
    texts = Texts("claim", lang)
    with (
        tempfile.TemporaryDirectory(prefix="mynapoint-claim-") as scratch,
        readable_by_duckdb(opened.book.path),
    ):
        made = settled(opened, month, Path(scratch))
    if out is not None:
        with whole_folder(out) as folder:
            write_results(folder, made, texts)
    with output_may_fail():
        if as_json:
            print_json(made)
        else:
            print_claim(made, out, texts)
    return 0

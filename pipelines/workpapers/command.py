"""The command's body: verify, make the papers, pack them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

from engine.errors import BookError
from engine.extras import require_extra
from engine.io.durable import sha256_of
from pipelines.desk.opened_book import open_book
from pipelines.shown import terminal
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_new_file, whole_new_file
from pipelines.shown.terminal import output, plain
from pipelines.shown.texts import Lang, Texts
from pipelines.verify.asked import NamedEvidence
from pipelines.workpapers.archive import pack
from pipelines.workpapers.papers import DIFFERENCES, SAMPLES, given_folders, make_papers


def workpapers(
    book: Path,
    asked: NamedEvidence,
    *,
    out: Path,
    differences: Sequence[Path],
    samples: Sequence[Path],
    lang: Lang,
    as_json: bool,
) -> int:
    """Verifies a book and packs all that the audit rests on into one new file.

    Returns 1 when the verification has findings; the papers are written all the same.

    Raises:
        InputError: something that was given cannot be used, or there is something at ``out``.
        BookError: the book cannot be read, or a run was booked meanwhile.
    """
    require_extra("workpapers", "desk", "duckdb", "xlsxwriter")
    check_new_file(out)
    given = [*given_folders(DIFFERENCES, differences), *given_folders(SAMPLES, samples)]
    opened = open_book(book)
    for folder in given:
        folder.check(opened)
    made_at, verified = asked.verified(book)
    if verified.runs != opened.runs:
        raise BookError(
            f"{book}: a run was booked while the papers were made", hint="make them again"
        )
    last = opened.records[-1]
    with (
        tempfile.TemporaryDirectory(prefix="mynapoint-workpapers-") as scratch,
        whole_new_file(out) as fresh,
    ):
        folder_of_papers = Path(scratch)
        make_papers(folder_of_papers, opened, verified, given, made_at=made_at, lang=lang)
        papers = pack(folder_of_papers, fresh, last.booked_on)
        sha256 = sha256_of(fresh)
    value = {
        "file": str(out),
        "sha256": sha256,
        "papers": papers,
        "findings": verified.findings.totals.total(),
        "chain_sha256": opened.chain_sha256,
    }
    with output_may_fail():
        if as_json:
            terminal.print_json(value)
        else:
            output().print(plain(Texts("workpapers", lang)("written", **value)))
    return 1 if verified.findings else 0

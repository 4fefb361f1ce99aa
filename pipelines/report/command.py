"""The command's body: write the report, name its files; exit 1 when something does not add up."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipelines.report import write_report
from pipelines.shown.errors import output_may_fail
from pipelines.shown.texts import Lang, Texts


def report_on_book(
    book: Path,
    *,
    out: Path,
    xlsx: Path | None,
    verify: bool,
    deliveries: Mapping[str, Sequence[str]],
    also_unbooked: bool,
    as_of: int | None,
    lang: Lang,
) -> int:
    """Writes a book's report, and its tables to a workbook.

    Raises:
        InputError: there is no book, or a file cannot be written.
        BookError: a file of the book is damaged.
    """
    written = write_report(
        book,
        out=out,
        xlsx=xlsx,
        lang=lang,
        verify=verify,
        deliveries=deliveries,
        also_unbooked=also_unbooked,
        as_of=as_of,
    )
    texts = Texts("report", lang)
    with output_may_fail():
        for path in written.paths:
            sys.stdout.write(f"{path}\n")
    if written.findings:
        sys.stderr.write(texts("out_findings", findings=written.findings) + "\n")
    return 1 if written.findings else 0

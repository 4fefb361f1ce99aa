"""``mynapoint report``: a book on one page, for managers and auditors; and as a workbook.

``figures`` counts, ``tables`` (of points, rows and runs) and ``charts`` show, ``status`` says what
was checked, ``page`` and ``workbook`` write it down. Nothing in it names a person or an account.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from engine.errors import BookError, InputError
from engine.extras import require_extra
from engine.paths import local_path
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.shown.head import head_facts
from pipelines.shown.result_files import check_file, whole_file
from pipelines.shown.texts import Lang, Texts

if TYPE_CHECKING:
    from pipelines.report.status import ReportStatus

__all__ = ["WrittenReport", "write_report"]


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        paths: the files.
        findings: of the verification, and of the checks that each report makes.
    """

    paths: tuple[Path, ...]
    findings: int


def write_report(
    path: str | Path,
    *,
    out: Path,
    xlsx: Path | None,
    lang: Lang,
    verify: bool,
    deliveries: Mapping[str, Sequence[str]] = MappingProxyType({}),
    also_unbooked: bool = False,
    as_of: int | None = None,
) -> WrittenReport:
    """Writes a book's report; files that are there are replaced when the new ones are whole.

    Args:
        path: the book.
        out: the HTML page.
        xlsx: the workbook, if wanted.
        lang: the language of both.
        verify: whether the book is to be verified first; else the report says that it was not.
        deliveries: by role, what the verification decides again.
        also_unbooked: whether more deliveries are given than have been booked.
        as_of: report on the book as it was after this run.

    Raises:
        InputError: a library is missing, a file cannot be written there, or the options
            contradict each other.
        BookError: there is no book, or it cannot be read.
    """
    require_extra("report", "report", "jinja2", "vl_convert")
    if xlsx is not None:
        require_extra("report --xlsx", "report", "xlsxwriter")
    if verify:
        require_extra("report --verify", "verify", "duckdb")
    elif any(deliveries.values()):
        raise InputError(
            "report: deliveries say nothing without --verify", hint="leave them out, or add it"
        )
    if verify and as_of is not None:
        raise InputError(
            "report: --verify is of the whole book, --as-of of a part", hint="leave one out"
        )
    opened = open_book(path, as_of)
    wanted = [out] if xlsx is None else [out, xlsx]
    _check_places(wanted)
    verified = None
    if verify:
        from pipelines.verify import verify as verify_a_book

        verified = verify_a_book(
            path,
            transactions=deliveries.get("transactions", ()),
            enrollments=deliveries.get("enrollments", ()),
            events=deliveries.get("events", ()),
            also_unbooked=also_unbooked,
        )
        opened = open_book(path)
        if opened.runs != verified.runs:
            raise BookError(
                f"{path}: a run was booked while the book was verified",
                hint="make the report again",
            )
    from pipelines.report.figures import gather
    from pipelines.report.page import page
    from pipelines.report.status import status_of
    from pipelines.report.tables import Tables
    from pipelines.report.workbook import write_workbook

    texts = Texts("report", lang)
    figures = gather(opened)
    tables = Tables(figures, texts)
    every = tables.all()
    status = status_of(figures, verified, texts)
    with ExitStack() as files:
        # Neither takes its place before both are whole.
        places = [files.enter_context(whole_file(path)) for path in wanted]
        text = page(figures, tables, every, status, texts)
        places[0].write_text(text, encoding="utf-8")
        if xlsx is not None:
            facts = _facts(opened, status, texts)
            day = opened.records[-1].booked_on
            write_workbook(places[1], facts, status.tables + every, day, texts)
    return WrittenReport(tuple(wanted), status.findings)


def _facts(opened: OpenedBook, status: "ReportStatus", texts: Texts) -> list[tuple[str, object]]:
    last = opened.records[-1]
    return [
        (texts("title"), None),
        (texts("wb_book"), opened.book.path.resolve().name),
        (texts("wb_as_of"), texts("as_of", run=last.run_id, day=last.booked_on)),
        *head_facts(opened.chain_sha256, opened.seals, texts.lang),
        (status.title, status.note),
    ]


def _check_places(given: list[Path]) -> None:
    paths = [local_path(path) for path in given]
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"{paths[0]}: --out and --xlsx are the same file", hint="name two files")
    for path in paths:
        if path.is_dir() or not path.parent.is_dir():
            why = "this is a folder" if path.is_dir() else "its folder is not there"
            raise InputError(f"{path}: {why}", hint="name a file in a folder that is there")
        check_file(path)

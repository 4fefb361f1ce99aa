"""``mynapoint report``: a book on one page, for managers and auditors; and as a workbook.

``figures`` counts, ``tables`` and ``charts`` show, ``status`` says what was checked, ``page`` and
``workbook`` write it down. Nothing in it names a person or an account.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.io.durable import NewFile, rename, sync
from pipelines.reading import OpenedBook, open_book
from pipelines.texts import Lang, Texts

__all__ = ["Written", "write_report"]

_LIBRARIES: Final = {
    "jinja2": "Jinja2",
    "vl_convert": "vl-convert-python",
    "xlsxwriter": "XlsxWriter",
}


@dataclass(frozen=True, slots=True)
class Written:
    """A report that was written.

    Attributes:
        paths: the files.
        disagreements: where the book's tables do not add up to its records, if anywhere.
        findings: of the verification, and of the checks that each report makes.
    """

    paths: tuple[Path, ...]
    disagreements: tuple[str, ...]
    findings: int


def write_report(
    path: str | Path, *, out: Path, xlsx: Path | None, lang: Lang, verify: bool
) -> Written:
    """Writes a book's report; files that are there are replaced when the new ones are whole.

    Args:
        path: the book.
        out: the HTML page.
        xlsx: the workbook, if wanted.
        lang: the language of both.
        verify: whether the book is to be verified first; else the report says that it was not.

    Raises:
        InputError: a library is missing, or a file cannot be written there.
        BookError: there is no book, or it cannot be read.
    """
    _require_libraries()
    opened = open_book(path)
    wanted = [out] if xlsx is None else [out, xlsx]
    _check_places(opened, wanted)
    verified = None
    if verify:
        from pipelines.verify import verify as verify_a_book

        verified = verify_a_book(path)
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
    from pipelines.report.workbook import workbook

    texts = Texts("report", lang)
    figures = gather(opened)
    tables = Tables(figures, texts)
    every = tables.all()
    status = status_of(figures, verified, texts)
    contents = [page(figures, tables, every, status, texts).encode()]
    if xlsx is not None:
        last = opened.records[-1]
        cover = [
            (texts("book_named", book=opened.book.path.resolve().name), ""),
            (texts("as_of", run=last["run_id"], day=last["booked_on"]), ""),
            ("sha256", opened.chain_sha256),
            (status.title, status.note),
        ]
        contents.append(workbook(cover, status.tables + every, last["booked_on"], texts))
    _write(dict(zip(wanted, contents, strict=True)))
    return Written(
        tuple(wanted),
        tuple(f"{run} {what}" for run, what in figures.disagreements),
        status.findings,
    )


def _require_libraries() -> None:
    missing = [name for module, name in _LIBRARIES.items() if find_spec(module) is None]
    if missing:
        raise InputError(
            f"report: not installed: {', '.join(missing)}",
            hint="pip install 'mynapoint[report]'",
        )


def _check_places(opened: OpenedBook, paths: list[Path]) -> None:
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError(f"{paths[0]}: --out and --xlsx are the same file", hint="name two files")
    for path in paths:
        if path.is_dir() or not path.parent.is_dir():
            why = "this is a folder" if path.is_dir() else "its folder is not there"
            raise InputError(f"{path}: {why}", hint="name a file in a folder that is there")
        if opened.book.path.resolve() in path.resolve().parents:
            raise InputError(
                f"{path}: this is within the book", hint="name a file outside of the book"
            )


def _write(contents: dict[Path, bytes]) -> None:
    """Writes all files, and puts them in their places when the last one is whole."""
    with _disk(), _fresh_names(list(contents)) as fresh:
        for path, content in contents.items():
            with NewFile(fresh[path]) as file:
                file.write(content)
                file.finish()
        for path in contents:
            rename(fresh[path], path)
            sync(path.parent)


@contextmanager
def _fresh_names(paths: list[Path]) -> Iterator[dict[Path, Path]]:
    """Names to write to, beside the files that are meant; none of them stays."""
    fresh = {path: path.with_name(f".{path.name}.{os.getpid()}.new") for path in paths}
    try:
        yield fresh
    finally:
        for path in fresh.values():
            with suppress(FileNotFoundError):
                path.unlink()


@contextmanager
def _disk() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{error.filename}: {error.strerror}", hint="name a place that can be written to"
        ) from error

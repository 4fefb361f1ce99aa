"""The command's body: look through the book, write, print."""

import tempfile
from pathlib import Path

from engine.extras import require_extra
from pipelines.desk.database import Database, readable_by_duckdb
from pipelines.desk.opened_book import open_book
from pipelines.remarks.noticed import look_through
from pipelines.remarks.output import print_remarks, print_remarks_json, write_remarks
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.texts import Lang, Texts


def remark_on(book: Path, *, out: Path | None, lang: Lang, as_json: bool) -> int:
    """Looks through a book for patterns, and writes each time one was found to ``out``.

    Raises:
        InputError: a library is missing, or nothing can be written to the folder.
        BookError: there is no book, or a file of it is damaged.
    """
    require_extra("remarks", "desk", "duckdb")
    if out is not None:
        check_folder(out)
    opened = open_book(book)
    with tempfile.TemporaryDirectory(prefix="mynapoint-remarks-") as scratch:
        places = Path(scratch) / "database"
        with readable_by_duckdb(opened.book.path), Database(places) as database:
            remarks = look_through(opened, database)
            if out is not None:
                with whole_folder(out) as folder:
                    write_remarks(folder, opened, remarks, database)
    with output_may_fail():
        if as_json:
            print_remarks_json(opened, remarks)
        else:
            print_remarks(opened, remarks, out, Texts("remarks", lang))
    return 0

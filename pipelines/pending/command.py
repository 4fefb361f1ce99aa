"""The command's body: look up what waits, print it in sums, write the rows."""

from pathlib import Path

from pipelines.desk.opened_book import open_book
from pipelines.pending.output import print_pending, print_pending_json, write_rows
from pipelines.pending.waiting import pending
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder
from pipelines.shown.texts import Lang, Texts


def show_pending(book: Path, *, lang: Lang, out: Path | None = None, as_json: bool = False) -> int:
    """Says what waits in a book; writes the rows to ``out``.

    Raises:
        InputError: there is no book, or nothing can be written to the folder.
        BookError: a file of the book is damaged.
    """
    opened = open_book(book)
    if out is not None:
        check_folder(out)
    waiting = pending(opened)
    if out is not None:
        write_rows(out, waiting)
    with output_may_fail():
        if as_json:
            print_pending_json(waiting)
        else:
            print_pending(waiting, Texts("pending", lang), out)
    return 0

"""The command's body: take the book at both points, compare, print."""

from pathlib import Path

from engine.errors import InputError
from pipelines.desk.opened_book import open_book
from pipelines.diff.changes import changes
from pipelines.diff.output import print_changes, value, write_people
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder, whole_folder
from pipelines.shown.terminal import print_json
from pipelines.shown.texts import Lang, Texts


def diff(
    book: Path, before: int, after: int, *, out: Path | None, lang: Lang, as_json: bool
) -> int:
    """Says what the runs after one, up to another, changed.

    Raises:
        InputError: the book has no such runs, or they are not in this order.
        BookError: a file of the book is damaged.
    """
    if after <= before:
        raise InputError(
            f"diff: run {after} does not come after run {before}",
            hint="name the earlier run first",
        )
    if out is not None:
        check_folder(out)
    changed = changes(open_book(book, before), open_book(book, after))
    if out is not None:
        with whole_folder(out) as folder:
            write_people(changed, folder)
    with output_may_fail():
        if as_json:
            print_json(value(changed))
        else:
            print_changes(changed, out, Texts("diff", lang))
    return 0

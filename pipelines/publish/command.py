"""The command's body: copy what is missing, say what was copied."""

from pathlib import Path

from engine.io.book.folder import Book
from pipelines.publish.publication import publish
from pipelines.shown.errors import output_may_fail
from pipelines.shown.progress import progress_bar
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Lang, Texts


def publish_ledger(book: Path, to: str, *, lang: Lang, as_json: bool) -> int:
    """Publishes a ledger.

    Raises:
        InputError: there is no book, the place holds something else, or the store fails.
        BookError: the book is damaged.
    """
    with progress_bar(wanted=True) as progress:
        published = publish(Book.at(book), to, progress)
    value = {
        "book": str(published.book),
        "to": str(published.to),
        "runs": published.runs,
        "new_runs": published.new_runs,
        "files": published.files,
        "bytes": published.bytes,
    }
    with output_may_fail():
        if as_json:
            print_json(value)
        else:
            output().print(plain(Texts("publish", lang)("published", **value)))
    return 0

"""The commands' bodies: list runs or attempts, say how a book stands."""

import datetime as dt
from pathlib import Path

from engine.io.book.folder import Book
from engine.io.book.payouts import PayoutBook
from pipelines.desk.opened_book import open_book
from pipelines.run.attempts import attempts_of
from pipelines.runs.history import booked_runs, status_of
from pipelines.runs.output import print_attempts, print_runs, print_status, status_value
from pipelines.shown.errors import output_may_fail
from pipelines.shown.terminal import print_json
from pipelines.shown.texts import Lang, Texts


def list_runs(
    book: Path,
    *,
    lang: Lang,
    last: int | None = None,
    attempts: bool = False,
    as_json: bool = False,
) -> int:
    """Lists a book's runs, or the attempts to book one.

    Raises:
        InputError: there is no book.
        BookError: a record of it is damaged.
    """
    texts = Texts("runs", lang)
    if attempts:
        place = Book.at(book)
        place.check_readable()
        tried = attempts_of(place)[-(last or 0) :]
        with output_may_fail():
            if as_json:
                print_json([attempt.to_json() for attempt in tried])
            else:
                print_attempts(tried, texts)
        return 0
    runs = booked_runs(open_book(book))[-(last or 0) :]
    with output_may_fail():
        if as_json:
            print_json([run.to_json() for run in runs])
        else:
            print_runs(runs, texts)
    return 0


def show_status(
    book: Path, *, lang: Lang, max_age: dt.timedelta | None = None, as_json: bool = False
) -> int:
    """Says how a book stands; exit 1 when its last success is too long ago.

    Raises:
        InputError: there is no book, or no run in it.
        BookError: a record of it is damaged, or a payout run that was in it is lost.
    """
    opened = open_book(book)
    status = status_of(opened, dt.datetime.now(dt.UTC))
    PayoutBook(opened.book.path).committed_runs()
    is_too_old = max_age is not None and status.age > max_age
    with output_may_fail():
        if as_json:
            print_json(status_value(status, max_age))
        else:
            print_status(status, max_age, Texts("runs", lang))
    return 1 if is_too_old else 0

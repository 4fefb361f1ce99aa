"""The operator's commands beside the night: look before, what ran, how a book stands."""

import datetime as dt
from pathlib import Path

from cyclopts.types import PositiveInt

from pipelines.commands.options import Arguments, Json, Paths, Settings
from pipelines.shown.texts import Lang, lang_of_locale


def check(
    book: Path,
    /,
    *,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    layout: list[str] | None = None,
    set_: Settings = None,
    booked_on: dt.date | None = None,
    services: Path | None = None,
    programme: str | None = None,
    terms_as_of: dt.date | None = None,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Arguments = (),
) -> int:
    """Look at a night's files, all at once, against the book / 受信ファイルを事前に確認する.

    Every file that cannot be used is named, and what a run with the others would book, decline and
    set aside. Nothing is booked. Exit 1 when a file cannot be used or a row cannot be read.

    Parameters
    ----------
    book: Path
        The book's folder; there need not be one yet.
    transactions: list[str]
        Delivered transactions, as for mynapoint run.
    enrollments: list[str]
        Delivered enrollments, likewise.
    events: list[str]
        Delivered corrections, likewise.
    layout: list[str]
        How the files that follow are written, as for mynapoint run.
    set_: list[str]
        What a layout asks for, NAME=VALUE, for the files that follow.
    booked_on: dt.date
        The day of booking; by default today in Japan.
    services: Path
        Services file; by default the book's, or the registry that ships.
    programme: str
        Programme, by ID or file; by default the book's, or mynapoint-2020.
    terms_as_of: dt.date
        Use the terms announced by this day; by default the latest.
    as_json: bool
        Print it as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.check.command import check_files

    return check_files(
        book,
        lang=lang or lang_of_locale(),
        transactions=transactions or [],
        enrollments=enrollments or [],
        events=events or [],
        layouts=layout or [],
        settings=set_ or [],
        booked_on=booked_on,
        services=services,
        programme=programme,
        terms_as_of=terms_as_of,
        as_json=as_json,
        arguments=arguments,
    )


def runs(
    book: Path,
    /,
    *,
    last: PositiveInt | None = None,
    attempts: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """List a book's runs, or the attempts to book one / 記帳回の一覧を表示する.

    Parameters
    ----------
    book: Path
        The book's folder.
    last: int
        Only so many, the latest.
    attempts: bool
        The attempts of the command line instead, failed ones too.
    as_json: bool
        Print the list as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.runs.command import list_runs

    return list_runs(
        book, last=last, attempts=attempts, as_json=as_json, lang=lang or lang_of_locale()
    )


def status(
    book: Path,
    /,
    *,
    max_age: dt.timedelta | None = None,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Say how a book stands: its last run, what failed since, totals / 台帳の状態を表示する.

    Parameters
    ----------
    book: Path
        The book's folder.
    max_age: dt.timedelta
        Exit 1 when the last success is longer ago than this, such as 26h or 2d.
    as_json: bool
        Print it as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.runs.command import show_status

    return show_status(book, max_age=max_age, as_json=as_json, lang=lang or lang_of_locale())

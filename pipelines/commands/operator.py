"""The operator's commands beside the night: look before, what ran, how a book stands."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, PositiveInt

from pipelines.commands.options import Arguments, Day, Json, Paths, Settings
from pipelines.shown.texts import Lang, lang_of_locale

_CONFIG: Final = Path("mynapoint.toml")
_Config = Annotated[Path, Parameter(env_var="MYNAPOINT_CONFIG")]


def night(
    book: Annotated[Path, Parameter(env_var="MYNAPOINT_BOOK")],
    /,
    *,
    booked_on: Day,
    config: _Config = _CONFIG,
    wait: Annotated[NonNegativeFloat | None, Parameter(env_var="MYNAPOINT_WAIT")] = None,
    expect_run: PositiveInt | None = None,
    allow_gate: list[str] | None = None,
    nothing_delivered: bool = False,
    new_book: bool = False,
    dry_run: bool = False,
    out: Path | None = None,
    allow_backdating: bool = False,
    allow_postdating: bool = False,
    quiet: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Book a night with what its sources have / 設定ファイルに従い夜間処理を行う.

    What arrives from whom, and all that is the same every night, stands in the sources file.

    Parameters
    ----------
    book: Path
        The book's folder; it has to be there.
    booked_on: dt.date
        The day of booking, YYYY-MM-DD; or today or yesterday, in Japan.
    config: Path
        The sources file; by default mynapoint.toml here.
    wait: float
        Wait so many seconds until another run has ended.
    expect_run: int
        Refuse the run if it would have another number than this.
    allow_gate: list[str]
        Book the night though this gate fails; may be repeated.
    nothing_delivered: bool
        Record a night on which no source had anything.
    new_book: bool
        Make a new book.
    dry_run: bool
        Do all of it but the booking: nothing in the book's folder changes.
    out: Path
        With --dry-run: a new or empty folder for the tables that the run would leave.
    allow_backdating: bool
        Let --booked-on be earlier than the last run's day.
    allow_postdating: bool
        Let --booked-on be in the future.
    quiet: bool
        Print nothing but errors and warnings.
    as_json: bool
        Print the run record as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.night.command import run_night

    return run_night(
        book,
        booked_on=booked_on,
        config=config,
        wait=wait,
        expected_run=expect_run,
        allowed_gates=allow_gate or [],
        nothing_delivered=nothing_delivered,
        new_book=new_book,
        dry_run=dry_run,
        out=out,
        allow_backdating=allow_backdating,
        allow_postdating=allow_postdating,
        quiet=quiet,
        as_json=as_json,
        lang=lang or lang_of_locale(),
    )


def show_config(
    *,
    booked_on: Day,
    config: _Config = _CONFIG,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Show what a night would be run with / 設定と受信状況を表示する.

    Exit 1 when a source that is required has nothing.

    Parameters
    ----------
    booked_on: dt.date
        The day of booking, YYYY-MM-DD; or today or yesterday, in Japan.
    config: Path
        The sources file; by default mynapoint.toml here.
    as_json: bool
        Print it as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.night.command import show_config as show

    return show(config, booked_on=booked_on, lang=lang or lang_of_locale(), as_json=as_json)


def validate_config(*, config: _Config = _CONFIG, lang: Lang | None = None) -> int:
    """Check the sources file, and the layouts, gates and services that it names / 設定を検査する.

    Parameters
    ----------
    config: Path
        The sources file; by default mynapoint.toml here.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.night.command import validate_config as validate

    return validate(config, lang=lang or lang_of_locale())


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


def replay(
    book: Path,
    new: Path,
    /,
    *,
    deliveries: Annotated[list[Path], Parameter(consume_multiple=True)],
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Book a book's nights once more, into a new one, and compare / 改めて記帳し比較する.

    Every run is booked again by what it kept: day, terms, services and layouts. Exit 1 when the two
    books differ.

    Parameters
    ----------
    book: Path
        The book's folder.
    new: Path
        A new or empty folder, for the new book.
    deliveries: list[Path]
        Folders with all nights' deliveries, or files; they are found by their sha256, whatever they
        are called.
    as_json: bool
        Print the differences as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.replay.command import replay_book

    return replay_book(
        book, new, deliveries=deliveries, lang=lang or lang_of_locale(), as_json=as_json
    )


def publish(
    book: Annotated[Path, Parameter(env_var="MYNAPOINT_BOOK")],
    to: str,
    /,
    *,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Copy the ledger to an object store, run by run / 台帳を公開先へ複写する.

    Only what is not there yet is copied, a run's files first and its commit last, so that readers
    of Delta Lake see whole runs. Nothing at the place is changed or removed.

    Parameters
    ----------
    book: Path
        The book's folder.
    to: str
        A place for this ledger alone: s3://BUCKET/FOLDER, gs://… or az://….
    as_json: bool
        Print what was copied as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.publish.command import publish_ledger

    return publish_ledger(book, to, lang=lang or lang_of_locale(), as_json=as_json)

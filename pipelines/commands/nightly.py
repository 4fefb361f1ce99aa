"""The commands of the night: book deliveries, pay out, and see what is due and what waits."""

import datetime as dt
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.types import NonNegativeFloat, NonNegativeInt, PositiveInt

from pipelines.commands.options import Arguments, Day, Json, Paths, Settings
from pipelines.shown.texts import Lang, lang_of_locale


def run(
    book: Path,
    /,
    *,
    booked_on: Day,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    layout: list[str] | None = None,
    set_: Settings = None,
    services: Path | None = None,
    programme: str | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    allow_quarantined: NonNegativeInt = 0,
    rejects: Path | None = None,
    gates: Path | None = None,
    allow_gate: list[str] | None = None,
    manifest: Annotated[list[Path] | None, Parameter(consume_multiple=True)] = None,
    nothing_delivered: bool = False,
    existing: bool = False,
    expect_run: PositiveInt | None = None,
    wait: NonNegativeFloat = 0,
    any_owner: bool = False,
    allow_backdating: bool = False,
    allow_postdating: bool = False,
    whole_lines: bool = False,
    dry_run: bool = False,
    out: Path | None = None,
    threads: PositiveInt | None = None,
    memory: NonNegativeInt | None = None,
    engine: Literal["one-machine", "spark"] = "one-machine",
    master: str | None = None,
    conf: list[str] | None = None,
    log_json: Path | None = None,
    metrics: Path | None = None,
    on_finish: str | None = None,
    quiet: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Arguments = (),
) -> int:
    """Book one night's deliveries / 夜間処理 1 回分の取引を記帳する.

    Parameters
    ----------
    book: Path
        The book's folder; made by the first run.
    booked_on: dt.date
        The day of booking, YYYY-MM-DD; or today or yesterday, in Japan.
    transactions: list[str]
        Delivered transactions: files, folders or quoted globs, also s3://, gs:// and az://; CSV
        (.gz, .zst, .bz2, .xz, .zip), Parquet, or Excel workbooks (.xlsx).
    enrollments: list[str]
        Delivered enrollments (マイナポイントの申込), likewise.
    events: list[str]
        Delivered corrections, likewise: replaced accounts, stops, voids, merges.
    layout: list[str]
        How the files that follow are written: a layout's ID or file, canonical, or auto. By default
        their headers decide. See mynapoint layouts.
    set_: list[str]
        What a layout asks for, NAME=VALUE, for the files that follow.
    services: Path
        Services file; kept in the book. By default the registry that ships.
    programme: str
        Programme, by ID or file; kept in the book. By default mynapoint-2020.
    terms_as_of: dt.date
        Use the terms announced by this day; by default the latest.
    max_quarantined: float
        The largest share of rows, 0 to 1, that may go to quarantine.
    allow_quarantined: int
        So many rows may go to quarantine, whatever share of the night they are.
    rejects: Path
        A new or empty folder that keeps these rows where the run is refused for them.
    gates: Path
        What a night must look like to be booked; kept in the book. By default the book's, or none.
    allow_gate: list[str]
        Book the night though this gate fails; may be repeated.
    manifest: list[Path]
        What should have been delivered: CSV with name and any of sha256, bytes, rows, yen, or what
        sha256sum writes. Together they name every file.
    nothing_delivered: bool
        Record a night on which nothing came: folders are empty, globs match nothing.
    existing: bool
        Refuse to make a new book: there has to be one.
    expect_run: int
        Refuse the run if it would have another number than this.
    wait: float
        Wait so many seconds until another run has ended.
    any_owner: bool
        Write to a book that belongs to another user.
    allow_backdating: bool
        Let --booked-on be earlier than the last run's day.
    allow_postdating: bool
        Let --booked-on be in the future.
    whole_lines: bool
        Refuse a CSV file whose last record has no line end; else it is read, with a warning.
    dry_run: bool
        Do all of it but the booking: nothing in the book's folder changes.
    out: Path
        With --dry-run: a new or empty folder for the tables that the run would leave.
    threads: int
        Parts and slices under way at once; by default one more than cores.
    memory: int
        So many MiB of rows may wait in memory for their turn, others on the disk; by default an
        eighth of what is free, 512 at most.
    engine: str
        Where the run is calculated: on one-machine, or on a spark cluster. The book is the same.
    master: str
        The Spark cluster, such as spark://HOST:7077; by default what Spark is configured to use, or
        else this machine's cores.
    conf: list[str]
        A setting of Spark, NAME=VALUE; may be repeated.
    log_json: Path
        Add a line of JSON to this file when the run begins, when a phase ends, and when it ends.
    metrics: Path
        Write what the run was to this file (.prom), for Prometheus's textfile collector.
    on_finish: str
        A command, not passed through a shell, that gets the record on its standard input, or
        {"error": …}.
    quiet: bool
        Print nothing but errors and warnings.
    as_json: bool
        Print the run record as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.run.command import NightDeliveries, book_deliveries, in_their_layouts
    from pipelines.run.observed import Watchers

    named = NightDeliveries(transactions or [], enrollments or [], events or [], manifest or [])
    return book_deliveries(
        book,
        booked_on=booked_on,
        find_delivered=lambda: in_their_layouts(named, layout or [], set_ or [], arguments),
        services=services,
        programme=programme,
        terms_as_of=terms_as_of,
        max_quarantined=max_quarantined,
        quarantined_rows_allowed=allow_quarantined,
        rejects=rejects,
        gates=gates,
        allowed_gates=allow_gate or [],
        nothing_delivered=nothing_delivered,
        existing=existing,
        expected_run=expect_run,
        wait_seconds=wait,
        any_owner=any_owner,
        allow_backdating=allow_backdating,
        allow_postdating=allow_postdating,
        whole_lines=whole_lines,
        dry_run=dry_run,
        out=out,
        threads=threads,
        memory_mib=memory,
        engine=engine,
        master=master,
        conf=conf or [],
        watchers=Watchers(log_json, metrics, on_finish),
        quiet=quiet,
        as_json=as_json,
        lang=lang or lang_of_locale(),
    )


def payout(
    book: Path,
    /,
    *,
    due_by: dt.date | None = None,
    out: Path | None = None,
    service: list[str] | None = None,
    answers: Paths | None = None,
    layout: list[str] | None = None,
    set_: Settings = None,
    max_quarantined: float | None = None,
    whole_lines: bool = False,
    others_done: PositiveInt | None = None,
    answered_on: dt.date | None = None,
    again: PositiveInt | None = None,
    wait: NonNegativeFloat = 0,
    any_owner: bool = False,
    allow_far: bool = False,
    dry_run: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Arguments = (),
) -> int:
    """Instruct what is owed, or take in what was answered / ポイントの付与を指図し、結果を取り込む.

    Parameters
    ----------
    book: Path
        The book's folder.
    due_by: dt.date
        Instruct what is due by this day, YYYY-MM-DD; it may lie ahead.
    out: Path
        The folder that the files are copied to, one a service.
    service: list[str]
        Of this service alone; may be repeated.
    answers: list[str]
        What the points systems answered: files, folders or quoted globs.
    layout: list[str]
        How the answers that follow are written: a layout's ID or file, canonical, or auto. With
        --due-by: a file that says how the points system wants the lines, written beside the others.
    set_: list[str]
        What a layout asks for, NAME=VALUE, for the files that follow.
    max_quarantined: float
        The largest share of answers, 0 to 1, that may go to quarantine; by default 0.05.
    whole_lines: bool
        Refuse a file of answers whose last record has no line end, as of a broken upload.
    others_done: int
        Take all lines of this payout run that have no answer as done, for the services that the
        answers speak of or --service names.
    answered_on: dt.date
        With --others-done: on this day.
    again: int
        Copy the files of this payout run once more.
    wait: float
        Wait so many seconds until another run has ended.
    any_owner: bool
        Write to a book that belongs to another user.
    allow_far: bool
        Let --due-by lie more than 100 days ahead.
    dry_run: bool
        Show what would be done, and book nothing.
    as_json: bool
        Print the record as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from engine.io.book.writing import Access
    from pipelines.payout.command import pay_out

    return pay_out(
        book,
        due_by=due_by,
        out=out,
        services=service or [],
        answers=answers or [],
        layouts=layout or [],
        settings=set_ or [],
        others_done=others_done,
        answered_on=answered_on,
        again=again,
        access=Access(wait, any_owner),
        max_quarantined=max_quarantined,
        whole_lines=whole_lines,
        allow_far=allow_far,
        dry_run=dry_run,
        as_json=as_json,
        lang=lang or lang_of_locale(),
        arguments=arguments,
    )


def due(
    book: Path,
    /,
    *,
    on: dt.date,
    by: Literal["service", "day"] = "service",
    overdue_days: NonNegativeInt = 60,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Show what is due, and the bridge from award to grant / 付与の期日と内訳を表示する.

    Parameters
    ----------
    book: Path
        The book's folder.
    on: dt.date
        The day, YYYY-MM-DD; it may lie ahead.
    by: str
        By service, or also what comes due on each day after.
    overdue_days: int
        Say which instructions have had no answer for longer than this.
    as_json: bool
        Print the bridge as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.due.command import due as what_is_due

    return what_is_due(
        book,
        on=on,
        by=by,
        overdue_days=overdue_days,
        as_json=as_json,
        lang=lang or lang_of_locale(),
    )


def pending(
    book: Path,
    /,
    *,
    out: Path | None = None,
    as_json: Json = False,
    lang: Lang | None = None,
) -> int:
    """Show what waits, and the points at stake / 保留中の行を表示する.

    What was turned away is looked at again by every run, and booked when that is possible.

    Parameters
    ----------
    book: Path
        The book's folder.
    out: Path
        A new or empty folder for the rows, as CSV and Parquet.
    as_json: bool
        Print the sums as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.pending.command import show_pending

    return show_pending(book, lang=lang or lang_of_locale(), out=out, as_json=as_json)

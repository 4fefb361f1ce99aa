"""The command line: what people type, with its help; the work is done elsewhere."""

import datetime as dt
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError
from cyclopts.types import NonNegativeInt, PositiveInt

from engine.errors import InputError
from pipelines.shown.errors import output_may_fail
from pipelines.shown.texts import Lang, lang_of_locale

_HELP = """マイナポイントの付与台帳を作る: deliveries in, a validated ledger of awards out.

Start with sample deliveries and book their first night:

    mynapoint sample DIR
    mynapoint run BOOK --booked-on 2020-11-03 \\
        --enrollments DIR/night-001/enrollments.csv \\
        --transactions DIR/night-001/transactions-*

Exit codes: 0 done; 1 differences found; 2 unusable input or wrong usage;
3 the book is in use or damaged. With 2 nothing was booked.
"""

app = App(
    name="mynapoint",
    help=_HELP,
    help_format="plaintext",
    version=lambda: version("mynapoint"),
    version_flags=["--version"],
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
    suppress_keyboard_interrupt=False,
    # No --no-quiet, no --empty-transactions.
    default_parameter=Parameter(negative=()),
)

Paths = Annotated[list[str], Parameter(consume_multiple=True)]
Json = Annotated[bool, Parameter(name="--json")]
Id = Annotated[str, Parameter(allow_leading_hyphen=True)]


@app.command
def run(
    book: Path,
    /,
    *,
    booked_on: dt.date,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    layout: list[str] | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    services: Path | None = None,
    programme: str | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    allow_backdating: bool = False,
    allow_postdating: bool = False,
    whole_lines: bool = False,
    threads: PositiveInt | None = None,
    engine: Literal["one-machine", "spark"] = "one-machine",
    master: str | None = None,
    conf: list[str] | None = None,
    quiet: bool = False,
    as_json: Json = False,
    arguments: Annotated[Sequence[str], Parameter(parse=False)] = (),
) -> int:
    """Book one night's deliveries / 夜間処理 1 回分の取引を記帳する.

    Parameters
    ----------
    book: Path
        The book's folder; made by the first run.
    booked_on: dt.date
        The day of booking, YYYY-MM-DD.
    transactions: list[str]
        Delivered transactions: files, folders or quoted globs; CSV (.gz, .zst) or Parquet.
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
    allow_backdating: bool
        Let --booked-on be earlier than the last run's day.
    allow_postdating: bool
        Let --booked-on be in the future.
    whole_lines: bool
        Refuse a CSV file whose last record has no line end; else it is read, with a warning.
    threads: int
        Parts and slices under way at once; by default one more than cores.
    engine: str
        Where the run is calculated: on one-machine, or on a spark cluster. The book is the same.
    master: str
        The Spark cluster, such as spark://HOST:7077; by default what Spark is configured to use, or
        else this machine's cores.
    conf: list[str]
        A setting of Spark, NAME=VALUE; may be repeated.
    quiet: bool
        Print nothing but errors and warnings.
    as_json: bool
        Print the run record as JSON.
    """
    from engine.io.run.nightly import run as book_a_night
    from pipelines.desk.engines import engine_of
    from pipelines.desk.ordered_options import in_order
    from pipelines.shown.progress import progress_bar
    from pipelines.shown.summary import print_record, print_summary, print_warnings

    parsed = {
        "transactions": transactions or [],
        "enrollments": enrollments or [],
        "events": events or [],
    }
    deliveries = in_order(arguments, parsed) if layout or set_ else parsed
    with (
        engine_of(engine, master, conf or []) as how,
        progress_bar(wanted=not quiet) as progress,
    ):
        result = book_a_night(
            book,
            booked_on=booked_on,
            transactions=deliveries["transactions"],
            enrollments=deliveries["enrollments"],
            events=deliveries["events"],
            services=services,
            programme=programme,
            terms_as_of=terms_as_of,
            max_quarantined=max_quarantined,
            allow_backdating=allow_backdating,
            allow_postdating=allow_postdating,
            whole_lines=whole_lines,
            threads=threads,
            progress=progress,
            how=how,
        )
    with output_may_fail():
        print_warnings(result)
        if as_json:
            print_record(result)
        elif not quiet:
            print_summary(result)
    return 0


@app.command
def payout(
    book: Path,
    /,
    *,
    due_by: dt.date | None = None,
    out: Path | None = None,
    service: list[str] | None = None,
    answers: Paths | None = None,
    layout: list[str] | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    max_quarantined: float | None = None,
    others_done: PositiveInt | None = None,
    answered_on: dt.date | None = None,
    again: PositiveInt | None = None,
    allow_far: bool = False,
    dry_run: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Annotated[Sequence[str], Parameter(parse=False)] = (),
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
        How the answers that follow are written: a layout's ID or file, canonical, or auto.
    set_: list[str]
        What a layout asks for, NAME=VALUE, for the files that follow.
    max_quarantined: float
        The largest share of answers, 0 to 1, that may go to quarantine; by default 0.05.
    others_done: int
        Take all lines of this payout run that have no answer as done, for the services that the
        answers speak of or --service names.
    answered_on: dt.date
        With --others-done: on this day.
    again: int
        Copy the files of this payout run once more.
    allow_far: bool
        Let --due-by lie more than 100 days ahead.
    dry_run: bool
        Show what would be done, and book nothing.
    as_json: bool
        Print the record as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.desk.ordered_options import in_order
    from pipelines.payout.command import pay_out

    parsed = {"answers": answers or []}
    return pay_out(
        book,
        due_by=due_by,
        out=out,
        services=service or [],
        answers=in_order(arguments, parsed)["answers"] if layout or set_ else parsed["answers"],
        others_done=others_done,
        answered_on=answered_on,
        again=again,
        max_quarantined=max_quarantined,
        allow_far=allow_far,
        dry_run=dry_run,
        as_json=as_json,
        lang=lang or lang_of_locale(),
    )


@app.command
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


@app.command
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


@app.command
def verify(
    book: Path,
    /,
    *,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    show_ids: bool = False,
    as_json: Json = False,
) -> int:
    """Verify a whole book / 台帳を検証する: its bytes, its arithmetic, its origin.

    Findings are printed one a line: which of the README's promises, where, what. Exit 1 when
    there are any. With all nights' deliveries, every run is decided again and compared.

    Parameters
    ----------
    book: Path
        The book's folder.
    transactions: list[str]
        All nights' delivered transactions: files, folders or quoted globs.
    enrollments: list[str]
        All nights' delivered enrollments, likewise.
    events: list[str]
        All nights' delivered events, likewise.
    show_ids: bool
        Name people and accounts, too.
    as_json: bool
        Print the findings as JSON.
    """
    from pipelines.verify import verify as verify_a_book
    from pipelines.verify.output import print_findings, print_json

    verified = verify_a_book(
        book,
        transactions=transactions or [],
        enrollments=enrollments or [],
        events=events or [],
    )
    with output_may_fail():
        (print_json if as_json else print_findings)(verified, show_ids=show_ids)
    return 1 if verified.findings else 0


@app.command
def explain(
    book: Path,
    /,
    *,
    person: Id | None = None,
    transaction: Annotated[
        tuple[str, str] | None,
        Parameter(allow_leading_hyphen=True),
    ] = None,
    declined: bool = False,
    html: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Explain an account or a transaction / 付与の理由を説明する.

    Exit 1 when the book knows nothing of what was asked, or when an entry does not agree with
    what follows from the entries before it.

    Parameters
    ----------
    book: Path
        The book's folder.
    person: str
        A person's ID: their applications, their entries, and why each earned what it did.
    transaction: tuple[str, str]
        SERVICE_ID TRANSACTION_ID: booked, declined, set aside, or never delivered, and why.
    declined: bool
        With --person: also the account's declined transactions; looks at every declined row.
    html: Path
        Also write one self-contained page, with a picture of the spending against the cap.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the story as JSON.
    """
    from pipelines.explain.command import explain as explain_to_people

    return explain_to_people(
        book,
        person,
        transaction,
        lang=lang or lang_of_locale(),
        declined=declined,
        html=html,
        as_json=as_json,
    )


@app.command
def reconcile(
    book: Path,
    claim: Path,
    /,
    *,
    out: Path,
    month: str | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Hold a claim against the ledger / 請求を台帳と照合する.

    The claim has the columns service_id, points, and one of transaction_id, account_id and month
    (YYYY-MM, of booking). Every difference is one row of the breaks. Exit 1 when there are any.

    Parameters
    ----------
    book: Path
        The book's folder.
    claim: Path
        The claim: CSV (.gz, .zst) or Parquet.
    out: Path
        A new or empty folder for breaks.parquet, breaks.csv, breaks.xlsx and summary.json.
    month: str
        Hold the claim against what was booked in this month alone, YYYY-MM.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the summary as JSON.
    """
    from pipelines.reconcile.command import reconcile as reconcile_a_claim

    return reconcile_a_claim(
        book, claim, out, month=month, lang=lang or lang_of_locale(), as_json=as_json
    )


@app.command
def claim(
    book: Path,
    /,
    *,
    month: str | None = None,
    final: bool = False,
    granted: bool = False,
    lapsed: list[str] | None = None,
    out: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Say what the operator may claim / 請求できるポイントを集計する.

    For each service: people, transactions, counted yen, points awarded, reversed and net. The
    sums are held against the run records first.

    Parameters
    ----------
    book: Path
        The book's folder.
    month: str
        What was booked in a month, YYYY-MM (概算払い).
    final: bool
        What was booked over all (精算払い).
    granted: bool
        What was granted instead of what was booked: by the month of the answer, net of what was
        taken back and of the service's lapse rate.
    lapsed: list[str]
        With --granted --final: SERVICE_ID=POINTS that lapsed in fact; may be repeated.
    out: Path
        Also write claim.parquet, claim.csv, claim.xlsx and claim.json to this new or empty folder.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the claim as JSON.
    """
    if granted:
        from pipelines.claim.granted import claim_granted

        return claim_granted(
            book,
            month=month,
            final=final,
            lapsed=lapsed or [],
            out=out,
            lang=lang or lang_of_locale(),
            as_json=as_json,
        )
    if lapsed:
        raise InputError("--lapsed: says nothing without --granted", hint="leave it out")
    from pipelines.claim.command import claim as claim_by_the_book

    return claim_by_the_book(
        book,
        month=month,
        final=final,
        out=out,
        lang=lang or lang_of_locale(),
        as_json=as_json,
    )


@app.command
def report(
    book: Path,
    /,
    *,
    out: Path,
    xlsx: Path | None = None,
    verify: bool = False,
    lang: Lang | None = None,
) -> int:
    """Report on a book, on one page / 台帳の報告書を作る.

    Points by day and service, the cap, declined and quarantined rows, refunds, control totals,
    terms and their sources; one HTML file that needs no network and names no person. Exit 1 when
    the book's tables do not add up to its records, or the verification has findings.

    Parameters
    ----------
    book: Path
        The book's folder.
    out: Path
        The page to write, an HTML file.
    xlsx: Path
        Write its tables to this workbook, too.
    verify: bool
        Verify the book first, as mynapoint verify does; without it the report says that the
        book was not verified.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.report import write_report
    from pipelines.shown.texts import Texts

    lang = lang or lang_of_locale()
    written = write_report(book, out=out, xlsx=xlsx, lang=lang, verify=verify)
    texts = Texts("report", lang)
    with output_may_fail():
        for path in written.paths:
            sys.stdout.write(f"{path}\n")
    if written.findings:
        sys.stderr.write(texts("out_findings", findings=written.findings) + "\n")
    return 1 if written.findings else 0


@app.command
def simulate(
    book: Path | None = None,
    /,
    *,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    layout: list[str] | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    services: Path | None = None,
    programme: str | None = None,
    rate: str | None = None,
    cap: str | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    quiet: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Annotated[Sequence[str], Parameter(parse=False)] = (),
) -> int:
    """Simulate other terms / 条件を変えて試算する; nothing is booked.

    What the same deliveries would have earned: in all, by service, people better and worse off,
    and the difference to what was booked. A book alone keeps rows in conflict only as they came,
    and runs of version 1 kept little of what they declined; what of it may matter is said. With all
    nights' deliveries the result is exact. Deliveries without a book are taken as one night's.

    Parameters
    ----------
    book: Path
        The book whose runs are simulated.
    transactions: list[str]
        Delivered transactions; with a book, all nights': files, folders or quoted globs.
    enrollments: list[str]
        Delivered enrollments, likewise.
    events: list[str]
        Delivered events, likewise.
    layout: list[str]
        Without a book: how the files that follow are written, as for mynapoint run. A book says
        itself how its deliveries were.
    set_: list[str]
        Without a book: what a layout asks for, NAME=VALUE, for the files that follow.
    services: Path
        Another services file.
    programme: str
        Another programme, by ID or file.
    rate: str
        Another rate, such as 30/100: points over yen.
    cap: str
        Another cap on spending, in yen, such as 30000.
    terms_as_of: dt.date
        The terms announced by this day.
    max_quarantined: float
        Without a book: the largest share of rows, 0 to 1, that may go to quarantine.
    quiet: bool
        Show no progress.
    as_json: bool
        Print the simulation as JSON.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.desk.ordered_options import in_order
    from pipelines.shown.progress import progress_bar
    from pipelines.shown.texts import Texts
    from pipelines.simulate import OtherTerms
    from pipelines.simulate import simulate as simulate_terms
    from pipelines.simulate.output import print_json, print_simulation

    other = OtherTerms.parsed(
        programme=programme, rate=rate, cap=cap, as_of=terms_as_of, services=services
    )
    if book is not None and not other.changes_something:
        raise InputError(
            "no other terms were named",
            hint="name at least one of --rate, --cap, --terms-as-of, --programme and --services",
        )
    if book is not None and (layout or set_):
        raise InputError(
            f"{book}: a book says itself how its deliveries are written, not --layout or --set",
            hint="leave them out",
        )
    parsed = {
        "transactions": transactions or [],
        "enrollments": enrollments or [],
        "events": events or [],
    }
    deliveries = in_order(arguments, parsed) if layout or set_ else parsed
    with progress_bar(wanted=not quiet) as progress:
        simulation = simulate_terms(
            book,
            transactions=deliveries["transactions"],
            enrollments=deliveries["enrollments"],
            events=deliveries["events"],
            other=other,
            max_quarantined=max_quarantined,
            progress=progress,
        )
    with output_may_fail():
        if as_json:
            print_json(simulation)
        else:
            print_simulation(simulation, book, Texts("simulate", lang or lang_of_locale()))
    return 0


@app.command
def sample(
    folder: Path,
    /,
    *,
    people: PositiveInt = 200,
    transactions: PositiveInt = 3000,
    nights: PositiveInt = 6,
    seed: NonNegativeInt = 2020,
) -> int:
    """Write sample deliveries / サンプルの受信データを作成する.

    Parameters
    ----------
    folder: Path
        Where to write them; one folder a night.
    people: int
        How many people apply.
    transactions: int
        About how many transactions are delivered.
    nights: int
        Into how many nights they are cut.
    seed: int
        The same seed gives the same files.
    """
    from engine.paths import local_path
    from pipelines.sample import write_sample
    from pipelines.shown.result_files import check_folder

    folder = local_path(folder)
    check_folder(folder)
    try:
        paths = write_sample(
            folder, people=people, transactions=transactions, nights=nights, seed=seed
        )
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="name a folder that can be written to",
        ) from error
    with output_may_fail():
        for path in paths:
            sys.stdout.write(f"{path}\n")
    return 0


@app.command
def layouts(layout: str | None = None, /, *, lang: Lang | None = None) -> int:
    """List the layouts of providers' files that ship / 事業者ファイルのレイアウト一覧.

    Parameters
    ----------
    layout: str
        Print this layout's text instead, to be copied and changed.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.layouts.listing import print_layout, print_layouts

    with output_may_fail():
        if layout is None:
            print_layouts(lang or lang_of_locale())
        else:
            print_layout(layout)
    return 0


@app.command
def preview(
    file: Path,
    /,
    *,
    layout: str | None = None,
    set_: Annotated[list[str] | None, Parameter(name="--set")] = None,
    role: Literal["transactions", "enrollments", "answers"] | None = None,
    rows: PositiveInt = 3,
    lang: Lang | None = None,
) -> int:
    """Show how a file would be read / ファイルの試し読み; books nothing.

    Exit 1 when rows of it would be quarantined.

    Parameters
    ----------
    file: Path
        The delivered file.
    layout: str
        How it is written: a layout's ID or file, or canonical. By default its header decides.
    set_: list[str]
        What the layout asks for, NAME=VALUE.
    role: str
        What it holds; by default its layout or header says so.
    rows: int
        How many of its first rows to show.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.desk.ordered_options import parameters_of
    from pipelines.layouts.output import print_preview
    from pipelines.layouts.preview import preview as look_at

    parameters = parameters_of(set_ or [])
    seen = look_at(file, layout=layout, role=role, parameters=parameters, first=rows)
    with output_may_fail():
        print_preview(seen, lang or lang_of_locale())
    return 1 if seen.quarantined else 0


@app.command
def quarantine(
    book: Path,
    run: PositiveInt,
    /,
    *,
    csv: bool = False,
    out: Path | None = None,
    delivered: Paths | None = None,
    lang: Lang | None = None,
) -> int:
    """Show rows in quarantine, or write them back / 読込不可の行を表示し、訂正用に出力する.

    Parameters
    ----------
    book: Path
        The book's folder.
    run: int
        The run's number.
    csv: bool
        Write the rows to be corrected in the provider's own form and encoding, with a column for
        the reasons; mended and delivered again they book.
    out: Path
        A folder to write to, a file for each delivered one; by default, of one file, stdout.
    delivered: list[str]
        Where the delivered files are now, if not where they were.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.layouts.quarantine import print_rows, write_files
    from pipelines.layouts.writing_back import set_aside
    from pipelines.shown.texts import Texts

    lang = lang or lang_of_locale()
    some = set_aside(book, run)
    if not some:
        sys.stderr.write(f"{Texts('quarantine', lang)('none')}\n")
    with output_may_fail():
        if csv and some:
            write_files(some, delivered or [], out, lang)
        else:
            print_rows(some)
    return 0


layout_app = App(name="layout", help="Describe a provider's file / レイアウトを作る.")
app.command(layout_app)


@layout_app.command(name="new")
def new_layout(
    file: Path,
    /,
    *,
    role: Literal["transactions", "enrollments"] = "transactions",
) -> int:
    """Print a first draft of a layout, from a file's header / 見出し行からレイアウトの下書きを作る.

    Parameters
    ----------
    file: Path
        A file of the provider.
    role: str
        What it holds.
    """
    from pipelines.layouts.draft import draft

    text = draft(file, role)
    with output_may_fail():
        sys.stdout.write(text)
    return 0


def call(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; gives its exit code.

    Raises:
        MynapointError: the command could not be done.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments:
        raise InputError("no command was given", hint="see mynapoint --help")
    try:
        command, bound, unparsed = app.parse_args(list(arguments))
        if "arguments" in unparsed:
            # Which layout holds for which file is said by their order.
            bound.arguments["arguments"] = tuple(arguments)
        # Of cyclopts are the help and the version, which print and no more.
        prints = output_may_fail if command.__module__.startswith("cyclopts") else nullcontext
        code = None
        with prints():
            code = command(*bound.args, **bound.kwargs)
    except CycloptsError as error:
        command_name = " ".join(("mynapoint", *(error.command_chain or ())))
        raise InputError(_wrong_usage(error), hint=f"see {command_name} --help") from error
    return code if isinstance(code, int) else 0


def _wrong_usage(error: CycloptsError) -> str:
    """What is wrong with a command line; above all, an option that the command does not have."""
    names = error.command_chain or ()
    command = app
    for name in names:
        command = command[name]
    options = command.assemble_argument_collection() if command.default_command else ()
    known = {name for option in options for name in option.names}
    given = [token.partition("=")[0] for token in error.unused_tokens or ()]
    if isinstance(error, UnknownOptionError):
        given.append(error.token.keyword or error.token.value)
    for token in given:
        if token.startswith("-") and token.strip("-") and token not in known:
            return f"{' '.join(('mynapoint', *names))}: there is no option {token}"
    return " ".join(str(error).split())

"""The commands of the auditor's desk: verify, explain, browse, reconcile, claim and more."""

import datetime as dt
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.types import PositiveInt

from pipelines.commands.options import Arguments, Id, Json, Paths, Settings
from pipelines.shown.texts import Lang, lang_of_locale


def verify(
    book: Path,
    /,
    *,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    also_unbooked: bool = False,
    signers: Path | None = None,
    trust: Path | None = None,
    head: list[str] | None = None,
    seal: list[Path] | None = None,
    claim: list[Path] | None = None,
    show_ids: bool = False,
    out: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Verify a whole book / 台帳を検証する: its bytes, its arithmetic, its origin.

    Findings are printed one a line: which control, where, what. Exit 1 when there are any;
    remarks alone are exit 0. With all nights' deliveries, every run is decided again and compared,
    and one that no run has booked is a finding.

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
    also_unbooked: bool
        More deliveries are given than have been booked: one that no run has booked is a remark.
    signers: Path
        A file of allowed signers (see ssh-keygen(1)): one of them must have signed the book.
    trust: Path
        A folder of authorities' certificates: one of them must have stamped the book.
    head: list[str]
        A last hash of the chain that was written down earlier; may be repeated.
    seal: list[Path]
        A seal of the book that was kept elsewhere; may be repeated.
    claim: list[Path]
        A filed claim (claim.json): the book as it was then must still give it; may be repeated.
    show_ids: bool
        Name people and accounts, too.
    out: Path
        Also write the result to this new file; with --json, as JSON.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the result as JSON, as verification.schema.json has it.
    """
    from pipelines.verify.asked import NamedEvidence
    from pipelines.verify.command import verify_book

    asked = NamedEvidence(
        transactions=transactions or [],
        enrollments=enrollments or [],
        events=events or [],
        also_unbooked=also_unbooked,
        signers=signers,
        trust=trust,
        heads=head or [],
        seals=seal or [],
        claims=claim or [],
    )
    lang = lang or lang_of_locale()
    return verify_book(book, asked, show_ids=show_ids, out=out, lang=lang, as_json=as_json)


def seal(
    book: Path,
    /,
    *,
    key: Path | None = None,
    tsa: str | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Seal a book / 台帳を封印する: a signature and a time stamp over its last record.

    The last record holds the digest of the one before, and so on: a seal of it stands for the whole
    book. It is written to BOOK/seals, beside the chain; any number of them, at any time. Verify
    before you seal, and keep a copy elsewhere.

    Parameters
    ----------
    book: Path
        The book's folder.
    key: Path
        Sign with this SSH key, as ssh-keygen -Y sign does (namespace mynapoint-book).
    tsa: str
        Ask the authority at this URL for a time stamp (RFC 3161).
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print what was written as JSON.
    """
    from pipelines.seal.command import seal_book

    return seal_book(book, key=key, tsa=tsa, lang=lang or lang_of_locale(), as_json=as_json)


def explain(
    book: Path,
    /,
    *,
    person: Id | None = None,
    transaction: Annotated[
        tuple[str, str] | None,
        Parameter(allow_leading_hyphen=True),
    ] = None,
    account: Annotated[
        tuple[str, str] | None,
        Parameter(allow_leading_hyphen=True),
    ] = None,
    declined: bool = False,
    as_of: PositiveInt | None = None,
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
    account: tuple[str, str]
        SERVICE_ID ACCOUNT_ID: whose it is, and all that was delivered of it.
    declined: bool
        With --person: also the account's declined transactions; looks at every declined row.
    as_of: int
        Take the book as it was after this run, such as 3 or 000003.
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
        account,
        lang=lang or lang_of_locale(),
        declined=declined,
        as_of=as_of,
        html=html,
        as_json=as_json,
    )


def browse(
    book: Path,
    /,
    *,
    port: int = 0,
    log: Path | None = None,
    show_ids: bool = False,
    lang: Lang | None = None,
) -> int:
    """Browse a book on read-only pages / 台帳を閲覧する.

    Counts the book, prints the address of the pages, and serves them to this machine alone until
    it is interrupted. The address holds a secret: whoever has it can read the book.

    Parameters
    ----------
    book: Path
        The book's folder.
    port: int
        The port on the loopback interface; 0 takes a free one.
    log: Path
        The file outside the book to which every look-up of a person is added; by default
        mynapoint/lookups.jsonl in the user's folder of states (XDG_STATE_HOME).
    show_ids: bool
        Show the IDs of people and accounts, and quarantined rows as they came.
    lang: Lang
        ja or en; by default the locale's. Each page leads to the same in the other.
    """
    from pipelines.browse.command import browse as browse_a_book

    return browse_a_book(book, port=port, log=log, show_ids=show_ids, lang=lang or lang_of_locale())


def diff(
    book: Path,
    before: PositiveInt,
    after: PositiveInt,
    /,
    *,
    out: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Say what changed between two runs / 2 つの記帳回の間の変化を示す.

    Entries and points by service, people with more and with fewer points, what became of rows,
    and changed terms: what the runs after the first, up to the second, did.

    Parameters
    ----------
    book: Path
        The book's folder.
    before: int
        The earlier run, such as 3 or 000003.
    after: int
        The later run.
    out: Path
        A new or empty folder for people.parquet and people.csv: whose points changed.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the changes as JSON.
    """
    from pipelines.diff.command import diff as diff_two_runs

    return diff_two_runs(
        book, before, after, out=out, lang=lang or lang_of_locale(), as_json=as_json
    )


def reconcile(
    book: Path,
    claim: Path,
    /,
    *,
    out: Path | None = None,
    history: Path | None = None,
    month: str | None = None,
    as_of: PositiveInt | None = None,
    layout: str | None = None,
    set_: Settings = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Hold a claim against the ledger / 請求を台帳と照合する.

    The claim has the columns service_id, points, and one of transaction_id, account_id and month
    (YYYY-MM, of booking), or none of them: by service. Every difference is one row of the breaks.
    Exit 1 when there are any that nobody has resolved.

    Parameters
    ----------
    book: Path
        The book's folder.
    claim: Path
        The claim: CSV (.gz, .zst) or Parquet.
    out: Path
        A new or empty folder for breaks.parquet, breaks.csv, breaks.xlsx and summary.json.
    history: Path
        Instead: a folder that keeps reconciliations, each in a numbered folder of its own, their
        policy.toml, and resolutions.csv: what was decided of differences. Only open ones are shown.
    layout: str
        How the claim is written: a layout with the role claims, by ID or file.
    set_: list[str]
        What the layout asks for, NAME=VALUE.
    month: str
        Hold the claim against what was booked in this month alone, YYYY-MM.
    as_of: int
        Take the book as it was after this run, such as 3 or 000003.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the summary as JSON.
    """
    from pipelines.reconcile.command import reconcile as reconcile_a_claim

    return reconcile_a_claim(
        book,
        claim,
        out,
        month=month,
        as_of=as_of,
        history=history,
        layout=layout,
        settings=set_ or (),
        lang=lang or lang_of_locale(),
        as_json=as_json,
    )


def claim(
    book: Path,
    /,
    *,
    month: str | None = None,
    final: bool = False,
    granted: bool = False,
    lapsed: list[str] | None = None,
    as_of: PositiveInt | None = None,
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
    as_of: int
        Take the book as it was after this run, such as 3 or 000003.
    out: Path
        Also write claim.parquet, claim.csv, claim.xlsx and claim.json to this new or empty folder.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the claim as JSON.
    """
    from pipelines.claim.command import claim as claim_by_the_book

    return claim_by_the_book(
        book,
        month=month,
        final=final,
        granted=granted,
        lapsed=lapsed or [],
        as_of=as_of,
        out=out,
        lang=lang or lang_of_locale(),
        as_json=as_json,
    )


def report(
    book: Path,
    /,
    *,
    out: Path,
    xlsx: Path | None = None,
    verify: bool = False,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    also_unbooked: bool = False,
    as_of: PositiveInt | None = None,
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
    transactions: list[str]
        With --verify: all nights' delivered transactions, for every run to be decided again.
    enrollments: list[str]
        With --verify: all nights' delivered enrollments, likewise.
    events: list[str]
        With --verify: all nights' delivered events, likewise.
    also_unbooked: bool
        With --verify: more deliveries are given than have been booked.
    as_of: int
        Take the book as it was after this run, such as 3 or 000003.
    lang: Lang
        ja or en; by default the locale's.
    """
    from pipelines.report.command import report_on_book

    return report_on_book(
        book,
        out=out,
        xlsx=xlsx,
        verify=verify,
        deliveries={
            "transactions": transactions or [],
            "enrollments": enrollments or [],
            "events": events or [],
        },
        also_unbooked=also_unbooked,
        as_of=as_of,
        lang=lang or lang_of_locale(),
    )


def simulate(
    book: Path | None = None,
    /,
    *,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    layout: list[str] | None = None,
    set_: Settings = None,
    services: Path | None = None,
    programme: str | None = None,
    rate: str | None = None,
    cap: str | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    quiet: bool = False,
    as_json: Json = False,
    lang: Lang | None = None,
    arguments: Arguments = (),
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
    from pipelines.simulate.command import simulate_other_terms

    return simulate_other_terms(
        book,
        transactions=transactions or [],
        enrollments=enrollments or [],
        events=events or [],
        layouts=layout or [],
        settings=set_ or [],
        services=services,
        programme=programme,
        rate=rate,
        cap=cap,
        terms_as_of=terms_as_of,
        max_quarantined=max_quarantined,
        quiet=quiet,
        as_json=as_json,
        lang=lang or lang_of_locale(),
        arguments=arguments,
    )

"""The commands of audit work: draw, remarks, workpapers."""

from pathlib import Path
from typing import Literal

from pipelines.commands.options import Json, Paths
from pipelines.shown.texts import Lang, lang_of_locale


def draw(
    book: Path,
    /,
    *,
    units: int | None = None,
    seed: int | None = None,
    method: Literal["monetary", "stratified"] = "monetary",
    month: str | None = None,
    evaluate: Path | None = None,
    sheet: Path | None = None,
    confidence: float = 95,
    out: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Draw a sample to audit, and evaluate it / 監査のための標本を抽出・評価する.

    The same book, method, units and seed always give the same rows. Each has its explanation and
    a place for what the auditor found. With --evaluate the filled-in sheet is read, held against
    the same sample drawn again, and projected onto the book; exit 1 when a row differs.

    Parameters
    ----------
    book: Path
        The book's folder.
    units: int
        How many units to draw.
    seed: int
        A whole number that decides which; let somebody else name it, and note it.
    method: Literal["monetary", "stratified"]
        monetary: by awarded points, large awards more often; stratified: rows of each service,
        booked and declined.
    month: str
        Draw from what was booked in this month alone, YYYY-MM.
    evaluate: Path
        The folder of a sample whose sheet is filled in.
    sheet: Path
        With --evaluate: the filled-in sheet, CSV or .xlsx, where it is not in the folder.
    confidence: float
        With --evaluate: the confidence of the upper limits, in percent.
    out: Path
        A new or empty folder for sample.csv, sample.xlsx and sample.json; with --evaluate for
        evaluation.json.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the sample's description, or its evaluation, as JSON.
    """
    from pipelines.draw.command import draw_sample, evaluate_sample

    words = lang or lang_of_locale()
    if evaluate is not None:
        return evaluate_sample(
            book,
            folder=evaluate,
            sheet=sheet,
            confidence=confidence,
            out=out,
            lang=words,
            as_json=as_json,
        )
    return draw_sample(
        book,
        out=out,
        units=units,
        seed=seed,
        method=method,
        month=month,
        lang=words,
        as_json=as_json,
    )


def remarks(
    book: Path,
    /,
    *,
    out: Path | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Look for patterns to ask about / 確認を要する可能性のある傾向を調べる.

    Charge-and-refund cycles, payments that fill the cap to the yen, the same second, IDs spelled
    alike, accounts that change hands, awards just before a stop, runs off the trend: how often,
    and how many points. None of them is wrong in itself, so the exit code is 0.

    Parameters
    ----------
    book: Path
        The book's folder.
    out: Path
        A new or empty folder for remarks.parquet, remarks.csv and remarks.json, which name the
        rows, people and accounts.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print the sums as JSON.
    """
    from pipelines.remarks.command import remark_on

    return remark_on(book, out=out, lang=lang or lang_of_locale(), as_json=as_json)


def workpapers(
    book: Path,
    /,
    *,
    out: Path,
    transactions: Paths | None = None,
    enrollments: Paths | None = None,
    events: Paths | None = None,
    also_unbooked: bool = False,
    signers: Path | None = None,
    trust: Path | None = None,
    head: list[str] | None = None,
    seal: list[Path] | None = None,
    claim: list[Path] | None = None,
    differences: list[Path] | None = None,
    sample: list[Path] | None = None,
    lang: Lang | None = None,
    as_json: Json = False,
) -> int:
    """Pack what an audit rests on into one file / 監査調書を一つのファイルにまとめる.

    Verifies the book, and keeps the verification, the claim, the remarks, the records of the chain
    with its seals and its head, and results of reconcile and draw, with the digests of all. Exit 1
    when the verification has findings.

    Parameters
    ----------
    book: Path
        The book's folder.
    out: Path
        A new file, such as papers.zip; nothing is written over.
    transactions: list[str]
        All nights' delivered transactions, as for mynapoint verify.
    enrollments: list[str]
        All nights' delivered enrollments, likewise.
    events: list[str]
        All nights' delivered events, likewise.
    also_unbooked: bool
        More deliveries are given than have been booked, as for mynapoint verify.
    signers: Path
        Whose signatures over seals are trusted, as for mynapoint verify.
    trust: Path
        A folder with the roots of time-stamping authorities, likewise.
    head: list[str]
        A last hash of the chain that was written down earlier, likewise.
    seal: list[Path]
        A seal of the book that was kept elsewhere, likewise.
    claim: list[Path]
        A filed claim (claim.json), likewise.
    differences: list[Path]
        A folder that mynapoint reconcile wrote; may be repeated.
    sample: list[Path]
        A folder that mynapoint draw wrote, filled in or not; may be repeated.
    lang: Lang
        ja or en; by default the locale's.
    as_json: bool
        Print what was written as JSON.
    """
    from pipelines.verify.asked import NamedEvidence
    from pipelines.workpapers.command import workpapers as pack_workpapers

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
    return pack_workpapers(
        book,
        asked,
        out=out,
        differences=differences or [],
        samples=sample or [],
        lang=lang or lang_of_locale(),
        as_json=as_json,
    )

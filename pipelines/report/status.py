"""What was checked of the book, and what was not: a report claims no more than that."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.io.book.payouts import record_before
from engine.io.durable import sha256_of
from pipelines.desk.opened_book import OpenedBook
from pipelines.report.figures import Figures
from pipelines.report.table import Table, TableColumn
from pipelines.shown.texts import Texts

if TYPE_CHECKING:
    from pipelines.verify import Verified

State = Literal["open", "sound", "findings"]


@dataclass(frozen=True, slots=True)
class ReportStatus:
    """The outcome, in words.

    Attributes:
        state: ``open`` when the book was not verified and nothing else was found.
        findings: how many things are wrong, by the totals, the chain and the verification.
    """

    state: State
    title: str
    note: str
    tables: list[Table]
    findings: int


def status_of(figures: Figures, verified: "Verified | None", texts: Texts) -> ReportStatus:
    """What was checked when the report was made."""
    t = texts
    disagreements = figures.disagreements
    totals = sorted({f"{run} {what}" for run, what in disagreements if what != "record"})
    splits = sorted({run for run, what in disagreements if what == "record"})
    links = list(broken_links(figures.opened))
    rows = [
        (t("p_totals"), _outcome(totals, t)),
        (t("p_split"), _outcome(splits, t)),
        (t("p_chain"), _outcome(links, t)),
    ]
    found = sum(verified.findings.totals.values()) if verified else 0
    wrong = len(totals) + len(splits) + len(links)
    rows += [
        (t(f"p_{part}"), _part(part, verified, t)) for part in ("bytes", "arithmetic", "origin")
    ]
    columns = (TableColumn(t("c_checked"), long=True), TableColumn(t("c_outcome")))
    tables = [Table("status", t("t_status"), columns, rows)]
    if verified and found:
        tables.append(_findings(verified, t))
    state: State = "findings" if found or wrong else "sound" if verified else "open"
    if found or (wrong and verified):
        title, note = t("s_findings", findings=f"{found + wrong:,}"), t("s_findings_note")
    elif wrong:
        title, note = t("s_disagree"), t("s_not_verified_note")
    elif verified:
        decided_again = "origin" in verified.checked
        title = t("s_sound")
        note = t("s_sound_note_origin" if decided_again else "s_sound_note")
    else:
        title, note = t("s_not_verified"), t("s_not_verified_note")
    return ReportStatus(state, title, note, tables, found + wrong)


def broken_links(opened: OpenedBook) -> Iterable[str]:
    """Runs whose record was made after another record than the one before it."""
    for number, record in enumerate(opened.records, 1):
        before = sha256_of(record_before(opened.book, number)) if number > 1 else None
        if record.previous_sha256 != before:
            yield record.run_id


def _outcome(wrong: list[str], t: Texts) -> str:
    return t("o_differs", where=", ".join(wrong)) if wrong else t("o_agrees")


def _part(part: str, verified: "Verified | None", t: Texts) -> str:
    if verified is None:
        return t("o_not_checked")
    if part not in verified.by_check:
        return t("o_not_checked")
    found = verified.by_check[part].totals.total()
    if found:
        return t("o_findings", findings=f"{found:,}")
    return t("o_agrees") if part in verified.checked else t("o_unfinished")


def _findings(verified: "Verified", t: Texts) -> Table:
    # What a finding says names no person; its transaction's ID is left out too.
    rows = [
        (
            finding.kind,
            finding.control,
            finding.where if finding.row is None else f"{finding.where}:{finding.row}",
            finding.what,
        )
        for finding in verified.findings
    ]
    columns = (
        TableColumn(t("c_kind"), "code"),
        TableColumn(t("c_promise"), "code"),
        TableColumn(t("c_where"), "code", long=True),
        TableColumn(t("c_what"), long=True),
    )
    return Table("findings", t("t_findings"), columns, rows, sortable=True)

"""A verification as people and machines read it, on stdout and in a file that is kept."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path

from engine.io.durable import sync
from pipelines.shown.result_files import whole_new_file
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Texts
from pipelines.verify import Verified
from pipelines.verify.details import detail
from pipelines.verify.evidence import (
    CHECKS,
    evidence,
    sealed_up_to,
    state_of,
    unproven,
    versions,
)
from pipelines.verify.findings import REMARK, Finding, Findings
from pipelines.verify.payout_tables import TERMS


def present(
    verified: Verified,
    texts: Texts,
    *,
    made_at: dt.datetime,
    show_ids: bool,
    as_json: bool,
    out: Path | None,
) -> None:
    """Prints a verification, and writes the same to a new file."""
    value = evidence(verified, made_at=made_at, show_ids=show_ids)
    lines = list(lines_of(verified, texts, made_at=made_at, show_ids=show_ids))
    if out is not None:
        text = json.dumps(value, ensure_ascii=False, indent=1) if as_json else "\n".join(lines)
        with whole_new_file(out) as fresh:
            fresh.write_text(f"{text}\n", encoding="utf-8")
            sync(fresh)
    if as_json:
        print_json(value)
        return
    console = output()
    for line in lines:
        console.print(line)


def lines_of(
    verified: Verified, texts: Texts, *, made_at: dt.datetime, show_ids: bool
) -> Iterator[str]:
    """The verification, a line each: which book, what was checked, what was found."""
    t = texts
    yield t("title")
    yield plain(t("book", book=verified.book))
    program = versions()
    yield t(
        "made",
        at=made_at.strftime("%Y-%m-%d %H:%M"),
        version=program.get("mynapoint", "?"),
        duckdb=program.get("duckdb", "?"),
        polars=program.get("polars", "?"),
    )
    runs = [run for run in verified.kept.runs if run is not None]
    if runs:
        yield t(
            "runs",
            runs=verified.runs,
            first=runs[0].id,
            last=runs[-1].id,
            booked_from=runs[0].record.booked_on,
            booked_to=runs[-1].record.booked_on,
            entries=verified.entries,
        )
    if verified.payouts is not None and verified.payouts.bridge is not None:
        services = verified.payouts.bridge.values()
        sums = {term: sum(terms[term] for terms in services) for term in TERMS}
        yield t("payouts", payout_runs=verified.payouts.payout_runs, **sums)
    if verified.chain:
        yield t("chain", sha256=verified.chain[-1].sha256)
    for check in CHECKS:
        yield _check(check, verified, t)
    yield from (plain(line) for line in _vouched(verified, t))
    for what in unproven(verified):
        yield t("unproven", what=t(what.code, **what.values))
    findings = verified.findings
    for finding in (*findings, *findings.remarks()):
        yield finding_line(finding, t, show_ids=show_ids)
    for kind, total in (*findings.untold().items(), *findings.untold_remarks().items()):
        yield t("untold", kind=kind, total=total)
    yield t("result", findings=findings.totals.total(), remarks=findings.remark_totals.total())


def _check(check: str, verified: Verified, t: Texts) -> str:
    findings = verified.by_check.get(check, Findings())
    state = state_of(check, verified)
    found = t("outcome", findings=findings.totals.total(), remarks=findings.remark_totals.total())
    outcome = found if state == "done" else t(f"state_{state}")
    if state == "unfinished":
        outcome += t("after", outcome=found)
    return t("check", check=t(f"check_{check}"), outcome=outcome)


def _vouched(verified: Verified, t: Texts) -> Iterator[str]:
    for seal in verified.vouched.seals:
        at = "" if seal.at is None else _in_japan(seal.at)
        trusted = {True: "trusted", False: "untrusted", None: "unnamed"}[seal.trusted]
        yield t(
            f"seal_{seal.kind}",
            name=seal.name,
            record=seal.record.place,
            by=seal.by,
            at=at,
            trusted=t(trusted),
        )
    for record in verified.vouched.heads:
        yield t("head", sha256=record.sha256, record=record.place)
    for claim, record in verified.claims:
        yield t("claim", claim=claim.path, record=record.place)
    sealed = sealed_up_to(verified)
    stamped = [
        seal
        for seal in verified.vouched.seals
        if seal.trusted and seal.at is not None and sealed is not None
    ]
    for seal in stamped:
        assert seal.at is not None
        yield t("since", record=seal.record.place, at=_in_japan(seal.at), by=seal.by)


def _in_japan(at: dt.datetime) -> str:
    return at.astimezone(dt.timezone(dt.timedelta(hours=9))).strftime("%Y-%m-%d %H:%M:%S")


def finding_line(finding: Finding, t: Texts, *, show_ids: bool) -> str:
    """A finding or a remark on one line; ``t`` are the texts of ``verify``."""
    severity = t("remark" if finding.severity == REMARK else "finding")
    if t.lang == "en":
        return finding.line(show_ids=show_ids, severity=severity)
    row = "" if finding.row is None else t("row", row=finding.row)
    ids = t("between").join(t(name, value=value) for name, value in finding.ids(show_ids=show_ids))
    said = t(
        "finding_line",
        control=finding.control,
        severity=severity,
        where=f"{finding.where}{row}",
        title=t(f"kind_{finding.kind}"),
        what=detail(finding.what, t.lang),
        ids=t("ids", ids=ids) if ids else "",
    )
    return plain(said)

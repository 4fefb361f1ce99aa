"""The page about proof: what was checked here, the chain of records with its seals, and the
commands for what takes longer than a page may.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from engine.records import KINDS, RECOUNT, VOIDS
from pipelines.browse.asked import PageRequest
from pipelines.browse.calculations import StillCalculatingError
from pipelines.browse.counts import SectionCounts
from pipelines.browse.listing import Cell, Listing, Page, PageBlock
from pipelines.desk.opened_book import OpenedBook
from pipelines.desk.seals import seals_of
from pipelines.report.figures import disagreements
from pipelines.report.status import broken_links
from pipelines.shown.head import head_facts
from pipelines.shown.texts import Texts
from pipelines.verify.findings import Findings
from pipelines.verify.seals import Expected, check_seals


def proof(asked: PageRequest) -> Page:
    """What stands for the book, as far as that can be said at once."""
    opened, t = asked.opened, asked.t
    facts = [
        (name, str(value)) for name, value in head_facts(opened.chain_sha256, opened.seals, t.lang)
    ]
    blocks = [
        PageBlock(listings=[_checked(asked)]),
        PageBlock(t("h_commands"), [t("commands")], items=list(_commands(asked))),
        _sealed(asked),
        PageBlock(listings=[_chain(asked)]),
    ]
    return Page("proof", t("p_proof"), blocks, facts)


def _checked(asked: PageRequest) -> Listing:
    opened, report = asked.opened, Texts("report", asked.lang)
    found = asked.browsed.disagreements
    files, wrong = _files(opened)
    rows: list[Sequence[Cell]] = [
        (report("p_totals"), _outcome(report, {run for run, what in found if what != "record"})),
        (report("p_split"), _outcome(report, {run for run, what in found if what == "record"})),
        (report("p_chain"), _outcome(report, broken_links(opened))),
        (asked.t("p_files", files=files), _outcome(report, wrong)),
        *((report(f"p_{part}"), report("o_not_checked")) for part in _NOT_HERE),
    ]
    columns = asked.columns("checked", "found_so")
    return Listing("checked", asked.t("t_checked"), columns, rows, note=asked.t("n_checked"))


_NOT_HERE = ("bytes", "arithmetic", "origin")


def _outcome(report: Texts, wrong: Iterable[str]) -> str:
    where = sorted(wrong)
    return report("o_differs", where=", ".join(where)) if where else report("o_agrees")


def disagreements_of(counts: SectionCounts) -> list[tuple[str, str]]:
    """Where the book's tables do not add up to the records: run and what."""
    kind, rows, run = pl.col("kind"), pl.col("rows"), pl.col("run").alias("run_id")
    booked = kind.is_in(KINDS)
    by_run = counts.entries.group_by(run).agg(
        rows.filter(booked).sum(),
        yen=pl.col("amount_yen").filter(booked).sum(),
        awarded=pl.col("awarded").sum(),
        reversed=pl.col("reversed").sum(),
        voided=rows.filter(kind.is_in(VOIDS)).sum(),
        recounted=rows.filter(kind == RECOUNT).sum(),
    )
    declined = counts.declined.select(run, "reason", "rows", yen="amount_yen")
    return list(
        disagreements(counts.opened, by_run, declined, counts.unreadable.select(run, "rows"))
    )


def _files(opened: OpenedBook) -> tuple[int, list[str]]:
    """How many files the records name; those that are not there or not as long as once written."""
    outputs = [output for record in opened.records for output in record.outputs]
    wrong = []
    for output in outputs:
        path = opened.book.path / output.name
        if not path.is_file() or path.stat().st_size != output.bytes:
            wrong.append(output.name)
    return len(outputs), wrong


def _commands(asked: PageRequest) -> Iterator[str]:
    """What to type for the rest, for this book."""
    book = str(asked.opened.book.path)
    head = asked.opened.chain_sha256
    for options in (
        [],
        ["--transactions", "…", "--enrollments", "…", "--events", "…"],
        ["--head", head],
        ["--signers", "…", "--trust", "…"],
    ):
        yield f"{shlex.join(['mynapoint', 'verify', book])} {' '.join(options)}".rstrip()
    yield f"{shlex.join(['mynapoint', 'workpapers', book])} --out …"


def _sealed(asked: PageRequest) -> PageBlock:
    """The seals that the book keeps, held against their records; whose they are is not checked."""
    opened, t = asked.opened, asked.t
    seals = seals_of(opened.book)
    if not seals:
        return PageBlock(t("h_seals"), [t("no_seals")])
    names = tuple((seal.path.name, seal.path.stat().st_mtime_ns) for seal in seals)

    def check() -> list[Sequence[Cell]]:
        findings = Findings()
        vouched = check_seals(opened.book, opened.chain, Expected(), findings)
        fitting: list[Sequence[Cell]] = [
            (
                seal.name,
                seal.record.place,
                seal.by,
                None if seal.at is None else f"{seal.at:%Y-%m-%d %H:%M:%S}",
                "",
            )
            for seal in vouched.seals
        ]
        return [*fitting, *((found.where, "", "", None, found.what) for found in findings)]

    try:
        rows = asked.browsed.calculations.result(("seals", names), check)
    except StillCalculatingError:
        return PageBlock(t("h_seals"), [t("seals_at_work", seals=len(seals))])
    columns = asked.columns("seal:code", "record:code", "by:code", "stamped_at:day", "fault")
    return PageBlock(listings=[Listing("seals", t("h_seals"), columns, rows, note=t("n_seals"))])


def _chain(asked: PageRequest) -> Listing:
    """All records with their digests, the last first: a head that was written down is one."""
    opened = asked.opened
    of_place: dict[str, list[str]] = {}
    for seal in seals_of(opened.book):
        of_place.setdefault(seal.place or "", []).append(seal.path.name)
    rows: list[Sequence[Cell]] = []
    for link in reversed(opened.chain):
        record = opened.record(link.run)
        ran = None if link.is_payout_run else record.ran
        rows.append(
            (
                link.place,
                asked.link(record.run_id, "runs", run=record.run_id),
                None if link.is_payout_run else record.booked_on,
                None if ran is None else f"{ran.finished_at:%Y-%m-%d %H:%M:%S}",
                link.sha256,
                ", ".join(of_place.get(link.place, ())),
            )
        )
    columns = asked.columns(
        *("record:code", "run:code", "booked_on:day", "finished_at:day", "sha256:code+"),
        "seal:code+",
    )
    t = asked.t
    return Listing("chain", t("t_chain"), columns, rows, note=t("n_chain"))

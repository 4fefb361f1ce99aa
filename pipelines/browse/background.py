"""The pages behind the rows: what may be claimed, by which terms it was booked, what was paid."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from engine.io.book.payouts import PayoutBook
from engine.payouts.entry import DIRECTIONS
from engine.records import KINDS
from pipelines.browse.asked import PageRequest
from pipelines.browse.listing import Cell, Listing, Page, PageBlock
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.report.terms_tables import TermsTables
from pipelines.shown.texts import Texts

_ANSWERED: Final = ("granted", "taken_back", "refused", "replaced")


def claim(asked: PageRequest) -> Page:
    """What the operator may claim by service and month of booking; a form that ``reconcile``
    takes.
    """
    of_run = {record.run_id: record.month for record in asked.opened.records}
    is_transaction, rows = pl.col("kind").is_in(KINDS), pl.col("rows")
    sums = (
        asked.browsed.counts.of("entries", asked.filters, but="kind")
        .with_columns(month=pl.col("run").replace_strict(of_run, return_dtype=pl.String))
        .group_by("service", "month")
        .agg(
            transactions=rows.filter(is_transaction).sum(),
            refunds=rows.filter(pl.col("kind") == "refund").sum(),
            counted_yen=pl.col("counted_yen").sum(),
            awarded=pl.col("awarded").sum(),
            reversed=pl.col("reversed").sum(),
        )
        .with_columns(points=pl.col("awarded") - pl.col("reversed"))
        .sort("service", "month")
    )
    listed: list[Sequence[Cell]] = [
        (
            asked.service_name(service),
            asked.link(service, "entries", service=service, month=month),
            asked.link(month, "runs", month=month),
            *numbers,
        )
        for service, month, *numbers in sums.iter_rows()
    ]
    if listed:
        totals = [int(sums[name].sum()) for name in sums.columns[2:]]
        listed.append((asked.t("total"), "", "", *totals))
    columns = asked.columns(
        *("service", "service_id:code", "month", "transactions:number", "refunds:number"),
        *("counted_yen:number", "awarded:number", "reversed:number", "points:number"),
    )
    t = asked.t
    listing = Listing("claim", t("t_claim"), columns, listed, note=t("n_claim"), total=bool(listed))
    return Page("claim", t("p_claim"), [PageBlock(listings=[listing])])


def cut_off(asked: PageRequest) -> Page:
    """What was booked in a later month than it was paid in, by both months."""
    of_run = {record.run_id: record.month for record in asked.opened.records}
    sums = (
        asked.browsed.counts.of("entries", asked.filters, but="kind")
        .with_columns(month=pl.col("run").replace_strict(of_run, return_dtype=pl.String))
        .filter(pl.col("month") > pl.col("paid"))
        .group_by("month", "paid")
        .agg(pl.col("rows", "awarded", "reversed").sum())
        .with_columns(net=pl.col("awarded") - pl.col("reversed"))
        .sort("month", "paid")
    )
    rows: list[Sequence[Cell]] = [
        (
            asked.link(month, "runs", month=month),
            asked.link(paid, "entries", month=month, paid=paid),
            *numbers,
        )
        for month, paid, *numbers in sums.iter_rows()
    ]
    if rows:
        totals = [int(sums[name].sum()) for name in sums.columns[2:]]
        rows.append((asked.t("total"), "", *totals))
    columns = asked.columns(
        *("month", "paid", "entries:number", "awarded:number", "reversed:number", "net:number")
    )
    t = asked.t
    listing = Listing(
        "cut_off", t("t_cut_off"), columns, rows, note=t("n_cut_off"), total=bool(rows)
    )
    return Page("cut_off", t("p_cut_off"), [PageBlock(listings=[listing])])


def terms(asked: PageRequest) -> Page:
    """Rate, cap, terms and services, each with its source, as a run used them: the last, or the
    one that the filter names.
    """
    opened, t = asked.opened, asked.t
    number = opened.runs if asked.filters.run is None else int(asked.filters.run)
    record = opened.record(number)
    made = TermsTables(
        OpenedBook(opened.book, opened.records[:number]), Texts("report", asked.lang)
    )
    with book_readable(opened.book):
        tables = [made.rate(), made.terms(), made.services(), made.sources()]
    facts = [
        (t("c_run"), f"{record.run_id} ({record.booked_on})"),
        (t("f_programme"), record.programme.id),
        (t("f_programme_sha256"), record.programme.sha256),
        (t("f_services_sha256"), record.services_sha256),
        (t("f_terms"), str(record.programme.terms.announced_on)),
    ]
    blocks = [PageBlock(listings=[asked.listing(table)]) for table in tables]
    return Page("terms", t("p_terms"), blocks, facts)


def payout_runs(asked: PageRequest) -> Page:
    """The payout runs by their records: what was instructed, and what was answered."""
    book, t = PayoutBook(asked.opened.book.path), asked.t
    rows: list[Sequence[Cell]] = []
    with book_readable(asked.opened.book):
        for number in range(1, book.committed_runs() + 1):
            record = book.payout_record(number)
            instructed = record.due_by is not None
            rows.append(
                (
                    record.payout_run_id,
                    asked.link(record.run_id, "runs", run=record.run_id),
                    record.due_by,
                    *(record.points[name] if instructed else None for name in DIRECTIONS),
                    None if instructed else record.counts["accepted"],
                    *(None if instructed else record.points[name] for name in _ANSWERED),
                )
            )
    columns = asked.columns(
        *("payout_run:code", "run:code", "due_by:day", "pay:number", "take_back:number"),
        *("answers:number", *(f"{name}:number" for name in _ANSWERED)),
    )
    listing = Listing("payout_runs", t("t_payout_runs"), columns, rows, note=t("n_payout_runs"))
    return Page("payout_runs", t("p_payout_runs"), [PageBlock(listings=[listing])])

"""Declined transactions, and what became of them in later runs."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from engine.io.book.format import RunTable
from engine.records import KINDS
from engine.rules.spending import DUPLICATE
from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.account import Entry, EntryExplanation
from pipelines.explain.applications import of_accounts
from pipelines.explain.found_rows import rows_of
from pipelines.explain.story import Application, ConcerningEvent, Declined


def what_became_of(
    declined: Sequence[Declined], entries: Sequence[EntryExplanation]
) -> list[Declined]:
    """Declined rows with whether they wait, or which run booked them."""
    booked: dict[tuple[str, str], list[EntryExplanation]] = {}
    for explained in entries:
        if explained.entry.kind in KINDS:
            booked.setdefault(explained.entry.key, []).append(explained)
    found = []
    for row in declined:
        of_key = booked.get((row.row["service_id"], row.row["transaction_id"]), [])
        later = [
            explained.entry.run_id for explained in of_key if explained.entry.run_id > row.run_id
        ]
        stands = any(not explained.voided_by for explained in of_key)
        waits = not stands and row.waits
        found.append(replace(row, waits=waits, taken_up=later[0] if later and row.waits else None))
    return found


def declined_of_person(
    opened: OpenedBook,
    person_id: str,
    applications: Sequence[Application],
    entries: Sequence[Entry],
    events: Sequence[ConcerningEvent],
) -> list[Declined]:
    """The declined transactions of a person's accounts: those of accepted applications and grants,
    of their entries, and what replaced them.
    """
    accepted = [event.row for event in events if event.reason is None]
    rows = [application.row for application in applications if application.reason is None]
    merged = [row for row in accepted if row["kind"] == "persons_merged"]
    ids = {person_id} | {row["person_id"] for row in merged if row["other_id"] == person_id}
    grants = [row for row in accepted if row["kind"] == "enrollment_granted"]
    rows += [row for row in grants if row["person_id"] in ids]
    accounts = {(row["service_id"], row["account_id"]) for row in rows}
    accounts |= {(entry.service_id, entry.account_id) for entry in entries}
    accounts |= {
        (row["service_id"], row["other_id"])
        for row in accepted
        if row["kind"] == "account_replaced" and (row["service_id"], row["account_id"]) in accounts
    }
    if not accounts:
        return []
    account_ids = sorted({account_id for _, account_id in accounts})
    return declined_in(opened, of_accounts(accounts), "account_id", account_ids)


def declined_in(
    opened: OpenedBook, wanted: pl.Expr, column: str, ids: Sequence[str]
) -> list[Declined]:
    """The declined transactions that fit, in the order of the runs; each has one of the IDs in the
    column.
    """
    found = []
    for row in rows_of(opened.table_with(RunTable.DECLINED, column, ids).filter(wanted)):
        run = row.pop("run_id")
        record = opened.record(int(run))
        # Format 1 kept too little of a declined row for a later run to book it.
        waits = record.format > 1 and row["reason"] != DUPLICATE
        found.append(Declined(run, record.booked_on, row, record.programme.terms, waits))
    return sorted(found, key=lambda row: (row.run_id, row.row["occurred_at"]))

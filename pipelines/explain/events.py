"""Corrections that concern a person, a transaction or an entry."""

from collections.abc import Iterable, Sequence

import polars as pl

from engine.io.book.format import RunTable
from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.account import Entry
from pipelines.explain.found_rows import Row, booked_on_of, rows_of
from pipelines.explain.story import Application, ConcerningEvent


def naming_the_person(
    person_id: str, applications: Sequence[Application], entries: Sequence[Entry]
) -> pl.Expr:
    """Which events name a person, an accepted account of theirs or an entry's transaction."""
    accounts = {
        (application.row["service_id"], application.row["account_id"])
        for application in applications
        if application.reason is None
    }
    accounts |= {entry.account for entry in entries}
    accounts |= {(entry.service_id, entry.account_id) for entry in entries}
    keys = {entry.key for entry in entries}
    ids = {entry.event_id for entry in entries if entry.event_id}
    account = pl.concat_list("service_id", "account_id")
    fresh = pl.concat_list("service_id", "other_id")
    key = pl.concat_list("service_id", "transaction_id")
    return (
        (pl.col("person_id") == person_id)
        | ((pl.col("kind") == "persons_merged") & (pl.col("other_id") == person_id))
        | pl.col("event_id").is_in(sorted(ids))
        | account.is_in([list(pair) for pair in sorted(accounts)])
        | fresh.is_in([list(pair) for pair in sorted(accounts)])
        | key.is_in([list(pair) for pair in sorted(keys)])
    )


def holders_of(
    opened: OpenedBook, applications: Iterable[Application], events: Iterable[ConcerningEvent]
) -> list[str]:
    """Whose an account is or was: by accepted applications, by grants, and by merges of those."""
    people = [
        application.row["person_id"] for application in applications if application.reason is None
    ]
    people += [
        event.row["person_id"]
        for event in events
        if event.reason is None and event.row["kind"] == "enrollment_granted"
    ]
    found: dict[str, None] = {}
    while people:
        found |= dict.fromkeys(people)
        merged = (pl.col("kind") == "persons_merged") & pl.col("person_id").is_in(people)
        into = (event.row for event in events_in(opened, merged) if event.reason is None)
        people = [row["other_id"] for row in into if row["kind"] == "persons_merged"]
        people = [person for person in people if person not in found]
    return list(found)


def events_in(opened: OpenedBook, wanted: pl.Expr) -> list[ConcerningEvent]:
    """The accepted and rejected corrections that fit, with those that undo them, in the order of
    the runs.
    """
    found: list[ConcerningEvent] = []
    more = _events(opened, wanted)
    while more:
        found += more
        undone = sorted({event.row["event_id"] for event in found})
        undoing = (pl.col("kind") == "undone") & pl.col("other_id").is_in(undone)
        more = _events(opened, undoing & ~pl.col("event_id").is_in(undone))
    return sorted(found, key=lambda event: (event.run_id, event.row["event_id"]))


def _events(opened: OpenedBook, wanted: pl.Expr) -> list[ConcerningEvent]:
    found = []
    for table in (RunTable.ACCEPTED_EVENTS, RunTable.REJECTED_EVENTS):
        for row in rows_of(opened.table(table).filter(wanted)):
            run, reason = row.pop("run_id"), row.pop("reason", None)
            found.append(ConcerningEvent(run, booked_on_of(opened, run), row, reason))
    return found


def events_by_id(opened: OpenedBook, entries: Iterable[Entry]) -> dict[str, Row]:
    """By its ID, each event that caused one of the voids and recounts."""
    ids = sorted({entry.event_id for entry in entries if entry.event_id})
    if not ids:
        return {}
    rows = rows_of(opened.table(RunTable.ACCEPTED_EVENTS).filter(pl.col("event_id").is_in(ids)))
    return {row["event_id"]: row for row in rows}

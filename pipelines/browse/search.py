"""The search box: whatever a text is the ID of, a transaction, an account or a person."""

from collections.abc import Iterator, Sequence

import polars as pl

from engine.io.book.format import RunTable
from engine.io.book.index import find_bookings
from engine.records import BLANKS
from pipelines.browse.asked import PageRequest
from pipelines.browse.listing import Cell, Listing, Page, PageBlock
from pipelines.desk.opened_book import book_readable
from pipelines.desk.quarantined import fields_of

_MOST_FOUND = 200
_MOST_CHARACTERS = 256


def search(asked: PageRequest, text: str) -> Page:
    """Where the book knows a text as an ID; blanks around it are dropped, as of deliveries."""
    text = text.strip(BLANKS)[:_MOST_CHARACTERS]
    asked.browsed.log.note("search", text=text)
    found: list[Sequence[Cell]] = []
    if text:
        with book_readable(asked.opened.book):
            found = [*_transactions(asked, text), *_accounts(asked, text), *_people(asked, text)]
    columns = asked.columns("found_as", "service_id:code", "found_id:code")
    t = asked.t
    if not found:
        return Page("search", t("p_search"), [PageBlock(sentences=[t("nothing_found")])])
    note = t("n_found_most", shown=_MOST_FOUND) if len(found) > _MOST_FOUND else ""
    listing = Listing("found", t("t_found"), columns, found[:_MOST_FOUND], note=note)
    return Page("search", t("p_search"), [PageBlock(listings=[listing])])


def _transactions(asked: PageRequest, text: str) -> Iterator[Sequence[Cell]]:
    """Transactions of any service that were booked, declined or quarantined under the text."""
    opened = asked.opened
    services = set()
    covered = opened.runs
    for service in asked.browsed.registry:
        places, covered = find_bookings(opened.book, opened.runs, service, text)
        if places:
            services.add(service)
    # What the index does not cover yet is scanned.
    later = [file for file in opened.ledger_files if file.run > covered]
    by_id = pl.col("transaction_id") == text
    for frame in (
        opened.ledger_with(later, "transaction_id", [text]),
        opened.table_with(RunTable.DECLINED, "transaction_id", [text]),
    ):
        rows = frame.filter(by_id).select(pl.col("service_id").unique())
        services |= set(rows.collect(engine="streaming")["service_id"])
    for service in sorted(services | _set_aside(asked, text)):
        shown = asked.service(service)
        yield asked.t("found_transaction"), shown, asked.transaction(service, text)


def _set_aside(asked: PageRequest, text: str) -> set[str]:
    """The services that quarantined rows name beside the text."""
    named = (
        asked.opened.table(RunTable.QUARANTINE)
        .filter(pl.col("raw").str.contains(text, literal=True))
        .head(_MOST_FOUND)
        .collect(engine="streaming")
    )
    found = set()
    for fields in fields_of(named["raw"]):
        if text in fields:
            found |= set(fields) & set(asked.browsed.registry)
    return found


def _accounts(asked: PageRequest, text: str) -> Iterator[Sequence[Cell]]:
    """Accounts that applications, declined rows or corrections name."""
    opened = asked.opened
    key = ["service_id", "account_id"]
    frames = [
        opened.table_with(table, "account_id", [text])
        .filter(pl.col("account_id") == text)
        .select(key)
        for table in (RunTable.ACCEPTED, RunTable.REJECTED, RunTable.DECLINED)
    ]
    events = opened.table(RunTable.ACCEPTED_EVENTS).filter(pl.col("kind") == "account_replaced")
    replaced = events.filter(pl.col("other_id") == text)
    frames.append(replaced.select("service_id", pl.col("other_id").alias("account_id")))
    services = {
        service
        for frame in frames
        for service in frame.unique().collect(engine="streaming")["service_id"]
    }
    for service in sorted(services):
        yield asked.t("found_account"), asked.service(service), asked.account(service, text)


def _people(asked: PageRequest, text: str) -> Iterator[Sequence[Cell]]:
    """The person whose ID it is, and whoever is read under it by a merge."""
    opened = asked.opened
    is_person = pl.col("person_id") == text
    merges = opened.table(RunTable.ACCEPTED_EVENTS).filter(pl.col("kind") == "persons_merged")
    frames = [
        opened.table_with(RunTable.ACCEPTED, "person_id", [text]).filter(is_person),
        opened.table(RunTable.REJECTED).filter(is_person | (pl.col("delivered_person_id") == text)),
        opened.ledger(opened.ledger_files_of(text)).filter(is_person),
        merges.filter(is_person | (pl.col("other_id") == text)),
        merges.filter(is_person).select(person_id="other_id"),
    ]
    people = {
        person
        for frame in frames
        for person in frame.select(pl.col("person_id").unique()).collect(engine="streaming")[
            "person_id"
        ]
    }
    for person in sorted(people):
        yield asked.t("found_person"), None, asked.person(person)

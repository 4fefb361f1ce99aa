"""A person or a transaction, looked up in all that a book keeps."""

from collections.abc import Iterable

import polars as pl

from engine.io.book.run_record import RunRecord
from engine.records import KINDS
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.explain.account import Entry, ServiceTerms, explained
from pipelines.explain.applications import (
    applications_in,
    applications_of,
    applications_that_decided,
    of_accounts,
)
from pipelines.explain.bookings import indexed_bookings, scanned_bookings
from pipelines.explain.declined_rows import declined_in, declined_of_person, what_became_of
from pipelines.explain.events import events_by_id, events_in, holders_of, naming_the_person
from pipelines.explain.facts import applications_with_facts, declined_with_facts
from pipelines.explain.found_rows import entries_in
from pipelines.explain.set_aside import (
    applications_set_aside,
    applications_without_ids,
    corrections_set_aside,
    transactions_set_aside,
    without_ids,
)
from pipelines.explain.story import Account, Person, Transaction


def person_of(opened: OpenedBook, person_id: str, *, with_declined: bool = False) -> Person:
    """All that the book has of a person.

    Raises:
        BookError: a file that is needed is missing or damaged.
    """
    with book_readable(opened.book):
        files = opened.ledger_files_of(person_id)
        entries = entries_in(opened.ledger(files).filter(pl.col("person_id") == person_id))
        applications = applications_in(
            opened, pl.col("person_id") == person_id, "person_id", [person_id]
        )
        applications = applications_with_facts(opened, applications)
        events = events_in(opened, naming_the_person(person_id, applications, entries))
        declined = None
        if with_declined:
            found = declined_of_person(opened, person_id, applications, entries, events)
            declined = declined_with_facts(opened, found)
        quarantined = applications_set_aside(opened, person_id)
        known = bool(entries or applications or quarantined or events)
        explained_entries = explained(
            entries, _terms_of(opened, entries), events_by_id(opened, entries)
        )
    if declined is not None:
        declined = what_became_of(declined, explained_entries)
    return Person(
        person_id,
        applications,
        explained_entries,
        declined,
        opened.programme(opened.runs).cap_yen,
        quarantined,
        0 if known else applications_without_ids(opened),
        events,
    )


def account_of(opened: OpenedBook, service_id: str, account_id: str) -> Account:
    """All that the book has of an account, and of the people whose it is or was.

    Raises:
        BookError: a file that is needed is missing or damaged.
    """
    own = (pl.col("service_id") == service_id) & (pl.col("account_id") == account_id)
    fresh = (pl.col("service_id") == service_id) & (pl.col("other_id") == account_id)
    with book_readable(opened.book):
        applications = applications_with_facts(
            opened, applications_of(opened, [(service_id, account_id)])
        )
        declined = declined_with_facts(opened, declined_in(opened, own, "account_id", [account_id]))
        quarantined = applications_set_aside(opened, account_id)
        events = events_in(opened, own | fresh)
        replaced = [
            event.row["account_id"]
            for event in events
            if event.row["kind"] == "account_replaced" and event.row["other_id"] == account_id
        ]
        people = holders_of(opened, applications, events)
        if replaced:
            before = [(service_id, account) for account in replaced]
            earlier = applications_of(opened, before), events_in(opened, of_accounts(before))
            people = list(dict.fromkeys([*people, *holders_of(opened, *earlier)]))
    stories = [person_of(opened, person) for person in people]
    entries = [entry for person in stories for entry in person.entries]
    return Account(
        service_id,
        account_id,
        stories,
        applications,
        what_became_of(declined, entries),
        quarantined,
        events,
    )


def transaction_of(opened: OpenedBook, service_id: str, transaction_id: str) -> Transaction:
    """What became of a transaction: of each row that was delivered of it.

    Raises:
        BookError: a file that is needed is missing or damaged.
    """
    wanted = (pl.col("service_id") == service_id) & (pl.col("transaction_id") == transaction_id)
    bookings, unseen = indexed_bookings(opened, service_id, transaction_id, wanted)
    scanned = sum(file.rows for file in unseen)
    bookings += scanned_bookings(opened, unseen, wanted, [transaction_id])
    with book_readable(opened.book):
        declined = declined_with_facts(
            opened, declined_in(opened, wanted, "transaction_id", [transaction_id])
        )
        applications = applications_that_decided(opened, declined) if not bookings else []
        quarantined = transactions_set_aside(opened, service_id, transaction_id)
        events = events_in(opened, wanted)
        quarantined_events = corrections_set_aside(opened, service_id, transaction_id)
    scanned += sum(_rows_beside_the_ledger(record) for record in opened.records)
    if not bookings and not declined and not quarantined:
        # "Never delivered" is only said after scanning the ledger itself; the index alone is not
        # trusted for that.
        seen = set(unseen)
        rest = [file for file in opened.ledger_files if file not in seen]
        scanned += sum(file.rows for file in rest)
        bookings = scanned_bookings(opened, rest, wanted, [transaction_id])
    bookings.sort(key=lambda booking: booking.run_id)
    people = {
        person_id: person_of(opened, person_id)
        for person_id in dict.fromkeys(booking.person_id for booking in bookings)
    }
    # A run's voids come before its bookings, whichever person they belong to.
    entries = sorted(
        (
            booking
            for person in people.values()
            for booking in person.entries
            if booking.entry.key == (service_id, transaction_id)
        ),
        key=lambda booking: (booking.entry.run_id, not booking.entry.is_void),
    )
    booked = [booking for booking in entries if booking.entry.kind in KINDS]
    unknown = not bookings and not declined and not quarantined
    return Transaction(
        service_id,
        transaction_id,
        booked[-1] if booked else None,
        people[bookings[-1].person_id] if bookings else None,
        declined=what_became_of(declined, entries),
        applications=applications,
        quarantined=quarantined,
        rows_scanned=scanned,
        without_ids=without_ids(opened, service_id) if unknown else 0,
        entries=entries,
        events=events,
        quarantined_events=quarantined_events,
    )


def _rows_beside_the_ledger(record: RunRecord) -> int:
    counts = record.counts
    return counts.all_declined + counts.quarantined + counts.enrollments.quarantined


def _terms_of(opened: OpenedBook, entries: Iterable[Entry]) -> dict[tuple[str, str], ServiceTerms]:
    return {
        (run, service): _terms(opened, int(run), service)
        for run, service in {(entry.run_id, entry.service_id) for entry in entries}
    }


def _terms(opened: OpenedBook, run: int, service_id: str) -> ServiceTerms:
    programme = opened.programme(run)
    service = opened.services(run).by_id.get(service_id)
    return ServiceTerms(
        service.rounding if service else "cumulative",
        programme.cap_yen,
        programme.rate_numerator,
        programme.rate_denominator,
        opened.record(run).format,
    )

"""A slow and obvious reading of the specification, row by row, to hold the engine against.

It shares no code with the engine and uses the standard library alone. Nothing here is clever: the
whole history is kept, and whatever the book holds is looked up by walking through all of it. Words
in quotation marks are the specification's, and so is what follows `Clause:`.

Where to find what: `canonical` reads files and values, `rows` the three kinds of rows, `programme`
the services and the programme; `book` is what is kept and what a night gives; `in_force` says what
the events leave in force; `events`, `voids`, `enrollments` and `transactions` are the steps of a
run, in this order, and `ledger` writes its entries.
"""

from collections.abc import Iterable, Sequence
from datetime import date

from oracle.book import (
    ACCEPTED_EVENT_COLUMNS,
    DECLINE_REASONS,
    DECLINED_COLUMNS,
    ENROLLMENT_REASONS,
    EVENT_REASONS,
    LEDGER_COLUMNS,
    QUARANTINE_COLUMNS,
    REJECTED_COLUMNS,
    REJECTED_EVENT_COLUMNS,
    WAITING_EVENT_REASONS,
    AcceptanceCounts,
    Book,
    Entry,
    Night,
    Split,
)
from oracle.canonical import (
    JST_AHEAD_OF_UTC,
    File,
    Record,
    UnusableError,
    amount_fault,
    id_fault,
    known_date,
    known_time,
    read_date,
    read_records,
    read_time,
    trimmed,
)
from oracle.enrollments import take_enrollments
from oracle.events import take_events
from oracle.in_force import InForce
from oracle.ledger import Bookkeeper
from oracle.programme import (
    MYNAPOINT_2020,
    Programme,
    Service,
    Terms,
    read_programme,
    read_services,
    refuse_changes,
    terms_in_force,
)
from oracle.rows import (
    ENROLLMENT_OPTIONAL,
    ENROLLMENT_REQUIRED,
    EVENT_COLUMNS_BY_KIND,
    EVENT_OPTIONAL,
    EVENT_REQUIRED,
    TRANSACTION_OPTIONAL,
    TRANSACTION_REQUIRED,
    Transaction,
    enrollment_faults,
    event_faults,
    transaction_faults,
)
from oracle.transactions import take_transactions
from oracle.voids import void_what_may_not_stay

__all__ = [
    "ACCEPTED_EVENT_COLUMNS",
    "DECLINED_COLUMNS",
    "DECLINE_REASONS",
    "ENROLLMENT_OPTIONAL",
    "ENROLLMENT_REASONS",
    "ENROLLMENT_REQUIRED",
    "EVENT_COLUMNS_BY_KIND",
    "EVENT_OPTIONAL",
    "EVENT_REASONS",
    "EVENT_REQUIRED",
    "JST_AHEAD_OF_UTC",
    "LEDGER_COLUMNS",
    "MYNAPOINT_2020",
    "QUARANTINE_COLUMNS",
    "REJECTED_COLUMNS",
    "REJECTED_EVENT_COLUMNS",
    "TRANSACTION_OPTIONAL",
    "TRANSACTION_REQUIRED",
    "WAITING_EVENT_REASONS",
    "AcceptanceCounts",
    "Book",
    "Entry",
    "File",
    "Night",
    "Programme",
    "Record",
    "Service",
    "Split",
    "Terms",
    "Transaction",
    "UnusableError",
    "amount_fault",
    "enrollment_faults",
    "event_faults",
    "id_fault",
    "known_date",
    "known_time",
    "read_date",
    "read_programme",
    "read_records",
    "read_services",
    "read_time",
    "run",
    "transaction_faults",
    "trimmed",
]


def run(
    book: Book,
    *,
    booked_on: date,
    transactions: Iterable[File] = (),
    enrollments: Iterable[File] = (),
    events: Iterable[File] = (),
    services: Sequence[Service],
    programme: Programme = MYNAPOINT_2020,
    terms_as_of: date | None = None,
) -> Night:
    """Book one night into `book`.

    Clause: A run takes its events first, then its enrollments, then its transactions.
    """
    terms = terms_in_force(programme, terms_as_of)
    # "`--booked-on` may not be earlier than the last run's"
    if book.last_booked_on is not None and booked_on < book.last_booked_on:
        raise UnusableError(f"{booked_on} is before the last run's {book.last_booked_on}")
    if book.ledger and book.programme is not None:
        with_enrollments = {
            enrollment.service_id
            for enrollment in InForce(book.events, book.enrollments).enrollments
        }
        refuse_changes(book.services, book.programme, services, programme, with_enrollments)
    event_records = read_all(events, EVENT_REQUIRED, EVENT_OPTIONAL)
    enrollment_records = read_all(enrollments, ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL)
    transaction_records = read_all(transactions, TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL)

    book.runs += 1
    book.last_booked_on = booked_on
    book.services = list(services)
    book.programme = programme
    night = Night(run_id=f"{book.runs:06}")
    bookkeeper = Bookkeeper(book, night, booked_on, services, programme)
    accepted_events = take_events(book, night, event_records, services)
    void_what_may_not_stay(book, bookkeeper, accepted_events)
    take_enrollments(book, night, enrollment_records, services, terms)
    take_transactions(
        book, night, transaction_records, services, programme, terms, booked_on, bookkeeper
    )
    # As in the table: "Within a run's commit the rows are sorted by (`person_id`, `entry_seq`)."
    night.ledger.sort(key=lambda entry: (entry.person_id, entry.entry_seq))
    return night


def read_all(
    files: Iterable[File], required: Sequence[str], optional: Sequence[str]
) -> list[Record]:
    return [record for file in files for record in read_records(file, required, optional)]

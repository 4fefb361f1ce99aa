"""The book as the oracle keeps it, and the tables and counts that one night gives."""

from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import TypeAlias

from oracle.programme import Programme, Service
from oracle.rows import Enrollment, Event, Transaction

ENROLLMENT_REASONS = (
    "unknown_service",
    "basis_not_chosen",
    "card_applied_late",
    "applied_late",
    "service_closed_to_applications",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
    "voided",
    "account_taken",
    "already_enrolled",
)
DECLINE_REASONS = (
    "duplicate",
    "voided",
    "unknown_service",
    "not_enrolled",
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
    "before_window",
    "after_window",
    "before_application",
    "enrollment_stopped",
    "service_closed",
    "not_the_basis",
    "excluded_method",
)
EVENT_REASONS = (
    "withdrawn",
    "unknown_service",
    "voided",
    "no_such_enrollment",
    "no_such_transaction",
    "already_undone",
    "no_such_event",
    "same_person",
    "person_gone",
    "account_taken",
    "already_enrolled",
    "basis_not_chosen",
    "not_stopped",
)
WAITING_EVENT_REASONS = (
    "withdrawn",
    "unknown_service",
    "no_such_enrollment",
    "no_such_transaction",
    "no_such_event",
    "not_stopped",
)
"""Those that "may only have come too early"."""

TransactionKey: TypeAlias = tuple[str, str]
"""The service and the transaction's ID."""

EnrollmentKey: TypeAlias = tuple[str, str, str]
"""The person's ID as delivered, the service and the account."""


# --- The tables -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One row of the ledger, in the specification's order of columns."""

    run_id: str
    booked_on: date
    person_id: str
    entry_seq: int
    service_id: str
    account_id: str
    transaction_id: str
    occurred_at: datetime
    kind: str
    amount: int
    original_transaction_id: str | None
    method: str | None
    enrolled_account_id: str | None
    net_amount: int
    counted_amount: int
    points: int
    net_spend_after: int
    points_after: int
    event_id: str | None


@dataclass(frozen=True)
class Declined:
    transaction_id: str
    service_id: str
    account_id: str
    occurred_at: datetime
    kind: str
    amount: int
    original_transaction_id: str | None
    method: str | None
    reason: str


@dataclass(frozen=True)
class Quarantined:
    file: str
    row: int
    errors: tuple[str, ...]
    fields: tuple[str, ...]
    """The record's fields as they came: `raw` is their text."""


@dataclass(frozen=True)
class Rejected:
    """A rejected enrollment, with the person's ID as it is read."""

    person_id: str
    service_id: str
    account_id: str
    applied_at: datetime
    card_applied_on: date
    basis: str | None
    reserved_at: datetime | None
    certificate_issued_at: datetime | None
    preregistered_on: date | None
    reason: str


@dataclass(frozen=True)
class RejectedEvent:
    """A rejected event, as delivered."""

    event_id: str
    kind: str
    authority: str
    person_id: str | None
    service_id: str | None
    account_id: str | None
    transaction_id: str | None
    other_id: str | None
    effective_at: datetime | None
    basis: str | None
    note: str | None
    reason: str


LEDGER_COLUMNS = tuple(column.name for column in fields(Entry))
DECLINED_COLUMNS = tuple(column.name for column in fields(Declined))
QUARANTINE_COLUMNS = ("file", "row", "errors")
REJECTED_COLUMNS = tuple(column.name for column in fields(Rejected))
ACCEPTED_EVENT_COLUMNS = tuple(column.name for column in fields(Event))
REJECTED_EVENT_COLUMNS = tuple(column.name for column in fields(RejectedEvent))


# --- What the book remembers ----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AcceptedEnrollment:
    """An enrollment that was accepted: of an application, by a merge, or by a grant.

    Whether it is in force is said by the events, see `in_force`.
    """

    number: int
    """The order of acceptance, in one sequence with the events."""
    came_under: str
    """The person's ID as delivered."""
    service_id: str
    account_id: str
    applied_at: datetime
    basis: str | None
    application: Enrollment | None
    """The row as delivered; None if it was granted."""
    person_id: str
    """For whom it was accepted."""
    merges: tuple[str, ...]
    """The merges by which the ID that it came under was read as this person."""
    granted_by: str | None
    """The event that granted it."""

    @property
    def key(self) -> EnrollmentKey:
        return (self.came_under, self.service_id, self.account_id)


@dataclass(frozen=True)
class AcceptedEvent:
    """An event that was accepted, and what it found in that moment."""

    number: int
    event: Event
    enrollment: AcceptedEnrollment | None = None
    """The enrollment that a stop, a resumption or a void names."""
    accounts: tuple[str, ...] = ()
    """A void: the accounts that the enrollment had."""
    person_ids: tuple[str, ...] = ()
    """A void: the IDs read as the person, and the ID that the enrollment came under."""


@dataclass(frozen=True)
class WaitingEvent:
    event: Event
    first_tried_after: int
    """The number of the latest acceptance before its first try."""


@dataclass(eq=False)
class Booking:
    """A booked transaction: its content, for which enrollment, and whether it was voided since."""

    transaction: Transaction
    enrollment: AcceptedEnrollment
    entry: Entry
    voided: bool = False

    @property
    def key(self) -> TransactionKey:
        return (self.transaction.service_id, self.transaction.transaction_id)

    @property
    def original_key(self) -> TransactionKey:
        return (self.transaction.service_id, self.transaction.original_transaction_id or "")


@dataclass
class Book:
    runs: int = 0
    last_booked_on: date | None = None
    services: list[Service] = field(default_factory=list)
    programme: Programme | None = None
    acceptances: int = 0
    """How many events and enrollments were accepted so far."""
    enrollments: list[AcceptedEnrollment] = field(default_factory=list)
    events: list[AcceptedEvent] = field(default_factory=list)
    ledger: list[Entry] = field(default_factory=list)
    """All entries in booking order."""
    bookings: list[Booking] = field(default_factory=list)
    """The charges, purchases and refunds among them, in booking order."""
    waiting_enrollments: dict[EnrollmentKey, Enrollment] = field(default_factory=dict)
    waiting_events: dict[str, WaitingEvent] = field(default_factory=dict)
    waiting_transactions: dict[TransactionKey, Transaction] = field(default_factory=dict)

    def next_number(self) -> int:
        self.acceptances += 1
        return self.acceptances


# --- What one night gives -------------------------------------------------------------------------


@dataclass
class AcceptanceCounts:
    """The enrollments' split, and the events'."""

    read: int = 0
    reconsidered: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0


@dataclass
class Split:
    """The transactions' split, in rows or in yen."""

    read: int = 0
    reconsidered: int = 0
    booked: int = 0
    declined: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0


@dataclass
class Night:
    run_id: str
    ledger: list[Entry] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    quarantine: list[Quarantined] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    accepted_events: list[Event] = field(default_factory=list)
    rejected_events: list[RejectedEvent] = field(default_factory=list)
    counts: Split = field(default_factory=Split)
    enrollment_counts: AcceptanceCounts = field(default_factory=AcceptanceCounts)
    event_counts: AcceptanceCounts = field(default_factory=AcceptanceCounts)
    yen: Split = field(default_factory=Split)
    voided: int = 0
    recounted: int = 0
    points_awarded: int = 0
    points_reversed: int = 0


def add(sums: dict[str, int], key: str, number: int) -> None:
    sums[key] = sums.get(key, 0) + number

"""A slow and obvious reading of the contract, row by row, to hold the engine against.

It shares no code with the engine and uses the standard library alone. Nothing here is clever:
whatever the book holds is looked up by walking through all of it. Words in quotation marks are the
contract's, and so is what follows `Clause:`.
"""

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypeAlias

JST_AHEAD_OF_UTC = timedelta(hours=9)
MAX_ID_CHARACTERS = 64
MIN_AMOUNT_YEN = 1
MAX_AMOUNT_YEN = 100_000_000
CERTIFICATE_WAIT = timedelta(hours=24)

TRANSACTION_REQUIRED = (
    "transaction_id",
    "service_id",
    "account_id",
    "occurred_at",
    "kind",
    "amount",
)
TRANSACTION_OPTIONAL = ("original_transaction_id", "method")
ENROLLMENT_REQUIRED = ("person_id", "service_id", "account_id", "applied_at", "card_applied_on")
ENROLLMENT_OPTIONAL = ("basis", "reserved_at", "certificate_issued_at", "preregistered_on")

ENROLLMENT_REASONS = (
    "unknown_service",
    "basis_not_chosen",
    "card_applied_late",
    "applied_late",
    "service_closed_to_applications",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
    "account_taken",
    "already_enrolled",
)
DECLINE_REASONS = (
    "duplicate",
    "unknown_service",
    "not_enrolled",
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
    "before_window",
    "after_window",
    "before_application",
    "service_closed",
    "not_the_basis",
    "excluded_method",
)

LEDGER_COLUMNS = (
    "run_id",
    "booked_on",
    "person_id",
    "entry_seq",
    "service_id",
    "account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
    "counted_amount",
    "points",
    "net_spend_after",
    "points_after",
)
DECLINED_COLUMNS = (
    "service_id",
    "transaction_id",
    "account_id",
    "occurred_at",
    "kind",
    "amount",
    "reason",
)
QUARANTINE_COLUMNS = ("file", "row", "errors")
REJECTED_COLUMNS = ("person_id", "service_id", "account_id", "reason")

File: TypeAlias = tuple[str, str]
"""A delivered CSV file: its name as given, and its text."""


class UnusableError(Exception):
    """The input as a whole cannot be used: exit 2, nothing booked."""


# --- Services and programme -----------------------------------------------------------------------


@dataclass(frozen=True)
class Service:
    service_id: str
    name: str
    basis: str
    rounding: str = "cumulative"
    counts_from: str = "instant"
    preregistration: bool = False
    applications_close_on: date | None = None
    awards_close_on: date | None = None
    excluded_methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Terms:
    announced_on: date
    window_first: date
    window_last: date
    applications_last: date
    card_applications_last: date


@dataclass(frozen=True)
class Programme:
    programme_id: str
    numerator: int
    denominator: int
    cap_yen: int
    terms: tuple[Terms, ...]


MYNAPOINT_2020 = Programme(
    programme_id="mynapoint-2020",
    numerator=25,
    denominator=100,
    cap_yen=20_000,
    terms=(
        Terms(
            announced_on=date(2021, 3, 25),
            window_first=date(2020, 9, 1),
            window_last=date(2021, 9, 30),
            applications_last=date(2021, 9, 30),
            card_applications_last=date(2021, 4, 30),
        ),
    ),
)
"""The built-in programme with its latest terms alone: the only ones the contract states."""


def read_services(text: str) -> list[Service]:
    """A list of `[[services]]`; what is left out has the contract's default."""
    services = []
    for table in tomllib.loads(text)["services"]:
        methods = tuple(table.pop("excluded_methods", ()))
        services.append(Service(**table, excluded_methods=methods))
    return services


def read_programme(text: str) -> Programme:
    table = tomllib.loads(text)
    terms = []
    for stated in table["terms"]:
        stated.pop("source")
        terms.append(Terms(**stated))
    return Programme(
        programme_id=table["programme_id"],
        numerator=table["rate"]["numerator"],
        denominator=table["rate"]["denominator"],
        cap_yen=table["cap"]["spending_yen"],
        terms=tuple(terms),
    )


def terms_in_force(programme: Programme, as_of: date | None) -> Terms:
    """Clause: the latest announced on or before `--terms-as-of` (default: the latest)."""
    latest: Terms | None = None
    for terms in programme.terms:
        if as_of is not None and terms.announced_on > as_of:
            continue
        if latest is None or terms.announced_on > latest.announced_on:
            latest = terms
    if latest is None:
        raise UnusableError(f"no terms were announced by {as_of}")
    return latest


def service_named(service_id: str, services: Sequence[Service]) -> Service | None:
    for service in services:
        if service.service_id == service_id:
            return service
    return None


# --- Reading files --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One record of a file; `values` is None for "too few or too many fields"."""

    file: str
    row: int
    fields: tuple[str, ...]
    values: dict[str, str] | None


def trimmed(text: str) -> str:
    """Clause: trimmed of spaces, tabs and U+3000 on both sides."""
    return text.strip(" \t\u3000")


def read_records(file: File, required: Sequence[str], optional: Sequence[str]) -> list[Record]:
    """Read a file's records.

    Clause: The header is matched by name, in any order; a required column that is missing, a column
    named twice […] make the file unusable. Columns not listed here are ignored; an empty line is no
    record. `row` counts the file's records from 1, header excluded.
    """
    name, text = file
    lines = [
        fields
        for fields in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        if fields != []
    ]
    if not lines:
        raise UnusableError(f"{name}: no header")
    header = lines[0]
    for column in header:
        if header.count(column) > 1:
            raise UnusableError(f"{name}: column {column} is named twice")
    for column in required:
        if column not in header:
            raise UnusableError(f"{name}: column {column} is missing")

    records = []
    for row, fields in enumerate(lines[1:], start=1):
        if len(fields) != len(header):
            records.append(Record(name, row, tuple(fields), None))
            continue
        values = {}
        for column in [*required, *optional]:
            values[column] = trimmed(fields[header.index(column)]) if column in header else ""
        records.append(Record(name, row, tuple(fields), values))
    return records


# --- Reading values -------------------------------------------------------------------------------


def id_fault(text: str) -> str | None:
    """Clause: 1 to 64 characters, none of U+0000 to U+001F or U+007F."""
    for character in text:
        if ord(character) <= 0x1F or ord(character) == 0x7F:
            return "malformed"
    if len(text) > MAX_ID_CHARACTERS:
        return "out_of_range"
    return None


def whole_number(text: str) -> int | None:
    """An optional minus sign and ASCII digits; leading zeros mean nothing."""
    if re.fullmatch(r"-?[0-9]+", text) is None:
        return None
    return int(text)


def amount_fault(text: str) -> str | None:
    """Clause: digits, yen, 1 to 100,000,000; `out_of_range`: whole, but outside the bounds."""
    number = whole_number(text)
    if number is None:
        return "malformed"
    if not MIN_AMOUNT_YEN <= number <= MAX_AMOUNT_YEN:
        return "out_of_range"
    return None


TIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"[ T](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2}))?"
)


def read_time(text: str) -> datetime | None:
    """Read a time as Japan's, without a zone.

    Clause: `YYYY-MM-DD HH:MM:SS` or with `T`; optional fraction (1 to 6 digits); optional `Z` or
    `±HH:MM`. All times are Japan Standard Time […], stored without a zone; an input with an offset
    is converted.
    """
    match = TIME.fullmatch(text)
    if match is None:
        return None
    try:
        stated = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"]),
            int((match["fraction"] or "0").ljust(6, "0")),
        )
    except ValueError:
        return None
    if match["zone"] is None:
        return stated
    ahead_of_utc = timedelta(0)
    if match["sign"] is not None:
        hours, minutes = int(match["zone_hour"]), int(match["zone_minute"])
        if hours > 23 or minutes > 59:
            return None
        ahead_of_utc = timedelta(hours=hours, minutes=minutes)
        if match["sign"] == "-":
            ahead_of_utc = -ahead_of_utc
    try:
        return stated + (JST_AHEAD_OF_UTC - ahead_of_utc)
    except OverflowError:
        return None


def read_date(text: str) -> date | None:
    """Clause: `YYYY-MM-DD`."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is None:
        return None
    try:
        return date(int(text[0:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return None


def known_time(text: str) -> datetime:
    time = read_time(text)
    assert time is not None
    return time


def known_date(text: str) -> date:
    day = read_date(text)
    assert day is not None
    return day


# --- Transactions and enrollments as read ---------------------------------------------------------


@dataclass(frozen=True)
class Transaction:
    """The canonical columns: two of them with all columns equal have the same content."""

    transaction_id: str
    service_id: str
    account_id: str
    occurred_at: datetime
    kind: str
    amount: int
    original_transaction_id: str | None
    method: str | None


@dataclass(frozen=True)
class Enrollment:
    person_id: str
    service_id: str
    account_id: str
    applied_at: datetime
    card_applied_on: date
    basis: str | None
    reserved_at: datetime | None
    certificate_issued_at: datetime | None
    preregistered_on: date | None


def transaction_faults(values: dict[str, str]) -> list[str]:
    """Clause: `errors` lists `column:code` for every column at fault."""
    faults = []
    for column in TRANSACTION_REQUIRED:
        if values[column] == "":
            faults.append(f"{column}:missing")
    for column in ("transaction_id", "service_id", "account_id"):
        if values[column] != "":
            code = id_fault(values[column])
            if code is not None:
                faults.append(f"{column}:{code}")
    if values["occurred_at"] != "" and read_time(values["occurred_at"]) is None:
        faults.append("occurred_at:malformed")
    kind = values["kind"]
    if kind not in ("", "charge", "purchase", "refund"):
        faults.append("kind:unknown")
    if values["amount"] != "":
        code = amount_fault(values["amount"])
        if code is not None:
            faults.append(f"amount:{code}")
    # "a refund: required; else: must be empty"; a row of unknown kind is neither.
    original = values["original_transaction_id"]
    if kind == "refund" and original == "":
        faults.append("original_transaction_id:missing")
    elif kind in ("charge", "purchase") and original != "":
        faults.append("original_transaction_id:unexpected")
    elif original != "":
        code = id_fault(original)
        if code is not None:
            faults.append(f"original_transaction_id:{code}")
    return faults


def enrollment_faults(values: dict[str, str]) -> list[str]:
    faults = []
    for column in ENROLLMENT_REQUIRED:
        if values[column] == "":
            faults.append(f"{column}:missing")
    for column in ("person_id", "service_id", "account_id"):
        if values[column] != "":
            code = id_fault(values[column])
            if code is not None:
                faults.append(f"{column}:{code}")
    for column in ("applied_at", "reserved_at", "certificate_issued_at"):
        if values[column] != "" and read_time(values[column]) is None:
            faults.append(f"{column}:malformed")
    for column in ("card_applied_on", "preregistered_on"):
        if values[column] != "" and read_date(values[column]) is None:
            faults.append(f"{column}:malformed")
    if values["basis"] not in ("", "charge", "purchase"):
        faults.append("basis:unknown")
    return faults


def transaction_of(values: dict[str, str]) -> Transaction:
    return Transaction(
        transaction_id=values["transaction_id"],
        service_id=values["service_id"],
        account_id=values["account_id"],
        occurred_at=known_time(values["occurred_at"]),
        kind=values["kind"],
        amount=int(values["amount"]),
        original_transaction_id=values["original_transaction_id"] or None,
        method=values["method"] or None,
    )


def enrollment_of(values: dict[str, str]) -> Enrollment:
    def time(column: str) -> datetime | None:
        return known_time(values[column]) if values[column] != "" else None

    return Enrollment(
        person_id=values["person_id"],
        service_id=values["service_id"],
        account_id=values["account_id"],
        applied_at=known_time(values["applied_at"]),
        card_applied_on=known_date(values["card_applied_on"]),
        basis=values["basis"] or None,
        reserved_at=time("reserved_at"),
        certificate_issued_at=time("certificate_issued_at"),
        preregistered_on=(
            known_date(values["preregistered_on"]) if values["preregistered_on"] != "" else None
        ),
    )


def readable_yen(values: dict[str, str] | None) -> int:
    """Clause: wherever the amount can be read; of a ragged record it cannot."""
    if values is None or amount_fault(values["amount"]) is not None:
        return 0
    return int(values["amount"])


# --- The book and what a night gives --------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """One row of the ledger, in the contract's order of columns."""

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
    counted_amount: int
    points: int
    net_spend_after: int
    points_after: int


@dataclass(frozen=True)
class Declined:
    service_id: str
    transaction_id: str
    account_id: str
    occurred_at: datetime
    kind: str
    amount: int
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
    person_id: str
    service_id: str
    account_id: str
    reason: str


@dataclass
class Book:
    """Clause: Only the ledger is remembered from run to run; what is accepted stays."""

    enrollments: list[Enrollment] = field(default_factory=list)
    ledger: list[Entry] = field(default_factory=list)
    runs: int = 0


@dataclass
class EnrollmentCounts:
    read: int = 0
    accepted: int = 0
    unchanged: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0


@dataclass
class Split:
    """The transactions' split, in rows or in yen."""

    read: int = 0
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
    counts: Split = field(default_factory=Split)
    enrollment_counts: EnrollmentCounts = field(default_factory=EnrollmentCounts)
    yen: Split = field(default_factory=Split)
    points_awarded: int = 0
    points_reversed: int = 0


# --- Enrollments ----------------------------------------------------------------------------------


def take_enrollments(
    book: Book,
    night: Night,
    files: Iterable[File],
    services: Sequence[Service],
    terms: Terms,
) -> None:
    """Accept, reject, count or quarantine every delivered enrollment.

    Clause: The same row again changes nothing and is only counted. Another content for an accepted
    (person, service, account), or two contents for one in the same run, is `person_id:conflict`.
    The rest are taken in order of (`applied_at`, `person_id`, `service_id`, `account_id`); each is
    accepted, or rejected with the first reason that holds.
    """
    readable: list[tuple[Record, Enrollment]] = []
    for file in files:
        for record in read_records(file, ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL):
            night.enrollment_counts.read += 1
            if record.values is None:
                quarantine_enrollment(night, record, ["row:malformed"])
                continue
            faults = enrollment_faults(record.values)
            if faults:
                quarantine_enrollment(night, record, faults)
            else:
                readable.append((record, enrollment_of(record.values)))

    delivered = [enrollment for _, enrollment in readable]
    fresh: list[Enrollment] = []
    for record, enrollment in readable:
        accepted = accepted_under_the_key_of(enrollment, book)
        if accepted is not None:
            if enrollment == accepted:
                night.enrollment_counts.unchanged += 1
            else:
                quarantine_enrollment(night, record, ["person_id:conflict"])
        elif has_two_contents(enrollment, delivered):
            quarantine_enrollment(night, record, ["person_id:conflict"])
        elif enrollment in fresh:
            night.enrollment_counts.unchanged += 1
        else:
            fresh.append(enrollment)

    fresh.sort(key=lambda e: (e.applied_at, e.person_id, e.service_id, e.account_id))
    for enrollment in fresh:
        reason = reason_to_reject(enrollment, book, services, terms)
        if reason is None:
            book.enrollments.append(enrollment)
            night.enrollment_counts.accepted += 1
        else:
            night.rejected.append(
                Rejected(enrollment.person_id, enrollment.service_id, enrollment.account_id, reason)
            )
            add(night.enrollment_counts.rejected, reason, 1)


def quarantine_enrollment(night: Night, record: Record, faults: list[str]) -> None:
    night.enrollment_counts.quarantined += 1
    night.quarantine.append(
        Quarantined(record.file, record.row, tuple(sorted(faults)), record.fields)
    )


def same_enrollment_key(one: Enrollment, other: Enrollment) -> bool:
    return (
        one.person_id == other.person_id
        and one.service_id == other.service_id
        and one.account_id == other.account_id
    )


def accepted_under_the_key_of(enrollment: Enrollment, book: Book) -> Enrollment | None:
    for accepted in book.enrollments:
        if same_enrollment_key(accepted, enrollment):
            return accepted
    return None


def has_two_contents(enrollment: Enrollment, delivered: Sequence[Enrollment]) -> bool:
    for other in delivered:
        if same_enrollment_key(enrollment, other) and enrollment != other:
            return True
    return False


def reason_to_reject(
    enrollment: Enrollment, book: Book, services: Sequence[Service], terms: Terms
) -> str | None:
    """Clause: rejected with the first reason that holds."""
    day = enrollment.applied_at.date()
    service = service_named(enrollment.service_id, services)

    # "the registry has no such service"
    if service is None:
        return "unknown_service"

    # "the service's basis is `either` and the row has none"
    if service.basis == "either" and enrollment.basis is None:
        return "basis_not_chosen"

    # "the card was applied for after the terms' last day"
    if enrollment.card_applied_on > terms.card_applications_last:
        return "card_applied_late"

    # "the application's day is after the terms' last day"
    if day > terms.applications_last:
        return "applied_late"

    # "its day is after the service's `applications_close_on`"
    if service.applications_close_on is not None and day > service.applications_close_on:
        return "service_closed_to_applications"

    # "`reserved_at` is given and is later than `applied_at`"
    if enrollment.reserved_at is not None and enrollment.reserved_at > enrollment.applied_at:
        return "applied_before_reservation"

    # "`certificate_issued_at` is given and the reservation (if none is given, the application) came
    # less than 24 hours after it"
    if enrollment.certificate_issued_at is not None:
        came_at = enrollment.reserved_at
        if came_at is None:
            came_at = enrollment.applied_at
        if came_at - enrollment.certificate_issued_at < CERTIFICATE_WAIT:
            return "certificate_under_24h"

    # "the service requires it and `preregistered_on` is missing or later than the application's
    # day"
    if service.preregistration and (
        enrollment.preregistered_on is None or enrollment.preregistered_on > day
    ):
        return "not_preregistered"

    # "another person's accepted enrollment has this service and account"
    for accepted in book.enrollments:
        if (
            accepted.person_id != enrollment.person_id
            and accepted.service_id == enrollment.service_id
            and accepted.account_id == enrollment.account_id
        ):
            return "account_taken"

    # "the person has an accepted enrollment, and its service does not have an `awards_close_on`
    # before this application's day"
    for accepted in book.enrollments:
        if accepted.person_id != enrollment.person_id:
            continue
        its_service = service_named(accepted.service_id, services)
        ended = (
            its_service is not None
            and its_service.awards_close_on is not None
            and its_service.awards_close_on < day
        )
        if not ended:
            return "already_enrolled"

    return None


# --- Transactions ---------------------------------------------------------------------------------


def take_transactions(
    book: Book,
    night: Night,
    files: Iterable[File],
    services: Sequence[Service],
    programme: Programme,
    terms: Terms,
    booked_on: date,
) -> None:
    single = settle_keys(book, night, read_transactions(night, files))

    # Originals first: a refund may stand before its original in the order of booking, and is then
    # declined for that, not for want of an original.
    originals: list[Transaction] = []
    refunds: list[Transaction] = []
    for transaction in single:
        reason = reason_nobody_can_earn(transaction, book, services)
        if reason is None and transaction.kind != "refund":
            reason = reason_not_to_award(transaction, book, services, terms)
        if reason is not None:
            decline(night, transaction, reason)
        elif transaction.kind == "refund":
            refunds.append(transaction)
        else:
            originals.append(transaction)

    accepted = list(originals)
    for refund in sorted(refunds, key=booking_order):
        reason = reason_not_to_refund(refund, book, originals, accepted)
        if reason is not None:
            decline(night, refund, reason)
        else:
            accepted.append(refund)

    for transaction in sorted(accepted, key=booking_order):
        book_entry(book, night, transaction, services, programme, booked_on)


def read_transactions(night: Night, files: Iterable[File]) -> list[tuple[Record, Transaction]]:
    readable = []
    for file in files:
        for record in read_records(file, TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL):
            night.counts.read += 1
            night.yen.read += readable_yen(record.values)
            if record.values is None:
                quarantine_transaction(night, record, ["row:malformed"])
                continue
            faults = transaction_faults(record.values)
            if faults:
                quarantine_transaction(night, record, faults)
            else:
                readable.append((record, transaction_of(record.values)))
    return readable


def quarantine_transaction(night: Night, record: Record, faults: list[str]) -> None:
    night.counts.quarantined += 1
    night.yen.quarantined += readable_yen(record.values)
    night.quarantine.append(
        Quarantined(record.file, record.row, tuple(sorted(faults)), record.fields)
    )


def decline(night: Night, transaction: Transaction, reason: str) -> None:
    night.declined.append(
        Declined(
            service_id=transaction.service_id,
            transaction_id=transaction.transaction_id,
            account_id=transaction.account_id,
            occurred_at=transaction.occurred_at,
            kind=transaction.kind,
            amount=transaction.amount,
            reason=reason,
        )
    )
    add(night.counts.declined, reason, 1)
    add(night.yen.declined, reason, transaction.amount)


def settle_keys(
    book: Book, night: Night, readable: Sequence[tuple[Record, Transaction]]
) -> list[Transaction]:
    """Leave one transaction of each key that is neither booked already nor in conflict.

    Clause: Same content (all canonical columns) again: declined as `duplicate`, whether the first
    stands in this run's files or in the ledger. Other content under the same key:
    `transaction_id:conflict`; if the ledger has the key, what differs from the ledger's is the
    conflict; if not, every row of that key in this run's files is.
    """
    delivered = [transaction for _, transaction in readable]
    single: list[Transaction] = []
    for record, transaction in readable:
        booked = in_the_ledger(transaction.service_id, transaction.transaction_id, book)
        if booked is not None:
            if transaction == content_of(booked):
                decline(night, transaction, "duplicate")
            else:
                quarantine_transaction(night, record, ["transaction_id:conflict"])
        elif has_other_content(transaction, delivered):
            quarantine_transaction(night, record, ["transaction_id:conflict"])
        elif transaction in single:
            decline(night, transaction, "duplicate")
        else:
            single.append(transaction)
    return single


def in_the_ledger(service_id: str, transaction_id: str, book: Book) -> Entry | None:
    for entry in book.ledger:
        if entry.service_id == service_id and entry.transaction_id == transaction_id:
            return entry
    return None


def content_of(entry: Entry) -> Transaction:
    return Transaction(
        transaction_id=entry.transaction_id,
        service_id=entry.service_id,
        account_id=entry.account_id,
        occurred_at=entry.occurred_at,
        kind=entry.kind,
        amount=entry.amount,
        original_transaction_id=entry.original_transaction_id,
        method=entry.method,
    )


def has_other_content(transaction: Transaction, delivered: Sequence[Transaction]) -> bool:
    for other in delivered:
        if (
            other.service_id == transaction.service_id
            and other.transaction_id == transaction.transaction_id
            and other != transaction
        ):
            return True
    return False


def enrollment_of_account(service_id: str, account_id: str, book: Book) -> Enrollment | None:
    """At most one: another person's is `account_taken`, the same person's is the same key."""
    for enrollment in book.enrollments:
        if enrollment.service_id == service_id and enrollment.account_id == account_id:
            return enrollment
    return None


def reason_nobody_can_earn(
    transaction: Transaction, book: Book, services: Sequence[Service]
) -> str | None:
    # "the registry has no such service"
    if service_named(transaction.service_id, services) is None:
        return "unknown_service"

    # "no accepted enrollment has this service and account"
    if enrollment_of_account(transaction.service_id, transaction.account_id, book) is None:
        return "not_enrolled"

    return None


def reason_not_to_award(
    transaction: Transaction, book: Book, services: Sequence[Service], terms: Terms
) -> str | None:
    """The reasons of a charge or a purchase, whose service and enrollment are known."""
    service = service_named(transaction.service_id, services)
    enrollment = enrollment_of_account(transaction.service_id, transaction.account_id, book)
    assert service is not None
    assert enrollment is not None
    day = transaction.occurred_at.date()
    application_day = enrollment.applied_at.date()

    # "the day is outside the terms' window, whose two days belong to it"
    if day < terms.window_first:
        return "before_window"
    if day > terms.window_last:
        return "after_window"

    # "`instant`, earlier than `applied_at`"
    if service.counts_from == "instant" and transaction.occurred_at < enrollment.applied_at:
        return "before_application"
    # "`application_day`, on an earlier day"
    if service.counts_from == "application_day" and day < application_day:
        return "before_application"
    # "`next_day`, on that day or earlier"
    if service.counts_from == "next_day" and day <= application_day:
        return "before_application"

    # "the day is after the service's `awards_close_on`"
    if service.awards_close_on is not None and day > service.awards_close_on:
        return "service_closed"

    # When "the kind is not the service's basis (or the one chosen)"
    basis = enrollment.basis if service.basis == "either" else service.basis
    if transaction.kind != basis:
        return "not_the_basis"

    # "the service excludes this `method`"
    if transaction.method is not None and transaction.method in service.excluded_methods:
        return "excluded_method"

    return None


def reason_not_to_refund(
    refund: Transaction,
    book: Book,
    originals: Sequence[Transaction],
    accepted: Sequence[Transaction],
) -> str | None:
    """Give the first refund reason that holds.

    Clause: The four refund reasons take the place of those below them: a refund shares its
    original's eligibility, whenever it happens.

    `originals` are this run's charges and purchases that will be booked, `accepted` those and the
    refunds accepted before this one.
    """
    # "its original is not in the ledger, this run's entries included, or is itself a refund"
    original: Transaction | None = None
    booked = in_the_ledger(refund.service_id, refund.original_transaction_id or "", book)
    if booked is not None and booked.kind != "refund":
        original = content_of(booked)
    for transaction in originals:
        if (
            transaction.service_id == refund.service_id
            and transaction.transaction_id == refund.original_transaction_id
        ):
            original = transaction
    if original is None:
        return "original_not_booked"

    # "the original's account is another"
    if original.account_id != refund.account_id:
        return "refund_account_differs"

    # "it is earlier than its original"
    if refund.occurred_at < original.occurred_at:
        return "refund_before_original"

    # "it is more than what the refunds accepted before it left of the original"
    left = original.amount
    for before in [content_of(entry) for entry in book.ledger] + list(accepted):
        if (
            before.kind == "refund"
            and before.service_id == original.service_id
            and before.original_transaction_id == original.transaction_id
        ):
            left -= before.amount
    if refund.amount > left:
        return "refund_exceeds_original"

    return None


def booking_order(transaction: Transaction) -> tuple[datetime, bool, str, str]:
    """Sort as entries are booked.

    Clause: in order of (`occurred_at`, refunds after the others, `service_id`, `transaction_id`),
    text compared by code point. That is how Python compares text.
    """
    return (
        transaction.occurred_at,
        transaction.kind == "refund",
        transaction.service_id,
        transaction.transaction_id,
    )


# --- What a transaction earns ---------------------------------------------------------------------


def signed(kind: str, amount: int) -> int:
    """Clause: the running sum of amounts, a refund's negative."""
    return -amount if kind == "refund" else amount


def counted_spend(net_spend: int, programme: Programme) -> int:
    """Clause: counted spend C = N held between 0 and the cap."""
    return max(0, min(net_spend, programme.cap_yen))


def worth(group_sum: int, programme: Programme) -> int:
    """Clause: a group of sum g is worth floor(g * rate), floor toward minus infinity."""
    return group_sum * programme.numerator // programme.denominator


def rounding_group(
    transaction: Transaction, service: Service, book: Book
) -> tuple[str, str, str, str]:
    """Name the group whose counted amounts are gathered with this transaction's.

    Clause: `cumulative`, the account; `month`, the account and the calendar month; `transaction`,
    the single original transaction. A refund belongs to its original's group.
    """
    original = transaction
    if transaction.kind == "refund":
        booked = in_the_ledger(
            transaction.service_id, transaction.original_transaction_id or "", book
        )
        assert booked is not None
        original = content_of(booked)
    within_the_account = ""
    if service.rounding == "month":
        within_the_account = f"{original.occurred_at.year:04}-{original.occurred_at.month:02}"
    if service.rounding == "transaction":
        within_the_account = original.transaction_id
    return (service.rounding, original.service_id, original.account_id, within_the_account)


def book_entry(
    book: Book,
    night: Night,
    transaction: Transaction,
    services: Sequence[Service],
    programme: Programme,
    booked_on: date,
) -> None:
    service = service_named(transaction.service_id, services)
    enrollment = enrollment_of_account(transaction.service_id, transaction.account_id, book)
    assert service is not None
    assert enrollment is not None

    persons = [entry for entry in book.ledger if entry.person_id == enrollment.person_id]
    net_before = sum(signed(entry.kind, entry.amount) for entry in persons)
    net_after = net_before + signed(transaction.kind, transaction.amount)

    # "an entry's `counted_amount` is what it adds to C, and may be negative"
    counted = counted_spend(net_after, programme) - counted_spend(net_before, programme)

    # "An entry's `points` is what it adds to its group's worth."
    group = rounding_group(transaction, service, book)
    group_before = 0
    for entry in persons:
        if (entry.service_id, entry.account_id) != (service.service_id, transaction.account_id):
            continue
        if rounding_group(content_of(entry), service, book) == group:
            group_before += entry.counted_amount
    points = worth(group_before + counted, programme) - worth(group_before, programme)

    entry = Entry(
        run_id=night.run_id,
        booked_on=booked_on,
        person_id=enrollment.person_id,
        entry_seq=len(persons) + 1,
        service_id=transaction.service_id,
        account_id=transaction.account_id,
        transaction_id=transaction.transaction_id,
        occurred_at=transaction.occurred_at,
        kind=transaction.kind,
        amount=transaction.amount,
        original_transaction_id=transaction.original_transaction_id,
        method=transaction.method,
        counted_amount=counted,
        points=points,
        net_spend_after=net_after,
        points_after=sum(entry.points for entry in persons) + points,
    )
    book.ledger.append(entry)
    night.ledger.append(entry)
    night.counts.booked += 1
    night.yen.booked += entry.amount
    if points > 0:
        night.points_awarded += points
    else:
        night.points_reversed -= points


# --- A night --------------------------------------------------------------------------------------


def add(sums: dict[str, int], key: str, number: int) -> None:
    sums[key] = sums.get(key, 0) + number


def run(
    book: Book,
    *,
    booked_on: date,
    transactions: Iterable[File] = (),
    enrollments: Iterable[File] = (),
    services: Sequence[Service],
    programme: Programme = MYNAPOINT_2020,
    terms_as_of: date | None = None,
) -> Night:
    """Book one night into `book`.

    Clause: A run takes its enrollments before its transactions.
    """
    terms = terms_in_force(programme, terms_as_of)
    book.runs += 1
    night = Night(run_id=f"{book.runs:06}")
    take_enrollments(book, night, enrollments, services, terms)
    take_transactions(book, night, transactions, services, programme, terms, booked_on)
    # As in the table: "Within a run's commit the rows are sorted by (`person_id`, `entry_seq`)."
    night.ledger.sort(key=lambda entry: (entry.person_id, entry.entry_seq))
    return night

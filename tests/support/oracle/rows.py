"""The rows of the three kinds of deliveries, and what is wrong with one that cannot be read."""

from dataclasses import dataclass
from datetime import date, datetime

from oracle.canonical import (
    amount_fault,
    id_fault,
    known_date,
    known_time,
    read_date,
    read_time,
)

MAX_AUTHORITY_CHARACTERS = 200

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
EVENT_REQUIRED = ("event_id", "kind", "authority")
EVENT_COLUMNS_OF_SOME_KINDS = (
    "person_id",
    "service_id",
    "account_id",
    "transaction_id",
    "other_id",
    "effective_at",
    "basis",
)
EVENT_OPTIONAL = (*EVENT_COLUMNS_OF_SOME_KINDS, "note")

ENROLLMENT_NAMED = ("person_id", "service_id", "account_id")
EVENT_COLUMNS_BY_KIND: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "account_replaced": (("service_id", "account_id", "other_id", "effective_at"), ()),
    "enrollment_stopped": ((*ENROLLMENT_NAMED, "effective_at"), ()),
    "enrollment_resumed": ((*ENROLLMENT_NAMED, "effective_at"), ()),
    "enrollment_voided": (ENROLLMENT_NAMED, ()),
    "enrollment_granted": ((*ENROLLMENT_NAMED, "effective_at"), ("basis",)),
    "persons_merged": (("person_id", "other_id"), ()),
    "transaction_voided": (("service_id", "transaction_id"), ()),
    "undone": (("other_id",), ()),
}
"""The columns that an event of each kind must have, and those that it may have besides."""


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


@dataclass(frozen=True)
class Event:
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


def event_faults(values: dict[str, str]) -> list[str]:
    """Clause: An event whose columns do not fit its kind is quarantined."""
    faults = []
    for column in EVENT_REQUIRED:
        if values[column] == "":
            faults.append(f"{column}:missing")
    if values["event_id"] != "":
        code = id_fault(values["event_id"])
        if code is not None:
            faults.append(f"event_id:{code}")
    if len(values["authority"]) > MAX_AUTHORITY_CHARACTERS:
        faults.append("authority:out_of_range")
    kind = values["kind"]
    if kind != "" and kind not in EVENT_COLUMNS_BY_KIND:
        faults.append("kind:unknown")
    for column in EVENT_COLUMNS_OF_SOME_KINDS:
        fault = None
        if kind in EVENT_COLUMNS_BY_KIND:
            required, optional = EVENT_COLUMNS_BY_KIND[kind]
            if values[column] == "" and column in required:
                fault = "missing"
            if values[column] != "" and column not in (*required, *optional):
                fault = "unexpected"
        if fault is None and values[column] != "":
            fault = event_value_fault(column, values[column])
        if fault is not None:
            faults.append(f"{column}:{fault}")
    return faults


def event_value_fault(column: str, text: str) -> str | None:
    if column == "effective_at":
        return "malformed" if read_time(text) is None else None
    if column == "basis":
        return "unknown" if text not in ("charge", "purchase") else None
    return id_fault(text)


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


def event_of(values: dict[str, str]) -> Event:
    return Event(
        event_id=values["event_id"],
        kind=values["kind"],
        authority=values["authority"],
        person_id=values["person_id"] or None,
        service_id=values["service_id"] or None,
        account_id=values["account_id"] or None,
        transaction_id=values["transaction_id"] or None,
        other_id=values["other_id"] or None,
        effective_at=known_time(values["effective_at"]) if values["effective_at"] != "" else None,
        basis=values["basis"] or None,
        note=values["note"] or None,
    )


def readable_yen(values: dict[str, str] | None) -> int:
    """Clause: wherever the amount can be read; of a ragged record it cannot."""
    if values is None or amount_fault(values["amount"]) is not None:
        return 0
    return int(values["amount"])

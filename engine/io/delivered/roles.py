"""The roles of delivered files: which columns each role has, and how they are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from engine.reading.canonical import (
    Delivery,
    Reading,
    read_answers,
    read_claims,
    read_enrollments,
    read_events,
    read_transactions,
)
from engine.reading.forms import (
    ANSWER_FORMS,
    CLAIM_FORMS,
    ENROLLMENT_FORMS,
    EVENT_FORMS,
    TRANSACTION_FORMS,
)
from engine.records import (
    ANSWER_OPTIONAL,
    ANSWER_REQUIRED,
    CLAIM_OPTIONAL,
    CLAIM_REQUIRED,
    ENROLLMENT_OPTIONAL,
    ENROLLMENT_REQUIRED,
    EVENT_OPTIONAL,
    EVENT_REQUIRED,
    TRANSACTION_OPTIONAL,
    TRANSACTION_REQUIRED,
    RoleName,
)


@dataclass(frozen=True, slots=True)
class Role:
    """What files hold: transactions, enrollments, events, answers to payouts, or a claim."""

    name: RoleName
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Delivery], Reading]


TRANSACTIONS: Final = Role(
    "transactions", TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL, read_transactions
)
ENROLLMENTS: Final = Role("enrollments", ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL, read_enrollments)
EVENTS: Final = Role("events", EVENT_REQUIRED, EVENT_OPTIONAL, read_events)
ANSWERS: Final = Role("answers", ANSWER_REQUIRED, ANSWER_OPTIONAL, read_answers)
CLAIMS: Final = Role("claims", CLAIM_REQUIRED, CLAIM_OPTIONAL, read_claims)
ROLES: Final[Mapping[RoleName, Role]] = {
    role.name: role for role in (TRANSACTIONS, ENROLLMENTS, EVENTS, ANSWERS, CLAIMS)
}
FORMS: Final = {
    "transactions": TRANSACTION_FORMS,
    "enrollments": ENROLLMENT_FORMS,
    "events": EVENT_FORMS,
    "answers": ANSWER_FORMS,
    "claims": CLAIM_FORMS,
}

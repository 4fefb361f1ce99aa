"""The reasons to reject an event, and those that may only mean that it came too early."""

from typing import Final

WITHDRAWN: Final = "withdrawn"
UNKNOWN_SERVICE: Final = "unknown_service"
VOIDED: Final = "voided"
NO_SUCH_ENROLLMENT: Final = "no_such_enrollment"
NO_SUCH_TRANSACTION: Final = "no_such_transaction"
ALREADY_UNDONE: Final = "already_undone"
NO_SUCH_EVENT: Final = "no_such_event"
SAME_PERSON: Final = "same_person"
PERSON_GONE: Final = "person_gone"
ACCOUNT_TAKEN: Final = "account_taken"
ALREADY_ENROLLED: Final = "already_enrolled"
BASIS_NOT_CHOSEN: Final = "basis_not_chosen"
NOT_STOPPED: Final = "not_stopped"
TOO_EARLY: Final = frozenset(
    {
        WITHDRAWN,
        UNKNOWN_SERVICE,
        NO_SUCH_ENROLLMENT,
        NO_SUCH_TRANSACTION,
        NO_SUCH_EVENT,
        NOT_STOPPED,
    }
)

"""What is wrong in the sample, on purpose.

Faults are dealt out by turn instead of by chance, so that a small sample has each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Damage = Mapping[str, str] | Literal["short", "long"]


#: What is odd about the enrollment of every so many-th person, in turn. The first ten are the
#: reasons to reject it; the rest is accepted, but delivered late, or again, or again and changed.
FLAWS: Final = (
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
    "late",
    "again",
    "changed",
)


ACCEPTED: Final = ("", "already_enrolled", "late", "again", "changed", "moved_on")


MENDED: Final = (
    "basis_not_chosen",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
)


#: What every refund is, in turn; `rest` takes what the `part` before it left,
#: `again` all of what the `full` before it took.
REFUNDS: Final = (
    *("full", "again", "part", "rest", "over", "full", "part", "unknown", "full", "part", "rest"),
    *("other_account", "full", "before", "part", "after_programme", "full", "of_refund", "part"),
)


DAMAGED_TRANSACTIONS: Final[tuple[Damage, ...]] = (
    {"transaction_id": ""},
    {"service_id": " "},
    {"account_id": "　"},
    {"occurred_at": ""},
    {"kind": ""},
    {"amount": ""},
    {"kind": "refund", "original_transaction_id": ""},
    {"original_transaction_id": "20200901000000000001"},
    {"transaction_id": "9" * 65},
    {"account_id": "a" * 65},
    {"account_id": "1000\x07"},
    {"occurred_at": "2020-09-31 10:00:00"},
    {"occurred_at": "05/10/2020 10:00"},
    {"occurred_at": "2020-10-05"},
    {"kind": "支払"},
    {"kind": "Purchase"},
    {"amount": "0"},
    {"amount": "-500"},
    {"amount": "100000001"},
    {"amount": '"1,000"'},
    {"amount": "980.0"},
    {"amount": "￥500"},
    {"account_id": "", "kind": "取引失敗", "amount": "-"},
    "short",
    "long",
)


DAMAGED_ENROLLMENTS: Final[tuple[Damage, ...]] = (
    {"person_id": ""},
    {"card_applied_on": "2020-02-30", "applied_at": "2020-09-01"},
    {"account_id": "8" * 65},
    {"basis": "both"},
    "short",
)

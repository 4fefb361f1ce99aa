"""Two small nights with late facts and corrections, a few of each kind."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mynapoint

SERVICES = """
[[services]]
service_id = "coin"
name = "purchases, one running sum"
basis = "purchase"

[[services]]
service_id = "note"
name = "purchases, rounded at each transaction"
basis = "purchase"
rounding = "transaction"
"""
ENROLLMENTS = "person_id,service_id,account_id,applied_at,card_applied_on\n"
TRANSACTIONS = (
    "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
)
EVENTS = (
    "event_id,kind,authority,person_id,service_id,account_id,transaction_id,other_id,effective_at\n"
)
FIRST = {
    "enrollments": ENROLLMENTS + "P1,coin,A1,2020-09-01 09:00:00,2020-06-01\n"
    "P2,note,A2,2020-09-01 09:00:00,2020-06-01\n"
    # Without a card in time: the extension of a deadline lets it in, and none comes.
    "P4,coin,A4,2020-09-01 09:00:00,2021-06-01\n",
    "transactions": TRANSACTIONS + "T1,coin,A1,2020-10-01 10:00:00,purchase,1000,\n"
    "L1,coin,A1,2020-10-10 10:00:00,purchase,4000,\n"
    "R1,coin,A1,2020-10-11 10:00:00,refund,400,T9\n"
    "T2,note,A2,2020-10-01 10:00:00,purchase,10000,\n"
    "R2,note,A2,2020-10-01 11:00:00,refund,5000,T2\n"
    "T3,note,A2,2020-10-02 10:00:00,purchase,20000,\n"
    "W1,coin,A3,2020-10-05 10:00:00,purchase,3000,\n"
    "W4,coin,A4,2020-10-06 10:00:00,purchase,2000,\n",
}
SECOND = {
    "enrollments": ENROLLMENTS + "P3,coin,A3,2020-09-01 09:00:00,2020-06-01\n",
    "transactions": TRANSACTIONS + "T9,coin,A1,2020-10-06 10:00:00,purchase,2000,\n",
    "events": EVENTS + "V1,transaction_voided,the service's letter,,note,,R2,,\n"
    "V2,transaction_voided,the service's letter,,coin,,L1,,\n"
    "S9,enrollment_stopped,the city's list,P9,coin,A9,,,2020-10-01 00:00:00\n",
}
DAYS = (dt.date(2020, 10, 31), dt.date(2020, 11, 1))


@dataclass(frozen=True)
class CorrectedBook:
    """The book after both nights, and what was delivered.

    Run 2 voids L1 and the refund R2; the room that R2 had given is taken from T3 by a recount. It
    books T9, the refund R1 that waited for it, and W1, whose application came a night late. W4, the
    application of P4 and the stop of P9 go on waiting.
    """

    book: Path
    deliveries: Path

    @property
    def given(self) -> dict[str, Any]:
        """All deliveries, by role."""
        return {
            role: [str(self.deliveries / "night-*" / f"{role}.csv")]
            for role in ("transactions", "enrollments", "events")
        }


def corrected_book(folder: Path, nights: int = 2) -> CorrectedBook:
    """Books the nights, or the first of them."""
    made = CorrectedBook(folder / "book", folder / "deliveries")
    services = folder / "services.toml"
    services.parent.mkdir(parents=True, exist_ok=True)
    services.write_text(SERVICES, "utf-8")
    for number, night in list(enumerate((FIRST, SECOND), 1))[:nights]:
        paths: dict[str, Any] = {}
        for role, text in night.items():
            path = made.deliveries / f"night-{number}" / f"{role}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            paths[role] = [path]
        mynapoint.run(made.book, booked_on=DAYS[number - 1], services=services, **paths)
    return made

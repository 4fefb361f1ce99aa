"""Histories that random worlds seldom reach: the engine books of each what the oracle books."""

import datetime as dt
from pathlib import Path

import oracle
import pytest
import worlds
from against_the_oracle import DeliveredAs, differences_of_night, run_engine

SERVICES = '[[services]]\nservice_id = "coin"\nname = "a coin"\nbasis = "purchase"\n'
PROGRAMME = """\
programme_id = "short"
name = "what is 40 days old is passed over"
reconsider_days = 40
[rate]
numerator = 25
denominator = 100
source = "invented"
[cap]
spending_yen = 20000
source = "invented"
[[terms]]
announced_on = 2020-07-01
window_first = 2020-09-01
window_last = 2021-03-31
applications_last = 2021-03-31
card_applications_last = 2021-03-31
source = "invented"
"""
HEADERS = {
    "events": (
        "event_id,kind,authority,person_id,service_id,account_id,transaction_id,other_id,"
        "effective_at\n"
    ),
    "enrollments": "person_id,service_id,account_id,applied_at,card_applied_on\n",
    "transactions": (
        "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
    ),
}
APPLIED = "P,coin,A,2020-08-01 00:00:00,2020-07-01\n"
BOUGHT = "T,coin,A,2020-09-05 00:00:00,purchase,1000,\n"
VOIDED = "V,enrollment_voided,desk,P,coin,A,,\n"


def history(*deliveries: dict[str, str], programme: str | None = None) -> worlds.World:
    """One night a delivery: the rows of its files by role."""
    nights = []
    for number, rows in enumerate(deliveries):
        files = {
            role: ((f"{role}.csv", header + padded(rows[role], header)),) if role in rows else ()
            for role, header in HEADERS.items()
        }
        nights.append(
            worlds.Night(
                booked_on=dt.date(2020, 10, 10) + 7 * number * worlds.DAY,
                terms_as_of=None,
                services=SERVICES if number == 0 else None,
                programme=programme if number == 0 else None,
                event_rows=(),
                enrollment_rows=(),
                transaction_rows=(),
                **files,
            )
        )
    return worlds.World(0, tuple(nights))


def padded(rows: str, header: str) -> str:
    """Rows with as many fields as the header."""
    return "".join(
        line + "," * (header.count(",") - line.count(",")) + "\n" for line in rows.splitlines()
    )


def agreed(world: worlds.World, folder: Path) -> list[oracle.Night]:
    """What both book of each night."""
    nights = []
    for number, (night, _) in enumerate(worlds.nights_of_the_oracle(world)):
        delivery = DeliveredAs(world, number, folder)
        run_engine(folder / "book", delivery, threads=1)
        assert [str(d) for d in differences_of_night(folder / "book", delivery, night)] == []
        nights.append(night)
    return nights


def booked(night: oracle.Night) -> list[tuple[str, str, int]]:
    return [(entry.kind, entry.person_id, entry.amount) for entry in night.ledger]


def test_an_application_that_was_voided_waits_and_is_the_others_once_the_void_is_undone(
    tmp_path: Path,
) -> None:
    """It is not in force as it was: a merge came meanwhile, and reads its ID otherwise."""
    world = history(
        {"enrollments": APPLIED, "transactions": BOUGHT},
        {"events": VOIDED},
        {"events": "M,persons_merged,desk,P,,,,Q\n"},
        {"events": "U,undone,desk,,,,,V\n"},
    )
    nights = agreed(world, tmp_path)
    assert booked(nights[1]) == [("purchase_void", "P", 1000)]
    assert booked(nights[3]) == [("purchase", "Q", 1000)]


LATER = "P,coin,A,2020-08-02 00:00:00,2020-07-01\n"


@pytest.mark.parametrize("together", [False, True])
def test_what_was_delivered_after_an_application_was_voided_waits_in_its_place(
    tmp_path: Path, *, together: bool
) -> None:
    deliveries = [{"events": VOIDED}, {"enrollments": LATER}]
    if together:
        deliveries = [{"events": VOIDED, "enrollments": LATER}]
    world = history(
        {"enrollments": APPLIED, "transactions": BOUGHT},
        *deliveries,
        {"events": "M,persons_merged,desk,P,,,,Q\n"},
        {"events": "U,undone,desk,,,,,V\n"},
        # The later one is accepted by now, and the same row changes nothing.
        {"enrollments": LATER},
    )
    nights = agreed(world, tmp_path)
    assert booked(nights[-2]) == [("purchase", "Q", 1000)]
    assert nights[-1].enrollment_counts.unchanged == 1


def test_where_an_accepted_row_comes_again_nothing_else_waits_under_its_key(
    tmp_path: Path,
) -> None:
    world = history(
        {"enrollments": APPLIED, "transactions": BOUGHT},
        {"events": VOIDED},
        # Accepted, it would let nothing count that was bought before.
        {"enrollments": "P,coin,A,2020-09-20 00:00:00,2020-07-01\n"},
        {"events": "U1,undone,desk,,,,,V\n"},
        {"enrollments": APPLIED},
        {"events": "U2,undone,desk,,,,,U1\n"},
        {"events": "M,persons_merged,desk,P,,,,Q\nU3,undone,desk,,,,,U2\n"},
    )
    assert booked(agreed(world, tmp_path)[-1]) == [("purchase", "Q", 1000)]


def test_an_event_that_waits_is_withdrawn_also_where_its_id_comes_with_two_contents(
    tmp_path: Path,
) -> None:
    void = "E,transaction_voided,{authority},,coin,,T,\n"
    world = history(
        {"events": void.format(authority="desk")},
        {
            "events": "".join(void.format(authority=who) for who in ("desk", "city"))
            + "U,undone,desk,,,,,E\n"
        },
        {"enrollments": APPLIED, "transactions": BOUGHT},
    )
    nights = agreed(world, tmp_path)
    assert [event.event_id for event in nights[1].accepted_events] == ["U"]
    assert booked(nights[2]) == [("purchase", "P", 1000)]


def test_a_key_that_was_booked_once_is_never_too_old_whatever_it_says_by_now(
    tmp_path: Path,
) -> None:
    world = history(
        {"enrollments": APPLIED, "transactions": BOUGHT},
        {
            "events": "E,transaction_voided,desk,,coin,,T,\n",
            "transactions": BOUGHT.replace("1000", "3000"),
        },
        {"events": "U,undone,desk,,,,,E\n"},
        programme=PROGRAMME,
    )
    assert booked(agreed(world, tmp_path)[2]) == [("purchase", "P", 3000)]


def test_what_waits_of_a_number_that_replaced_an_account_is_booked_with_its_next_enrollment(
    tmp_path: Path,
) -> None:
    """The run that accepts the application has no events, and they are what names the number."""
    world = history(
        {"enrollments": APPLIED},
        {"events": "R,account_replaced,desk,,coin,A,,B,2020-09-01 00:00:00\n"},
        {"events": VOIDED, "transactions": BOUGHT.replace("coin,A", "coin,B")},
        {"enrollments": APPLIED.replace("P,", "Q,")},
    )
    assert booked(agreed(world, tmp_path)[3]) == [("purchase", "Q", 1000)]

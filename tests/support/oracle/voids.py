"""Voids: which booked entries a run's events take out, and by which event."""

from collections.abc import Sequence

from oracle.book import Book, Booking
from oracle.in_force import InForce
from oracle.ledger import Bookkeeper, live_bookings
from oracle.rows import Event


def void_what_may_not_stay(
    book: Book, bookkeeper: Bookkeeper, accepted: Sequence[tuple[Event, InForce]]
) -> None:
    """Void what the run's events took away.

    Clause: After a run has taken its events, every booked entry that is not voided yet is voided,
    if […]. The voids […] name the event: the first of this run's, in the order taken, from which on
    to the last of them the entry had to go. Per person they are booked in the reverse of the
    booking order of what they void. The voided rows wait from then on.
    """
    live = live_bookings(book)
    after_each_event = [
        (event, bookings_that_must_go(live, in_force)) for event, in_force in accepted
    ]
    if not after_each_event:
        return
    _, must_go = after_each_event[-1]
    for booking in reversed(must_go):
        cause: Event | None = None
        for event, had_to_go in reversed(after_each_event):
            if booking not in had_to_go:
                break
            cause = event
        assert cause is not None
        bookkeeper.void(booking, cause)
        book.waiting_transactions[booking.key] = booking.transaction


def bookings_that_must_go(live: Sequence[Booking], in_force: InForce) -> list[Booking]:
    """Walk in booking order, so that originals and earlier refunds are judged first."""
    must_go: list[Booking] = []
    for booking in live:
        if may_not_stay(booking, in_force) or goes_with_another(booking, must_go):
            must_go.append(booking)
    return must_go


def may_not_stay(booking: Booking, in_force: InForce) -> bool:
    transaction, enrollment = booking.transaction, booking.enrollment

    # "its enrollment is no longer in force or is another person's by now"
    if enrollment not in in_force.enrollments:
        return True
    if in_force.person_of(enrollment) != booking.entry.person_id:
        return True

    # "or its account no longer goes on with it"
    if enrollment is not in_force.enrollment_at(
        transaction.service_id, transaction.account_id, transaction.occurred_at
    ):
        return True

    # Or when "(a charge or purchase) it lies inside a stop"
    if transaction.kind != "refund" and in_force.is_stopped(enrollment, transaction.occurred_at):
        return True

    # "or it is voided by name"
    return in_force.names_transaction(transaction.service_id, transaction.transaction_id)


def goes_with_another(booking: Booking, must_go: Sequence[Booking]) -> bool:
    if booking.transaction.kind != "refund":
        return False

    # "a refund also with its original"
    if any(other.key == booking.original_key for other in must_go):
        return True

    # "one that took less than its `amount` also where a refund of the same original booked before
    # it is voided"
    took_less = -booking.entry.net_amount < booking.transaction.amount
    return took_less and any(
        other.transaction.kind == "refund" and other.original_key == booking.original_key
        for other in must_go
    )

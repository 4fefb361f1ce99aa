"""What a transaction earns: the ledger's entries, voids and recounts, and the sums after each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TypeAlias

from oracle.book import AcceptedEnrollment, Book, Booking, Entry, Night
from oracle.in_force import InForce
from oracle.programme import Programme, Service, service_named
from oracle.rows import Event, Transaction

RoundingGroup: TypeAlias = tuple[str, str, str]
"""The service, the enrollment's own account, and what within the account."""


@dataclass(frozen=True)
class Counted:
    """What a booked charge or purchase counts towards the cap."""

    booking: Booking
    amount: int
    group: RoundingGroup


def live_bookings(book: Book) -> list[Booking]:
    return [booking for booking in book.bookings if not booking.voided]


def taken_by_refunds(original: Booking, refunds: Sequence[Booking]) -> int:
    return sum(
        -refund.entry.net_amount
        for refund in refunds
        if refund.transaction.kind == "refund" and refund.original_key == original.key
    )


def attribution(
    book: Book, person_id: str, services: Sequence[Service], programme: Programme
) -> list[Counted]:
    """Say what each of the person's charges and purchases counts, in booking order.

    Clause: each with what is left of it (its amount, less its refunds; 0 when it is voided). Let S
    be the running sum of what is left, over all services; a transaction counts
    `min(S, cap) - min(S before it, cap)`.
    """
    live = [booking for booking in live_bookings(book) if booking.entry.person_id == person_id]
    counted = []
    running_sum = 0
    for booking in live:
        if booking.transaction.kind == "refund":
            continue
        before = running_sum
        running_sum += booking.transaction.amount - taken_by_refunds(booking, live)
        amount = min(running_sum, programme.cap_yen) - min(before, programme.cap_yen)
        counted.append(Counted(booking, amount, rounding_group(booking, services)))
    return counted


def rounding_group(booking: Booking, services: Sequence[Service]) -> RoundingGroup:
    """Name the group of a charge or a purchase.

    Clause: `cumulative`, the person's account; `month`, the account and the calendar month of
    `occurred_at`; `transaction`, the single transaction. An account and what replaced it are one
    account.
    """
    service = service_named(booking.transaction.service_id, services)
    assert service is not None
    within_the_account = ""
    if service.rounding == "month":
        moment = booking.transaction.occurred_at
        within_the_account = f"{moment.year:04}-{moment.month:02}"
    if service.rounding == "transaction":
        within_the_account = booking.transaction.transaction_id
    return (service.service_id, booking.enrollment.account_id, within_the_account)


def worth(group_sum: int, programme: Programme) -> int:
    """Clause: a group that counts g is worth floor(g × 25 / 100)."""
    return group_sum * programme.numerator // programme.denominator


def counted_in(group: RoundingGroup, attributed: Sequence[Counted]) -> int:
    return sum(counted.amount for counted in attributed if counted.group == group)


class Bookkeeper:
    """Writes the entries of one run."""

    def __init__(
        self,
        book: Book,
        night: Night,
        booked_on: date,
        services: Sequence[Service],
        programme: Programme,
    ) -> None:
        self.book = book
        self.night = night
        self.booked_on = booked_on
        self.services = services
        self.programme = programme

    def _attribution(self, person_id: str) -> list[Counted]:
        return attribution(self.book, person_id, self.services, self.programme)

    def book_transaction(
        self,
        transaction: Transaction,
        enrollment: AcceptedEnrollment,
        original: Booking | None,
        in_force: InForce,
    ) -> Booking:
        """Book a charge, a purchase or a refund."""
        person_id = in_force.person_of(enrollment)
        net_amount = transaction.amount
        if original is not None:
            # It takes off "`min(its amount, what earlier refunds left of its original)`".
            left = original.transaction.amount
            left -= taken_by_refunds(original, live_bookings(self.book))
            net_amount = -min(transaction.amount, left)
        before = self._attribution(person_id)
        entry = self._entry(
            person_id=person_id,
            transaction=transaction,
            enrolled_account_id=(
                enrollment.account_id if transaction.account_id != enrollment.account_id else None
            ),
            net_amount=net_amount,
        )
        booking = Booking(transaction, enrollment, entry)
        self.book.bookings.append(booking)
        after = self._attribution(person_id)
        own_group = rounding_group(original or booking, self.services)
        booking.entry = self._write(entry, own_group, before, after)
        self.night.counts.booked += 1
        self.night.yen.booked += transaction.amount
        return booking

    def void(self, booking: Booking, event: Event) -> None:
        """Take an entry out: repeat it with `net_amount` negated, and name the event."""
        original = booking
        if booking.transaction.kind == "refund":
            (original,) = (
                other for other in live_bookings(self.book) if other.key == booking.original_key
            )
        voided = booking.entry
        before = self._attribution(voided.person_id)
        booking.voided = True
        after = self._attribution(voided.person_id)
        entry = self._entry(
            person_id=voided.person_id,
            transaction=booking.transaction,
            enrolled_account_id=voided.enrolled_account_id,
            net_amount=-voided.net_amount,
            kind=f"{voided.kind}_void",
            event_id=event.event_id,
        )
        own_group = rounding_group(original, self.services)
        self._write(entry, own_group, before, after)
        self.night.voided += 1

    def _entry(
        self,
        *,
        person_id: str,
        transaction: Transaction,
        enrolled_account_id: str | None,
        net_amount: int,
        kind: str | None = None,
        event_id: str | None = None,
    ) -> Entry:
        """Make an entry whose number and sums are still to be said."""
        return Entry(
            run_id=self.night.run_id,
            booked_on=self.booked_on,
            person_id=person_id,
            entry_seq=0,
            service_id=transaction.service_id,
            account_id=transaction.account_id,
            transaction_id=transaction.transaction_id,
            occurred_at=transaction.occurred_at,
            kind=kind or transaction.kind,
            amount=transaction.amount,
            original_transaction_id=transaction.original_transaction_id,
            method=transaction.method,
            enrolled_account_id=enrolled_account_id,
            net_amount=net_amount,
            counted_amount=0,
            points=0,
            net_spend_after=0,
            points_after=0,
            event_id=event_id,
        )

    def _write(
        self,
        entry: Entry,
        own_group: RoundingGroup,
        before: Sequence[Counted],
        after: Sequence[Counted],
    ) -> Entry:
        """Append the entry and the recounts of the other groups that it changes.

        Clause: one further entry of kind `recount` follows it at once for each such group (those of
        a `refund_void`, which takes room away, stand ahead of it […]), in booking order of the
        group's first transaction whose count changed.
        """
        counted_before = {counted.booking: counted.amount for counted in before}
        counted_after = {counted.booking: counted.amount for counted in after}
        recounts: list[tuple[Entry, RoundingGroup]] = []
        for counted in after:
            groups = [own_group, *(group for _, group in recounts)]
            changed = counted_before.get(counted.booking) != counted_after[counted.booking]
            if changed and counted.group not in groups:
                recounts.append((self._recount(counted.booking, entry.event_id), counted.group))
        self.night.recounted += len(recounts)

        entries = [(entry, own_group), *recounts]
        if entry.kind == "refund_void":
            entries = [*recounts, (entry, own_group)]
        for written, group in entries:
            group_before, group_after = counted_in(group, before), counted_in(group, after)
            appended = self._append(
                written,
                group_after - group_before,
                worth(group_after, self.programme) - worth(group_before, self.programme),
            )
            if written is entry:
                own_entry = appended
        return own_entry

    def _recount(self, booking: Booking, event_id: str | None) -> Entry:
        recounted = booking.entry
        return Entry(
            run_id=self.night.run_id,
            booked_on=self.booked_on,
            person_id=recounted.person_id,
            entry_seq=0,
            service_id=recounted.service_id,
            account_id=recounted.account_id,
            transaction_id=recounted.transaction_id,
            occurred_at=recounted.occurred_at,
            kind="recount",
            amount=0,
            original_transaction_id=None,
            method=None,
            enrolled_account_id=recounted.enrolled_account_id,
            net_amount=0,
            counted_amount=0,
            points=0,
            net_spend_after=0,
            points_after=0,
            event_id=event_id,
        )

    def _append(self, entry: Entry, counted_amount: int, points: int) -> Entry:
        """Number the entry and say the person's sums after it."""
        persons = [e for e in self.book.ledger if e.person_id == entry.person_id]
        appended = Entry(
            **vars(entry)
            | {
                "entry_seq": len(persons) + 1,
                "counted_amount": counted_amount,
                "points": points,
                "net_spend_after": sum(e.net_amount for e in persons) + entry.net_amount,
                "points_after": sum(e.points for e in persons) + points,
            }
        )
        self.book.ledger.append(appended)
        self.night.ledger.append(appended)
        if points > 0:
            self.night.points_awarded += points
        else:
            self.night.points_reversed -= points
        return appended

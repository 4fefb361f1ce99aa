"""Transactions: what is read, what is a duplicate or in conflict, what earns and what waits."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from oracle.book import (
    AcceptedEnrollment,
    Book,
    Booking,
    Declined,
    Night,
    Quarantined,
    TransactionKey,
    add,
)
from oracle.canonical import Record
from oracle.in_force import InForce
from oracle.ledger import Bookkeeper, live_bookings, taken_by_refunds
from oracle.programme import Programme, Service, Terms, service_named
from oracle.rows import Transaction, readable_yen, transaction_faults, transaction_of


def take_transactions(
    book: Book,
    night: Night,
    records: Sequence[Record],
    services: Sequence[Service],
    programme: Programme,
    terms: Terms,
    booked_on: date,
    bookkeeper: Bookkeeper,
) -> None:
    """Book, decline or quarantine every delivered transaction, and try what waits."""
    in_force = InForce(book.events, book.enrollments)
    readable = read_transactions(night, records)
    delivered, keys_in_conflict = settle_keys(book, night, readable, in_force)
    keys_delivered = [key_of(transaction) for transaction in delivered]
    waiting = [
        transaction
        for key, transaction in book.waiting_transactions.items()
        if key not in keys_delivered
        and key not in keys_in_conflict
        and not is_passed_over(transaction, book, programme, booked_on)
    ]
    for transaction in delivered:
        book.waiting_transactions[key_of(transaction)] = transaction

    judge = Judge(book, services, terms, in_force)
    candidates = sorted([*delivered, *waiting], key=booking_order)
    # Originals first: a refund may stand before its original in the order of booking, and is then
    # declined for that, not for want of an original.
    for transaction in candidates:
        if transaction.kind != "refund":
            judge.take_original(transaction)
    for transaction in candidates:
        if transaction.kind == "refund":
            judge.take_refund(transaction)

    for transaction in candidates:
        is_delivered = key_of(transaction) in keys_delivered
        reason = judge.reasons[key_of(transaction)]
        if reason is not None:
            if is_delivered:
                decline(night, transaction, reason)
            continue
        enrollment = in_force.enrollment_at(
            transaction.service_id, transaction.account_id, transaction.occurred_at
        )
        assert enrollment is not None
        original = None
        if transaction.kind == "refund":
            original = booked_under(original_key_of(transaction), book)
            assert original is not None
        bookkeeper.book_transaction(transaction, enrollment, original, in_force)
        del book.waiting_transactions[key_of(transaction)]
        night.counts.reconsidered += not is_delivered
        night.yen.reconsidered += 0 if is_delivered else transaction.amount


def key_of(transaction: Transaction) -> TransactionKey:
    return (transaction.service_id, transaction.transaction_id)


def original_key_of(refund: Transaction) -> TransactionKey:
    return (refund.service_id, refund.original_transaction_id or "")


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


def read_transactions(night: Night, records: Sequence[Record]) -> list[tuple[Record, Transaction]]:
    readable = []
    for record in records:
        night.counts.read += 1
        night.yen.read += readable_yen(record.values)
        if record.values is None:
            quarantine(night, record, ["row:malformed"])
            continue
        faults = transaction_faults(record.values)
        if faults:
            quarantine(night, record, faults)
        else:
            readable.append((record, transaction_of(record.values)))
    return readable


def quarantine(night: Night, record: Record, faults: list[str]) -> None:
    night.counts.quarantined += 1
    night.yen.quarantined += readable_yen(record.values)
    night.quarantine.append(
        Quarantined(record.file, record.row, tuple(sorted(faults)), record.fields)
    )


def decline(night: Night, transaction: Transaction, reason: str) -> None:
    night.declined.append(Declined(**vars(transaction), reason=reason))
    add(night.counts.declined, reason, 1)
    add(night.yen.declined, reason, transaction.amount)


# --- Keys -----------------------------------------------------------------------------------------


def settle_keys(
    book: Book,
    night: Night,
    readable: Sequence[tuple[Record, Transaction]],
    in_force: InForce,
) -> tuple[list[Transaction], set[TransactionKey]]:
    """Give one transaction of each key that is neither booked nor in conflict, and the conflicts.

    Clause: Same content (all canonical columns, as read; […]) again: declined as `duplicate`,
    whether the first stands in this run's files or in the ledger. Other content under the same key:
    `transaction_id:conflict`; if the ledger has the key (and its entry is not voided, after this
    run's events […]), what differs from the ledger's is the conflict; if not, every row of that key
    in this run's files is, as soon as two contents are among them.
    """
    readable = [
        (record, as_booked_once(transaction, book, in_force)) for record, transaction in readable
    ]
    contents: dict[TransactionKey, set[Transaction]] = {}
    for _, transaction in readable:
        contents.setdefault(key_of(transaction), set()).add(transaction)
    fresh: list[Transaction] = []
    keys_in_conflict: set[TransactionKey] = set()
    for record, transaction in readable:
        key = key_of(transaction)
        booked = booked_under(key, book)
        if booked is not None:
            if says_the_same(transaction, booked.transaction, in_force):
                decline(night, transaction, "duplicate")
            else:
                quarantine(night, record, ["transaction_id:conflict"])
        elif len(contents[key]) > 1:
            quarantine(night, record, ["transaction_id:conflict"])
            keys_in_conflict.add(key)
        elif transaction in fresh:
            decline(night, transaction, "duplicate")
        else:
            fresh.append(transaction)
    return fresh, keys_in_conflict


def booked_under(key: TransactionKey, book: Book) -> Booking | None:
    for booking in live_bookings(book):
        if booking.key == key:
            return booking
    return None


def says_the_same(transaction: Transaction, booked: Transaction, in_force: InForce) -> bool:
    """Clause: against what is booked, accounts that replacements join count as the same."""
    return replace(transaction, account_id=booked.account_id) == booked and in_force.are_joined(
        transaction.service_id, transaction.account_id, booked.account_id
    )


def as_booked_once(transaction: Transaction, book: Book, in_force: InForce) -> Transaction:
    """Give the waiting content that the row delivers again under another account, or the row.

    Clause: against what was booked once and waits, too, where both accounts are one enrollment's by
    now or nobody's: then it counts as the waiting one, delivered again.
    """
    waiting = book.waiting_transactions.get(key_of(transaction))
    if waiting is None or waiting not in [booking.transaction for booking in book.bookings]:
        return transaction
    owners = [
        in_force.enrollment_of_account(transaction.service_id, account_id)
        for account_id in (transaction.account_id, waiting.account_id)
    ]
    if owners[0] is owners[1] and says_the_same(transaction, waiting, in_force):
        return waiting
    return transaction


def is_passed_over(
    transaction: Transaction, book: Book, programme: Programme, booked_on: date
) -> bool:
    """Clause: whose day is N days or more before its `booked_on`, but for those booked once."""
    if programme.reconsider_days is None:
        return False
    if any(booking.key == key_of(transaction) for booking in book.bookings):
        return False
    return (booked_on - transaction.occurred_at.date()).days >= programme.reconsider_days


# --- Reasons to decline ---------------------------------------------------------------------------


class Judge:
    """Gives each transaction of a run the first reason to decline it, or None."""

    def __init__(
        self, book: Book, services: Sequence[Service], terms: Terms, in_force: InForce
    ) -> None:
        self.book = book
        self.services = services
        self.terms = terms
        self.in_force = in_force
        self.reasons: dict[TransactionKey, str | None] = {}
        self._originals: dict[TransactionKey, Transaction] = {}
        self._taken: dict[TransactionKey, int] = {}
        """What this run's refunds take off their originals."""

    def take_original(self, transaction: Transaction) -> None:
        reason = self._reason_nobody_can_earn(transaction) or self._reason_not_to_award(transaction)
        self.reasons[key_of(transaction)] = reason
        if reason is None:
            self._originals[key_of(transaction)] = transaction

    def take_refund(self, refund: Transaction) -> None:
        reason = self._reason_nobody_can_earn(refund) or self._reason_not_to_refund(refund)
        self.reasons[key_of(refund)] = reason
        if reason is None:
            key = original_key_of(refund)
            taken = min(refund.amount, self._left_of_original(key))
            self._taken[key] = self._taken.get(key, 0) + taken

    def _enrollment(self, transaction: Transaction) -> AcceptedEnrollment | None:
        return self.in_force.enrollment_at(
            transaction.service_id, transaction.account_id, transaction.occurred_at
        )

    def _reason_nobody_can_earn(self, transaction: Transaction) -> str | None:
        # "a `transaction_voided` names it, and has not been undone"
        if self.in_force.names_transaction(transaction.service_id, transaction.transaction_id):
            return "voided"

        # "the registry has no such service"
        if service_named(transaction.service_id, self.services) is None:
            return "unknown_service"

        # "no accepted enrollment has this service and account"
        if self._enrollment(transaction) is None:
            return "not_enrolled"

        return None

    def _reason_not_to_award(self, transaction: Transaction) -> str | None:
        """The reasons of a charge or a purchase, whose service and enrollment are known."""
        service = service_named(transaction.service_id, self.services)
        enrollment = self._enrollment(transaction)
        assert service is not None
        assert enrollment is not None
        day = transaction.occurred_at.date()
        application_day = enrollment.applied_at.date()

        # "the day is outside the terms' window, whose two days belong to it"
        if day < self.terms.window_first:
            return "before_window"
        if day > self.terms.window_last:
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

        # "an event stopped the enrollment for this instant"
        if self.in_force.is_stopped(enrollment, transaction.occurred_at):
            return "enrollment_stopped"

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

    def _reason_not_to_refund(self, refund: Transaction) -> str | None:
        """Give the first refund reason that holds.

        Clause: The four refund reasons take the place of those below them: a refund shares its
        original's eligibility, whenever it happens.
        """
        key = original_key_of(refund)
        booked = booked_under(key, self.book)

        # "its original is not in the ledger, this run's entries included, or is itself a refund"
        if booked is not None and booked.transaction.kind != "refund":
            original, its_enrollment = booked.transaction, booked.enrollment
        elif key in self._originals:
            original = self._originals[key]
            enrollment = self._enrollment(original)
            assert enrollment is not None
            its_enrollment = enrollment
        else:
            return "original_not_booked"

        # "the original was booked for another enrollment"
        if its_enrollment is not self._enrollment(refund):
            return "refund_account_differs"

        # "it is earlier than its original"
        if refund.occurred_at < original.occurred_at:
            return "refund_before_original"

        # "the refunds accepted before it, in booking order, left nothing of the original"
        if self._left_of_original(key) == 0:
            return "refund_exceeds_original"

        return None

    def _left_of_original(self, key: TransactionKey) -> int:
        left = -self._taken.get(key, 0)
        booked = booked_under(key, self.book)
        if booked is not None:
            left += booked.transaction.amount
            left -= taken_by_refunds(booked, live_bookings(self.book))
        else:
            left += self._originals[key].amount
        return left

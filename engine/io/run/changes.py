"""What may not change in a book: days that go backwards, and terms that would restate it."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final

from engine.booking.state import Past
from engine.errors import InputError
from engine.io.book.folder import Book, run_id
from engine.io.book.kept import kept_programme, kept_services
from engine.io.run.order import Order
from engine.terms.programme import Programme
from engine.terms.services import Service, Services

JAPAN: Final = dt.timezone(dt.timedelta(hours=9))


def check_days(book: Book, committed: int, order: Order) -> None:
    """Refuses a run that is booked before the last one, or on a day to come.

    Raises:
        InputError: naming both days.
    """
    today = dt.datetime.now(JAPAN).date()
    if order.booked_on > today and not order.allow_postdating:
        raise InputError(
            f"--booked-on: {order.booked_on} is in the future; today is {today} in Japan",
            hint="check the day and the machine's clock, or say --allow-postdating",
            code="booked_on_in_future",
        )
    if committed == 0 or order.allow_backdating:
        return
    last = book.record(committed).booked_on
    if order.booked_on < last:
        raise InputError(
            f"--booked-on: {order.booked_on} is earlier than the last run's day, {last}",
            hint="book in the order of days, or say --allow-backdating",
            code="booked_on_too_early",
        )


def check_number(number: int, order: Order) -> None:
    """Refuses a run that has another number than it is to have.

    Raises:
        InputError: naming both.
    """
    if order.expected_run is not None and number != order.expected_run:
        raise InputError(
            f"--expect-run: this would be run {run_id(number)}, not {run_id(order.expected_run)}",
            hint="look at mynapoint runs BOOK: a night is missing, or one was booked that you do "
            "not know of",
            code="unexpected_run",
        )


def check_changes(
    book: Book, committed: int, past: Past, programme: Programme, services: Services
) -> None:
    """Refuses terms that would restate what is booked.

    Raises:
        InputError: naming the key, the old and the new value.
    """
    if committed == 0 or not past.balances.entries.any():
        return
    before, kept = kept_programme(book, committed), kept_services(book, committed)
    changes = [
        ("programme: programme_id", before.programme_id, programme.programme_id),
        ("programme: rate", _rate(before), _rate(programme)),
        ("programme: cap.spending_yen", before.cap_yen, programme.cap_yen),
        *_changes_of_services(kept, services, past),
    ]
    for key, old, new in changes:
        if old != new:
            raise InputError(
                f"{key}: may not change from {old} to {new} in a book with entries",
                hint="book by the kept one; mynapoint simulate says what another would have given",
                code="terms_may_not_change",
            )


def _rate(programme: Programme) -> str:
    return f"{programme.rate_numerator}/{programme.rate_denominator}"


def _changes_of_services(
    kept: Services, services: Services, past: Past
) -> Iterator[tuple[str, object, object]]:
    accounts = past.registry.accounts["service_id"]
    in_use = set(accounts.unique().cast(str).to_list()) if accounts.len() else set()
    for service in kept.services:
        now = services.by_id.get(service.service_id)
        where = f"services: {service.service_id}"
        if now is not None:
            yield from _changes_of_service(where, service, now)
        elif service.service_id in in_use:
            yield where, "a service with accepted enrollments", "none"


def _changes_of_service(
    where: str, before: Service, now: Service
) -> Iterable[tuple[str, object, object]]:
    yield f"{where}: rounding", before.rounding, now.rounding
    yield f"{where}: basis", before.basis, now.basis

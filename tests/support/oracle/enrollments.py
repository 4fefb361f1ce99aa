"""Enrollments: which applications are accepted, which stand already, and which wait."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from oracle.book import AcceptedEnrollment, Book, EnrollmentKey, Night, Quarantined, Rejected, add
from oracle.canonical import Record
from oracle.in_force import InForce
from oracle.programme import Service, Terms, service_named
from oracle.rows import Enrollment, enrollment_faults, enrollment_of

CERTIFICATE_WAIT = timedelta(hours=24)


def take_enrollments(
    book: Book,
    night: Night,
    records: Sequence[Record],
    services: Sequence[Service],
    terms: Terms,
) -> None:
    """Accept, reject, count or quarantine every delivered application, and try what waits."""
    in_force = InForce(book.events, book.enrollments)
    delivered, keys_in_conflict = settle_keys(book, night, records, in_force)
    keys_delivered = [key_of(application) for application in delivered]
    waiting = [
        application
        for key, application in book.waiting_enrollments.items()
        if key not in keys_delivered
        and key not in keys_in_conflict
        and in_force.accepted_under(key) is None
    ]
    # Taken "in order of (`applied_at`, `person_id`, `service_id`, `account_id`, […])"
    candidates = [*delivered, *waiting]
    candidates.sort(key=lambda application: order_of_applications(application, in_force))
    for application in candidates:
        is_delivered = key_of(application) in keys_delivered
        book.waiting_enrollments[key_of(application)] = application
        in_force = InForce(book.events, book.enrollments)
        if stands_already(application, in_force):
            night.enrollment_counts.unchanged += is_delivered
            continue
        reason = reason_to_reject(application, in_force, services, terms)
        if reason is None:
            accept_application(book, application, in_force)
            del book.waiting_enrollments[key_of(application)]
            night.enrollment_counts.accepted += 1
            night.enrollment_counts.reconsidered += not is_delivered
        elif is_delivered:
            as_read = replace(application, person_id=in_force.read_as(application.person_id))
            night.rejected.append(Rejected(**vars(as_read), reason=reason))
            add(night.enrollment_counts.rejected, reason, 1)


def key_of(application: Enrollment) -> EnrollmentKey:
    return (application.person_id, application.service_id, application.account_id)


def order_of_applications(
    application: Enrollment, in_force: InForce
) -> tuple[datetime, str, str, str, str]:
    return (
        application.applied_at,
        in_force.read_as(application.person_id),
        application.service_id,
        application.account_id,
        application.person_id,
    )


def settle_keys(
    book: Book, night: Night, records: Sequence[Record], in_force: InForce
) -> tuple[list[Enrollment], set[EnrollmentKey]]:
    """Give one application of each key that is neither accepted nor in conflict, and the conflicts.

    Clause: The same row as an accepted one changes nothing and is only counted (`unchanged`), and
    so is a second copy in one run. Another content for an accepted (ID as delivered, service,
    account) is `person_id:conflict`; so is every row of a key that is not accepted and comes with
    two contents in one run.
    """
    readable: list[tuple[Record, Enrollment]] = []
    for record in records:
        night.enrollment_counts.read += 1
        if record.values is None:
            quarantine(night, record, ["row:malformed"])
            continue
        faults = enrollment_faults(record.values)
        if faults:
            quarantine(night, record, faults)
        else:
            readable.append((record, enrollment_of(record.values)))

    contents: dict[EnrollmentKey, set[Enrollment]] = {}
    for _, application in readable:
        contents.setdefault(key_of(application), set()).add(application)
    fresh: list[Enrollment] = []
    keys_in_conflict: set[EnrollmentKey] = set()
    for record, application in readable:
        key = key_of(application)
        accepted = in_force.accepted_under(key)
        if accepted is not None:
            if application == accepted.application:
                night.enrollment_counts.unchanged += 1
                book.waiting_enrollments.pop(key, None)
            else:
                quarantine(night, record, ["person_id:conflict"])
        elif len(contents[key]) > 1:
            quarantine(night, record, ["person_id:conflict"])
            keys_in_conflict.add(key)
        elif application in fresh:
            night.enrollment_counts.unchanged += 1
        else:
            fresh.append(application)
    return fresh, keys_in_conflict


def quarantine(night: Night, record: Record, faults: list[str]) -> None:
    night.enrollment_counts.quarantined += 1
    night.quarantine.append(
        Quarantined(record.file, record.row, tuple(sorted(faults)), record.fields)
    )


def accept_application(book: Book, application: Enrollment, in_force: InForce) -> None:
    book.enrollments.append(
        AcceptedEnrollment(
            number=book.next_number(),
            came_under=application.person_id,
            service_id=application.service_id,
            account_id=application.account_id,
            applied_at=application.applied_at,
            basis=application.basis,
            application=application,
            person_id=in_force.read_as(application.person_id),
            merges=in_force.merges_of(application.person_id),
            granted_by=None,
        )
    )


def stands_already(application: Enrollment, in_force: InForce) -> bool:
    """Whether an accepted enrollment of the person stands for the application.

    Clause: it says the same of another account of that enrollment, or that enrollment was granted
    […], or the row came under another of the person's IDs for the same account.
    """
    person_id = in_force.read_as(application.person_id)
    enrollment = in_force.enrollment_of_account(application.service_id, application.account_id)
    if enrollment is None or in_force.person_of(enrollment) != person_id:
        return False
    if enrollment.granted_by is not None:
        return True
    if enrollment.account_id == application.account_id:
        return enrollment.came_under != application.person_id
    accepted = enrollment.application
    assert accepted is not None
    of_the_same_account = replace(
        application, person_id=accepted.person_id, account_id=accepted.account_id
    )
    return of_the_same_account == accepted


def reason_to_reject(
    application: Enrollment, in_force: InForce, services: Sequence[Service], terms: Terms
) -> str | None:
    """Clause: rejected with the first reason that holds."""
    day = application.applied_at.date()
    service = service_named(application.service_id, services)

    # "the registry has no such service"
    if service is None:
        return "unknown_service"

    # "the service's basis is `either` and the row has none"
    if service.basis == "either" and application.basis is None:
        return "basis_not_chosen"

    # "the card was applied for after the terms' last day"
    if application.card_applied_on > terms.card_applications_last:
        return "card_applied_late"

    # "the application's day is after the terms' last day"
    if day > terms.applications_last:
        return "applied_late"

    # "its day is after the service's `applications_close_on`"
    if service.applications_close_on is not None and day > service.applications_close_on:
        return "service_closed_to_applications"

    # "`reserved_at` is given and is later than `applied_at`"
    if application.reserved_at is not None and application.reserved_at > application.applied_at:
        return "applied_before_reservation"

    # "`certificate_issued_at` is given and the reservation (if none is given, the application) came
    # less than 24 hours after it, or before it"
    if application.certificate_issued_at is not None:
        came_at = application.reserved_at
        if came_at is None:
            came_at = application.applied_at
        if came_at - application.certificate_issued_at < CERTIFICATE_WAIT:
            return "certificate_under_24h"

    # "the service requires it and `preregistered_on` is missing or later than the application's
    # day"
    if service.preregistration and (
        application.preregistered_on is None or application.preregistered_on > day
    ):
        return "not_preregistered"

    enrolled = in_force.enrollments_of(in_force.read_as(application.person_id))
    return reason_not_to_stand(application, in_force, services, beside=enrolled)


def reason_not_to_stand(
    application: Enrollment,
    in_force: InForce,
    services: Sequence[Service],
    beside: Sequence[AcceptedEnrollment],
) -> str | None:
    """Ask the last three reasons, which are asked where a merge moves an enrollment, too.

    `beside` are the person's enrollments with which it must be able to stand together.
    """
    person_id = in_force.read_as(application.person_id)

    # "an `enrollment_voided` in force bars it"
    if in_force.bars(application.person_id, application.service_id, application.account_id):
        return "voided"

    # "another person's accepted enrollment has this service and account (also where the account
    # goes on with that enrollment, from whatever instant)"
    owner = in_force.enrollment_of_account(application.service_id, application.account_id)
    if owner is not None and in_force.person_of(owner) != person_id:
        return "account_taken"

    # "always where the account goes on with an enrollment of the person's own"
    if owner is not None:
        return "already_enrolled"
    this_one = (*order_of_applications(application, in_force), application.service_id)
    for enrollment in beside:
        if not can_stand_together(this_one, order_of_enrollments(enrollment, in_force), services):
            return "already_enrolled"

    return None


def order_of_enrollments(
    enrollment: AcceptedEnrollment, in_force: InForce
) -> tuple[datetime, str, str, str, str, str]:
    """The same order as that of applications, and the service."""
    return (
        enrollment.applied_at,
        in_force.person_of(enrollment),
        enrollment.service_id,
        enrollment.account_id,
        enrollment.came_under,
        enrollment.service_id,
    )


def can_stand_together(
    first: tuple[datetime, str, str, str, str, str],
    second: tuple[datetime, str, str, str, str, str],
    services: Sequence[Service],
) -> bool:
    """Clause: of the two, the service of the one applied for earlier […] ended early.

    It "does […] have an `awards_close_on` before the other application's day"; of two of the same
    instant the earlier one is the first in the order in which applications are taken.
    """
    earlier, later = sorted((first, second))
    service = service_named(earlier[-1], services)
    return (
        service is not None
        and service.awards_close_on is not None
        and service.awards_close_on < later[0].date()
    )

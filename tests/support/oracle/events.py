"""Events: which are accepted, which are refused, which wait, and what each does at once."""

from collections.abc import Sequence
from datetime import datetime
from itertools import combinations

from oracle.book import (
    WAITING_EVENT_REASONS,
    AcceptedEnrollment,
    AcceptedEvent,
    Book,
    Night,
    Quarantined,
    RejectedEvent,
    WaitingEvent,
    add,
)
from oracle.canonical import Record
from oracle.enrollments import (
    accept_application,
    can_stand_together,
    key_of,
    order_of_applications,
    order_of_enrollments,
    reason_not_to_stand,
    stands_already,
)
from oracle.in_force import InForce
from oracle.programme import Service, service_named
from oracle.rows import Event, event_faults, event_of


def take_events(
    book: Book, night: Night, records: Sequence[Record], services: Sequence[Service]
) -> list[tuple[Event, InForce]]:
    """Accept, reject, count or quarantine every delivered event, and try those that wait.

    Give the accepted ones in the order taken, each with the picture of the moment after it.
    """
    delivered, ids_in_conflict = settle_ids(book, night, records)
    ids_delivered = [event.event_id for event in delivered]
    for event in delivered:
        # The same content goes on waiting: a repeated delivery does not start it anew.
        waiting = book.waiting_events.get(event.event_id)
        if waiting is None or waiting.event != event:
            book.waiting_events[event.event_id] = WaitingEvent(event, book.acceptances)
    pending = [
        waiting.event
        for event_id, waiting in book.waiting_events.items()
        if event_id not in ids_in_conflict
    ]
    pending.sort(key=order_of_events)

    accepted: list[tuple[Event, InForce]] = []
    while True:
        refused: list[tuple[Event, str]] = []
        for event in pending:
            reason = reason_to_refuse(event, book, services)
            if reason is None:
                accept(book, event, services)
                accepted.append((event, InForce(book.events, book.enrollments)))
                night.accepted_events.append(event)
                night.event_counts.accepted += 1
                night.event_counts.reconsidered += event.event_id not in ids_delivered
            else:
                refused.append((event, reason))
        # "what is refused is tried again after the others, until none is accepted any more"
        if len(refused) == len(pending):
            break
        pending = [event for event, _ in refused]

    for event, reason in refused:
        waits = reason in WAITING_EVENT_REASONS
        if not waits:
            del book.waiting_events[event.event_id]
        if event.event_id in ids_delivered or not waits:
            night.rejected_events.append(RejectedEvent(**vars(event), reason=reason))
            add(night.event_counts.rejected, reason, 1)
            night.event_counts.reconsidered += event.event_id not in ids_delivered
    return accepted


def order_of_events(event: Event) -> tuple[datetime, str]:
    """Clause: in order of (`effective_at`, null first, `event_id`)."""
    return (event.effective_at or datetime.min, event.event_id)


def settle_ids(book: Book, night: Night, records: Sequence[Record]) -> tuple[list[Event], set[str]]:
    """Give one event of each ID that is neither accepted nor in conflict, and the conflicts.

    Clause: The same event again (all columns) as an accepted one is unchanged, also where it has
    been undone; another content under an `event_id` that was accepted, or two contents in one run,
    is `event_id:conflict`.
    """
    readable: list[tuple[Record, Event]] = []
    for record in records:
        night.event_counts.read += 1
        if record.values is None:
            quarantine(night, record, ["row:malformed"])
            continue
        faults = event_faults(record.values)
        if faults:
            quarantine(night, record, faults)
        else:
            readable.append((record, event_of(record.values)))

    accepted = {accepted.event.event_id: accepted.event for accepted in book.events}
    contents: dict[str, set[Event]] = {}
    for _, event in readable:
        contents.setdefault(event.event_id, set()).add(event)
    fresh: list[Event] = []
    ids_in_conflict: set[str] = set()
    for record, event in readable:
        if event.event_id in accepted:
            if event == accepted[event.event_id]:
                night.event_counts.unchanged += 1
            else:
                quarantine(night, record, ["event_id:conflict"])
        elif len(contents[event.event_id]) > 1:
            quarantine(night, record, ["event_id:conflict"])
            ids_in_conflict.add(event.event_id)
        elif event in fresh:
            night.event_counts.unchanged += 1
        else:
            fresh.append(event)
    return fresh, ids_in_conflict


def quarantine(night: Night, record: Record, faults: list[str]) -> None:
    night.event_counts.quarantined += 1
    night.quarantine.append(
        Quarantined(record.file, record.row, tuple(sorted(faults)), record.fields)
    )


# --- Judging an event -----------------------------------------------------------------------------


def reason_to_refuse(event: Event, book: Book, services: Sequence[Service]) -> str | None:
    """Clause: Reasons for rejection, the first that holds."""
    in_force = InForce(book.events, book.enrollments)

    # "an `undone` in force names it"
    if in_force.is_undone(event.event_id):
        return "withdrawn"

    if event.service_id is not None and service_named(event.service_id, services) is None:
        return "unknown_service"

    if event.kind == "account_replaced":
        return reason_not_to_replace(event, in_force)
    if event.kind == "enrollment_granted":
        return reason_not_to_grant(event, in_force, services)
    if event.kind == "persons_merged":
        return reason_not_to_merge(event, in_force)
    if event.kind == "transaction_voided":
        return reason_not_to_void_transaction(event, book)
    if event.kind == "undone":
        return reason_not_to_undo(event, book, in_force, services)
    return reason_not_to_touch_enrollment(event, book, in_force)


def reason_not_to_replace(event: Event, in_force: InForce) -> str | None:
    # Where there is none; "also `not_enrolled` accounts"
    service_id = event.service_id or ""
    if in_force.enrollment_of_account(service_id, event.account_id or "") is None:
        return "no_such_enrollment"

    # When "the new […] account serves an enrollment already"
    if in_force.enrollment_of_account(service_id, event.other_id or "") is not None:
        return "account_taken"

    return None


def reason_not_to_touch_enrollment(event: Event, book: Book, in_force: InForce) -> str | None:
    """Judge a stop, a resumption or a void."""
    enrollment = named_enrollment(event, in_force)
    if event.kind == "enrollment_voided":
        # "takes out no grant that was accepted after its first try"
        first_tried_after = book.waiting_events[event.event_id].first_tried_after
        if (
            enrollment is not None
            and enrollment.granted_by is not None
            and enrollment.number > first_tried_after
        ):
            enrollment = None

        # "there is no such enrollment, and one in force bars these three"
        if enrollment is None and in_force.bars(
            event.person_id or "", event.service_id or "", event.account_id or ""
        ):
            return "voided"

    if enrollment is None:
        return "no_such_enrollment"

    # "resumed, and not stopped at that instant"
    if event.kind == "enrollment_resumed":
        assert event.effective_at is not None
        if not in_force.is_stopped(enrollment, event.effective_at):
            return "not_stopped"

    return None


def named_enrollment(event: Event, in_force: InForce) -> AcceptedEnrollment | None:
    """Clause: Any account of an enrollment names it."""
    enrollment = in_force.enrollment_of_account(event.service_id or "", event.account_id or "")
    if enrollment is None:
        return None
    if in_force.person_of(enrollment) != in_force.read_as(event.person_id or ""):
        return None
    return enrollment


def reason_not_to_grant(event: Event, in_force: InForce, services: Sequence[Service]) -> str | None:
    # When "the […] granted account serves an enrollment already"
    if in_force.enrollment_of_account(event.service_id or "", event.account_id or "") is not None:
        return "account_taken"

    # "needed where the service is `either`"
    service = service_named(event.service_id or "", services)
    assert service is not None
    if service.basis == "either" and event.basis is None:
        return "basis_not_chosen"

    return None


def reason_not_to_merge(event: Event, in_force: InForce) -> str | None:
    goes, stays = event.person_id or "", event.other_id or ""

    # "read as one already"
    if in_force.read_as(goes) == in_force.read_as(stays):
        return "same_person"

    # "merged already"
    if in_force.is_merged(goes):
        return "person_gone"

    return None


def reason_not_to_void_transaction(event: Event, book: Book) -> str | None:
    # "neither booked nor waiting"
    key = (event.service_id or "", event.transaction_id or "")
    booked = any(booking.key == key and not booking.voided for booking in book.bookings)
    if not booked and key not in book.waiting_transactions:
        return "no_such_transaction"

    return None


def reason_not_to_undo(
    event: Event, book: Book, in_force: InForce, services: Sequence[Service]
) -> str | None:
    named = event.other_id or ""

    # An `undone` in force names it.
    if in_force.is_undone(named):
        return "already_undone"

    # "neither accepted, nor waiting, nor in this run"; what this run delivered waits meanwhile
    accepted = {accepted.event.event_id: accepted.event for accepted in book.events}
    if named not in accepted and named not in book.waiting_events:
        return "no_such_event"
    # "or undoings would stand in a circle"
    undone = named
    while undone in accepted and accepted[undone].kind == "undone":
        undone = accepted[undone].other_id or ""
    if undone == event.event_id:
        return "no_such_event"

    if named not in accepted:
        return None
    events_after = [*book.events, AcceptedEvent(book.acceptances + 1, event)]

    # "undoing would make a circle"
    merges_after = InForce(events_after, [])
    if merges_after.merges_make_a_circle():
        return "same_person"

    # "by undoing merged twice"
    if merges_after.an_id_is_merged_twice():
        return "person_gone"

    after = InForce(events_after, book.enrollments)
    if gives_an_account_to_another(in_force, after):
        return "account_taken"
    if gives_two_that_may_not_stand(in_force, after, services):
        return "already_enrolled"
    return None


def gives_an_account_to_another(before: InForce, after: InForce) -> bool:
    """Clause: would give an account of an enrollment that stays in force to another."""
    for enrollment in before.enrollments:
        if enrollment not in after.enrollments:
            continue
        for account_id in before.accounts_of(enrollment):
            now = after.enrollment_of_account(enrollment.service_id, account_id)
            if now is not None and now is not enrollment:
                return True
            if any(
                (other.service_id, other.account_id) == (enrollment.service_id, account_id)
                for other in after.enrollments
                if other is not enrollment
            ):
                return True
    return False


def gives_two_that_may_not_stand(
    before: InForce, after: InForce, services: Sequence[Service]
) -> bool:
    """Clause: two enrollments, neither granted, that section 3 does not let stand together."""
    applied_for = [e for e in after.enrollments if e.granted_by is None]
    for first, second in combinations(applied_for, 2):
        if first.person_id != second.person_id:
            continue
        if first in before.enrollments and second in before.enrollments:
            continue
        if not can_stand_together(
            order_of_enrollments(first, after), order_of_enrollments(second, after), services
        ):
            return True
    return False


# --- What an accepted event does ------------------------------------------------------------------


def accept(book: Book, event: Event, services: Sequence[Service]) -> None:
    before = InForce(book.events, book.enrollments)
    enrollment = None
    accounts: tuple[str, ...] = ()
    person_ids: tuple[str, ...] = ()
    if event.kind in ("enrollment_stopped", "enrollment_resumed", "enrollment_voided"):
        enrollment = named_enrollment(event, before)
        assert enrollment is not None
    if event.kind == "enrollment_voided":
        assert enrollment is not None
        # "For any account that the enrollment has when the event is accepted, no application under
        # an ID that is then read as this person, or under the ID that the enrollment came under"
        accounts = before.accounts_of(enrollment)
        person_ids = (
            *before.ids_read_as(before.person_of(enrollment)),
            enrollment.came_under,
        )
    book.events.append(AcceptedEvent(book.next_number(), event, enrollment, accounts, person_ids))
    del book.waiting_events[event.event_id]
    if event.kind == "enrollment_granted":
        grant(book, event)
    move_enrollments(book, before, services)


def grant(book: Book, event: Event) -> None:
    """Clause: `effective_at` (as `applied_at`) […] accepted by authority."""
    assert event.person_id is not None
    assert event.service_id is not None
    assert event.account_id is not None
    assert event.effective_at is not None
    book.enrollments.append(
        AcceptedEnrollment(
            number=book.next_number(),
            came_under=event.person_id,
            service_id=event.service_id,
            account_id=event.account_id,
            applied_at=event.effective_at,
            basis=event.basis,
            application=None,
            person_id=event.person_id,
            merges=(),
            granted_by=event.event_id,
        )
    )


def move_enrollments(book: Book, before: InForce, services: Sequence[Service]) -> None:
    """Let what an event took out stand as the other person's where it may, else wait.

    Clause: Enrollments that were accepted for it are taken out, and stand at once as the other's
    where they may (of section 3, only `voided`, `account_taken` and `already_enrolled` beside one
    that was not granted are asked, in the order of applications); else they wait as the other's.
    When a merge is undone, the same holds for what was accepted by it.
    """
    after = InForce(book.events, book.enrollments)
    taken_out = [
        enrollment
        for enrollment in before.enrollments
        if enrollment not in after.enrollments and enrollment.application is not None
    ]
    applications = [enrollment.application for enrollment in taken_out if enrollment.application]
    applications.sort(key=lambda application: order_of_applications(application, after))
    for application in applications:
        after = InForce(book.events, book.enrollments)
        key = key_of(application)
        accepted = after.accepted_under(key)
        if accepted is not None:
            if accepted.application != application:
                book.waiting_enrollments.setdefault(key, application)
            continue
        is_read_otherwise = before.merges_of(application.person_id) != after.merges_of(
            application.person_id
        )
        if is_read_otherwise and not stands_already(application, after):
            not_granted = [
                enrollment
                for enrollment in after.enrollments_of(after.read_as(application.person_id))
                if enrollment.granted_by is None
            ]
            if reason_not_to_stand(application, after, services, beside=not_granted) is None:
                accept_application(book, application, after)
                book.waiting_enrollments.pop(key, None)
                continue
        # What was taken out waits, unless something that was delivered later waits already.
        book.waiting_enrollments.setdefault(key, application)

    after = InForce(book.events, book.enrollments)
    for key, application in list(book.waiting_enrollments.items()):
        accepted = after.accepted_under(key)
        if accepted is not None and accepted.application == application:
            del book.waiting_enrollments[key]

"""What is in force: events, merged IDs, enrollments, their accounts, stops and bars.

`InForce` is a picture of one moment. It keeps nothing but what was accepted so far; every answer is
found by walking through all of it.
"""

from collections.abc import Sequence
from datetime import datetime

from oracle.book import AcceptedEnrollment, AcceptedEvent, EnrollmentKey
from oracle.rows import Event


class InForce:
    def __init__(
        self, events: Sequence[AcceptedEvent], enrollments: Sequence[AcceptedEnrollment]
    ) -> None:
        self._accepted = list(events)
        self.events = [event for event in events if not self.is_undone(event.event.event_id)]
        """In the order in which they were accepted."""
        self._merges = self._of_kind("persons_merged")
        self._voids = self._of_kind("enrollment_voided")
        self._replacements = self._of_kind("account_replaced")
        self._stops_and_resumptions = self._of_kind("enrollment_stopped", "enrollment_resumed")
        self.enrollments = [
            enrollment
            for enrollment in sorted(enrollments, key=lambda enrollment: enrollment.number)
            if self._is_in_force(enrollment)
        ]
        """In the order in which they were accepted."""

    def _of_kind(self, *kinds: str) -> list[AcceptedEvent]:
        return [event for event in self.events if event.event.kind in kinds]

    # Events

    def is_undone(self, event_id: str) -> bool:
        """Whether an `undone` in force names it; an undoing that was itself undone does not."""
        for accepted in self._accepted:
            event = accepted.event
            names_it = event.kind == "undone" and event.other_id == event_id
            if names_it and not self.is_undone(event.event_id):
                return True
        return False

    # People

    def merges_of(self, person_id: str) -> tuple[str, ...]:
        """Give the merges by which an ID is read as another, one after the other."""
        for merge in self._merges:
            if merge.event.person_id == person_id:
                return (merge.event.event_id, *self.merges_of(merge.event.other_id or ""))
        return ()

    def read_as(self, person_id: str) -> str:
        """Clause: wherever the ID that goes is delivered, […] it is read as the other."""
        for merge in self._merges:
            if merge.event.person_id == person_id:
                return self.read_as(merge.event.other_id or "")
        return person_id

    def is_merged(self, person_id: str) -> bool:
        return any(merge.event.person_id == person_id for merge in self._merges)

    def ids_read_as(self, person_id: str) -> tuple[str, ...]:
        """Give every ID that is read as this person now, the person's own included."""
        named = {merge.event.person_id or "" for merge in self._merges} | {person_id}
        return tuple(sorted(named_id for named_id in named if self.read_as(named_id) == person_id))

    def an_id_is_merged_twice(self) -> bool:
        going = [merge.event.person_id for merge in self._merges]
        return len(going) != len(set(going))

    def merges_make_a_circle(self) -> bool:
        for merge in self._merges:
            reached = {merge.event.other_id}
            while True:
                further = {m.event.other_id for m in self._merges if m.event.person_id in reached}
                if merge.event.person_id in reached:
                    return True
                if further <= reached:
                    break
                reached |= further
        return False

    # Enrollments

    def _is_in_force(self, enrollment: AcceptedEnrollment) -> bool:
        for void in self._voids:
            if void.enrollment is enrollment:
                return False
        if enrollment.granted_by is not None:
            return any(event.event.event_id == enrollment.granted_by for event in self.events)
        # "only while its ID is read, by the very same merges, as the person for whom it was
        # accepted"
        if self.merges_of(enrollment.came_under) != enrollment.merges:
            return False
        # "and none accepted before the event is in force"
        return not any(
            enrollment.number < void.number
            and names_these_three(
                void, enrollment.came_under, enrollment.service_id, enrollment.account_id
            )
            for void in self._voids
        )

    def person_of(self, enrollment: AcceptedEnrollment) -> str:
        """Give the person of an enrollment in force; "A granted one becomes the other's"."""
        if enrollment.granted_by is not None:
            return self.read_as(enrollment.came_under)
        return enrollment.person_id

    def enrollments_of(self, person_id: str) -> list[AcceptedEnrollment]:
        return [e for e in self.enrollments if self.person_of(e) == person_id]

    def accepted_under(self, key: EnrollmentKey) -> AcceptedEnrollment | None:
        """Give the enrollment in force that was accepted of an application with this key."""
        for enrollment in self.enrollments:
            if enrollment.granted_by is None and enrollment.key == key:
                return enrollment
        return None

    def bars(self, came_under: str, service_id: str, account_id: str) -> bool:
        """Whether an `enrollment_voided` in force lets no such application in again."""
        return any(
            names_these_three(void, came_under, service_id, account_id) for void in self._voids
        )

    # Accounts

    def enrollment_of_account(
        self, service_id: str, account_id: str, beyond: tuple[str, ...] = ()
    ) -> AcceptedEnrollment | None:
        """Give the enrollment to which an account belongs, from whatever instant.

        Clause: An account that is enrolled itself belongs to that enrollment, whatever replaced
        what; one that replacements give to two goes with the enrollment accepted first.
        """
        for enrollment in self.enrollments:
            if (enrollment.service_id, enrollment.account_id) == (service_id, account_id):
                return enrollment
        found = [
            enrollment
            for _, enrollment in self._replaced_by(service_id, account_id, beyond)
            if enrollment is not None
        ]
        return min(found, key=lambda enrollment: enrollment.number, default=None)

    def _replaced_by(
        self, service_id: str, account_id: str, beyond: tuple[str, ...]
    ) -> list[tuple[Event, AcceptedEnrollment | None]]:
        """Give the replacements that led to the account, each with its old account's enrollment.

        `beyond` are the accounts gone through already: replacements may stand in a circle.
        """
        beyond = (*beyond, account_id)
        return [
            (
                replacement.event,
                self.enrollment_of_account(service_id, replacement.event.account_id or "", beyond),
            )
            for replacement in self._replacements
            if replacement.event.service_id == service_id
            and replacement.event.other_id == account_id
            and replacement.event.account_id not in beyond
        ]

    def enrollment_at(
        self, service_id: str, account_id: str, instant: datetime
    ) -> AcceptedEnrollment | None:
        """Clause: goes on with the enrollment of the old one from that instant."""
        enrollment = self.enrollment_of_account(service_id, account_id)
        if enrollment is None or enrollment.account_id == account_id:
            return enrollment
        for replacement, its_enrollment in self._replaced_by(service_id, account_id, ()):
            assert replacement.effective_at is not None
            if its_enrollment is enrollment and replacement.effective_at <= instant:
                return enrollment
        return None

    def accounts_of(self, enrollment: AcceptedEnrollment) -> tuple[str, ...]:
        named = {enrollment.account_id}
        named |= {replacement.event.other_id or "" for replacement in self._replacements}
        return tuple(
            sorted(
                account_id
                for account_id in named
                if self.enrollment_of_account(enrollment.service_id, account_id) is enrollment
            )
        )

    def are_joined(self, service_id: str, account_id: str, other_account_id: str) -> bool:
        """Whether replacements in force lead from the one account to the other, either way."""
        reached = {account_id}
        while other_account_id not in reached:
            further = set()
            for replacement in self._replacements:
                if replacement.event.service_id != service_id:
                    continue
                two = {replacement.event.account_id or "", replacement.event.other_id or ""}
                if two & reached:
                    further |= two
            if further <= reached:
                return False
            reached |= further
        return True

    # Stops

    def is_stopped(self, enrollment: AcceptedEnrollment, instant: datetime) -> bool:
        """Whether the enrollment is stopped in this instant.

        Clause: from that instant on […] until a resumption; of equal instants the later accepted
        decides. A stop holds for the service and the enrollment's own account, whichever
        enrollment of the person that is, and for the ID that the enrollment came under.
        """
        decisive: AcceptedEvent | None = None
        for accepted in self._stops_and_resumptions:
            named = accepted.enrollment
            assert named is not None
            assert accepted.event.effective_at is not None
            if (named.service_id, named.account_id) != (
                enrollment.service_id,
                enrollment.account_id,
            ):
                continue
            people = (self.read_as(accepted.event.person_id or ""), self.read_as(named.came_under))
            if self.person_of(enrollment) not in people or accepted.event.effective_at > instant:
                continue
            if decisive is None or when_decided(decisive) < when_decided(accepted):
                decisive = accepted
        return decisive is not None and decisive.event.kind == "enrollment_stopped"

    def names_transaction(self, service_id: str, transaction_id: str) -> bool:
        """Whether a `transaction_voided` in force names the transaction."""
        return any(
            event.event.service_id == service_id and event.event.transaction_id == transaction_id
            for event in self._of_kind("transaction_voided")
        )


def names_these_three(
    void: AcceptedEvent, came_under: str, service_id: str, account_id: str
) -> bool:
    return (
        void.event.service_id == service_id
        and account_id in void.accounts
        and came_under in void.person_ids
    )


def when_decided(accepted: AcceptedEvent) -> tuple[datetime, int]:
    assert accepted.event.effective_at is not None
    return accepted.event.effective_at, accepted.number

"""The examination of events: each kind has conditions of its own, and what is accepted changes the
enrollments that the next event finds.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from engine.booking import event_reasons as reasons
from engine.booking.concerned import Group
from engine.booking.corrections import Accepted, Event, EventAcceptance, Moment, TransactionKey
from engine.booking.standing import ReadPerson, Standing
from engine.terms.services import Services


class PutToWait(NamedTuple):
    """An application that an event took out of force, and that waits from then on.

    Attributes:
        instead: also where another content waits under its key, for it was accepted again since.
    """

    enrollment: Accepted
    instead: bool


class Examination:
    """Examines the events of a group, one by one; ``waiting`` has the IDs of all events that wait,
    of other groups, too.
    """

    def __init__(
        self,
        run_number: int,
        group: Group,
        services: Services,
        transactions: frozenset[TransactionKey],
        step: int,
        waiting: Container[str] = (),
    ) -> None:
        self.run_number, self.services, self.step = run_number, services, step
        self.transactions = transactions
        self.taken, self.enrollments = list(group.taken), list(group.enrollments)
        self.accepted: list[EventAcceptance] = []
        self.enrolled: list[Accepted] = []
        self.put_to_wait: dict[tuple[str, str, str], PutToWait] = {}
        # What an undoing may name besides: events that were accepted or are in this run.
        self.waiting = waiting
        self.known = {t.event.event_id for t in self.taken}
        self.known |= {event.event_id for event in group.tries}
        self.now = Standing(self.taken, self.enrollments)

    def take(self, event: Event, first_try: Moment) -> str | None:
        """Accepts an event, or says why not."""
        if self.now.is_undone(event.event_id):
            return reasons.WITHDRAWN
        if event.service_id is not None and event.service_id not in self.services.by_id:
            return reasons.UNKNOWN_SERVICE
        moment = (self.run_number, 0, self.step + 1, 0, 0)
        verdict = _KINDS[event.kind](self, event, moment, first_try)
        if isinstance(verdict, str):
            return verdict
        self._accept(verdict)
        return None

    def _accept(self, taken: EventAcceptance) -> None:
        readings = {
            enrollment.moment: self.now.read(enrollment.person_id)
            for enrollment in self.now.in_force()
            if enrollment.granted_by is None
        }
        self.step += 1
        self.taken.append(taken)
        self.accepted.append(taken)
        self.now = Standing(self.taken, self.enrollments)
        if taken.event.kind == "enrollment_granted":
            self._enroll(_granted(taken, self.now))
        if taken.event.kind in ("persons_merged", "undone", "enrollment_voided"):
            self._stand_anew(readings, taken.moment)

    def _enroll(self, enrollment: Accepted) -> None:
        self.enrollments.append(enrollment)
        self.enrolled.append(enrollment)
        self.now.accept(enrollment)

    def _stand_anew(self, readings: Mapping[Moment, ReadPerson], moment: Moment) -> None:
        """Applications that a merge or its undoing took from a person are at once those of the
        other person, where that is possible; else, and where a void took them, they wait.

        ``readings`` are those of all that were in force before, by moment.
        """
        staying = {enrollment.moment for enrollment in self.now.in_force()}
        taken_out = [
            enrollment
            for enrollment in self.enrollments
            if enrollment.moment in readings and enrollment.moment not in staying
        ]
        taken_out.sort(
            key=lambda enrollment: (
                enrollment.applied_at,
                self.now.read(enrollment.person_id).person,
                enrollment.service_id,
                enrollment.account_id,
                enrollment.person_id,
            )
        )
        for number, enrollment in enumerate(taken_out, 1):
            reading = self.now.read(enrollment.person_id)
            as_read = replace(
                enrollment,
                person=reading.person,
                merges=reading.merges,
                moment=(*moment[:3], number, 0),
            )
            owner = self.now.owner(enrollment.account)
            if (
                owner is not None
                and owner.enrollment.key == enrollment.key
                and owner.enrollment.content == enrollment.content
            ):
                # The enrollment that it was before is in force again.
                continue
            if (
                reading != readings[enrollment.moment]
                and owner is None
                and not self.now.is_barred(enrollment.account, enrollment.person_id)
                and self._may_stand(as_read)
            ):
                self._enroll(as_read)
                self.put_to_wait[enrollment.key] = PutToWait(enrollment, instead=True)
            else:
                self.put_to_wait.setdefault(enrollment.key, PutToWait(enrollment, instead=False))

    def _may_stand(self, enrollment: Accepted) -> bool:
        """Whether it is compatible with the person's other enrollments that were not granted."""
        return all(
            self.now.stand_together(other, enrollment, self.services)
            for other in self.now.in_force()
            if other.granted_by is None and other.person == enrollment.person
        )

    def account_replaced(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        if self.now.owner(event.account) is None:
            return reasons.NO_SUCH_ENROLLMENT
        if self.now.owner((event.service_id or "", event.other_id or "")) is not None:
            return reasons.ACCOUNT_TAKEN
        return EventAcceptance(event, moment)

    def _named(self, event: Event) -> Accepted | None:
        """The person's enrollment in force that has the account."""
        owner = self.now.owner(event.account)
        if owner is None:
            return None
        person = self.now.read(event.person_id or "").person
        return owner.enrollment if self.now.person_of(owner.enrollment) == person else None

    def enrollment_stopped(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        enrollment = self._named(event)
        if enrollment is None:
            return reasons.NO_SUCH_ENROLLMENT
        if event.kind == "enrollment_resumed" and not self.now.is_stopped(
            enrollment, event.effective
        ):
            return reasons.NOT_STOPPED
        return EventAcceptance(
            event, moment, came_under=enrollment.person_id, own_account=enrollment.account_id
        )

    def enrollment_voided(
        self, event: Event, moment: Moment, first_try: Moment
    ) -> EventAcceptance | str:
        enrollment = self._named(event)
        if enrollment is None or (
            enrollment.granted_by is not None and enrollment.moment > first_try
        ):
            barred = self.now.is_barred(event.account, event.person_id or "")
            return reasons.VOIDED if barred else reasons.NO_SUCH_ENROLLMENT
        person = self.now.person_of(enrollment)
        return EventAcceptance(
            event,
            moment,
            person_ids=tuple(sorted(self.now.ids_read_as(person) | {enrollment.person_id})),
            accounts=tuple(account for _, account in self.now.accounts_of(enrollment)),
            target=enrollment.moment,
        )

    def enrollment_granted(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        if self.now.owner(event.account) is not None:
            return reasons.ACCOUNT_TAKEN
        service = self.services.by_id[event.service_id or ""]
        if service.basis == "either" and event.basis is None:
            return reasons.BASIS_NOT_CHOSEN
        return EventAcceptance(event, moment)

    def persons_merged(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        goes, stays = event.person_id or "", event.other_id or ""
        if self.now.read(goes).person == self.now.read(stays).person:
            return reasons.SAME_PERSON
        if goes in self.now.merges:
            return reasons.PERSON_GONE
        return EventAcceptance(event, moment)

    def transaction_voided(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        if event.transaction not in self.transactions:
            return reasons.NO_SUCH_TRANSACTION
        return EventAcceptance(event, moment)

    def undone(self, event: Event, moment: Moment, _: Moment) -> EventAcceptance | str:
        undone_id = event.other_id or ""
        if self.now.is_undone(undone_id):
            return reasons.ALREADY_UNDONE
        is_known = undone_id in self.known or undone_id in self.waiting
        if not is_known or self._in_a_circle(event):
            return reasons.NO_SUCH_EVENT
        taken = EventAcceptance(event, moment)
        if self.now.taken(undone_id) is None:
            return taken
        return self._against_undoing(Standing([*self.taken, taken], self.enrollments)) or taken

    def _in_a_circle(self, event: Event) -> bool:
        at = event.other_id
        while at is not None and at != event.event_id:
            taken = self.now.taken(at)
            at = taken.event.other_id if taken and taken.event.kind == "undone" else None
        return at is not None

    def _against_undoing(self, then: Standing) -> str | None:
        """Why the state after an undoing would not be allowed; None if it is."""
        merges = [
            taken.event
            for taken in self.taken
            if taken.event.kind == "persons_merged" and not then.is_undone(taken.event.event_id)
        ]
        stays: dict[str, list[str]] = {}
        for merge in merges:
            stays.setdefault(merge.person_id or "", []).append(merge.other_id or "")
        if any(_leads_back(stays, person) for person in stays):
            return reasons.SAME_PERSON
        if len(stays) < len(merges):
            return reasons.PERSON_GONE
        if self._gives_an_account_to_another(then):
            return reasons.ACCOUNT_TAKEN
        in_force = list(then.in_force())
        before = {
            enrollment.moment: self.now.person_of(enrollment) for enrollment in self.now.in_force()
        }
        for at, first in enumerate(in_force):
            for second in in_force[at + 1 :]:
                fresh = any(before.get(e.moment) != then.person_of(e) for e in (first, second))
                if (
                    fresh
                    and first.granted_by is None
                    and second.granted_by is None
                    and first.person == second.person
                    and not then.stand_together(first, second, self.services)
                ):
                    return reasons.ALREADY_ENROLLED
        return None

    def _gives_an_account_to_another(self, then: Standing) -> bool:
        in_force = list(then.in_force())
        if len({enrollment.account for enrollment in in_force}) < len(in_force):
            return True
        staying = {enrollment.moment for enrollment in in_force}
        for enrollment in self.now.in_force():
            if enrollment.moment not in staying:
                continue
            for account in self.now.accounts_of(enrollment):
                owner = then.owner(account)
                if owner is not None and owner.enrollment.moment != enrollment.moment:
                    return True
        return False


def _leads_back(stays: Mapping[str, Sequence[str]], person: str) -> bool:
    """Whether merges lead from a person back to the same person."""
    seen: set[str] = set()
    at = list(stays[person])
    while at:
        here = at.pop()
        if here == person:
            return True
        if here not in seen:
            seen.add(here)
            at += stays.get(here, ())
    return False


def _granted(taken: EventAcceptance, standing: Standing) -> Accepted:
    event = taken.event
    person_id = event.person_id or ""
    person, merges = standing.read(person_id)
    return Accepted(
        person_id,
        *event.account,
        applied_at=event.effective,
        basis=event.basis,
        content=0,
        person=person,
        merges=merges,
        moment=(*taken.moment[:3], 1, 0),
        granted_by=event.event_id,
    )


_KINDS: Final[
    Mapping[str, Callable[[Examination, Event, Moment, Moment], EventAcceptance | str]]
] = {
    "account_replaced": Examination.account_replaced,
    "enrollment_stopped": Examination.enrollment_stopped,
    "enrollment_resumed": Examination.enrollment_stopped,
    "enrollment_voided": Examination.enrollment_voided,
    "enrollment_granted": Examination.enrollment_granted,
    "persons_merged": Examination.persons_merged,
    "transaction_voided": Examination.transaction_voided,
    "undone": Examination.undone,
}

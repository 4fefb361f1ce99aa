"""What holds as of a moment: whose an enrollment or an account is, and whether it is in force or
stopped.

Everything follows from the events that are active (accepted, and not undone by an active event) and
from the enrollments that were ever accepted. Nothing is changed when an event is undone; it is only
read without that event. So the state after each event of a run can be asked for again.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from engine.booking.corrections import Accepted, Account, EventAcceptance, Moment
from engine.rules.application import stand_together
from engine.terms.services import Services

_ENDLESS: Final[Moment] = (1 << 60, 0, 0, 0, 0)


class Owner(NamedTuple):
    """The enrollment that an account belongs to, and since when; None means always."""

    enrollment: Accepted
    since: dt.datetime | None


class ReadPerson(NamedTuple):
    """The person as whom an ID is read, and the merges that make it so."""

    person: str
    merges: tuple[str, ...]


class Standing:
    """What holds as of a moment, by all that was accepted up to it."""

    def __init__(
        self,
        taken: Iterable[EventAcceptance],
        enrollments: Iterable[Accepted],
        as_of: Moment = _ENDLESS,
    ) -> None:
        self._taken = {t.event.event_id: t for t in taken if t.moment <= as_of}
        self._enrollments: dict[Account, list[Accepted]] = {}
        for enrollment in enrollments:
            if enrollment.moment <= as_of:
                self._enrollments.setdefault(enrollment.account, []).append(enrollment)
        self._undoers: dict[str, list[str]] = {}
        for undoing in self._of_kind("undone"):
            undone_id = undoing.event.other_id or ""
            self._undoers.setdefault(undone_id, []).append(undoing.event.event_id)
        self._active: dict[str, bool] = {}
        self.merges = {
            t.event.person_id or "": t
            for t in self._of_kind("persons_merged")
            if self._is_active(t)
        }
        self._voids: dict[Account, list[EventAcceptance]] = {}
        for void in self._active_of("enrollment_voided"):
            for account_id in void.accounts:
                self._voids.setdefault((void.event.service_id or "", account_id), []).append(void)
        self._replacements: dict[Account, list[EventAcceptance]] = {}
        self._replaced_by: dict[Account, list[EventAcceptance]] = {}
        for replacement in self._active_of("account_replaced"):
            event = replacement.event
            fresh = (event.service_id or "", event.other_id or "")
            self._replacements.setdefault(fresh, []).append(replacement)
            self._replaced_by.setdefault(event.account, []).append(replacement)
        self._stops: dict[Account, list[EventAcceptance]] = {}
        for kind in ("enrollment_stopped", "enrollment_resumed"):
            for stop in self._active_of(kind):
                where = (stop.event.service_id or "", stop.own_account or "")
                self._stops.setdefault(where, []).append(stop)
        self.voided_transactions = {
            t.event.transaction for t in self._active_of("transaction_voided")
        }
        self._readings: dict[str, ReadPerson] = {}

    def _of_kind(self, kind: str) -> Iterator[EventAcceptance]:
        return (t for t in self._taken.values() if t.event.kind == kind)

    def _active_of(self, kind: str) -> list[EventAcceptance]:
        return [t for t in self._of_kind(kind) if self._is_active(t)]

    def _is_active(self, taken: EventAcceptance) -> bool:
        event_id = taken.event.event_id
        if event_id not in self._active:
            self._active[event_id] = not self.is_undone(event_id)
        return self._active[event_id]

    def is_undone(self, event_id: str) -> bool:
        """Whether an active event says that this one has no effect, or must not get any."""
        return any(self._is_active(self._taken[u]) for u in self._undoers.get(event_id, ()))

    def taken(self, event_id: str | None) -> EventAcceptance | None:
        """An accepted event, in force or not."""
        return self._taken.get(event_id or "")

    def read(self, person_id: str) -> ReadPerson:
        """The person as whom an ID is read."""
        if person_id not in self._readings:
            person = person_id
            merges: list[str] = []
            while person in self.merges and len(merges) <= len(self.merges):
                merge = self.merges[person].event
                merges.append(merge.event_id)
                person = merge.other_id or ""
            self._readings[person_id] = ReadPerson(person, tuple(merges))
        return self._readings[person_id]

    def ids_read_as(self, person: str) -> set[str]:
        """All IDs that are read as a person, its own included."""
        return {person} | {goes for goes in self.merges if self.read(goes).person == person}

    def person_of(self, enrollment: Accepted) -> str:
        """The person whose enrollment this is; it must be in force."""
        return (
            self.read(enrollment.person_id).person if enrollment.granted_by else enrollment.person
        )

    def is_read_as_accepted(self, enrollment: Accepted) -> bool:
        """Whether its ID is still read as when it was accepted; a grant follows its person."""
        if enrollment.granted_by is not None:
            grant = self._taken.get(enrollment.granted_by)
            return grant is not None and self._is_active(grant)
        return self.read(enrollment.person_id) == (enrollment.person, enrollment.merges)

    def is_in_force(self, enrollment: Accepted) -> bool:
        """Whether an enrollment that was accepted by this moment is in force."""
        if not self.is_read_as_accepted(enrollment):
            return False
        return not any(
            enrollment.moment < void.moment
            and (
                void.target == enrollment.moment
                or (enrollment.granted_by is None and enrollment.person_id in void.person_ids)
            )
            for void in self._voids.get(enrollment.account, ())
        )

    def is_barred(self, account: Account, person_id: str) -> bool:
        """Whether an ``enrollment_voided`` keeps an application for the account out."""
        return any(person_id in void.person_ids for void in self._voids.get(account, ()))

    def accept(self, enrollment: Accepted) -> None:
        """Adds an enrollment that is accepted now: only this needs no new ``Standing``."""
        self._enrollments.setdefault(enrollment.account, []).append(enrollment)

    def enrollments(self) -> Iterator[Accepted]:
        """All enrollments ever accepted."""
        return (enrollment for held in self._enrollments.values() for enrollment in held)

    def in_force(self) -> Iterator[Accepted]:
        """All enrollments in force."""
        return (enrollment for enrollment in self.enrollments() if self.is_in_force(enrollment))

    def enrolled(self, account: Account) -> Accepted | None:
        """The enrollment in force that was made for exactly this account."""
        held = self._enrollments.get(account, ())
        return next((enrollment for enrollment in held if self.is_in_force(enrollment)), None)

    def owner(self, account: Account) -> Owner | None:
        """The enrollment in force that an account belongs to: the account's own; if it has none,
        that of the account it replaced, and of several the one accepted first.
        """
        return self._owner(account, frozenset())

    def _owner(self, account: Account, seen: frozenset[Account]) -> Owner | None:
        own = self.enrolled(account)
        if own is not None:
            return Owner(own, None)
        if account in seen:
            return None
        found: list[Owner] = []
        for replacement in self._replacements.get(account, ()):
            owner = self._owner(replacement.event.account, seen | {account})
            if owner is not None:
                found.append(Owner(owner.enrollment, replacement.event.effective))
        return min(found, key=lambda o: (o.enrollment.moment, o.since), default=None)

    def accounts_of(self, enrollment: Accepted) -> list[Account]:
        """The accounts that an enrollment in force has, its own first."""
        found = [enrollment.account]
        for account in found:
            for replacement in self._replaced_by.get(account, ()):
                fresh = (account[0], replacement.event.other_id or "")
                owner = self.owner(fresh)
                if fresh not in found and owner is not None and owner.enrollment is enrollment:
                    found.append(fresh)
        return found

    def replacing_accounts(self) -> list[Account]:
        """The accounts that replaced others."""
        return list(self._replacements)

    @property
    def joined_accounts(self) -> set[Account]:
        """All accounts that replacements join with others."""
        return set(self._replacements) | set(self._replaced_by)

    def joined(self, account: Account) -> set[Account]:
        """The accounts that replacements join with this one, itself included."""
        found, at = {account}, [account]
        while at:
            here = at.pop()
            near = [(here[0], r.event.other_id or "") for r in self._replaced_by.get(here, ())] + [
                r.event.account for r in self._replacements.get(here, ())
            ]
            fresh = [other for other in near if other not in found]
            found.update(fresh)
            at += fresh
        return found

    def stops_of(self, enrollment: Accepted) -> list[tuple[dt.datetime, bool]]:
        """The instants from which an enrollment is stopped (True) or not (False), ascending; of
        equal instants the last one decides.
        """
        person = self.person_of(enrollment)
        said = [
            stop
            for stop in self._stops.get(enrollment.account, ())
            if stop.came_under == enrollment.person_id
            or self.read(stop.event.person_id or "").person == person
        ]
        said.sort(key=lambda stop: (stop.event.effective, stop.moment))
        return [(stop.event.effective, stop.event.kind == "enrollment_stopped") for stop in said]

    def is_stopped(self, enrollment: Accepted, instant: dt.datetime) -> bool:
        """Whether transactions of the enrollment at this instant are declined."""
        stopped = False
        for since, stops in self.stops_of(enrollment):
            if since > instant:
                break
            stopped = stops
        return stopped

    def stand_together(self, first: Accepted, second: Accepted, services: Services) -> bool:
        """Whether section 3 lets one person have both."""
        of_first, of_second = (
            (e.applied_at, *e.account, services.by_id.get(e.service_id)) for e in (first, second)
        )
        return stand_together(of_first, of_second)

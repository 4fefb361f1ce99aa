"""Applications that are decided one after the other: those that share a person or an account with
another, and those of people and accounts that events name.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from engine.booking.corrections import Accepted, Account
from engine.booking.exceptions import microseconds
from engine.booking.standing import Standing
from engine.rules.application import (
    ACCOUNT_TAKEN,
    ALREADY_ENROLLED,
    VOIDED,
    Application,
    stand_together,
)
from engine.terms.services import Services

UNCHANGED: Final = "unchanged"
_SOMEBODY_ELSE: Final = ""


class Turn(NamedTuple):
    """An application in its turn.

    Attributes:
        person: the ID that ``person_id`` is read as.
        is_concerned: whether an event names its person or its account.
    """

    applied_at: dt.datetime
    person: str
    service_id: str
    account_id: str
    person_id: str
    basis: str | None
    content: int
    is_concerned: bool

    @property
    def account(self) -> Account:
        return self.service_id, self.account_id


class Applications:
    """Decides applications in turn; what it accepts stands in the way of what comes after."""

    def __init__(
        self,
        standing: Standing,
        services: Services,
        holders: Mapping[Account, str],
        held: Mapping[str, Sequence[tuple[dt.datetime, str, str]]],
        run_number: int,
    ) -> None:
        """Begins with what the book knows of these applications: ``standing`` has the enrollments
        of the people and accounts that events name, ``holders`` who has the other accounts, and
        ``held`` when, and for which services, all other people have applied.
        """
        self._standing, self._services, self._run_number = standing, services, run_number
        self._holders = dict(holders)
        self._held: dict[str, list[Application]] = {
            person: [
                (*application, services.by_id.get(application[1])) for application in held_by_person
            ]
            for person, held_by_person in held.items()
        }
        self._concerned: dict[str, list[Accepted]] = {}
        for enrollment in standing.in_force():
            person = standing.person_of(enrollment)
            self._concerned.setdefault(person, []).append(enrollment)
        self.accepted: list[Accepted] = []

    def decide(self, turn: Turn, fault: str | None) -> str | None:
        """Accepts an application, or says why not; ``UNCHANGED`` where another stands for it.

        ``fault`` is what it does not satisfy on its own.
        """
        if not turn.is_concerned:
            reason = fault or self._against(turn)
        elif self._is_stood_for(turn):
            reason = UNCHANGED
        else:
            reason = fault or self._against_concerned(turn)
        if reason is None:
            self._accept(turn)
        return reason

    def _against(self, turn: Turn) -> str | None:
        holder = self._holders.get(turn.account)
        if holder is not None and holder != turn.person:
            return ACCOUNT_TAKEN
        application = self._application(turn)
        if not all(stand_together(other, application) for other in self._held.get(turn.person, ())):
            return ALREADY_ENROLLED
        return None

    def _is_stood_for(self, turn: Turn) -> bool:
        owner = self._standing.owner(turn.account)
        return (
            owner is not None
            and self._standing.person_of(owner.enrollment) == turn.person
            and stands_for(owner.enrollment, turn)
        )

    def _against_concerned(self, turn: Turn) -> str | None:
        if self._standing.is_barred(turn.account, turn.person_id):
            return VOIDED
        owner = self._standing.owner(turn.account)
        if owner is not None:
            is_theirs = self._standing.person_of(owner.enrollment) == turn.person
            return ALREADY_ENROLLED if is_theirs else ACCOUNT_TAKEN
        application = self._application(turn)
        for other in self._concerned.get(turn.person, ()):
            chosen = other.applied_at, *other.account, self._services.by_id.get(other.service_id)
            if not stand_together(chosen, application):
                return ALREADY_ENROLLED
        return None

    def _application(self, turn: Turn) -> Application:
        return turn.applied_at, *turn.account, self._services.by_id.get(turn.service_id)

    def _accept(self, turn: Turn) -> None:
        if not turn.is_concerned:
            self._holders[turn.account] = turn.person
            self._held.setdefault(turn.person, []).append(self._application(turn))
            return
        person, merges = self._standing.read(turn.person_id)
        enrollment = Accepted(
            turn.person_id,
            turn.service_id,
            turn.account_id,
            turn.applied_at,
            turn.basis,
            turn.content,
            person,
            merges,
            (self._run_number, 1, 0, microseconds(turn.applied_at), len(self.accepted)),
        )
        self._standing.accept(enrollment)
        self._concerned.setdefault(person, []).append(enrollment)
        self.accepted.append(enrollment)


def stands_for(enrollment: Accepted, turn: Turn) -> bool:
    """Whether a person's enrollment in force, to which the account belongs, says what the row says:
    it was granted, or says the same of another account, or came under another ID for this one.
    """
    if enrollment.granted_by is not None:
        return True
    if enrollment.account == turn.account:
        return enrollment.person_id != turn.person_id or enrollment.content == turn.content
    return enrollment.content == turn.content

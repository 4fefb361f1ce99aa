"""Taking events: which are accepted, which wait, and what the accepted ones make of enrollments.

Events are taken in order, each judged by what those before it made of the book; what is refused is
tried again after the others, until none is accepted any more. Events that share no person, account,
transaction or event cannot concern each other, so each such group is taken on its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Protocol

from engine.booking import event_reasons as reasons
from engine.booking.corrections import (
    Accepted,
    Account,
    Corrections,
    Event,
    Moment,
    Taken,
    TransactionKey,
    WaitingEvent,
)
from engine.booking.event_reasons import TOO_EARLY
from engine.booking.standing import Reading, Standing
from engine.terms.services import Services

_LAST: Final = 1 << 60


class KnownBook(Protocol):
    """What events ask of the book."""

    def enrollments_of(
        self, people: Iterable[str], accounts: Iterable[Account]
    ) -> Sequence[Accepted]:
        """The enrollments in force of these people and accounts that no event named before."""
        ...

    def transactions(self, keys: Iterable[TransactionKey]) -> Mapping[TransactionKey, str | None]:
        """Those that are booked, void, or waiting; and the person of each that was booked."""
        ...


class Refused(NamedTuple):
    """An event that was not accepted, and why."""

    event: Event
    reason: str


@dataclass(frozen=True, slots=True)
class TakenEvents:
    """What became of a run's events.

    Attributes:
        corrections: all accepted and waiting events, and all enrollments that they concern.
        accepted: in the order taken.
        refused: with the last reason.
        unchanged: how many rows changed nothing.
        reconsidered_accepted, reconsidered_refused: IDs that waited and wait no more.
        left_waiting: enrollments that a merge took out and that wait as the other's.
        groups: for each group of this run's accepted events their moments, the people and the
            accounts that the group concerns.
    """

    corrections: Corrections
    accepted: Sequence[Taken] = ()
    refused: Sequence[Refused] = ()
    reconsidered_accepted: frozenset[str] = frozenset()
    reconsidered_refused: frozenset[str] = frozenset()
    left_waiting: Sequence[Accepted] = ()
    groups: Sequence["Concerned"] = ()


@dataclass(frozen=True, slots=True)
class Concerned:
    """A group of events of one run, and whom they concern."""

    moments: tuple[Moment, ...]
    event_ids: tuple[str, ...]
    taken: tuple[Taken, ...]
    enrollments: tuple[Accepted, ...]
    people: frozenset[str]
    accounts: frozenset[Account]
    transactions: frozenset[TransactionKey]

    def as_of(self, moment: Moment) -> Standing:
        """What held in the group at a moment."""
        return Standing(self.taken, self.enrollments, moment)


def take_events(
    run_number: int,
    delivered: Sequence[Event],
    before: Corrections,
    left_alone: frozenset[str],
    book: KnownBook,
    services: Services,
) -> TakenEvents:
    """Takes a run's events.

    ``delivered`` are those that are not known yet, each ID once; ``left_alone`` the IDs in
    conflict, of which also what waits is left alone.
    """
    fresh = {event.event_id: event for event in delivered}
    waiting = {
        event_id: kept
        for event_id, kept in before.waiting.items()
        if event_id not in fresh and event_id not in left_alone
    }
    tries = [*fresh.values(), *(kept.event for kept in waiting.values())]
    if not tries:
        return TakenEvents(before)
    events = [*tries, *(taken.event for taken in before.taken)]
    keys = {event.transaction for event in events if event.kind == "transaction_voided"}
    transactions = book.transactions(sorted(keys)) if keys else {}
    before = _with_named(before, tries, transactions, book)
    result = _Result(before)
    for group in _groups(before, tries, transactions):
        _take_group(run_number, group, result, services, transactions)
    kept = {event_id: waits for event_id, waits in before.waiting.items() if event_id in left_alone}
    for event, reason in result.refused:
        if reason in TOO_EARLY:
            known = before.waiting.get(event.event_id)
            first_try = result.tried[event.event_id]
            if known is not None and known.event == event:
                first_try = known.first_try
            kept[event.event_id] = WaitingEvent(event, first_try)
    accepted = sorted(result.accepted, key=lambda taken: taken.moment)
    return TakenEvents(
        corrections=replace(
            before,
            taken=(*before.taken, *accepted),
            waiting=dict(sorted(kept.items())),
            enrollments=(*before.enrollments, *result.enrollments),
        ),
        accepted=accepted,
        refused=[
            refused
            for refused in result.refused
            if refused.event.event_id in fresh or refused.reason not in TOO_EARLY
        ],
        reconsidered_accepted=frozenset(
            taken.event.event_id for taken in accepted if taken.event.event_id in waiting
        ),
        reconsidered_refused=frozenset(
            event.event_id
            for event, reason in result.refused
            if event.event_id in waiting and reason not in TOO_EARLY
        ),
        left_waiting=result.left_waiting,
        groups=result.groups,
    )


@dataclass(slots=True)
class _Result:
    before: Corrections
    step: int = 0
    accepted: list[Taken] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    enrollments: list[Accepted] = field(default_factory=list)
    left_waiting: list[Accepted] = field(default_factory=list)
    groups: list[Concerned] = field(default_factory=list)
    tried: dict[str, Moment] = field(default_factory=dict)


def people_named(event: Event) -> set[str]:
    """The people that an event names."""
    named = {event.person_id} if event.person_id else set()
    if event.kind == "persons_merged" and event.other_id:
        named.add(event.other_id)
    return named


def accounts_named(event: Event) -> set[Account]:
    """The accounts that an event names."""
    named: set[Account] = set()
    if event.service_id and event.account_id:
        named.add((event.service_id, event.account_id))
        if event.kind == "account_replaced" and event.other_id:
            named.add((event.service_id, event.other_id))
    return named


def _with_named(
    before: Corrections,
    events: Iterable[Event],
    transactions: Mapping[TransactionKey, str | None],
    book: KnownBook,
) -> Corrections:
    """The corrections with the enrollments of everybody whom events name for the first time."""
    people = {person for person in transactions.values() if person is not None}
    accounts: set[Account] = set()
    for event in events:
        people |= people_named(event)
        accounts |= accounts_named(event)
    return with_concerned(before, people, accounts, book)


def with_concerned(
    before: Corrections, people: set[str], accounts: set[Account], book: KnownBook
) -> Corrections:
    """The corrections with the enrollments of these people and accounts, and of all whom those
    bring in.
    """
    people, accounts = set(people), set(accounts)
    enrollments = list(before.enrollments)
    known_people, known_accounts = set(before.people), set(before.accounts)
    while people or accounts:
        people -= known_people
        accounts -= known_accounts
        found = book.enrollments_of(sorted(people), sorted(accounts)) if people or accounts else ()
        known_people |= people
        known_accounts |= accounts
        held = {enrollment.moment for enrollment in enrollments}
        enrollments += [enrollment for enrollment in found if enrollment.moment not in held]
        people = {enrollment.person for enrollment in found} - known_people
        accounts = {enrollment.account for enrollment in found} - known_accounts
    return replace(
        before,
        enrollments=tuple(enrollments),
        people=frozenset(known_people),
        accounts=frozenset(known_accounts),
    )


@dataclass(slots=True)
class _Group:
    taken: list[Taken] = field(default_factory=list)
    tries: list[Event] = field(default_factory=list)
    enrollments: list[Accepted] = field(default_factory=list)
    names: set[tuple[str, ...]] = field(default_factory=set)


def _names(event: Event, transactions: Mapping[TransactionKey, str | None]) -> set[tuple[str, ...]]:
    names: set[tuple[str, ...]] = {("event", event.event_id)}
    names |= {("person", person) for person in people_named(event)}
    names |= {("account", *account) for account in accounts_named(event)}
    if event.kind == "undone":
        names.add(("event", event.other_id or ""))
    if event.kind == "transaction_voided":
        names.add(("transaction", *event.transaction))
        person = transactions.get(event.transaction)
        if person is not None:
            names.add(("person", person))
    return names


def _groups(
    before: Corrections,
    tries: Iterable[Event],
    transactions: Mapping[TransactionKey, str | None],
) -> list[_Group]:
    """The groups that have events to take."""
    parents: dict[tuple[str, ...], tuple[str, ...]] = {}

    def root(name: tuple[str, ...]) -> tuple[str, ...]:
        above = parents.setdefault(name, name)
        while above != parents[above]:
            parents[above] = parents[parents[above]]
            above = parents[above]
        parents[name] = above
        return above

    def join(names: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
        roots = [root(name) for name in names]
        for other in roots:
            parents[other] = roots[0]
        return roots[0]

    members: list[tuple[set[tuple[str, ...]], Callable[[_Group], None]]] = []
    for taken in before.taken:
        names = _names(taken.event, transactions)
        members.append((names, lambda group, taken=taken: group.taken.append(taken)))  # type: ignore[misc]
    for event in tries:
        names = _names(event, transactions)
        members.append((names, lambda group, event=event: group.tries.append(event)))  # type: ignore[misc]
    for one in before.enrollments:
        names = {("person", one.person_id), ("person", one.person), ("account", *one.account)}
        members.append((names, lambda group, one=one: group.enrollments.append(one)))  # type: ignore[misc]
    for names, _ in members:
        join(names)
    groups: dict[tuple[str, ...], _Group] = {}
    for names, put in members:
        group = groups.setdefault(root(next(iter(names))), _Group())
        group.names |= names
        put(group)
    return [group for group in groups.values() if group.tries]


def _take_group(
    run_number: int,
    group: _Group,
    result: _Result,
    services: Services,
    transactions: Mapping[TransactionKey, str | None],
) -> None:
    desk = _Desk(run_number, group, services, frozenset(transactions), result.step)
    tries = sorted(group.tries, key=lambda event: event.order)
    while True:
        refused = []
        for event in tries:
            result.tried.setdefault(event.event_id, (run_number, 0, desk.step, _LAST, 0))
            first_try = result.tried[event.event_id]
            known = result.before.waiting.get(event.event_id)
            if known is not None and known.event == event:
                first_try = known.first_try
            reason = desk.take(event, first_try)
            if reason is not None:
                refused.append(Refused(event, reason))
        if len(refused) == len(tries):
            break
        tries = [event for event, _ in refused]
    result.step = desk.step
    result.refused += refused
    result.accepted += desk.accepted
    result.enrollments += desk.enrolled
    result.left_waiting += desk.left_waiting
    if desk.accepted:
        result.groups.append(
            Concerned(
                tuple((*taken.moment[:3], _LAST, 0) for taken in desk.accepted),
                tuple(taken.event.event_id for taken in desk.accepted),
                tuple(desk.taken),
                tuple(desk.enrollments),
                frozenset(name[1] for name in group.names if name[0] == "person"),
                frozenset((n[1], n[2]) for n in group.names if n[0] == "account"),
                frozenset((n[1], n[2]) for n in group.names if n[0] == "transaction"),
            )
        )


class _Desk:
    """Takes the events of a group, one by one."""

    def __init__(
        self,
        run_number: int,
        group: _Group,
        services: Services,
        transactions: frozenset[TransactionKey],
        step: int,
    ) -> None:
        self.run_number, self.services, self.step = run_number, services, step
        self.transactions = transactions
        self.taken, self.enrollments = list(group.taken), list(group.enrollments)
        self.accepted: list[Taken] = []
        self.enrolled: list[Accepted] = []
        self.left_waiting: list[Accepted] = []
        # Accepted, waiting, or in this run: what an undoing may name.
        self.known = {t.event.event_id: t.event for t in self.taken} | {
            event.event_id: event for event in group.tries
        }
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

    def _accept(self, taken: Taken) -> None:
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
        if taken.event.kind in ("persons_merged", "undone"):
            self._stand_anew(readings, taken.moment)

    def _enroll(self, enrollment: Accepted) -> None:
        self.enrollments.append(enrollment)
        self.enrolled.append(enrollment)
        self.now.accept(enrollment)

    def _stand_anew(self, readings: Mapping[Moment, Reading], moment: Moment) -> None:
        """What a merge, or its undoing, took out stands at once as the other's, where it may."""
        moved = [
            enrollment
            for enrollment in self.enrollments
            if enrollment.moment in readings
            and self.now.read(enrollment.person_id) != readings[enrollment.moment]
        ]
        moved.sort(
            key=lambda one: (
                one.applied_at,
                self.now.read(one.person_id).person,
                one.service_id,
                one.account_id,
                one.person_id,
            )
        )
        for number, enrollment in enumerate(moved, 1):
            person, merges = self.now.read(enrollment.person_id)
            as_the_others = replace(
                enrollment, person=person, merges=merges, moment=(*moment[:3], number, 0)
            )
            owner = self.now.owner(enrollment.account)
            if owner is not None and owner.enrollment.key == enrollment.key:
                # The one that it was before is in force again.
                continue
            if (
                owner is not None
                or self.now.is_barred(enrollment.account, enrollment.person_id)
                or not self._may_stand(as_the_others)
            ):
                self.left_waiting.append(as_the_others)
            else:
                self._enroll(as_the_others)

    def _may_stand(self, enrollment: Accepted) -> bool:
        """Whether it may stand beside the person's others that were not granted."""
        return all(
            self.now.stand_together(other, enrollment, self.services)
            for other in self.now.in_force()
            if other.granted_by is None and other.person == enrollment.person
        )

    def account_replaced(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        if self.now.owner(event.account) is None:
            return reasons.NO_SUCH_ENROLLMENT
        if self.now.owner((event.service_id or "", event.other_id or "")) is not None:
            return reasons.ACCOUNT_TAKEN
        return Taken(event, moment)

    def _named(self, event: Event) -> Accepted | None:
        """The person's enrollment in force that has the account."""
        owner = self.now.owner(event.account)
        if owner is None:
            return None
        person = self.now.read(event.person_id or "").person
        return owner.enrollment if self.now.person_of(owner.enrollment) == person else None

    def enrollment_stopped(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        enrollment = self._named(event)
        if enrollment is None:
            return reasons.NO_SUCH_ENROLLMENT
        if event.kind == "enrollment_resumed" and not self.now.is_stopped(
            enrollment, event.effective
        ):
            return reasons.NOT_STOPPED
        return Taken(
            event, moment, came_under=enrollment.person_id, own_account=enrollment.account_id
        )

    def enrollment_voided(self, event: Event, moment: Moment, first_try: Moment) -> Taken | str:
        enrollment = self._named(event)
        if enrollment is None or (
            enrollment.granted_by is not None and enrollment.moment > first_try
        ):
            barred = self.now.is_barred(event.account, event.person_id or "")
            return reasons.VOIDED if barred else reasons.NO_SUCH_ENROLLMENT
        person = self.now.person_of(enrollment)
        return Taken(
            event,
            moment,
            person_ids=tuple(sorted(self.now.ids_read_as(person) | {enrollment.person_id})),
            accounts=tuple(account for _, account in self.now.accounts_of(enrollment)),
            target=enrollment.moment,
        )

    def enrollment_granted(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        if self.now.owner(event.account) is not None:
            return reasons.ACCOUNT_TAKEN
        service = self.services.by_id[event.service_id or ""]
        if service.basis == "either" and event.basis is None:
            return reasons.BASIS_NOT_CHOSEN
        return Taken(event, moment)

    def persons_merged(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        goes, stays = event.person_id or "", event.other_id or ""
        if self.now.read(goes).person == self.now.read(stays).person:
            return reasons.SAME_PERSON
        if goes in self.now.merges:
            return reasons.PERSON_GONE
        return Taken(event, moment)

    def transaction_voided(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        if event.transaction not in self.transactions:
            return reasons.NO_SUCH_TRANSACTION
        return Taken(event, moment)

    def undone(self, event: Event, moment: Moment, _: Moment) -> Taken | str:
        undone_id = event.other_id or ""
        if self.now.is_undone(undone_id):
            return reasons.ALREADY_UNDONE
        if undone_id not in self.known or self._in_a_circle(event):
            return reasons.NO_SUCH_EVENT
        taken = Taken(event, moment)
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
        """Why what would hold then may not hold."""
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
    """Whether merges lead from a person back to the same."""
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


def _granted(taken: Taken, standing: Standing) -> Accepted:
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


_KINDS: Final[Mapping[str, Callable[[_Desk, Event, Moment, Moment], Taken | str]]] = {
    "account_replaced": _Desk.account_replaced,
    "enrollment_stopped": _Desk.enrollment_stopped,
    "enrollment_resumed": _Desk.enrollment_stopped,
    "enrollment_voided": _Desk.enrollment_voided,
    "enrollment_granted": _Desk.enrollment_granted,
    "persons_merged": _Desk.persons_merged,
    "transaction_voided": _Desk.transaction_voided,
    "undone": _Desk.undone,
}

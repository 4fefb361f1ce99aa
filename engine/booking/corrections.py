"""Corrections: what accepted events made of enrollments, and what they make of them next.

Events concern few people, so they are taken one by one, in plain Python, over the enrollments of
the people and accounts that any event names. Everything follows from the events that are active
(accepted, and not undone by an active event) and from the enrollments that were ever accepted:
nothing is changed when an event is undone, it is only read without that event. So the state after
each event of a run can be asked for again, as of a moment.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

from engine.rules.application import stand_together
from engine.terms.services import Services

Account = tuple[str, str]
"""A service's ID and its own ID of an account."""
TransactionKey = tuple[str, str]
Moment = tuple[int, int, int, int, int]
"""When something was accepted: the run, 0 for its events and 1 for its applications, the event's
step (0 else), and two numbers that order what was accepted at the same step: for applications the
instant of the application in microseconds and the account's number."""

EVENT_COLUMNS: Final = (
    "event_id",
    "kind",
    "authority",
    "person_id",
    "service_id",
    "account_id",
    "transaction_id",
    "other_id",
    "effective_at",
    "basis",
    "note",
)

WITHDRAWN: Final = "withdrawn"
UNKNOWN_SERVICE: Final = "unknown_service"
VOIDED: Final = "voided"
NO_SUCH_ENROLLMENT: Final = "no_such_enrollment"
NO_SUCH_TRANSACTION: Final = "no_such_transaction"
ALREADY_UNDONE: Final = "already_undone"
NO_SUCH_EVENT: Final = "no_such_event"
SAME_PERSON: Final = "same_person"
PERSON_GONE: Final = "person_gone"
ACCOUNT_TAKEN: Final = "account_taken"
ALREADY_ENROLLED: Final = "already_enrolled"
BASIS_NOT_CHOSEN: Final = "basis_not_chosen"
NOT_STOPPED: Final = "not_stopped"

TOO_EARLY: Final = frozenset(
    {
        WITHDRAWN,
        UNKNOWN_SERVICE,
        NO_SUCH_ENROLLMENT,
        NO_SUCH_TRANSACTION,
        NO_SUCH_EVENT,
        NOT_STOPPED,
    }
)
_ENDLESS: Final[Moment] = (1 << 60, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Event:
    """A correction, as it was delivered."""

    event_id: str
    kind: str
    authority: str
    person_id: str | None = None
    service_id: str | None = None
    account_id: str | None = None
    transaction_id: str | None = None
    other_id: str | None = None
    effective_at: dt.datetime | None = None
    basis: str | None = None
    note: str | None = None

    @property
    def order(self) -> tuple[bool, dt.datetime, str]:
        """Events are taken by instant, those without one first, then by ID."""
        return (
            self.effective_at is not None,
            self.effective_at or dt.datetime.min,
            self.event_id,
        )

    @property
    def account(self) -> Account:
        """The account that it names."""
        assert self.service_id is not None
        assert self.account_id is not None
        return self.service_id, self.account_id

    @property
    def transaction(self) -> TransactionKey:
        """The transaction that it names."""
        assert self.service_id is not None
        assert self.transaction_id is not None
        return self.service_id, self.transaction_id

    @property
    def effective(self) -> dt.datetime:
        """The instant from which on it holds, of a kind that has one."""
        assert self.effective_at is not None
        return self.effective_at


@dataclass(frozen=True, slots=True)
class Accepted:
    """An enrollment that was accepted once, whether or not it is in force.

    Attributes:
        person_id: the ID as delivered, or as the grant named it.
        person: the ID that it was read as then.
        merges: the merges by which it was read so.
        content: the hash of what it says beside its three keys.
        granted_by: the event that granted it; None for an application.
    """

    person_id: str
    service_id: str
    account_id: str
    applied_at: dt.datetime
    basis: str | None
    content: int
    person: str
    merges: tuple[str, ...]
    moment: Moment
    granted_by: str | None = None

    @property
    def account(self) -> Account:
        return self.service_id, self.account_id

    @property
    def key(self) -> tuple[str, str, str]:
        """What an application is known by."""
        return self.person_id, self.service_id, self.account_id


@dataclass(frozen=True, slots=True)
class Taken:
    """An event that was accepted, and what it found then.

    Attributes:
        came_under: of a stop or a resumption: the ID that the enrollment came under.
        accounts: of an ``enrollment_voided``: the accounts that the enrollment had.
        person_ids: of it: the IDs that were read as the person.
        target: of it: the moment of the enrollment that it takes out.
        own_account: of a stop or a resumption: the enrollment's own account.
    """

    event: Event
    moment: Moment
    came_under: str | None = None
    accounts: tuple[str, ...] = ()
    person_ids: tuple[str, ...] = ()
    target: Moment | None = None
    own_account: str | None = None


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """An event that came too early, and the moment when it was tried first."""

    event: Event
    first_try: Moment


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """What waited and might have been possible, but for a key that came in conflict: the next run
    looks at it again.

    Attributes:
        transactions: the keys of waiting transactions.
        everything: whether all that waits is to be looked at.
        enrollments: whether the applications that wait are to be looked at.
    """

    transactions: tuple[TransactionKey, ...] = ()
    everything: bool = False
    enrollments: bool = False


@dataclass(frozen=True)
class Corrections:
    """All that is kept of events from run to run.

    Attributes:
        taken: the accepted events, in the order of acceptance.
        waiting: those that came too early, by ID.
        enrollments: all enrollments ever accepted for people and accounts that events name.
        people: the people whose enrollments are all in ``enrollments``.
        accounts: the accounts of which the same holds.
        left_alone: by the last run.
    """

    taken: tuple[Taken, ...] = ()
    waiting: Mapping[str, WaitingEvent] = field(default_factory=dict)
    enrollments: tuple[Accepted, ...] = ()
    people: frozenset[str] = frozenset()
    accounts: frozenset[Account] = frozenset()
    left_alone: LeftAlone = LeftAlone()

    def __bool__(self) -> bool:
        return bool(self.taken or self.waiting)

    def to_json(self) -> dict[str, Any]:
        """As the index keeps it."""
        kept: dict[str, Any] = {
            "taken": [asdict(taken) for taken in self.taken],
            "waiting": [asdict(waiting) for waiting in self.waiting.values()],
            "enrollments": [asdict(accepted) for accepted in self.enrollments],
            "people": sorted(self.people),
            "accounts": sorted(self.accounts),
            "left_alone": asdict(self.left_alone),
        }
        for row in kept["enrollments"]:
            row["applied_at"] = row["applied_at"].isoformat()
        for row in (*kept["taken"], *kept["waiting"]):
            instant = row["event"]["effective_at"]
            row["event"]["effective_at"] = instant and instant.isoformat()
        return kept

    def since(self, before: "Corrections") -> dict[str, Any]:
        """What a run added, as its folder keeps it; of what waits, all that waits after it."""
        added = Corrections(
            self.taken[len(before.taken) :],
            self.waiting,
            self.enrollments[len(before.enrollments) :],
            self.people - before.people,
            self.accounts - before.accounts,
            self.left_alone,
        )
        return added.to_json()

    def with_run(self, kept: dict[str, Any]) -> "Corrections":
        """The corrections with what a run added."""
        added = Corrections.from_json(kept)
        return Corrections(
            (*self.taken, *added.taken),
            added.waiting,
            (*self.enrollments, *added.enrollments),
            self.people | added.people,
            self.accounts | added.accounts,
            added.left_alone,
        )

    @classmethod
    def from_json(cls, kept: dict[str, Any]) -> "Corrections":
        """As the index kept it."""
        waiting = [
            WaitingEvent(_event(row["event"]), _moment(row["first_try"])) for row in kept["waiting"]
        ]
        return cls(
            tuple(
                Taken(
                    _event(row["event"]),
                    _moment(row["moment"]),
                    row["came_under"],
                    tuple(row["accounts"]),
                    tuple(row["person_ids"]),
                    None if row["target"] is None else _moment(row["target"]),
                    row["own_account"],
                )
                for row in kept["taken"]
            ),
            {event.event.event_id: event for event in waiting},
            tuple(
                Accepted(
                    **{
                        **row,
                        "applied_at": _instant(row["applied_at"]),
                        "merges": tuple(row["merges"]),
                        "moment": _moment(row["moment"]),
                    }
                )
                for row in kept["enrollments"]
            ),
            frozenset(kept["people"]),
            frozenset((service_id, account_id) for service_id, account_id in kept["accounts"]),
            LeftAlone(
                tuple((service_id, key) for service_id, key in kept["left_alone"]["transactions"]),
                kept["left_alone"]["everything"],
                kept["left_alone"]["enrollments"],
            ),
        )


def _moment(numbers: list[int]) -> Moment:
    run, phase, step, first, second = numbers
    return run, phase, step, first, second


def _instant(value: Any) -> Any:  # noqa: ANN401 - text as kept, or an instant already
    return dt.datetime.fromisoformat(value) if isinstance(value, str) else value


def _event(row: dict[str, Any]) -> Event:
    return Event(**{**row, "effective_at": _instant(row["effective_at"])})


class Owner(NamedTuple):
    """The enrollment that an account belongs to, and from when on; None is from ever."""

    enrollment: Accepted
    since: dt.datetime | None


class Reading(NamedTuple):
    """The person as whom an ID is read, and the merges that make it so."""

    person: str
    merges: tuple[str, ...]


class Standing:
    """What holds as of a moment, by all that was accepted up to it."""

    def __init__(
        self,
        taken: Iterable[Taken],
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
        self._voids: dict[Account, list[Taken]] = {}
        for void in self._active_of("enrollment_voided"):
            for account_id in void.accounts:
                self._voids.setdefault((void.event.service_id or "", account_id), []).append(void)
        self._replacements: dict[Account, list[Taken]] = {}
        self._replaced_by: dict[Account, list[Taken]] = {}
        for replacement in self._active_of("account_replaced"):
            event = replacement.event
            fresh = (event.service_id or "", event.other_id or "")
            self._replacements.setdefault(fresh, []).append(replacement)
            self._replaced_by.setdefault(event.account, []).append(replacement)
        self._stops: dict[Account, list[Taken]] = {}
        for kind in ("enrollment_stopped", "enrollment_resumed"):
            for stop in self._active_of(kind):
                where = (stop.event.service_id or "", stop.own_account or "")
                self._stops.setdefault(where, []).append(stop)
        self.voided_transactions = {
            t.event.transaction for t in self._active_of("transaction_voided")
        }
        self._readings: dict[str, Reading] = {}

    def _of_kind(self, kind: str) -> Iterator[Taken]:
        return (t for t in self._taken.values() if t.event.kind == kind)

    def _active_of(self, kind: str) -> list[Taken]:
        return [t for t in self._of_kind(kind) if self._is_active(t)]

    def _is_active(self, taken: Taken) -> bool:
        event_id = taken.event.event_id
        if event_id not in self._active:
            self._active[event_id] = not self.is_undone(event_id)
        return self._active[event_id]

    def is_undone(self, event_id: str) -> bool:
        """Whether an event in force says that this one has no effect, or may have none."""
        return any(self._is_active(self._taken[u]) for u in self._undoers.get(event_id, ()))

    def taken(self, event_id: str | None) -> Taken | None:
        """An accepted event, in force or not."""
        return self._taken.get(event_id or "")

    def read(self, person_id: str) -> Reading:
        """The person as whom an ID is read."""
        if person_id not in self._readings:
            person = person_id
            merges: list[str] = []
            while person in self.merges and len(merges) <= len(self.merges):
                merge = self.merges[person].event
                merges.append(merge.event_id)
                person = merge.other_id or ""
            self._readings[person_id] = Reading(person, tuple(merges))
        return self._readings[person_id]

    def ids_read_as(self, person: str) -> set[str]:
        """All IDs that are read as a person, its own included."""
        return {person} | {goes for goes in self.merges if self.read(goes).person == person}

    def person_of(self, enrollment: Accepted) -> str:
        """Whose an enrollment in force is."""
        return (
            self.read(enrollment.person_id).person if enrollment.granted_by else enrollment.person
        )

    def is_read_as_accepted(self, enrollment: Accepted) -> bool:
        """Whether its ID is read as when it was accepted; a grant goes with its person."""
        if enrollment.granted_by is not None:
            grant = self._taken.get(enrollment.granted_by)
            return grant is not None and self._is_active(grant)
        return self.read(enrollment.person_id) == (enrollment.person, enrollment.merges)

    def is_in_force(self, enrollment: Accepted) -> bool:
        """Whether an enrollment, accepted by now, is in force."""
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
        """Adds an enrollment that is accepted now: the only change that does not begin anew."""
        self._enrollments.setdefault(enrollment.account, []).append(enrollment)

    def enrollments(self) -> Iterator[Accepted]:
        """All enrollments ever accepted."""
        return (one for several in self._enrollments.values() for one in several)

    def in_force(self) -> Iterator[Accepted]:
        """All enrollments in force."""
        return (enrollment for enrollment in self.enrollments() if self.is_in_force(enrollment))

    def enrolled(self, account: Account) -> Accepted | None:
        """The enrollment in force under this very account."""
        held = self._enrollments.get(account, ())
        return next((enrollment for enrollment in held if self.is_in_force(enrollment)), None)

    def owner(self, account: Account) -> Owner | None:
        """The enrollment in force that an account belongs to: its own, else by replacements that
        of the account it replaced, and of several the one accepted first.
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
        """From which instant on an enrollment is stopped (True) or not (False), ascending; of
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
        """Whether what the enrollment has at this instant is declined."""
        stopped = False
        for since, stops in self.stops_of(enrollment):
            if since > instant:
                break
            stopped = stops
        return stopped

    def stand_together(self, first: Accepted, second: Accepted, services: Services) -> bool:
        """Whether section 3 lets one person have both."""
        one, other = (
            (e.applied_at, *e.account, services.by_id.get(e.service_id)) for e in (first, second)
        )
        return stand_together(one, other)

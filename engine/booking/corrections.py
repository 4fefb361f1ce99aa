"""Corrections: the events that were accepted or wait, the enrollments that they concern, and how
both are kept from run to run.

Events concern few people, so they are handled one by one, in plain Python, over the enrollments of
the people and accounts that any event names.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

Account = tuple[str, str]
"""A service's ID and its own ID of an account."""
TransactionKey = tuple[str, str]
Moment = tuple[int, int, int, int, int]
"""When something was accepted: the run; 0 for its events, 1 for its applications; the event's step
(0 for applications); and two numbers that order what was accepted at the same step: for
applications their instant in microseconds and the account's number."""
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
        """The instant from which it holds; only for kinds that have one."""
        assert self.effective_at is not None
        return self.effective_at


@dataclass(frozen=True, slots=True)
class Accepted:
    """An enrollment that was accepted once, whether or not it is in force.

    Attributes:
        person_id: the ID as delivered, or as the grant named it.
        person: the ID as which ``person_id`` was read then.
        merges: the merges that made it so.
        content: the hash of what the enrollment says apart from its three keys.
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
        """The key of an application."""
        return self.person_id, self.service_id, self.account_id


@dataclass(frozen=True, slots=True)
class EventAcceptance:
    """The acceptance of an event, and what it found then.

    Attributes:
        came_under: for a stop or a resumption: the person ID with which the enrollment was made.
        accounts: for an ``enrollment_voided``: the accounts that the enrollment had.
        person_ids: likewise: the IDs that were read as the person.
        target: likewise: the moment of the enrollment that is voided.
        own_account: for a stop or a resumption: the enrollment's own account.
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
    """An event that came too early, and the moment of the first attempt to accept it."""

    event: Event
    first_try: Moment


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """What waits and could not be reconsidered, because a key was in conflict: the next run tries
    again.

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
        accounts: the accounts whose enrollments are all there.
        left_alone: what the last run left alone.
    """

    taken: tuple[EventAcceptance, ...] = ()
    waiting: Mapping[str, WaitingEvent] = field(default_factory=dict)
    enrollments: tuple[Accepted, ...] = ()
    people: frozenset[str] = frozenset()
    accounts: frozenset[Account] = frozenset()
    left_alone: LeftAlone = LeftAlone()

    def __bool__(self) -> bool:
        return bool(self.taken or self.waiting)

    def to_json(self) -> dict[str, Any]:
        """The corrections in the form that the index keeps."""
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
        """What a run added, as its folder keeps it; and all events that wait after it."""
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
        """The corrections from the form that the index keeps."""
        waiting = [
            WaitingEvent(_event(row["event"]), _moment(row["first_try"])) for row in kept["waiting"]
        ]
        return cls(
            tuple(
                EventAcceptance(
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

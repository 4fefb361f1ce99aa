"""Whom events concern: the people and accounts that they name, the enrollments to be known of
those, and the groups of events that can concern each other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from engine.booking.corrections import (
    Accepted,
    Account,
    Corrections,
    Event,
    EventAcceptance,
    Moment,
    TransactionKey,
)
from engine.booking.standing import Standing


class KnownBook(Protocol):
    """What the book must tell about those whom events name."""

    def enrollments_of(
        self, people: Iterable[str], accounts: Iterable[Account]
    ) -> Sequence[Accepted]:
        """The enrollments in force of these people and accounts that no event named before."""
        ...

    def transactions(self, keys: Iterable[TransactionKey]) -> Mapping[TransactionKey, str | None]:
        """The keys that are booked, void, or waiting; and the person of each that was booked."""
        ...


@dataclass(frozen=True, slots=True)
class Concerned:
    """A group of events of one run, and whom they concern."""

    moments: tuple[Moment, ...]
    event_ids: tuple[str, ...]
    taken: tuple[EventAcceptance, ...]
    enrollments: tuple[Accepted, ...]
    people: frozenset[str]
    accounts: frozenset[Account]
    transactions: frozenset[TransactionKey]

    def as_of(self, moment: Moment) -> Standing:
        """What held in the group at a moment."""
        return Standing(self.taken, self.enrollments, moment)


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


def with_named(
    before: Corrections,
    events: Iterable[Event],
    transactions: Mapping[TransactionKey, str | None],
    book: KnownBook,
) -> Corrections:
    """The corrections with the enrollments of all whom events name for the first time."""
    people = {person for person in transactions.values() if person is not None}
    accounts: set[Account] = set()
    for event in events:
        people |= people_named(event)
        accounts |= accounts_named(event)
    return with_concerned(before, people, accounts, book)


def with_concerned(
    before: Corrections, people: set[str], accounts: set[Account], book: KnownBook
) -> Corrections:
    """The corrections with the enrollments of these people and accounts, and of all people and
    accounts that stand in those enrollments.
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
class Group:
    """Events that may concern each other, and the enrollments of those whom they name."""

    taken: list[EventAcceptance] = field(default_factory=list)
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


def groups_of(
    before: Corrections,
    tries: Iterable[Event],
    transactions: Mapping[TransactionKey, str | None],
) -> list[Group]:
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

    members: list[tuple[set[tuple[str, ...]], Callable[[Group], None]]] = []
    for taken in before.taken:
        names = _names(taken.event, transactions)
        members.append((names, lambda group, taken=taken: group.taken.append(taken)))  # type: ignore[misc]
    for event in tries:
        names = _names(event, transactions)
        members.append((names, lambda group, event=event: group.tries.append(event)))  # type: ignore[misc]
    for held in before.enrollments:
        names = {("person", held.person_id), ("person", held.person), ("account", *held.account)}
        members.append((names, lambda group, held=held: group.enrollments.append(held)))  # type: ignore[misc]
    for names, _ in members:
        join(names)
    groups: dict[tuple[str, ...], Group] = {}
    for names, put in members:
        group = groups.setdefault(root(next(iter(names))), Group())
        group.names |= names
        put(group)
    return [group for group in groups.values() if group.tries]

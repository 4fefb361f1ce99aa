"""Taking a run's events: which are accepted, which wait, and which are refused.

Events are taken in order, each judged by what those before it made of the book; what is refused is
tried again after the others, until no more are accepted. Events that share no person, account,
transaction or event cannot concern each other, so each such group is taken on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from engine.booking.concerned import Concerned, Group, KnownBook, groups_of, with_named
from engine.booking.corrections import (
    Accepted,
    Corrections,
    Event,
    EventAcceptance,
    Moment,
    TransactionKey,
    WaitingEvent,
)
from engine.booking.event_examination import Examination, PutToWait
from engine.booking.event_reasons import TOO_EARLY
from engine.terms.services import Services

_LAST: Final = 1 << 60


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
        refused: with the reason of the last attempt.
        reconsidered_accepted, reconsidered_refused: IDs that waited and no longer wait.
        put_to_wait: applications that events took out of force, and that wait.
        groups: those in which an event was accepted, and whom they concern.
    """

    corrections: Corrections
    accepted: Sequence[EventAcceptance] = ()
    refused: Sequence[Refused] = ()
    reconsidered_accepted: frozenset[str] = frozenset()
    reconsidered_refused: frozenset[str] = frozenset()
    put_to_wait: Sequence[PutToWait] = ()
    groups: Sequence["Concerned"] = ()


def take_events(
    run_number: int,
    delivered: Sequence[Event],
    before: Corrections,
    left_alone: frozenset[str],
    book: KnownBook,
    services: Services,
) -> TakenEvents:
    """Takes a run's events.

    ``delivered`` are those that are not known yet, each ID once; ``left_alone`` are the IDs in
    conflict: waiting events of these IDs are left alone, too.
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
    before = with_named(before, tries, transactions, book)
    result = _Result(before)
    for group in groups_of(before, tries, transactions):
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
        put_to_wait=result.put_to_wait,
        groups=result.groups,
    )


@dataclass(slots=True)
class _Result:
    before: Corrections
    step: int = 0
    accepted: list[EventAcceptance] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    enrollments: list[Accepted] = field(default_factory=list)
    put_to_wait: list[PutToWait] = field(default_factory=list)
    groups: list[Concerned] = field(default_factory=list)
    tried: dict[str, Moment] = field(default_factory=dict)


def _take_group(
    run_number: int,
    group: Group,
    result: _Result,
    services: Services,
    transactions: Mapping[TransactionKey, str | None],
) -> None:
    examination = Examination(
        run_number,
        group,
        services,
        frozenset(transactions),
        result.step,
        result.before.waiting,
    )
    tries = sorted(group.tries, key=lambda event: event.order)
    while True:
        refused = []
        for event in tries:
            result.tried.setdefault(event.event_id, (run_number, 0, examination.step, _LAST, 0))
            first_try = result.tried[event.event_id]
            known = result.before.waiting.get(event.event_id)
            if known is not None and known.event == event:
                first_try = known.first_try
            reason = examination.take(event, first_try)
            if reason is not None:
                refused.append(Refused(event, reason))
        if len(refused) == len(tries):
            break
        tries = [event for event, _ in refused]
    result.step = examination.step
    result.refused += refused
    result.accepted += examination.accepted
    result.enrollments += examination.enrolled
    result.put_to_wait += examination.put_to_wait.values()
    if examination.accepted:
        result.groups.append(
            Concerned(
                tuple((*taken.moment[:3], _LAST, 0) for taken in examination.accepted),
                tuple(taken.event.event_id for taken in examination.accepted),
                tuple(examination.taken),
                tuple(examination.enrollments),
                frozenset(name[1] for name in group.names if name[0] == "person"),
                frozenset((n[1], n[2]) for n in group.names if n[0] == "account"),
                frozenset((n[1], n[2]) for n in group.names if n[0] == "transaction"),
            )
        )

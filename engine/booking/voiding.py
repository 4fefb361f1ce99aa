"""Voiding: which booked entries have to be voided after a run's events, and by which event.

Voids concern the people of a few groups of events, so these people's entries in force are examined
one by one, as of each event of the group.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, cast

import numpy as np
import polars as pl

from engine.booking.concerned import Concerned
from engine.booking.corrections import Moment
from engine.booking.index_spaces import BookPositions
from engine.booking.recounted import Voids
from engine.booking.standing import Owner, Standing
from engine.booking.state import RUN_SHIFT, Integers, Past, RefundSums, summed

REFUND: Final = "refund"


@dataclass(frozen=True, slots=True)
class _Booked:
    """An entry in force.

    Attributes:
        enrollment: the moment of the enrollment that it was booked for.
        is_cut: whether it is a refund that took less than its amount.
        of: the position of its original's entry, or its own position.
    """

    position: int
    person: str
    service_id: str
    account_id: str
    enrollment: Moment | None
    transaction_id: str
    occurred_at: dt.datetime
    is_refund: bool
    is_cut: bool
    of: int


def voids_of(
    groups: Sequence[Concerned], past: Past, entries_at: Callable[[BookPositions], pl.DataFrame]
) -> Voids:
    """The entries that have to be voided after these groups of events."""
    event_of: dict[int, str] = {}
    of: dict[int, int] = {}
    for group in groups:
        booked = list(_entries_in_force(group, past, entries_at))
        for entry, event_id in _going(group, booked):
            event_of[entry.position], of[entry.position] = event_id, entry.of
    if not event_of:
        return Voids.none()
    positions: BookPositions = np.array(sorted(event_of), np.int64)
    person_nos = past.facts_at(positions)["person_no"].astype(np.int64)
    order = np.lexsort((-positions, person_nos))
    positions = positions[order]
    entries = entries_at(positions).with_columns(
        pl.Series("event_id", [event_of[position] for position in positions.tolist()])
    )
    return Voids(
        entries,
        positions,
        np.array([of[position] for position in positions.tolist()], np.int64),
        person_nos[order],
    )


def without(past: Past, voids: Voids) -> Past:
    """The book's past, with these entries void."""
    if voids.positions.size == 0:
        return past
    refunds = (voids.entries["kind"] == REFUND).to_numpy()
    given_back = voids.entries["net_amount"].to_numpy()[refunds]
    return replace(
        past,
        voided=cast(BookPositions, np.union1d(past.voided, voids.positions)),
        refunded=with_refunds(past.refunded, voids.of[refunds], given_back),
    )


def with_refunds(refunded: RefundSums, originals: BookPositions, yen: Integers) -> RefundSums:
    """What refunds took back, with ``yen`` added (negative where a refund is void)."""
    positions, sums = summed(*refunded, originals, yen)
    return RefundSums(cast(BookPositions, positions), sums)


def _entries_in_force(
    group: Concerned, past: Past, entries_at: Callable[[BookPositions], pl.DataFrame]
) -> Iterator[_Booked]:
    people = {enrollment.person for enrollment in group.enrollments} | group.people
    numbers = past.registry.people_finder.find(pl.Series(sorted(people), dtype=pl.String))
    positions = past.positions_of(numbers[numbers >= 0])
    facts = past.facts_at(positions)
    positions = positions[past.in_force(positions) & (facts["spends"] != 0)]
    entries = entries_at(positions)
    spendings = {
        (service_id, transaction_id): position
        for service_id, transaction_id, kind, position in zip(
            entries["service_id"],
            entries["transaction_id"],
            entries["kind"],
            positions.tolist(),
            strict=True,
        )
        if kind != REFUND
    }
    standings: dict[int, Standing] = {}
    columns = (
        "person_id",
        "service_id",
        "account_id",
        "enrolled_account_id",
        "transaction_id",
        "occurred_at",
        "kind",
        "amount",
        "net_amount",
        "original_transaction_id",
    )
    for position, row in zip(positions.tolist(), entries.select(columns).iter_rows(), strict=True):
        person, service_id, account_id, enrolled, key, occurred_at, kind, amount, net, of = row
        is_refund = kind == REFUND
        run_number = position >> RUN_SHIFT
        if run_number not in standings:
            standings[run_number] = group.as_of((run_number + 1, 0, 0, 0, 0))
        booked_for = standings[run_number].enrolled((service_id, enrolled or account_id))
        yield _Booked(
            position,
            person,
            service_id,
            account_id,
            booked_for.moment if booked_for else None,
            key,
            occurred_at,
            is_refund,
            is_refund and -net < amount,
            spendings[service_id, of] if is_refund else position,
        )


def _going(group: Concerned, booked: Sequence[_Booked]) -> Iterator[tuple[_Booked, str]]:
    """The entries to void, each with the first event that makes it void."""
    steps = list(zip(group.moments, group.event_ids, strict=True))
    moment, event_id = steps.pop()
    still = _to_void(booked, group.as_of(moment))
    first = dict.fromkeys(still, event_id)
    while still and steps:
        moment, event_id = steps.pop()
        still &= _to_void(booked, group.as_of(moment))
        first |= dict.fromkeys(still, event_id)
    for entry in booked:
        if entry.position in first:
            yield entry, first[entry.position]


def _to_void(booked: Iterable[_Booked], standing: Standing) -> set[int]:
    """The positions of the entries that may not stand; ``booked`` is in booking order."""
    owners: dict[tuple[str, str], Owner | None] = {}
    going: set[int] = set()
    for entry in booked:
        account = entry.service_id, entry.account_id
        if account not in owners:
            owners[account] = standing.owner(account)
        if not _may_stand(entry, owners[account], standing):
            going.add(entry.position)
    cut_off: set[int] = set()
    for entry in booked:
        if not entry.is_refund:
            continue
        if entry.of in going or (entry.is_cut and entry.of in cut_off):
            going.add(entry.position)
        if entry.position in going:
            cut_off.add(entry.of)
    return going


def _may_stand(entry: _Booked, owner: Owner | None, standing: Standing) -> bool:
    if (entry.service_id, entry.transaction_id) in standing.voided_transactions:
        return False
    if owner is None or standing.person_of(owner.enrollment) != entry.person:
        return False
    if owner.enrollment.moment != entry.enrollment:
        return False
    if owner.since is not None and entry.occurred_at < owner.since:
        return False
    return entry.is_refund or not standing.is_stopped(owner.enrollment, entry.occurred_at)

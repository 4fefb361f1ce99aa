"""The random worlds reach everything: each reason, each code, each rare situation."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from functools import cache

import oracle
import worlds

WORLDS = {False: range(300), True: range(150)}
"""Without events, and with some."""


@cache
def nights_of(seed: int, *, corrected: bool) -> list[oracle.Night]:
    return worlds.booked_by_the_oracle(worlds.make(seed, corrected=corrected))


def booked_worlds(*, corrected: bool) -> Iterator[list[oracle.Night]]:
    for seed in WORLDS[corrected]:
        yield nights_of(seed, corrected=corrected)


def test_the_same_seed_makes_the_same_world() -> None:
    for corrected in (False, True):
        assert worlds.make(7, corrected=corrected) == worlds.make(7, corrected=corrected)
        assert worlds.make(7, corrected=corrected) != worlds.make(8, corrected=corrected)


IDS = ("missing", "malformed", "out_of_range")


def codes_in_reach() -> set[str]:
    codes = {"row:malformed"}
    for column in ("transaction_id", "service_id", "account_id", "person_id"):
        codes |= {f"{column}:{code}" for code in IDS}
    codes |= {f"original_transaction_id:{code}" for code in (*IDS, "unexpected")}
    codes |= {"transaction_id:conflict", "person_id:conflict"}
    codes |= {"amount:missing", "amount:malformed", "amount:out_of_range"}
    codes |= {"kind:missing", "kind:unknown", "basis:unknown"}
    for column in ("occurred_at", "applied_at", "card_applied_on"):
        codes |= {f"{column}:missing", f"{column}:malformed"}
    for column in ("reserved_at", "certificate_issued_at", "preregistered_on"):
        codes.add(f"{column}:malformed")
    return codes


def codes_in_reach_of_events() -> set[str]:
    codes = {f"event_id:{code}" for code in (*IDS, "conflict")}
    codes |= {f"other_id:{code}" for code in (*IDS, "unexpected")}
    codes |= {"authority:missing", "authority:out_of_range"}
    codes |= {f"effective_at:{code}" for code in ("missing", "malformed", "unexpected")}
    for column in ("person_id", "service_id", "account_id", "transaction_id", "basis"):
        codes.add(f"{column}:unexpected")
    return codes


def test_the_random_worlds_reach_every_reason() -> None:
    """Each reason and code turns up in several worlds, and no other ever does."""
    declined: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for nights in booked_worlds(corrected=False):
        declined.update({row.reason for night in nights for row in night.declined})
        rejected.update({row.reason for night in nights for row in night.rejected})
        quarantined.update(
            {code for night in nights for row in night.quarantine for code in row.errors}
        )
    assert set(declined) == set(oracle.DECLINE_REASONS) - {"voided", "enrollment_stopped"}
    assert set(rejected) == set(oracle.ENROLLMENT_REASONS) - {"voided"}
    assert set(quarantined) == codes_in_reach()
    assert min(declined.values()) >= 20, declined
    assert min(rejected.values()) >= 20, rejected
    assert min(quarantined.values()) >= 5, quarantined


def test_the_random_worlds_with_events_reach_every_reason() -> None:
    declined: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for nights in booked_worlds(corrected=True):
        declined.update({row.reason for night in nights for row in night.declined})
        rejected.update({row.reason for night in nights for row in night.rejected})
        accepted.update({event.kind for night in nights for event in night.accepted_events})
        refused.update({row.reason for night in nights for row in night.rejected_events})
        quarantined.update(
            {code for night in nights for row in night.quarantine for code in row.errors}
        )
    assert set(declined) == set(oracle.DECLINE_REASONS)
    assert set(rejected) == set(oracle.ENROLLMENT_REASONS)
    assert set(accepted) == set(oracle.EVENT_COLUMNS_BY_KIND)
    assert set(refused) == set(oracle.EVENT_REASONS)
    assert set(quarantined) == codes_in_reach() | codes_in_reach_of_events()
    for found in (declined, rejected, accepted, refused):
        assert min(found.values()) >= 3, found


# --- Rare situations ------------------------------------------------------------------------------


def situations(nights: list[oracle.Night]) -> set[str]:
    """Name the rare situations that this world's ledger has come through."""
    found = set()
    ledger = [entry for night in nights for entry in night.ledger]
    booked = [entry for entry in ledger if entry.kind in ("charge", "purchase")]
    originals = {(entry.service_id, entry.transaction_id): entry for entry in booked}
    accounts = defaultdict(set)
    moments: Counter[tuple[str, datetime]] = Counter()
    refunds: Counter[tuple[str, str]] = Counter()
    for entry in ledger:
        accounts[entry.person_id].add((entry.service_id, entry.account_id))
        moments[entry.person_id, entry.occurred_at] += 1
        if entry.kind == "refund":
            key = (entry.service_id, entry.original_transaction_id or "")
            refunds[key] += 1
            if originals[key].occurred_at == entry.occurred_at:
                found.add("a refund in its original's instant")
            if originals[key].run_id != entry.run_id:
                found.add("a refund on a later night")
            if originals[key].occurred_at.month != entry.occurred_at.month:
                found.add("a refund in a later month")
            if entry.counted_amount == 0:
                found.add("a refund of what was past the cap")
            if -entry.amount < entry.counted_amount < 0:
                found.add("a refund that crosses the cap")
            if entry.points == 0 and entry.counted_amount < 0:
                found.add("a refund that takes back no point")
            if -entry.net_amount < entry.amount:
                found.add("a refund that takes less than its amount")
        elif entry.kind == "recount":
            found.add("a recount")
        elif 0 < entry.counted_amount < entry.amount:
            found.add("an entry that crosses the cap")
        elif entry.counted_amount == 0:
            found.add("an entry past the cap")
        if entry.net_spend_after == 0:
            found.add("nothing left")
    if any(len(held) > 1 for held in accounts.values()):
        found.add("a person with two accounts")
    if any(count > 2 for count in moments.values()):
        found.add("three entries of a person in one instant")
    if any(count > 2 for count in refunds.values()):
        found.add("three refunds of one original")
    if len({entry.person_id for entry in ledger}) > 3:
        found.add("four people")
    if len({entry.run_id for entry in ledger}) > 3:
        found.add("four nights")
    if any(night.counts.reconsidered for night in nights):
        found.add("a transaction that waited")
    if any(night.enrollment_counts.reconsidered for night in nights):
        found.add("an application that waited")
    return found


SITUATIONS = 18


def test_the_random_worlds_reach_the_rare_situations() -> None:
    found: Counter[str] = Counter()
    for nights in booked_worlds(corrected=False):
        found.update(situations(nights))
    assert len(found) == SITUATIONS, found
    assert min(found.values()) >= 5, found


def corrected_situations(nights: list[oracle.Night]) -> set[str]:
    """Name what events brought about in this world."""
    found = set()
    ledger = [entry for night in nights for entry in night.ledger]
    events = {event.event_id: event for night in nights for event in night.accepted_events}
    people_of_key = defaultdict(set)
    bookings_of_key: Counter[tuple[str, str]] = Counter()
    for entry in ledger:
        key = (entry.service_id, entry.transaction_id)
        if entry.kind in ("charge", "purchase", "refund"):
            people_of_key[key].add(entry.person_id)
            bookings_of_key[key] += 1
        if entry.kind.endswith("_void"):
            cause = events[entry.event_id or ""]
            found.add(f"a {entry.kind} by {cause.kind}")
        if entry.kind == "recount" and entry.event_id is not None:
            found.add("a recount by an event")
        if entry.enrolled_account_id is not None:
            found.add(f"a {entry.kind} of a new account")
    if any(len(people) > 1 for people in people_of_key.values()):
        found.add("a transaction booked for two people")
    if any(count > 2 for count in bookings_of_key.values()):
        found.add("a transaction booked three times")
    undone = [event for event in events.values() if event.kind == "undone"]
    found |= {
        f"an undone {events[event.other_id or ''].kind}"
        for event in undone
        if event.other_id in events
    }
    for night in nights:
        if night.event_counts.reconsidered:
            found.add("an event that waited")
        for row in night.rejected_events:
            if row.kind == "undone":
                found.add(f"an undoing refused as {row.reason}")
    return found


def test_the_random_worlds_with_events_reach_the_rare_situations() -> None:
    found: Counter[str] = Counter()
    for nights in booked_worlds(corrected=True):
        found.update(corrected_situations(nights))
    for kind in oracle.EVENT_COLUMNS_BY_KIND:
        assert found[f"an undone {kind}"] >= 1, found
    for kind in ("charge", "purchase", "refund"):
        for cause in ("account_replaced", "undone", "enrollment_voided", "persons_merged"):
            if cause != "account_replaced":
                assert found[f"a {kind}_void by {cause}"] >= 3, found
        assert found[f"a {kind} of a new account"] >= 3, found
    for reason in ("same_person", "person_gone", "account_taken", "already_enrolled"):
        assert found[f"an undoing refused as {reason}"] >= 1, found
    for what in (
        "a recount by an event",
        "a transaction booked for two people",
        "a transaction booked three times",
        "an event that waited",
    ):
        assert found[what] >= 5, found

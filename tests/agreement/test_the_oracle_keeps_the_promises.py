"""The specification's promises hold of the oracle's books, in random worlds with events."""

import copy
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import astuple, replace
from functools import cache
from random import Random

import oracle
import pytest
import worlds
from oracle.in_force import InForce
from oracle.ledger import live_bookings
from oracle.voids import bookings_that_must_go

WORLDS = range(80)
CLEAN_WORLDS = range(40)
NIGHTS_UNTIL_NOTHING_MOVES = 20


@cache
def booked_world(
    seed: int, *, corrected: bool
) -> tuple[worlds.World, list[oracle.Night], oracle.Book]:
    world = worlds.make(seed, corrected=corrected)
    booked = list(worlds.nights_of_the_oracle(world))
    return world, [night for night, _ in booked], booked[-1][1]


def booked_worlds(
    *, corrected: bool
) -> Iterator[tuple[worlds.World, list[oracle.Night], oracle.Book]]:
    for seed in WORLDS:
        yield booked_world(seed, corrected=corrected)


def programme_of(world: worlds.World) -> oracle.Programme:
    if world.programme is None:
        return oracle.MYNAPOINT_2020
    return oracle.read_programme(world.programme)


def nothing_more(book: oracle.Book, world: worlds.World) -> oracle.Night:
    """Book a night on which nothing is delivered, by the last night's terms."""
    assert book.programme is not None
    assert book.last_booked_on is not None
    return oracle.run(
        book,
        booked_on=book.last_booked_on,
        services=book.services,
        programme=book.programme,
        terms_as_of=world.nights[-1].terms_as_of,
    )


def until_nothing_moves(book: oracle.Book, world: worlds.World) -> None:
    for _ in range(NIGHTS_UNTIL_NOTHING_MOVES):
        night = nothing_more(book, world)
        if not night.accepted_events and not night.ledger:
            return
    pytest.fail("the book does not come to rest")


def people_by_original(book: oracle.Book) -> dict[tuple[str, str], str]:
    """Say for whom each charge and purchase is booked."""
    return {
        booking.key: booking.entry.person_id
        for booking in live_bookings(book)
        if booking.transaction.kind != "refund"
    }


# --- Sums -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corrected", [False, True])
def test_every_row_ends_in_one_place(corrected: bool) -> None:
    for world, nights, _ in booked_worlds(corrected=corrected):
        for night in nights:
            for split in (night.counts, night.yen):
                rest = sum(split.declined.values()) + split.quarantined
                assert split.read + split.reconsidered == split.booked + rest, world.seed
            for counts in (night.enrollment_counts, night.event_counts):
                assert counts.read + counts.reconsidered == (
                    counts.accepted
                    + counts.unchanged
                    + sum(counts.rejected.values())
                    + counts.quarantined
                ), world.seed
            points = sum(entry.points for entry in night.ledger)
            assert night.points_awarded - night.points_reversed == points, world.seed
            kinds = Counter(entry.kind for entry in night.ledger)
            assert night.recounted == kinds["recount"], world.seed
            voids = ("charge_void", "purchase_void", "refund_void")
            assert night.voided == sum(kinds[kind] for kind in voids), world.seed
            assert len(night.ledger) == night.counts.booked + night.voided + night.recounted


@pytest.mark.parametrize("corrected", [False, True])
def test_nobody_holds_more_than_the_rate_of_what_counts_at_any_entry(corrected: bool) -> None:
    for world, nights, book in booked_worlds(corrected=corrected):
        programme = programme_of(world)
        entries: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        counted: Counter[str] = Counter()
        points: Counter[str] = Counter()
        for entry in (entry for night in nights for entry in night.ledger):
            person = entry.person_id
            entries[person] += 1
            spent[person] += entry.net_amount
            counted[person] += entry.counted_amount
            points[person] += entry.points
            assert entry.entry_seq == entries[person], world.seed
            assert entry.net_spend_after == spent[person] >= 0, world.seed
            assert entry.points_after == points[person], world.seed
            most = min(spent[person], programme.cap_yen)
            assert 0 <= counted[person] <= most, world.seed
            assert 0 <= points[person] <= most * programme.numerator // programme.denominator
            if spent[person] == 0:
                # Whoever gave everything back holds nothing.
                assert points[person] == 0, world.seed
            if entry.kind in ("charge", "purchase"):
                assert entry.points >= 0, world.seed
            if entry.kind in ("refund", "charge_void", "purchase_void"):
                assert entry.points <= 0, world.seed
        for person, net_spend in spent.items():
            assert counted[person] == min(net_spend, programme.cap_yen), world.seed
        left = Counter[str]()
        for booking in live_bookings(book):
            left[booking.entry.person_id] += booking.entry.net_amount
        assert +left == +spent, world.seed


def test_with_cumulative_rounding_a_person_of_one_account_holds_the_floor_at_every_moment() -> None:
    for seed in WORLDS:
        world = worlds.make(seed, rounding="cumulative", corrected=seed % 2 == 0)
        programme = programme_of(world)
        ledger = [entry for n in worlds.booked_by_the_oracle(world) for entry in n.ledger]
        accounts = defaultdict(set)
        for entry in ledger:
            account_id = entry.enrolled_account_id or entry.account_id
            accounts[entry.person_id].add((entry.service_id, account_id))
        for entry in ledger:
            if len(accounts[entry.person_id]) == 1:
                assert entry.kind != "recount", seed
                held = min(entry.net_spend_after, programme.cap_yen)
                assert entry.points_after == held * programme.numerator // programme.denominator


# --- Voids ----------------------------------------------------------------------------------------


REPEATED = (
    "person_id",
    "service_id",
    "account_id",
    "transaction_id",
    "enrolled_account_id",
    "occurred_at",
    "amount",
    "original_transaction_id",
    "method",
)


def test_bookings_and_voids_of_a_transaction_alternate_and_repeat_each_other() -> None:
    for world, nights, _ in booked_worlds(corrected=True):
        booked: dict[tuple[str, str], oracle.Entry] = {}
        for night in nights:
            causes = {event.event_id for event in night.accepted_events}
            for entry in sorted(night.ledger, key=lambda entry: "_void" not in entry.kind):
                key = (entry.service_id, entry.transaction_id)
                if entry.kind == "recount":
                    continue
                if not entry.kind.endswith("_void"):
                    assert key not in booked, world.seed
                    assert entry.event_id is None
                    booked[key] = entry
                    continue
                voided = booked.pop(key)
                assert entry.kind == f"{voided.kind}_void", world.seed
                assert entry.net_amount == -voided.net_amount, world.seed
                for column in REPEATED:
                    assert getattr(entry, column) == getattr(voided, column), world.seed
                assert entry.event_id in causes, world.seed


def test_a_runs_voids_come_ahead_and_in_reverse() -> None:
    for world, nights, _ in booked_worlds(corrected=True):
        number_of: dict[tuple[str, str], int] = {}
        for night in nights:
            last_of_person: dict[str, int] = {}
            is_booking: set[str] = set()
            for entry in night.ledger:
                key = (entry.service_id, entry.transaction_id)
                if entry.kind.endswith("_void"):
                    assert entry.person_id not in is_booking, world.seed
                    before = last_of_person.get(entry.person_id)
                    assert before is None or number_of[key] < before, world.seed
                    last_of_person[entry.person_id] = number_of[key]
                elif entry.kind != "recount":
                    is_booking.add(entry.person_id)
            for entry in night.ledger:
                if entry.kind in ("charge", "purchase", "refund"):
                    number_of[entry.service_id, entry.transaction_id] = entry.entry_seq


def test_after_a_night_nothing_is_booked_that_should_be_voided() -> None:
    for seed in WORLDS:
        world = worlds.make(seed, corrected=True)
        for _, book in worlds.nights_of_the_oracle(world):
            in_force = InForce(book.events, book.enrollments)
            assert bookings_that_must_go(live_bookings(book), in_force) == [], seed
            for booking in live_bookings(book):
                assert booking.key not in book.waiting_transactions, seed
            own = [(e.service_id, e.account_id) for e in in_force.enrollments]
            assert len(own) == len(set(own)), seed
            applied_for = [e.key for e in in_force.enrollments if e.granted_by is None]
            assert len(applied_for) == len(set(applied_for)), seed


# --- What waits -----------------------------------------------------------------------------------


def test_after_a_night_nothing_that_waits_could_be_booked() -> None:
    """But for events, which a night's applications and transactions may have made possible."""
    for seed in WORLDS:
        world = worlds.make(seed, corrected=seed % 4 != 0)
        for number, (night, book) in enumerate(worlds.nights_of_the_oracle(world)):
            again = copy.deepcopy(book)
            so_far = replace(world, nights=world.nights[: number + 1])
            # A key in conflict is left alone for a night.
            left_alone = any("conflict" in code for row in night.quarantine for code in row.errors)
            following = nothing_more(again, so_far)
            if left_alone and not following.accepted_events:
                following = nothing_more(again, so_far)
            if not following.accepted_events:
                assert following.ledger == [], seed
                assert following.enrollment_counts == oracle.AcceptanceCounts(), seed
            assert following.declined == []
            assert following.rejected == []
            until_nothing_moves(again, so_far)


def test_an_event_and_its_undoing_leave_the_same_booked() -> None:
    """Where nothing else came into its place meanwhile, and terms and services stay the same.

    Of refunds that come to more than their original, others may be booked: they are not looked at.
    """
    checked: Counter[str] = Counter()
    for seed in CLEAN_WORLDS:
        world = worlds.make(seed, clean=True, corrected=True)
        book = list(worlds.nights_of_the_oracle(world))[-1][1]
        until_nothing_moves(book, world)
        booked_before = people_by_original(book)
        for event in events_that_take_out(book):
            again = copy.deepcopy(book)
            night = deliver_event(again, world, event)
            if len(night.accepted_events) != 1 or night.enrollment_counts.accepted:
                continue
            undoing = dict.fromkeys(event, "") | {"event_id": "X2", "authority": "test"}
            night = deliver_event(again, world, undoing | {"kind": "undone", "other_id": "X1"})
            if len(night.accepted_events) != 1 or night.enrollment_counts.accepted:
                continue
            until_nothing_moves(again, world)
            assert people_by_original(again) == booked_before, (seed, event)
            checked[event["kind"]] += 1
    assert min(checked.values()) >= 10, checked
    assert len(checked) == 4, checked


def events_that_take_out(book: oracle.Book) -> Iterator[dict[str, str]]:
    columns = dict.fromkeys((*oracle.EVENT_REQUIRED, *oracle.EVENT_OPTIONAL), "")
    columns |= {"event_id": "X1", "authority": "test"}
    for booking in live_bookings(book)[:3]:
        enrollment = booking.enrollment
        three = {
            "person_id": enrollment.came_under,
            "service_id": enrollment.service_id,
            "account_id": enrollment.account_id,
        }
        moment = booking.transaction.occurred_at.isoformat()
        yield columns | {"kind": "enrollment_voided"} | three
        yield columns | {"kind": "enrollment_stopped", "effective_at": moment} | three
        yield columns | {
            "kind": "transaction_voided",
            "service_id": booking.transaction.service_id,
            "transaction_id": booking.transaction.transaction_id,
        }
        yield columns | {
            "kind": "persons_merged",
            "person_id": booking.entry.person_id,
            "other_id": "somebody else",
        }


def deliver_event(book: oracle.Book, world: worlds.World, event: dict[str, str]) -> oracle.Night:
    assert book.last_booked_on is not None
    assert book.programme is not None
    values = [value.replace('"', '""') for value in event.values()]
    text = ",".join(event) + "\n" + ",".join(f'"{value}"' for value in values) + "\n"
    return oracle.run(
        book,
        booked_on=book.last_booked_on,
        events=[("events.csv", text)],
        services=book.services,
        programme=book.programme,
        terms_as_of=world.nights[-1].terms_as_of,
    )


# --- Orders ---------------------------------------------------------------------------------------


def test_the_order_and_the_cut_of_a_delivery_change_nothing_for_the_oracle() -> None:
    for corrected in (False, True):
        for world, nights, _ in booked_worlds(corrected=corrected):
            again = worlds.booked_by_the_oracle(worlds.redelivered(world, world.seed + 1))
            for night, other in zip(nights, again, strict=True):
                assert night.ledger == other.ledger, world.seed
                assert sorted(map(astuple, night.declined)) == sorted(map(astuple, other.declined))
                assert night.rejected == other.rejected, world.seed
                assert night.accepted_events == other.accepted_events, world.seed
                assert night.rejected_events == other.rejected_events, world.seed
                assert night.counts == other.counts, world.seed
                assert night.enrollment_counts == other.enrollment_counts, world.seed
                assert night.event_counts == other.event_counts, world.seed
                assert night.yen.booked == other.yen.booked, world.seed


THAT_DO_NOT_COMPETE = ("transaction_voided", "enrollment_stopped")


def without_competition(world: worlds.World) -> worlds.World:
    """Keep one application of a person and of an account, and events that decide nothing first."""
    people: set[str] = set()
    accounts: set[tuple[str, str]] = set()
    contents: set[tuple[str, ...]] = set()
    event_ids: set[str] = set()

    def alone(row: worlds.Row) -> bool:
        values = {column: oracle.trimmed(text) for column, text in row.values.items()}
        account = (values["service_id"], values["account_id"])
        if values["person_id"] in people or account in accounts:
            return False
        people.add(values["person_id"])
        accounts.add(account)
        return True

    def first_of_its_key(row: worlds.Row) -> bool:
        key = (row.values["service_id"], row.values["transaction_id"])
        is_first = tuple(map(oracle.trimmed, key)) not in contents
        contents.add(tuple(map(oracle.trimmed, key)))
        return is_first

    def decides_nothing_first(row: worlds.Row) -> bool:
        event_id = oracle.trimmed(row.values["event_id"])
        is_first = event_id not in event_ids
        event_ids.add(event_id)
        return is_first and oracle.trimmed(row.values["kind"]) in THAT_DO_NOT_COMPETE

    nights = [
        replace(
            night,
            event_rows=tuple(filter(decides_nothing_first, night.event_rows)),
            enrollment_rows=tuple(filter(alone, night.enrollment_rows)),
            transaction_rows=tuple(filter(first_of_its_key, night.transaction_rows)),
        )
        for night in world.nights
    ]
    return replace(world, nights=tuple(nights))


def in_another_order(world: worlds.World, rng: Random) -> worlds.World:
    """Deliver the same nights' rows in another order of nights."""
    order = rng.sample(world.nights, len(world.nights))
    nights = [
        replace(
            night,
            event_rows=delivered.event_rows,
            enrollment_rows=delivered.enrollment_rows,
            transaction_rows=delivered.transaction_rows,
        )
        for night, delivered in zip(world.nights, order, strict=True)
    ]
    return replace(world, nights=tuple(nights))


def booked_at_last(world: worlds.World) -> dict[tuple[str, str], oracle.Transaction]:
    rng = Random(world.seed)
    world = replace(world, nights=tuple(worlds.rendered(rng, night) for night in world.nights))
    book = list(worlds.nights_of_the_oracle(world))[-1][1]
    until_nothing_moves(book, world)
    return {booking.key: booking.transaction for booking in live_bookings(book)}


def test_another_order_of_nights_books_the_same_where_nothing_competes() -> None:
    """Refunds may compete: those of an original that come to more than it are left out."""
    booked_in_all = 0
    for seed in range(120):
        world = worlds.make(seed, clean=True, corrected=True)
        if world.programme is not None and "reconsider_days" in world.programme:
            continue
        world = without_competition(world)
        at_last = booked_at_last(world)
        other = booked_at_last(in_another_order(world, Random(seed)))
        delivered = Counter[tuple[str, str]]()
        amounts = dict[tuple[str, str], int]()
        for night in world.nights:
            for row in night.transaction_rows:
                values = {column: oracle.trimmed(text) for column, text in row.values.items()}
                original_key = (values["service_id"], values["original_transaction_id"])
                delivered[original_key] += int(values["amount"])
                amounts[values["service_id"], values["transaction_id"]] = int(values["amount"])
        for booked in (at_last, other):
            for key, transaction in list(booked.items()):
                original = (transaction.service_id, transaction.original_transaction_id or "")
                if transaction.kind == "refund" and delivered[original] > amounts[original]:
                    del booked[key]
        assert at_last == other, seed
        booked_in_all += len(at_last)
    assert booked_in_all > 300

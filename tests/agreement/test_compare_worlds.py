"""Comparing worlds by hand: a difference is made small, and written down to be read again."""

from pathlib import Path

import compare_worlds
import worlds
from compare_worlds import Found, Shrinker

VOID = "a void"


def first_void(world: worlds.World) -> Found | None:
    """Take a void by a merge for a difference."""
    for number, night in enumerate(worlds.booked_by_the_oracle(world), 1):
        merges = [e.event_id for e in night.accepted_events if e.kind == "persons_merged"]
        if any(
            entry.kind == "purchase_void" and entry.event_id in merges for entry in night.ledger
        ):
            return Found(number, VOID, "")
    return None


def a_world_with_a_void() -> tuple[worlds.World, Found]:
    for seed in range(1_000):
        world = worlds.make(seed, corrected=True)
        found = first_void(world)
        if found is not None and len(world.nights[0].transaction_rows) > 5:
            return world, found
    raise AssertionError("no world has a purchase voided by a merge")


def test_a_difference_is_made_small() -> None:
    world, found = a_world_with_a_void()
    shrinker = Shrinker(world, found, first_void, seconds=60)
    shrinker.shrink()
    small = shrinker.world
    rows = [row for night in small.nights for row in night.event_rows]
    assert [row.values["kind"] for row in rows] == ["persons_merged"]
    assert sum(len(night.enrollment_rows) for night in small.nights) == 1
    assert sum(len(night.transaction_rows) for night in small.nights) == 1
    assert len(small.nights) == 2
    assert shrinker.found == first_void(small) == Found(2, VOID, "")


def test_a_world_is_read_as_it_was_written(tmp_path: Path) -> None:
    for seed in range(5):
        world = compare_worlds.plainly_written(worlds.make(seed, corrected=True, clean=True))
        folder = tmp_path / str(seed)
        compare_worlds.dump(world, Found(1, "", ""), folder)
        again = compare_worlds.read_dumped(folder)
        assert worlds.booked_by_the_oracle(again) == worlds.booked_by_the_oracle(world)
        assert len((folder / "run.sh").read_text().splitlines()) == 3 + len(world.nights)

"""What waits for its slice, in memory and on the disk."""

from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pytest

from engine.booking.duplicates import Occurrences
from engine.booking.index_spaces import RowRefs
from engine.io.run.memory import MOST_BYTES, Memory, usual_memory_bytes
from engine.io.run.shuffle import SeenKeys, Shuffle
from engine.records import Kind

PIECES = [
    pl.DataFrame(
        {
            "transaction_id": [f"a text that is not held within its view, {row}" for row in rows],
            "kind": pl.Series(["charge", "refund", "purchase"] * 2, dtype=Kind),
            "row_ref": rows,
        }
    )
    for rows in (range(6), range(6, 12), range(12, 18))
]
ROOM_FOR_ONE = int(PIECES[0].estimated_size()) * 3 // 2


@pytest.mark.parametrize(("room", "files"), [(0, 2), (ROOM_FOR_ONE, 2), (1 << 20, 0)])
def test_a_slice_is_whole_wherever_its_rows_waited(room: int, files: int, tmp_path: Path) -> None:
    shuffle = Shuffle("enrolled", 3, tmp_path, Memory(room))
    for piece in PIECES:
        shuffle.add(piece, [0, 2, 2, 6])
    assert len(list(tmp_path.iterdir())) == files
    assert list(shuffle.filled()) == [0, 2]
    taken = {number: shuffle.take(number).sort("row_ref") for number in (0, 2)}
    assert taken[0].equals(pl.concat(piece[:2] for piece in PIECES))
    assert taken[2].equals(pl.concat(piece[2:] for piece in PIECES))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("room", "on_disk"), [(0, True), (60, True), (1 << 20, False)])
@pytest.mark.parametrize("rows_expected", [4, 5_000_000])
def test_all_occurrences_of_a_key_are_in_one_part_wherever_they_waited(
    rows_expected: int, room: int, on_disk: bool, tmp_path: Path
) -> None:
    seen = SeenKeys(tmp_path, rows_expected, Memory(room))
    keys = np.array([1, 1 << 62, (1 << 64) - 1, 3 << 61], np.uint64)
    for first in (0, 4):
        row_refs = cast(RowRefs, np.arange(first, first + 4))
        seen.add(Occurrences.of(keys, keys + np.uint64(7), row_refs))
    assert bool(list(tmp_path.iterdir())) == on_disk
    parts = [part() for part in seen.parts()]
    assert list(seen.parts()) == []
    found: dict[int, list[int]] = {key: [] for key in keys.tolist()}
    for part in parts:
        assert len(set(part.keys.tolist())) * 2 == part.keys.size
        for key, (content, row_ref) in zip(part.keys.tolist(), part.where.tolist(), strict=True):
            assert content == (key + 7) % (1 << 64)
            found[key].append(row_ref)
    assert [sorted(rows) for rows in found.values()] == [[row, row + 4] for row in range(4)]
    assert list(tmp_path.iterdir()) == []


def test_no_more_is_taken_than_the_memory_has() -> None:
    memory = Memory(100)
    assert [memory.has_room(size) for size in (60, 50, 40, 1, 0)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_a_usual_run_takes_a_share_of_what_is_free_and_never_much() -> None:
    assert 0 < usual_memory_bytes() <= MOST_BYTES

"""Keys whose hashes are the same are told apart by their texts, and by a second hash."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pytest
from small_nights import deliver, ledger_of, same_ledger

from engine.booking.duplicates import Occurrences, repeated_within, settled_by_text
from engine.booking.index_spaces import RowRefs
from engine.columns import hashing

LEFT = np.uint64(3)


def test_two_keys_of_one_hash_are_contested_and_then_neither_a_duplicate_nor_a_conflict() -> None:
    keys, contents = np.array([7, 7, 8], np.uint64), np.array([1, 2, 3], np.uint64)
    found = repeated_within(Occurrences.of(keys, contents, cast(RowRefs, np.arange(3))))
    assert [places.tolist() for places in found] == [[], [0, 1], []]
    rows = {"service_id": ["s", "s"], "content": contents[:2], "row_ref": [0, 1]}
    apart = settled_by_text(pl.DataFrame(rows | {"transaction_id": ["T1", "T2"]}))
    assert [places.tolist() for places in apart] == [[], [], []]
    conflict = settled_by_text(pl.DataFrame(rows | {"transaction_id": ["T1", "T1"]}))
    assert [places.tolist() for places in conflict] == [[], [0, 1], []]


def test_nights_of_keys_that_nearly_all_collide_are_booked_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """Two bits of each text's hash are left. What waits under a hash that comes again is booked."""
    nights = [deliver(tmp_path / "nights", number) for number in (1, 2, 3)]
    for night in nights:
        night.book(tmp_path / "plain")
    whole = hashing.hash_texts

    def colliding(columns: Sequence[pl.Series], seed: int) -> list[hashing.Hashes]:
        hashes = whole(columns, seed)
        return [of & LEFT for of in hashes] if seed == hashing.KEY_SEED else hashes

    monkeypatch.setattr(hashing, "hash_texts", colliding)
    hashing.hashes_of_words.cache_clear()
    request.addfinalizer(hashing.hashes_of_words.cache_clear)
    service, ids = pl.Series(["coin"] * 9), pl.Series([f"T{n}" for n in range(9)])
    assert len(set(hashing.hash_pair(service, ids).tolist())) <= LEFT + 1
    for night in nights:
        night.book(tmp_path / "colliding")
    booked, expected = (ledger_of(tmp_path / name) for name in ("colliding", "plain"))
    assert same_ledger(booked, expected)

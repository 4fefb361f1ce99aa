"""Hashes that books keep: what makes them must not change unseen."""

import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from engine.booking.state import content_hashes
from engine.columns.hashing import CHECK_SEED, HashTable, combined, hash_coded, hash_text
from engine.records import Kind

KINDS = pl.Series("kind", ["refund", "charge", "purchase", "charge"])


def test_a_word_has_the_same_hash_as_its_text() -> None:
    coded = hash_coded(KINDS.cast(Kind), CHECK_SEED)
    assert coded.tolist() == hash_text(KINDS, CHECK_SEED).tolist()


def test_a_content_is_the_same_as_ever() -> None:
    rows = pl.DataFrame(
        {
            "transaction_id": ["a", "b", "c", "d"],
            "account_id": ["1", "2", "3", "4"],
            "occurred_at": [dt.datetime(2020, 9, day) for day in range(1, 5)],
            "kind": KINDS,
            "amount": [1, 2, 3, 4],
            "original_transaction_id": ["x", None, None, None],
            "method": pl.Series([None] * 4, dtype=pl.String),
        }
    )
    keys = np.arange(4, dtype=np.uint64)
    expected = keys
    for name in ("transaction_id", "account_id", "occurred_at", "amount", "kind"):
        column = rows[name]
        is_text = column.dtype == pl.String
        part = hash_text(column, CHECK_SEED) if is_text else column.to_physical().to_numpy()
        expected = combined(expected, part.view(np.uint64))
    for name in ("original_transaction_id", "method"):
        expected = combined(expected, hash_text(rows[name], CHECK_SEED))
    coded = rows.with_columns(pl.col("kind").cast(Kind))
    assert content_hashes(coded, keys).tolist() == expected.tolist()


def test_hashes_chosen_to_share_a_bucket_are_found_in_a_few_steps() -> None:
    """Who may choose thousands of IDs may choose them so that their hashes begin alike."""
    looks = []

    class Looked(np.ndarray):
        def take(self, *arguments: Any, **named: Any) -> Any:
            looks.append(arguments)
            return np.asarray(self).take(*arguments, **named)

    hashes = np.arange(4000, dtype=np.uint64) + np.uint64(1 << 40)
    table = HashTable.of(hashes[::-1].copy())
    table._sorted = table._sorted.view(Looked)
    wanted = np.concatenate([hashes, hashes + np.uint64(5000), hashes[:1] - np.uint64(1)])
    expected = [*range(3999, -1, -1), *[-1] * 4001]
    assert table.find(wanted).tolist() == expected
    assert len(looks) < 50

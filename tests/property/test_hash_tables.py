"""Tables of hashes find the same, however they grew."""

from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.booking.finding import DistinctHashes
from engine.columns.hashing import Hashes, HashTable

# Some share their leading bits, so that they share a bucket.
HASHES = st.integers(0, 1 << 64 - 1) | st.integers(0, 9) | st.integers(2**64 - 9, 2**64 - 1)


@given(st.lists(HASHES, unique=True), st.integers(0, 40))
def test_a_table_that_grew_finds_what_one_of_all_finds(hashes: list[int], cut: int) -> None:
    every = np.array(hashes, np.uint64)
    grown = HashTable.of(every[:cut]).with_more(every[cut:])
    wanted = np.concatenate([every, every + np.uint64(1), ~every])
    assert grown.find(wanted).tolist() == [
        hashes.index(number) if number in hashes else -1 for number in wanted.tolist()
    ]
    assert grown.distinct


def test_where_a_further_id_has_the_hash_of_another_all_get_hashes_by_another_seed() -> None:
    by_seed = {1: [5, 6, 5], 2: [7, 8, 9]}

    def hashes(ids: int) -> Callable[[int, int], Hashes]:
        def of(seed: int, start: int) -> Hashes:
            return np.array(by_seed[seed][start:ids], np.uint64)

        return of

    first = DistinctHashes.of(hashes(2), None)
    grown = DistinctHashes.of(hashes(3), first)
    assert (first.seed, grown.seed) == (1, 2)
    assert grown.table.find(np.array([7, 8, 9], np.uint64)).tolist() == [0, 1, 2]

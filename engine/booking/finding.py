"""Finding accounts and people by their IDs, among all that a registry knows."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from engine.columns.hashing import (
    Hashes,
    HashTable,
    Positions,
    hash_coded_pair,
    hash_text,
)


class DistinctHashes(NamedTuple):
    """A table of hashes that are all different, and the seed that they are so with."""

    seed: int
    table: HashTable

    @classmethod
    def of(
        cls, hashes: Callable[[int, int], Hashes], earlier: "DistinctHashes | None"
    ) -> "DistinctHashes":
        """``hashes`` are those by a seed, from a place on; ``earlier`` has the first of them."""
        if earlier is not None:
            seed, table = earlier
            table = table.with_more(hashes(seed, table.size))
            if table.distinct:
                return cls(seed, table)
        seed = 1
        while not (table := HashTable.of(hashes(seed, 0))).distinct:
            seed += 1
        return cls(seed, table)


class FoundBy(NamedTuple):
    """The hashes of the first accounts and people of a registry, where they were made."""

    accounts: DistinctHashes | None
    people: DistinctHashes | None


NOT_FOUND_BEFORE: Final = FoundBy(None, None)


class AccountFinder:
    """Finds an account's number by service and account ID."""

    def __init__(
        self,
        services: pl.Series,
        account_ids: pl.Series,
        earlier: DistinctHashes | None = None,
    ) -> None:
        """Takes accounts by number, services as Enum; no two have the same service and ID.

        ``earlier`` are the hashes of a finder of the first of them.
        """
        assert isinstance(services.dtype, pl.Enum)
        self._services, self._account_ids = services.dtype, account_ids
        self._codes = services.to_physical().to_numpy()
        self.hashes = DistinctHashes.of(
            lambda seed, start: hash_coded_pair(services[start:], account_ids[start:], seed),
            earlier,
        )

    def find(self, service_id: pl.Series, account_id: pl.Series) -> Positions:
        """The number of each account, or -1 where it is not enrolled."""
        if self._codes.size == 0 or len(service_id) == 0:
            return np.full(len(service_id), -1, np.int64)
        codes = service_id.cast(self._services, strict=False)
        if codes.null_count():
            known = codes.is_not_null()
            found = np.full(len(service_id), -1, np.int64)
            found[known.to_numpy()] = self.find(service_id.filter(known), account_id.filter(known))
            return found
        numbers = self.hashes.table.find(hash_coded_pair(codes, account_id, self.hashes.seed))
        found = np.flatnonzero(numbers >= 0)
        # A hash may meet another's: the texts decide.
        at = numbers[found]
        same = (self._account_ids[at] == account_id[found]).to_numpy() & (
            self._codes[at] == codes.to_physical().to_numpy()[found]
        )
        numbers[found[~same]] = -1
        return numbers


class PersonFinder:
    """Finds a person's number by ID."""

    def __init__(self, person_ids: pl.Series, earlier: DistinctHashes | None = None) -> None:
        """Takes people by number; ``earlier`` are the hashes of a finder of the first of them."""
        self._person_ids = person_ids
        self.hashes = DistinctHashes.of(
            lambda seed, start: hash_text(person_ids[start:], seed), earlier
        )

    def find(self, person_id: pl.Series) -> Positions:
        """The number of each person, or -1 where nobody is enrolled."""
        if len(self._person_ids) == 0 or len(person_id) == 0:
            return np.full(len(person_id), -1, np.int64)
        numbers = self.hashes.table.find(hash_text(person_id, self.hashes.seed))
        found = np.flatnonzero(numbers >= 0)
        same = self._person_ids[numbers[found]] == person_id[found]
        numbers[found[~same.to_numpy()]] = -1
        return numbers

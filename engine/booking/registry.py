"""Who is enrolled: the accepted enrollments, numbered in the order in which they were accepted.

An account's number and a person's number never change, so whatever is kept of them is kept in
plain arrays. The registry grows by ``extended``; nothing in it is ever changed. It is held whole,
so it keeps only what runs ask of it; the enrollments as they were delivered stand in the runs.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.hashing import Hashes, HashTable, combined, hash_coded_pair, hash_text
from engine.columns.text_order import in_text_order
from engine.records import Basis, Kind
from engine.rules.periods import counts_from_at, end_of
from engine.terms.services import ROUNDINGS, Services

Numbers = npt.NDArray[np.int64]
"""Numbers of people, accounts or rows; smaller integers serve as well."""

_SCHEMA: Final = {
    "person_id": pl.String(),
    "service_id": pl.Enum([]),
    "account_id": pl.String(),
    "applied_at": pl.Datetime("us"),
    "basis": Basis,
    "content": pl.UInt64(),
    "person_no": pl.Int32(),
}
_NO_TIME: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Registry:
    """Accepted enrollments.

    Attributes:
        accounts: one row an account, by account number: its person, service and ID, what was
            chosen when, ``content``, the hash of the enrollment as it was delivered, and
            ``person_no``.
        first_accounts: by person number, the number of the person's first account.
    """

    accounts: pl.DataFrame
    first_accounts: npt.NDArray[np.int32]

    @classmethod
    def empty(cls) -> "Registry":
        """A registry of nobody."""
        return cls(pl.DataFrame(schema=_SCHEMA), np.empty(0, np.int32))

    @classmethod
    def of(cls, accounts: pl.DataFrame) -> "Registry":
        """The registry with these accounts, numbers included."""
        person_nos = accounts["person_no"].to_numpy()
        # Written back to front, so that the first account is the one that stays.
        first_accounts = np.empty(int(person_nos.max(initial=-1)) + 1, np.int32)
        first_accounts[person_nos[::-1]] = np.arange(person_nos.size, dtype=np.int32)[::-1]
        return cls(accounts, first_accounts)

    @property
    def people(self) -> int:
        """How many people are enrolled."""
        return int(self.first_accounts.size)

    @cached_property
    def finder(self) -> "AccountFinder":
        """Finds accounts; made at first use."""
        return AccountFinder(self.accounts["service_id"], self.accounts["account_id"])

    @cached_property
    def people_finder(self) -> "PersonFinder":
        """Finds people; made at first use."""
        return PersonFinder(self.accounts["person_id"].gather(self.first_accounts))

    def person_ids(self, person_nos: Numbers) -> pl.Series:
        """The IDs of people, by their numbers."""
        return self.accounts["person_id"].gather(self.first_accounts[person_nos])

    def account_ids(self, account_nos: Numbers) -> tuple[pl.Series, pl.Series]:
        """The service's and the account's own IDs, by account numbers."""
        some = self.accounts.select("service_id", "account_id")[account_nos]
        return some["service_id"].cast(pl.String), some["account_id"]

    def holds(self, enrollments: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether an accepted enrollment has each one's person and account."""
        numbers = self.finder.find(enrollments["service_id"], enrollments["account_id"])
        held, places = numbers >= 0, np.flatnonzero(numbers >= 0)
        holders = self.accounts["person_id"].gather(numbers[places])
        held[places] = (holders == enrollments["person_id"].gather(places)).to_numpy()
        return held

    def extended(self, accepted: pl.DataFrame) -> "Registry":
        """The registry with further enrollments, columns of ``Enrollment``, sorted by person; of
        each the ``content``, where that is known.
        """
        if accepted.is_empty():
            return self
        services = pl.Enum(
            sorted({*_words(self.accounts["service_id"]), *accepted["service_id"].unique()})
        )
        numbered = accepted.select(
            "person_id",
            pl.col("service_id").cast(services),
            "account_id",
            "applied_at",
            pl.col("basis").cast(Basis),
            content=accepted["content"]
            if "content" in accepted.columns
            else pl.Series(enrollment_contents(accepted)),
            person_no=self._numbers_of(accepted["person_id"]).cast(pl.Int32),
        )
        if not self.people:
            return Registry.of(numbered.rechunk())
        before = self.accounts
        if before["service_id"].dtype != services:
            before = before.with_columns(pl.col("service_id").cast(pl.String).cast(services))
        return Registry.of(pl.concat([before, numbered], rechunk=True))

    def _numbers_of(self, person_ids: pl.Series) -> pl.Series:
        """The numbers of people, whose IDs ascend; newcomers' follow in that order."""
        numbers = pl.Series(self.people_finder.find(person_ids))
        newcomer = numbers < 0
        first = newcomer & person_ids.ne_missing(person_ids.shift(1))
        return numbers.set(newcomer, None).fill_null(
            first.cast(pl.Int64).cum_sum() + (self.people - 1)
        )

    @cached_property
    def in_order(self) -> bool:
        """Whether people's numbers order them by their IDs, as those of one run do."""
        ids = self.accounts["person_id"].gather(self.first_accounts)
        return bool((ids > ids.shift(1)).all())

    def ranks(self, person_nos: Numbers) -> Numbers:
        """The places of some people, who may be there again and again, in the order of their IDs.

        The places are good for comparing these people with each other, and need not be dense.
        """
        if self.in_order:
            return person_nos
        present = np.zeros(self.people, np.bool_)
        present[person_nos] = True
        people = np.flatnonzero(present)
        ranks = np.empty(self.people, np.int64)
        order, _ = in_text_order(self.person_ids(people))
        ranks[people[order]] = np.arange(people.size)
        return ranks[person_nos]

    def for_deciding(self, services: Services) -> pl.DataFrame:
        """By account number, what the rules for spending ask of an account.

        Columns: ``person_no``, ``service_id`` (one of the services, else null),
        ``counts_from_at``, ``basis`` (the service's, or the one chosen).
        """
        known = pl.Enum(list(services.by_id))
        mine = self.accounts["service_id"]
        words = pl.Series(_words(mine), dtype=pl.String).cast(known, strict=False)
        codes = words.gather(mine.to_physical()).alias("service_id")
        return (
            self.accounts.lazy()
            .select("person_no", codes, "applied_at", chosen=pl.col("basis"))
            .with_columns(terms_of_services(codes, services, "service_basis", "counts_from"))
            .select(
                "person_no",
                "service_id",
                counts_from_at().alias("counts_from_at"),
                pl.when(pl.col("service_basis") == "either")
                .then(pl.col("chosen").cast(Kind))
                .otherwise(pl.col("service_basis").cast(Kind, strict=False))
                .alias("basis"),
            )
            .collect(engine="in-memory")
        )


def _words(words: pl.Series) -> list[str]:
    assert isinstance(words.dtype, pl.Enum)
    return words.dtype.categories.to_list()


def terms_of_services(service_ids: pl.Series, services: Services, *columns: str) -> list[pl.Series]:
    """Columns of ``services_frame`` for each of some rows' services, null for an unknown one.

    ``service_ids`` are text or an Enum of the services; few words stay few words.
    """
    by_code = services_frame(services).select(
        pl.col(name).cast(pl.Enum(_WORDS[name])) if name in _WORDS else pl.col(name)
        for name in columns
    )
    codes = service_ids.cast(pl.Enum(list(services.by_id)), strict=False).to_physical()
    return [by_code[name].gather(codes) for name in columns]


_WORDS: Final = {
    "service_basis": ("charge", "purchase", "either"),
    "counts_from": ("instant", "application_day", "next_day"),
    "rounding": ROUNDINGS,
}


def _distinct(hashes: Callable[[int], Hashes]) -> tuple[int, HashTable]:
    """A table of hashes that are all different, and the seed that they are so with."""
    seed = 1
    while not (table := HashTable(hashes(seed))).distinct:
        seed += 1
    return seed, table


class AccountFinder:
    """Finds an account's number by service and account ID."""

    def __init__(self, services: pl.Series, account_ids: pl.Series) -> None:
        """Takes accounts by number, services as Enum; no two have the same service and ID."""
        self._services, self._account_ids = services.dtype, account_ids
        self._codes = services.to_physical().to_numpy()
        self._seed, self._table = _distinct(
            lambda seed: hash_coded_pair(services, account_ids, seed)
        )

    def find(self, service_id: pl.Series, account_id: pl.Series) -> Numbers:
        """The number of each account, or -1 where it is not enrolled."""
        if self._codes.size == 0:
            return np.full(len(service_id), -1, np.int64)
        codes = service_id.cast(self._services, strict=False)
        known = codes.is_not_null()
        if not known.all():
            found = np.full(len(service_id), -1, np.int64)
            found[known.to_numpy()] = self.find(service_id.filter(known), account_id.filter(known))
            return found
        numbers = self._table.find(hash_coded_pair(codes, account_id, self._seed))
        found = np.flatnonzero(numbers >= 0)
        # A hash may meet another's: the texts decide.
        at = numbers[found]
        same = (self._account_ids.gather(at) == account_id.gather(found)).to_numpy() & (
            self._codes[at] == codes.to_physical().to_numpy()[found]
        )
        numbers[found[~same]] = -1
        return numbers


class PersonFinder:
    """Finds a person's number by ID."""

    def __init__(self, person_ids: pl.Series) -> None:
        """Takes people by number."""
        self._person_ids = person_ids
        self._seed, self._table = _distinct(lambda seed: hash_text(person_ids, seed))

    def find(self, person_id: pl.Series) -> Numbers:
        """The number of each person, or -1 where nobody is enrolled."""
        numbers = self._table.find(hash_text(person_id, self._seed))
        found = np.flatnonzero(numbers >= 0)
        same = self._person_ids.gather(numbers[found]) == person_id.gather(found)
        numbers[found[~same.to_numpy()]] = -1
        return numbers


def services_frame(services: Services) -> pl.DataFrame:
    """One row a service: what the rules ask of it, its days as the first instant after them."""
    return pl.DataFrame(
        [
            {
                "service_id": service.service_id,
                "service_basis": service.basis,
                "rounding": service.rounding,
                "counts_from": service.counts_from,
                "preregistration": service.preregistration,
                "applications_end_at": service.applications_close_on
                and end_of(service.applications_close_on),
                "awards_end_at": service.awards_close_on and end_of(service.awards_close_on),
            }
            for service in services.services
        ],
        schema={
            "service_id": pl.String,
            "service_basis": pl.String,
            "rounding": pl.String,
            "counts_from": pl.String,
            "preregistration": pl.Boolean,
            "applications_end_at": pl.Datetime("us"),
            "awards_end_at": pl.Datetime("us"),
        },
    )


def enrollment_contents(frame: pl.DataFrame) -> Hashes:
    """The hash of what enrollments say beside whose and which account they are."""
    contents = np.empty(frame.height, np.uint64)
    done = 0
    # By so many rows as stay in the processor's caches.
    for some in frame.select("basis", *_SAID).iter_slices(_ROWS_AT_ONCE):
        content = hash_text(some["basis"].cast(pl.String), 1)
        for name in _SAID:
            ticks = some[name].to_physical().cast(pl.Int64).fill_null(_NO_TIME)
            content = combined(content, ticks.to_numpy().view(np.uint64))
        contents[done : done + content.size] = content
        done += content.size
    return contents


_ROWS_AT_ONCE: Final = 32 * 1024
_SAID: Final = (
    "applied_at",
    "card_applied_on",
    "reserved_at",
    "certificate_issued_at",
    "preregistered_on",
)

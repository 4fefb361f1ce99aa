"""Who is enrolled: the accepted enrollments, numbered in the order in which they were accepted.

An account's number and a person's number never change, so whatever is kept of them is kept in
plain arrays. The registry grows by ``extended``; nothing in it is ever changed.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.hashing import HashTable, combined, hash_coded_pair, hash_pair, hash_text
from engine.records import Enrollment, Kind, polars_schema
from engine.rules.periods import counts_from_at, end_of
from engine.services import ROUNDINGS, Services

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Registry:
    """Accepted enrollments.

    Attributes:
        accounts: one row an account, by account number: the columns of an enrollment and
            ``person_no``.
        first_accounts: by person number, the number of the person's first account.
    """

    accounts: pl.DataFrame
    first_accounts: Numbers

    @classmethod
    def empty(cls) -> "Registry":
        """A registry of nobody."""
        schema = polars_schema(Enrollment) | {"person_no": pl.Int64()}
        return cls(pl.DataFrame(schema=schema), np.empty(0, np.int64))

    @classmethod
    def of(cls, accounts: pl.DataFrame) -> "Registry":
        """The registry with these accounts, numbers included."""
        person_nos = accounts["person_no"].to_numpy()
        # Written back to front, so that the first account is the one that stays.
        first_accounts = np.empty(int(person_nos.max(initial=-1)) + 1, np.int64)
        first_accounts[person_nos[::-1]] = np.arange(person_nos.size)[::-1]
        return cls(accounts, first_accounts)

    @property
    def people(self) -> int:
        """How many people are enrolled."""
        return int(self.first_accounts.size)

    @cached_property
    def finder(self) -> "AccountFinder":
        """Finds accounts; made at first use."""
        return AccountFinder(self.accounts)

    def person_ids(self, person_nos: Numbers) -> pl.Series:
        """The IDs of people, by their numbers."""
        return self.accounts["person_id"].gather(self.first_accounts[person_nos])

    def extended(self, accepted: pl.DataFrame) -> "Registry":
        """The registry with further enrollments, columns of ``Enrollment``, sorted by person."""
        if accepted.is_empty():
            return self
        person_nos = self._numbers_of(accepted["person_id"])
        numbered = accepted.with_columns(person_no=person_nos).select(self.accounts.columns)
        accounts = pl.concat([self.accounts, numbered], rechunk=True)
        return Registry.of(accounts)

    def _numbers_of(self, person_ids: pl.Series) -> pl.Series:
        """The numbers of people, whose IDs ascend; newcomers' follow in that order."""
        if self.people:
            known = self.accounts.select("person_id", "person_no").unique("person_id")
            numbers = person_ids.to_frame().join(
                known, on="person_id", how="left", maintain_order="left"
            )["person_no"]
        else:
            numbers = pl.repeat(None, len(person_ids), dtype=pl.Int64, eager=True)
        first = numbers.is_null() & person_ids.ne_missing(person_ids.shift(1))
        return numbers.fill_null(first.cast(pl.Int64).cum_sum() + (self.people - 1))

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
        ranks[people[self.person_ids(people).arg_sort().to_numpy()]] = np.arange(people.size)
        return ranks[person_nos]

    def for_deciding(self, services: Services) -> pl.DataFrame:
        """By account number, what the rules for spending ask of an account and its service.

        Columns: ``person_no``, ``service_id`` (one of the services, else null),
        ``counts_from_at``, ``awards_end_at``, ``basis`` (the service's, or the one chosen),
        ``rounding``.
        """
        terms = services_frame(services)
        known = pl.Enum(list(services.by_id))
        return (
            self.accounts.lazy()
            .select("person_no", "service_id", "applied_at", chosen=pl.col("basis"))
            .join(terms.lazy(), on="service_id", how="left", maintain_order="left")
            .select(
                "person_no",
                pl.col("service_id").cast(known, strict=False),
                counts_from_at().alias("counts_from_at"),
                "awards_end_at",
                pl.when(pl.col("service_basis") == "either")
                .then("chosen")
                .otherwise("service_basis")
                .cast(Kind)
                .alias("basis"),
                pl.col("rounding").cast(pl.Enum(ROUNDINGS)),
            )
            .collect(engine="in-memory")
        )


class AccountFinder:
    """Finds an account's number by service and account ID."""

    def __init__(self, accounts: pl.DataFrame) -> None:
        """Takes the accounts by number; no two have the same service and account ID."""
        self._services = pl.Enum(accounts["service_id"].unique().sort())
        codes = accounts["service_id"].cast(self._services)
        self._service_codes = codes.to_physical().to_numpy()
        self._account_ids = accounts["account_id"]
        self._seed = 1
        while True:
            table = HashTable(hash_coded_pair(codes, self._account_ids, self._seed))
            if table.distinct:
                break
            self._seed += 1
        self._table = table

    def find(self, service_id: pl.Series, account_id: pl.Series) -> Numbers:
        """The number of each account, or -1 where it is not enrolled."""
        numbers = self._table.find(hash_pair(service_id, account_id, self._seed))
        found = np.flatnonzero(numbers >= 0)
        # A hash may meet another's: the texts decide.
        at = numbers[found]
        codes = service_id.gather(found).cast(self._services, strict=False).to_physical()
        same = (self._account_ids.gather(at) == account_id.gather(found)) & (
            codes == pl.Series(self._service_codes[at])
        )
        numbers[found[~same.fill_null(value=False).to_numpy()]] = -1
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


def enrollment_key(frame: pl.DataFrame) -> npt.NDArray[np.uint64]:
    """The hash of (person, service, account)."""
    return combined(
        hash_text(frame["person_id"], 1), hash_pair(frame["service_id"], frame["account_id"])
    )

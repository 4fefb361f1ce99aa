"""Who is enrolled: the accounts that ever had an accepted enrollment, and whose each is now.

An account's number and a person's number never change, so whatever is kept of them is kept in
plain arrays. The registry grows by ``extended`` and is corrected by ``corrected``; nothing in it is
ever changed in place. It is held whole, so it keeps only what runs ask of it; the enrollments as
they were delivered stand in the runs.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.finding import NOT_FOUND_BEFORE, AccountFinder, FoundBy, PersonFinder
from engine.columns.hashing import Hashes, combined, hash_text
from engine.columns.text_order import in_text_order
from engine.records import Basis, Kind
from engine.rules.periods import counts_from_at, end_of
from engine.terms.services import ROUNDINGS, Services

Numbers = npt.NDArray[np.int64]
"""Numbers of people, accounts or rows; smaller integers serve as well."""

_SCHEMA: Final = {
    "service_id": pl.Enum([]),
    "account_id": pl.String(),
    "applied_at": pl.Datetime("us"),
    "basis": Basis,
    "content": pl.UInt64(),
    "person_no": pl.Int32(),
}
_NO_TIME: Final = np.iinfo(np.int64).min
NOBODY: Final = -1


@dataclass(frozen=True)
class Registry:
    """Accounts and people.

    Attributes:
        accounts: one row an account, by account number: its service and ID, what was chosen when,
            ``content``, the hash of the enrollment as it was delivered, and ``person_no``, the
            person whose enrollment is in force there, or ``NOBODY``.
        people_ids: the people's IDs, by person number.
        several: by person number, whether entries of two accounts may stand together.
        found_by: the hashes by which an earlier registry found accounts and people.
    """

    accounts: pl.DataFrame
    people_ids: pl.Series
    several: npt.NDArray[np.bool_]
    found_by: FoundBy = NOT_FOUND_BEFORE

    @classmethod
    def empty(cls) -> "Registry":
        """A registry of nobody."""
        nobody = pl.Series("person_id", [], pl.String)
        return cls(pl.DataFrame(schema=_SCHEMA), nobody, np.zeros(0, np.bool_))

    @property
    def people(self) -> int:
        """How many people are known."""
        return len(self.people_ids)

    @cached_property
    def finder(self) -> AccountFinder:
        """Finds accounts; made at first use."""
        services, account_ids = self.accounts["service_id"], self.accounts["account_id"]
        return AccountFinder(services, account_ids, self.found_by.accounts)

    @cached_property
    def people_finder(self) -> PersonFinder:
        """Finds people; made at first use."""
        return PersonFinder(self.people_ids, self.found_by.people)

    def _with(
        self,
        accounts: pl.DataFrame,
        people_ids: pl.Series | None = None,
        several: npt.NDArray[np.bool_] | None = None,
    ) -> "Registry":
        """Another registry, where those that are known keep their numbers, and so their hashes."""
        made = self.__dict__
        return Registry(
            accounts,
            self.people_ids if people_ids is None else people_ids,
            self.several if several is None else several,
            FoundBy(
                self.finder.hashes if "finder" in made else self.found_by.accounts,
                self.people_finder.hashes if "people_finder" in made else self.found_by.people,
            ),
        )

    @cached_property
    def person_nos(self) -> npt.NDArray[np.int32]:
        """By account number, the person in force, or ``NOBODY``."""
        return self.accounts["person_no"].to_numpy()

    def person_ids(self, person_nos: Numbers | npt.NDArray[np.int32]) -> pl.Series:
        """The IDs of people, by their numbers."""
        return self.people_ids[person_nos].alias("person_id")

    def account_ids(self, account_nos: Numbers) -> tuple[pl.Series, pl.Series]:
        """The service's ID, an Enum, and the account's own, by account numbers."""
        accounts = self.accounts[["service_id", "account_id"]][account_nos]
        return accounts["service_id"], accounts["account_id"]

    def holds(self, enrollments: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Whether each one's person has the enrollment in force of its account."""
        numbers = self.finder.find(enrollments["service_id"], enrollments["account_id"])
        people = self.people_finder.find(enrollments["person_id"])
        known = np.flatnonzero((numbers >= 0) & (people >= 0))
        held = np.zeros(enrollments.height, np.bool_)
        held[known] = self.person_nos[numbers[known]] == people[known]
        return held

    def extended(self, accepted: pl.DataFrame) -> "Registry":
        """The registry with further enrollments, columns of ``Enrollment``, sorted by person; of
        each the ``content``, where that is known. ``person_id`` is the ID that the enrollment is
        read as. An account that is known already gets its new enrollment.
        """
        if accepted.is_empty():
            return self
        services = pl.Enum(
            sorted({*_words(self.accounts["service_id"]), *accepted["service_id"].unique()})
        )
        person_nos, newcomers = self._numbers_of(accepted["person_id"])
        numbered = accepted.select(
            pl.col("service_id").cast(services),
            "account_id",
            "applied_at",
            pl.col("basis").cast(Basis),
            content=accepted["content"]
            if "content" in accepted.columns
            else pl.Series(enrollment_contents(accepted)),
            person_no=pl.Series(person_nos).cast(pl.Int32),
        )
        before = self.accounts
        people_ids = (
            pl.concat([self.people_ids, newcomers]).rechunk() if len(newcomers) else self.people_ids
        )
        known = self.finder.find(accepted["service_id"], accepted["account_id"])
        again = known >= 0
        if before["service_id"].dtype != services:
            before = before.with_columns(pl.col("service_id").cast(pl.String).cast(services))
        if again.any():
            before = _with_enrollments(before, known[again], numbered.filter(pl.Series(again)))
            numbered = numbered.filter(pl.Series(~again))
        accounts = pl.concat([before, numbered], rechunk=True) if before.height else numbered
        several = np.zeros(len(people_ids), np.bool_)
        several[: self.several.size] = self.several
        several |= np.bincount(person_nos, minlength=several.size) > 1
        old = person_nos[person_nos < self.people]
        several[old] = True
        return self._with(accounts.rechunk(), people_ids, several)

    def _numbers_of(self, person_ids: pl.Series) -> tuple[Numbers, pl.Series]:
        """The numbers of people, whose IDs ascend, and the newcomers' IDs, which follow in that
        order.
        """
        numbers = self.people_finder.find(person_ids)
        newcomer = pl.Series(numbers < 0)
        first = newcomer & person_ids.ne_missing(person_ids.shift(1))
        fresh = first.cast(pl.Int64).cum_sum().to_numpy() + (self.people - 1)
        return np.where(numbers < 0, fresh, numbers), person_ids.filter(first)

    def known_people(self, person_ids: pl.Series) -> "Registry":
        """The registry with people who have no enrollment of their own yet; IDs ascend."""
        _, newcomers = self._numbers_of(person_ids)
        if newcomers.is_empty():
            return self
        people_ids = pl.concat([self.people_ids, newcomers.rename("person_id")]).rechunk()
        several = np.concatenate([self.several, np.zeros(len(newcomers), np.bool_)])
        return self._with(self.accounts, people_ids, several)

    def corrected(self, account_nos: Numbers, enrollments: pl.DataFrame) -> "Registry":
        """The registry with other enrollments in force for known accounts.

        ``enrollments`` has one row an account: ``person_no`` (``NOBODY`` where none is in force),
        ``applied_at``, ``basis``, ``content``. Whoever loses or gets an account may have entries
        of several.
        """
        if account_nos.size == 0:
            return self
        several = self.several.copy()
        for person_nos in (self.person_nos[account_nos], enrollments["person_no"].to_numpy()):
            several[person_nos[person_nos >= 0]] = True
        accounts = _with_enrollments(self.accounts, account_nos, enrollments)
        return self._with(accounts, several=several)

    def known_accounts(self, accounts: pl.DataFrame) -> "Registry":
        """The registry with accounts, ``service_id`` and ``account_id``, that nobody has yet."""
        fresh = accounts.filter(
            pl.Series(self.finder.find(accounts["service_id"], accounts["account_id"]) < 0)
        )
        if fresh.is_empty():
            return self
        nobodys = fresh.with_columns(
            pl.lit(None, dtype).alias(name)
            for name, dtype in _SCHEMA.items()
            if name not in ("service_id", "account_id")
        ).with_columns(content=pl.lit(0, pl.UInt64), person_no=pl.lit(NOBODY, pl.Int32))
        return self._with_accounts(nobodys)

    def _with_accounts(self, fresh: pl.DataFrame) -> "Registry":
        services = pl.Enum(
            sorted({*_words(self.accounts["service_id"]), *fresh["service_id"].unique()})
        )
        before, fresh = (
            frame.with_columns(pl.col("service_id").cast(pl.String).cast(services))
            for frame in (self.accounts, fresh)
        )
        accounts = pl.concat([before, fresh.select(before.columns)], rechunk=True)
        return self._with(accounts)

    @cached_property
    def everybody_in_force(self) -> bool:
        """Whether every known account is somebody's."""
        return bool((self.person_nos >= 0).all())

    @cached_property
    def people_in_order(self) -> bool:
        """Whether people's numbers order them by their IDs, as those of one run do."""
        return bool((self.people_ids > self.people_ids.shift(1)).all())

    def ranks(self, person_nos: Numbers) -> Numbers:
        """The places of some people, who may be there again and again, in the order of their IDs.

        The places are good for comparing these people with each other, and need not be dense.
        """
        if self.people_in_order:
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
        service_ids = self.accounts["service_id"]
        words = pl.Series(_words(service_ids), dtype=pl.String).cast(known, strict=False)
        codes = words.gather(service_ids.to_physical()).alias("service_id")
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


def _with_enrollments(
    accounts: pl.DataFrame, account_nos: Numbers, enrollments: pl.DataFrame
) -> pl.DataFrame:
    places = np.arange(accounts.height)
    places[account_nos] = accounts.height + np.arange(account_nos.size)
    names = ["applied_at", "basis", "content", "person_no"]
    types = {name: accounts.schema[name] for name in names}
    changed = pl.concat([accounts[names], enrollments[names].cast(types)])  # type: ignore[arg-type]
    return accounts.with_columns(changed[places])


def _words(words: pl.Series) -> list[str]:
    assert isinstance(words.dtype, pl.Enum)
    return words.dtype.categories.to_list()


def terms_of_services(service_ids: pl.Series, services: Services, *columns: str) -> list[pl.Series]:
    """Columns of ``services_frame`` for each of some rows' services, null for an unknown one.

    ``service_ids`` are text or an Enum of the services; few words stay few words.
    """
    codes = service_ids.cast(pl.Enum(list(services.by_id)), strict=False).to_physical()
    of_each = (
        pl.col(name).cast(pl.Enum(_WORDS[name])) if name in _WORDS else pl.col(name)
        for name in columns
    )
    terms = services_frame(services).select_seq(column.gather(codes) for column in of_each)
    return terms.get_columns()


_WORDS: Final = {
    "service_basis": ("charge", "purchase", "either"),
    "counts_from": ("instant", "application_day", "next_day"),
    "rounding": ROUNDINGS,
}


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
    ticks = pl.col(_SAID).to_physical().cast(pl.Int64).fill_null(_NO_TIME)
    for rows in frame[["basis", *_SAID]].iter_slices(_ROWS_AT_ONCE):
        content = hash_text(rows["basis"].cast(pl.String), 1)
        for column in rows.select_seq(ticks).iter_columns():
            content = combined(content, column.to_numpy().view(np.uint64))
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

"""The fold over applications: (who is enrolled, delivered enrollments) -> accepted and rejected.

Applications are decided in order, for an accepted one stands in the way of later ones. Only those
that share a person or an account with another need that order; all others are decided at once.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.hashing import (
    Hashes,
    combined,
    hash_pair,
    hash_text,
    repeated_places,
)
from engine.programme import Terms
from engine.records import ENROLLMENT_COLUMNS
from engine.registry import Numbers, Registry, enrollment_contents, terms_of_services
from engine.rules import reasons_against
from engine.rules.application import (
    ACCOUNT_TAKEN,
    ALREADY_ENROLLED,
    account_taken,
    already_enrolled,
    bound_until,
    rules_for_applications,
)
from engine.services import Services

KEY: Final = ("person_id", "service_id", "account_id")
BY_PERSON: Final = ("person_id", "applied_at", "service_id", "account_id")
ASKED_OF_SERVICES: Final = ("service_basis", "applications_end_at", "preregistration")
ORDER: Final = ("applied_at", *KEY)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of a run's enrollments.

    Attributes:
        accepted: columns of ``Enrollment``, sorted by person, a person's in order of acceptance.
        rejected: columns of ``RejectedEnrollment``.
        conflicts: the ``row_ref`` of every row in conflict.
        unchanged: how many rows changed nothing.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    conflicts: Numbers
    unchanged: int

    def counts(self) -> "EnrollmentCounts":
        """How many there were of each."""
        reasons = self.rejected["reason"].value_counts().sort("reason")
        return EnrollmentCounts(self.accepted.height, self.unchanged, dict(reasons.iter_rows()))


class EnrollmentCounts(NamedTuple):
    """How many enrollments were accepted, changed nothing, were rejected by reason."""

    accepted: int
    unchanged: int
    rejected: dict[str, int]


class _Delivered(NamedTuple):
    """Delivered enrollments, and the hashes of each one's person, account and content."""

    rows: pl.DataFrame
    people: Hashes
    accounts: Hashes
    contents: Hashes

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "_Delivered":
        return cls(
            rows,
            hash_text(rows["person_id"], 1),
            hash_pair(rows["service_id"], rows["account_id"]),
            enrollment_contents(rows),
        )


def enroll(
    delivered: pl.DataFrame, registry: Registry, services: Services, terms: Terms
) -> Enrolled:
    """Decides delivered enrollments: their canonical columns and ``row_ref``, unique a row.

    Rows are known by their places among the delivered ones until the end: there may be many.
    """
    some = _Delivered.of(delivered)
    fresh, conflicts, unchanged = _settle_keys(some, registry)
    fresh_rows = delivered if fresh.size == delivered.height else delivered[fresh]
    asked = terms_of_services(fresh_rows["service_id"], services, *ASKED_OF_SERVICES)
    at_fault, reasons = reasons_against(
        fresh_rows.with_columns(asked), rules_for_applications(terms)
    )
    candidates = np.delete(fresh, at_fault)
    in_turn = _share_a_person_or_an_account(some, candidates, registry)
    others = candidates[in_turn]
    others = others[delivered[others].select(pl.arg_sort_by(ORDER)).to_series().to_numpy()]
    verdicts = _one_by_one(delivered[others], registry, services)
    good = verdicts.is_null().to_numpy()
    accepted = np.concatenate([candidates[~in_turn], others[good]])
    by_person = delivered.select(BY_PERSON)[accepted].select(pl.arg_sort_by(BY_PERSON))
    accepted = accepted[by_person.to_series().to_numpy()]
    rejected = delivered[np.concatenate([fresh[at_fault], others[~good]])].with_columns(
        reasons.append(verdicts.drop_nulls()).alias("reason")
    )
    return Enrolled(
        accepted=delivered.select(ENROLLMENT_COLUMNS)[accepted],
        rejected=rejected.sort(ORDER).select(*KEY, "reason"),
        conflicts=delivered["row_ref"].gather(conflicts).to_numpy(),
        unchanged=unchanged,
    )


def _settle_keys(some: _Delivered, registry: Registry) -> tuple[Numbers, Numbers, int]:
    """The places of the rows of new keys, one a key, and of those in conflict; and how many rows
    change nothing.
    """
    new, conflicts, unchanged = _against_the_registry(some, registry)
    keys = combined(some.people[new], some.accounts[new])
    again = repeated_places(keys)
    if again.size == 0:
        return new, conflicts, unchanged
    several = some.rows.select(KEY)[new[again]].with_columns(
        row=pl.Series(new[again]), content=pl.Series(some.contents[new[again]])
    )
    several = several.with_columns(
        contents=pl.col("content").n_unique().over(KEY),
        place=pl.int_range(pl.len()).over(KEY),
    )
    in_conflict = several.filter(pl.col("contents") > 1)["row"].to_numpy()
    first = several.filter((pl.col("contents") == 1) & (pl.col("place") == 0))["row"].to_numpy()
    unchanged += several.height - in_conflict.size - first.size
    new = np.concatenate([np.delete(new, again), first])
    return new, np.concatenate([conflicts, in_conflict]), unchanged


def _against_the_registry(some: _Delivered, registry: Registry) -> tuple[Numbers, Numbers, int]:
    everything = np.arange(some.rows.height)
    if registry.people == 0 or everything.size == 0:
        return everything, np.empty(0, np.int64), 0
    numbers = registry.finder.find(some.rows["service_id"], some.rows["account_id"])
    held = np.flatnonzero(numbers >= 0)
    holders = registry.accounts["person_id"].gather(numbers[held])
    known = held[(holders == some.rows["person_id"].gather(held)).to_numpy()]
    accepted = registry.accounts["content"].gather(numbers[known]).to_numpy()
    same = accepted == some.contents[known]
    return np.delete(everything, known), known[~same], int(same.sum())


def _share_a_person_or_an_account(
    some: _Delivered, candidates: Numbers, registry: Registry
) -> npt.NDArray[np.bool_]:
    shared = np.zeros(candidates.size, np.bool_)
    for hashes in (some.people[candidates], some.accounts[candidates]):
        shared[repeated_places(hashes)] = True
    if registry.people:
        rows = some.rows.select(KEY)[candidates]
        shared |= registry.finder.find(rows["service_id"], rows["account_id"]) >= 0
        shared |= registry.people_finder.find(rows["person_id"]) >= 0
    return shared


def _one_by_one(applications: pl.DataFrame, registry: Registry, services: Services) -> pl.Series:
    """The reason, or null, of each application, in order."""
    before = _standing_in_the_way(applications, registry)
    until = {service_id: bound_until(service) for service_id, service in services.by_id.items()}
    bound: dict[str, dt.date] = {}
    holders: dict[tuple[str, str], str] = {}

    def accept(person_id: str, service_id: str, account_id: str) -> None:
        day = until.get(service_id) or bound_until(None)
        bound[person_id] = max(day, bound.get(person_id, day))
        holders[service_id, account_id] = person_id

    for key in before.iter_rows():
        accept(*key)
    reasons: list[str | None] = []
    days = applications["applied_at"].dt.date().to_list()
    for key, day in zip(applications.select(KEY).iter_rows(), days, strict=True):
        person_id, service_id, account_id = key
        if account_taken(holders.get((service_id, account_id)), person_id):
            reasons.append(ACCOUNT_TAKEN)
        elif already_enrolled(bound.get(person_id), day):
            reasons.append(ALREADY_ENROLLED)
        else:
            reasons.append(None)
            accept(*key)
    return pl.Series("reason", reasons, dtype=pl.String)


def _standing_in_the_way(applications: pl.DataFrame, registry: Registry) -> pl.DataFrame:
    """The accepted enrollments of these people and of these accounts."""
    accounts = registry.accounts.select(*KEY, "person_no")
    if accounts.is_empty() or applications.is_empty():
        return accounts.select(KEY).clear()
    account_nos = registry.finder.find(applications["service_id"], applications["account_id"])
    person_nos = registry.people_finder.find(applications["person_id"])
    theirs = np.zeros(registry.people, np.bool_)
    theirs[person_nos[person_nos >= 0]] = True
    wanted = theirs[accounts["person_no"].to_numpy()]
    wanted[account_nos[account_nos >= 0]] = True
    return accounts.select(KEY).filter(pl.Series(wanted)).cast({"service_id": pl.String})

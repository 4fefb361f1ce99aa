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

from engine.booking.registry import Numbers, Registry, enrollment_contents, terms_of_services
from engine.columns.hashing import Hashes, hash_pair, repeated_places
from engine.columns.text_order import in_text_order
from engine.columns.unshared import rows_on_their_own, texts_on_their_own
from engine.records import ENROLLMENT_COLUMNS
from engine.rules import reasons_against
from engine.rules.application import (
    ACCOUNT_TAKEN,
    ALREADY_ENROLLED,
    account_taken,
    already_enrolled,
    bound_until,
    rules_for_applications,
)
from engine.terms.programme import Terms
from engine.terms.services import Services

KEY: Final = ("person_id", "service_id", "account_id")
ASKED_OF_SERVICES: Final = ("service_basis", "applications_end_at", "preregistration")
ORDER: Final = ("applied_at", *KEY)
_SOMEBODY_ELSE: Final = -1
_EPOCH: Final = dt.date(1970, 1, 1)

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of a run's enrollments.

    Attributes:
        accepted: columns of ``Enrollment``, and ``content``, the hash of what each says; sorted by
            person, a person's in order of acceptance.
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
    """Delivered enrollments, and what is known of each one beforehand.

    Attributes:
        contents: the hash of what it says.
        account_nos: its account's number in the registry, or -1.
        shares: whether its account, or by chance only the hash of it, is delivered again.
    """

    rows: pl.DataFrame
    contents: Hashes
    account_nos: Numbers
    shares: _Mask

    @classmethod
    def of(cls, rows: pl.DataFrame, registry: Registry) -> "_Delivered":
        service_id, account_id = rows["service_id"], rows["account_id"]
        shares = np.zeros(rows.height, np.bool_)
        shares[repeated_places(hash_pair(service_id, account_id))] = True
        account_nos = registry.finder.find(service_id, account_id)
        return cls(rows, enrollment_contents(rows), account_nos, shares)


class _Applicants(NamedTuple):
    """The candidates, sorted by person, a person's in the order in which they are decided.

    Attributes:
        places: their places among the delivered rows.
        people: numbers, ascending, that tell one's person from another's.
        several: whether the person has others beside it.
        person_nos: the person's number in the registry, or -1.
    """

    places: Numbers
    people: Numbers
    several: _Mask
    person_nos: Numbers

    @classmethod
    def of(cls, rows: pl.DataFrame, candidates: _Mask, registry: Registry) -> "_Applicants":
        person_ids = rows["person_id"].filter(pl.Series(candidates))
        order, same = in_text_order(person_ids)
        places, people = np.flatnonzero(candidates)[order], np.cumsum(~same, dtype=np.int64)
        several = same.copy()
        several[:-1] |= same[1:]
        at = np.flatnonzero(several)
        theirs = rows.select(ORDER)[places[at]].with_columns(person=people[at])
        in_order = theirs.select(pl.arg_sort_by("person", *ORDER)).to_series().to_numpy()
        places[at] = places[at[in_order]]
        # People are found by a table of them all; a night without applications needs none.
        person_nos = registry.people_finder.find(person_ids)[order] if order.size else order
        return cls(places, people, several, person_nos)


def enroll(
    delivered: pl.DataFrame, registry: Registry, services: Services, terms: Terms
) -> Enrolled:
    """Decides delivered enrollments: their canonical columns and ``row_ref``, unique a row.

    Rows are known by their places among the delivered ones until the end: there may be many. Then
    they are taken column by column, and what was delivered is let go of meanwhile, unless the
    caller holds it.
    """
    some = _Delivered.of(delivered, registry)
    fresh, conflicts, unchanged = _settle_keys(some, registry)
    asked = terms_of_services(delivered["service_id"], services, *ASKED_OF_SERVICES)
    at_fault, reasons = reasons_against(
        delivered.with_columns(asked), rules_for_applications(terms)
    )
    reasons, at_fault = reasons.filter(pl.Series(fresh[at_fault])), at_fault[fresh[at_fault]]
    fresh[at_fault] = False
    applicants = _Applicants.of(delivered, fresh, registry)
    in_turn, verdicts = _one_by_one(some, applicants, registry, services)
    refused = in_turn[verdicts.is_not_null().to_numpy()]
    accepted = np.delete(applicants.places, refused)
    rejected = delivered.select(ORDER)[np.concatenate([at_fault, applicants.places[refused]])]
    rejected = rejected.with_columns(reason=reasons.append(verdicts.drop_nulls())).sort(ORDER)
    rejected = rows_on_their_own(rejected.select(*KEY, "reason"))
    conflicting = delivered["row_ref"].gather(conflicts).to_numpy()
    columns = {name: delivered[name] for name in ENROLLMENT_COLUMNS}
    columns["content"] = pl.Series(some.contents)
    del delivered, some, asked, fresh, applicants
    wanted = pl.Series(accepted).cast(pl.get_index_type())
    for name, column in columns.items():
        # In one piece first: rows are taken from all over it.
        taken = column.rechunk().gather(wanted)
        columns[name] = texts_on_their_own(taken) if taken.dtype == pl.String else taken
    return Enrolled(pl.DataFrame(columns), rejected, conflicting, unchanged)


def _settle_keys(some: _Delivered, registry: Registry) -> tuple[_Mask, Numbers, int]:
    """Which rows stand for a new key each; the places of those in conflict; and how many rows
    change nothing.
    """
    held = some.account_nos >= 0
    numbers = some.account_nos[held]
    holders = registry.accounts["person_id"].gather(numbers)
    mine = (holders == some.rows["person_id"].filter(pl.Series(held))).to_numpy()
    known = np.flatnonzero(held)[mine]
    accepted = registry.accounts["content"].gather(numbers[mine]).to_numpy()
    same = accepted == some.contents[known]
    fresh = np.ones(some.rows.height, np.bool_)
    fresh[known] = False
    again = np.flatnonzero(some.shares & fresh)
    several = some.rows.select(KEY)[again].with_columns(content=pl.Series(some.contents[again]))
    several = several.select(
        in_conflict=pl.col("content").n_unique().over(KEY) > 1,
        first=pl.int_range(pl.len()).over(KEY) == 0,
    )
    in_conflict, first = several["in_conflict"].to_numpy(), several["first"].to_numpy()
    fresh[again] = first & ~in_conflict
    conflicts = np.concatenate([known[~same], again[in_conflict]])
    return fresh, conflicts, int(same.sum() + (~first & ~in_conflict).sum())


def _one_by_one(
    some: _Delivered, applicants: _Applicants, registry: Registry, services: Services
) -> tuple[Numbers, pl.Series]:
    """Which applicants share a person or an account with another, and the reason, or null, of each
    of them.
    """
    held = some.account_nos[applicants.places] >= 0
    watched = held | some.shares[applicants.places]
    in_turn = np.flatnonzero(watched | applicants.several | (applicants.person_nos >= 0))
    rows = some.rows.select("applied_at", "service_id", "account_id")[applicants.places[in_turn]]
    held, watched = held[in_turn], watched[in_turn]
    accounts = np.zeros(in_turn.size, np.int64)
    accounts[watched] = (
        rows.filter(pl.Series(watched))
        .with_row_index("number", 1)
        .select(pl.col("number").first().over("service_id", "account_id"))
        .to_series()
    )
    holders: list[int | None] = [None] * (in_turn.size + 1)
    for account in accounts[held].tolist():
        holders[account] = _SOMEBODY_ELSE
    people, first = np.unique(applicants.people[in_turn], return_index=True)
    bound = _bound(applicants.person_nos[in_turn[first]], registry, services)
    reasons: list[str | None] = [None] * in_turn.size
    # They stand by person: so those of one instant stay in their order.
    order = rows["applied_at"].to_physical().to_numpy().argsort(kind="stable")
    for row, person, account, day, until in zip(
        order.tolist(),
        np.searchsorted(people, applicants.people[in_turn])[order].tolist(),
        accounts[order].tolist(),
        rows["applied_at"].dt.date().to_physical().to_numpy()[order].tolist(),
        _bound_until(rows["service_id"], services)[order].tolist(),
        strict=True,
    ):
        before = bound[person]
        if account_taken(holders[account], person):
            reasons[row] = ACCOUNT_TAKEN
        elif already_enrolled(before, day):
            reasons[row] = ALREADY_ENROLLED
        else:
            bound[person] = until if before is None else max(before, until)
            if account:
                holders[account] = person
    return in_turn, pl.Series("reason", reasons, dtype=pl.String)


def _bound(person_nos: Numbers, registry: Registry, services: Services) -> list[int | None]:
    """The last day on which each person may choose no other service; None who has chosen none."""
    bound: list[int | None] = [None] * person_nos.size
    known = np.flatnonzero(person_nos >= 0)
    if known.size:
        rows = np.full(registry.people, -1)
        rows[person_nos[known]] = known
        rows_of_accounts = rows[registry.accounts["person_no"].to_numpy()]
        theirs = np.flatnonzero(rows_of_accounts >= 0)
        days = np.full(person_nos.size, np.iinfo(np.int64).min)
        until = _bound_until(registry.accounts["service_id"].gather(theirs), services)
        np.maximum.at(days, rows_of_accounts[theirs], until)
        for row in known.tolist():
            bound[row] = int(days[row])
    return bound


def _bound_until(service_ids: pl.Series, services: Services) -> Numbers:
    """For each of some services, the last day on which who chose it may choose no other."""
    days = {one.service_id: (bound_until(one) - _EPOCH).days for one in services.services}
    unknown = (bound_until(None) - _EPOCH).days
    ids = service_ids.cast(pl.String)
    return ids.replace_strict(days, default=unknown, return_dtype=pl.Int64).to_numpy()

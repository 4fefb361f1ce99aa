"""The fold over applications: (who is enrolled, delivered enrollments) -> accepted and rejected.

Applications are decided in order, since an accepted application stands in the way of later ones.
Only applications that share a person or an account with another need that order; all others are
decided at once.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.concerned import KnownBook, with_concerned
from engine.booking.corrections import Accepted, Corrections
from engine.booking.in_turn import UNCHANGED, Applications, Turn, stands_for
from engine.booking.registry import Numbers, Registry, enrollment_contents, terms_of_services
from engine.booking.standing import Standing
from engine.columns.hashing import Hashes, hash_pair, repeated_places
from engine.columns.text_order import in_text_order
from engine.columns.unshared import rows_on_their_own, texts_on_their_own
from engine.records import ENROLLMENT_COLUMNS, RejectedEnrollment, polars_schema
from engine.rules import reasons_against
from engine.rules.application import rules_for_applications
from engine.terms.programme import Terms
from engine.terms.services import Services

KEY: Final = ("person_id", "service_id", "account_id")
ASKED_OF_SERVICES: Final = ("service_basis", "applications_end_at", "preregistration")
ORDER: Final = ("applied_at", "person", "service_id", "account_id", "person_id")

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What became of a run's enrollments.

    Attributes:
        accepted: columns of ``Enrollment``, ``content``, the hash of what each says, and
            ``person``, the ID that each is read as; sorted by that, a person's in order of
            acceptance.
        rejected: columns of ``RejectedEnrollment``, of what was delivered.
        waiting: delivered rows that changed nothing as long as another enrollment stands: columns
            of ``Enrollment``.
        conflicts: the ``row_ref`` of every row in conflict.
        unchanged: how many delivered rows changed nothing.
        reconsidered: how many of the accepted waited in the book.
        concerned: those of the accepted that concern people or accounts that events name.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    waiting: pl.DataFrame
    conflicts: Numbers
    unchanged: int
    reconsidered: int
    concerned: tuple[Accepted, ...]

    def counts(self) -> "EnrollmentCounts":
        """How many there were of each."""
        reasons = self.rejected["reason"].value_counts().sort("reason")
        return EnrollmentCounts(
            self.accepted.height, self.unchanged, dict(reasons.iter_rows()), self.reconsidered
        )


class EnrollmentCounts(NamedTuple):
    """How many enrollments were accepted, changed nothing, were rejected by reason; and how many of
    the accepted had waited.
    """

    accepted: int
    unchanged: int
    rejected: dict[str, int]
    reconsidered: int = 0


class _Delivered(NamedTuple):
    """Delivered enrollments, and what is known about each beforehand.

    Attributes:
        rows: with ``person``, the ID that ``person_id`` is read as.
        contents: the hash of what each says.
        account_nos: its account's number in the registry, or -1 if no one has the account.
        shares: whether its account (or, by chance, just the account's hash) is delivered again.
        concerned: whether an event names its person or its account.
    """

    rows: pl.DataFrame
    contents: Hashes
    account_nos: Numbers
    shares: _Mask
    concerned: _Mask

    @classmethod
    def of(
        cls, rows: pl.DataFrame, registry: Registry, corrections: Corrections, standing: Standing
    ) -> "_Delivered":
        service_id, account_id = rows["service_id"], rows["account_id"]
        shares = np.zeros(rows.height, np.bool_)
        shares[repeated_places(hash_pair(service_id, account_id))] = True
        account_nos = registry.finder.find(service_id, account_id)
        if not registry.everybody_in_force:
            known = np.flatnonzero(account_nos >= 0)
            account_nos[known[registry.person_nos[account_nos[known]] < 0]] = -1
        rows = rows.with_columns(person=_read(rows["person_id"], standing))
        concerned = _concerned(rows, corrections)
        return cls(rows, enrollment_contents(rows), account_nos, shares, concerned)


def concerning(delivered: pl.DataFrame, corrections: Corrections, book: KnownBook) -> Corrections:
    """The corrections with the enrollments of all whom applications bring together with people or
    accounts that events name.
    """
    if not corrections:
        return corrections
    standing = Standing(corrections.taken, corrections.enrollments)
    rows = delivered.select("person_id", "service_id", "account_id").with_columns(
        person=_read(delivered["person_id"], standing)
    )
    while True:
        named = rows.filter(pl.Series(_concerned(rows, corrections)))
        people = {*named["person_id"], *named["person"]}
        accounts = set(named.select("service_id", "account_id").iter_rows())
        if people <= corrections.people and accounts <= corrections.accounts:
            return corrections
        corrections = with_concerned(corrections, people, accounts, book)


def _read(person_ids: pl.Series, standing: Standing) -> pl.Series:
    """The IDs of people, each replaced by the ID that merges made of it."""
    if not standing.merges:
        return person_ids
    goes = sorted(standing.merges)
    return person_ids.replace(goes, [standing.read(person_id).person for person_id in goes])


def _concerned(rows: pl.DataFrame, corrections: Corrections) -> _Mask:
    if not corrections:
        return np.zeros(rows.height, np.bool_)
    people = pl.Series(sorted(corrections.people), dtype=pl.String).implode()
    accounts = pl.DataFrame(
        sorted(corrections.accounts),
        schema={"service_id": pl.String, "account_id": pl.String},
        orient="row",
    ).with_columns(named=pl.lit(value=True))
    return (
        rows.select("person_id", "person", "service_id", "account_id")
        .join(accounts, on=["service_id", "account_id"], how="left", maintain_order="left")
        .select(
            pl.col("named").fill_null(value=False)
            | pl.col("person_id").is_in(people)
            | pl.col("person").is_in(people)
        )
        .to_series()
        .to_numpy()
    )


class _Applicants(NamedTuple):
    """The candidates, sorted by person, a person's in the order in which they are decided.

    Attributes:
        places: their places among the delivered rows.
        several: whether the person has more than one.
        person_nos: the person's number in the registry, or -1.
    """

    places: Numbers
    several: _Mask
    person_nos: Numbers

    @classmethod
    def of(cls, rows: pl.DataFrame, candidates: _Mask, registry: Registry) -> "_Applicants":
        people = rows["person"].filter(pl.Series(candidates))
        order, same = in_text_order(people)
        places, numbers = np.flatnonzero(candidates)[order], np.cumsum(~same, dtype=np.int64)
        several = same.copy()
        several[:-1] |= same[1:]
        at = np.flatnonzero(several)
        theirs = rows.select(ORDER)[places[at]].with_columns(number=numbers[at])
        in_order = theirs.select(pl.arg_sort_by("number", *ORDER)).to_series().to_numpy()
        places[at] = places[at[in_order]]
        # People are found by a table of them all; a night without applications needs none.
        person_nos = registry.people_finder.find(people)[order] if order.size else order
        return cls(places, several, person_nos)


def enroll(
    delivered: pl.DataFrame,
    registry: Registry,
    corrections: Corrections,
    services: Services,
    terms: Terms,
    run_number: int,
) -> Enrolled:
    """Decides enrollments.

    ``delivered`` has their canonical columns and ``row_ref``, which is unique, and negative for
    rows that waited in the book; no such row has the key of a delivered row.

    Rows are identified by their places among the delivered rows until the end, since there may be
    many. Then columns are gathered one at a time and the input is released early (unless the caller
    still holds it), to halve peak memory.
    """
    standing = Standing(corrections.taken, corrections.enrollments)
    prepared = _Delivered.of(delivered, registry, corrections, standing)
    is_delivered = (delivered["row_ref"] >= 0).to_numpy()
    fresh, conflicts, unchanged, waiting = _settle_keys(prepared, registry, standing)
    asked = terms_of_services(delivered["service_id"], services, *ASKED_OF_SERVICES)
    at_fault, reasons = reasons_against(
        delivered.with_columns(asked), rules_for_applications(terms)
    )
    # A row that events concern is decided in turn: whether another enrollment stands for it is
    # asked first.
    in_its_turn = prepared.concerned[at_fault] & fresh[at_fault]
    faults = dict(
        zip(at_fault[in_its_turn].tolist(), reasons.filter(pl.Series(in_its_turn)), strict=True)
    )
    away_at_once = fresh[at_fault] & ~in_its_turn
    reasons, at_fault = reasons.filter(pl.Series(away_at_once)), at_fault[away_at_once]
    fresh[at_fault] = False
    applicants = _Applicants.of(prepared.rows, fresh, registry)
    turns = Applications(standing, services, *_known_of(prepared, applicants, registry), run_number)
    in_turn, verdicts = _one_by_one(prepared, applicants, turns, faults)
    stands = (verdicts == UNCHANGED).fill_null(value=False).to_numpy()
    refused = verdicts.is_not_null().to_numpy()
    places = applicants.places
    waiting = np.concatenate([waiting, places[in_turn[stands]]])
    unchanged += int(is_delivered[places[in_turn[stands]]].sum())
    accepted = np.delete(places, in_turn[refused])
    away = np.concatenate([at_fault, places[in_turn[refused & ~stands]]])
    rejected = prepared.rows[away].with_columns(
        reason=reasons.append(verdicts.filter(pl.Series(refused & ~stands)))
    )
    rejected = rejected.filter(pl.Series(is_delivered[away])).sort(ORDER)
    rejected = rejected.with_columns(
        person_id="person",
        delivered_person_id=pl.when(pl.col("person_id") != pl.col("person")).then("person_id"),
    )
    rejected = rows_on_their_own(rejected.select(polars_schema(RejectedEnrollment).keys()))
    kept = rows_on_their_own(delivered[waiting[is_delivered[waiting]]].select(ENROLLMENT_COLUMNS))
    conflicting = delivered["row_ref"].gather(conflicts).to_numpy()
    reconsidered = int((~is_delivered[accepted]).sum())
    columns = {name: delivered[name] for name in ENROLLMENT_COLUMNS}
    columns["person"], columns["content"] = prepared.rows["person"], pl.Series(prepared.contents)
    del delivered, prepared, asked, fresh, applicants
    wanted = pl.Series(accepted).cast(pl.get_index_type())
    for name, column in columns.items():
        # Made contiguous first, since rows are gathered from all over the column.
        taken = column.rechunk().gather(wanted)
        columns[name] = texts_on_their_own(taken) if taken.dtype == pl.String else taken
    return Enrolled(
        pl.DataFrame(columns),
        rejected,
        kept,
        conflicting,
        unchanged,
        reconsidered,
        tuple(turns.accepted),
    )


def _settle_keys(
    delivered: _Delivered, registry: Registry, standing: Standing
) -> tuple[_Mask, Numbers, int, Numbers]:
    """Which rows have a new key each; the places of the rows in conflict; how many rows change
    nothing; and the places of the unchanged rows that wait.
    """
    held = (delivered.account_nos >= 0) & ~delivered.concerned
    numbers = delivered.account_nos[held]
    holders = registry.person_ids(registry.person_nos[numbers])
    of_holder = (holders == delivered.rows["person_id"].filter(pl.Series(held))).to_numpy()
    known = np.flatnonzero(held)[of_holder]
    accepted = registry.accounts["content"].gather(numbers[of_holder]).to_numpy()
    same = accepted == delivered.contents[known]
    known_concerned, same_concerned, stood_for = _settle_concerned(delivered, standing)
    known, same = np.append(known, known_concerned), np.append(same, same_concerned)
    fresh = np.ones(delivered.rows.height, np.bool_)
    fresh[known] = False
    again = np.flatnonzero(delivered.shares & fresh)
    several = delivered.rows.select(KEY)[again].with_columns(
        content=pl.Series(delivered.contents[again])
    )
    several = several.select(
        in_conflict=pl.col("content").n_unique().over(KEY) > 1,
        first=pl.int_range(pl.len()).over(KEY) == 0,
    )
    in_conflict, first = several["in_conflict"].to_numpy(), several["first"].to_numpy()
    fresh[again] = first & ~in_conflict
    is_delivered = (delivered.rows["row_ref"] >= 0).to_numpy()
    differing = known[~same]
    conflicts = np.concatenate([differing[is_delivered[differing]], again[in_conflict]])
    waiting = stood_for[fresh[stood_for]]
    fresh[waiting] = False
    unchanged = (
        is_delivered[known[same]].sum()
        + (~first & ~in_conflict).sum()
        + is_delivered[waiting].sum()
    )
    return fresh, conflicts, int(unchanged), waiting


def _settle_concerned(delivered: _Delivered, standing: Standing) -> tuple[Numbers, _Mask, Numbers]:
    """For rows that events concern: the places of the rows whose key is accepted and whether each
    has the same content; and the places of the rows for which another enrollment of the person
    stands.
    """
    known, same, stood_for = [], [], []
    for place, turn in _turns(delivered, np.flatnonzero(delivered.concerned)):
        owner = standing.owner(turn.account)
        if owner is None or standing.person_of(owner.enrollment) != turn.person:
            continue
        enrollment = owner.enrollment
        if enrollment.granted_by is None and enrollment.key == (turn.person_id, *turn.account):
            known.append(place)
            same.append(enrollment.content == turn.content)
        elif stands_for(enrollment, turn):
            stood_for.append(place)
    return np.array(known, np.int64), np.array(same, np.bool_), np.array(stood_for, np.int64)


def _turns(delivered: _Delivered, places: Numbers) -> "list[tuple[int, Turn]]":
    rows = delivered.rows.select(*ORDER, "basis")[places].with_columns(
        pl.col("basis").cast(pl.String),
        content=pl.Series(delivered.contents[places]),
        is_concerned=pl.Series(delivered.concerned[places]),
    )
    return list(zip(places.tolist(), map(Turn._make, rows.rows()), strict=True))


def _in_turn(delivered: _Delivered, applicants: _Applicants) -> _Mask:
    """Which applicants share a person or an account with another, or concern an event."""
    watched = (delivered.account_nos >= 0) | delivered.shares | delivered.concerned
    return watched[applicants.places] | applicants.several | (applicants.person_nos >= 0)


def _known_of(
    delivered: _Delivered, applicants: _Applicants, registry: Registry
) -> tuple[dict[tuple[str, str], str], dict[str, list[tuple[dt.datetime, str, str]]]]:
    """Who holds the accounts of applicants decided in turn, and what these people applied for."""
    places = applicants.places[_in_turn(delivered, applicants)]
    account_nos = delivered.account_nos[places]
    at, account_nos = places[account_nos >= 0], account_nos[account_nos >= 0]
    accounts = delivered.rows.select("service_id", "account_id")[at]
    holders = dict(
        zip(
            accounts.iter_rows(), registry.person_ids(registry.person_nos[account_nos]), strict=True
        )
    )
    people = np.unique(applicants.person_nos[applicants.person_nos >= 0])
    held: dict[str, list[tuple[dt.datetime, str, str]]] = {}
    if people.size:
        asked = np.zeros(registry.people + 1, np.bool_)
        asked[people] = True
        # The last one stands for NOBODY.
        theirs = np.flatnonzero(asked[registry.person_nos])
        rows = registry.accounts.select(
            "applied_at", pl.col("service_id").cast(pl.String), "account_id"
        )[theirs]
        persons = registry.person_ids(registry.person_nos[theirs])
        for person, application in zip(persons, rows.iter_rows(), strict=True):
            held.setdefault(person, []).append(application)
    return holders, held


def _one_by_one(
    delivered: _Delivered,
    applicants: _Applicants,
    applications: Applications,
    faults: Mapping[int, str],
) -> tuple[Numbers, pl.Series]:
    """The applicants that are decided in turn, and for each the reason against it, or null."""
    in_turn = np.flatnonzero(_in_turn(delivered, applicants))
    reasons: list[str | None] = [None] * in_turn.size
    places = applicants.places[in_turn]
    order = delivered.rows.select(ORDER)[places].select(pl.arg_sort_by(*ORDER)).to_series()
    turns = _turns(delivered, places[order.to_numpy()])
    for row, (place, turn) in zip(order.to_list(), turns, strict=True):
        reasons[row] = applications.decide(turn, faults.get(place))
    return in_turn, pl.Series("reason", reasons, dtype=pl.String)

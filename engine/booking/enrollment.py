"""The fold over applications: (who is enrolled, delivered enrollments) -> accepted and rejected.

Applications are decided in order, since an accepted application stands in the way of later ones.
Only applications that share a person or an account with another need that order; all others are
decided at once, and so are two of one person that concern no one else.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl

from engine.booking.applicants import (
    ORDER,
    Applicants,
    DeliveredEnrollments,
    Mask,
    decided_in_turn,
    named_by_events,
    read_people,
)
from engine.booking.concerned import KnownBook, with_concerned
from engine.booking.corrections import Accepted, Corrections
from engine.booking.in_turn import UNCHANGED, Applications, Turn, stands_for
from engine.booking.index_spaces import RowRefs
from engine.booking.registry import Numbers, Registry, terms_of_services
from engine.booking.standing import Standing
from engine.columns.unshared import rows_on_their_own, texts_on_their_own
from engine.records import ENROLLMENT_COLUMNS, RejectedEnrollment, polars_schema
from engine.rules import reasons_against
from engine.rules.application import (
    ALREADY_ENROLLED,
    may_choose_again,
    rules_for_applications,
)
from engine.terms.programme import Terms
from engine.terms.services import Services

KEY: Final = ("person_id", "service_id", "account_id")
ASKED_OF_SERVICES: Final = (
    "service_basis",
    "applications_end_at",
    "preregistration",
    "awards_end_at",
)


@dataclass(frozen=True, slots=True)
class EnrollmentOutcome:
    """What became of a run's enrollments.

    Attributes:
        accepted: columns of ``Enrollment``, ``content``, the hash of what each says, and
            ``person``, the ID that each is read as; sorted by that, a person's in order of
            acceptance.
        rejected: columns of ``RejectedEnrollment``, of what was delivered.
        waiting: delivered rows that changed nothing as long as another enrollment stands: columns
            of ``Enrollment``.
        said_again: delivered rows that say what an enrollment that events concern said under the
            same key: columns of ``Enrollment``.
        conflicts: the ``row_ref`` of every row in conflict.
        unchanged: how many delivered rows changed nothing.
        reconsidered: how many of the accepted waited in the book.
        concerned: those of the accepted that concern people or accounts that events name.
    """

    accepted: pl.DataFrame
    rejected: pl.DataFrame
    waiting: pl.DataFrame
    said_again: pl.DataFrame
    conflicts: RowRefs
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


def concerning(delivered: pl.DataFrame, corrections: Corrections, book: KnownBook) -> Corrections:
    """The corrections with the enrollments of all whom applications bring together with people or
    accounts that events name.
    """
    if not corrections:
        return corrections
    standing = Standing(corrections.taken, corrections.enrollments)
    rows = delivered.select("person_id", "service_id", "account_id").with_columns(
        person=read_people(delivered["person_id"], standing)
    )
    while True:
        named = rows.filter(pl.Series(named_by_events(rows, corrections)))
        people = {*named["person_id"], *named["person"]}
        accounts = set(named.select("service_id", "account_id").iter_rows())
        if people <= corrections.people and accounts <= corrections.accounts:
            return corrections
        corrections = with_concerned(corrections, people, accounts, book)


def enroll(
    delivered: pl.DataFrame,
    registry: Registry,
    corrections: Corrections,
    services: Services,
    terms: Terms,
    run_number: int,
) -> EnrollmentOutcome:
    """Decides enrollments.

    ``delivered`` has their canonical columns and ``row_ref``, which is unique, and negative for
    rows that waited in the book; no such row has the key of a delivered row.

    Rows are identified by their places among the delivered rows until the end, since there may be
    many. Then columns are gathered one at a time and the input is released early (unless the caller
    still holds it), to halve peak memory.
    """
    standing = Standing(corrections.taken, corrections.enrollments)
    prepared = DeliveredEnrollments.of(delivered, registry, corrections, standing)
    is_delivered = (delivered["row_ref"] >= 0).to_numpy()
    fresh, conflicts, unchanged, waiting, again = _settle_keys(prepared, registry, standing)
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
    applicants = Applicants.of(prepared.rows, fresh, registry)
    seconds, in_turn = decided_in_turn(prepared, applicants)
    known = _known_of(prepared, applicants, in_turn, registry)
    turns = Applications(standing, services, *known, run_number)
    verdicts = _one_by_one(prepared, applicants, in_turn, turns, faults)
    refused_seconds = _refused(seconds, prepared, applicants, asked)
    in_turn = np.append(in_turn, refused_seconds)
    verdicts.extend(pl.repeat(ALREADY_ENROLLED, refused_seconds.size, eager=True))
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
    kept, said_again = (
        rows_on_their_own(delivered[at[is_delivered[at]]].select(ENROLLMENT_COLUMNS))
        for at in (waiting, again)
    )
    conflicting = delivered["row_ref"][conflicts].to_numpy()
    reconsidered = int((~is_delivered[accepted]).sum())
    columns = {name: delivered[name] for name in ENROLLMENT_COLUMNS}
    columns["content"] = pl.Series(prepared.contents)
    if standing.merges:
        columns["person"] = prepared.rows["person"]
    del delivered, prepared, asked, fresh, applicants
    accepted_rows = pl.Series(accepted).cast(pl.get_index_type())
    for name, column in columns.items():
        # Made contiguous first, since rows are gathered from all over the column.
        taken = column.rechunk()[accepted_rows]
        columns[name] = texts_on_their_own(taken) if taken.dtype == pl.String else taken
    columns.setdefault("person", columns["person_id"])
    return EnrollmentOutcome(
        pl.DataFrame(columns),
        rejected,
        kept,
        said_again,
        conflicting,
        unchanged,
        reconsidered,
        tuple(turns.accepted),
    )


def _settle_keys(
    delivered: DeliveredEnrollments, registry: Registry, standing: Standing
) -> tuple[Mask, Numbers, int, Numbers, Numbers]:
    """Which rows have a new key each; the places of the rows in conflict; how many rows change
    nothing; the places of the unchanged rows that wait, and of those that events concern and that
    say what is accepted.
    """
    held = (delivered.account_nos >= 0) & ~delivered.concerned
    numbers = delivered.account_nos[held]
    holders = registry.person_ids(registry.person_nos[numbers])
    of_holder = (holders == delivered.rows["person_id"].filter(pl.Series(held))).to_numpy()
    known = np.flatnonzero(held)[of_holder]
    accepted = registry.accounts["content"][numbers[of_holder]].to_numpy()
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
    return fresh, conflicts, int(unchanged), waiting, known_concerned[same_concerned]


def _settle_concerned(
    delivered: DeliveredEnrollments, standing: Standing
) -> tuple[Numbers, Mask, Numbers]:
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


def _turns(delivered: DeliveredEnrollments, places: Numbers) -> "list[tuple[int, Turn]]":
    rows = delivered.rows.select(*ORDER, "basis")[places].with_columns(
        pl.col("basis").cast(pl.String),
        content=pl.Series(delivered.contents[places]),
        is_concerned=pl.Series(delivered.concerned[places]),
    )
    return list(zip(places.tolist(), map(Turn._make, rows.rows()), strict=True))


def _refused(
    seconds: Numbers,
    delivered: DeliveredEnrollments,
    applicants: Applicants,
    asked: list[pl.Series],
) -> Numbers:
    """Those of the second applications beside which the first stands."""
    ends = asked[ASKED_OF_SERVICES.index("awards_end_at")]
    pairs = pl.DataFrame(
        {
            "ended_at": ends[applicants.places[seconds - 1]],
            "applied_at": delivered.rows["applied_at"][applicants.places[seconds]],
        }
    )
    again = may_choose_again(pl.col("ended_at"), pl.col("applied_at")).fill_null(value=False)
    stands_alone: Mask = ~pairs.select(again).to_series().to_numpy()
    return seconds[stands_alone]


def _known_of(
    delivered: DeliveredEnrollments, applicants: Applicants, in_turn: Numbers, registry: Registry
) -> tuple[dict[tuple[str, str], str], dict[str, list[tuple[dt.datetime, str, str]]]]:
    """Who holds the accounts of applicants decided in turn, and what these people applied for."""
    places = applicants.places[in_turn]
    account_nos = delivered.account_nos[places]
    at, account_nos = places[account_nos >= 0], account_nos[account_nos >= 0]
    accounts = delivered.rows.select("service_id", "account_id")[at]
    holders = dict(
        zip(
            accounts.iter_rows(), registry.person_ids(registry.person_nos[account_nos]), strict=True
        )
    )
    person_nos = applicants.person_nos[in_turn]
    people = np.unique(person_nos[person_nos >= 0])
    held: dict[str, list[tuple[dt.datetime, str, str]]] = {}
    if people.size:
        asked = np.zeros(registry.people + 1, np.bool_)
        asked[people] = True
        # The last one stands for NOBODY.
        of_people = np.flatnonzero(asked[registry.person_nos])
        rows = registry.accounts.select(
            "applied_at", pl.col("service_id").cast(pl.String), "account_id"
        )[of_people]
        persons = registry.person_ids(registry.person_nos[of_people])
        for person, application in zip(persons, rows.iter_rows(), strict=True):
            held.setdefault(person, []).append(application)
    return holders, held


def _one_by_one(
    delivered: DeliveredEnrollments,
    applicants: Applicants,
    in_turn: Numbers,
    applications: Applications,
    faults: Mapping[int, str],
) -> pl.Series:
    """For each applicant that is decided in turn the reason against it, or null."""
    reasons: list[str | None] = [None] * in_turn.size
    places = applicants.places[in_turn]
    order = delivered.rows.select(ORDER)[places].select(pl.arg_sort_by(*ORDER)).to_series()
    turns = _turns(delivered, places[order.to_numpy()])
    for row, (place, turn) in zip(order.to_list(), turns, strict=True):
        reasons[row] = applications.decide(turn, faults.get(place))
    return pl.Series("reason", reasons, dtype=pl.String)

"""The fold over applications: (who is enrolled, delivered enrollments) -> accepted and rejected.

Applications are decided in order, for an accepted one stands in the way of later ones. Only those
that share a person or an account with another need that order; all others are decided at once.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.hashing import hash_pair, hash_text, places_among, repeated_hashes
from engine.programme import Terms
from engine.records import ENROLLMENT_COLUMNS
from engine.registry import Registry, enrollment_key, services_frame
from engine.rules import first_reason
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
CONTENT: Final = tuple(name for name in ENROLLMENT_COLUMNS if name not in KEY)
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
    conflicts: npt.NDArray[np.int64]
    unchanged: int


def enroll(
    delivered: pl.DataFrame, registry: Registry, services: Services, terms: Terms
) -> Enrolled:
    """Decides delivered enrollments: their canonical columns and ``row_ref``, unique a row."""
    delivered = delivered.with_columns(pl.col("basis").cast(pl.String))
    fresh, conflicts, unchanged = _settle_keys(delivered, registry)
    decided = (
        fresh.lazy()
        .join(services_frame(services).lazy(), on="service_id", how="left", maintain_order="left")
        .with_columns(reason=first_reason(rules_for_applications(terms)))
        .select(*ENROLLMENT_COLUMNS, "reason")
        .collect(engine="in-memory")
    )
    candidates = decided.filter(pl.col("reason").is_null())
    in_turn = pl.Series(_share_a_person_or_an_account(candidates, registry))
    alone, others = candidates.filter(~in_turn), candidates.filter(in_turn).sort(ORDER)
    others = others.with_columns(_one_by_one(others, registry, services))
    accepted = pl.concat([alone, others.filter(pl.col("reason").is_null())])
    rejected = pl.concat(
        [frame.filter(pl.col("reason").is_not_null()) for frame in (decided, others)]
    )
    return Enrolled(
        accepted=accepted.sort("person_id", *ORDER).select(ENROLLMENT_COLUMNS),
        rejected=rejected.sort(ORDER).select(*KEY, "reason"),
        conflicts=conflicts,
        unchanged=unchanged,
    )


def _settle_keys(
    delivered: pl.DataFrame, registry: Registry
) -> tuple[pl.DataFrame, npt.NDArray[np.int64], int]:
    """The rows of new keys, one a key; the rows in conflict; the number that change nothing."""
    new, conflicts, unchanged = _against_the_registry(delivered, registry)
    repeated = _repeated(enrollment_key(new))
    if repeated.any():
        several = new.filter(repeated).with_columns(
            contents=pl.struct(CONTENT).n_unique().over(KEY),
            place=pl.int_range(pl.len()).over(KEY),
        )
        in_conflict = several.filter(pl.col("contents") > 1)
        first = several.filter((pl.col("contents") == 1) & (pl.col("place") == 0))
        conflicts = conflicts.append(in_conflict["row_ref"])
        unchanged += several.height - in_conflict.height - first.height
        new = pl.concat([new.filter(~repeated), first.select(new.columns)])
    return new, conflicts.to_numpy(), unchanged


def _against_the_registry(
    delivered: pl.DataFrame, registry: Registry
) -> tuple[pl.DataFrame, pl.Series, int]:
    if registry.people == 0:
        return delivered, delivered["row_ref"].clear(), 0
    same = pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(f"{name}_accepted")) for name in CONTENT
    )
    against = (
        delivered.lazy()
        .join(
            registry.accounts.lazy().with_columns(accepted=pl.lit(value=True)),
            on=KEY,
            how="left",
            suffix="_accepted",
            maintain_order="left",
        )
        .select(
            *delivered.columns,
            verdict=pl.when(pl.col("accepted").is_null())
            .then(pl.lit("new"))
            .when(same)
            .then(pl.lit("unchanged"))
            .otherwise(pl.lit("conflict")),
        )
        .collect(engine="in-memory")
    )
    return (
        against.filter(pl.col("verdict") == "new").drop("verdict"),
        against.filter(pl.col("verdict") == "conflict")["row_ref"],
        int((against["verdict"] == "unchanged").sum()),
    )


def _repeated(hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Which of the hashes are there more than once."""
    more_than_once = np.zeros(hashes.size, np.bool_)
    more_than_once[places_among(repeated_hashes(hashes), hashes)] = True
    return more_than_once


def _share_a_person_or_an_account(
    candidates: pl.DataFrame, registry: Registry
) -> npt.NDArray[np.bool_]:
    people = hash_text(candidates["person_id"], 1)
    accounts = hash_pair(candidates["service_id"], candidates["account_id"])
    shared = _repeated(people) | _repeated(accounts)
    if registry.people:
        taken = registry.finder.find(candidates["service_id"], candidates["account_id"]) >= 0
        enrolled = candidates["person_id"].is_in(registry.accounts["person_id"].implode())
        shared |= taken | enrolled.to_numpy()
    return shared


def _one_by_one(applications: pl.DataFrame, registry: Registry, services: Services) -> pl.Series:
    """The reason, or null, of each application, in order."""
    before = registry.accounts.filter(
        pl.col("person_id").is_in(applications["person_id"].implode())
        | pl.struct("service_id", "account_id").is_in(
            applications.select(pl.struct("service_id", "account_id")).to_series().implode()
        )
    ).select(KEY)
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

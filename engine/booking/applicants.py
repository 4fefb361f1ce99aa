"""Delivered enrollments and what is known about each beforehand: the accounts and the people they
share, and with whom; so that only those that need it are decided one after the other.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.registry import Numbers, Registry, enrollment_contents
from engine.booking.standing import Standing
from engine.columns.hashing import Hashes, hash_pair, repeated_places
from engine.columns.text_order import in_text_order, tied

ORDER: Final = ("applied_at", "person", "service_id", "account_id", "person_id")

Mask = npt.NDArray[np.bool_]


class DeliveredEnrollments(NamedTuple):
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
    shares: Mask
    concerned: Mask

    @classmethod
    def of(
        cls, rows: pl.DataFrame, registry: Registry, corrections: Corrections, standing: Standing
    ) -> "DeliveredEnrollments":
        service_id, account_id = rows["service_id"], rows["account_id"]
        shares = np.zeros(rows.height, np.bool_)
        shares[repeated_places(hash_pair(service_id, account_id))] = True
        account_nos = registry.finder.find(service_id, account_id)
        if not registry.everybody_in_force:
            known = np.flatnonzero(account_nos >= 0)
            account_nos[known[registry.person_nos[account_nos[known]] < 0]] = -1
        rows = rows.with_columns(person=read_people(rows["person_id"], standing))
        concerned = named_by_events(rows, corrections)
        return cls(rows, enrollment_contents(rows), account_nos, shares, concerned)


class Applicants(NamedTuple):
    """The candidates, sorted by person, a person's in the order in which they are decided.

    Attributes:
        places: their places among the delivered rows.
        same: whether the person is that of the one before.
        person_nos: the person's number in the registry, or -1.
    """

    places: Numbers
    same: Mask
    person_nos: Numbers

    @classmethod
    def of(cls, rows: pl.DataFrame, candidates: Mask, registry: Registry) -> "Applicants":
        people = rows["person"].filter(pl.Series(candidates))
        order, same = in_text_order(people)
        places, numbers = np.flatnonzero(candidates)[order], np.cumsum(~same, dtype=np.int64)
        at = np.flatnonzero(tied(same))
        if at.size:
            tied_rows = rows.select(ORDER)[places[at]].with_columns(number=numbers[at])
            in_order = tied_rows.select(pl.arg_sort_by("number", *ORDER)).to_series().to_numpy()
            places[at] = places[at[in_order]]
        # People are found by a table of them all; a night without applications needs none.
        person_nos = registry.people_finder.find(people)[order] if order.size else order
        return cls(places, same, person_nos)


def decided_in_turn(
    delivered: DeliveredEnrollments, applicants: Applicants
) -> tuple[Numbers, Numbers]:
    """The second of two applications of a person that nobody and nothing else has to do with; and
    all others that share a person or an account with another, or concern an event.
    """
    watched = (delivered.account_nos >= 0) | delivered.shares | delivered.concerned
    alone = ~watched[applicants.places] & (applicants.person_nos < 0)
    same = applicants.same
    of_two = same[1:] & ~same[:-1] & ~np.append(same[2:], False) & alone[1:] & alone[:-1]
    seconds = np.flatnonzero(of_two) + 1
    in_turn = ~alone | tied(same)
    in_turn[seconds] = in_turn[seconds - 1] = False
    return seconds, np.flatnonzero(in_turn)


def read_people(person_ids: pl.Series, standing: Standing) -> pl.Series:
    """The IDs of people, each replaced by the ID that merges made of it."""
    if not standing.merges:
        return person_ids
    goes = sorted(standing.merges)
    return person_ids.replace(goes, [standing.read(person_id).person for person_id in goes])


def named_by_events(rows: pl.DataFrame, corrections: Corrections) -> Mask:
    """Whose person, as delivered or as read, or whose account an event names."""
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

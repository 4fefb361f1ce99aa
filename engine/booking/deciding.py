"""Deciding: which of a slice's transactions are booked, and why each of the others is not.

A slice is all rows of some people. Its transactions are known to be distinct and not booked
before. Refunds look for their originals in the past and among the slice's own rows.
"""

from dataclasses import dataclass, replace
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.index_spaces import BookedPlace, BookedPlaces, SliceRow, SliceRows, Sources
from engine.booking.registry import Numbers
from engine.booking.state import Integers, Past
from engine.columns.hashing import FewHashes, Hashes, hash_pair
from engine.rules import first_reason, reasons_against
from engine.rules.refunds import REFUND_EXCEEDS_ORIGINAL, rules_for_refunds, taken_back
from engine.rules.spending import rules_for_spending
from engine.terms.programme import Terms
from engine.terms.services import Services

Flags = npt.NDArray[np.bool_]
Row = TypeVar("Row", SliceRow, BookedPlace)

NO_ORIGINAL: Final = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Originals(Generic[Row]):
    """The originals of some refunds, one a refund.

    Attributes:
        of_rows: the refunds, as rows of the slice or as booked ones.
        ids: each one's original; ``NO_ORIGINAL`` where none is booked.
        account_nos, occurred_at_us, amounts_yen: the original's.
        refunded_yen: what earlier runs' refunds took back of it.
        taken_yen: what each refund takes back of it.
    """

    of_rows: npt.NDArray[Row]
    ids: Sources
    account_nos: Numbers
    occurred_at_us: Integers
    amounts_yen: Integers
    refunded_yen: Integers
    taken_yen: Integers

    def renumbered(self, places: BookedPlaces) -> "Originals[BookedPlace]":
        """The same by booked places: ``places`` gives that of each row of the slice."""
        inside = self.ids < 0
        return Originals(
            places[self.of_rows],
            np.where(inside, -1 - places[np.where(inside, -1 - self.ids, 0)], self.ids),
            self.account_nos,
            self.occurred_at_us,
            self.amounts_yen,
            self.refunded_yen,
            self.taken_yen,
        )

    def taken(self, at: Numbers | Flags) -> "Originals[Row]":
        """Some of them."""
        return Originals(*(getattr(self, name)[at] for name in self.__dataclass_fields__))


class SliceDecisions(NamedTuple):
    """A slice, decided.

    Attributes:
        booked: by row, whether it is booked.
        turned_away: the places of those that are not, ascending.
        reasons: why, one each.
        originals: those of the booked refunds.
    """

    booked: Flags
    turned_away: SliceRows
    reasons: pl.Series
    originals: Originals[SliceRow]


def decide(
    rows: pl.DataFrame, key_hashes: Hashes | None, past: Past, terms: Terms, services: Services
) -> SliceDecisions:
    """Decides a slice.

    ``rows`` has the canonical columns but the account's ID, ``account_no``, and the account's
    columns of ``Registry.for_deciding``. ``key_hashes`` are by row; they are needed when the slice
    has refunds.
    """
    refunds = rows["kind"] == "refund"
    places, reasons = reasons_against(rows, rules_for_spending(terms, services))
    spending = ~refunds.to_numpy()
    reasons, places = reasons.filter(pl.Series(spending[places])), places[spending[places]]
    booked = np.ones(rows.height, np.bool_)
    booked[places] = False
    of_rows = cast(SliceRows, np.flatnonzero(refunds.to_numpy()))
    if of_rows.size == 0 or key_hashes is None:
        return SliceDecisions(booked, places, reasons, _no_originals())
    refund_rows = rows[of_rows].with_columns(pl.col("service_id").cast(pl.String))
    spending &= booked
    originals = _find_originals(of_rows, refund_rows, rows, key_hashes, spending, past)
    refund_reasons, taken_yen = _refund_reasons(refund_rows, originals)
    originals = replace(originals, taken_yen=taken_yen)
    accepted = refund_reasons.is_null().to_numpy()
    booked[of_rows[~accepted]] = False
    all_places = np.concatenate([places, of_rows[~accepted]])
    # Both ascend, and are only merged.
    order = np.argsort(all_places, kind="stable")
    return SliceDecisions(
        booked,
        all_places[order],
        reasons.append(refund_reasons.drop_nulls())[order],
        originals.taken(accepted),
    )


def _no_originals() -> Originals[SliceRow]:
    nothing: npt.NDArray[Any] = np.empty(0, np.int64)
    return Originals(*([nothing] * len(Originals.__dataclass_fields__)))


def _find_originals(
    of_rows: SliceRows,
    refunds: pl.DataFrame,
    rows: pl.DataFrame,
    key_hashes: Hashes,
    spending: Flags,
    past: Past,
) -> Originals[SliceRow]:
    found: Originals[SliceRow] = Originals(
        of_rows,
        np.full(of_rows.size, NO_ORIGINAL),
        *(np.zeros(of_rows.size, np.int64) for _ in range(5)),
    )
    _from_the_past(found, refunds, past)
    _from_the_slice(found, refunds, rows, key_hashes, spending)
    return found


def _from_the_past(found: Originals[SliceRow], refunds: pl.DataFrame, past: Past) -> None:
    positions = past.booked_at(refunds["service_id"], refunds["original_transaction_id"])
    hit = np.flatnonzero(positions >= 0)
    facts = past.facts_at(positions[hit])
    spending = facts["spends"] > 0
    hit, facts = hit[spending], facts[spending]
    found.ids[hit] = positions[hit]
    found.account_nos[hit] = facts["account_no"]
    found.occurred_at_us[hit] = facts["occurred_at"]
    found.amounts_yen[hit] = facts["signed_amount"]
    found.refunded_yen[hit] = past.refunded_at(positions[hit])


def _from_the_slice(
    found: Originals[SliceRow],
    refunds: pl.DataFrame,
    rows: pl.DataFrame,
    key_hashes: Hashes,
    spending: Flags,
) -> None:
    requested = hash_pair(refunds["service_id"], refunds["original_transaction_id"])
    places = FewHashes(requested).places_among(key_hashes)
    places = places[spending[places]]
    candidates = rows.select("service_id", "transaction_id", "account_no", "occurred_at", "amount")[
        places
    ].with_columns(pl.col("service_id").cast(pl.String), place=pl.Series(places))
    matched = (
        refunds.select("service_id", "original_transaction_id")
        .with_columns(refund=pl.int_range(pl.len()))
        .join(
            candidates,
            left_on=("service_id", "original_transaction_id"),
            right_on=("service_id", "transaction_id"),
        )
    )
    hit = matched["refund"].to_numpy()
    found.ids[hit] = -1 - matched["place"].to_numpy()
    found.account_nos[hit] = matched["account_no"].to_numpy()
    found.occurred_at_us[hit] = matched["occurred_at"].to_physical().to_numpy()
    found.amounts_yen[hit] = matched["amount"].to_numpy()


def _refund_reasons(
    refunds: pl.DataFrame, originals: Originals[SliceRow]
) -> tuple[pl.Series, Integers]:
    """Why each refund is declined, or null; and what each takes back of its original."""
    booked = pl.Series(originals.ids != NO_ORIGINAL)
    frame = refunds.select("transaction_id", "account_no", "occurred_at", "amount").with_columns(
        original_id=pl.Series(originals.ids),
        original_account_no=pl.Series(originals.account_nos),
        original_occurred_at=pl.Series(originals.occurred_at_us).cast(pl.Datetime("us")),
        original_amount=pl.Series(originals.amounts_yen).set(~booked, None),
        left=pl.Series(originals.amounts_yen - originals.refunded_yen),
    )
    frame = frame.with_columns(reason=first_reason(rules_for_refunds())).with_row_index("row")
    stands = (
        frame.lazy()
        .filter(pl.col("reason").is_null())
        .sort("original_id", "occurred_at", "transaction_id")
        .select(
            "row",
            "amount",
            "left",
            before=pl.col("amount").cum_sum().over("original_id") - pl.col("amount"),
        )
        .collect(engine="in-memory")
    )
    taken_yen = np.zeros(frame.height, np.int64)
    rows = stands["row"].to_numpy()
    taken_yen[rows] = taken_back(
        *(stands[name].to_numpy() for name in ("amount", "before", "left"))
    )
    nothing_left = frame["reason"].is_null() & pl.Series(taken_yen == 0)
    reasons = frame.select(
        pl.when(nothing_left).then(pl.lit(REFUND_EXCEEDS_ORIGINAL)).otherwise("reason")
    ).to_series()
    return reasons, taken_yen

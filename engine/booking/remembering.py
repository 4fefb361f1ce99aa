"""Remembering: (what the book remembers, a run's entries) -> what it remembers then."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.registry import Numbers
from engine.booking.state import (
    RUN_SHIFT,
    Balances,
    Integers,
    Keys,
    Past,
    Refunded,
    content_hashes,
    key_checks,
    months_of,
)
from engine.columns.hashing import hash_pair
from engine.records import Kind

Months = npt.NDArray[np.int32]

ENTRY_COLUMNS: Final = (
    "entry_seq",
    "service_id",
    "account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
    "counted_amount",
    "net_spend_after",
    "points_after",
)


def remembered(
    past: Past,
    run_number: int,
    accepted: pl.DataFrame,
    parts: Iterable[pl.DataFrame],
    facts: np.ndarray,
) -> Past:
    """The past with one more run: its accepted enrollments and, in their order, its entries.

    ``parts`` have ``ENTRY_COLUMNS``, no person in two of them; ``facts`` is filled, one an entry.
    The run's keys become one segment a part.
    """
    past = past.joined_by(accepted)
    registry, balances = past.registry, past.balances
    months, first_month = _grown(past.months, registry.accounts.height), past.first_month
    keys: list[Keys] = []
    refunds: list[pl.DataFrame] = []
    done = 0
    for part in parts:
        frame = part.with_columns(pl.col("kind").cast(Kind))
        account_nos = registry.finder.find(frame["service_id"], frame["account_id"])
        person_nos = registry.accounts["person_no"].gather(account_nos).to_numpy()
        _carry_over(balances, person_nos, frame)
        key_hashes = hash_pair(frame["service_id"], frame["transaction_id"])
        refund = (frame["kind"] == "refund").to_numpy()
        amounts, counted = frame["amount"].to_numpy(), frame["counted_amount"].to_numpy()
        mine = facts[done : done + frame.height]
        mine["content"] = content_hashes(frame, key_hashes)
        mine["occurred_at"] = frame["occurred_at"].to_physical().to_numpy()
        mine["check"] = key_checks(frame["service_id"], frame["transaction_id"])
        mine["account_no"] = account_nos
        mine["signed_amount"] = np.where(refund, -amounts, amounts)
        mine["counted"] = counted
        order = np.argsort(key_hashes)
        keys.append(Keys(key_hashes[order], (run_number << RUN_SHIFT) + done + order))
        spending = ~refund & (counted != 0)
        months, first_month = _add_to_months(
            months,
            first_month,
            account_nos[spending],
            months_of(mine["occurred_at"][spending]),
            counted[spending],
        )
        refunds.append(
            frame.with_columns(account_no=account_nos)
            .filter(pl.Series(refund))
            .select(
                "service_id", "original_transaction_id", "amount", "counted_amount", "account_no"
            )
        )
        done += frame.height
    past = replace(
        past,
        keys=[*past.keys, *keys],
        facts=[*past.facts, facts],
        months=months,
        first_month=first_month,
    )
    taken_back = pl.concat(refunds) if refunds else None
    return past if taken_back is None or taken_back.is_empty() else _with_refunds(past, taken_back)


def _carry_over(balances: Balances, person_nos: Numbers, frame: pl.DataFrame) -> None:
    last = np.ones(person_nos.size, np.bool_)
    last[:-1] = person_nos[1:] != person_nos[:-1]
    people = person_nos[last]
    for held, name in zip(balances, ("entry_seq", "net_spend_after", "points_after"), strict=True):
        held[people] = frame[name].to_numpy()[last]


def _with_refunds(past: Past, refunds: pl.DataFrame) -> Past:
    positions = past.entries_of(refunds["service_id"], refunds["original_transaction_id"])
    counted = refunds["counted_amount"].to_numpy()
    months, first_month = _add_to_months(
        past.months,
        past.first_month,
        refunds["account_no"].to_numpy(),
        months_of(np.ascontiguousarray(past.facts_at(positions)["occurred_at"])),
        counted,
    )
    known = past.refunded
    positions = np.concatenate([known.positions, positions])
    distinct, at = np.unique(positions, return_inverse=True)
    yen, taken = np.zeros(distinct.size, np.int64), np.zeros(distinct.size, np.int64)
    np.add.at(yen, at, np.concatenate([known.yen, refunds["amount"].to_numpy()]))
    np.add.at(taken, at, np.concatenate([known.counted, counted]))
    return replace(
        past, months=months, first_month=first_month, refunded=Refunded(distinct, yen, taken)
    )


def _grown(months: Months, accounts: int) -> Months:
    """A copy with room for accounts that came later."""
    return np.pad(months, ((0, accounts - months.shape[0]), (0, 0)))


def _add_to_months(
    months: Months, first_month: int, account_nos: Numbers, at: Integers, counted: Integers
) -> tuple[Months, int]:
    """The months with counted yen added to the accounts'."""
    if at.size == 0:
        return months, first_month
    if months.shape[1] == 0:
        first_month = int(at.min())
    before = max(0, first_month - int(at.min()))
    after = max(0, int(at.max()) + 1 - first_month - months.shape[1])
    if before or after:
        months = np.pad(months, ((0, 0), (before, after)))
    first_month -= before
    np.add.at(months, (account_nos, at - first_month), counted.astype(np.int32))
    return months, first_month

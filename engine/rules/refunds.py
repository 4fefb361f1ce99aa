"""Refunds: a refund shares its original's eligibility, whenever it happens.

The rate is of what was spent; what is given back was not. The notice does not speak of refunds. The
four reasons take the place of those of a charge or a purchase.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.rules import Rule

ORIGINAL_NOT_BOOKED = "original_not_booked"
REFUND_ACCOUNT_DIFFERS = "refund_account_differs"
REFUND_BEFORE_ORIGINAL = "refund_before_original"
REFUND_EXCEEDS_ORIGINAL = "refund_exceeds_original"


def original_not_booked() -> Rule:
    """Its original is not in the ledger, this run's entries included, or is itself a refund."""
    return Rule(ORIGINAL_NOT_BOOKED, pl.col("original_amount").is_null())


def refund_account_differs() -> Rule:
    """The original's account is another."""
    return Rule(REFUND_ACCOUNT_DIFFERS, pl.col("original_account_no") != pl.col("account_no"))


def refund_before_original() -> Rule:
    """It is earlier than its original."""
    return Rule(REFUND_BEFORE_ORIGINAL, pl.col("occurred_at") < pl.col("original_occurred_at"))


def rules_for_refunds() -> list[Rule]:
    """What a refund must satisfy on its own, in the specification's order.

    Columns: those of a transaction, and of its original, null where none is booked,
    ``original_account_no``, ``original_occurred_at``, ``original_amount``.
    """
    return [original_not_booked(), refund_account_differs(), refund_before_original()]


def taken_back(
    amounts_yen: npt.NDArray[np.int64],
    before_yen: npt.NDArray[np.int64],
    left_yen: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """What each refund takes back: its amount, or what is left of its original.

    ``before_yen`` is what the refunds of the same original ahead of it asked for; ``left_yen`` what
    was left ahead of them all. Where nothing is left it takes nothing, and is declined.
    """
    taken_yen: npt.NDArray[np.int64] = np.clip(left_yen - before_yen, 0, amounts_yen)
    return taken_yen

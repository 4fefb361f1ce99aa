"""Refunds: a refund shares its original's eligibility, whenever it happens.

The rate is of what was spent; what is given back was not. The four reasons take the place of
those of a charge or a purchase.
"""

from collections.abc import Sequence

import polars as pl

from engine.rules import Rule, quotes

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


@quotes(
    "選択した決済サービスに対するチャージ(前払い)又は物品の購入額の25%",
    ORIGINAL_NOT_BOOKED,
    REFUND_ACCOUNT_DIFFERS,
    REFUND_BEFORE_ORIGINAL,
    REFUND_EXCEEDS_ORIGINAL,
)
def rules_for_refunds() -> list[Rule]:
    """What a refund must satisfy on its own, in the contract's order.

    Columns: those of a transaction, and of its original, null where none is booked,
    ``original_account_no``, ``original_occurred_at``, ``original_amount``.
    """
    return [original_not_booked(), refund_account_differs(), refund_before_original()]


def exceeding(amounts_yen: Sequence[int], left_yen: int) -> list[bool]:
    """Which of an original's refunds, in booking order, are more than what is left of it.

    A refund that is declined leaves as much as there was before it.
    """
    declined = []
    for amount_yen in amounts_yen:
        exceeds = amount_yen > left_yen
        declined.append(exceeds)
        left_yen -= 0 if exceeds else amount_yen
    return declined

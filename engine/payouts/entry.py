"""A row of the book's table of payouts, declared as the ledger's entries are."""

from typing import Final

import polars as pl

from engine.records import MAX_ID_CHARACTERS, Column, Record

PAYOUT_ENTRIES: Final = ("instructed", "done", "refused")
DIRECTIONS: Final = ("pay", "take_back")

# A payout as it was instructed, or what the points system answered. An answer that replaces another
# takes that one's entries back by the same with the sign turned.
PayoutEntry: Final = Record(
    "PayoutEntry",
    {
        "payout_run_id": Column(pl.String()),
        "entry": Column(pl.String(), words=PAYOUT_ENTRIES),
        "payout_id": Column(pl.String(), characters=MAX_ID_CHARACTERS),
        "service_id": Column(pl.String(), characters=MAX_ID_CHARACTERS),
        "account_id": Column(pl.String(), characters=MAX_ID_CHARACTERS),
        "enrolled_account_id": Column(pl.String(), characters=MAX_ID_CHARACTERS),
        "direction": Column(pl.String(), words=DIRECTIONS),
        "points": Column(pl.Int64()),
        "on": Column(pl.Date()),
        "due_on": Column(pl.Date(), nullable=True),
        "code": Column(pl.String(), nullable=True),
    },
    checks={
        "points_are_instructed_answered_or_taken_back": (
            pl.when(pl.col("entry") == "instructed")
            .then(pl.col("points") > 0)
            .otherwise(pl.col("points") != 0)
        ),
        "a_due_day_stands_on_instructions_alone": (
            pl.col("due_on").is_null() | (pl.col("entry") == "instructed")
        ),
        "a_code_stands_on_answers_alone": (
            pl.col("code").is_null() | (pl.col("entry") != "instructed")
        ),
    },
)

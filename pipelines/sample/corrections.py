"""Events: a few corrections of what the first nights delivered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from engine.records import EVENT_COLUMNS
from pipelines.sample.calendar import DAY, Calendar
from pipelines.sample.chance import Dice
from pipelines.sample.files import as_written

#: The programme's office, which decides all of the sample's events.
AUTHORITY: Final = "マイナポイント事務局"
_SCHEMA: Final = dict.fromkeys(EVENT_COLUMNS, pl.String) | {"night": pl.Int64}


def with_corrections(
    dice: Dice,
    calendar: Calendar,
    accounts: pl.DataFrame,
    enrollments: pl.DataFrame,
    transactions: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """The enrollment and transaction rows with what the events bring along, and the events.

    Four accounts that paid in each of the first three nights are corrected; in a sample without
    them there are no events.
    """
    sound = transactions.filter("sound")
    corrected = _corrected(accounts, sound)
    if corrected.height < 4:
        return enrollments, transactions, pl.DataFrame(schema=_SCHEMA)
    replaced, mistaken, stopped, mislinked = corrected.head(4).iter_rows(named=True)
    first_end = int(calendar.ends[0])
    new_number = replaced["account_id"][:-1] + str((int(replaced["account_id"][-1]) + 1) % 10)
    voided = sound.filter(_is_of(mistaken), pl.col("night") == 1).head(1)
    three = ("person_id", "service_id", "account_id")
    events = [
        {
            "night": 2,
            "kind": "account_replaced",
            "service_id": replaced["service_id"],
            "account_id": replaced["account_id"],
            "other_id": new_number,
            "effective": first_end,
            "note": "card reissued",
        },
        {
            "night": 2,
            "kind": "transaction_voided",
            "service_id": mistaken["service_id"],
            "transaction_id": voided["transaction_id"].item(),
            "note": "test payment of the shop",
        },
        {
            "night": 3,
            "kind": "enrollment_stopped",
            **{column: stopped[column] for column in three},
            "effective": first_end + 10 * DAY,
            "note": "withdrawn",
        },
        {
            "night": 3,
            "kind": "enrollment_voided",
            **{column: mislinked[column] for column in three},
            "note": "linked to the wrong person",
        },
        {
            "night": 3,
            "kind": "enrollment_granted",
            **{column: mislinked[column] for column in three},
            "person_id": f"{int(dice.bits('granted', 1)[0]):016x}",
            "effective": mislinked["applied"],
            "basis": mislinked["basis"] if mislinked["service_basis"] == "either" else None,
            "note": "linked to the right person",
        },
    ]
    described = pl.DataFrame(events, schema_overrides={"effective": pl.Int64}).with_columns(
        event_id=pl.format("E{}", pl.int_range(1, pl.len() + 1)),
        authority=pl.lit(AUTHORITY),
        effective_at=as_written("effective", "%Y-%m-%d %H:%M:%S"),
    )
    applied_again = enrollments.filter(
        _is_of(mislinked), pl.col("person_id") == mislinked["person_id"]
    )
    renumbered = pl.when(_is_of(replaced) & (pl.col("at") >= first_end)).then(pl.lit(new_number))
    return (
        pl.concat([enrollments, applied_again.with_columns(night=pl.lit(3, pl.Int64))]),
        pl.concat([transactions, voided.with_columns(night=pl.lit(2, pl.Int64))]).with_columns(
            account_id=renumbered.otherwise("account_id")
        ),
        described.select(*_SCHEMA),
    )


def _corrected(accounts: pl.DataFrame, sound: pl.DataFrame) -> pl.DataFrame:
    nights_paid = (
        sound.filter(pl.col("night") <= 3)
        .group_by("service_id", "account_id")
        .agg(nights=pl.col("night").n_unique())
        .filter(pl.col("nights") == 3)
    )
    return accounts.filter((pl.col("flaw") == "") & (pl.col("service_id") != "pasmo")).join(
        nights_paid, ["service_id", "account_id"], "semi", maintain_order="left"
    )


def _is_of(account: Mapping[str, str]) -> pl.Expr:
    return pl.all_horizontal(
        pl.col(column) == account[column] for column in ("service_id", "account_id")
    )

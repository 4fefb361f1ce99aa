"""Transactions and refunds, each with the night in which it is delivered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from engine.records import TRANSACTION_COLUMNS
from pipelines.sample.calendar import (
    DAY,
    DELIVERED_END,
    DELIVERED_FIRST,
    HOUR,
    WINDOW_END,
    WINDOW_FIRST,
    Calendar,
    half_a_night_later,
)
from pipelines.sample.chance import Dice, Integers, charges_yen, payments_yen, skewed
from pipelines.sample.files import as_written
from pipelines.sample.flaws import DAMAGED_TRANSACTIONS, MENDED, REFUNDS
from pipelines.sample.providers import MERCHANTS, METHODS, PROVIDER_OF, PROVIDERS

# -- transactions ------------------------------------------------------------------------------


def delivered_transactions(
    dice: Dice,
    calendar: Calendar,
    services: pl.DataFrame,
    accounts: pl.DataFrame,
    transactions: int,
) -> pl.DataFrame:
    """The transaction rows of all nights, in the order of their files."""
    spent = _spent(dice, calendar, services, accounts, transactions * 93 // 100)
    sound = dice.shuffled("sound", spent.filter("sound"))
    refunds, doubles, conflicts = transactions // 25, transactions // 65, transactions // 300
    refunded, twice = sound.head(refunds), sound.slice(refunds, doubles)
    contested = sound.slice(refunds + doubles, conflicts)
    too_early = spent.filter("too_early").head(refunds // 20)
    rows = pl.concat(
        [
            spent,
            _refunds(dice, calendar, sound, refunded, REFUNDS, spent.height),
            _refunds(dice, calendar, sound, too_early, ("full",), 2 * spent.height),
            half_a_night_later(calendar, twice),
            half_a_night_later(calendar, contested.with_columns(pl.col("amount") + 10)),
            spent.filter("missed").with_columns(night=pl.col("accepted_night")),
        ],
        how="diagonal",
    ).with_columns(damage=pl.lit(None, pl.Int64))
    damaged = (
        dice.shuffled("damaged", spent.filter(pl.col("provider") != len(PROVIDERS) - 1))
        .head(transactions // 120)
        .with_columns(
            transaction_id="X" + pl.col("transaction_id"),
            damage=pl.int_range(pl.len()) % len(DAMAGED_TRANSACTIONS),
        )
    )
    everything = pl.concat([rows, damaged], how="diagonal")
    merchants = pl.Series(MERCHANTS)
    return everything.with_columns(
        # About in order of time, as systems that work in batches hand over.
        order=pl.col("at") + dice.roll("order", everything.height, 2 * DAY),
        merchant=merchants.gather(dice.roll("merchant", everything.height, len(merchants))),
    ).sort("order", maintain_order=True)


def _spent(
    dice: Dice, calendar: Calendar, services: pl.DataFrame, accounts: pl.DataFrame, n: int
) -> pl.DataFrame:
    """Payments and charges.

    Nothing speaks against the `sound` ones; `too_early` are those of an enrolled account ahead of
    its application, `missed` those that come again once a late or mended application is there.
    """
    applied, accepted = pl.col("applied"), pl.col("accepted_night")
    earliest = pl.max_horizontal(applied, WINDOW_FIRST)
    latest = pl.min_horizontal(WINDOW_END + 5 * DAY, pl.col("awards_until") + 45 * DAY)
    own = pl.when(pl.col("service_basis") == "either").then("basis").otherwise("service_basis")
    who = accounts.select(
        "service_id",
        "account_id",
        "applied",
        "accepted_night",
        "awards_until",
        earliest=earliest,
        span=pl.max_horizontal(latest - earliest, DAY),
        own=own.fill_null("purchase"),
        trade=pl.col("trade").fill_null("qr"),
        provider=pl.col("service_id").replace_strict(PROVIDER_OF, return_dtype=pl.Int64),
        belated=pl.col("flaw").is_in(("late", *MENDED)),
    )[skewed(dice.bits("who", n), accounts.height)]
    whenever = DELIVERED_FIRST + dice.roll("whenever", n, DELIVERED_END - DELIVERED_FIRST)
    other = pl.when(pl.col("own") == "charge").then(pl.lit("purchase")).otherwise(pl.lit("charge"))
    soon = dice.roll("at", n, 1_000)
    rows = who.with_columns(
        at=pl.when(dice.roll("astray", n, 100) == 0)
        .then(whenever)
        .when(dice.roll("early", n, 100) < 2)
        .then(pl.col("earliest") - 1 - dice.roll("early by", n, 7 * DAY))
        .otherwise(
            pl.col("earliest")
            + pl.col("span") * soon * soon // 1_000_000
            + dice.roll("hour", n, DAY)
        ),
        kind=pl.when(dice.roll("off basis", n, 100) < 2).then(other).otherwise("own"),
        method_roll=dice.roll("method", n, 60),
    ).join(_methods(services), ["service_id", "kind", "method_roll"], "left", maintain_order="left")
    late = (dice.roll("delivered late", n, 100) < 3).cast(pl.Int64)
    known = (pl.col("night") >= accepted).fill_null(value=False)
    return rows.with_columns(
        amount=_amounts(dice, rows),
        transaction_id=_transaction_id(dice, 0, n),
        original_transaction_id=pl.lit(None, pl.String),
        night=(calendar.night_of(rows["at"]) + late).clip(upper_bound=calendar.count),
    ).select(
        *TRANSACTION_COLUMNS[:3],
        *("at", "kind", "amount", "original_transaction_id", "method"),
        *("trade", "provider", "night", "accepted_night"),
        sound=known
        & (pl.col("at") >= applied // DAY * DAY + DAY)
        & pl.col("at").is_between(WINDOW_FIRST, WINDOW_END, closed="left")
        & (pl.col("at") < pl.col("awards_until"))
        & (pl.col("kind") == pl.col("own"))
        & ~pl.col("excluded"),
        too_early=known & (pl.col("at") < applied),
        missed=pl.col("belated") & (pl.col("night") < accepted).fill_null(value=False),
    )


def _amounts(dice: Dice, rows: pl.DataFrame) -> Integers:
    payments = {
        "card": payments_yen(4_600),
        "qr": payments_yen(900),
        "e-money": payments_yen(1_100),
    }
    table = np.stack([charges_yen(), *payments.values()])
    numbers = {trade: number for number, trade in enumerate(payments, 1)}
    paid = pl.col("trade").replace_strict(numbers, return_dtype=pl.Int64)
    line = rows.select(pl.when(pl.col("kind") == "charge").then(0).otherwise(paid)).to_series()
    column = dice.bits("amount", rows.height) % np.uint64(table.shape[1])
    return np.asarray(table[line.to_numpy(), column], dtype=np.int64)


def _methods(services: pl.DataFrame) -> pl.DataFrame:
    """What each of sixty rolls means as the method of a service's charge or purchase."""
    table = []
    for service in services.iter_rows(named=True):
        excluded = service["excluded_methods"]
        for kind in ("charge", "purchase"):
            usual = [m for m in METHODS[service["trade"], kind] if m not in excluded]
            for roll in range(60):
                choice = excluded if roll >= 57 and excluded else usual
                method = choice[roll % len(choice)] or None
                table.append((service["service_id"], kind, roll, method, choice is excluded))
    columns = ["service_id", "kind", "method_roll", "method", "excluded"]
    return pl.DataFrame(table, columns, orient="row")


def _transaction_id(dice: Dice, first: int, n: int) -> pl.Expr:
    """An ID in the manner of the trade, for the rows numbered from first."""
    number = pl.lit(dice.scatter("transaction", first, n, 10**5, 10**5))
    digits = number.cast(pl.String)
    terminal = (number % 9_973).cast(pl.String).str.zfill(4)
    return (
        pl.when(pl.col("trade") == "qr")
        .then(as_written("at", "%Y%m%d") + digits.str.zfill(12))
        .when(pl.col("trade") == "card")
        .then("C" + digits.str.zfill(13))
        .otherwise(terminal + "-" + digits.str.zfill(10))
    )


def _refunds(
    dice: Dice,
    calendar: Calendar,
    sound: pl.DataFrame,
    originals: pl.DataFrame,
    turns: Sequence[str],
    first_number: int,
) -> pl.DataFrame:
    """One refund for each original, of the kinds in turn."""
    n = originals.height
    turn = pl.col("turn")
    own = (
        "transaction_id",
        "service_id",
        "account_id",
        "provider",
        "trade",
        "at",
        "amount",
        "night",
    )
    accounts = sound.group_by("service_id").agg(
        pl.min("account_id").alias("one"), pl.max("account_id").alias("another")
    )
    part = pl.max_horizontal(1, pl.col("amount") * (10 + dice.roll("part", n, 80)) // 100)
    delay = HOUR + dice.roll("refunded after", n, 40 * DAY)
    after = WINDOW_END + dice.roll("after programme", n, 19 * DAY)
    elsewhere = pl.when(pl.col("one") != pl.col("account_id")).then("one").otherwise("another")
    rows = (
        originals.select(own)
        .with_columns(
            turn=pl.Series([turns[k % len(turns)] for k in range(n)], dtype=pl.String), part=part
        )
        .join(accounts, "service_id", "left", maintain_order="left")
        .with_columns(
            pl.when(turn.is_in(("rest", "again"))).then(pl.col(own).shift(1)).otherwise(pl.col(own))
        )
        .with_columns(
            original_transaction_id=pl.when(turn == "unknown")
            .then(pl.col("transaction_id").str.reverse())
            .otherwise("transaction_id"),
            amount=pl.when(turn == "rest")
            .then(pl.col("amount") - pl.col("part").shift(1))
            .when(turn == "over")
            .then(pl.col("amount") + 1 + dice.roll("over", n, 500))
            .when(turn == "part")
            .then("part")
            .otherwise("amount"),
            account_id=pl.when(turn == "other_account").then(elsewhere).otherwise("account_id"),
            at=pl.when(turn == "before")
            .then(pl.col("at") - HOUR)
            .when(turn == "after_programme")
            .then(after)
            .otherwise(pl.min_horizontal(pl.col("at") + delay, DELIVERED_END - 1)),
            kind=pl.lit("refund"),
        )
        .with_columns(transaction_id=_transaction_id(dice, first_number, n))
    )
    return rows.with_columns(
        # The other account is enrolled by the last night for sure.
        night=pl.when(turn == "other_account")
        .then(calendar.count)
        .otherwise(pl.max_horizontal("night", calendar.night_of(rows["at"]))),
        original_transaction_id=pl.when(turn == "of_refund")
        .then(pl.col("transaction_id").shift(1))
        .otherwise("original_transaction_id"),
    )

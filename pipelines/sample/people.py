"""People and their applications for points, the rejected and corrected ones included."""

from __future__ import annotations

import polars as pl

from pipelines.sample.calendar import DAY, HOUR, OPENED, WINDOW_FIRST, Calendar, second
from pipelines.sample.chance import Dice
from pipelines.sample.files import as_written
from pipelines.sample.flaws import ACCEPTED, DAMAGED_ENROLLMENTS, FLAWS, MENDED
from pipelines.sample.providers import OPEN_SERVICE, OTHER_SERVICE, SHARES, UNKNOWN_SERVICE

# -- enrollments -------------------------------------------------------------------------------


def enrolled_people(
    dice: Dice, calendar: Calendar, services: pl.DataFrame, people: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accounts, and the rows of their applications; unenrolled have no application."""
    first = _applications(dice, "first", services, _people(dice, services, people))
    again = first.filter(pl.col("flaw") == "already_enrolled").with_columns(
        service_id=pl.when(pl.col("service_id") == OPEN_SERVICE)
        .then(pl.lit(OTHER_SERVICE))
        .otherwise(pl.lit(OPEN_SERVICE)),
        applied=pl.col("applied") + 3 * DAY,
        flaw=pl.lit("second"),
    )
    ended = first.filter((pl.col("service_id") == "pasmo") & pl.col("flaw").is_in(ACCEPTED))
    moved = ended.with_columns(
        service_id=pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(pl.lit(OPEN_SERVICE))
        .otherwise(pl.lit(OTHER_SERVICE)),
        applied=second(2021, 4, 1) + dice.roll("moved", ended.height, 60 * DAY),
        flaw=pl.lit("moved_on"),
    )
    unenrolled = _people(dice, services, people // 40 + 1).with_columns(flaw=pl.lit("stranger"))
    extra = [
        _applications(
            dice, name, services, frame.select("person_id", "flaw", "service_id", "applied")
        )
        for name, frame in (("again", again), ("moved", moved), ("unenrolled", unenrolled))
    ]
    accounts = _with_account_ids(dice, pl.concat([first, *extra]))
    accounts = accounts.with_columns(
        night=calendar.night_of(accounts["applied"]) + (pl.col("flaw") == "late")
    )
    delivered = _applications_delivered(dice, calendar, services, accounts)
    mended = pl.col("flaw").is_in(MENDED)
    accepted = (pl.col("flaw").is_in(ACCEPTED) | mended) & (
        pl.col("night") + mended <= calendar.count
    )
    return accounts.with_columns(
        applied=pl.col("applied") + pl.when(mended).then(2 * DAY).otherwise(0),
        accepted_night=pl.when(accepted).then(pl.col("night") + mended),
        basis=pl.col("basis").fill_null("purchase"),
    ), delivered


def _people(dice: Dice, services: pl.DataFrame, people: int) -> pl.DataFrame:
    """Who applies, when and for which service."""
    urn = [service_id for service_id, (_, share) in SHARES.items() for _ in range(share)]
    every = min(50, max(8, people // 20))
    flaws = [
        FLAWS[k // every % len(FLAWS)] if k % every == every - 1 else "" for k in range(people)
    ]
    flaw = pl.col("flaw")
    early = flaw.is_in([*MENDED, "late", "again", "changed"])
    closing = services.sort("takes_until").row(0, named=True)
    return (
        pl.DataFrame(
            {
                "person_id": [f"{bits:016x}" for bits in dice.bits("person", people).tolist()],
                "flaw": flaws,
                "service_id": pl.Series(urn).gather(dice.roll("service", people, len(urn))),
            }
        )
        .with_columns(
            applied=pl.when(early)
            .then(OPENED + dice.roll("early", people, 55 * DAY))
            .when(flaw == "card_applied_late")
            .then(second(2021, 7, 1) + dice.roll("card late", people, 40 * DAY))
            .when(flaw == "applied_late")
            .then(second(2021, 10, 1) + dice.roll("late", people, 9 * DAY))
            .when(flaw == "service_closed_to_applications")
            .then(closing["takes_until"] + dice.roll("closed", people, 20 * DAY))
            .when(dice.roll("rush", people, 100) < 55)
            .then(OPENED + dice.roll("before", people, 62 * DAY))
            .otherwise(WINDOW_FIRST + dice.roll("after", people, 384 * DAY)),
            service_id=pl.when(flaw == "unknown_service")
            .then(pl.lit(UNKNOWN_SERVICE))
            .when(flaw == "basis_not_chosen")
            .then(pl.lit("paypay"))
            .when(flaw == "not_preregistered")
            .then(pl.lit("suica"))
            .when(flaw == "service_closed_to_applications")
            .then(pl.lit(closing["service_id"]))
            .otherwise("service_id"),
        )
        .join(
            services.select("service_id", "takes_until"),
            "service_id",
            "left",
            maintain_order="left",
        )
        .with_columns(
            service_id=pl.when(
                (pl.col("applied") >= pl.col("takes_until"))
                & (flaw != "service_closed_to_applications")
            )
            .then(pl.lit(OPEN_SERVICE))
            .otherwise("service_id")
        )
        .with_columns(
            # Somebody enters the account of the person before.
            service_id=pl.when(flaw == "account_taken")
            .then(pl.col("service_id").shift(1))
            .otherwise("service_id"),
            applied=pl.when(flaw == "account_taken")
            .then(pl.col("applied").shift(1) + DAY)
            .otherwise("applied"),
        )
        .select("person_id", "flaw", "service_id", "applied")
    )


def _applications(
    dice: Dice, name: str, services: pl.DataFrame, chosen: pl.DataFrame
) -> pl.DataFrame:
    """Fills in what an application for the chosen service says, flawed where it shall be."""
    n = chosen.height
    flaw, applied = pl.col("flaw"), pl.col("applied")
    day = applied // DAY * DAY
    reserved = applied - 5 * 60 - dice.roll(f"{name} reserved", n, 55 * 60)
    card = day - (30 + dice.roll(f"{name} card", n, 300)) * DAY
    return (
        chosen.select("person_id", "flaw", "service_id", "applied")
        .join(services, "service_id", "left", maintain_order="left")
        .with_columns(
            card_applied=pl.when(flaw == "card_applied_late")
            .then(second(2021, 5, 1) + dice.roll(f"{name} card late", n, 20) * DAY)
            .otherwise(pl.min_horizontal(card, second(2021, 4, 30))),
            basis=pl.when(
                (pl.col("service_basis") == "either") & (flaw != "basis_not_chosen")
            ).then(
                pl.when(dice.roll(f"{name} basis", n, 5) < 2)
                .then(pl.lit("charge"))
                .otherwise(pl.lit("purchase"))
            ),
            reserved=pl.when(flaw == "applied_before_reservation")
            .then(applied + HOUR)
            .when((dice.roll(f"{name} reserves", n, 10) < 7) | (flaw == "certificate_under_24h"))
            .then(reserved),
            certificate=pl.when(flaw == "certificate_under_24h")
            .then(reserved - 5 * HOUR)
            .when(
                (dice.roll(f"{name} certifies", n, 10) < 5) & (flaw != "applied_before_reservation")
            )
            .then(reserved - 2 * DAY - dice.roll(f"{name} certificate", n, 20 * DAY)),
            preregistered=pl.when("preregistration").then(
                pl.when(flaw != "not_preregistered")
                .then(day - dice.roll(f"{name} preregistered", n, 10) * DAY)
                .when(pl.int_range(pl.len()) % 2 == 0)
                .then(day + 3 * DAY)
            ),
        )
    )


def _with_account_ids(dice: Dice, accounts: pl.DataFrame) -> pl.DataFrame:
    number = pl.col("number").cast(pl.String)
    own = (
        pl.when(pl.col("trade") == "e-money")
        .then("80" + number.str.zfill(14))
        .when(pl.col("trade") == "card")
        .then("card-" + number.str.zfill(11))
        .otherwise(number.str.zfill(12))
    )
    return (
        accounts.with_columns(number=dice.scatter("account", 0, accounts.height, 10**5, 10**6))
        .with_columns(account_id=own)
        .with_columns(
            account_id=pl.when(pl.col("flaw") == "account_taken")
            .then(pl.col("account_id").shift(1))
            .otherwise("account_id")
        )
        .drop("number")
    )


def _applications_delivered(
    dice: Dice, calendar: Calendar, services: pl.DataFrame, accounts: pl.DataFrame
) -> pl.DataFrame:
    """The enrollment rows of all nights: each application, what comes again, what is broken."""
    flaw = pl.col("flaw")
    later = accounts.filter(pl.col("night") < calendar.count).with_columns(pl.col("night") + 1)
    again = later.filter(flaw.is_in(("again", "changed"))).with_columns(
        card_applied=pl.col("card_applied") - pl.when(flaw == "changed").then(DAY).otherwise(0)
    )
    retried = later.filter(flaw.is_in(MENDED))
    mended = _applications(
        dice,
        "mended",
        services,
        retried.with_columns(pl.col("applied") + 2 * DAY, flaw=pl.lit("")),
    ).with_columns(retried["account_id"], retried["night"])
    rows = pl.concat([accounts.filter(flaw != "stranger"), again, mended], how="diagonal").filter(
        pl.col("night") <= calendar.count
    )
    text = dice.shuffled("enrollment rows", rows).select(
        "night",
        "person_id",
        "service_id",
        "account_id",
        applied_at=as_written("applied", "%Y-%m-%d %H:%M:%S"),
        card_applied_on=as_written("card_applied", "%Y-%m-%d"),
        basis=pl.col("basis"),
        reserved_at=as_written("reserved", "%Y-%m-%d %H:%M:%S"),
        certificate_issued_at=as_written("certificate", "%Y-%m-%d %H:%M:%S"),
        preregistered_on=as_written("preregistered", "%Y-%m-%d"),
        damage=pl.lit(None, pl.Int64),
    )
    people = accounts["person_id"].n_unique()
    broken = max(min(len(DAMAGED_ENROLLMENTS), people // 40), people // 400)
    damaged = (
        text.filter(pl.col("night") == 1)
        .head(broken)
        .with_columns(
            person_id=pl.col("person_id").str.reverse(),
            damage=pl.int_range(pl.len()) % len(DAMAGED_ENROLLMENTS),
        )
    )
    return dice.shuffled("applications", pl.concat([text, damaged]))

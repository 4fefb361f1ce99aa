"""Makes sample deliveries: what payment services hand over in a few nights, faults and all.

The same seed makes the same bytes. Nothing is drawn from a generator with a state: every value is
a hash of the seed, the value's name and the row's number (`mixed`), so columns are made whole, and
one more column changes none of the others.

Faults are dealt out by turn instead of by chance, so that a small sample has each of them: see
`FLAWS` (enrollments), `REFUNDS`, `DAMAGED_TRANSACTIONS` and `DAMAGED_ENROLLMENTS`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from engine.records import ENROLLMENT_COLUMNS, TRANSACTION_COLUMNS
from engine.terms.services import load_services

Bits = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Trade = Literal["e-money", "qr", "card"]
Damage = Mapping[str, str] | Literal["short", "long"]

DAY: Final = 86_400
HOUR: Final = 3_600


@dataclass(frozen=True, slots=True)
class _Provider:
    """Who delivers one transactions file a night, and how their system writes it."""

    name: str
    suffix: str
    services: tuple[str, ...]
    columns: tuple[str, ...] = TRANSACTION_COLUMNS
    time_format: str = "%Y-%m-%d %H:%M:%S"
    ahead_of_written_hours: int = 0
    line_end: str = "\n"
    bom: bool = False


_PROVIDERS: Final = (
    _Provider("transit", "csv", ("suica", "pasmo", "icoca"), line_end="\r\n", bom=True),
    _Provider("emoney", "csv.gz", ("waon", "nanaco", "rakuten-edy", "majica")),
    _Provider("paypay", "csv", ("paypay",), columns=(*TRANSACTION_COLUMNS, "merchant")),
    _Provider(
        "qr",
        "csv.zst",
        ("aupay", "dbarai", "merpay", "yucho-pay", "machi-coin"),
        time_format="%Y-%m-%dT%H:%M:%SZ",
        ahead_of_written_hours=9,
    ),
    _Provider(
        "rakuten",
        "csv",
        ("rakuten-pay", "rakuten-card"),
        columns=tuple(reversed(TRANSACTION_COLUMNS)),
        time_format="%Y-%m-%dT%H:%M:%S+09:00",
    ),
    _Provider("cards", "parquet", ("aeon-card", "smbc-card", "aupay-card", "d-card")),
)
_PROVIDER_OF: Final = {s: number for number, p in enumerate(_PROVIDERS) for s in p.services}

_UNKNOWN: Final = "machi-coin"
_SHARES: Final[dict[str, tuple[Trade, int]]] = {
    "paypay": ("qr", 22),
    "rakuten-card": ("card", 13),
    "waon": ("e-money", 9),
    "suica": ("e-money", 9),
    "aupay": ("qr", 9),
    "pasmo": ("e-money", 7),
    "dbarai": ("qr", 7),
    "nanaco": ("e-money", 4),
    "aeon-card": ("card", 3),
    "rakuten-edy": ("e-money", 3),
    "merpay": ("qr", 2),
    "rakuten-pay": ("qr", 2),
    "smbc-card": ("card", 2),
    "aupay-card": ("card", 2),
    "d-card": ("card", 2),
    "icoca": ("e-money", 2),
    "majica": ("e-money", 1),
    "yucho-pay": ("qr", 1),
}
# Whoever may not choose a service any more takes one of these: both award to the end.
_OPEN: Final = "paypay"
_OTHER: Final = "rakuten-card"

_METHODS: Final[dict[tuple[Trade, str], tuple[str, ...]]] = {
    ("e-money", "charge"): ("cash", "cash", "credit_card", "auto_charge", "bank"),
    ("e-money", "purchase"): ("balance",),
    ("qr", "charge"): ("bank", "bank", "atm", "credit_card", "carrier", ""),
    ("qr", "purchase"): ("balance", "balance", "balance", "credit_card", "points", ""),
    ("card", "charge"): ("",),
    ("card", "purchase"): ("one_time", "one_time", "one_time", "revolving", "instalment"),
}
_MERCHANTS: Final = (
    "コンビニ 駅前店",
    "スーパー 本町店",
    "薬局 中央店",
    "ネットショップ",
    "書店",
    "",
)

#: What is odd about the enrollment of every so many-th person, in turn. The first ten are the
#: reasons to reject it; the rest is accepted, but delivered late, or again, or again and changed.
FLAWS: Final = (
    "unknown_service",
    "basis_not_chosen",
    "card_applied_late",
    "applied_late",
    "service_closed_to_applications",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
    "account_taken",
    "already_enrolled",
    "late",
    "again",
    "changed",
)
_ACCEPTED: Final = ("", "already_enrolled", "late", "again", "changed", "moved_on")
_MENDED: Final = (
    "basis_not_chosen",
    "applied_before_reservation",
    "certificate_under_24h",
    "not_preregistered",
)

#: What every refund is, in turn; `rest` takes what the `part` before it left.
REFUNDS: Final = (
    *("full", "part", "rest", "over", "full", "part", "unknown", "full", "part", "rest"),
    *("other_account", "full", "before", "part", "after_programme", "full", "of_refund", "part"),
)

DAMAGED_TRANSACTIONS: Final[tuple[Damage, ...]] = (
    {"transaction_id": ""},
    {"service_id": " "},
    {"account_id": "　"},
    {"occurred_at": ""},
    {"kind": ""},
    {"amount": ""},
    {"kind": "refund", "original_transaction_id": ""},
    {"original_transaction_id": "20200901000000000001"},
    {"transaction_id": "9" * 65},
    {"account_id": "a" * 65},
    {"account_id": "1000\x07"},
    {"occurred_at": "2020-09-31 10:00:00"},
    {"occurred_at": "05/10/2020 10:00"},
    {"occurred_at": "2020-10-05"},
    {"kind": "支払"},
    {"kind": "Purchase"},
    {"amount": "0"},
    {"amount": "-500"},
    {"amount": "100000001"},
    {"amount": '"1,000"'},
    {"amount": "980.0"},
    {"amount": "￥500"},
    {"account_id": "", "kind": "取引失敗", "amount": "-"},
    "short",
    "long",
)
DAMAGED_ENROLLMENTS: Final[tuple[Damage, ...]] = (
    {"person_id": ""},
    {"card_applied_on": "2020-02-30", "applied_at": "2020-09-01"},
    {"account_id": "8" * 65},
    {"basis": "both"},
    "short",
)


def second(year: int, month: int, day: int) -> int:
    """Midnight of a day in Japan, in seconds since 1970 without a zone."""
    return (dt.date(year, month, day) - dt.date(1970, 1, 1)).days * DAY


_OPENED: Final = second(2020, 7, 1)
_WINDOW_FIRST: Final = second(2020, 9, 1)
_WINDOW_END: Final = second(2021, 10, 1)
_DELIVERED_FIRST: Final = second(2020, 8, 25)
_DELIVERED_END: Final = second(2021, 10, 21)


def mixed(seed: int, name: str, counters: Bits) -> Bits:
    """64 well-mixed bits for each counter, one to one: a pure function, on every machine."""
    salt = hashlib.blake2b(f"{seed} {name}".encode(), digest_size=8).digest()
    bits = counters * np.uint64(0x9E3779B97F4A7C15)
    bits += np.uint64(int.from_bytes(salt, "little"))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    bits ^= bits >> np.uint64(31)
    return bits


def scattered(seed: int, name: str, counters: Integers, left: int, right: int) -> Integers:
    """Numbers below left x right that look random, one to one with the counters below it."""
    high, low = np.divmod(counters, right)
    for turn in ("1", "2"):
        high = (high + below(mixed(seed, name + turn, low.view(np.uint64)), left)) % left
        low = (low + below(mixed(seed, name + turn, high.view(np.uint64)), right)) % right
    return high * right + low


def below(bits: Bits, sides: int) -> Integers:
    """A whole number from 0 to sides - 1 out of each value's bits."""
    return (bits % np.uint64(sides)).view(np.int64)


def skewed(bits: Bits, size: int | Integers) -> Integers:
    """Positions below size: the first twenty times as often as the mean, the last a third."""
    share = (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
    share *= 0.05 + 0.95 * share * share
    return (share * size).astype(np.int64)


def payments_yen(mean: int) -> Integers:
    """1,024 equally likely payments around a mean: most are small, a few are large."""
    spread = 1.0
    middle = math.log(mean) - spread**2 / 2
    steps = (NormalDist(middle, spread).inv_cdf((step + 0.5) / 1024) for step in range(1024))
    return np.array([max(20, round(math.exp(step))) for step in steps], dtype=np.int64)


def charges_yen() -> Integers:
    """1,024 equally likely charges, in whole thousands."""
    usual = (1, 1, 1, 2, 2, 3, 3, 3, 5, 5, 5, 5, 10, 10, 10, 20)
    return np.array([1_000 * thousands for thousands in usual * 64], dtype=np.int64)


class _Dice:
    """Rolls that depend on the seed, their name and the row's number alone."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def bits(self, name: str, n: int) -> Bits:
        return mixed(self._seed, name, np.arange(n, dtype=np.uint64))

    def roll(self, name: str, n: int, sides: int) -> pl.Series:
        """A whole number from 0 to sides - 1 for each of n rows."""
        return pl.Series(below(self.bits(name, n), sides))

    def scatter(self, name: str, first: int, n: int, left: int, right: int) -> pl.Series:
        """N numbers below left x right, no two the same, nor the same as for another first."""
        counters = np.arange(first, first + n, dtype=np.int64)
        return pl.Series(scattered(self._seed, name, counters, left, right))

    def shuffled(self, name: str, frame: pl.DataFrame) -> pl.DataFrame:
        return frame[np.argsort(self.bits(name, frame.height), kind="stable")]


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The nights: each delivers what happened since the one before."""

    ends: pl.Series

    @classmethod
    def of(cls, nights: int) -> _Calendar:
        days = (_DELIVERED_END - _DELIVERED_FIRST) // DAY
        ends = [_DELIVERED_FIRST + days * (k + 1) // nights * DAY for k in range(nights)]
        return cls(pl.Series(ends))

    @property
    def count(self) -> int:
        return len(self.ends)

    def night_of(self, moments: pl.Series) -> pl.Series:
        """The night, from 1, that delivers each moment; the last takes what comes after it."""
        night = self.ends.search_sorted(moments, side="right").cast(pl.Int64) + 1
        return night.clip(upper_bound=self.count)

    def booked_on(self, night: int) -> dt.date:
        return dt.date(1970, 1, 1) + dt.timedelta(seconds=int(self.ends[night - 1]))


def write_sample(
    folder: Path, *, people: int, transactions: int, nights: int, seed: int
) -> list[Path]:
    """Writes sample deliveries, a folder a night, and a README; returns the files in order.

    Each night has an `enrollments.csv` and a transactions file per provider who has any. Of
    `transactions` rows, 93 % are payments and charges and 4 % refunds; duplicates, conflicts,
    broken rows and what is delivered again come on top, some 4 %. Below about 200 people, 3,000
    transactions and 2 nights not every fault finds room. Files of the same names are replaced.

    Raises:
        ValueError: people or nights are below 1, or transactions below 0.
    """
    if people < 1 or nights < 1 or transactions < 0:
        raise ValueError("people and nights must be at least 1, transactions at least 0")
    dice, calendar = _Dice(seed), _Calendar.of(nights)
    services = _services()
    accounts, enrollments = _enrolled(dice, calendar, services, people)
    delivered = _delivered(dice, calendar, services, accounts, transactions)
    written: list[Path] = []
    rows: list[tuple[int, int]] = []
    by_night = delivered.partition_by("night", as_dict=True)
    for night in range(1, nights + 1):
        at = folder / f"night-{night:03}"
        at.mkdir(parents=True, exist_ok=True)
        applications = enrollments.filter(pl.col("night") == night)
        written.append(_write_enrollments(at / "enrollments.csv", applications))
        part = by_night.get((night,), delivered.clear())
        for number, provider in enumerate(_PROVIDERS):
            own = part.filter(pl.col("provider") == number)
            if own.height:
                path = at / f"transactions-{provider.name}.{provider.suffix}"
                written.append(_write_transactions(path, provider, own))
        rows.append((applications.height, part.height))
    readme = folder / "README.md"
    readme.write_text(_readme(people, transactions, seed, calendar, rows), encoding="utf-8")
    return [*written, readme]


def _services() -> pl.DataFrame:
    """The built-in registry's services, and one that it does not have."""
    by_id = load_services(None).by_id
    never = dt.date(9999, 12, 31)
    return pl.DataFrame(
        [
            {
                "service_id": service_id,
                "trade": trade,
                "service_basis": by_id[service_id].basis,
                "preregistration": by_id[service_id].preregistration,
                "takes_until": by_id[service_id].applications_close_on or never,
                "awards_until": by_id[service_id].awards_close_on or never,
                "excluded_methods": list(by_id[service_id].excluded_methods),
            }
            for service_id, (trade, _) in _SHARES.items()
        ],
        schema_overrides={"excluded_methods": pl.List(pl.String)},
    ).with_columns(
        (pl.col("takes_until", "awards_until").cast(pl.Datetime("ms")).dt.epoch("s")) + DAY
    )


# -- enrollments -------------------------------------------------------------------------------


def _enrolled(
    dice: _Dice, calendar: _Calendar, services: pl.DataFrame, people: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The accounts, and the rows of their applications; unenrolled have no application."""
    first = _applications(dice, "first", services, _people(dice, services, people))
    again = first.filter(pl.col("flaw") == "already_enrolled").with_columns(
        service_id=pl.when(pl.col("service_id") == _OPEN)
        .then(pl.lit(_OTHER))
        .otherwise(pl.lit(_OPEN)),
        applied=pl.col("applied") + 3 * DAY,
        flaw=pl.lit("second"),
    )
    ended = first.filter((pl.col("service_id") == "pasmo") & pl.col("flaw").is_in(_ACCEPTED))
    moved = ended.with_columns(
        service_id=pl.when(pl.int_range(pl.len()) % 2 == 0)
        .then(pl.lit(_OPEN))
        .otherwise(pl.lit(_OTHER)),
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
    mended = pl.col("flaw").is_in(_MENDED)
    accepted = (pl.col("flaw").is_in(_ACCEPTED) | mended) & (
        pl.col("night") + mended <= calendar.count
    )
    return accounts.with_columns(
        applied=pl.col("applied") + pl.when(mended).then(2 * DAY).otherwise(0),
        accepted_night=pl.when(accepted).then(pl.col("night") + mended),
        basis=pl.col("basis").fill_null("purchase"),
    ), delivered


def _people(dice: _Dice, services: pl.DataFrame, people: int) -> pl.DataFrame:
    """Who applies, when and for which service."""
    urn = [service_id for service_id, (_, share) in _SHARES.items() for _ in range(share)]
    every = min(50, max(8, people // 20))
    flaws = [
        FLAWS[k // every % len(FLAWS)] if k % every == every - 1 else "" for k in range(people)
    ]
    flaw = pl.col("flaw")
    early = flaw.is_in([*_MENDED, "late", "again", "changed"])
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
            .then(_OPENED + dice.roll("early", people, 55 * DAY))
            .when(flaw == "card_applied_late")
            .then(second(2021, 7, 1) + dice.roll("card late", people, 40 * DAY))
            .when(flaw == "applied_late")
            .then(second(2021, 10, 1) + dice.roll("late", people, 9 * DAY))
            .when(flaw == "service_closed_to_applications")
            .then(closing["takes_until"] + dice.roll("closed", people, 20 * DAY))
            .when(dice.roll("rush", people, 100) < 55)
            .then(_OPENED + dice.roll("before", people, 62 * DAY))
            .otherwise(_WINDOW_FIRST + dice.roll("after", people, 384 * DAY)),
            service_id=pl.when(flaw == "unknown_service")
            .then(pl.lit(_UNKNOWN))
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
            .then(pl.lit(_OPEN))
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
    dice: _Dice, name: str, services: pl.DataFrame, chosen: pl.DataFrame
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


def _with_account_ids(dice: _Dice, accounts: pl.DataFrame) -> pl.DataFrame:
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
    dice: _Dice, calendar: _Calendar, services: pl.DataFrame, accounts: pl.DataFrame
) -> pl.DataFrame:
    """The enrollment rows of all nights: each application, what comes again, what is broken."""
    flaw = pl.col("flaw")
    later = accounts.filter(pl.col("night") < calendar.count).with_columns(pl.col("night") + 1)
    again = later.filter(flaw.is_in(("again", "changed"))).with_columns(
        card_applied=pl.col("card_applied") - pl.when(flaw == "changed").then(DAY).otherwise(0)
    )
    retried = later.filter(flaw.is_in(_MENDED))
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
        applied_at=_written("applied", "%Y-%m-%d %H:%M:%S"),
        card_applied_on=_written("card_applied", "%Y-%m-%d"),
        basis=pl.col("basis"),
        reserved_at=_written("reserved", "%Y-%m-%d %H:%M:%S"),
        certificate_issued_at=_written("certificate", "%Y-%m-%d %H:%M:%S"),
        preregistered_on=_written("preregistered", "%Y-%m-%d"),
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


def _written(column: str, time_format: str) -> pl.Expr:
    return _moment(column).dt.strftime(time_format)


def _moment(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), "s").cast(pl.Datetime("us"))


# -- transactions ------------------------------------------------------------------------------


def _delivered(
    dice: _Dice,
    calendar: _Calendar,
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
            _half_a_night_later(calendar, twice),
            _half_a_night_later(calendar, contested.with_columns(pl.col("amount") + 10)),
            spent.filter("missed").with_columns(night=pl.col("accepted_night")),
        ],
        how="diagonal",
    ).with_columns(damage=pl.lit(None, pl.Int64))
    damaged = (
        dice.shuffled("damaged", spent.filter(pl.col("provider") != len(_PROVIDERS) - 1))
        .head(transactions // 120)
        .with_columns(
            transaction_id="X" + pl.col("transaction_id"),
            damage=pl.int_range(pl.len()) % len(DAMAGED_TRANSACTIONS),
        )
    )
    everything = pl.concat([rows, damaged], how="diagonal")
    merchants = pl.Series(_MERCHANTS)
    return everything.with_columns(
        # About in order of time, as systems that work in batches hand over.
        order=pl.col("at") + dice.roll("order", everything.height, 2 * DAY),
        merchant=merchants.gather(dice.roll("merchant", everything.height, len(merchants))),
    ).sort("order", maintain_order=True)


def _spent(
    dice: _Dice, calendar: _Calendar, services: pl.DataFrame, accounts: pl.DataFrame, n: int
) -> pl.DataFrame:
    """Payments and charges.

    Nothing speaks against the `sound` ones; `too_early` are those of an enrolled account ahead of
    its application, `missed` those that come again once a late or mended application is there.
    """
    applied, accepted = pl.col("applied"), pl.col("accepted_night")
    earliest = pl.max_horizontal(applied, _WINDOW_FIRST)
    latest = pl.min_horizontal(_WINDOW_END + 5 * DAY, pl.col("awards_until") + 45 * DAY)
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
        provider=pl.col("service_id").replace_strict(_PROVIDER_OF, return_dtype=pl.Int64),
        belated=pl.col("flaw").is_in(("late", *_MENDED)),
    )[skewed(dice.bits("who", n), accounts.height)]
    whenever = _DELIVERED_FIRST + dice.roll("whenever", n, _DELIVERED_END - _DELIVERED_FIRST)
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
        & pl.col("at").is_between(_WINDOW_FIRST, _WINDOW_END, closed="left")
        & (pl.col("at") < pl.col("awards_until"))
        & (pl.col("kind") == pl.col("own"))
        & ~pl.col("excluded"),
        too_early=known & (pl.col("at") < applied),
        missed=pl.col("belated") & (pl.col("night") < accepted).fill_null(value=False),
    )


def _amounts(dice: _Dice, rows: pl.DataFrame) -> Integers:
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
            usual = [m for m in _METHODS[service["trade"], kind] if m not in excluded]
            for roll in range(60):
                choice = excluded if roll >= 57 and excluded else usual
                method = choice[roll % len(choice)] or None
                table.append((service["service_id"], kind, roll, method, choice is excluded))
    columns = ["service_id", "kind", "method_roll", "method", "excluded"]
    return pl.DataFrame(table, columns, orient="row")


def _transaction_id(dice: _Dice, first: int, n: int) -> pl.Expr:
    """An ID in the manner of the trade, for the rows numbered from first."""
    number = pl.lit(dice.scatter("transaction", first, n, 10**5, 10**5))
    digits = number.cast(pl.String)
    terminal = (number % 9_973).cast(pl.String).str.zfill(4)
    return (
        pl.when(pl.col("trade") == "qr")
        .then(_written("at", "%Y%m%d") + digits.str.zfill(12))
        .when(pl.col("trade") == "card")
        .then("C" + digits.str.zfill(13))
        .otherwise(terminal + "-" + digits.str.zfill(10))
    )


def _refunds(
    dice: _Dice,
    calendar: _Calendar,
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
    some = sound.group_by("service_id").agg(
        pl.min("account_id").alias("one"), pl.max("account_id").alias("another")
    )
    part = pl.max_horizontal(1, pl.col("amount") * (10 + dice.roll("part", n, 80)) // 100)
    delay = HOUR + dice.roll("refunded after", n, 40 * DAY)
    after = _WINDOW_END + dice.roll("after programme", n, 19 * DAY)
    elsewhere = pl.when(pl.col("one") != pl.col("account_id")).then("one").otherwise("another")
    rows = (
        originals.select(own)
        .with_columns(
            turn=pl.Series([turns[k % len(turns)] for k in range(n)], dtype=pl.String), part=part
        )
        .join(some, "service_id", "left", maintain_order="left")
        .with_columns(pl.when(turn == "rest").then(pl.col(own).shift(1)).otherwise(pl.col(own)))
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
            .otherwise(pl.min_horizontal(pl.col("at") + delay, _DELIVERED_END - 1)),
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


def _half_a_night_later(calendar: _Calendar, rows: pl.DataFrame) -> pl.DataFrame:
    """Every other row in the next night, where there is one."""
    later = (pl.int_range(pl.len()) % 2).cast(pl.Int64)
    return rows.with_columns((pl.col("night") + later).clip(upper_bound=calendar.count))


# -- files -------------------------------------------------------------------------------------


def _write_enrollments(path: Path, rows: pl.DataFrame) -> Path:
    lines = _lines(rows.select(ENROLLMENT_COLUMNS), rows["damage"], DAMAGED_ENROLLMENTS)
    return _write_text(path, "\n".join([",".join(ENROLLMENT_COLUMNS), *lines, ""]))


def _write_transactions(path: Path, provider: _Provider, rows: pl.DataFrame) -> Path:
    columns = provider.columns
    if provider.suffix == "parquet":
        rows.with_columns(occurred_at=_moment("at")).select(columns).write_parquet(path)
        return path
    written_at = pl.col("at") - provider.ahead_of_written_hours * HOUR
    text = rows.with_columns(
        pl.col("amount").cast(pl.String),
        occurred_at=pl.from_epoch(written_at, "s").dt.strftime(provider.time_format),
    ).select(columns)
    lines = _lines(text, rows["damage"], DAMAGED_TRANSACTIONS)
    whole = provider.line_end.join([",".join(columns), *lines, ""])
    return _write_text(path, "\ufeff" + whole if provider.bom else whole)


def _lines(text: pl.DataFrame, damage: pl.Series, damages: Sequence[Damage]) -> list[str]:
    """CSV lines; no sound value needs a quote. Damage is done by hand."""
    filled = text.with_columns(pl.all().fill_null(""))
    lines: list[str] = filled.select(pl.concat_str(pl.all(), separator=",")).to_series().to_list()
    for at in damage.is_not_null().arg_true().to_list():
        done = damages[damage[at]]
        if done == "short":
            lines[at] = lines[at].rsplit(",", 1)[0]
        elif done == "long":
            lines[at] += ",,"
        else:
            lines[at] = ",".join({**filled.row(at, named=True), **done}.values())
    return lines


def _write_text(path: Path, text: str) -> Path:
    # Arrow tells gzip and zstd from the name, and puts no time of day into the file.
    with pa.output_stream(path, compression="detect") as file:
        file.write(text.encode())
    return path


def _readme(
    people: int, transactions: int, seed: int, calendar: _Calendar, rows: Sequence[tuple[int, int]]
) -> str:
    table = "\n".join(
        f"| `night-{night:03}` | {calendar.booked_on(night)} | {applications:,} | {moved:,} |"
        for night, (applications, moved) in enumerate(rows, 1)
    )
    return _README.format(
        people=people,
        transactions=transactions,
        nights=calendar.count,
        seed=seed,
        table=table,
        first=calendar.booked_on(1),
    )


_README: Final = """\
# Sample deliveries

Invented deliveries of payment services, made by

    mynapoint sample DIR --people {people} --transactions {transactions} \\
        --nights {nights} --seed {seed}

The same seed makes the same bytes. No person, account or payment in here is real.

| folder | booked on | enrollment rows | transaction rows |
|---|---|---|---|
{table}

Book the nights in order, one run each; from this folder, the first is

    mynapoint run BOOK --booked-on {first} \\
        --enrollments night-001/enrollments.csv --transactions 'night-001/transactions-*'

Each night has its applications for points (`enrollments.csv`) and a transactions file for each
provider who had any. Providers write as their systems do: with a BOM and CRLF (`transit`), times
in UTC (`qr`) or with an offset (`rakuten`), columns in another order (`rakuten`) or more of them
(`paypay`), gzip, Zstandard or Parquet. Much is wrong in them, on purpose:

- refunds in whole and in part, of more than was paid, of unknown, declined and reversed originals,
  on another account, ahead of their original, and after the programme;
- rows delivered twice, in one night or in two; rows with an old ID and other content;
- rows a night late, and enrollments a night late, with the declined rows delivered again;
- enrollments rejected for each of the reasons, some of them mended and delivered again;
- rows that cannot be read, a few for each fault, and lines with too few or too many fields;
- spending before the application, outside the window, not on the chosen basis, by an excluded
  method, after a service's end, of accounts that nobody enrolled;
- people whose service ended on 2021-03-31 and who go on with another; people past the cap.

# サンプルデータ

決済サービスから届く受信データを模した架空のデータです。上のコマンドで作成しました。シードが同じなら、
同じ内容がバイト単位で再現されます。実在の個人・アカウント・決済は一切含みません。

表は、夜ごとのフォルダー、記帳日(booked on)、マイナポイントの申込の行数、取引の行数です。
記帳は夜の順に、一晩につき一回実行します。

各フォルダーには、申込(`enrollments.csv`)と、事業者ごとの取引ファイルがあります。書き方は事業者により異なります。
BOM と CRLF(`transit`)、協定世界時(`qr`)、時差付きの時刻(`rakuten`)、列順の違い(`rakuten`)、
余分な列(`paypay`)、gzip・Zstandard・Parquet。次のものを意図的に混ぜてあります。

- 返金:全額、一部、元の額を超えるもの、元の取引が不明・対象外・返金であるもの、別アカウントのもの、
  元の取引より前のもの、事業終了後のもの
- 同じ行の再送(同じ夜、別の夜)、同じ取引番号で内容の違う行
- 一晩遅れの取引、一晩遅れの申込と、対象外となった取引の再送
- 却下される申込(全理由)と、直して再送された申込
- 読めない行(全種類)、項目の足りない行、多い行
- 申込前・期間外の取引、選択していない区分の取引、対象外の支払方法、サービス終了後の取引、
  申込のないアカウントの取引
- 2021年3月末で終了したサービスから別のサービスへ移った人、上限(2万円)を超えて利用した人
"""

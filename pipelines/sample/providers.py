"""Who delivers: the payment services, and how each provider's system writes its files."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from engine.records import TRANSACTION_COLUMNS
from engine.terms.services import load_services
from pipelines.sample.calendar import DAY

Trade = Literal["e-money", "qr", "card"]


@dataclass(frozen=True, slots=True)
class Provider:
    """Who delivers one transactions file a night, and how their system writes it."""

    name: str
    suffix: str
    services: tuple[str, ...]
    columns: tuple[str, ...] = TRANSACTION_COLUMNS
    time_format: str = "%Y-%m-%d %H:%M:%S"
    ahead_of_written_hours: int = 0
    line_end: str = "\n"
    bom: bool = False


PROVIDERS: Final = (
    Provider("transit", "csv", ("suica", "pasmo", "icoca"), line_end="\r\n", bom=True),
    Provider("emoney", "csv.gz", ("waon", "nanaco", "rakuten-edy", "majica")),
    Provider("paypay", "csv", ("paypay",), columns=(*TRANSACTION_COLUMNS, "merchant")),
    Provider(
        "qr",
        "csv.zst",
        ("aupay", "dbarai", "merpay", "yucho-pay", "machi-coin"),
        time_format="%Y-%m-%dT%H:%M:%SZ",
        ahead_of_written_hours=9,
    ),
    Provider(
        "rakuten",
        "csv",
        ("rakuten-pay", "rakuten-card"),
        columns=tuple(reversed(TRANSACTION_COLUMNS)),
        time_format="%Y-%m-%dT%H:%M:%S+09:00",
    ),
    Provider("cards", "parquet", ("aeon-card", "smbc-card", "aupay-card", "d-card")),
)


PROVIDER_OF: Final = {s: number for number, p in enumerate(PROVIDERS) for s in p.services}


UNKNOWN_SERVICE: Final = "machi-coin"


SHARES: Final[dict[str, tuple[Trade, int]]] = {
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
OPEN_SERVICE: Final = "paypay"


OTHER_SERVICE: Final = "rakuten-card"


METHODS: Final[dict[tuple[Trade, str], tuple[str, ...]]] = {
    ("e-money", "charge"): ("cash", "cash", "credit_card", "auto_charge", "bank"),
    ("e-money", "purchase"): ("balance",),
    ("qr", "charge"): ("bank", "bank", "atm", "credit_card", "carrier", ""),
    ("qr", "purchase"): ("balance", "balance", "balance", "credit_card", "points", ""),
    ("card", "charge"): ("",),
    ("card", "purchase"): ("one_time", "one_time", "one_time", "revolving", "instalment"),
}


MERCHANTS: Final = (
    "コンビニ 駅前店",
    "スーパー 本町店",
    "薬局 中央店",
    "ネットショップ",
    "書店",
    "",
)


def sampled_services() -> pl.DataFrame:
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
            for service_id, (trade, _) in SHARES.items()
        ],
        schema_overrides={"excluded_methods": pl.List(pl.String)},
    ).with_columns(
        (pl.col("takes_until", "awards_until").cast(pl.Datetime("ms")).dt.epoch("s")) + DAY
    )

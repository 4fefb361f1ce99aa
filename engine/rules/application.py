"""How to apply: card, certificate, reservation, registration beforehand, one service each.

〔普段利用している決済サービス(1つ)を選択(マイナポイントの申込み)する〕
"""

import datetime as dt
from typing import Any, overload

import polars as pl

from engine.rules import Rule, periods, quotes
from engine.rules.periods import end_of
from engine.terms.programme import Terms
from engine.terms.services import Service


@quotes("対象となるキャッシュレス決済サービスは…ご確認願います")
def unknown_service() -> Rule:
    """The registry must have it."""
    return Rule("unknown_service", pl.col("service_basis").is_null())


@quotes("チャージ(前払い)又は物品の購入")
def basis_not_chosen() -> Rule:
    """Where the service leaves it open, the person chooses."""
    return Rule(
        "basis_not_chosen", (pl.col("service_basis") == "either") & pl.col("basis").is_null()
    )


@quotes("2. マイナポイントを予約する…3. マイナポイントを申込みする")
def applied_before_reservation() -> Rule:
    """First the reservation, then the application."""
    return Rule("applied_before_reservation", pl.col("reserved_at") > pl.col("applied_at"))


@quotes("24時間経過しないと、マイナポイントの予約・申込ができません")
def certificate_under_24h() -> Rule:
    """A new or renewed certificate comes 24 hours before the first step."""
    first_step = pl.coalesce("reserved_at", "applied_at")
    earliest = pl.col("certificate_issued_at") + pl.duration(hours=24, time_unit="us")
    return Rule("certificate_under_24h", first_step < earliest)


@quotes("一部の決済サービスでは…別途、事前登録等が必要")
def not_preregistered() -> Rule:
    """On the application's day at the latest, where the service asks for it."""
    registered = (pl.col("preregistered_on") <= pl.col("applied_at").dt.date()).fill_null(
        value=False
    )
    return Rule("not_preregistered", pl.col("preregistration") & ~registered)


def rules_for_applications(terms: Terms) -> list[Rule]:
    """What an application must satisfy on its own, in the specification's order.

    Columns: those of an enrollment, and of its service ``service_basis`` (null when the service
    is unknown), ``applications_end_at``, ``preregistration``.
    """
    return [
        unknown_service(),
        basis_not_chosen(),
        periods.card_applied_late(terms),
        periods.applied_late(terms),
        periods.service_closed_to_applications(),
        applied_before_reservation(),
        certificate_under_24h(),
        not_preregistered(),
    ]


VOIDED = "voided"
ACCOUNT_TAKEN = "account_taken"
ALREADY_ENROLLED = "already_enrolled"

Application = tuple[dt.datetime, str, str, Service | None]
"""When an enrollment was applied for, the IDs of its service and its account, which order those of
one instant, and its service; None where the registry has it no more."""


def stand_together(first: Application, second: Application) -> bool:
    """Whether a person may have both, in whatever order the two arrive."""
    earlier, later = (first, second) if first[:3] <= second[:3] else (second, first)
    service = earlier[-1]
    ended_on = service.awards_close_on if service else None
    return ended_on is not None and may_choose_again(end_of(ended_on), later[0])


@overload
def may_choose_again(ended_at: dt.datetime, applied_at: dt.datetime) -> bool: ...
@overload
def may_choose_again(ended_at: pl.Expr, applied_at: pl.Expr) -> pl.Expr: ...


@quotes("普段利用している決済サービス(1つ)を選択", ALREADY_ENROLLED)
def may_choose_again(ended_at: Any, applied_at: Any) -> Any:
    """One service a person, unless the awards of the service chosen earlier ended before the day of
    the later application: ``ended_at`` is the first instant after their last day.
    """
    return ended_at <= applied_at

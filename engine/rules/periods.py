"""When: the window of the programme, the deadlines, the day on which a service ends.

〔対象期間: 2020年9月1日(マイナポイントの申込前は対象外)から2021年9月30日まで〕
"""

import datetime as dt

import polars as pl

from engine.rules import Rule, quotes
from engine.terms.programme import Terms

DAY = dt.timedelta(days=1)


def start_of(day: dt.date) -> dt.datetime:
    """The first instant of a day."""
    return dt.datetime.combine(day, dt.time())


def end_of(day: dt.date) -> dt.datetime:
    """The first instant after a day; a service that never ends may end on the last of all days."""
    return dt.datetime.max if day == dt.date.max else start_of(day) + DAY


@quotes("対象期間: 2020年9月1日(マイナポイントの申込前は対象外)から2021年9月30日まで")
def before_window(terms: Terms) -> Rule:
    """The window's first day belongs to it."""
    return Rule("before_window", pl.col("occurred_at") < start_of(terms.window_first))


@quotes("対象期間: 2020年9月1日(マイナポイントの申込前は対象外)から2021年9月30日まで")
def after_window(terms: Terms) -> Rule:
    """The window's last day belongs to it."""
    return Rule("after_window", pl.col("occurred_at") >= end_of(terms.window_last))


@quotes("マイナポイントの申込前は対象外")
def before_application() -> Rule:
    """Each service says whether the application's day counts."""
    return Rule("before_application", pl.col("occurred_at") < pl.col("counts_from_at"))


def counts_from_at() -> pl.Expr:
    """The first instant whose spending counts, from ``applied_at`` and ``counts_from``."""
    applied_at, counts_from = pl.col("applied_at"), pl.col("counts_from")
    day = applied_at.dt.truncate("1d")
    return (
        pl.when(counts_from == "instant")
        .then(applied_at)
        .when(counts_from == "application_day")
        .then(day)
        .otherwise(day + DAY)
    )


def enrollment_stopped() -> Rule:
    """An event stopped the enrollment for this instant (no clause of the notice says so)."""
    return Rule("enrollment_stopped", pl.col("stopped"))


@quotes("ポイント付与を終了するキャッシュレス決済サービスがあります")
def service_closed() -> Rule:
    """The service's last day belongs to it."""
    return Rule("service_closed", pl.col("occurred_at") >= pl.col("awards_end_at"))


@quotes("2021年4月末までに、マイナンバーカードの交付申請した方")
def card_applied_late(terms: Terms) -> Rule:
    """The terms' last day belongs to them."""
    return Rule(
        "card_applied_late", pl.col("card_applied_on") > pl.lit(terms.card_applications_last)
    )


@quotes("2021年9月末までにマイナポイントの申込")
def applied_late(terms: Terms) -> Rule:
    """The terms' last day belongs to them."""
    return Rule("applied_late", pl.col("applied_at") >= end_of(terms.applications_last))


@quotes("申込受付…を終了するキャッシュレス決済サービスがあります")
def service_closed_to_applications() -> Rule:
    """The service's last day for applications belongs to it."""
    return Rule(
        "service_closed_to_applications", pl.col("applied_at") >= pl.col("applications_end_at")
    )

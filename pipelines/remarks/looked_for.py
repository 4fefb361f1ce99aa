"""What is looked for, as data: a name, its thresholds, and the statement that finds it.

Every statement gives the columns ``run_id``, ``service_id``, ``account_id``, ``person_id``,
``transaction_id``, ``occurred_at``, ``points`` and ``detail`` (how many, or how much, of what the
pattern counts). They read the views of ``noticed``: ``standing`` (bookings that are not void),
``enrolled`` (accepted applications), ``stopped`` (stops), ``by_run`` and ``cap_of_run``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# The function of the database that gives a text in Unicode's form NFKC.
NFKC: Final = "in_nfkc"


def spelled(column: str) -> str:
    """An ID as all its spellings have it, in SQL: in small letters of Unicode's form NFKC, without
    punctuation, spaces and zeros ahead; null if nothing remains.
    """
    narrow = f"lower(upper({NFKC}({column})))"
    return f"nullif(ltrim(regexp_replace({narrow}, '[\\pP\\pZ\u2212]', '', 'g'), '0'), '')"


def _of_first(columns: str, *, alias: str = "") -> str:
    """Columns of a group, all of one row: the first by them in their order."""
    names = [f"{alias}{name}" for name in columns.split()]
    order = f"row({', '.join(names)})"
    return ", ".join(f"arg_min({name}, {order}) AS {name.removeprefix(alias)}" for name in names)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Something to look for.

    Attributes:
        thresholds: the numbers in its statement and in its words.
    """

    name: str
    sql: str
    thresholds: Mapping[str, int] = field(default_factory=dict)


PATTERNS: Final = (
    Pattern(
        "charge_and_refund_cycles",
        f"""
        SELECT
            max(run_id) AS run_id, {_of_first("service_id account_id")},
            person_id, NULL AS transaction_id, max(occurred_at) AS occurred_at,
            sum(points) AS points, count(*) FILTER (kind = 'refund') AS detail
        FROM standing
        GROUP BY person_id
        HAVING count(*) FILTER (kind = 'refund') >= {{refunds}}
            AND 100 * sum(-net_amount) FILTER (kind = 'refund')
                >= {{percent}} * sum(net_amount) FILTER (kind <> 'refund')
        """,  # noqa: S608 - columns of ours
        {"refunds": 3, "percent": 50},
    ),
    Pattern(
        "cap_to_the_yen",
        """
        SELECT
            run_id, service_id, account_id, person_id, transaction_id, occurred_at, points,
            amount AS detail
        FROM standing JOIN cap_of_run USING (run_id)
        WHERE net_amount > 0 AND net_spend_after = cap_yen AND amount % {round} <> 0
            AND amount < cap_yen
        """,
        {"round": 100},
    ),
    Pattern(
        "same_second",
        f"""
        SELECT
            max(run_id) AS run_id, service_id, account_id,
            {_of_first("transaction_id person_id")}, occurred_at, sum(points) AS points,
            count(*) AS detail
        FROM standing
        WHERE kind <> 'refund'
        GROUP BY service_id, account_id, occurred_at
        HAVING count(*) >= {{payments}}
        """,  # noqa: S608 - columns of ours
        {"payments": 2},
    ),
    Pattern(
        "transactions_spelled_alike",
        f"""
        SELECT
            max(run_id) AS run_id, service_id,
            {_of_first("account_id person_id transaction_id")},
            max(occurred_at) AS occurred_at, sum(points) AS points,
            count(DISTINCT transaction_id) AS detail
        FROM standing
        WHERE {spelled("transaction_id")} IS NOT NULL
        GROUP BY service_id, {spelled("transaction_id")}
        HAVING count(DISTINCT transaction_id) > 1
        """,  # noqa: S608 - a column of ours
    ),
    Pattern(
        "accounts_spelled_alike",
        f"""
        SELECT
            max(run_id) AS run_id, service_id,
            {_of_first("account_id person_id")},
            NULL AS transaction_id, max(applied_at) AS occurred_at,
            0 AS points, count(DISTINCT account_id) AS detail
        FROM enrolled
        WHERE {spelled("account_id")} IS NOT NULL
        GROUP BY service_id, {spelled("account_id")}
        HAVING count(DISTINCT account_id) > 1 AND count(DISTINCT person_id) > 1
        """,  # noqa: S608 - a column of ours
    ),
    Pattern(
        "people_spelled_alike",
        f"""
        SELECT
            max(run_id) AS run_id, {_of_first("service_id account_id person_id")},
            NULL AS transaction_id, max(applied_at) AS occurred_at,
            0 AS points, count(DISTINCT person_id) AS detail
        FROM enrolled
        WHERE {spelled("person_id")} IS NOT NULL
        GROUP BY {spelled("person_id")}
        HAVING count(DISTINCT person_id) > 1
        """,  # noqa: S608 - a column of ours
    ),
    Pattern(
        "account_changes_hands",
        """
        SELECT
            max(run_id) AS run_id, service_id, coalesce(enrolled_account_id, account_id)
                AS account_id, arg_max(person_id, run_id) AS person_id, NULL AS transaction_id,
            max(occurred_at) AS occurred_at, sum(points) AS points,
            count(DISTINCT person_id) AS detail
        FROM ledger_rows
        GROUP BY service_id, coalesce(enrolled_account_id, account_id)
        HAVING count(DISTINCT person_id) > 1
        """,
    ),
    Pattern(
        "awards_before_a_stop",
        f"""
        SELECT
            max(s.run_id) AS run_id, s.service_id,
            {_of_first("account_id person_id", alias="s.")}, NULL AS transaction_id,
            max(s.occurred_at) AS occurred_at, sum(s.points) AS points, count(*) AS detail
        FROM standing AS s
        JOIN stopped AS e
            ON e.service_id = s.service_id
            AND e.account_id = coalesce(s.enrolled_account_id, s.account_id)
            AND s.occurred_at < e.effective_at
            AND s.occurred_at >= e.effective_at - INTERVAL {{days}} DAY
        GROUP BY s.service_id, e.account_id, e.effective_at
        HAVING sum(s.points) >= {{points}}
        """,  # noqa: S608 - columns of ours
        {"days": 3, "points": 1000},
    ),
    Pattern(
        "nights_off_the_trend",
        """
        WITH trend AS (
            SELECT
                median(per_entry) AS middle, 1.4826 * mad(per_entry) AS spread,
                count(*) AS nights
            FROM by_run
        )
        SELECT
            run_id, NULL AS service_id, NULL AS account_id, NULL AS person_id,
            NULL AS transaction_id, NULL AS occurred_at, points,
            round(per_entry)::BIGINT AS detail
        FROM by_run, trend
        WHERE nights >= {nights} AND abs(per_entry - middle) > {spreads} * spread AND spread > 0
        """,
        {"nights": 5, "spreads": 5},
    ),
)

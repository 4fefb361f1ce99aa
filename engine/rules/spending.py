"""What counts as spending: charge or purchase by the service's basis, and by its methods.

〔選択した決済サービスに対するチャージ(前払い)又は物品の購入額〕
"""

import polars as pl

from engine.rules import Rule, periods, quotes
from engine.terms.programme import Terms
from engine.terms.services import Services

DUPLICATE = "duplicate"
VOIDED = "voided"
UNKNOWN_SERVICE = "unknown_service"
NOT_ENROLLED = "not_enrolled"


@quotes("チャージ(前払い)又は物品の購入額")
def not_the_basis() -> Rule:
    """One of the two, never both for one person."""
    return Rule("not_the_basis", pl.col("kind").ne_missing(pl.col("basis")))


def excluded_method(services: Services) -> Rule:
    """Each service says which ways to pay or to fund earn nothing."""
    holds = pl.lit(value=False)
    for service in services.services:
        if service.excluded_methods:
            holds |= (pl.col("service_id") == service.service_id) & pl.col("method").is_in(
                service.excluded_methods
            ).fill_null(value=False)
    return Rule("excluded_method", holds)


@quotes(
    "決済サービス(1つ)を選択(マイナポイントの申込み)すると、"
    "当該決済サービスの利用(チャージまたは購入)時に…ポイント等が付与されます",
    NOT_ENROLLED,
)
def rules_for_spending(terms: Terms, services: Services) -> list[Rule]:
    """What a charge or a purchase of an enrolled account must satisfy, in order.

    Columns: those of a transaction, of its account ``counts_from_at``, ``awards_end_at``,
    ``basis``, and ``stopped``, whether its enrollment is stopped at its instant.
    """
    return [
        periods.before_window(terms),
        periods.after_window(terms),
        periods.before_application(),
        periods.enrollment_stopped(),
        periods.service_closed(),
        not_the_basis(),
        excluded_method(services),
    ]

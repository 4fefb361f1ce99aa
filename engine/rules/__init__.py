"""The notice, clause by clause: what an application or a transaction must satisfy, what it earns.

A rule is a named boolean expression over the columns of a row; its name is the reason code that
operators and auditors see. The order of the two lists is the specification's: the first reason that
holds is the one that counts. A rule quotes the clause that it carries out; ``clauses`` gives it by
the reason. Nothing here reads a file or a clock.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

_Rule = TypeVar("_Rule", bound=Callable[..., Any])

QUOTED: Final[dict[str, str]] = {}


def quotes(clause: str, *reasons: str) -> Callable[[_Rule], _Rule]:
    """The words of the notice that a rule carries out, kept by its reasons; by default its name."""

    def keep(rule: _Rule) -> _Rule:
        QUOTED.update(dict.fromkeys(reasons or (rule.__name__,), clause))
        return rule

    return keep


@dataclass(frozen=True, slots=True)
class Rule:
    """A reason for which a row earns nothing, and when it holds."""

    reason: str
    holds: pl.Expr


def reasons_against(
    rows: pl.DataFrame, rules: Sequence[Rule]
) -> tuple[npt.NDArray[np.int64], pl.Series]:
    """Indices of the rows that break a rule, ascending, and for each the first reason.

    Nearly all rows satisfy all rules, so only the others are asked which is the first.
    """
    places = (
        rows.lazy()
        .select(pl.any_horizontal(rule.holds for rule in rules).arg_true())
        .collect(engine="in-memory")
        .to_series()
    )
    reasons = rows[places].select(reason=first_reason(rules)).to_series()
    return places.to_numpy().astype(np.int64), reasons


def first_reason(rules: Sequence[Rule]) -> pl.Expr:
    """The name of the first rule that holds; null when none does."""
    return pl.coalesce(pl.when(rule.holds).then(pl.lit(rule.reason)) for rule in rules)

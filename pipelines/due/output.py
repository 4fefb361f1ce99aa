"""The bridge on the terminal and for machines."""

from typing import Any

import polars as pl

from engine.payouts.bridge import TERMS
from pipelines.due.forecast import Due
from pipelines.shown.terminal import output, plain, print_json, table
from pipelines.shown.texts import Texts


def value(due: Due) -> dict[str, Any]:
    """The bridge for machines; with what comes due after the day where that was asked for."""
    services = {row.pop("service_id"): row for row in due.services.to_dicts()}
    said: dict[str, Any] = {"on": due.on.isoformat(), "services": services}
    if due.by_day:
        days: dict[str, dict[str, int]] = {}
        for row in due.days.to_dicts():
            days.setdefault(row["due_on"].isoformat(), {})[row["service_id"]] = row["points"]
        said["days"] = dict(sorted(days.items()))
    return said


def print_json_due(due: Due) -> None:
    """Prints the bridge for machines."""
    print_json(value(due))


def print_due(due: Due, texts: Texts) -> None:
    """Prints the bridge, and what stands behind its terms."""
    console = output()
    console.print(plain(texts("title", on=due.on)), style="bold")
    columns = [(texts("service"), False), *((texts(term), True) for term in TERMS)]
    rows = [*due.services.rows(), (texts("total"), *due.total.values())]
    console.print(table(columns, rows, total=True))
    if due.by_day:
        _print(texts, "coming", due.days, {"due_on": "day", "service_id": "service"})
    _print(texts, "withheld_why", due.withheld, {"service_id": "service", "why": "why"})
    _print(
        texts,
        "unanswered_age",
        # One word may stand for two things.
        due.unanswered.with_columns(pl.col("direction").replace("take_back", "take_back_line")),
        {"service_id": "service", "direction": "direction", "days": "days"},
    )
    _print(
        texts,
        "debts",
        due.debts.with_columns(
            collectable=pl.when("collectable").then(pl.lit("now")).otherwise(pl.lit("waits"))
        ),
        {"service_id": "service", "collectable": "collectable"},
    )
    _print(texts, "misdirected", due.misdirected, {"service_id": "service"})
    _print(texts, "late", due.late, {"service_id": "service"})
    if due.overdue:
        console.print(plain(texts("overdue", lines=due.overdue, days=due.overdue_days)))
    if due.overtaken:
        console.print(plain(texts("overtaken", answers=due.overtaken)))


_WORDS = ("why", "direction", "collectable")
_NUMBERS = ("days", "lines", "accounts", "points")


def _print(texts: Texts, heading: str, rows: pl.DataFrame, keys: dict[str, str]) -> None:
    if rows.is_empty():
        return
    names = [*keys, *(name for name in ("lines", "accounts", "points") if name in rows.columns)]
    columns = [(texts(keys.get(name, name)), name in _NUMBERS) for name in names]
    lines = [
        [texts(f"word_{cell}") if name in _WORDS else cell for name, cell in row.items()]
        for row in rows.select(names).sort(list(keys)).to_dicts()
    ]
    console = output()
    console.print()
    console.print(plain(texts(heading)), style="bold")
    console.print(table(columns, lines))

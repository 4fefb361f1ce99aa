"""The bridge on the terminal and for machines."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from engine.payouts.bridge import TERMS
from pipelines.due.forecast import Due
from pipelines.report.table import Kind, Table, TableColumn, printed
from pipelines.shown.terminal import output, plain, print_json
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


def tables(due: Due, texts: Texts) -> Iterator[Table]:
    """The bridge, and what stands behind its terms; what there is none of is left out."""
    columns = [
        TableColumn(texts("service"), "code", key="service_id"),
        *(TableColumn(texts(term), "number", key=term) for term in TERMS),
    ]
    rows = [*due.services.rows(), (texts("total"), *due.total.values())]
    title = texts("title", on=due.on)
    yield Table("bridge", title, tuple(columns), rows, total=True)
    # One word may stand for two things.
    direction = pl.col("direction").replace("take_back", "take_back_line")
    collected = pl.when("collectable").then(pl.lit("now")).otherwise(pl.lit("waits"))
    listed: list[tuple[str, str, pl.DataFrame, dict[str, str]]] = [
        ("coming", "coming", due.days, {"due_on": "day", "service_id": "service"}),
        ("withheld", "withheld_why", due.withheld, {"service_id": "service", "why": "why"}),
        (
            "unanswered",
            "unanswered_age",
            due.unanswered.with_columns(direction) if due.unanswered.width else due.unanswered,
            {"service_id": "service", "direction": "direction", "days": "days"},
        ),
        (
            "debts",
            "debts",
            due.debts.with_columns(collectable=collected),
            {"service_id": "service", "collectable": "collectable"},
        ),
        ("misdirected", "misdirected", due.misdirected, {"service_id": "service"}),
        ("late", "late", due.late, {"service_id": "service"}),
    ]
    for name, heading, found, keys in listed:
        if not found.is_empty():
            yield _table(texts, name, texts(heading), found, keys)


def _table(
    texts: Texts, name: str, heading: str, found: pl.DataFrame, keys: dict[str, str]
) -> Table:
    names = [*keys, *(name for name in _SUMS if name in found.columns)]
    columns = tuple(
        TableColumn(texts(keys.get(name, name)), _KINDS.get(name, "number"), key=name)
        for name in names
    )
    rows = [
        tuple(texts(f"word_{cell}") if name in _WORDS else cell for name, cell in row.items())
        for row in found.select(names).sort(list(keys)).to_dicts()
    ]
    return Table(name, heading, columns, rows)


def sentences(due: Due, texts: Texts) -> list[str]:
    """What needs attention beside the tables."""
    said = []
    if due.overdue:
        said.append(texts("overdue", lines=due.overdue, days=due.overdue_days))
    if due.overtaken:
        said.append(texts("overtaken", answers=due.overtaken))
    return said


def print_due(due: Due, texts: Texts) -> None:
    """Prints the bridge, and what stands behind its terms."""
    console = output()
    for number, found in enumerate(tables(due, texts)):
        if number:
            console.print()
        console.print(plain(found.caption), style="bold")
        console.print(printed(found))
    for sentence in sentences(due, texts):
        console.print(plain(sentence))


_SUMS: Final = ("lines", "accounts", "points")
_KINDS: Final[dict[str, Kind]] = {
    "service_id": "code",
    "due_on": "day",
    "why": "text",
    "direction": "text",
    "collectable": "text",
}
_WORDS: Final = ("why", "direction", "collectable")

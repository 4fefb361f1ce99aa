"""What changed, on the terminal, as JSON and as tables on disk."""

from pathlib import Path
from typing import Any

import polars as pl

from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.reasons import reason
from pipelines.diff.changes import Changes, Point
from pipelines.report.table import Table, TableColumn, printed
from pipelines.shown.terminal import output, plain
from pipelines.shown.texts import Texts

_LINE = (
    "people",
    "transactions",
    "refunds",
    "voids",
    "recounts",
    "counted_yen",
    "points_awarded",
    "points_reversed",
    "points",
)


def value(changed: Changes) -> dict[str, Any]:
    """The changes for machines; people are counted, not named."""
    return {
        "before": _point(changed.before),
        "after": _point(changed.after),
        "runs": changed.runs,
        "services": [
            {"service_id": line.service_id} | {name: getattr(line, name) for name in _LINE}
            for line in changed.services
        ],
        "people": {
            "with_entries": changed.people.height,
            "gained": changed.gained,
            "lost": changed.lost,
        },
        "rows": dict(changed.rows),
        "terms": [
            {
                "run": change.run_id,
                "what": change.what,
                "before": change.before,
                "after": change.after,
            }
            for change in changed.terms
        ],
    }


def _point(point: Point) -> dict[str, str]:
    return {
        "run": point.run_id,
        "booked_on": point.booked_on.isoformat(),
        "chain_sha256": point.chain_sha256,
    }


def write_people(changed: Changes, folder: Path) -> None:
    """Writes whose points changed, as Parquet and for a spreadsheet."""
    people = changed.people.with_columns(
        difference=pl.col("points_after") - pl.col("points_before")
    )
    people.write_parquet(folder / "people.parquet")
    spreadsheet_csv(people, folder / "people.csv")


def print_changes(changed: Changes, folder: Path | None, texts: Texts) -> None:
    """Prints the changes."""
    t, console = texts, output()
    title = t("title", before=changed.before.run_id, after=changed.after.run_id)
    console.print(title, style="bold")
    for point in (changed.before, changed.after):
        console.print(t("point", run=point.run_id, day=point.booked_on, sha256=point.chain_sha256))
    console.print(
        t("people", people=changed.people.height, gained=changed.gained, lost=changed.lost)
    )
    for found in tables(changed, t):
        console.print()
        console.print(printed(found))
    console.print()
    for sentence in terms(changed, t):
        console.print(plain(sentence))
    if folder is not None:
        console.print(plain(t("written", folder=folder)))


def tables(changed: Changes, texts: Texts) -> list[Table]:
    """What was booked, by service; and what became of rows."""
    services = (
        TableColumn(texts("service"), "code", key="service_id"),
        *(TableColumn(texts(f"column_{name}"), "number", key=name) for name in _LINE),
    )
    rows = (
        TableColumn(texts("rows"), key="what"),
        TableColumn(texts("number"), "number", key="rows"),
    )
    return [
        Table(
            "changed",
            texts("services"),
            services,
            [
                (line.service_id, *(getattr(line, name) for name in _LINE))
                for line in changed.services
            ],
        ),
        Table("became", texts("rows"), rows, _rows(changed, texts)),
    ]


def terms(changed: Changes, texts: Texts) -> list[str]:
    """Which terms changed, from which run on."""
    none = texts("none")
    return [
        texts(
            "term",
            run=change.run_id,
            what=change.what,
            before=change.before or none,
            after=change.after or none,
        )
        for change in changed.terms
    ] or [texts("no_terms")]


def _rows(changed: Changes, t: Texts) -> list[tuple[str, int]]:
    """What became of rows, in words."""
    rows = []
    for what, number in changed.rows:
        head, _, code = what.rpartition(":")
        if head == "declined":
            words = t("declined", words=reason(code, t.lang).words)
        elif head.endswith(":rejected"):
            words = t(f"rejected_{head.partition(':')[0]}", words=reason(code, t.lang).words)
        else:
            words = t(f"rows_{what.replace(':', '_')}")
        rows.append((words, number))
    return rows

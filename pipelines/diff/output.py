"""What changed, on the terminal, as JSON and as tables on disk."""

from pathlib import Path
from typing import Any

import polars as pl

from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.reasons import reason
from pipelines.diff.changes import Changes, Point
from pipelines.shown.terminal import output, plain, table
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
    console.print()
    columns = [(t("service"), False), *((t(f"column_{name}"), True) for name in _LINE)]
    rows = [
        (line.service_id, *(getattr(line, name) for name in _LINE)) for line in changed.services
    ]
    console.print(table(columns, rows))
    console.print()
    console.print(table([(t("rows"), False), (t("number"), True)], _rows(changed, t)))
    console.print()
    if not changed.terms:
        console.print(t("no_terms"))
    for change in changed.terms:
        none = t("none")
        values = {"before": change.before or none, "after": change.after or none}
        console.print(plain(t("term", run=change.run_id, what=change.what, **values)))
    if folder is not None:
        console.print(plain(t("written", folder=folder)))


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

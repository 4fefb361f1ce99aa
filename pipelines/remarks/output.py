"""Remarks on disk and on the terminal; only the files name people."""

import json
from pathlib import Path
from typing import Any, Final

from engine.io.parquet import scan_parquet
from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook
from pipelines.remarks.noticed import Remark
from pipelines.report.table import Table, TableColumn, printed
from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain
from pipelines.shown.texts import Texts

CSV: Final = "remarks.csv"
PARQUET: Final = "remarks.parquet"
SUMMARY: Final = "remarks.json"
COLUMNS: Final = (
    *("pattern", "run_id", "service_id", "account_id", "person_id", "transaction_id"),
    *("occurred_at", "points", "detail"),
)
_ORDER: Final = "ORDER BY pattern, run_id, service_id, account_id, person_id, transaction_id"


def value_of(opened: OpenedBook, remarks: list[Remark]) -> dict[str, Any]:
    """The sums for machines."""
    return {
        "book": str(opened.book.path),
        "last_run": opened.records[-1].run_id,
        "chain_sha256": opened.chain_sha256,
        "remarks": [remark.value() for remark in remarks],
    }


def first_rows(database: Database, most: int) -> list[dict[str, Any]]:
    """Of each pattern at most so many of the times it was found, by their column."""
    found = database.rows(
        f"SELECT {', '.join(COLUMNS)} FROM remarks "  # noqa: S608 - ours
        f"QUALIFY row_number() OVER (PARTITION BY pattern {_ORDER}) <= {most} {_ORDER}"
    )
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


def write_remarks(
    folder: Path, opened: OpenedBook, remarks: list[Remark], database: Database
) -> None:
    """Writes a row for each time that a pattern was found, and the sums."""
    quoted = str(folder).replace("'", "''")
    database.rows(
        f"COPY (SELECT * FROM remarks {_ORDER}) TO '{quoted}/{PARQUET}' "  # noqa: S608 - ours
        "(FORMAT parquet, COMPRESSION zstd)"
    )
    spreadsheet_csv(scan_parquet(folder / PARQUET), folder / CSV)
    text = json.dumps(value_of(opened, remarks), ensure_ascii=False, indent=1)
    (folder / SUMMARY).write_text(f"{text}\n", encoding="utf-8")


def sums_of(remarks: list[Remark], texts: Texts) -> Table:
    """What was looked for, and how often it was found."""
    columns = (
        TableColumn(texts("column_pattern"), "code", key="pattern"),
        TableColumn(texts("column_times"), "number", key="times"),
        TableColumn(texts("column_points"), "number", key="points"),
        TableColumn(texts("column_meaning"), key="meaning"),
    )
    rows = [
        (
            remark.pattern.name,
            remark.times,
            remark.points,
            texts(remark.pattern.name, **remark.pattern.thresholds),
        )
        for remark in remarks
    ]
    return Table("patterns", texts("title"), columns, rows)


def print_remarks(
    opened: OpenedBook, remarks: list[Remark], folder: Path | None, texts: Texts
) -> None:
    """Prints what was looked for, and how often it was found."""
    console = output()
    console.print(texts("title"), style="bold")
    last = opened.records[-1]
    line = texts("book", book=opened.book.path, run=last.run_id, day=last.booked_on)
    console.print(plain(line))
    console.print()
    console.print(printed(sums_of(remarks, texts)))
    console.print()
    console.print(texts("not_wrong"))
    console.print(plain(texts("no_rows") if folder is None else texts("written", folder=folder)))


def print_remarks_json(opened: OpenedBook, remarks: list[Remark]) -> None:
    """Prints the sums for machines."""
    terminal.print_json(value_of(opened, remarks))

"""Remarks on disk and on the terminal; only the files name people."""

import json
from pathlib import Path
from typing import Any, Final

from engine.io.parquet import scan_parquet
from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook
from pipelines.remarks.noticed import Remark
from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts

CSV: Final = "remarks.csv"
PARQUET: Final = "remarks.parquet"
SUMMARY: Final = "remarks.json"
_ORDER: Final = "ORDER BY pattern, run_id, service_id, account_id, person_id, transaction_id"


def value_of(opened: OpenedBook, remarks: list[Remark]) -> dict[str, Any]:
    """The sums for machines."""
    return {
        "book": str(opened.book.path),
        "last_run": opened.records[-1].run_id,
        "chain_sha256": opened.chain_sha256,
        "remarks": [remark.value() for remark in remarks],
    }


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
    columns = [(texts("column_pattern"), False), (texts("column_times"), True)]
    columns += [(texts("column_points"), True), (texts("column_meaning"), False)]
    rows = [
        (
            remark.pattern.name,
            remark.times,
            remark.points,
            texts(remark.pattern.name, **remark.pattern.thresholds),
        )
        for remark in remarks
    ]
    console.print(table(columns, rows))
    console.print()
    console.print(texts("not_wrong"))
    console.print(plain(texts("no_rows") if folder is None else texts("written", folder=folder)))


def print_remarks_json(opened: OpenedBook, remarks: list[Remark]) -> None:
    """Prints the sums for machines."""
    terminal.print_json(value_of(opened, remarks))

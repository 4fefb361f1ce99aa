"""The report's tables as a workbook, a sheet a table."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.report.table import Table
from pipelines.shown.spreadsheet import MOST_ROWS, Spreadsheet
from pipelines.shown.texts import Texts

_WIDTHS: Final = {"text": 28, "code": 24, "day": 12, "number": 15, "share": 10}
_LONG: Final = 60


def write_workbook(
    path: Path,
    facts: Sequence[tuple[str, object]],
    tables: Sequence[Table],
    made_on: dt.date,
    texts: Texts,
) -> None:
    """Writes the workbook; ``facts`` stand on its cover, above a list of its sheets."""
    sheets = [(table.name, table.caption) for table in tables]
    with Spreadsheet(path, made_on=made_on) as book:
        book.facts(texts("wb_cover"), [*facts, ("", None), *sheets])
        for table in tables:
            columns = [
                (column.heading, _LONG if column.long else _WIDTHS[column.kind])
                for column in table.columns
            ]
            rows, total = table.rows, None
            if table.total:
                *rows, total = rows
            book.table(table.name, columns, rows[:MOST_ROWS], totals=total)

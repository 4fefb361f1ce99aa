"""The report's tables as a workbook, a sheet a table."""

import datetime as dt
import io
from typing import Any, Final

from pipelines.report.tables import Table
from pipelines.texts import Texts

_MOST_ROWS: Final = 1_048_576 - 1
_WIDTHS: Final = {"text": 28, "code": 24, "day": 12, "number": 15, "share": 10}


def workbook(cover: list[tuple[str, str]], tables: list[Table], made_on: str, t: Texts) -> bytes:
    """The workbook's bytes; ``cover`` is what its first sheet says, ``made_on`` a day."""
    import xlsxwriter

    buffer = io.BytesIO()
    # A text stays a text, whatever it begins with: no formula and no link comes from data.
    options = {
        "in_memory": True,
        "strings_to_formulas": False,
        "strings_to_urls": False,
        "strings_to_numbers": False,
        "default_date_format": "yyyy-mm-dd",
    }
    book: Any = xlsxwriter.Workbook(buffer, options)
    # The same book gives the same bytes.
    created = dt.datetime.combine(dt.date.fromisoformat(made_on), dt.time())
    book.set_properties({"title": t("title"), "created": created})
    formats = {
        "heading": book.add_format(
            {"bold": True, "bottom": 1, "text_wrap": True, "valign": "bottom"}
        ),
        "title": book.add_format({"bold": True, "font_size": 14}),
        "text": book.add_format({"valign": "top"}),
        "code": book.add_format({"valign": "top"}),
        "day": book.add_format({"num_format": "yyyy-mm-dd", "align": "left"}),
        "number": book.add_format({"num_format": "#,##0"}),
        "share": book.add_format({"num_format": "0.0%"}),
    }
    _cover(book.add_worksheet(t("wb_cover")), cover, tables, formats, t)
    for table in tables:
        _sheet(book.add_worksheet(table.name), table, formats)
    book.close()
    return buffer.getvalue()


def _cover(
    sheet: Any,  # noqa: ANN401 - xlsxwriter ships no types
    cover: list[tuple[str, str]],
    tables: list[Table],
    formats: dict[str, Any],
    t: Texts,
) -> None:
    sheet.set_column(0, 0, 34)
    sheet.set_column(1, 1, 90)
    sheet.write_string(0, 0, t("title"), formats["title"])
    row = 2
    for name, value in cover:
        sheet.write_string(row, 0, name, formats["text"])
        sheet.write_string(row, 1, value, formats["text"])
        row += 1
    row += 1
    sheet.write_string(row, 0, t("wb_sheets"), formats["heading"])
    sheet.write_string(row, 1, "", formats["heading"])
    for table in tables:
        row += 1
        sheet.write_string(row, 0, table.name, formats["text"])
        sheet.write_string(row, 1, table.caption, formats["text"])


def _sheet(sheet: Any, table: Table, formats: dict[str, Any]) -> None:  # noqa: ANN401 - as above
    for place, column in enumerate(table.columns):
        sheet.set_column(place, place, _WIDTHS[column.kind])
        sheet.write_string(0, place, column.heading, formats["heading"])
    for number, row in enumerate(table.rows[:_MOST_ROWS], 1):
        for place, (value, column) in enumerate(zip(row, table.columns, strict=True)):
            if value is None:
                continue
            form = formats[column.kind]
            if isinstance(value, dt.date):
                sheet.write_datetime(number, place, value, form)
            elif isinstance(value, int | float):
                sheet.write_number(number, place, value, form)
            else:
                sheet.write_string(number, place, value, form)
    sheet.freeze_panes(1, 0)
    if table.rows:
        sheet.autofilter(0, 0, min(len(table.rows), _MOST_ROWS), len(table.columns) - 1)

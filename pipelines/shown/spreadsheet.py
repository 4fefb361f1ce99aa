"""Spreadsheets for people: text is text and never a formula, and nothing is cut in silence."""

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from pipelines.shown.result_files import MAKER
from pipelines.shown.terminal import plain

# Excel has 1,048,576 rows a sheet.
MOST_ROWS: Final = 1_000_000
_MOST_CHARACTERS: Final = 32_000

# XlsxWriter has no types.
_Sheet = Any


class Spreadsheet:
    """A workbook that is written row by row, in bounded memory.

    ``made_on`` stands for the time at which it was made: the same result gives the same bytes.
    """

    def __init__(self, path: Path, *, made_on: dt.date) -> None:
        import xlsxwriter

        self._book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_numbers": False,
                "strings_to_urls": False,
            },
        )
        self._book.set_properties(
            {"author": MAKER, "created": dt.datetime.combine(made_on, dt.time())}
        )
        self._bold = self._book.add_format({"bold": True})
        self._heading = self._book.add_format({"bold": True, "bottom": 1})
        self._number = self._book.add_format({"num_format": "#,##0"})
        self._bold_number = self._book.add_format({"num_format": "#,##0", "bold": True})
        self._day = self._book.add_format({"num_format": "yyyy-mm-dd", "align": "left"})
        self._share = self._book.add_format({"num_format": "0.0%"})

    def __enter__(self) -> "Spreadsheet":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._book.close()

    def facts(self, name: str, facts: Iterable[tuple[str, object]]) -> None:
        """A sheet of names and values, such as a cover."""
        sheet = self._sheet(name, (34, 90))
        for row, (label, value) in enumerate(facts):
            self._write(sheet, row, 0, label, bold=True)
            self._write(sheet, row, 1, value)

    def table(
        self,
        name: str,
        columns: Sequence[tuple[str, int]],
        rows: Iterable[Sequence[object]],
        *,
        note: str | None = None,
        totals: Sequence[object] | None = None,
    ) -> None:
        """A sheet with a table: ``columns`` are headings and widths; the heading stays in sight.

        The caller gives no more than ``MOST_ROWS`` rows; a ``note`` stands above the table.
        """
        sheet = self._sheet(name, [width for _, width in columns])
        at = 0
        if note is not None:
            self._write(sheet, at, 0, note, bold=True)
            at += 1
        for column, (heading, _) in enumerate(columns):
            sheet.write_string(at, column, heading, self._heading)
        sheet.freeze_panes(at + 1, 0)
        for row in rows:
            at += 1
            for column, value in enumerate(row):
                self._write(sheet, at, column, value)
        if totals is not None:
            for column, value in enumerate(totals):
                self._write(sheet, at + 1, column, value, bold=True)

    def _sheet(self, name: str, widths: Sequence[int]) -> _Sheet:
        sheet = self._book.add_worksheet(name)
        for column, width in enumerate(widths):
            sheet.set_column(column, column, width)
        return sheet

    def _write(
        self, sheet: _Sheet, row: int, column: int, value: object, *, bold: bool = False
    ) -> None:
        if value is None:
            return
        # A spreadsheet's numbers are floats: beyond 15 digits a whole number stands as text.
        if isinstance(value, int) and abs(value) < 10**15:
            sheet.write_number(row, column, value, self._bold_number if bold else self._number)
            return
        if isinstance(value, float):
            # No money is one: it is a share.
            sheet.write_number(row, column, value, self._share)
            return
        if isinstance(value, dt.date):
            sheet.write_datetime(row, column, value, self._day)
            return
        text = plain(value, keep="\n\t")
        if len(text) > _MOST_CHARACTERS:
            text = f"{text[:_MOST_CHARACTERS]}… ({len(text)} characters)"
        sheet.write_string(row, column, text, self._bold if bold else None)

"""The sheet of a sample that was saved as an Excel workbook."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra

_KEY = "unit"


def rows_of_workbook(path: Path, data: bytes) -> list[dict[str, str]]:
    """The rows of the sheet that has units, each value as it would stand in CSV.

    Raises:
        InputError: a library is missing, the file is not a workbook, or no sheet of it has units.
    """
    require_extra("draw --evaluate with a workbook", "xlsx", "openpyxl")
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        # They are about what only a spreadsheet shows.
        warnings.simplefilter("ignore", UserWarning)
        try:
            workbook = load_workbook(io.BytesIO(data), data_only=True)
        except Exception as error:
            # The library names no errors of its own.
            raise InputError(
                f"{path}: the workbook cannot be read ({type(error).__name__})",
                hint="save the sheet as CSV UTF-8",
            ) from error
    for sheet in workbook.worksheets:
        rows = _texts(sheet.iter_rows(values_only=True))
        header = next(rows, [])
        if _KEY in header:
            return [dict(zip(header, row, strict=True)) for row in rows if any(row)]
    raise InputError(
        f"{path}: no sheet of the workbook has a column {_KEY}",
        hint="fill in the workbook that mynapoint draw wrote",
    )


def _texts(rows: Iterator[tuple[object, ...]]) -> Iterator[list[str]]:
    for row in rows:
        yield [
            str(int(value))
            if isinstance(value, float) and value.is_integer()
            else ""
            if value is None
            else str(value)
            for value in row
        ]

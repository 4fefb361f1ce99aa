"""An Excel workbook's one sheet as lines of text: so it is read as a file with separators is.

openpyxl reads row by row. What it would keep in memory whole, or pass over, is looked at ahead of
it: so the memory that a workbook takes is bounded, and no row of it is lost.
"""

import csv
import datetime as dt
import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Final
from xml.parsers import expat

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.delivered.utf16 import encoded
from engine.layouts.model import MAX_LINES_AHEAD

if TYPE_CHECKING:
    from openpyxl.cell.read_only import ReadOnlyCell
    from openpyxl.worksheet._read_only import ReadOnlyWorksheet

MAX_ROW_BYTES: Final = 4 << 20
MAX_TEXTS_BYTES: Final = 128 << 20
MAX_ELEMENTS: Final = 1 << 22
MAX_PART_BYTES: Final = 8 << 20
_MAX_ROWS: Final = 1 << 20
_READ_BYTES: Final = 1 << 18
_SHEETS: Final = "xl/worksheets/"
_TEXTS: Final = "xl/sharedStrings.xml"
# Pictures and the like, which are not read.
_NOT_READ: Final = ("xl/media/", "xl/pivot", "xl/drawings/", "xl/charts/", "xl/externalLinks/")
# A row is the third element from the root of a sheet, a text the second from that of the texts.
_ROW_DEPTH: Final = 3
_TEXT_DEPTH: Final = 2
_ZEROS: Final = re.compile(r"0+")
_ROUNDED_FROM: Final = 10**15
"""A spreadsheet keeps fifteen digits of a number."""


class SheetText:
    """The sheet's rows as CSV with the separator and in the encoding that are wanted."""

    def __init__(
        self, archive: zipfile.ZipFile, name: str, separator: str, encoding: str, most_bytes: int
    ) -> None:
        require_extra(f"{name}: an Excel workbook", "xlsx", "openpyxl")
        if sum(part.file_size for part in archive.infolist()) > most_bytes:
            raise _too_large(name)
        _check_parts(archive, name)
        self._lines = _lines(_rows(archive, name), separator)
        self._name, self._encoding = name, encoding

    def read(self, size: int, /) -> bytes:
        """At least ``size`` bytes; fewer only at the end."""
        text = io.StringIO(newline="")
        while text.tell() < size and (line := next(self._lines, "")):
            text.write(line)
        return encoded(text.getvalue(), self._encoding, self._name)


def _damaged(name: str, why: str) -> InputError:
    return InputError(
        f"{name}: the Excel workbook cannot be read: {why}",
        hint="have it delivered again, or save the sheet as CSV (UTF-8)",
    )


def _check_parts(archive: zipfile.ZipFile, name: str) -> None:
    """Refuses a workbook that would take more memory than any real one, or has rows in disorder."""
    for part in archive.infolist():
        if part.filename.startswith(_SHEETS) and not part.is_dir():
            with archive.open(part) as file:
                _check_elements(file, _ROW_DEPTH, name)
        elif part.filename == _TEXTS:
            if part.file_size > MAX_TEXTS_BYTES:
                raise _too_large(name)
            with archive.open(part) as file:
                _check_elements(file, _TEXT_DEPTH, name)
        elif part.file_size > MAX_PART_BYTES and not part.filename.startswith(_NOT_READ):
            raise _too_large(name)


def _check_elements(file: IO[bytes], depth_of_rows: int, name: str) -> None:
    """Refuses rows, or texts, that are large, out of order, or beyond the end of any sheet."""
    parser, depth, begins, begun, row, fed = expat.ParserCreate(), 0, 0, 0, 0, 0

    def started(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth, begins, begun, row
        depth += 1
        if depth != depth_of_rows:
            return
        begins, begun = parser.CurrentByteIndex, begun + 1
        if tag.rpartition(":")[2] == "row":
            last, row = row, int(attributes.get("r", row + 1))
            if not last < row <= _MAX_ROWS:
                raise InputError(
                    f"{name}: the sheet's row {last:,} is followed by row {row:,}",
                    hint="have the workbook delivered again",
                )

    def ended(_tag: str) -> None:
        nonlocal depth
        depth -= 1

    def refused(*_declaration: object) -> None:
        raise _damaged(name, "it declares a document type, as no spreadsheet does")

    parser.StartElementHandler, parser.EndElementHandler = started, ended
    parser.StartDoctypeDeclHandler = refused
    try:
        while data := file.read(_READ_BYTES):
            parser.Parse(data)
            fed += len(data)
            if fed - begins > MAX_ROW_BYTES or begun > MAX_ELEMENTS:
                raise _too_large(name)
        parser.Parse(b"", True)  # noqa: FBT003 - the library's own order
    except expat.ExpatError as error:
        raise _damaged(name, str(error)) from error
    except ValueError as error:
        raise _damaged(name, "a row has no number") from error


def _too_large(name: str) -> InputError:
    return InputError(
        f"{name}: the Excel workbook unpacks to more than any real sheet",
        hint="look at it yourself, and save the sheet as CSV (UTF-8)",
    )


def _rows(archive: zipfile.ZipFile, name: str) -> Iterator[list[str]]:
    """The rows of the one sheet that has any."""
    from openpyxl import load_workbook

    # They are about what only a spreadsheet shows.
    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
    try:
        assert archive.fp is not None
        workbook = load_workbook(archive.fp, read_only=True, data_only=True, keep_links=False)
        filled = [sheet for sheet in workbook.worksheets if any(_cells_of(sheet))]
        _check_sheets(len(filled), name)
        for sheet in filled:
            yield from _cells_of(sheet)
    except (InputError, zipfile.BadZipFile, EOFError, OSError):
        raise
    except Exception as error:
        # The library names no errors of its own, and their texts may hold values of cells.
        raise _damaged(name, f"openpyxl gives up ({type(error).__name__})") from error


def _check_sheets(filled: int, name: str) -> None:
    if filled > 1:
        raise InputError(
            f"{name}: the workbook has {filled} sheets with something in them, not one",
            hint="have each sheet delivered as a file of its own",
        )


def _cells_of(sheet: "ReadOnlyWorksheet") -> Iterator[list[str]]:
    """A sheet's rows up to their last filled cell; rows without any are left out."""
    # What a sheet says of its own size need not be true, and cells beyond it would be passed over.
    sheet.reset_dimensions()
    for row in sheet.iter_rows():
        cells = [_text(cell) for cell in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield cells


def _text(cell: "ReadOnlyCell") -> str:
    """A cell's value as it would stand in a file: what is typed in ISO's form."""
    value = cell.value
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | float):
        return _number(value, cell.number_format)
    if isinstance(value, dt.datetime):
        from openpyxl.styles.numbers import is_datetime

        has_time = is_datetime(cell.number_format) != "date" or value.time() != dt.time()
        return value.isoformat(" ") if has_time else value.date().isoformat()
    if isinstance(value, dt.timedelta):
        minutes, seconds = divmod(int(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(value)


def _number(value: float, shown_as: str) -> str:
    if isinstance(value, float) and not value.is_integer():
        return repr(value)
    if abs(value) >= _ROUNDED_FROM:
        # Its last digits are gone; so written, it is known for that wherever an ID is looked at.
        return f"{Decimal(repr(value)).normalize():E}"
    digits = str(int(value))
    return digits.zfill(len(shown_as)) if _ZEROS.fullmatch(shown_as) else digits


def _lines(rows: Iterator[list[str]], separator: str) -> Iterator[str]:
    """Lines of at least as many cells as the first ones have, among which the header is."""
    first = list(islice(rows, MAX_LINES_AHEAD + 1))
    width = max(map(len, first), default=0)
    for cells in chain(first, rows):
        yield _line([*cells, *[""] * (width - len(cells))], separator)


def _line(cells: Sequence[str], separator: str) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, delimiter=separator, lineterminator="\r\n").writerow(cells)
    return line.getvalue()

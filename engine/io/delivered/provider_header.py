"""The header of a provider's file: the line that has all columns of a layout, what stands ahead of
it, and what to say of a file that has no such line.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.errors import InputError
from engine.io.delivered.encodings import BOM, CALLED, is_likely, wrong_encoding
from engine.io.delivered.kinds import empty_file
from engine.io.delivered.section_lines import blanks_of
from engine.layouts.look_alikes import composed
from engine.layouts.model import MAX_LINES_AHEAD, Fixed, Layout, Separated, Separator
from engine.layouts.names import numbered, spelled
from engine.records import BLANKS

_FEWEST_NAMES: Final = 2
_SEPARATORS: Final[Mapping[Separator, str]] = {
    ",": "commas",
    "\t": "tabs",
    ";": "semicolons",
    "|": "vertical bars",
}


@dataclass(frozen=True, slots=True)
class FoundHeader:
    """A file's header, and what stands ahead of it.

    Attributes:
        names: of all columns, by position; repeated names are numbered.
        ahead: the values that the layout takes from lines ahead.
        before: the lines ahead of the header, as they came.
        header: the header's own line or lines, as they came; empty if the file has none.
        rest: the bytes read beyond the header.
    """

    names: tuple[str, ...]
    ahead: Mapping[str, str]
    before: str
    header: str
    rest: bytes


def find_header(data: bytes, layout: Layout, encoding: str | None = None) -> FoundHeader | None:
    """The header that a layout describes, in a file's first bytes; None if it is not there.

    ``encoding`` replaces the layout's own encoding.
    """
    file = layout.file
    assert isinstance(file, Separated)
    encoding = encoding or file.encoding
    text = data.decode(encoding, "surrogateescape")
    lines = io.StringIO(text.lstrip(BOM) if encoding == "utf-8" else text, newline="")
    if file.columns:
        ahead = "".join(lines.readline() for _ in range(file.lines_ahead))
        rest = lines.read().encode(encoding, "surrogateescape")
        return FoundHeader(file.columns, {}, ahead, "", rest)
    wanted = {*file.header}
    passed: list[str] = []
    start = 0
    try:
        for record in csv.reader(iter(lines.readline, ""), delimiter=file.separator):
            names = numbered(spelled([cell.strip(BLANKS) for cell in record], layout))
            if wanted <= {*names}:
                before, header = lines.getvalue()[:start], lines.getvalue()[start : lines.tell()]
                rest = lines.read().encode(encoding, "surrogateescape")
                return FoundHeader(names, _ahead(layout, passed), before, header, rest)
            start = lines.tell()
            passed.append(file.separator.join(record))
            if len(passed) > MAX_LINES_AHEAD:
                return None
    except csv.Error:
        return None
    return None


def in_its_encoding(layout: Layout, data: bytes) -> Layout:
    """The layout with the encoding that a file has by its first bytes, of those it may have."""
    file = layout.file
    if isinstance(file, Fixed) or len(file.encodings) < 2:
        return layout
    if file.header:
        has = [
            encoding
            for encoding in file.encodings
            if find_header(data, layout, encoding) is not None
        ]
    else:
        # Few texts in CP932 can be UTF-8; most in UTF-8 can be CP932.
        is_utf8 = not data.isascii() and is_likely(data, "utf-8")
        has = ["utf-8" if is_utf8 and "utf-8" in file.encodings else file.encoding]
    return replace(layout, file=replace(file, encoding=has[0])) if has else layout


def _ahead(layout: Layout, lines: Sequence[str]) -> dict[str, str]:
    assert isinstance(layout.file, Separated)
    values, separator = {}, layout.file.separator
    trimmed = [composed(line).strip(blanks_of(separator)) for line in lines]
    for name, begins in layout.ahead.items():
        line = next((line for line in trimmed if line.startswith(begins)), None)
        if line is not None:
            value = line.removeprefix(begins).lstrip(separator)
            values[name] = value.split(separator)[0].strip(BLANKS)
    return values


def nearest_header(data: bytes, layout: Layout) -> list[str]:
    """The columns of a layout's header that are missing from the line that has most of them."""
    file = layout.file
    assert isinstance(file, Separated)
    lines = data.decode(file.encoding, "replace").splitlines()[: MAX_LINES_AHEAD + 1]
    missing = []
    for line in lines:
        cells = next(csv.reader([line], delimiter=file.separator), [])
        names = {*numbered(spelled([cell.strip(BLANKS) for cell in cells], layout))}
        missing.append([name for name in file.header if name not in names])
    return min(missing, key=len, default=list(file.header))


def check_clear(found: FoundHeader, layout: Layout, name: str) -> None:
    """Refuses a header that repeats a used column more often than its layout knows."""
    assert isinstance(layout.file, Separated)
    cells = next(
        csv.reader(io.StringIO(found.header, newline=""), delimiter=layout.file.separator), []
    )
    known = {*layout.file.header, *layout.file.optional}
    titles = spelled([cell.strip(BLANKS) for cell in cells], layout)
    for column, times in Counter(titles).items():
        same = numbered([column] * times)
        if not known.issuperset(same[1:]) and not {*same}.isdisjoint(layout.used):
            raise InputError(
                f"{name}: the header names the column {column} {times} times, and layout "
                f"{layout.layout_id} cannot tell which is meant",
                hint="have the others renamed, or copy the layout and write the name into its "
                "header as often as it is there",
            )


def check_no_table_ahead(found: FoundHeader, layout: Layout, name: str) -> None:
    """Refuses a file with another header ahead of the layout's: rows below it would not be read.

    A line ahead that has two of the layout's columns or more is such a header.
    """
    assert isinstance(layout.file, Separated)
    own = {*layout.file.header, *layout.file.optional}
    lines = csv.reader(io.StringIO(found.before, newline=""), delimiter=layout.file.separator)
    for number, record in enumerate(lines, 1):
        if len(own.intersection(spelled([cell.strip(BLANKS) for cell in record], layout))) >= (
            _FEWEST_NAMES
        ):
            raise InputError(
                f"{name}: line {number} is another header, ahead of that of layout "
                f"{layout.layout_id}; the rows below it would not be read",
                hint="describe the first table, and the second with [[sections]] and header; or "
                "have each table delivered as a file of its own",
            )


def no_such_header(layout: Layout, data: bytes, name: str) -> InputError:
    """The error for a file without its layout's header; it says what comes nearest."""
    assert isinstance(layout.file, Separated)
    for encoding in CALLED:
        if encoding != layout.file.encoding and find_header(data, layout, encoding) is not None:
            return wrong_encoding(name, layout.file.encoding, data, CALLED[encoding])
    if not is_likely(data, layout.file.encoding):
        return wrong_encoding(name, layout.file.encoding, data)
    if not data.strip(b" \t\r\n"):
        return empty_file(name)
    for separator, called in _SEPARATORS.items():
        other = replace(layout, file=replace(layout.file, separator=separator))
        if separator != layout.file.separator and find_header(data, other) is not None:
            return InputError(
                f"{name}: the columns are separated by {called}, which layout {layout.layout_id} "
                "does not say",
                hint=f"copy the layout and write separator = {json.dumps(separator)}",
            )
    missing = nearest_header(data, layout)
    if not missing:
        return InputError(
            f"{name}: the header of layout {layout.layout_id} is there, but a quotation mark ahead "
            "of it is not closed",
            hint="have the file delivered again",
        )
    return InputError(
        f"{name}: no line has all columns of layout {layout.layout_id}; the nearest lacks "
        f"{', '.join(missing)}",
        hint="check that this is such a file; mynapoint preview shows how others would read it",
    )

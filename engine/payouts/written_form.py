"""A layout turned round: how a points system wants the lines of a payout run to be written.

A strict TOML file with the keys of a layout for reading:

| key | meaning |
|---|---|
| `layout_id`, `name`, `follows` | as of every layout |
| `role` | `payouts` |
| `[file]` | `encoding`, `separator`, and either `header` (names, written as a line) or `columns` |
| `[fixed]` | in its place: `encoding`, `record_bytes`, `fields` (`name`, `at`, `bytes`) |
| `line_end` | `crlf`, `lf` or, of fixed records alone, `none` |
| `[columns.NAME]` | of each column: `from` (a canonical column) or `constant`; `map`; `forms` |
| `[[first]]`, `[[last]]` | the fields of a line ahead of all others, and of one after them: \
`from` (one of `TOTALS`) or `constant`; `forms`; of fixed records `bytes` |

Every file has `payout_id`, `account_id`, `direction` and `points`: without them a line cannot be
answered, or says something else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from engine.layouts.dates import DateForm, compile_form
from engine.layouts.file_section import parse_file
from engine.layouts.model import Fixed, Separated
from engine.layouts.parsing import checked_layout_id
from engine.payouts.entry import DIRECTIONS
from engine.payouts.lines import FILE_COLUMNS
from engine.terms.strict_toml import StrictTable, parse

LineEnd = Literal["crlf", "lf", "none"]
LINE_ENDS: Final[Mapping[LineEnd, str]] = {"crlf": "\r\n", "lf": "\n", "none": ""}
DAYS: Final = ("due_on", "instructed_on")
TOTALS: Final = (
    *("rows", "pay_rows", "pay_points", "take_back_rows", "take_back_points"),
    *("payout_run_id", "service_id", "instructed_on"),
)
NUMBERS: Final = ("points", *TOTALS[:5])
_NEEDED: Final = ("payout_id", "account_id", "direction", "points")
_MAPPED: Final = ("direction", "service_id")
_TOP_KEYS: Final = (
    *("layout_id", "name", "follows", "role", "file", "fixed", "line_end", "columns"),
    *("first", "last"),
)
_COLUMN_KEYS: Final = ("from", "constant", "map", "forms")
_LINE_KEYS: Final = ("from", "constant", "forms", "bytes")


@dataclass(frozen=True, slots=True)
class FormField:
    """What is written in one place.

    Attributes:
        source: a canonical column, or one of `TOTALS`; None for a constant.
        words: by canonical value, what is written for it.
        form: of a day.
        bytes: of a line of fixed records, how many it has.
    """

    source: str | None
    constant: str = ""
    words: Mapping[str, str] = field(default_factory=dict)
    form: DateForm | None = None
    bytes: int = 0

    @property
    def is_number(self) -> bool:
        return self.source in NUMBERS


@dataclass(frozen=True, slots=True)
class WrittenForm:
    """How the lines of a payout run are written.

    Attributes:
        text, sha256: the file's text, whole, and its digest in UTF-8.
        columns: by the file's column, in its order.
        first, last: the fields of the lines ahead of and after all others; none for no line.
    """

    layout_id: str
    file: Separated | Fixed
    line_end: str
    columns: Mapping[str, FormField]
    first: tuple[FormField, ...]
    last: tuple[FormField, ...]
    text: str
    sha256: str


def parse_written_form(text: str, where: str) -> WrittenForm:
    """The form that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing or of the wrong type; a column
            is not described, or the lines could not be read back.
    """
    top = parse(text, where, _TOP_KEYS)
    layout_id = checked_layout_id(top)
    for key in ("name", "follows"):
        top.text(key)
    top.word("role", ("payouts",))
    file = _file(top)
    fixed = isinstance(file, Fixed)
    ends: tuple[LineEnd, ...] = ("crlf", "lf", "none") if fixed else ("crlf", "lf")
    line_end = top.word("line_end", ends, default="crlf" if fixed else "lf")
    return WrittenForm(
        layout_id=layout_id,
        file=file,
        line_end=LINE_ENDS[line_end],
        columns=_columns(top, file),
        first=_line(top, "first", file),
        last=_line(top, "last", file),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )


def _file(top: StrictTable) -> Separated | Fixed:
    file, _ = parse_file(top)
    if isinstance(file, Separated):
        if file.lines_ahead or file.optional:
            raise top.fault("file", "lines_ahead and optional are for reading", "leave them out")
        return file
    if file.first:
        raise top.fault("fixed", "first is for reading", "write [[first]] with the line's fields")
    end = 0
    for place in file.fields:
        if place.start < end:
            raise top.fault(
                "fixed", f'the field "{place.name}" begins within the one before it', "count again"
            )
        end = place.start + place.length
    return file


def _columns(top: StrictTable, file: Separated | Fixed) -> dict[str, FormField]:
    names = (
        tuple(place.name for place in file.fields)
        if isinstance(file, Fixed)
        else (file.header or file.columns)
    )
    outer = top.table("columns", names)
    columns = {name: _written(outer.table(name, _COLUMN_KEYS), FILE_COLUMNS) for name in names}
    sources = [written.source for written in columns.values()]
    for source in _NEEDED:
        if source not in sources:
            raise outer.fault(
                source, "no column is made from it", f'write from = "{source}" for one of them'
            )
    return columns


def _line(top: StrictTable, key: str, file: Separated | Fixed) -> tuple[FormField, ...]:
    fixed = isinstance(file, Fixed)
    fields = [
        _written(table, TOTALS, has_bytes=fixed) for table in top.optional_tables(key, _LINE_KEYS)
    ]
    if isinstance(file, Fixed) and sum(place.bytes for place in fields) > file.record_bytes:
        raise top.fault(key, f"has more than the record's {file.record_bytes} bytes", "count again")
    return tuple(fields)


def _written(table: StrictTable, sources: tuple[str, ...], *, has_bytes: bool = False) -> FormField:
    if table.has("bytes") and not has_bytes:
        raise table.fault("bytes", "only fixed records have a length", "leave it out")
    length = table.integer("bytes", 1, 1 << 16) if has_bytes else 0
    if table.has("from") == table.has("constant"):
        raise table.fault(
            "from", "either from or constant must be there", 'write from = "…" or constant = "…"'
        )
    if table.has("constant"):
        for key in ("map", "forms"):
            if table.has(key):
                raise table.fault(key, "a constant is written as it is", "leave it out")
        return FormField(None, table.text("constant"), bytes=length)
    source = table.word("from", sources)
    return FormField(source, "", _words(table, source), _form(table, source), length)


def _words(table: StrictTable, source: str) -> Mapping[str, str]:
    if not table.has("map"):
        return {}
    if source not in _MAPPED:
        raise table.fault(
            "map", f"is not for {source}", f"leave it out; {' and '.join(_MAPPED)} may have one"
        )
    words = table.texts_by_name("map")
    if len(set(words.values())) < len(words):
        raise table.fault("map", "two values are written alike", "write each in its own way")
    if source == "direction":
        for direction in DIRECTIONS:
            if direction not in words:
                raise table.fault("map", f"{direction} is missing", f'write {direction} = "…"')
    return words


def _form(table: StrictTable, source: str) -> DateForm | None:
    if source not in DAYS:
        if table.has("forms"):
            raise table.fault("forms", f"{source} is not a day", "leave it out")
        return None
    forms = table.texts("forms") or ("YYYY-MM-DD",)
    try:
        form = compile_form(forms[0])
    except ValueError as error:
        raise table.fault("forms", f'"{forms[0]}": {error}', "write YYYYMMDD or the like") from None
    if len(forms) > 1 or form.chrono is None or form.has_time or "year" not in form.parts:
        raise table.fault(
            "forms", "one form with year, month and day is needed", 'write forms = ["YYYYMMDD"]'
        )
    return form

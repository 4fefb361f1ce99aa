"""CSV files for people: opened in Excel (in Japan, too) they show each text as it is.

| a text | stands as |
|---|---|
| that a spreadsheet would calculate | with an apostrophe ahead, which saving keeps |
| that it would take for a number, a day, a time, a truth or an error | ``="0012"`` |
| any other | itself |

The byte order mark says that the file is UTF-8; lines end in CR LF, instants have no ``T``. What is
a number, a day or an instant in the frame is one in the sheet.
"""

from collections.abc import Collection
from io import BytesIO
from pathlib import Path
from typing import Any, Final, TypeVar

import polars as pl

FORMULA_MARKS: Final = "=+-@\t\r\n＝＋－＠"
"""What a spreadsheet takes for a formula when it opens a CSV file, full-width marks included."""

_MARKS: Final = FORMULA_MARKS.replace("-", r"\-")
_FORMULA: Final = rf"^[{_MARKS}]"
# Rather too much than too little: what is marked in vain is shown as it is, too.
_CONVERTED: Final = (
    r"(?i)^[\s\u3000]*(?:"
    # Numbers, amounts, shares, days and times, full-width digits included; #N/A.
    r"[\p{Nd}.,(%#\p{Sc}]"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*[\s\u3000.,/\-]*\p{Nd}"
    # Years of an era, with its name or its letter.
    r"|(?:明治?|大正?|昭和?|平成?|令和?|[mtshr])[\s\u3000]*(?:元|\p{Nd}+)[.年/\-]"
    r"|午[前後]|(?:true|false)[\s\u3000]*$"
    r")"
)
_CONTROLS: Final = r"[\x00-\x1f]"
# Of a text within a formula.
_MOST_CHARACTERS: Final = 255
_OPTIONS: Final[dict[str, Any]] = {
    "include_bom": True,
    "line_terminator": "\r\n",
    "datetime_format": "%Y-%m-%d %H:%M:%S%.f",
}

_Frame = TypeVar("_Frame", pl.DataFrame, pl.LazyFrame)


def guarded(text: pl.Expr) -> pl.Expr:
    """Texts as they stand in a cell."""
    is_converted = (
        text.str.contains(_CONVERTED)
        & (text.str.len_chars() <= _MOST_CHARACTERS)
        & ~text.str.contains(_CONTROLS)
    )
    wrapped = pl.format('="{}"', text.str.replace_all('"', '""', literal=True))
    return (
        pl.when(text.str.contains(_FORMULA))
        .then("'" + text)
        .when(is_converted)
        .then(wrapped)
        .otherwise(text)
    )


def without_guard_in_sql(column: str) -> str:
    """The text of a cell that ``guarded`` made, as an expression of DuckDB's."""
    is_wrapped = f"starts_with({column}, '=\"') AND ends_with({column}, '\"')"
    inner = f"replace({column}[3:-2], '\"\"', '\"')"
    bare = f"regexp_replace({column}, '^''([{_MARKS}])', '\\1')"
    return f"CASE WHEN {is_wrapped} AND length({column}) > 2 THEN {inner} ELSE {bare} END"


def as_shown(frame: _Frame, as_written: Collection[str] = ()) -> _Frame:
    """A frame whose columns of text are guarded, but for those that a sheet may understand."""
    texts = [
        name
        for name, kind in frame.collect_schema().items()
        if kind == pl.String and name not in as_written
    ]
    return frame.with_columns(guarded(pl.col(name)).alias(name) for name in texts)


def spreadsheet_csv(
    frame: pl.DataFrame | pl.LazyFrame, file: Path | BytesIO, as_written: Collection[str] = ()
) -> None:
    """Writes a frame as CSV for people; of a lazy one no more than a part is held at a time.

    Args:
        frame: the rows.
        file: a new one.
        as_written: columns of text that a spreadsheet is to understand, such as instants.
    """
    if isinstance(frame, pl.LazyFrame):
        as_shown(frame, as_written).sink_csv(file, **_OPTIONS)
    else:
        as_shown(frame, as_written).write_csv(file, **_OPTIONS)

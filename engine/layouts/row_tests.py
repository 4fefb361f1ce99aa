"""What a layout decides by a test of a row: `[[skip]]`, and the codes of a method."""

from __future__ import annotations

from typing import Final

import polars as pl

from engine.layouts.model import Code, Skip, Test
from engine.layouts.names import Names, reason_of
from engine.terms.strict_toml import MAX_ID_CHARACTERS, StrictTable

_TESTS: Final = ("is", "begins", "contains", "matches", "filled")
_SKIP_KEYS: Final = ("reason", "column", *_TESTS, "line_begins")
_CODE_KEYS: Final = ("code", "column", *_TESTS)


def parse_skips(top: StrictTable, names: Names) -> tuple[Skip, ...]:
    """Which rows are left out, in the order in which the tests are made."""
    return tuple(_skip(table, names) for table in top.optional_tables("skip", _SKIP_KEYS))


def _skip(table: StrictTable, names: Names) -> Skip:
    reason = reason_of(table, "failed_payment")
    if table.has("line_begins"):
        for key in ("column", *_TESTS):
            if table.has(key):
                raise table.fault(key, "there is a line_begins as well", "write two [[skip]]")
        return Skip(reason, line_begins=table.text("line_begins"))
    return Skip(reason, _test(table, names))


def parse_codes(table: StrictTable, names: Names) -> tuple[Code, ...]:
    """The codes of a column, in the order in which their tests are made."""
    return tuple(
        Code(code.text("code"), _test(code, names))
        for code in table.optional_tables("codes", _CODE_KEYS)
    )


def _test(table: StrictTable, names: Names) -> Test:
    column = names.column(table, "column", table.text("column"))
    tests = [key for key in _TESTS if table.has(key)]
    if len(tests) != 1:
        raise table.fault(
            "column",
            f"{len(tests)} tests of it are there, one must be",
            f"write one of {', '.join(_TESTS)}",
        )
    return Test(
        column,
        values=_values(table, "is"),
        begins=_values(table, "begins"),
        contains=_values(table, "contains"),
        matches=pattern(table, "matches"),
        filled=table.boolean("filled", default=True) if table.has("filled") else None,
    )


def pattern(table: StrictTable, key: str) -> str | None:
    """The regular expression under a key, or None if it is missing."""
    text = table.optional_text(key)
    if text is not None:
        try:
            pl.Series([""]).str.contains(text)
        except pl.exceptions.ComputeError:
            raise table.fault(
                key,
                f'"{text[:MAX_ID_CHARACTERS]}" is not a regular expression',
                "write one that the Rust crate regex takes",
            ) from None
    return text


def _values(table: StrictTable, key: str) -> tuple[str, ...]:
    return tuple(str(value) for value in table.parts(key, ())) if table.has(key) else ()

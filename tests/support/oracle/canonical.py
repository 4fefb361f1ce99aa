"""The canonical form: how delivered files and the values in them are read."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias

JST_AHEAD_OF_UTC = timedelta(hours=9)
MAX_ID_CHARACTERS = 64
MIN_AMOUNT_YEN = 1
MAX_AMOUNT_YEN = 100_000_000

File: TypeAlias = tuple[str, str]
"""A delivered CSV file: its name as given, and its text."""


class UnusableError(Exception):
    """The input as a whole cannot be used: exit 2, nothing booked."""


# --- Reading files --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """One record of a file; `values` is None for "too few or too many fields"."""

    file: str
    row: int
    fields: tuple[str, ...]
    values: dict[str, str] | None


def trimmed(text: str) -> str:
    """Clause: trimmed of spaces, tabs, U+3000 and U+FEFF on both sides."""
    return text.strip(" \t\u3000\ufeff")


def read_records(file: File, required: Sequence[str], optional: Sequence[str]) -> list[Record]:
    """Read a file's records.

    Clause: The header is matched by name, in any order; a required column that is missing, a column
    named twice […] make the file unusable. Columns not listed here are ignored; an empty line is no
    record. `row` counts the file's records from 1, header excluded.
    """
    name, text = file
    lines = [
        fields
        for fields in csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
        if fields != []
    ]
    if not lines:
        raise UnusableError(f"{name}: no header")
    header = lines[0]
    for column in header:
        if header.count(column) > 1:
            raise UnusableError(f"{name}: column {column} is named twice")
    for column in required:
        if column not in header:
            raise UnusableError(f"{name}: column {column} is missing")

    records = []
    for row, fields in enumerate(lines[1:], start=1):
        if len(fields) != len(header):
            records.append(Record(name, row, tuple(fields), None))
            continue
        values = {}
        for column in [*required, *optional]:
            values[column] = trimmed(fields[header.index(column)]) if column in header else ""
        records.append(Record(name, row, tuple(fields), values))
    return records


# --- Reading values -------------------------------------------------------------------------------


def id_fault(text: str) -> str | None:
    """Clause: 1 to 64 characters, none of U+0000 to U+001F or U+007F."""
    for character in text:
        if ord(character) <= 0x1F or ord(character) == 0x7F:
            return "malformed"
    if len(text) > MAX_ID_CHARACTERS:
        return "out_of_range"
    return None


def whole_number(text: str) -> int | None:
    """An optional minus sign and ASCII digits; leading zeros mean nothing."""
    if re.fullmatch(r"-?[0-9]+", text) is None:
        return None
    return int(text)


def amount_fault(text: str) -> str | None:
    """Clause: digits, yen, 1 to 100,000,000; `out_of_range`: whole, but outside the bounds."""
    number = whole_number(text)
    if number is None:
        return "malformed"
    if not MIN_AMOUNT_YEN <= number <= MAX_AMOUNT_YEN:
        return "out_of_range"
    return None


TIME = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"[ T](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,6}))?"
    r"(?P<zone>Z|(?P<sign>[+-])(?P<zone_hour>[0-9]{2}):(?P<zone_minute>[0-9]{2}))?"
)


def read_time(text: str) -> datetime | None:
    """Read a time as Japan's, without a zone.

    Clause: `YYYY-MM-DD HH:MM:SS` or with `T`; optional fraction (1 to 6 digits); optional `Z` or
    `±HH:MM`. All times are Japan Standard Time […], stored without a zone; an input with an offset
    is converted.
    """
    match = TIME.fullmatch(text)
    if match is None:
        return None
    try:
        stated = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            int(match["second"]),
            int((match["fraction"] or "0").ljust(6, "0")),
        )
    except ValueError:
        return None
    if match["zone"] is None:
        return stated
    ahead_of_utc = timedelta(0)
    if match["sign"] is not None:
        hours, minutes = int(match["zone_hour"]), int(match["zone_minute"])
        if hours > 23 or minutes > 59:
            return None
        ahead_of_utc = timedelta(hours=hours, minutes=minutes)
        if match["sign"] == "-":
            ahead_of_utc = -ahead_of_utc
    try:
        return stated + (JST_AHEAD_OF_UTC - ahead_of_utc)
    except OverflowError:
        return None


def read_date(text: str) -> date | None:
    """Clause: `YYYY-MM-DD`."""
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) is None:
        return None
    try:
        return date(int(text[0:4]), int(text[5:7]), int(text[8:10]))
    except ValueError:
        return None


def known_time(text: str) -> datetime:
    time = read_time(text)
    assert time is not None
    return time


def known_date(text: str) -> date:
    day = read_date(text)
    assert day is not None
    return day

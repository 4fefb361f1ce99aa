"""The header and the first rows of a file that no layout describes yet."""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.io.delivered.deliveries import find_delivered
from engine.io.delivered.encodings import is_likely, likely_encoding, not_text
from engine.io.delivered.kinds import empty_file
from engine.io.delivered.recognising import beginning_of
from engine.layouts.model import MAX_LINES_AHEAD
from engine.layouts.names import numbered
from engine.records import BLANKS

_SAMPLED_BYTES: Final = 1 << 16
_SEPARATORS: Final = (",", "\t", ";", "|")


@dataclass(frozen=True, slots=True)
class FirstRows:
    """A file's first rows, by column."""

    encoding: str
    separator: str
    names: tuple[str, ...]
    rows: list[list[str]]

    @property
    def headings(self) -> list[tuple[int, list[str]]]:
        """The rows that are none, by their numbers: headings, and headers of other tables."""
        own = {name for name in self.names if name.strip()}
        rows = ([cell.strip(BLANKS) for cell in row] for row in self.rows if row)
        return [
            (number, row)
            for number, row in enumerate(rows, 1)
            if sum(map(bool, row)) == 1 or len(own.intersection(row)) >= 2
        ]

    def values(self, name: str) -> list[str]:
        place = self.names.index(name)
        return [row[place].strip(BLANKS) for row in self.rows if len(row) == len(self.names)]


def read_sample(path: Path) -> FirstRows:
    """The first rows of a file, below the first line that looks like a header.

    Raises:
        InputError: these are several files, it is not text in UTF-8 or CP932, or has no header.
    """
    delivered = find_delivered([path], "layout new")
    if len(delivered) != 1:
        raise InputError(f"{path}: these are several files", hint="name one file")
    data = beginning_of(delivered[0]).data[:_SAMPLED_BYTES]
    no_text = not_text(str(path), data)
    if no_text is not None:
        raise no_text
    encoding = _encoding(data)
    if encoding is None:
        likely = likely_encoding(data, "") or "no encoding of Japanese text"
        raise InputError(
            f"{path}: the file is neither UTF-8 nor CP932",
            hint=f"it looks like {likely}; have it delivered as UTF-8 or CP932",
        )
    text = data.decode(encoding, "replace").lstrip("\ufeff")
    if len(data) == _SAMPLED_BYTES:
        text = text[: text.rfind("\n") + 1]
    if not text.strip():
        raise empty_file(str(path))
    best: tuple[int, str, list[list[str]]] | None = None
    for separator in _SEPARATORS:
        records = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        place = _header_place(records)
        if place is not None:
            records = records[place:]
            fields = len(records[0])
            if best is None or fields > best[0]:
                best = (fields, separator, records)
    if best is None:
        raise InputError(
            f"{path}: no line looks like a header: three names or more, and rows as wide below it",
            hint="for fixed records copy a layout: mynapoint layouts zengin-account-transfer",
        )
    _, separator, records = best
    names = numbered([cell.strip(BLANKS) for cell in records[0]])
    return FirstRows(encoding, separator, names, records[1:])


def _encoding(data: bytes) -> str | None:
    return next((name for name in ("utf-8", "cp932") if is_likely(data, name)), None)


def _header_place(records: Sequence[Sequence[str]]) -> int | None:
    """The first line with at least three names and no number, and rows of its width below it."""
    widths = Counter(len(record) for record in records)
    for place, record in enumerate(records[: MAX_LINES_AHEAD + 1]):
        cells = [cell.strip(BLANKS) for cell in record]
        filled = [cell for cell in cells if cell]
        named = [cell for cell in filled if not re.search(r"^[\\¥+-]?[0-9]", cell)]
        if (
            len(named) >= 3
            and len(named) * 4 >= len(filled) * 3
            and (widths[len(record)] > 1 or len(records) == place + 1)
        ):
            return place
    return None

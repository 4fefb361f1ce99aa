"""The lines among a part's records that a layout's sections describe, found in the bytes: so most
parts, which have none, cost a look for a few texts.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl

from engine.io.delivered.csv_framing import Dialect, Places, bounds
from engine.layouts.look_alikes import composed
from engine.layouts.model import Fixed, Layout, Section, Separated, Skip
from engine.layouts.names import numbered, spelled
from engine.records import BLANKS

# The marks of decomposed kana, in UTF-8.
_VOICED: Final = ("\u3099".encode(), "\u309a".encode())


@dataclass(frozen=True, slots=True)
class SectionLine:
    """A line that a section describes, or that begins as a line ahead of the header does.

    Attributes:
        record: the record's number in its part, from 0.
        start: where it begins in the part's bytes.
        section: None of a line that may only stand ahead of the header.
    """

    record: int
    start: int
    raw: str
    section: Section | None

    def names(self, layout: Layout) -> tuple[str, ...]:
        """Its cells as the names of columns."""
        assert isinstance(layout.file, Separated)
        return numbered(spelled(cells_of(self.raw, layout.file.separator), layout))

    def begins_ahead(self, layout: Layout) -> str | None:
        """How it begins, if as a line ahead of the header does that a layout takes a value from."""
        text = composed(self.raw).lstrip(_ahead_of_text(layout.file))
        return next((begins for begins in layout.ahead.values() if text.startswith(begins)), None)

    def values(self, file: Separated) -> Mapping[str, str]:
        """What the line sets."""
        section = self.section
        if section is None or not section.sets:
            return {}
        passed, separator = _ahead_of_text(file), file.separator
        if section.line_begins is not None:
            after = (
                composed(self.raw).lstrip(passed).removeprefix(section.line_begins).lstrip(passed)
            )
            cells = cells_of(after.removeprefix(separator), separator)
            return {section.sets[0]: cells[0].strip(passed) if cells else ""}
        assert section.line_matches is not None
        groups = pl.Series([composed(self.raw)]).str.extract_groups(section.line_matches)[0]
        return {
            name: (value or "").strip(f'{BLANKS}"')
            for name, value in zip(section.sets, groups.values(), strict=True)
        }


def blanks_of(separator: str) -> str:
    """What a whole line is trimmed of: a separator stands for an empty cell."""
    return BLANKS.replace(separator, "")


def _ahead_of_text(file: Separated | Fixed) -> str:
    blanks = blanks_of(file.separator) if isinstance(file, Separated) else BLANKS
    return f'{blanks}"'


def cells_of(raw: str, separator: str) -> list[str]:
    """A record's cells, trimmed."""
    try:
        cells = next(csv.reader([raw], delimiter=separator), [])
    except csv.Error:
        return [raw]
    return [cell.strip(BLANKS) for cell in cells]


def skip_of(raw: str, layout: Layout) -> Skip | None:
    """By what a layout leaves a line out, whatever its number of fields."""
    text = composed(raw).lstrip(_ahead_of_text(layout.file))
    cells = text
    if isinstance(layout.file, Separated) and '"' in raw:
        cells = layout.file.separator.join(cells_of(composed(raw), layout.file.separator))
    for skip in layout.skips:
        if skip.line_begins is not None and (
            text.startswith(skip.line_begins) or cells.startswith(skip.line_begins)
        ):
            return skip
    return None


def section_of(raw: str, layout: Layout) -> Section | None:
    """The first section that describes a line."""
    assert isinstance(layout.file, Separated)
    raw = composed(raw)
    text = raw.lstrip(_ahead_of_text(layout.file))
    for section in layout.sections:
        if section.line_begins is not None:
            if text.startswith(section.line_begins):
                return section
        elif section.line_matches is not None:
            if pl.Series([raw]).str.contains(section.line_matches)[0]:
                return section
        else:
            line = SectionLine(0, 0, raw, section)
            if {*section.header} <= {*line.names(layout)}:
                return section
    return None


def find_section_lines(
    data: bytes, layout: Layout, dialect: Dialect, *, quoted: bool
) -> Iterator[SectionLine]:
    """The section lines among a part's whole records, in their order."""
    encoding = dialect.encoding
    if encoding == "utf-8" and any(mark in data for mark in _VOICED):
        starts, ends = bounds(data, quoted=quoted)
        whole = composed(data.decode(encoding, "replace")).encode()
        # Its records have the same numbers.
        for line in _find_section_lines(whole, layout, dialect, quoted=quoted):
            start = int(starts[line.record])
            raw = data[start : int(ends[line.record])].removesuffix(b"\r")
            yield replace(line, start=start, raw=raw.decode(encoding, "replace"))
        return
    yield from _find_section_lines(data, layout, dialect, quoted=quoted)


def _find_section_lines(
    data: bytes, layout: Layout, dialect: Dialect, *, quoted: bool
) -> Iterator[SectionLine]:
    encoding, ahead_of_text = dialect.encoding, _ahead_of_text(layout.file)
    patterns = [
        section.line_matches for section in layout.sections if section.line_matches is not None
    ]
    beginnings = [
        section.line_begins for section in layout.sections if section.line_begins is not None
    ]
    beginnings += layout.ahead.values()
    headers = [max(section.header, key=len) for section in layout.sections if section.header]
    begun, named = (
        [encoded for text in texts if (encoded := text.encode(encoding, "replace")) in data]
        for texts in (beginnings, headers)
    )
    if not patterns and not begun and not named:
        return
    starts, ends = bounds(data, quoted=quoted)
    found = set[int]()
    for needle in begun:
        found.update(np.flatnonzero(_begin(data, needle, starts, ahead_of_text, encoding)).tolist())
    for needle in named:
        found.update(_records_with(data, needle, starts))
    if patterns:
        lines = data.decode(encoding, "replace")
        # Bytes that cannot be decoded keep the line ends in their places.
        text = pl.Series([lines]).str.split("\n").explode()
        matches = pl.Series(np.zeros(len(text), np.bool_))
        for pattern in patterns:
            matches |= text.str.strip_suffix("\r").str.contains(pattern)
        newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == 0x0A)
        line_starts = np.concatenate([[0], newlines + 1])
        at = line_starts[np.flatnonzero(matches.to_numpy()[: line_starts.size])]
        places = np.searchsorted(starts, at)
        inside = places < starts.size
        found.update(places[inside][starts[places[inside]] == at[inside]].tolist())
    for record in sorted(found):
        start = int(starts[record])
        raw = data[start : int(ends[record])].removesuffix(b"\r").decode(encoding, "replace")
        line = SectionLine(record, start, raw, section_of(raw, layout))
        if line.section is not None or line.begins_ahead(layout) is not None:
            yield line


def _begin(
    data: bytes, text: bytes, starts: Places, ahead_of_text: str, encoding: str
) -> np.ndarray:
    """Which records begin with a text, behind blanks and quotes."""
    view = np.frombuffer(data, np.uint8)
    at = starts.copy()
    passed = [mark.encode(encoding) for mark in ahead_of_text if _has(mark, encoding)]
    moved = True
    while moved:
        moved = False
        for mark in passed:
            here = _stands_at(view, mark, at)
            if here.any():
                at[here] += len(mark)
                moved = True
    return _stands_at(view, text, at)


def _has(mark: str, encoding: str) -> bool:
    try:
        return bool(mark.encode(encoding))
    except UnicodeEncodeError:
        return False


def _stands_at(view: np.ndarray, text: bytes, at: Places) -> np.ndarray:
    inside = at + len(text) <= view.size
    for place, byte in enumerate(text):
        inside &= view[np.minimum(at + place, view.size - 1)] == byte
        if not inside.any():
            break
    return inside


def _records_with(data: bytes, text: bytes, starts: Places) -> Iterator[int]:
    """The records that contain a text, each once."""
    at = data.find(text)
    while at >= 0:
        record = int(np.searchsorted(starts, at, "right")) - 1
        if record >= 0:
            yield record
        if record + 1 >= starts.size:
            return
        at = data.find(text, int(starts[record + 1]))

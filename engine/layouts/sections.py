"""The tables `[[sections]]` of a layout: lines among the rows that change what rows below mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

import polars as pl

from engine.layouts.model import Fixed, Layout, Section, SectionKind, Separated
from engine.layouts.names import numbered, reason_of
from engine.layouts.row_tests import pattern
from engine.terms.strict_toml import StrictTable

_KNOWN_BY: Final = ("line_begins", "line_matches", "header")
_KEYS: Final = ("reason", *_KNOWN_BY, "sets", "kind", "renamed", "ends")


def parse_sections(top: StrictTable, file: Separated | Fixed) -> tuple[Section, ...]:
    """The sections of a layout, in the order in which a line is compared with them."""
    return tuple(_section(table, file) for table in top.optional_tables("sections", _KEYS))


def _section(table: StrictTable, file: Separated | Fixed) -> Section:
    reason = reason_of(table, "card_line")
    known_by = [key for key in _KNOWN_BY if table.has(key)]
    if len(known_by) != 1:
        raise table.fault(
            "line_begins",
            f"the line is known by {len(known_by)} keys, must be by one",
            f"write one of {', '.join(_KNOWN_BY)}",
        )
    if isinstance(file, Fixed) and known_by != ["line_begins"]:
        raise table.fault(known_by[0], "records of one length have none", "write line_begins")
    section = Section(
        reason,
        line_begins=table.optional_text("line_begins"),
        line_matches=pattern(table, "line_matches"),
        header=numbered([str(name) for name in table.parts("header", ())])
        if table.has("header")
        else (),
        sets=table.texts("sets"),
        kind=table.word("kind", get_args(SectionKind)) if table.has("kind") else None,
        renamed=table.texts_by_name("renamed"),
        ends=table.boolean("ends", default=False),
    )
    if not (section.header or section.sets or section.kind or section.ends):
        raise table.fault(
            "reason",
            "the line changes nothing",
            "write sets, kind, header or ends; a line that is only left out is a [[skip]]",
        )
    if section.ends and (section.header or section.sets or section.kind):
        raise table.fault(
            "ends", "no rows are read below it that anything could hold for", "write it alone"
        )
    _check_sets(table, section, file)
    _check_renamed(table, section.renamed, section.header, file)
    return section


def check_other_tables(top: StrictTable, layout: Layout) -> None:
    """Refuses the header of another table that has no column of those that are read."""
    tables = top.optional_tables("sections", _KEYS)
    for table, section in zip(tables, layout.sections, strict=True):
        names = {section.renamed.get(name, name) for name in section.header}
        if section.header and names.isdisjoint(layout.used):
            raise table.fault(
                "header",
                "names no column that the layout reads",
                "name one, with renamed where it is called otherwise; a table to be left out is "
                "known by line_begins or line_matches and ends = true",
            )


def _check_sets(table: StrictTable, section: Section, file: Separated | Fixed) -> None:
    if not section.sets:
        return
    if isinstance(file, Fixed):
        first = [field.name for field in file.first]
        for name in section.sets:
            if name not in first:
                raise table.fault(
                    "sets",
                    f'"{name}" is not a field of the first record',
                    "name fields of [[fixed.first]]: the record has them at the same places",
                )
        return
    if section.header:
        raise table.fault("sets", "a header gives no values", "leave it out")
    values = 1
    if section.line_matches is not None:
        groups = pl.Series([""]).str.extract_groups(section.line_matches)
        values = len(groups.struct.fields)
    if len(section.sets) != values:
        raise table.fault(
            "sets",
            f"has {len(section.sets)} names, and the line gives {values} values",
            "write a name for each group of line_matches; what follows line_begins is one value",
        )
    of_file = (*file.header, *file.columns, *file.optional)
    for name in section.sets:
        if name in of_file:
            raise table.fault("sets", f'"{name}" is a column', "give it another name")


def _check_renamed(
    table: StrictTable,
    renamed: Mapping[str, str],
    header: tuple[str, ...],
    file: Separated | Fixed,
) -> None:
    if not renamed:
        return
    known = () if isinstance(file, Fixed) else (*file.header, *file.columns, *file.optional)
    for name, renamed_to in renamed.items():
        if name not in header:
            raise table.fault(
                "renamed", f'"{name}" is not in this header', "name one of the header's"
            )
        if renamed_to not in known:
            raise table.fault(
                "renamed",
                f'"{renamed_to}" is not a column of the first table',
                f"there are {', '.join(known)}",
            )

"""A layout from its strict TOML file: the top-level keys; each section has a module of its own.

| key | meaning |
|---|---|
| `layout_id` | lower-case letters, digits and hyphens, 40 at most |
| `name`, `follows` | for people; the public form that it follows, and what of it is assumed |
| `role` | `transactions`, `enrollments`, `events`, `answers` or `claims` |
| `[file]` | a file with separators: see below |
| `[fixed]` | in its place: records of one length, with columns by position |
| `[ahead]` | values that stand in lines ahead of the header: name = what the line begins with |
| `[parameters.NAME]` | `asks`: what must be said of the file; `form`: `text`, `day` or `id` |
| `[columns.NAME]` | how each canonical column is made |
| `[[skip]]` | rows that are left out on purpose, each with the layout's own `reason` |
| `[refunded]` | a second row, a refund, of each row whose refunded amount has its own column |
| `[[sections]]` | lines among the rows that change what the rows below them mean |
| `[totals]` | a line that says what rows come to |

`[file]`: `encoding` (`utf-8` or `cp932`), `separator` (a comma), `header` (names that the header
has, in any order and among others; the first line that has them all is the header), or, where
there is none, `columns` (all names, by position) and `lines_ahead`; `optional` (names that a
header may have), `empty` (values that mean nothing, such as `-`). The second column of a name is
known as `NAME (2)`, the third as `NAME (3)`.

A parameter of the form `id` is a person's or an account's: a run's record keeps its digest alone.

`[fixed]`: `encoding`, `record_bytes`, `[[fixed.fields]]` (`name`, `at` from 1, `bytes`), and
`[[fixed.first]]`, likewise, for what stands in the first record and holds for all of them.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, get_args

from engine.layouts.columns_section import parse_columns
from engine.layouts.file_section import parse_file
from engine.layouts.model import Fixed, Layout, Parameter, ParameterForm
from engine.layouts.names import Names
from engine.layouts.refunded_section import parse_refunded
from engine.layouts.row_tests import parse_skips
from engine.layouts.sections import check_other_tables, parse_sections
from engine.layouts.totals import parse_totals
from engine.records import RoleName
from engine.terms.strict_toml import StrictTable, parse

_LAYOUT_ID: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_TOP_KEYS: Final = (
    *("layout_id", "name", "follows", "role", "file", "fixed", "ahead", "parameters"),
    *("columns", "skip", "sections", "refunded", "totals"),
)
_PARAMETER_KEYS: Final = ("asks", "form")


def checked_layout_id(top: StrictTable) -> str:
    """The layout's ID.

    Raises:
        InputError: it is missing, or cannot be one.
    """
    layout_id = top.identifier("layout_id")
    if not _LAYOUT_ID.fullmatch(layout_id):
        raise top.fault(
            "layout_id",
            f'"{layout_id}" is not lower-case letters, digits and hyphens, 40 at most',
            "write it like my-provider",
        )
    return layout_id


def parse_layout(text: str, where: str) -> Layout:
    """The layout that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing or of the wrong type; a name
            is none of the file's; a required canonical column is not described.
    """
    top = parse(text, where, _TOP_KEYS)
    layout_id = checked_layout_id(top)
    role = top.word("role", get_args(RoleName))
    file, empty = parse_file(top)
    ahead = top.texts_by_name("ahead")
    if ahead and (isinstance(file, Fixed) or file.columns):
        raise top.fault("ahead", "only a file with a header has lines ahead of it", "leave it out")
    parameters = {
        name: Parameter(
            table.text("asks"), table.word("form", get_args(ParameterForm), default="text")
        )
        for name, table in top.tables_by_name("parameters", _PARAMETER_KEYS).items()
    }
    sections = parse_sections(top, file)
    names = Names(top, file, ahead, parameters, sections)
    columns = parse_columns(top, role, names, sections)
    skips = parse_skips(top, names)
    layout = Layout(
        layout_id=layout_id,
        name=top.text("name"),
        follows=top.text("follows"),
        role=role,
        file=file,
        empty=empty,
        ahead=ahead,
        parameters=parameters,
        columns=columns,
        skips=skips,
        sections=sections,
        refunded=parse_refunded(top, role, names, columns),
        totals=parse_totals(top, file, skips, columns),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )
    check_other_tables(top, layout)
    return layout

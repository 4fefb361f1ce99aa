"""The names in a layout: columns with the same name are numbered, unknown names refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from engine.layouts.look_alikes import plain
from engine.layouts.model import Fixed, Layout, Parameter, Section, Separated
from engine.terms.strict_toml import MAX_ID_CHARACTERS, StrictTable

# Of a parameter, and of a reason to leave rows or lines out.
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


_NUMBER: Final = re.compile(r" \([0-9]+\)$")


def reason_of(table: StrictTable, example: str) -> str:
    """The name under which a table's rows or lines are counted."""
    reason = table.text("reason")
    if not NAME.fullmatch(reason):
        raise table.fault(
            "reason",
            f'"{reason[:MAX_ID_CHARACTERS]}" is not lower-case letters, digits and underscores',
            f"write it like {example}",
        )
    return reason


def numbered(names: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Makes names unique: the second column of a name becomes `NAME (2)`, and so on."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(unique)


def spelled(titles: Sequence[str], layout: Layout) -> list[str]:
    """The titles of columns as the layout spells them, where they look the same."""
    known = _spellings(layout)
    return [known.get(plain(title), title) for title in titles]


def _spellings(layout: Layout) -> Mapping[str, str]:
    if isinstance(layout.file, Fixed):
        return {}
    names = [*layout.file.header, *layout.file.optional]
    names += [name for section in layout.sections for name in section.header]
    titles = [_NUMBER.sub("", name) for name in names]
    return {plain(title): title for title in reversed(titles)}


class Names:
    """The names that a column may be made from."""

    def __init__(
        self,
        top: StrictTable,
        file: Separated | Fixed,
        ahead: Mapping[str, str],
        parameters: Mapping[str, Parameter],
        sections: Sequence[Section] = (),
    ) -> None:
        if isinstance(file, Fixed):
            of_file = tuple(field.name for field in (*file.fields, *file.first))
        else:
            of_file = (*file.header, *file.columns, *file.optional)
        # A line among the rows may give anew what a line ahead of them, or the first record, gave.
        given = {name: None for section in sections for name in section.sets if name not in of_file}
        names = (*of_file, *dict.fromkeys((*ahead, *given)), *parameters)
        for name, times in Counter(names).items():
            if times > 1:
                raise top.fault(
                    name,
                    "two columns, lines ahead or parameters have this name",
                    "give each a name of its own",
                )
        for name in parameters:
            if not NAME.fullmatch(name):
                raise top.fault(
                    name,
                    "a parameter's name is lower-case letters, digits and underscores",
                    "write it like account_id",
                )
        self.parameters, self._names, self._of_file = parameters, names, of_file

    def checked(self, table: StrictTable, key: str, name: str) -> str:
        """The name, if there is such a value."""
        if name not in self._names:
            raise table.fault(
                key,
                f'"{name[:MAX_ID_CHARACTERS]}" is not a column, a line ahead or a parameter',
                f"there are {', '.join(self._names)}",
            )
        return name

    def column(self, table: StrictTable, key: str, name: str) -> str:
        """The name, if it is a column of the file."""
        if name not in self._of_file:
            raise table.fault(
                key,
                f'"{name[:MAX_ID_CHARACTERS]}" is not a column of the file',
                f"there are {', '.join(self._of_file)}",
            )
        return name

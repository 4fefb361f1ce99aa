"""The layouts that ship with the engine, and those that people name by a file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.layouts.model import Layout
from engine.layouts.parsing import parse_layout
from engine.records import RoleName
from engine.terms.strict_toml import packaged_stems, read_packaged, read_text

_FOLDER: Final = "layouts/shipped"


def built_in_layouts() -> tuple[str, ...]:
    """The IDs of the layouts that ship with the engine, sorted."""
    return packaged_stems(_FOLDER)


@cache
def _built_in(layout_id: str) -> Layout:
    return parse_layout(read_packaged(_FOLDER, layout_id), f"{layout_id} (built in)")


def load_layout(id_or_file: str | Path) -> Layout:
    """A layout that ships with the engine, by its ID, or one from a file.

    As with programmes, a text that ends in `.toml` or has a folder in it is a file.

    Raises:
        InputError: there is no such layout or file, or the file breaks a rule.
    """
    if isinstance(id_or_file, str):
        known = built_in_layouts()
        if id_or_file in known:
            return _built_in(id_or_file)
        if not id_or_file.endswith(".toml") and "/" not in id_or_file and os.sep not in id_or_file:
            raise InputError(
                f'layout "{id_or_file}": no built-in layout has this ID',
                hint=f"the built-in ones are {', '.join(known)}; a file is NAME.toml or ./NAME",
            )
    return parse_layout(read_text(id_or_file), str(id_or_file))


def shipped(role: RoleName) -> Iterator[Layout]:
    """The layouts of a role that ship with the engine."""
    for layout_id in built_in_layouts():
        layout = _built_in(layout_id)
        if layout.role == role:
            yield layout

"""How a delivered file is written: as was said, or as its header shows."""

import io
from collections.abc import Iterator
from typing import Final

from engine.errors import InputError
from engine.io.delivered.byte_stream import (
    MAX_RECORD_BYTES,
    PACKED_BADLY,
    badly_packed,
    read_fully,
    unpacked,
)
from engine.io.delivered.csv_header import canonical_columns, read_header
from engine.io.delivered.deliveries import Delivered, HashingFile, open_file
from engine.io.delivered.encodings import CALLED, not_text
from engine.io.delivered.kinds import refuse_other_kinds
from engine.io.delivered.provider_header import find_header, nearest_header
from engine.layouts.catalogue import shipped
from engine.layouts.model import Layout, Separated
from engine.layouts.parameters import Described, describe
from engine.records import RoleName

_NEAR_ENOUGH: Final = 0.5


def first_bytes(delivered: Delivered) -> bytes:
    """As much of a file, unpacked, as a header may take."""
    with open_file(delivered) as file:
        try:
            data = read_fully(unpacked(HashingFile(file), delivered), MAX_RECORD_BYTES)
        except PACKED_BADLY as error:
            raise badly_packed(delivered.name, error) from error
    refuse_other_kinds(delivered.name, data)
    return data


def recognised(
    delivered: Delivered, role: RoleName, required: tuple[str, ...], optional: tuple[str, ...]
) -> Described | None:
    """The layout of a file, with what it asks for; None for the canonical form.

    Raises:
        InputError: no header fits, or those of several layouts do; a parameter is missing.
    """
    written, name = delivered.written, delivered.name
    if written.layout is not None:
        return describe(written.layout, written.parameters, name)
    if written.canonical:
        return None
    data = first_bytes(delivered)
    try:
        header, _ = read_header(io.BytesIO(data), name)
        canonical_columns(header, required, optional, name)
    except InputError as error:
        layout = layout_of(data, role, name)
        if layout is None:
            no_text = not_text(name, data)
            if no_text is not None:
                raise no_text from error
            _refuse_another_encoding(data, role, name)
            raise InputError(error.message, hint=f"{error.hint}; {_nearest(data, role)}") from error
    else:
        return None
    asked = {key: value for key, value in written.parameters.items() if key in layout.parameters}
    return describe(layout, asked, name)


def layout_of(data: bytes, role: RoleName, name: str) -> Layout | None:
    """The one layout that ships whose header a file has; None when there is none.

    Raises:
        InputError: the file has the headers of several.
    """
    fits = [layout for layout, _ in _with_headers(role) if find_header(data, layout)]
    if len(fits) > 1:
        ids = " and ".join(layout.layout_id for layout in fits)
        raise InputError(
            f"{name}: the header fits several layouts: {ids}",
            hint=f"say which it is: --layout {fits[0].layout_id}",
        )
    return fits[0] if fits else None


def _with_headers(role: RoleName) -> Iterator[tuple[Layout, Separated]]:
    """The layouts that ship whose files have a header."""
    for layout in shipped(role):
        if isinstance(layout.file, Separated) and layout.file.header:
            yield layout, layout.file


def _refuse_another_encoding(data: bytes, role: RoleName, name: str) -> None:
    """Refuses a file that has a layout's header, in another encoding than the layout's."""
    for layout, file in _with_headers(role):
        for encoding, called in CALLED.items():
            if encoding != file.encoding and find_header(data, layout, encoding):
                expected = CALLED[file.encoding]
                raise InputError(
                    f"{name}: this is the header of layout {layout.layout_id}, but in {called}, "
                    f"not in {expected}",
                    hint=f"have it delivered in {expected}, or copy the layout and change its "
                    f"encoding: mynapoint layouts {layout.layout_id}",
                )


def _nearest(data: bytes, role: RoleName) -> str:
    """A hint: the layout whose header comes nearest."""
    found = []
    for layout, file in _with_headers(role):
        missing = nearest_header(data, layout)
        has = 1 - len(missing) / len(file.header)
        found.append((has, layout.layout_id, missing))
    has, layout_id, missing = max(found, default=(0.0, "", []))
    if has < _NEAR_ENOUGH:
        return "for a provider's own form write a layout: mynapoint layout new FILE"
    return f"of the layouts {layout_id} is the nearest, it would need {', '.join(missing)}"

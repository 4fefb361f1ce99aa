"""How a delivered file is written: as was said, or as its header shows."""

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from engine.errors import InputError
from engine.io.delivered.byte_stream import MAX_RECORD_BYTES, TextForm, read_fully
from engine.io.delivered.csv_header import canonical_columns, read_header
from engine.io.delivered.deliveries import Delivered, HashingFile, open_file
from engine.io.delivered.encodings import CALLED, is_utf_16, not_text
from engine.io.delivered.kinds import refuse_other_kinds
from engine.io.delivered.provider_header import find_header, in_its_encoding, nearest_header
from engine.io.delivered.unpacking import PACKED_BADLY, badly_packed, unpacked
from engine.layouts.catalogue import shipped
from engine.layouts.model import Fixed, Layout, Separated
from engine.layouts.parameters import Described, describe
from engine.records import RoleName

_NEAR_ENOUGH: Final = 0.5


class Beginning(NamedTuple):
    """As much of a file, unpacked, as a header may take, and what it is made from."""

    data: bytes
    form: TextForm


def beginning_of(delivered: Delivered, written: Separated | Fixed | None = None) -> Beginning:
    """A file's beginning, in the form that a layout has ``written`` where it may be any.

    Raises:
        InputError: it cannot be opened or unpacked, or is of another kind.
    """
    with open_file(delivered) as file:
        try:
            stream = unpacked(HashingFile(file), delivered, written)
            data = read_fully(stream, MAX_RECORD_BYTES)
        except PACKED_BADLY as error:
            raise badly_packed(delivered.name, error) from error
    refuse_other_kinds(delivered.name, data)
    return Beginning(data, stream.form)


def recognised(
    delivered: Delivered, role: RoleName, required: tuple[str, ...], optional: tuple[str, ...]
) -> Described | None:
    """The layout of a file, with what it asks for; None for the canonical form.

    Raises:
        InputError: no header fits, or those of several layouts do; a parameter is missing.
    """
    written, name = delivered.written, delivered.name
    if written.layout is not None:
        described = describe(written.layout, written.parameters, name)
        file = described.layout.file
        if isinstance(file, Fixed) or len(file.encodings) < 2:
            return described
        begins = beginning_of(delivered, file)
        return replace(described, layout=_in_its_encoding(described.layout, begins))
    if written.canonical:
        return None
    begins = beginning_of(delivered)
    data = begins.data
    try:
        header, _ = read_header(io.BytesIO(data), name)
        canonical_columns(header, required, optional, name)
    except InputError as error:
        layout = layout_of(begins, role, name)
        if layout is None:
            no_text = not_text(name, data)
            if no_text is not None:
                raise no_text from error
            _refuse_another_encoding(begins, role, name)
            raise InputError(error.message, hint=f"{error.hint}; {_nearest(data, role)}") from error
    else:
        if begins.form == "utf-16":
            raise is_utf_16(name)
        return None
    asked = {key: value for key, value in written.parameters.items() if key in layout.parameters}
    return describe(_in_its_encoding(layout, begins), asked, name)


def layout_of(begins: Beginning, role: RoleName, name: str) -> Layout | None:
    """The one layout that ships whose header a file has; None when there is none.

    Raises:
        InputError: the file has the headers of several.
    """
    fits = [layout for layout, file in _with_headers(role) if _has_its_header(layout, file, begins)]
    if len(fits) > 1:
        ids = " and ".join(layout.layout_id for layout in fits)
        raise InputError(
            f"{name}: the header fits several layouts: {ids}",
            hint=f"say which it is: --layout {fits[0].layout_id}",
        )
    return fits[0] if fits else None


def _in_its_encoding(layout: Layout, begins: Beginning) -> Layout:
    """The layout in the encoding that the file has, if it is delivered as text."""
    return in_its_encoding(layout, begins.data) if begins.form == "bytes" else layout


def _has_its_header(layout: Layout, file: Separated, begins: Beginning) -> bool:
    """Whether a file has a layout's header, in one of the encodings that such files come in."""
    if begins.form != "bytes":
        return find_header(begins.data, _as_made(layout, file, begins.form)) is not None
    return any(find_header(begins.data, layout, encoding) for encoding in file.encodings)


def _as_made(layout: Layout, file: Separated, form: TextForm) -> Layout:
    """A layout of the text that is made of a workbook or of UTF-16 before its layout is known."""
    separator = "," if form == "workbook" else file.separator
    return replace(layout, file=replace(file, encoding="utf-8", separator=separator))


def _with_headers(role: RoleName) -> Iterator[tuple[Layout, Separated]]:
    """The layouts that ship whose files have a header."""
    for layout in shipped(role):
        if isinstance(layout.file, Separated) and layout.file.header:
            yield layout, layout.file


def _refuse_another_encoding(begins: Beginning, role: RoleName, name: str) -> None:
    """Refuses a file that has a layout's header, in another encoding than the layout's."""
    if begins.form != "bytes":
        return
    for layout, file in _with_headers(role):
        for encoding, called in CALLED.items():
            if encoding not in file.encodings and find_header(begins.data, layout, encoding):
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

"""A file of records of one length in parts, each with the first record that holds for its records.

Several files of a bank may have been joined: each begins with a first record of its own, whose
values hold up to the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from engine.errors import InputError
from engine.io.delivered.byte_stream import Stream
from engine.io.delivered.fixed_file import (
    FixedBlock,
    FixedFrame,
    fields_of,
    first_record,
)
from engine.io.delivered.section_lines import skip_of
from engine.io.delivered.sections import InForce, Sections
from engine.layouts.model import Fixed, Layout, Section

# What pads a file.
_NOTHING: Final = b"\x00\x1a \t"


def fixed_parts(
    layout: Layout, file: Fixed, name: str, stream: Stream
) -> Iterator[tuple[FixedBlock, Sections]]:
    """The parts of a file, below its first record.

    Raises:
        InputError: a record begins as the first does, and no section describes it; one that a
            section describes does not have the length of a record; or another of another length
            may have been one that lost bytes.
    """
    frame = FixedFrame(file, name, beginning_bytes=_beginning_bytes(layout, file))
    first = first_record(frame, stream)
    values = {} if first is None else fields_of(first, file)
    in_force = InForce(values)
    kind = b"" if first is None else _kind_of_record(first, file)
    beginnings = {
        section.line_begins.encode(file.encoding): section
        for section in layout.sections
        if section.line_begins is not None
    }
    ahead = 0 if first is None else 1
    begun, rows_begin, suspect, where = set[bytes](), set[bytes](), None, f"{name}: record"
    for block in frame.works(stream):
        at, reasons, below = list[int](), list[str](), [in_force]
        if kind:
            begun |= _beginnings(block, len(kind))
            known = (*beginnings, kind)
            suspect = _check_lengths(block, layout, begun, known, where, ahead, suspect)
        for place, section in _found(block, kind, beginnings):
            record = bytes(block.records[place])
            if section is None:
                raise InputError(
                    f"{name}: record {ahead + place + 1} begins as the first one does",
                    hint="records below it may mean something else; describe it with [[sections]] "
                    "of the layout, or have each file of the bank delivered on its own",
                )
            if len(record) != file.record_bytes:
                # Its fields may stand elsewhere, and the records below it would be read by them.
                raise InputError(
                    f"{name}: record {ahead + place + 1} holds for those below it and does not "
                    f"have {file.record_bytes} bytes, but {len(record)}",
                    hint="have the file delivered again, as it was made",
                )
            at.append(place)
            reasons.append(section.reason)
            if section.sets or (kind and record.startswith(kind)):
                # Another file begins: what was left out below the end of the one ahead ends here.
                in_force = replace(in_force, left_out=None)
            in_force = in_force.after(section, _values(record, section, file))
            below.append(in_force)
        sections = Sections(np.array(at, np.int64), tuple(reasons), tuple(below))
        if kind:
            _check_below_ends(block, sections, rows_begin, len(kind), where, ahead)
        yield block, sections
        ahead += len(block.records)


def _beginning_bytes(layout: Layout, file: Fixed) -> int:
    """How much of a record's beginning the layout's `line_begins` look at."""
    begins = (skip.line_begins.encode(file.encoding) for skip in layout.skips if skip.line_begins)
    return min(max(map(len, begins), default=0), file.record_bytes)


def _beginnings(block: FixedBlock, size: int, chosen: np.ndarray | None = None) -> set[bytes]:
    """How the records of the right length begin; ``chosen`` says which are looked at."""
    records = block.records
    if not isinstance(records, np.ndarray):
        numbers = range(len(records)) if chosen is None else np.flatnonzero(chosen)
        length = block.file.record_bytes
        return {records[n][:size] for n in numbers if len(records[n]) == length}
    begin = records[:, :size] if chosen is None else records[:, :size][chosen]
    if size == 1:
        # Twenty times as fast.
        return {bytes([byte]) for byte in np.flatnonzero(np.bincount(begin[:, 0])).tolist()}
    return {bytes(beginning) for beginning in np.unique(begin, axis=0)}


def _check_lengths(
    block: FixedBlock,
    layout: Layout,
    begun: set[bytes],
    known: tuple[bytes, ...],
    where: str,
    ahead: int,
    suspect: InputError | None,
) -> InputError | None:
    """Refuses a record of another length that may have been a first record: what stands below it
    would be read by the one before.

    It may where the layout knows several first records, or it begins as no other record does.
    Other rows that lost bytes are set aside alone, and so is a last record. ``known`` beginnings
    have checks of their own. ``suspect`` is of the parts ahead: the error for a record that none
    of the right length has followed yet.
    """
    records, file = block.records, block.file
    if isinstance(records, np.ndarray):
        if suspect is not None and len(records):
            raise suspect
        return None
    size = len(known[-1])
    for number, record in enumerate(records):
        if len(record) == file.record_bytes:
            if suspect is not None:
                raise suspect
        elif (
            record.strip(_NOTHING)
            and not record.startswith(known)
            and not skip_of(record.decode(file.encoding, "replace"), layout)
            and (layout.set_by_sections or record[:size] not in begun)
        ):
            suspect = InputError(
                f"{where} {ahead + number + 1} does not have {file.record_bytes} bytes, but "
                f"{len(record)}",
                hint="it may be the first record of another file, and hold for those below it; "
                "have the file delivered again, as it was made",
            )
    return suspect


def _check_below_ends(
    block: FixedBlock,
    sections: Sections,
    rows_begin: set[bytes],
    size: int,
    where: str,
    ahead: int,
) -> None:
    """Refuses a record below the end that begins as the rows do: the first record of another file
    is missing, or has lost bytes. ``rows_begin`` is how the rows above begin, by their first
    ``size`` bytes, and grows.
    """
    ended = np.array([section.left_out is not None for section in sections.in_force])
    is_below = ended[sections.of(np.arange(len(block.records)))]
    is_row = ~is_below
    is_below[sections.at], is_row[sections.at] = False, False
    rows_begin |= _beginnings(block, size, is_row)
    records = block.records
    for number in np.flatnonzero(is_below).tolist():
        record = bytes(records[number])
        if record.strip(_NOTHING) and record[:size] in rows_begin:
            raise InputError(
                f"{where} {ahead + number + 1} stands below the end of the file and begins as rows "
                "do",
                hint="the first record of another file seems to be missing, or has lost bytes; "
                "have the file delivered again, as it was made",
            )


def _kind_of_record(record: bytes, file: Fixed) -> bytes:
    """How a record shows that it is a first one: by the field at its beginning, if there is one."""
    lengths = [field.length for field in file.fields if field.start == 0]
    length = min(lengths, default=min(field.start for field in file.first))
    return record[:length]


def _found(
    block: FixedBlock, kind: bytes, beginnings: Mapping[bytes, Section]
) -> Iterator[tuple[int, Section | None]]:
    """The records that a section describes, or that begin as the first record does."""
    records = block.records
    wanted = [*beginnings, *([kind] if kind else [])]
    if isinstance(records, np.ndarray):
        found = np.zeros(len(records), np.bool_)
        for begins in wanted:
            bytes_of_it = np.frombuffer(begins, np.uint8)
            found |= (records[:, : len(begins)] == bytes_of_it).all(axis=1)
        places: Sequence[int] = np.flatnonzero(found).tolist()
    else:
        places = [n for n, record in enumerate(records) if record.startswith(tuple(wanted))]
    for place in places:
        record = bytes(records[place])
        section = next(
            (begun for text, begun in beginnings.items() if record.startswith(text)), None
        )
        yield place, section


def _values(record: bytes, section: Section, file: Fixed) -> Mapping[str, str]:
    values = fields_of(record, file)
    return {name: values[name] for name in section.sets}

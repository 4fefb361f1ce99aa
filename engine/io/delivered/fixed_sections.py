"""A file of records of one length in parts, each with the first record that holds for its records.

Several files of a bank may have been joined: each begins with a first record of its own, whose
values hold up to the next one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from engine.errors import InputError
from engine.io.delivered.byte_stream import Stream
from engine.io.delivered.fixed_file import (
    FixedBlock,
    FixedFrame,
    fields_of,
    first_record,
)
from engine.io.delivered.sections import InForce, Sections
from engine.layouts.model import Fixed, Layout, Section


def fixed_parts(
    layout: Layout, file: Fixed, name: str, stream: Stream
) -> Iterator[tuple[FixedBlock, Sections]]:
    """The parts of a file, below its first record.

    Raises:
        InputError: a record begins as the first does, and no section describes it; or one that a
            section describes does not have the length of a record.
    """
    frame = FixedFrame(file, name)
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
    for block in frame.works(stream):
        at, reasons, below = list[int](), list[str](), [in_force]
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
        yield block, Sections(np.array(at, np.int64), tuple(reasons), tuple(below))
        ahead += len(block.records)


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
        section = next((one for text, one in beginnings.items() if record.startswith(text)), None)
        yield place, section


def _values(record: bytes, section: Section, file: Fixed) -> Mapping[str, str]:
    values = fields_of(record, file)
    return {name: values[name] for name in section.sets}

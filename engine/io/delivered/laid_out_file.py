"""A delivered file that is read by its layout: its header is found, its records are cut, and each
part is laid out.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from engine.errors import InputError
from engine.io.delivered.byte_stream import (
    MAX_RECORD_BYTES,
    PACKED_BADLY,
    Stream,
    badly_packed,
    read_fully,
    text_bytes,
    unpacked,
)
from engine.io.delivered.csv_file import read_records
from engine.io.delivered.csv_framing import Dialect
from engine.io.delivered.deliveries import Delivered, HashingFile, Stretch, Work, open_file
from engine.io.delivered.fixed_file import FixedFrame, first_record
from engine.io.delivered.kinds import refuse_other_kinds
from engine.io.delivered.laid_out_work import LaidOutWork
from engine.io.delivered.numbered_work import numbered_works
from engine.io.delivered.provider_header import check_clear, find_header, no_such_header
from engine.layouts.model import Fixed, Separated
from engine.layouts.parameters import Described

_FIRST: Final = ""


@dataclass(frozen=True, slots=True)
class _Whole:
    """A file that is read from its beginning to its end."""

    delivered: Delivered
    described: Described

    def works(self) -> Iterator[Work]:
        return LaidOutFile(self.delivered, self.described).works()

    @property
    def text_bytes(self) -> int:
        return text_bytes(self.delivered)


@dataclass(slots=True)
class LaidOutFile:
    """A delivery while it is read by its layout.

    Attributes:
        sha256: known once the file was read to its end.
        is_cut: whether the last record lacks a line end; known at the same time.
    """

    delivered: Delivered
    described: Described
    sha256: str = ""
    is_cut: bool = False

    def stretches(self) -> Iterator[Stretch]:
        """The file as one stretch: its rows depend on others, or its header may stand anywhere.

        Raises:
            InputError: the file cannot be opened.
        """
        with open_file(self.delivered) as raw:
            self.sha256 = hashlib.file_digest(raw, "sha256").hexdigest()
        yield _Whole(self.delivered, self.described)

    def works(self) -> Iterator[Work]:
        """The file's parts, in the file's order.

        Raises:
            InputError: the file cannot be used; the work may raise it too.
        """
        with open_file(self.delivered) as raw:
            hashing = HashingFile(raw)
            try:
                stream = unpacked(hashing, self.delivered)
                parts = self._works(stream)
                yield from numbered_works(parts) if self._numbers else parts
                while hashing.read(1 << 20):
                    pass
            except PACKED_BADLY as error:
                raise badly_packed(self.delivered.name, error) from error
            self.sha256 = hashing.hexdigest()
            # A record of a fixed length shows by itself that it is whole.
            self.is_cut = stream.is_cut and isinstance(self.described.layout.file, Separated)

    @property
    def _numbers(self) -> bool:
        return self.described.layout.numbers_equal_rows

    def _works(self, stream: Stream) -> Iterator[LaidOutWork]:
        layout, name = self.described.layout, self.delivered.name
        if isinstance(layout.file, Fixed):
            frame = FixedFrame(layout.file, name)
            first = first_record(frame, stream)
            for block in frame.works(stream):
                yield LaidOutWork(block, self.described, first, name)
            return
        data = read_fully(stream, MAX_RECORD_BYTES)
        refuse_other_kinds(name, data)
        found = find_header(data, layout)
        if found is None:
            raise no_such_header(layout, data, name)
        for ahead, begins in layout.ahead.items():
            if not found.ahead.get(ahead):
                raise InputError(
                    f"{name}: no line ahead of the header begins with {begins}",
                    hint=f"layout {layout.layout_id} takes {ahead} from there; have the file "
                    "delivered whole",
                )
        check_clear(found, layout, name)
        columns = {used: found.names.index(used) for used in layout.used if used in found.names}
        if any(skip.line_begins for skip in layout.skips):
            columns[_FIRST] = 0
        dialect = Dialect(layout.file.separator, layout.file.encoding)
        # One field is read once, under one of its names.
        places = {str(place): place for place in columns.values()}
        names = {column: str(place) for column, place in columns.items()}
        works = read_records(found.rest, stream, places, len(found.names), name, dialect)
        for work in works:
            yield LaidOutWork(work, self.described, found.ahead, name, names)

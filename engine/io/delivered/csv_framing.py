"""Where the records of CSV bytes begin and end, by their quotes and line ends alone: so a file is
cut into blocks of whole records before anything is decoded.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from engine.io.delivered.byte_stream import MAX_RECORD_BYTES, Stream, read_fully, record_too_long
from engine.io.delivered.encodings import BOM

BLOCK_BYTES: Final = 16 << 20
_MAX_BLOCK_LINES: Final = 400_000
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a CSV file's bytes are to be read.

    No character of several bytes may contain the separator, a quote or a line end: so a file can be
    framed before it is decoded.

    Attributes:
        encoding: as Python names it; columns of other encodings than UTF-8 stay bytes.
    """

    separator: str = ","
    encoding: str = "utf-8"


CANONICAL_DIALECT: Final = Dialect()


def without_marks(data: bytes) -> bytes:
    """Lines without the byte order marks that some begin with, where files were joined."""
    while data.startswith(BOM.encode()):
        data = data.removeprefix(BOM.encode())
    while (mark := b"\n" + BOM.encode()) in data:
        data = data.replace(mark, b"\n")
    return data


def blocks(
    rest: bytes, stream: Stream, name: str, dialect: Dialect
) -> Iterator[tuple[bytes, bool, Stream | None]]:
    """Blocks of whole records, each as (bytes, whether there are quotes, None).

    If quotes or line ends are irregular, the last one is (bytes, True, stream): the irregular
    records start in the bytes and go on in the stream.
    """
    carry, ended = rest, False
    while not ended:
        chunk = read_fully(stream, BLOCK_BYTES)
        ended = not chunk
        data = carry + chunk
        if ended:
            if not data:
                return
            if not data.endswith(b"\n"):
                data += b"\n"
        quotes = _quotes_in(data)
        end = _last_end(data, quotes, 0, len(data)) + 1
        if not _is_regular(data, quotes, ord(dialect.separator)) or (ended and end < len(data)):
            yield data, True, stream
            return
        if _has_a_long_record(data, quotes, end):
            raise record_too_long(name)
        for block in _of_few_lines(data[:end], quotes):
            yield block, quotes.size > 0, None
        carry = data[end:]


def _of_few_lines(data: bytes, quotes: Places) -> Iterator[bytes]:
    """The block, cut into smaller ones if its lines are very short: each line costs memory, too."""
    if not data:
        return
    if data.count(b"\n") > _MAX_BLOCK_LINES:
        end = _last_end(data, quotes, 0, len(data) // 2) + 1
        if end:
            yield from _of_few_lines(data[:end], quotes)
            yield from _of_few_lines(data[end:], quotes[np.searchsorted(quotes, end) :] - end)
            return
    yield data


def _quotes_in(data: bytes) -> Places:
    if b'"' not in data:
        return np.empty(0, np.int64)
    return np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 0x22)


def _last_end(data: bytes, quotes: Places, start: int, stop: int) -> int:
    """The last newline between two places that is not within quotes; -1 when there is none."""
    newline = data.rfind(b"\n", start, stop)
    while newline >= 0 and (before := int(np.searchsorted(quotes, newline))) % 2:
        newline = data.rfind(b"\n", start, int(quotes[before - 1]))
    return newline


def _has_a_long_record(data: bytes, quotes: Places, end: int) -> bool:
    """Whether a record, or the beginning of the last one, is longer than ``MAX_RECORD_BYTES``."""
    if len(data) - end > MAX_RECORD_BYTES:
        return True
    start = 0
    while end - start > MAX_RECORD_BYTES:
        newline = _last_end(data, quotes, start, start + MAX_RECORD_BYTES + 1)
        if newline < 0:
            return True
        start = newline + 1
    return False


def _is_regular(data: bytes, quotes: Places, separator: int) -> bool:
    """Whether lines end in LF or CRLF and all quotes stand as RFC 4180 has them."""
    view = np.frombuffer(data, dtype=np.uint8)
    returns = np.flatnonzero(view == 0x0D)
    if data.endswith(b"\r"):
        returns = returns[:-1]
    if (view[returns + 1] != 0x0A).any():
        return False
    return quotes.size == 0 or _quotes_are_regular(view, quotes, separator)


def _quotes_are_regular(view: np.ndarray, quotes: Places, separator: int) -> bool:
    """Each opening quote begins a field, each closing one ends it; ``""`` inside is one of each."""
    opening, closing = quotes[::2], quotes[1::2]
    before = view[np.maximum(opening - 1, 0)]
    begins = (opening == 0) | (before == separator) | (before == 0x0A)
    begins[1:] |= opening[1:] == closing[: opening.size - 1] + 1
    after = view[np.minimum(closing + 1, view.size - 1)]
    ends = (after == separator) | (after == 0x0A) | (after == 0x0D) | (closing == view.size - 1)
    ends[: opening.size - 1] |= closing[: opening.size - 1] + 1 == opening[1:]
    return bool(begins.all() and ends.all())


def records_as_they_came(data: bytes, rows: Sequence[int], *, quoted: bool) -> list[bytes]:
    """The bytes of some records, without their line ends."""
    starts, ends = bounds(data, quoted=quoted)
    return [data[starts[row] : ends[row]].removesuffix(b"\r") for row in rows]


def without_records(data: bytes, rows: Sequence[int], *, quoted: bool) -> bytes:
    """The records' bytes without those of some rows, ascending."""
    starts, ends = bounds(data, quoted=quoted)
    parts, last = [], 0
    for row in rows:
        parts.append(data[last : starts[row]])
        last = ends[row] + 1
    return b"".join([*parts, data[last:]])


def bounds(data: bytes, *, quoted: bool) -> tuple[Places, Places]:
    """Where each record begins, and the newline at its end; empty lines are not records."""
    view = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(view == 0x0A)
    if quoted:
        quotes = np.flatnonzero(view == 0x22)
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
    starts = np.concatenate([[0], ends[:-1] + 1])
    length = ends - starts
    filled = ~((length == 0) | ((length == 1) & (view[starts] == 0x0D)))
    return starts[filled], ends[filled]

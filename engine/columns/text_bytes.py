"""The bytes of a column of texts, looked at all at once."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]

_NUMBERS: Final = {8: np.uint64, 4: np.uint32, 2: np.uint16, 1: np.uint8}


def bytes_of(texts: pa.Array) -> tuple[npt.NDArray[np.integer], Bytes]:
    """Where each text ends, after where the first begins, and the bytes in which they lie."""
    kind: type[np.integer] = np.int64 if pa.types.is_large_string(texts.type) else np.int32
    _, offsets, data = texts.buffers()
    if data is None or len(texts) == 0:
        return np.zeros(len(texts) + 1, kind), np.empty(0, np.uint8)
    ends = np.frombuffer(offsets, kind)[texts.offset : texts.offset + len(texts) + 1]
    return ends, np.frombuffer(data, np.uint8)


def is_ascii(texts: pa.Array) -> bool:
    """Whether all bytes are."""
    ends, data = bytes_of(texts)
    return bool(data[ends[0] : ends[-1]].max(initial=0) < 0x80)


def of_one_width(texts: pa.Array) -> Bytes | None:
    """A row of bytes for each text; None if they are not of one width, or some are missing."""
    ends, data = bytes_of(texts)
    if texts.null_count or len(texts) == 0 or data.size == 0:
        return None
    width = int(ends[1] - ends[0])
    if (np.diff(ends) != width).any():
        return None
    return data[ends[0] : ends[-1]].reshape(len(texts), width)


def copy_bytes(source: Bytes, start: int, target: Bytes, to: int, count: int) -> None:
    """Copies ``count`` bytes of every row, using the widest integer types that fit: much faster
    than byte by byte.
    """
    while count:
        size = next(size for size in _NUMBERS if size <= count)
        _as_numbers(target, to, size)[:] = _as_numbers(source, start, size)
        start, to, count = start + size, to + size, count - size


def _as_numbers(rows: Bytes, place: int, size: int) -> npt.NDArray[np.unsignedinteger]:
    return np.ndarray(len(rows), _NUMBERS[size], rows, place, (rows.strides[0],))


def side_by_side(parts: Sequence[Bytes], join: bytes) -> pa.Array:
    """Texts of one width, joined; a single row stands for all."""
    rows = max(map(len, parts))
    width = sum(part.shape[1] for part in parts) + len(join) * (len(parts) - 1)
    joined = np.empty((rows, width), np.uint8)
    end = 0
    for number, part in enumerate(parts):
        if number:
            joined[:, end : end + len(join)] = np.frombuffer(join, np.uint8)
            end += len(join)
        if len(part) == rows:
            copy_bytes(part, 0, joined, end, part.shape[1])
        else:
            joined[:, end : end + part.shape[1]] = part
        end += part.shape[1]
    ends = np.arange(rows + 1, dtype=np.int64) * width
    return pa.LargeStringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(joined))

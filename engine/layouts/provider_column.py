"""A column of a provider's file: its cells become texts when, and as far as, they are asked for."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns.text_bytes import Bytes, bytes_of, is_ascii, of_one_width
from engine.records import BLANKS

_SAMPLED: Final = 1024
_FIRST_OF_BLANKS: Final = [blank.encode()[0] for blank in BLANKS]
_LAST_OF_BLANKS: Final = [blank.encode()[-1] for blank in BLANKS]

# Names that no layout can give a column: a record's first cell, and the kind that a section sets.
FIRST_CELL: Final = ""
KIND_BELOW: Final = "\x00kind"

Places = npt.NDArray[np.int64]

# ="0012" and '0012
_GUARDED: Final = (r'^="(.*)"$', r"^'([0-9A-Za-z].*)$")


_MARKS: Final = (b"+", b"=", b"'", b"#", b".")


class ProviderColumn:
    """A provider's column: trimmed texts, null where there is nothing.

    A conversion is done once per distinct text, where a column has few of them.

    Attributes:
        cells: the texts as they came, or their bytes in the file's encoding.
        encoding: of bytes.
        empty: texts that mean nothing.
        unwrap: whether texts lose the guard that keeps a spreadsheet from rounding them.
    """

    def __init__(
        self,
        cells: pa.Array,
        encoding: str = "utf-8",
        empty: Sequence[str] = (),
        *,
        unwrap: bool = False,
    ) -> None:
        self.cells, self.encoding, self.empty, self.unwrap = cells, encoding, empty, unwrap

    @classmethod
    def of_chunks(
        cls, cells: pa.ChunkedArray, encoding: str, empty: Sequence[str], *, unwrap: bool = False
    ) -> "ProviderColumn":
        """A column from a table's."""
        array = cells.combine_chunks()
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
        return cls(array, encoding, empty, unwrap=unwrap)

    @classmethod
    def of_texts(cls, texts: pl.Series) -> "ProviderColumn":
        """A column of texts that are there already."""
        column = cls(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        # What is computed once is known before.
        column.__dict__["texts"] = texts
        return column

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def texts(self) -> pl.Series:
        """Each row's.

        Raises:
            UnicodeDecodeError: a cell is not in the encoding.
        """
        if pa.types.is_binary(self.cells.type) and not is_ascii(self.cells) and self._few:
            values, codes = self._few
            return values.gather(codes)
        return self._read(self.cells)

    def map(self, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
        """Of each row what a function makes of its text.

        Raises:
            UnicodeDecodeError: a cell is not in the encoding.
        """
        if self._few is None:
            return function(self.texts)
        values, codes = self._few
        return function(values).gather(codes)

    @property
    def distinct(self) -> tuple[pl.Series, pl.Series | None]:
        """The distinct texts and, for each row, its index into them; None if every row has its own.

        Raises:
            UnicodeDecodeError: a cell is not in the encoding.
        """
        return self._few or (self.texts, None)

    @property
    def has_few(self) -> bool:
        """Whether values repeat: on average at least two rows per distinct value."""
        return self._few is not None

    @property
    def of_one_width(self) -> Bytes | None:
        """The bytes of each row's text, if they are ASCII, have one width, and all mean something.

        A single row stands for all.
        """
        written = of_one_width(self.cells)
        if (
            written is None
            or self.empty
            or self.unwrap
            or written.min() <= 0x20
            or written.max() >= 0x80
        ):
            return None
        return written

    @cached_property
    def has_marks(self) -> bool:
        """Whether a text may have one of the marks that spreadsheets leave in IDs: any character
        that is not ASCII counts as one.
        """
        ends, data = bytes_of(self.cells)
        content = data[ends[0] : ends[-1]]
        if content.max(initial=0) >= 0x80:
            return True
        whole = content.tobytes()
        return any(mark in whole for mark in _MARKS)

    def take(self, places: Places) -> "ProviderColumn":
        """Some of the rows."""
        cells = self.cells.take(pa.array(places))
        return ProviderColumn(cells, self.encoding, self.empty, unwrap=self.unwrap)

    @cached_property
    def _few(self) -> tuple[pl.Series, pl.Series] | None:
        if not _has_few_values(self.cells):
            return None
        encoded = self.cells.dictionary_encode()
        codes = pl.Series(pl.from_arrow(encoded.indices.cast(pa.uint32())))
        return self._read(encoded.dictionary), codes

    def _read(self, cells: pa.Array) -> pl.Series:
        decoded = _decoded(cells, self.encoding)
        texts = pl.Series(pl.from_arrow(decoded), dtype=pl.String)
        if _may_be_untrimmed(decoded):
            texts = texts.str.strip_chars(BLANKS)
            nothing = texts.str.len_bytes() == 0
        else:
            ends, _ = bytes_of(decoded)
            nothing = pl.Series(ends[1:] == ends[:-1])
        if self.unwrap:
            for guarded in _GUARDED:
                texts = texts.str.replace(guarded, "${1}")
            nothing |= texts.str.len_bytes() == 0
        if self.empty:
            nothing |= texts.is_in(self.empty)
        return texts.set(nothing, None) if nothing.any() else texts


class _Constant(ProviderColumn):
    """A column with one value."""

    def __init__(self, value: str | None, rows: int) -> None:
        super().__init__(pa.nulls(rows, pa.string()))
        self._value = value
        single = pl.Series([value], dtype=pl.String)
        self._few = single, pl.zeros(rows, pl.UInt32, eager=True)
        self.texts = single.new_from_index(0, rows)

    @cached_property
    def has_marks(self) -> bool:
        value = (self._value or "").encode()
        return not value.isascii() or any(mark in value for mark in _MARKS)

    @property
    def of_one_width(self) -> Bytes | None:
        if self._value is None:
            return None
        return np.frombuffer(self._value.encode(), np.uint8).reshape(1, -1)

    def take(self, places: Places) -> ProviderColumn:
        return _Constant(self._value, len(places))


def same_for_all(value: str | None, rows: int) -> ProviderColumn:
    """A column with one value."""
    return _Constant(value, rows)


def some_for_each(values: Sequence[str | None], codes: Places) -> ProviderColumn:
    """A column with few values; ``codes`` says which of them each row has."""
    if len(values) == 1:
        return same_for_all(values[0], len(codes))
    texts = pl.Series(values, dtype=pl.String).gather(codes)
    return ProviderColumn.of_texts(texts)


def _has_few_values(array: pa.Array) -> bool:
    """Whether a value stands in two rows or more, as a rule; judged by how often some meet."""
    rows = len(array)
    size = min(rows, _SAMPLED)
    if size == 0:
        return False
    sample = array.take(pa.array(np.linspace(0, rows - 1, size).astype(np.int64)))
    met = size - len(pc.unique(sample))
    return size * size <= met * rows


def _may_be_untrimmed(texts: pa.Array) -> bool:
    """Whether a text may begin or end with a blank, by bytes that U+3000 and U+FEFF have, too."""
    ends, data = bytes_of(texts)
    content = data[ends[0] : ends[-1]]
    if content.min(initial=0xFF) > 0x20 and content.max(initial=0) < 0xE3:
        return False
    filled = ends[1:] > ends[:-1]
    first, last = data[ends[:-1][filled]], data[ends[1:][filled] - 1]
    return bool(np.isin(first, _FIRST_OF_BLANKS).any() or np.isin(last, _LAST_OF_BLANKS).any())


def _decoded(array: pa.Array, encoding: str) -> pa.Array:
    if not pa.types.is_binary(array.type):
        return array
    if is_ascii(array):
        # Without a second look at whether it is UTF-8.
        return pa.Array.from_buffers(pa.string(), len(array), array.buffers(), offset=array.offset)
    whole = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
    joined = pc.binary_join(whole, pa.scalar(b"\n", pa.binary()))[0].as_py().decode(encoding)
    text = joined.encode()
    ends = np.append(np.flatnonzero(np.frombuffer(text, np.uint8) == 0x0A), len(text))
    if ends.size != len(array):
        # A text has several lines.
        return pa.array([text.decode(encoding) for text in array.to_pylist()], pa.string())
    # Each text ends where a line does; the line ends themselves are left out.
    lengths = np.diff(ends, prepend=-1) - 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    texts = text.replace(b"\n", b"")
    return pa.StringArray.from_buffers(len(array), pa.py_buffer(offsets), pa.py_buffer(texts))

"""A block of whole CSV records in which every quote is regular: pyarrow reads it, and records with
too few or too many fields are set aside.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from engine.errors import InputError
from engine.io.delivered.csv_framing import (
    CANONICAL_DIALECT,
    Dialect,
    bounds,
    records_as_they_came,
    without_records,
)
from engine.io.delivered.deliveries import Batch, Ragged
from engine.io.delivered.encodings import check_utf8
from engine.reading.individual_number import SAMPLED_RECORDS

_SAMPLED_BYTES: Final = 1 << 18
_TAIL_BYTES: Final = 1 << 16
_IN_ASCII: Final = bytes(byte if byte < 0x80 else ord("?") for byte in range(256))


@dataclass(frozen=True, slots=True)
class CsvBlock:
    """Whole records, in which each quote stands where RFC 4180 allows it."""

    data: bytes
    quoted: bool
    fields: int
    columns: dict[str, int]
    name: str
    dialect: Dialect

    def read(self) -> Batch:
        if self._is_utf8:
            check_utf8(self.data, self.name)
        ragged: list[int] = []

        def set_aside(row: pa_csv.InvalidRow) -> str:
            ragged.append(row.number - 1)
            return "skip"

        table = self._table(self.data, set_aside if self._is_utf8 else None)
        if table is None:
            # Separators, quotes and line ends alone show which records are ragged.
            self._table(self.data.translate(_IN_ASCII), set_aside)
            table = self._table(without_records(self.data, ragged, quoted=self.quoted), None)
            assert table is not None
        records = table.num_rows + len(ragged)
        places = np.delete(np.arange(records), ragged)
        texts = self._raw(ragged) if ragged else []
        raggeds = tuple(map(Ragged, ragged, texts))
        return Batch(table, records, places, raggeds, self._raw, sample=self._sample)

    @property
    def _sample(self) -> list[str]:
        lines = self.data[:_SAMPLED_BYTES].decode(self.dialect.encoding, "replace").split("\n")
        return lines[:SAMPLED_RECORDS]

    def read_some(self, places: Sequence[int]) -> Batch:
        lines = b"".join(raw + b"\n" for raw in self._records(places))
        return replace(self, data=lines).read()

    def last_records(self) -> list[str]:
        """Some of its last records as they came; none if these are very long."""
        tail = self.data[-_TAIL_BYTES:]
        # An even number of quotes stands behind the end of a record.
        if len(tail) < len(self.data):
            end = tail.find(b"\n")
            while end >= 0 and tail.count(b'"', end) % 2:
                end = tail.find(b"\n", end + 1)
            tail = tail[end + 1 :]
        starts, ends = bounds(tail, quoted=self.quoted)
        encoding = self.dialect.encoding
        return [
            tail[start:end].removesuffix(b"\r").decode(encoding, "replace")
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]

    def with_records(self, lines: Mapping[int, str], separator: str) -> "CsvBlock":
        """The same with other lines in the places of some records."""
        assert separator == self.dialect.separator
        starts, ends = bounds(self.data, quoted=self.quoted)
        pieces, last = [], 0
        for place, line in sorted(lines.items()):
            pieces += [self.data[last : starts[place]], line.encode(self.dialect.encoding)]
            last = ends[place]
        return replace(self, data=b"".join([*pieces, self.data[last:]]))

    @property
    def _is_utf8(self) -> bool:
        return self.dialect.encoding == CANONICAL_DIALECT.encoding

    def _table(
        self, data: bytes, set_aside: Callable[[pa_csv.InvalidRow], str] | None
    ) -> pa.Table | None:
        """The parsed records; None if some are ragged and no handler was given.

        pyarrow hands a ragged record to the handler as text, so its bytes must be UTF-8 then.
        """
        if data[:1] in (b"", b"\r", b"\n") and not data.strip(b"\r\n"):
            return pa.table({column: pa.array([], pa.string()) for column in self.columns})
        cell = pa.string() if set_aside else pa.binary()
        names = [str(place) for place in range(self.fields)]
        wanted = [str(place) for place in self.columns.values()]
        try:
            table = pa_csv.read_csv(
                pa.BufferReader(data),
                read_options=pa_csv.ReadOptions(
                    use_threads=False, column_names=names, block_size=len(data) + 1
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.dialect.separator,
                    newlines_in_values=self.quoted,
                    invalid_row_handler=set_aside,
                ),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=wanted,
                    column_types=dict.fromkeys(wanted, cell),
                    strings_can_be_null=False,
                    quoted_strings_can_be_null=False,
                    check_utf8=False,
                ),
            )
        except pa.ArrowInvalid as error:
            if set_aside is None:
                return None
            raise InputError(
                f"{self.name}: the file cannot be read as CSV: {str(error).splitlines()[0]}",
                hint="have the file delivered again; nothing was booked",
            ) from error
        return table.rename_columns(list(self.columns))

    def _raw(self, rows: Sequence[int], /) -> list[str]:
        encoding = self.dialect.encoding
        return [record.decode(encoding, errors="replace") for record in self._records(rows)]

    def _records(self, rows: Sequence[int]) -> list[bytes]:
        return records_as_they_came(self.data, rows, quoted=self.quoted)

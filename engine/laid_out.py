"""A provider's columns become the canonical ones, as its layout says: whole columns at a time.

What a layout cannot read becomes what no canonical column can hold, so that reading the
canonical form finds it at fault, by one set of rules: an amount `?…`, a word `?…`, an ID with
U+0000, an instant and a day beyond all years.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.hashing import Hashes, hash_text
from engine.layout import Dates, Described, Part, Separated, Skip, Source
from engine.records import MAX_AMOUNT_YEN, MIN_AMOUNT_YEN
from engine.written_amounts import UNREADABLE, Amounts, read_amounts
from engine.written_dates import read_dates, read_plain_dates

_BLANKS: Final = " \t\u3000"
_UNREADABLE_ID: Final = "\x00"
_BEYOND_ALL_YEARS_US: Final = 10**18
_BEYOND_ALL_YEARS_DAYS: Final = 10**7
_CONTROLS: Final = r"[\x00-\x1F\x7F]"
_EQUAL_ROWS_SEED: Final = 7
_SAMPLED: Final = 4096
_WORDS: Final = ("kind", "basis")

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Column:
    """A provider's column: trimmed texts, null where there is nothing.

    Attributes:
        values: of each row; or, with ``codes``, the unlike ones, and ``codes`` says whose is whose.
        cells: the texts as they came, when there are no ``codes``.
    """

    values: pl.Series
    codes: pl.Series | None
    cells: pa.Array | None = None

    def map(self, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
        """Of each row what a function makes of its text; unlike texts are looked at once."""
        made = function(self.values)
        return made if self.codes is None else made.gather(self.codes)

    @property
    def texts(self) -> pl.Series:
        """Each row's."""
        return self.map(lambda values: values)


def same_for_all(value: str | None, rows: int) -> Column:
    """A column with one value."""
    return Column(pl.Series([value], dtype=pl.String), pl.zeros(rows, pl.UInt32, eager=True))


def column_of(cells: pa.ChunkedArray, encoding: str, empty: Sequence[str]) -> Column:
    """A column from its cells, texts or bytes in some encoding.

    Raises:
        UnicodeDecodeError: a cell is not in the encoding.
    """
    array = cells.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    codes = None
    if _has_few_values(array):
        encoded = array.dictionary_encode()
        array = encoded.dictionary
        codes = pl.Series(pl.from_arrow(encoded.indices.cast(pa.uint32())))
    array = _decoded(array, encoding)
    values = pl.Series(pl.from_arrow(array), dtype=pl.String)
    if _may_be_untrimmed(array):
        values = values.str.strip_chars(_BLANKS)
    nothing = values.str.len_bytes() == 0
    meant = values.is_in(empty) if empty else None
    if meant is not None:
        nothing |= meant
    values = values.set(nothing, None) if nothing.any() else values
    return Column(values, codes, array if codes is None else None)


def _has_few_values(array: pa.Array) -> bool:
    """Whether a value stands in two rows or more, as a rule; judged by how often some meet."""
    rows = len(array)
    size = min(rows, _SAMPLED)
    if size == 0:
        return False
    sample = array.take(pa.array(np.linspace(0, rows - 1, size).astype(np.int64)))
    met = size - len(pc.unique(sample))
    return size * size <= met * rows


def _may_be_untrimmed(array: pa.Array) -> bool:
    """Whether a text may begin or end with a blank, by the bytes that U+3000 has, too."""
    _, offsets, data = array.buffers()
    if data is None or len(array) == 0:
        return False
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    filled = ends[1:] > ends[:-1]
    raw = np.frombuffer(data, np.uint8)
    first, last = raw[ends[:-1][filled]], raw[ends[1:][filled] - 1]
    return bool(
        ((first == 0x20) | (first == 0x09) | (first == 0xE3)).any()
        or ((last == 0x20) | (last == 0x09) | (last == 0x80)).any()
    )


def _decoded(array: pa.Array, encoding: str) -> pa.Array:
    if not pa.types.is_binary(array.type):
        return array
    _, _, data = array.buffers()
    if data is None or data.to_pybytes().isascii():
        return array.cast(pa.string())
    whole = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
    joined = pc.binary_join(whole, pa.scalar(b"\n", pa.binary()))[0].as_py().decode(encoding)
    text = joined.encode()
    ends = np.append(np.flatnonzero(np.frombuffer(text, np.uint8) == 0x0A), len(text))
    if ends.size != len(array):
        # A text has several lines.
        return pa.array([one.decode(encoding) for one in array.to_pylist()], pa.string())
    # Each text ends where a line does; the line ends themselves are left out.
    lengths = np.diff(ends, prepend=-1) - 1
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    texts = text.replace(b"\n", b"")
    return pa.StringArray.from_buffers(len(array), pa.py_buffer(offsets), pa.py_buffer(texts))


@dataclass(slots=True)
class EqualRows:
    """Numbers rows of one ID in a file's order, part by part.

    An ID is known by 64 bits of hash: among the rows that a file may have, two unlike ones are
    taken for one with a chance below 10^-6, and are then numbered together.
    """

    _hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    _counts: Places = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return self._hashes.size

    def numbers(self, ids: pl.Series) -> Places:
        """The next rows' numbers, from 1."""
        hashes = hash_text(ids, _EQUAL_ROWS_SEED)
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]) != 0)
        counts = np.diff(begins, append=ordered.size)
        unlike = ordered[begins]
        at = np.minimum(np.searchsorted(self._hashes, unlike), max(self._hashes.size - 1, 0))
        known = self._hashes[at] == unlike if self._hashes.size else np.zeros(len(at), np.bool_)
        before = np.where(known, self._counts[at], 0) if self._hashes.size else 0 * counts
        numbers = np.empty(ordered.size, np.int64)
        numbers[order] = np.arange(ordered.size) + np.repeat(before - begins, counts) + 1
        self._counts[at[known]] += counts[known]
        merged = np.concatenate([self._hashes, unlike[~known]])
        sorting = np.argsort(merged)
        self._hashes = merged[sorting]
        self._counts = np.concatenate([self._counts, counts[~known]])[sorting]
        return numbers


@dataclass(frozen=True, slots=True)
class CanonicalRows:
    """Rows in the canonical form.

    Attributes:
        table: canonical columns of the rows that stay, as text, times and days typed.
        kept: the places of these rows among all.
        skipped: by reason, how many rows were left out and their yen, where it can be read.
    """

    table: pl.DataFrame
    kept: Places
    skipped: dict[str, tuple[int, int]]


def lay_out(
    described: Described,
    columns: Mapping[str, Column],
    rows: int,
    equal_rows: EqualRows | None = None,
) -> CanonicalRows:
    """Rows of a provider's file in the canonical form.

    Args:
        described: the file's layout, and what was said of it.
        rows: how many there are.
        columns: by name, those that the layout uses, ahead's and parameters' included; under the
            empty name the file's first, if a record's beginning is asked for.
        equal_rows: what numbers equal rows, where the layout does.
    """
    made = _Making(described, columns, rows)
    table = made.all()
    reasons = _skip_reasons(described, columns, rows)
    if reasons is None:
        return CanonicalRows(_numbered(table, equal_rows), np.arange(rows), {})
    kept = reasons.is_null()
    skipped: dict[str, tuple[int, int]] = {}
    if "amount" in table.columns:
        digits = table["amount"].str.strip_chars_start("-")
        yen = digits.cast(pl.Int64, strict=False)
        yen = yen.set(~yen.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN).fill_null(value=False), 0)
    else:
        yen = pl.zeros(rows, pl.Int64, eager=True)
    left_out = pl.DataFrame({"reason": reasons, "yen": yen}).filter(~kept)
    for reason, count, total in (
        left_out.group_by("reason").agg(pl.len(), pl.col("yen").sum()).sort("reason").iter_rows()
    ):
        skipped[reason] = (count, total)
    return CanonicalRows(_numbered(table.filter(kept), equal_rows), np.flatnonzero(kept), skipped)


def _numbered(table: pl.DataFrame, equal_rows: EqualRows | None) -> pl.DataFrame:
    if equal_rows is None:
        return table
    numbers = pl.Series(equal_rows.numbers(table["transaction_id"])).cast(pl.String)
    return table.with_columns(pl.col("transaction_id") + "-" + numbers)


def _skip_reasons(
    described: Described, columns: Mapping[str, Column], rows: int
) -> pl.Series | None:
    """Why each row is left out, the first reason that holds; null where it stays."""
    skips = described.layout.skips
    if not skips:
        return None
    masks = pl.DataFrame(
        [_holds(skip, columns, rows).alias(str(number)) for number, skip in enumerate(skips)]
    )
    return masks.select(
        pl.coalesce(
            pl.when(str(number)).then(pl.lit(skip.reason)) for number, skip in enumerate(skips)
        )
    ).to_series()


def _holds(skip: Skip, columns: Mapping[str, Column], rows: int) -> pl.Series:
    def test(values: pl.Series) -> pl.Series:
        if skip.filled is not None:
            return values.is_not_null() if skip.filled else values.is_null()
        if skip.begins is not None or skip.line_begins is not None:
            begins = skip.begins if skip.begins is not None else skip.line_begins
            assert begins is not None
            return values.str.starts_with(begins).fill_null(value=False)
        if skip.values:
            return values.is_in(skip.values).fill_null(value=False)
        return ~values.is_in(skip.other_than).fill_null(value=False)

    name = "" if skip.line_begins is not None else skip.column
    assert name is not None
    if name not in columns:
        return pl.repeat(value=False, n=rows, eager=True)
    return columns[name].map(test)


class _Making:
    """The canonical columns, in the order in which one needs another."""

    def __init__(self, described: Described, columns: Mapping[str, Column], rows: int) -> None:
        self._described, self._columns, self._rows = described, columns, rows
        self._sources = described.layout.columns
        self._refunds: pl.Series | None = None
        self._amounts_read: dict[str, Amounts] = {}
        self._read: dict[tuple[str, Dates], pl.Series] = {}

    def all(self) -> pl.DataFrame:
        made: dict[str, pl.Series] = {}
        if "amount" in self._sources:
            made["amount"], made["kind"] = self._amounts_and_kinds()
            self._refunds = made["kind"] == "refund"
        for name, source in self._sources.items():
            if name in made:
                continue
            if source.dates is not None:
                made[name] = self._times(source, source.dates, whole_days=name.endswith("_on"))
            else:
                made[name] = self._texts(name, source)
        return pl.DataFrame([made[name].alias(name) for name in self._sources])

    def at_fault(self, name: str, source: Source, code: str) -> dict[str, pl.Series]:
        """By what a column is made from, in which rows it is to blame for a fault of the column."""
        refunds = pl.repeat(value=False, n=self._rows, eager=True)
        if source.refund_parts:
            refunds = (self._amounts_and_kinds()[1] == "refund").fill_null(value=False)
        masks: dict[str, pl.Series] = {}
        for parts, applies in ((source.parts, ~refunds), (source.refund_parts, refunds)):
            for part in parts:
                text = self._columns[part.name].texts
                if code == "missing" and name != "amount":
                    blame = text.is_null()
                elif code == "malformed" and name != "amount":
                    blame = self._part(part).str.contains(_CONTROLS).fill_null(value=False)
                else:
                    blame = text.is_not_null()
                blame &= applies
                masks[part.name] = masks[part.name] | blame if part.name in masks else blame
        return masks

    def _amounts_and_kinds(self) -> tuple[pl.Series, pl.Series]:
        kind = self._sources["kind"]
        parts = [part.name for part in self._sources["amount"].parts]
        amounts = {name: self._amounts(name) for name in parts}
        asked = parts if len(parts) > 1 else [name for name in parts if name in kind.by_column]
        filled = {name: _filled(amounts[name].digits) for name in asked}
        amount = _the_one_filled(list(amounts.values()), list(filled.values()))
        positive, negative = kind.by_sign
        kinds = self._texts("kind", kind)
        frame = pl.DataFrame(
            [kinds.alias("kind"), amount.negative.alias("negative"), amount.digits.alias("digits")]
            + [filled[name].alias(f"filled {name}") for name in kind.by_column]
        )
        signed = pl.when("negative").then(pl.lit("-") + pl.col("digits")).otherwise("digits")
        made = pl.col("kind")
        readable = pl.col("digits").is_not_null() & (pl.col("digits") != UNREADABLE)
        if positive is not None:
            made = pl.when(readable & ~pl.col("negative")).then(pl.lit(positive)).otherwise(made)
        if negative is not None:
            made = pl.when(readable & pl.col("negative")).then(pl.lit(negative)).otherwise(made)
            signed = pl.col("digits")
        for name, word in kind.by_column.items():
            made = pl.when(f"filled {name}").then(pl.lit(word)).otherwise(made)
        made_frame = frame.select(amount=signed, kind=made)
        return made_frame["amount"], made_frame["kind"]

    def _amounts(self, name: str) -> Amounts:
        column, read = self._columns[name], self._read_amounts(name)
        if column.codes is None:
            return read
        return Amounts(read.digits.gather(column.codes), read.negative.gather(column.codes))

    def _read_amounts(self, name: str) -> Amounts:
        """A column's values as amounts, once for all that is made of them."""
        if name not in self._amounts_read:
            self._amounts_read[name] = read_amounts(self._columns[name].values)
        return self._amounts_read[name]

    def _texts(self, name: str, source: Source) -> pl.Series:
        if source.constant is not None:
            return pl.repeat(source.constant, self._rows, eager=True)
        made = self._joined(source.parts, source.join) if source.parts else None
        if source.words is not None:
            words = source.words
            if len(source.parts) == 1 and _is_plain(source.parts[0]):
                column = self._columns[source.parts[0].name]
                made = column.map(lambda values: _mapped(name, values, words))
            elif made is not None:
                made = _mapped(name, made, words)
        if made is None:
            made = pl.repeat(None, self._rows, dtype=pl.String, eager=True)
        if source.refund_parts and self._refunds is not None and self._refunds.any():
            instead = self._joined(source.refund_parts, source.join)
            made = (
                pl.DataFrame({"a": made, "b": instead, "refund": self._refunds})
                .select(pl.when("refund").then("b").otherwise("a"))
                .to_series()
            )
        return made

    def _joined(self, parts: Sequence[Part], join: str) -> pl.Series:
        texts = [self._part(part).alias(str(number)) for number, part in enumerate(parts)]
        if len(texts) == 1:
            return texts[0]
        return pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=join)).to_series()

    def _part(self, part: Part) -> pl.Series:
        column = self._columns[part.name]
        if part.amount:
            digits = _digits(self._read_amounts(part.name))
            return digits if column.codes is None else digits.gather(column.codes)
        if part.day is None:
            return column.texts
        dates, latest = part.day, self._latest(part.day)

        def day(values: pl.Series) -> pl.Series:
            return _days(read_dates(values, dates.forms, dates.era, latest), values)

        if column.cells is None:
            return column.map(day)
        return _days(self._instants(column, part.name, dates), column.values)

    def _instants(self, column: Column, name: str, dates: Dates) -> pl.Series:
        """A column of many values as instants, once for all that is made of them."""
        if (name, dates) not in self._read:
            assert column.cells is not None
            plain = read_plain_dates(column.cells, dates.forms[0])
            if plain is None:
                plain = read_dates(column.values, dates.forms, dates.era, self._latest(dates))
            self._read[name, dates] = plain
        return self._read[name, dates]

    def _latest(self, dates: Dates) -> dt.date | None:
        return None if dates.latest_by is None else self._described.day(dates.latest_by)

    def _times(self, source: Source, dates: Dates, *, whole_days: bool) -> pl.Series:
        latest = self._latest(dates)

        def read(values: pl.Series) -> pl.Series:
            return checked(read_dates(values, dates.forms, dates.era, latest), values)

        def checked(times: pl.Series, values: pl.Series) -> pl.Series:
            if whole_days:
                times = times.cast(pl.Date)
            beyond = _BEYOND_ALL_YEARS_DAYS if whole_days else _BEYOND_ALL_YEARS_US
            unreadable = times.is_null() & values.is_not_null()
            if not unreadable.any():
                return times
            return times.to_physical().set(unreadable, beyond).cast(times.dtype)

        if len(source.parts) == 1:
            name = source.parts[0].name
            column = self._columns[name]
            if column.cells is None:
                return column.map(read)
            return checked(self._instants(column, name, dates), column.values)
        return read(self._joined(source.parts, source.join))


def _is_plain(part: Part) -> bool:
    return part.day is None and not part.amount


def _mapped(name: str, values: pl.Series, words: Mapping[str, str]) -> pl.Series:
    if name == "method":
        return values.replace(words)
    mark = UNREADABLE if name in _WORDS else _UNREADABLE_ID
    mapped = values.replace_strict(words, default=None, return_dtype=pl.String)
    return mapped.set(mapped.is_null() & values.is_not_null(), mark)


def _days(instants: pl.Series, values: pl.Series) -> pl.Series:
    """Days as YYYYMMDD; of each day once, since there are few."""
    encoded = instants.cast(pl.Date).to_arrow().dictionary_encode()
    texts = pl.Series(pl.from_arrow(encoded.dictionary), dtype=pl.Date).dt.strftime("%Y%m%d")
    days = texts.gather(pl.Series(pl.from_arrow(encoded.indices)))
    return days.set(days.is_null() & values.is_not_null(), _UNREADABLE_ID)


def _digits(amounts: Amounts) -> pl.Series:
    signed = amounts.signed.str.replace(r"^(-?)0+([0-9])", "${1}${2}")
    return signed.set((signed == UNREADABLE).fill_null(value=False), _UNREADABLE_ID)


def _filled(digits: pl.Series) -> pl.Series:
    """Whether something other than zero is written."""
    return digits.str.contains("[^0]").fill_null(value=False)


def _the_one_filled(amounts: Sequence[Amounts], filled: Sequence[pl.Series]) -> Amounts:
    if len(amounts) == 1:
        return amounts[0]
    frame = pl.DataFrame(
        [one.digits.alias(f"d{n}") for n, one in enumerate(amounts)]
        + [one.negative.alias(f"n{n}") for n, one in enumerate(amounts)]
        + [one.alias(f"f{n}") for n, one in enumerate(filled)]
    )
    places = range(len(amounts))
    count = pl.sum_horizontal([pl.col(f"f{n}").cast(pl.UInt32) for n in places])
    digits = pl.coalesce(
        *[pl.when(f"f{n}").then(f"d{n}") for n in places], *[pl.col(f"d{n}") for n in places]
    )
    negative = pl.coalesce(*[pl.when(f"f{n}").then(f"n{n}") for n in places], pl.lit(value=False))
    made = frame.select(
        digits=pl.when(count > 1).then(pl.lit(UNREADABLE)).otherwise(digits), negative=negative
    )
    return Amounts(made["digits"], made["negative"])


def faults_as_the_provider_names_them(
    described: Described, columns: Mapping[str, Column], places: Places, errors: pl.Series
) -> pl.Series:
    """Faults of some rows, by the provider's columns where one is at fault.

    Args:
        described: the file's layout.
        columns: as for ``lay_out``.
        places: the rows, among those of the columns.
        errors: of each row its canonical faults, a list of ``column:code``.
    """
    if len(places) == 0:
        return errors
    faults = pl.DataFrame({"n": np.arange(len(places)), "error": errors}).explode("error")
    order = faults.with_row_index("order")
    named = []
    for error in faults["error"].unique(maintain_order=True).to_list():
        rows = order.filter(pl.col("error") == error)
        at = places[rows["n"].to_numpy()]
        named.append(rows.with_columns(error=_named(described, columns, at, error)))
    return (
        pl.concat(named)
        .explode("error")
        .sort("order", maintain_order=True)
        .group_by("n", maintain_order=True)
        .agg(pl.col("error").unique(maintain_order=True))
        .sort("n")["error"]
    )


def _named(
    described: Described, columns: Mapping[str, Column], places: Places, error: str
) -> pl.Series:
    column, code = error.rsplit(":", 1)
    source = described.layout.columns.get(column)
    names = [name for name in (source.names if source else ()) if _is_of_file(described, name)]
    if source is None or not names:
        return _each([error], len(places))
    if len(names) == 1:
        return _each([f"{names[0]}:{code}"], len(places))
    some = {name: Column(one.texts.gather(places), None) for name, one in columns.items()}
    making = _Making(described, some, len(places))
    at_fault = making.at_fault(column, source, code)
    frame = pl.DataFrame([mask.alias(name) for name, mask in at_fault.items() if name in names])
    named = pl.concat_list(
        [pl.when(name).then(pl.lit(f"{name}:{code}")) for name in frame.columns]
    ).list.drop_nulls()
    together = pl.lit([f"{'+'.join(names)}:{code}"], pl.List(pl.String))
    return frame.select(pl.when(named.list.len() > 0).then(named).otherwise(together)).to_series()


def _each(errors: list[str], rows: int) -> pl.Series:
    return pl.Series([errors], dtype=pl.List(pl.String)).new_from_index(0, rows)


def _is_of_file(described: Described, name: str) -> bool:
    layout = described.layout
    if isinstance(layout.file, Separated):
        return name not in layout.ahead and name not in layout.parameters
    return name not in layout.parameters

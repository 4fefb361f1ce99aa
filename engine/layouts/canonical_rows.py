"""A provider's columns become the canonical ones, as its layout says: whole columns at a time.

What a layout cannot read becomes what no canonical column can hold, so that reading the
canonical form finds it at fault, by one set of rules: an amount `?…`, a word `?…`, an ID with
U+0000, an instant and a day beyond all years.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.text_bytes import of_one_width, side_by_side
from engine.layouts.amounts import UNREADABLE, Amounts, read_amounts
from engine.layouts.dates import read_dates, read_plain_dates
from engine.layouts.model import Code, Dates, Part, Separated, Skip, Source, Test
from engine.layouts.parameters import Described
from engine.layouts.provider_column import Column, Places
from engine.records import (
    ENROLLMENT_CONFLICT,
    EVENT_CONFLICT,
    KINDS,
    MAX_AMOUNT_YEN,
    MIN_AMOUNT_YEN,
    TRANSACTION_CONFLICT,
)

_UNREADABLE_ID: Final = "\x00"
_BEYOND_ALL_YEARS_US: Final = 10**18
_BEYOND_ALL_YEARS_DAYS: Final = 10**7
_CONTROLS: Final = r"[\x00-\x1F\x7F]"
_FEW_DAYS: Final = 100_000
_LAST_DAY: Final = 10**7
_WORDS: Final = ("kind", "basis")
_IDS: Final = (
    *("transaction_id", "service_id", "account_id", "original_transaction_id"),
    *("person_id", "event_id", "other_id"),
)
# What spreadsheets make of IDs: 1.23457E+15, where digits are lost, and ="0012" or '0012, where
# another delivery of the same row has 0012.
_DAMAGED_ID: Final = (
    r"(?:^|[^0-9A-Za-z.])[0-9](?:\.[0-9]+)?E\+[0-9]{1,3}(?:$|[^0-9A-Za-z])"
    r"""|^=".*"$|^'[0-9]"""
)
_FREE_TEXTS: Final = ("method", "authority", "note")
# No one column of an ID is to blame for these.
_CONFLICTS: Final = (TRANSACTION_CONFLICT, ENROLLMENT_CONFLICT, EVENT_CONFLICT)


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
    number: Callable[[pl.Series], Places] | None = None,
) -> CanonicalRows:
    """Rows of a provider's file in the canonical form.

    Args:
        described: the file's layout, and what was said of it.
        rows: how many there are.
        columns: by name, those that the layout uses, ahead's and parameters' included; under the
            empty name the file's first, if a record's beginning is asked for.
        number: numbers rows by their IDs, where the layout does so with equal rows.

    Raises:
        UnicodeDecodeError: a cell that is read is not in the file's encoding.
    """
    made = _Making(described, columns, rows)
    table = made.all()
    reasons = _skip_reasons(described, columns, rows)
    if reasons is None:
        return CanonicalRows(_numbered(table, number), np.arange(rows), {})
    kept = reasons.is_null()
    skipped: dict[str, tuple[int, int]] = {}
    left_out = pl.DataFrame({"reason": reasons, "yen": made.yen()}).filter(~kept)
    for reason, count, total in (
        left_out.group_by("reason").agg(pl.len(), pl.col("yen").sum()).sort("reason").iter_rows()
    ):
        skipped[reason] = (count, total)
    table = table if kept.all() else table.filter(kept)
    return CanonicalRows(_numbered(table, number), np.flatnonzero(kept), skipped)


def _numbered(table: pl.DataFrame, number: Callable[[pl.Series], Places] | None) -> pl.DataFrame:
    if number is None:
        return table
    ids = table["transaction_id"]
    numbers = number(ids)
    numbered = ids + "-1"
    # Few rows have an ID that others have.
    more = np.flatnonzero(numbers > 1)
    if more.size:
        numbered.scatter(more, ids.gather(more) + "-" + pl.Series(numbers[more]).cast(pl.String))
    return table.with_columns(numbered)


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
    test = skip.test
    if test is None:
        assert skip.line_begins is not None
        test = Test("", begins=(skip.line_begins,))
    return _passes(test, columns, rows)


def _passes(test: Test, columns: Mapping[str, Column], rows: int) -> pl.Series:
    """The rows whose value passes a test."""

    def of_values(values: pl.Series) -> pl.Series:
        if test.filled is not None:
            return values.is_not_null() if test.filled else values.is_null()
        text = pl.col("text")
        passes = text.is_in(test.values)
        for begins in test.begins:
            passes |= text.str.starts_with(begins)
        for contains in test.contains:
            passes |= text.str.contains(contains, literal=True)
        if test.matches is not None:
            passes |= text.str.contains(test.matches)
        return values.to_frame("text").select(passes.fill_null(value=False)).to_series()

    if test.column not in columns:
        return pl.repeat(value=False, n=rows, eager=True)
    return columns[test.column].map(of_values)


class _Making:
    """The canonical columns, in the order in which one needs another."""

    def __init__(self, described: Described, columns: Mapping[str, Column], rows: int) -> None:
        self._described, self._columns, self._rows = described, columns, rows
        self._sources = described.layout.columns
        self._amounts_and_kinds_read: tuple[pl.Series, pl.Series] | None = None
        self._amounts_read: dict[str, Amounts] = {}
        self._read: dict[tuple[str, Dates], pl.Series] = {}

    def all(self) -> pl.DataFrame:
        made: dict[str, pl.Series] = {}
        if "amount" in self._sources:
            made["amount"], made["kind"] = self._amounts_and_kinds()
        for name, source in self._sources.items():
            if name in made:
                continue
            if source.dates is not None:
                made[name] = self._times(source, source.dates, whole_days=name.endswith("_on"))
            else:
                made[name] = self._texts(name, source)
            if name in _IDS and source.constant is None:
                damaged = made[name].str.contains(_DAMAGED_ID).fill_null(value=False)
                if damaged.any():
                    made[name] = made[name].set(damaged, _UNREADABLE_ID)
        return pl.DataFrame([made[name].alias(name) for name in self._sources])

    def at_fault(self, name: str, source: Source, code: str) -> dict[str, npt.NDArray[np.bool_]]:
        """By what a column is made from, in which rows it is to blame for a fault of the column."""
        refunds = np.zeros(self._rows, np.bool_)
        if source.refund_parts:
            refunds = self._refunds().to_numpy()
        masks: dict[str, npt.NDArray[np.bool_]] = {}
        for parts, applies in ((source.parts, ~refunds), (source.refund_parts, refunds)):
            # What a row is not made from is not looked at, nor decoded.
            places = np.flatnonzero(applies)
            made_from = self._some(parts, places)
            for part in parts:
                mask = masks.setdefault(part.name, np.zeros(self._rows, np.bool_))
                mask[places] |= made_from._to_blame(part, name, code).to_numpy()
        return masks

    def _to_blame(self, part: Part, name: str, code: str) -> pl.Series:
        text = self._columns[part.name].texts
        if code == "missing" and name != "amount":
            return text.is_null()
        if code == "malformed" and name != "amount":
            faulty = f"{_CONTROLS}|{_DAMAGED_ID}"
            return self._part(part).str.contains(faulty).fill_null(value=False)
        return text.is_not_null()

    def _some(self, parts: Sequence[Part], places: Places) -> "_Making":
        """Some of the rows, with the columns of some parts alone."""
        taken = {part.name: self._columns[part.name].take(places) for part in parts}
        return _Making(self._described, taken, places.size)

    def yen(self) -> pl.Series:
        """Each row's amount where it can be read, else none."""
        if "amount" not in self._sources:
            return pl.zeros(self._rows, pl.Int64, eager=True)
        yen = self._amounts_and_kinds()[0].cast(pl.Int64, strict=False).abs()
        return yen.set(~yen.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN).fill_null(value=False), 0)

    def _amounts_and_kinds(self) -> tuple[pl.Series, pl.Series]:
        if self._amounts_and_kinds_read is None:
            self._amounts_and_kinds_read = self._read_amounts_and_kinds()
        return self._amounts_and_kinds_read

    def _read_amounts_and_kinds(self) -> tuple[pl.Series, pl.Series]:
        kind = self._sources["kind"]
        parts = [part.name for part in self._sources["amount"].parts]
        amounts = {name: self._amounts(name) for name in parts}
        if any(one.digits.dtype == pl.String for one in amounts.values()):
            amounts = {name: one.as_texts for name, one in amounts.items()}
        asked = parts if len(parts) > 1 else [name for name in parts if name in kind.by_column]
        filled = {name: amounts[name].filled for name in asked}
        amount = _the_one_filled(list(amounts.values()), list(filled.values()))
        positive, negative = kind.by_sign
        kinds = self._texts("kind", kind)
        if positive is None and negative is None and not kind.by_column:
            return amount.signed, kinds
        readable = amount.digits.is_not_null() & ~amount.unreadable
        frame = pl.DataFrame(
            [kinds.alias("kind"), amount.negative.alias("negative"), readable.alias("readable")]
            + [filled[name].alias(f"filled {name}") for name in kind.by_column]
        )
        # A word that nobody knows, or none, stays a fault: it may say that nothing was paid back.
        decides = pl.col("kind").is_in(KINDS) if kind.parts else pl.lit(value=True)
        made = pl.col("kind")
        if positive is not None:
            positives = decides & pl.col("readable") & ~pl.col("negative")
            made = pl.when(positives).then(pl.lit(positive)).otherwise(made)
        if negative is not None:
            negatives = decides & pl.col("readable") & pl.col("negative")
            made = pl.when(negatives).then(pl.lit(negative)).otherwise(made)
        for name, word in kind.by_column.items():
            made = pl.when(decides & pl.col(f"filled {name}")).then(pl.lit(word)).otherwise(made)
        signed = amount.signed if negative is None else amount.digits
        return signed, frame.select(made.alias("kind")).to_series()

    def _amounts(self, name: str) -> Amounts:
        """A column's values as amounts."""
        codes = self._columns[name].unlike[1]
        read = self._read_amounts(name)
        return read if codes is None else read.gather(codes)

    def _read_amounts(self, name: str) -> Amounts:
        """A column's unlike values as amounts, once for all that is made of them."""
        if name not in self._amounts_read:
            self._amounts_read[name] = read_amounts(self._columns[name].unlike[0])
        return self._amounts_read[name]

    def _texts(self, name: str, source: Source) -> pl.Series:
        if source.constant is not None:
            return pl.repeat(source.constant, self._rows, eager=True)
        made = None
        if source.words is not None and len(source.parts) == 1 and _is_plain(source.parts[0]):
            words, column = source.words, self._columns[source.parts[0].name]
            made = column.map(lambda values: _mapped(name, values, words))
        elif source.parts:
            made = self._joined(source.parts, source.join)
            made = made if source.words is None else _mapped(name, made, source.words)
        if made is None:
            made = pl.repeat(None, self._rows, dtype=pl.String, eager=True)
        if source.codes:
            made = self._coded(made, source.codes)
        if source.refund_parts:
            refunds = np.flatnonzero(self._refunds())
            of_refunds = self._some(source.refund_parts, refunds)
            instead = of_refunds._joined(source.refund_parts, source.join)
            # A copy, for a column's own texts stay as they are.
            made = made.clone().scatter(refunds, instead)
        return made

    def _coded(self, texts: pl.Series, codes: Sequence[Code]) -> pl.Series:
        """Codes in place of the texts of rows that pass a code's test."""
        passes = pl.DataFrame(
            [
                _passes(code.test, self._columns, self._rows).alias(str(number))
                for number, code in enumerate(codes)
            ]
        )
        return (
            passes.with_columns(text=texts)
            .select(
                pl.coalesce(
                    *[
                        pl.when(str(number)).then(pl.lit(code.code))
                        for number, code in enumerate(codes)
                    ],
                    "text",
                )
            )
            .to_series()
        )

    def _refunds(self) -> pl.Series:
        return (self._amounts_and_kinds()[1] == "refund").fill_null(value=False)

    def _joined(self, parts: Sequence[Part], join: str) -> pl.Series:
        if len(parts) == 1:
            return self._part(parts[0])
        if (joined := self._side_by_side(parts, join)) is not None:
            return joined
        texts = [self._part(part).alias(str(number)) for number, part in enumerate(parts)]
        return pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=join)).to_series()

    def _side_by_side(self, parts: Sequence[Part], join: str) -> pl.Series | None:
        """The same where all texts of each part have one width, as slips' numbers have."""
        if self._rows == 0 or any(part.amount for part in parts):
            return None
        written = {
            part: self._columns[part.name].of_one_width for part in parts if part.day is None
        }
        if any(one is None for one in written.values()):
            return None
        for part in parts:
            if part.day is not None:
                texts = self._part(part)
                written[part] = of_one_width(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        columns = [one for part in parts if (one := written[part]) is not None]
        if len(columns) < len(parts) or max(map(len, columns)) < self._rows:
            return None
        return pl.Series(pl.from_arrow(side_by_side(columns, join.encode())))

    def _part(self, part: Part) -> pl.Series:
        column = self._columns[part.name]
        if part.amount:
            codes = column.unlike[1]
            digits = _digits(self._read_amounts(part.name))
            return digits if codes is None else digits.gather(codes)
        if part.day is None:
            return column.texts
        dates, latest = part.day, self._latest(part.day)

        def day(values: pl.Series) -> pl.Series:
            return _days(read_dates(values, dates.forms, dates.era, latest), values)

        if column.has_few:
            return column.map(day)
        instants = self._instants(part.name, dates)
        return _days(instants, column.texts if instants.has_nulls() else None)

    def _instants(self, name: str, dates: Dates) -> pl.Series:
        """A column of many values as instants, once for all that is made of them."""
        if (name, dates) not in self._read:
            column = self._columns[name]
            read = _plain_dates([column], "", dates)
            if read is None:
                read = read_dates(column.texts, dates.forms, dates.era, self._latest(dates))
            self._read[name, dates] = read
        return self._read[name, dates]

    def _latest(self, dates: Dates) -> dt.date | None:
        return None if dates.latest_by is None else self._described.day(dates.latest_by)

    def _times(self, source: Source, dates: Dates, *, whole_days: bool) -> pl.Series:
        latest = self._latest(dates)

        def read(values: pl.Series) -> pl.Series:
            return checked(read_dates(values, dates.forms, dates.era, latest), values)

        def checked(times: pl.Series, values: pl.Series | None) -> pl.Series:
            if whole_days:
                times = times.cast(pl.Date)
            if values is None:
                return times
            beyond = _BEYOND_ALL_YEARS_DAYS if whole_days else _BEYOND_ALL_YEARS_US
            unreadable = times.is_null() & values.is_not_null()
            if not unreadable.any():
                return times
            return times.to_physical().set(unreadable, beyond).cast(times.dtype)

        columns = [self._columns[part.name] for part in source.parts]
        if len(columns) == 1:
            if columns[0].has_few:
                return columns[0].map(read)
            times = self._instants(source.parts[0].name, dates)
            return checked(times, columns[0].texts if times.has_nulls() else None)
        if all(map(_is_plain, source.parts)):
            plain = _plain_dates(columns, source.join, dates)
            if plain is not None:
                return checked(plain, None)
        joined = Column.of_texts(self._joined(source.parts, source.join))
        if joined.has_few or (plain := _plain_dates([joined], "", dates)) is None:
            return joined.map(read)
        return checked(plain, None)


def _plain_dates(columns: Sequence[Column], join: str, dates: Dates) -> pl.Series | None:
    # What means nothing may look like a date.
    if any(column.empty for column in columns) and any(
        column.texts.has_nulls() for column in columns
    ):
        return None
    return read_plain_dates([column.cells for column in columns], join, dates.forms)


def _is_plain(part: Part) -> bool:
    return part.day is None and not part.amount


def _mapped(name: str, values: pl.Series, words: Mapping[str, str]) -> pl.Series:
    if name in _FREE_TEXTS:
        return values.replace(words)
    mark = UNREADABLE if name in _WORDS else _UNREADABLE_ID
    mapped = values.replace_strict(words, default=None, return_dtype=pl.String)
    return mapped.set(mapped.is_null() & values.is_not_null(), mark)


def _days(instants: pl.Series, values: pl.Series | None) -> pl.Series:
    """Days as YYYYMMDD; of each day once, since there are few. No values: all could be read."""
    days = instants.cast(pl.Date).to_physical()
    known = days.drop_nulls().to_numpy()
    first, last = known.min(initial=_LAST_DAY), known.max(initial=-_LAST_DAY)
    if 0 <= int(last) - int(first) < _FEW_DAYS:
        each = pl.Series(np.arange(first, last + 1, dtype=np.int32))
        texts = _written_days(each).gather((days - int(first)).cast(pl.UInt32))
    else:
        texts = _written_days(days)
    if values is None:
        return texts
    return texts.set(texts.is_null() & values.is_not_null(), _UNREADABLE_ID)


def _written_days(days: pl.Series) -> pl.Series:
    return days.cast(pl.Date).dt.strftime("%Y%m%d")


def _digits(amounts: Amounts) -> pl.Series:
    signed = amounts.signed
    if signed.dtype == pl.Int64:
        return signed.cast(pl.String)
    signed = signed.str.replace(r"^(-?)0+([0-9])", "${1}${2}")
    return signed.set(amounts.unreadable, _UNREADABLE_ID)


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
    made = frame.select(digits=digits, negative=negative, several=count > 1)
    made_one = Amounts(made["digits"], made["negative"])
    if not made["several"].any():
        return made_one
    return Amounts(made_one.as_texts.digits.set(made["several"], UNREADABLE), made_one.negative)


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
    names = _names(described, column)
    source = described.layout.columns.get(column)
    if source is None or len(names) < 2 or error in _CONFLICTS:
        return _each([jointly_named(described, error)], len(places))
    some = {name: one.take(places) for name, one in columns.items()}
    making = _Making(described, some, len(places))
    at_fault = making.at_fault(column, source, code)
    frame = pl.DataFrame({name: mask for name, mask in at_fault.items() if name in names})
    named = pl.concat_list(
        [pl.when(name).then(pl.lit(f"{name}:{code}")) for name in frame.columns]
    ).list.drop_nulls()
    together = pl.lit([jointly_named(described, error)], pl.List(pl.String))
    return frame.select(pl.when(named.list.len() > 0).then(named).otherwise(together)).to_series()


def jointly_named(described: Described, error: str) -> str:
    """A canonical column's fault by all of the provider's columns that it is made from."""
    column, code = error.rsplit(":", 1)
    names = _names(described, column)
    return f"{'+'.join(names)}:{code}" if names else error


def _names(described: Described, column: str) -> list[str]:
    source = described.layout.columns.get(column)
    return [name for name in (source.names if source else ()) if _is_of_file(described, name)]


def _each(errors: list[str], rows: int) -> pl.Series:
    return pl.Series([errors], dtype=pl.List(pl.String)).new_from_index(0, rows)


def _is_of_file(described: Described, name: str) -> bool:
    layout = described.layout
    if isinstance(layout.file, Separated):
        return name not in layout.ahead and name not in layout.parameters
    return name not in layout.parameters

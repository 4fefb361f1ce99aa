"""The canonical columns of a provider's rows, each made once and from whole columns.

One needs another: a refund's ID is made from other columns than a payment's, and whether a row is a
refund may follow from its amount.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.text_bytes import of_one_width, side_by_side
from engine.layouts.amounts import UNREADABLE, Amounts, read_amounts
from engine.layouts.canonical_values import (
    BEYOND_ALL_YEARS_DAYS,
    BEYOND_ALL_YEARS_US,
    DAMAGED_ID,
    UNREADABLE_ID,
    less,
    mapped_words,
    the_one_filled,
    written_amounts,
    written_days,
)
from engine.layouts.dates import read_dates, read_plain_dates
from engine.layouts.look_alikes import all_plain, plain
from engine.layouts.model import Code, ColumnSource, Dates, TextPart, Zone
from engine.layouts.parameters import Described
from engine.layouts.passing_rows import rows_that_pass
from engine.layouts.provider_column import KIND_BELOW, Places, ProviderColumn
from engine.records import KINDS, MAX_AMOUNT_YEN, MIN_AMOUNT_YEN

_JAPAN_MINUTES: Final = 9 * 60
_MINUTE_US: Final = 60_000_000
_CONTROLS: Final = r"[\x00-\x1F\x7F]"
_IDS: Final = (
    *("transaction_id", "service_id", "account_id", "original_transaction_id"),
    *("person_id", "event_id", "other_id"),
)


class CanonicalColumns:
    """The canonical columns of some rows."""

    def __init__(
        self, described: Described, columns: Mapping[str, ProviderColumn], rows: int
    ) -> None:
        self._described, self._columns, self._rows = described, columns, rows
        self._sources = described.layout.columns
        self._amounts_and_kinds_read: tuple[pl.Series, pl.Series] | None = None
        self._amounts_read: dict[str, Amounts] = {}
        self._read: dict[tuple[str, Dates], pl.Series] = {}

    def all(self) -> pl.DataFrame:
        """All columns that the layout describes, in its order."""
        made: dict[str, pl.Series] = {}
        if "amount" in self._sources:
            made["amount"], made["kind"] = self._amounts_and_kinds()
        for name, source in self._sources.items():
            if name in made:
                continue
            if source.dates is not None:
                made[name] = self._times(source, source.dates, whole_days=name.endswith("_on"))
                if source.dates.zone is not None:
                    made[name] = self._in_japan(made[name], source.dates.zone)
            else:
                made[name] = self._texts(name, source)
            if name in _IDS and self._may_be_damaged(source):
                damaged = made[name].str.contains(DAMAGED_ID).fill_null(value=False)
                if damaged.any():
                    made[name] = made[name].set(damaged, UNREADABLE_ID)
        return pl.DataFrame([made[name].alias(name) for name in self._sources])

    def _may_be_damaged(self, source: ColumnSource) -> bool:
        """Whether an ID may be as spreadsheets leave some; few are, and a look at all is dear."""
        texts = [
            part.name
            for part in (*source.parts, *source.refund_parts)
            if part.day is None and not part.amount
        ]
        return any(self._columns[name].has_marks for name in texts)

    def at_fault(
        self, name: str, source: ColumnSource, code: str
    ) -> dict[str, npt.NDArray[np.bool_]]:
        """For each column that one is made from, the rows in which it is to blame for a fault."""
        refunds = np.zeros(self._rows, np.bool_)
        if source.refund_parts:
            refunds = self._refunds().to_numpy()
        masks: dict[str, npt.NDArray[np.bool_]] = {}
        for parts, applies in ((source.parts, ~refunds), (source.refund_parts, refunds)):
            # Cells that a row is not made from are neither looked at nor decoded.
            places = np.flatnonzero(applies)
            made_from = self._some(parts, places)
            for part in parts:
                mask = masks.setdefault(part.name, np.zeros(self._rows, np.bool_))
                mask[places] |= made_from._to_blame(part, name, code).to_numpy()
        return masks

    def _to_blame(self, part: TextPart, name: str, code: str) -> pl.Series:
        text = self._columns[part.name].texts
        if code == "missing" and name != "amount":
            return text.is_null()
        if code == "malformed" and name != "amount":
            faulty = f"{_CONTROLS}|{DAMAGED_ID}"
            return self._part(part).str.contains(faulty).fill_null(value=False)
        return text.is_not_null()

    def _some(self, parts: Sequence[TextPart], places: Places) -> "CanonicalColumns":
        """The rows at these places, with no columns but those of these parts."""
        taken = {part.name: self._columns[part.name].take(places) for part in parts}
        return CanonicalColumns(self._described, taken, places.size)

    def amounts_of(self, name: str) -> Amounts:
        """A column's values as amounts."""
        return self._amounts(name)

    def yen(self) -> pl.Series:
        """Each row's amount; 0 where it cannot be read or is out of range."""
        if "amount" not in self._sources:
            return pl.zeros(self._rows, pl.Int64, eager=True)
        yen = self._amounts_and_kinds()[0].cast(pl.Int64, strict=False).abs()
        return yen.set(~yen.is_between(MIN_AMOUNT_YEN, MAX_AMOUNT_YEN).fill_null(value=False), 0)

    def figures(self) -> pl.DataFrame:
        """Each row's ``yen``, null where it cannot be read, and ``is_refund``."""
        if "amount" not in self._sources:
            empty = pl.repeat(None, self._rows, dtype=pl.Int64, eager=True)
            return pl.DataFrame({"yen": empty, "is_refund": empty.is_not_null()})
        amount, kind = self._amounts_and_kinds()
        return pl.DataFrame(
            {"yen": amount.cast(pl.Int64, strict=False), "is_refund": kind == "refund"}
        )

    def _amounts_and_kinds(self) -> tuple[pl.Series, pl.Series]:
        if self._amounts_and_kinds_read is None:
            self._amounts_and_kinds_read = self._read_amounts_and_kinds()
        return self._amounts_and_kinds_read

    def _read_amounts_and_kinds(self) -> tuple[pl.Series, pl.Series]:
        kind = self._sources["kind"]
        parts = [part.name for part in self._sources["amount"].parts]
        amounts = {name: self._amounts(name) for name in parts}
        if any(amount.digits.dtype == pl.String for amount in amounts.values()):
            amounts = {name: amount.as_texts for name, amount in amounts.items()}
        asked = parts if len(parts) > 1 else [name for name in parts if name in kind.by_column]
        filled = {name: amounts[name].filled for name in asked}
        amount = the_one_filled(list(amounts.values()), list(filled.values()))
        for part in self._sources["amount"].less:
            amount = less(amount, self._amounts(part.name))
        positive, negative = kind.by_sign
        kinds = self._texts("kind", kind)
        below = self._columns.get(KIND_BELOW)
        if positive is None and negative is None and not kind.by_column and below is None:
            return amount.signed, kinds
        readable = amount.digits.is_not_null() & ~amount.unreadable
        frame = pl.DataFrame(
            [kinds.alias("kind"), amount.negative.alias("negative"), readable.alias("readable")]
            + [filled[name].alias(f"filled {name}") for name in kind.by_column]
        )
        # An unknown or missing word remains a fault: it might mean that nothing was refunded.
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
        if below is not None:
            frame = frame.with_columns(below=below.texts)
            applies = decides & pl.col("below").is_not_null()
            # A negative amount would take back what the section's kind says.
            twice = pl.col("negative") & (made != pl.col("below")).fill_null(value=True)
            section = pl.when(twice).then(pl.lit(UNREADABLE)).otherwise("below")
            made = pl.when(applies).then(section).otherwise(made)
        signed = amount.signed if negative is None else amount.digits
        return signed, frame.select(made.alias("kind")).to_series()

    def _amounts(self, name: str) -> Amounts:
        """A column's values as amounts."""
        codes = self._columns[name].distinct[1]
        read = self._read_amounts(name)
        return read if codes is None else read.gather(codes)

    def _read_amounts(self, name: str) -> Amounts:
        """A column's distinct values as amounts, read once for all that is made from them."""
        if name not in self._amounts_read:
            self._amounts_read[name] = read_amounts(self._columns[name].distinct[0])
        return self._amounts_read[name]

    def _texts(self, name: str, source: ColumnSource) -> pl.Series:
        if source.constant is not None:
            return pl.repeat(source.constant, self._rows, eager=True)
        made = None
        if source.words is not None and len(source.parts) == 1 and _is_plain(source.parts[0]):
            words, column = source.words, self._columns[source.parts[0].name]
            made = column.map(lambda values: mapped_words(name, values, words))
            if "" in words:
                made = made.fill_null(words[""]) if column.texts.has_nulls() else made
        elif source.parts:
            made = self._joined(source.parts, source.join)
            if source.words is not None:
                made = self._mapped(name, made, source)
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

    def _mapped(self, name: str, joined: pl.Series, source: ColumnSource) -> pl.Series:
        """What joined texts mean; where a part is blank, they may be words with a blank in them."""
        assert source.words is not None
        made = mapped_words(name, joined, source.words)
        blank = joined.is_null()
        if not blank.any():
            return made
        places = blank.arg_true()
        texts = [self._part(part).gather(places).fill_null("") for part in source.parts]
        frame = pl.DataFrame([text.alias(str(number)) for number, text in enumerate(texts)])
        with_blanks = frame.select(pl.concat_str(pl.all(), separator=source.join)).to_series()
        alike = {plain(text): word for text, word in source.words.items()}
        words = all_plain(with_blanks).replace_strict(alike, default=None, return_dtype=pl.String)
        return made.clone().scatter(places, words)

    def _coded(self, texts: pl.Series, codes: Sequence[Code]) -> pl.Series:
        """Codes in place of the texts of rows that pass a code's test."""
        passes = pl.DataFrame(
            [
                rows_that_pass(code.test, self._columns, self._rows).alias(str(number))
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

    def _joined(self, parts: Sequence[TextPart], join: str) -> pl.Series:
        if len(parts) == 1:
            return self._part(parts[0])
        if (joined := self._side_by_side(parts, join)) is not None:
            return joined
        texts = [self._part(part).alias(str(number)) for number, part in enumerate(parts)]
        return pl.DataFrame(texts).select(pl.concat_str(pl.all(), separator=join)).to_series()

    def _side_by_side(self, parts: Sequence[TextPart], join: str) -> pl.Series | None:
        """The same where all texts of each part have one width, as slips' numbers have."""
        if self._rows == 0 or any(part.amount for part in parts):
            return None
        written = {
            part: self._columns[part.name].of_one_width for part in parts if part.day is None
        }
        if any(column is None for column in written.values()):
            return None
        for part in parts:
            if part.day is not None:
                texts = self._part(part)
                written[part] = of_one_width(texts.to_arrow(compat_level=pl.CompatLevel.oldest()))
        columns = [column for part in parts if (column := written[part]) is not None]
        if len(columns) < len(parts) or max(map(len, columns)) < self._rows:
            return None
        return pl.Series(pl.from_arrow(side_by_side(columns, join.encode())))

    def _part(self, part: TextPart) -> pl.Series:
        column = self._columns[part.name]
        if part.amount:
            codes = column.distinct[1]
            digits = written_amounts(self._read_amounts(part.name))
            return digits if codes is None else digits.gather(codes)
        if part.day is None:
            return column.texts
        dates = part.day

        def day(values: pl.Series) -> pl.Series:
            return written_days(self._dates(values, dates), values)

        if column.has_few:
            return column.map(day)
        instants = self._instants(part.name, dates)
        return written_days(instants, column.texts if instants.has_nulls() else None)

    def _instants(self, name: str, dates: Dates) -> pl.Series:
        """A column of many values as instants, read once for all that is made from them."""
        if (name, dates) not in self._read:
            column = self._columns[name]
            read = _plain_dates([column], "", dates)
            if read is None:
                read = self._dates(column.texts, dates)
            self._read[name, dates] = read
        return self._read[name, dates]

    def _dates(self, texts: pl.Series, dates: Dates) -> pl.Series:
        latest, past_midnight = self._latest(dates), dates.past_midnight
        return read_dates(texts, dates.forms, dates.era, latest, past_midnight=past_midnight)

    def _in_japan(self, times: pl.Series, zone: Zone) -> pl.Series:
        """Times of another zone; unreadable ones where the zone is not known."""
        late = _JAPAN_MINUTES - zone.minutes if zone.minutes is not None else 0
        minutes = pl.repeat(late, self._rows, dtype=pl.Int64, eager=True)
        if zone.column is not None:
            words = {word: _JAPAN_MINUTES - ahead for word, ahead in zone.words.items()}

            def behind(values: pl.Series) -> pl.Series:
                return values.replace_strict(words, default=None, return_dtype=pl.Int64)

            minutes = self._columns[zone.column].map(behind)
        beyond = (times.to_physical() == BEYOND_ALL_YEARS_US).fill_null(value=False)
        known = minutes.is_not_null()
        moved = times.to_physical() + minutes.fill_null(0) * _MINUTE_US
        unreadable = beyond | (~known & times.is_not_null())
        return moved.set(unreadable, BEYOND_ALL_YEARS_US).cast(times.dtype)

    def _latest(self, dates: Dates) -> dt.date | None:
        return None if dates.latest_by is None else self._described.day(dates.latest_by)

    def _times(self, source: ColumnSource, dates: Dates, *, whole_days: bool) -> pl.Series:
        def read(values: pl.Series) -> pl.Series:
            return checked(self._dates(values, dates), values)

        def checked(times: pl.Series, values: pl.Series | None) -> pl.Series:
            if whole_days:
                times = times.cast(pl.Date)
            if values is None:
                return times
            beyond = BEYOND_ALL_YEARS_DAYS if whole_days else BEYOND_ALL_YEARS_US
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
        joined = ProviderColumn.of_texts(self._joined(source.parts, source.join))
        if joined.has_few or (plain := _plain_dates([joined], "", dates)) is None:
            return joined.map(read)
        return checked(plain, None)


def _plain_dates(columns: Sequence[ProviderColumn], join: str, dates: Dates) -> pl.Series | None:
    # A value that means nothing may look like a date.
    if any(column.empty for column in columns) and any(
        column.texts.has_nulls() for column in columns
    ):
        return None
    return read_plain_dates([column.cells for column in columns], join, dates.forms)


def _is_plain(part: TextPart) -> bool:
    return part.day is None and not part.amount

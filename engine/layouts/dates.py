"""Dates and times as providers write them: forms such as `YYYY/M/D H:mm` or `GE年M月D日`.

| letters | meaning |
|---|---|
| `YYYY`, `YY` | the year; `YY` is of the years 2000 to 2099 |
| `G` | the era: 令和 or R, 平成 or H, 昭和 or S |
| `EE`, `E` | its year in two digits; in one or two, or 元 |
| `MM`, `DD`, `HH` | month, day, hour in two digits |
| `M`, `D`, `H` | the same in one or two |
| `A` | 午前 or 午後, AM or PM |
| `hh`, `h` | the hour of the half day that `A` names: 午後0:30 and 午後12:30 are 12:30 |
| `mm`, `ss` (`m`, `s`) | minute, second |

All else stands for itself. What is not written is the first: a date alone means 00:00:00. A day
that no calendar has is not read, nor a year of an era that the day is not in.

The module is longer than others, because parsing a form and reading texts by it share its letters.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.columns.text_bytes import Bytes, bytes_of, copy_bytes, of_one_width
from engine.layouts import look_alikes

ERAS: Final[Mapping[str, tuple[dt.date, dt.date]]] = {
    "令和": (dt.date(2019, 5, 1), dt.date(9999, 12, 31)),
    "平成": (dt.date(1989, 1, 8), dt.date(2019, 4, 30)),
    "昭和": (dt.date(1926, 12, 25), dt.date(1989, 1, 7)),
}
_ERA_NAMES: Final = {"令和": "令和", "R": "令和", "平成": "平成", "H": "平成", "昭和": "昭和"} | {
    "S": "昭和",
    "㋿": "令和",
}
# Each letter: what it may be, as a regular expression; and how Polars calls it, which takes one
# digit for two.
_LETTERS: Final[Mapping[str, tuple[str, str, str | None]]] = {
    "YYYY": ("year", "[0-9]{4}", "%Y"),
    "YY": ("short_year", "[0-9]{2}", None),
    "G": ("era", "|".join(_ERA_NAMES), None),
    "EE": ("era_year", "[0-9]{2}", None),
    "E": ("era_year", "元|[0-9]{1,2}", None),
    "MM": ("month", "[0-9]{2}", "%m"),
    "M": ("month", "[0-9]{1,2}", "%m"),
    "DD": ("day", "[0-9]{2}", "%d"),
    "D": ("day", "[0-9]{1,2}", "%d"),
    "HH": ("hour", "[0-9]{2}", "%H"),
    "H": ("hour", "[0-9]{1,2}", "%H"),
    "A": ("half", "午前|午後|[AaPp][Mm]", None),
    "hh": ("hour_12", "[0-9]{2}", None),
    "h": ("hour_12", "[0-9]{1,2}", None),
    "mm": ("minute", "[0-5][0-9]", "%M"),
    "m": ("minute", "[0-5]?[0-9]", "%M"),
    "ss": ("second", "[0-5][0-9]", "%S"),
    "s": ("second", "[0-5]?[0-9]", "%S"),
}
# Words that say which half of the day an hour is of, as they are compared.
_HALF_DAYS: Final = (
    *("午前", "午後", "午后", "ごぜん", "ごご", "AM", "PM", "am", "pm", "夜", "昼", "朝"),
)
_TOKEN: Final = re.compile(r"YYYY|YY|G|EE|E|MM|M|DD|D|HH|H|A|hh|h|mm|m|ss|s|.", re.DOTALL)
_YEARS: Final = ("year", "short_year", "era_year")
_WIDE: Final = "０１２３４５６７８９／：．－ＲＨＳ　"
_NARROW: Final = "0123456789/:.-RHS "
FIRST_YEAR: Final = 1
_TWO_WAYS: Final = (dt.datetime(2020, 10, 5, 9, 8, 7), dt.datetime(2021, 2, 3, 11, 12, 10))
_LATEST: Final = dt.date(2021, 12, 31)
_HOURS_OF_A_DAY: Final = 24
# Of the clock on which a business day ends.
_LAST_HOUR: Final = 29


@dataclass(frozen=True, slots=True)
class DateForm:
    """A form, compiled.

    Attributes:
        pattern: matches what is written in the form, whole; a named group for each part.
        chrono: the form as Polars has it, when it has a name for each part, and for nothing less
            than all of a time of day.
        starts: where its parts begin, when all of them have a fixed width and the rest is ASCII.
        between: all of its characters that are not digits, when they are ASCII and known.
    """

    text: str
    pattern: str
    parts: tuple[str, ...]
    chrono: str | None
    starts: tuple[int, ...] | None
    between: str | None

    @property
    def has_year(self) -> bool:
        """Whether the year is written."""
        return any(part in _YEARS for part in self.parts)

    @property
    def has_time(self) -> bool:
        """Whether a time of day is written."""
        return "hour" in self.parts or "hour_12" in self.parts

    @property
    def needs_era(self) -> bool:
        """Whether years of an era are written without its name."""
        return "era_year" in self.parts and "era" not in self.parts


def compile_form(text: str) -> DateForm:
    """A form from its text.

    Raises:
        ValueError: a part is there twice or missing, a letter means nothing, or where one number
            ends and the next begins cannot be told.
    """
    if any(half in look_alikes.plain(text.replace(" ", "")) for half in _HALF_DAYS):
        # As they stand they would be passed over, and an afternoon read as a morning.
        raise ValueError("午前 and 午後 are written as A, the hour with them as h")
    pattern, chrono, parts, starts = "", "", [], []
    named = fixed = True
    # Whether, among the numbers that stand without anything between, one has one or two digits.
    varied = False
    pieces = _TOKEN.findall(text)
    for place, piece in enumerate(pieces):
        if piece not in _LETTERS:
            # T stands between date and time in many forms.
            if piece.isascii() and piece.isalpha() and piece != "T":
                raise ValueError(f"the letter {piece} means nothing here")
            pattern += re.escape(piece)
            chrono += piece.replace("%", "%%")
            varied = False
            continue
        part, matches, directive = _LETTERS[piece]
        if part in parts:
            raise ValueError(f"the {part.replace('_', ' ')} is there twice")
        parts.append(part)
        starts.append(sum(map(len, pieces[:place])))
        pattern += f"(?P<{part}>{matches})"
        named = named and directive is not None
        chrono += directive or ""
        varies = len(piece) == 1
        if varies and varied:
            raise ValueError(f"where the {part.replace('_', ' ')} begins cannot be told")
        varied = piece not in ("G", "A") and (varied or varies)
        fixed = fixed and not varies
        if varies and place + 1 < len(pieces) and pieces[place + 1] in _LETTERS:
            # Where one number ends and the next begins is left to the pattern.
            named = False
    _check_parts(parts)
    between = "".join(piece for piece in pieces if piece not in _LETTERS)
    era = "era" in parts or "era_year" in parts
    plain = not era and "half" not in parts and text.isascii() and re.fullmatch("[^0-9]*", text)
    named = named and "year" in parts and ("hour" not in parts or "minute" in parts)
    return DateForm(
        text,
        f"^(?:{pattern})$",
        tuple(parts),
        chrono if named else None,
        tuple(starts) if named and fixed and text.isascii() else None,
        between if plain else None,
    )


def _check_parts(parts: Sequence[str]) -> None:
    if sum(part in _YEARS for part in parts) > 1:
        raise ValueError("there are two years")
    if "era" in parts and "era_year" not in parts:
        raise ValueError("there is an era and no year of it")
    if ("half" in parts) != ("hour_12" in parts):
        raise ValueError("A and h need each other")
    if "hour" in parts and "hour_12" in parts:
        raise ValueError("the hour is there twice")
    timed = [*parts, "hour"] if "hour_12" in parts else parts
    for part, needed in (("day", "month"), ("minute", "hour"), ("second", "minute")):
        if part in parts and needed not in timed:
            raise ValueError(f"there is a {part} and no {needed}")
    if not {"month", "day"} <= set(parts):
        raise ValueError("month and day must be there")


def read_two_ways(forms: Sequence[DateForm], era: str | None) -> tuple[str, str] | None:
    """Two forms by which one text means two instants; None if there are none.

    Judged by days whose year, month and day could each be another of the three.
    """
    for form in forms:
        texts = pl.Series([_written(at, form.text) for at in _TWO_WAYS])
        own = read_dates(texts, [form], era, _LATEST)
        for other in forms:
            if other is form:
                continue
            read = read_dates(texts, [other], era, _LATEST)
            if (read.is_not_null() & (read != own).fill_null(value=False)).any():
                return form.text, other.text
    return None


def _written(at: dt.datetime, form: str) -> str:
    """An instant in a form; an era's year as that of 令和."""
    values = {"YYYY": f"{at.year:04}", "YY": f"{at.year % 100:02}", "G": "令和", "A": "午前"}
    values |= {"EE": f"{at.year - 2018:02}", "E": str(at.year - 2018)}
    for letter, value in (
        *(("M", at.month), ("D", at.day), ("H", at.hour), ("h", at.hour)),
        *(("m", at.minute), ("s", at.second)),
    ):
        values |= {letter: str(value), letter * 2: f"{value:02}"}
    return "".join(values.get(piece, piece) for piece in _TOKEN.findall(form))


def read_dates(
    texts: pl.Series,
    forms: Sequence[DateForm],
    era: str | None = None,
    latest: dt.date | None = None,
    *,
    past_midnight: bool = False,
) -> pl.Series:
    """Instants without a zone, in microseconds; null where nothing or in no form.

    Args:
        texts: trimmed; nulls where nothing is written.
        forms: tried in this order.
        era: of forms whose years do not name theirs.
        latest: for forms without a year: the latest such day up to this one is meant.
        past_midnight: whether the hours 24 to 29 are those of the next day.
    """
    texts = _narrowed(texts)
    values: pl.Series | None = None
    for form in forms:
        read = _read(texts, form, era, latest, past_midnight and "hour" in form.parts)
        values = (
            read
            if values is None
            else values.to_frame("a").select(pl.coalesce("a", read.alias("b"))).to_series()
        )
        if not values.has_nulls():
            break
    assert values is not None
    return values


Places = npt.NDArray[np.int64]
_ISO: Final = b"0000-00-00 00:00:00"
_ISO_PLACES: Final = {"year": 0, "month": 5, "day": 8, "hour": 11, "minute": 14, "second": 17}
_FIRST_INSTANT_US: Final = -62_135_596_800_000_000


def read_plain_dates(
    columns: Sequence[pa.Array], join: str, forms: Sequence[DateForm]
) -> pl.Series | None:
    """A faster ``read_dates`` for texts that are all written in one form of digits, else None.

    The texts are those of ``columns``, joined by ``join``.
    """
    written = [of_one_width(column) for column in columns]
    parts: list[tuple[int, Bytes]] = []
    end = -len(join)
    for part in written:
        if part is not None:
            parts.append((end + len(join), part))
            end = parts[-1][0] + part.shape[1]
    one_width = len(parts) == len(columns)
    passed = set()
    for form in forms:
        if form.starts is not None and one_width and len(form.text) != end:
            # It reads none of them, whatever stands between their digits.
            continue
        # What an earlier form may read is for that one to read.
        if form.between is None or form.between in passed:
            return None
        passed.add(form.between)
        values = None
        if form.starts is not None and one_width:
            values = _in_form(parts, join, form)
        elif form.chrono is not None and len(columns) == 1:
            values = _in_varied_form(columns[0], form)
        if values is not None:
            return values
    return None


def _in_form(parts: Sequence[tuple[int, Bytes]], join: str, form: DateForm) -> pl.Series | None:
    """Reads texts of one width in a form of this width; ``parts`` are where each column begins."""
    assert form.starts is not None
    plain = _no_instants(len(parts[0][1]))
    literals = {*range(len(form.text))}
    for part, start in zip(form.parts, form.starts, strict=True):
        digits = len("0000") if part == "year" else len("00")
        literals -= {*range(start, start + digits)}
        first, written = next(column for column in reversed(parts) if column[0] <= start)
        if start + digits > first + written.shape[1]:
            return None
        copy_bytes(written, start - first, plain, _ISO_PLACES[part], digits)
    for first, written in parts:
        if first and form.text[first - len(join) : first] != join:
            return None
        for place in literals.intersection(range(first, first + written.shape[1])):
            if (written[:, place - first] != ord(form.text[place])).any():
                return None
    return _instants(plain)


def _marks(column: pa.Array, between: str) -> tuple[Bytes, Places, Places] | None:
    """The bytes of texts, where each text ends, and where its characters are that are not digits.

    None if these characters are not the same in all texts.
    """
    ends, data = bytes_of(column)
    if column.null_count or data.size == 0 or not between:
        return None
    content, bounds = data[ends[0] : ends[-1]], ends.astype(np.int64) - ends[0]
    marks = np.flatnonzero(content - np.uint8(0x30) > 9)
    if marks.size != len(column) * len(between):
        return None
    each = marks.reshape(-1, len(between))
    inside = (each[:, 0] >= bounds[:-1]) & (each[:, -1] < bounds[1:])
    same = content[each] == np.frombuffer(between.encode(), np.uint8)
    return (content, bounds, each) if inside.all() and same.all() else None


def _in_varied_form(column: pa.Array, form: DateForm) -> pl.Series | None:
    """Texts of any width: characters that are not digits show where numbers begin and end."""
    assert form.between is not None
    found = _marks(column, form.between)
    if found is None:
        return None
    content, bounds, marks = found
    plain = _no_instants(len(column))
    start, passed = bounds[:-1], 0
    pieces = _TOKEN.findall(form.text)
    for piece, after in zip(pieces, [*pieces[1:], ""], strict=True):
        stop = marks[:, passed] if passed < len(form.between) else bounds[1:]
        if after in _LETTERS and piece in _LETTERS:
            stop = start + len(piece)
            if (stop > bounds[1:]).any():
                return None
        if piece not in _LETTERS:
            if (stop != start).any():
                return None
            start, passed = stop + 1, passed + 1
            continue
        part, count = _LETTERS[piece][0], stop - start
        place, digits = _ISO_PLACES[part], len("0000") if part == "year" else len("00")
        if (count != digits).any() and (len(piece) > 1 or (count != 1).any(where=count != 2)):
            return None
        for digit in range(1, digits + 1):
            plain[:, place + digits - digit] = content[np.maximum(stop - digit, 0)]
        if len(piece) == 1:
            plain[:, place][count == 1] = ord("0")
        start = stop
    return _instants(plain) if (start == bounds[1:]).all() else None


def _no_instants(rows: int) -> Bytes:
    return np.tile(np.frombuffer(_ISO, np.uint8), (rows, 1))


def _instants(plain: Bytes) -> pl.Series | None:
    """Instants written in ISO 8601; None if one is none."""
    ends = np.arange(len(plain) + 1, dtype=np.int32) * len(_ISO)
    texts = pa.StringArray.from_buffers(len(plain), pa.py_buffer(ends), pa.py_buffer(plain))
    try:
        values = pl.Series(pl.from_arrow(pc.cast(texts, pa.timestamp("us"))))
    except pa.ArrowInvalid:
        return None
    return None if (values.to_physical() < _FIRST_INSTANT_US).any() else values


def _narrowed(texts: pl.Series) -> pl.Series:
    if (texts.str.len_bytes() == texts.str.len_chars()).all():
        return texts
    return texts.str.replace_many(list(_WIDE), list(_NARROW))


def _read(
    texts: pl.Series,
    form: DateForm,
    era: str | None,
    latest: dt.date | None,
    past_midnight: bool,  # noqa: FBT001
) -> pl.Series:
    frame = texts.to_frame("text")
    text = pl.col("text")
    if form.chrono is not None and not past_midnight:
        written: pl.Expr = pl.when(text.str.contains(_unnamed(form.pattern))).then(text)
        chrono = form.chrono if "hour" in form.parts else f"{form.chrono} %H:%M:%S"
        if "hour" not in form.parts:
            written = written + pl.lit(" 00:00:00")
        return _in_years(
            frame.select(written.str.to_datetime(chrono, time_unit="us", strict=False))
        )
    parts = frame.select(text.str.extract_groups(form.pattern)).unnest("text")
    year, first, last = _year(form, era, latest)
    two = [
        pl.col(part).str.zfill(2) if part in form.parts else pl.lit("00")
        for part in ("hour", "minute", "second")
    ]
    if "half" in form.parts:
        two[0] = _hour_of_the_day()
    date = pl.format("{}-{}-{}", year, pl.col("month").str.zfill(2), pl.col("day").str.zfill(2))
    days_later: pl.Expr = pl.lit(0)
    if past_midnight:
        hour = pl.col("hour").cast(pl.Int64)
        late = hour.is_between(_HOURS_OF_A_DAY, _LAST_HOUR)
        days_later = pl.when(late).then(1).otherwise(0)
        of_day = pl.when(late).then(hour - _HOURS_OF_A_DAY).otherwise(hour)
        two[0] = of_day.cast(pl.String).str.zfill(2)
    whole = pl.format("{} {}:{}:{}", date, *two)
    frame = parts.select(
        whole.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).alias("at"),
        first.alias("first"),
        last.alias("last"),
        (days_later * pl.duration(days=1)).alias("later"),
    )
    inside = pl.col("at").cast(pl.Date).is_between(pl.col("first"), pl.col("last"))
    return _in_years(frame.select(pl.when(inside).then(pl.col("at") + pl.col("later"))))


def _hour_of_the_day() -> pl.Expr:
    hour = pl.col("hour_12").cast(pl.Int64)
    after_noon = pl.col("half").is_in(["午後", "PM", "pm", "Pm", "pM"])
    of_day = hour % 12 + pl.when(after_noon).then(12).otherwise(0)
    return pl.when(hour <= 12).then(of_day).cast(pl.String).str.zfill(2)


def _year(
    form: DateForm, era: str | None, latest: dt.date | None
) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """The year in four digits, and the first and the last day that it may be written for."""
    always = (pl.lit(dt.date.min), pl.lit(dt.date.max))
    if "year" in form.parts:
        return pl.col("year"), *always
    if "short_year" in form.parts:
        return pl.lit("20") + pl.col("short_year"), *always
    if "era_year" in form.parts:
        name = (
            pl.col("era").replace_strict(_ERA_NAMES, default=None, return_dtype=pl.String)
            if "era" in form.parts
            else pl.lit(era, pl.String)
        )
        first, last = (
            name.replace_strict(
                {name: days[end] for name, days in ERAS.items()},
                default=None,
                return_dtype=pl.Date,
            )
            for end in (0, 1)
        )
        of_era = pl.col("era_year").replace("元", "1").cast(pl.Int64)
        year = pl.when(of_era > 0).then(first.dt.year() - 1 + of_era)
        return year.cast(pl.String), first, last
    assert latest is not None
    in_year = pl.col("month").cast(pl.Int64) * 100 + pl.col("day").cast(pl.Int64)
    earlier = in_year > latest.month * 100 + latest.day
    return (
        pl.when(earlier)
        .then(pl.lit(f"{latest.year - 1:04}"))
        .otherwise(pl.lit(f"{latest.year:04}")),
        *always,
    )


def _unnamed(pattern: str) -> str:
    return re.sub(r"\(\?P<[a-z_]+>", "(?:", pattern)


def _in_years(frame: pl.DataFrame) -> pl.Series:
    at = frame.to_series()
    return at.set((at.dt.year() < FIRST_YEAR).fill_null(value=False), None)

"""Dates and times as providers write them: forms such as `YYYY/M/D H:mm` or `GE年M月D日`.

| letters | meaning |
|---|---|
| `YYYY`, `YY` | the year; `YY` is of the years 2000 to 2099 |
| `G` | the era: 令和 or R, 平成 or H, 昭和 or S |
| `EE`, `E` | its year in two digits; in one or two, or 元 |
| `MM`, `DD`, `HH` | month, day, hour in two digits |
| `M`, `D`, `H` | the same in one or two |
| `mm`, `ss` (`m`, `s`) | minute, second |

All else stands for itself. What is not written is the first: a date alone means 00:00:00. A day
that no calendar has is not read, nor a year of an era that the day is not in.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

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
    "mm": ("minute", "[0-5][0-9]", "%M"),
    "m": ("minute", "[0-5]?[0-9]", "%M"),
    "ss": ("second", "[0-5][0-9]", "%S"),
    "s": ("second", "[0-5]?[0-9]", "%S"),
}
_TOKEN: Final = re.compile(r"YYYY|YY|G|EE|E|MM|M|DD|D|HH|H|mm|m|ss|s|.", re.DOTALL)
_YEARS: Final = ("year", "short_year", "era_year")
_WIDE: Final = "０１２３４５６７８９／：．－ＲＨＳ　"
_NARROW: Final = "0123456789/:.-RHS "
FIRST_YEAR: Final = 1


@dataclass(frozen=True, slots=True)
class Form:
    """A form, compiled.

    Attributes:
        pattern: matches what is written in the form, whole; a named group for each part.
        chrono: the form as Polars has it, when it has a name for each part, and for nothing less
            than all of a time of day.
        starts: where its parts begin, when all of them have a fixed width and the rest is ASCII.
    """

    text: str
    pattern: str
    parts: tuple[str, ...]
    chrono: str | None
    starts: tuple[int, ...] | None

    @property
    def has_year(self) -> bool:
        """Whether the year is written."""
        return any(part in _YEARS for part in self.parts)

    @property
    def needs_era(self) -> bool:
        """Whether years of an era are written without its name."""
        return "era_year" in self.parts and "era" not in self.parts


def compile_form(text: str) -> Form:
    """A form from its text.

    Raises:
        ValueError: a part is there twice or missing, a letter means nothing, or where one number
            ends and the next begins cannot be told.
    """
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
        varied = piece != "G" and (varied or varies)
        fixed = fixed and not varies
        if varies and place + 1 < len(pieces) and pieces[place + 1] in _LETTERS:
            # Where one number ends and the next begins is left to the pattern.
            named = False
    if sum(part in _YEARS for part in parts) > 1:
        raise ValueError("there are two years")
    if "era" in parts and "era_year" not in parts:
        raise ValueError("there is an era and no year of it")
    for part, needed in (("day", "month"), ("minute", "hour"), ("second", "minute")):
        if part in parts and needed not in parts:
            raise ValueError(f"there is a {part} and no {needed}")
    if not {"month", "day"} <= set(parts):
        raise ValueError("month and day must be there")
    named = named and "year" in parts and ("hour" not in parts or "minute" in parts)
    return Form(
        text,
        f"^(?:{pattern})$",
        tuple(parts),
        chrono if named else None,
        tuple(starts) if named and fixed and text.isascii() else None,
    )


def read_dates(
    texts: pl.Series, forms: Sequence[Form], era: str | None = None, latest: dt.date | None = None
) -> pl.Series:
    """Instants without a zone, in microseconds; null where nothing or in no form.

    Args:
        texts: trimmed; nulls where nothing is written.
        forms: tried in this order.
        era: of forms whose years do not name theirs.
        latest: for forms without a year: the latest such day up to this one is meant.
    """
    texts = _narrowed(texts)
    values: pl.Series | None = None
    for form in forms:
        read = _read(texts, form, era, latest)
        values = (
            read
            if values is None
            else values.to_frame("a").select(pl.coalesce("a", read.alias("b"))).to_series()
        )
        if not values.has_nulls():
            break
    assert values is not None
    return values


_ISO: Final = b"0000-00-00 00:00:00"
_ISO_PLACES: Final = {"year": 0, "month": 5, "day": 8, "hour": 11, "minute": 14, "second": 17}


def read_plain_dates(cells: pa.Array, form: Form) -> pl.Series | None:
    """The same as ``read_dates`` where each text is in one form of a fixed width, and faster.

    None when that is not so.
    """
    _, offsets, data = cells.buffers()
    if form.starts is None or cells.null_count or data is None or len(cells) == 0:
        return None
    width, rows = len(form.text), len(cells)
    ends = np.frombuffer(offsets, np.int32)[cells.offset : cells.offset + rows + 1]
    if ends[-1] - ends[0] != width * rows or (np.diff(ends) != width).any():
        return None
    written = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]].reshape(rows, width)
    plain = np.tile(np.frombuffer(_ISO, np.uint8), (rows, 1))
    others = np.ones(width, np.bool_)
    for part, start in zip(form.parts, form.starts, strict=True):
        digits = len("0000") if part == "year" else len("00")
        plain[:, _ISO_PLACES[part] :][:, :digits] = written[:, start : start + digits]
        others[start : start + digits] = False
    if (written[:, others] != np.frombuffer(form.text.encode(), np.uint8)[others]).any():
        return None
    ends = np.arange(rows + 1, dtype=np.int32) * len(_ISO)
    texts = pa.StringArray.from_buffers(rows, pa.py_buffer(ends), pa.py_buffer(plain))
    try:
        values = pl.Series(pl.from_arrow(pc.cast(texts, pa.timestamp("us"))))
    except pa.ArrowInvalid:
        return None
    return None if (values.dt.year() < FIRST_YEAR).any() else values


def _narrowed(texts: pl.Series) -> pl.Series:
    if (texts.str.len_bytes() == texts.str.len_chars()).all():
        return texts
    return texts.str.replace_many(list(_WIDE), list(_NARROW))


def _read(texts: pl.Series, form: Form, era: str | None, latest: dt.date | None) -> pl.Series:
    frame = texts.to_frame("text")
    text = pl.col("text")
    if form.chrono is not None:
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
    date = pl.format("{}-{}-{}", year, pl.col("month").str.zfill(2), pl.col("day").str.zfill(2))
    whole = pl.format("{} {}:{}:{}", date, *two)
    frame = parts.select(
        whole.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False).alias("at"),
        first.alias("first"),
        last.alias("last"),
    )
    inside = pl.col("at").cast(pl.Date).is_between(pl.col("first"), pl.col("last"))
    return _in_years(frame.select(pl.when(inside).then(pl.col("at"))))


def _year(form: Form, era: str | None, latest: dt.date | None) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
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
                {one: days[end] for one, days in ERAS.items()},
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

"""Instants and days: text or typed columns become Japan's own time, in the years 1 to 9999."""

import datetime as dt
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from engine.reading.cells import Cells, DeliveredColumn, Masks, marked, trimmed_text

_INSTANT: Final = (
    r"^([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]((?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9])"
    r"(?:\.([0-9]{1,6}))?(Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])?$"
)
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_JST_MINUTES: Final = 9 * 60
_FIRST_INSTANT: Final = pl.datetime(1, 1, 1, time_unit="us")
_LAST_INSTANT: Final = pl.datetime(9999, 12, 31, 23, 59, 59, 999_999, time_unit="us")
_FIRST_DAY: Final = dt.date.min
_LAST_DAY: Final = dt.date.max
_MICROSECONDS: Final = {"s": 1_000_000, "ms": 1_000}
_FAR_BEYOND_US: Final = 10**18


def instant(column: DeliveredColumn) -> Cells:
    """A point in time, in Japan Standard Time without a zone; microseconds."""
    if isinstance(column, pl.Series):
        if column.dtype == pl.Datetime:
            return _japanese_instant(column)
    elif pa.types.is_timestamp(column.type):
        return _typed_instant(column)
    plain = _plain_instants(column)
    if plain is not None:
        return Cells(plain, {})
    text = trimmed_text(column)
    parts = text.to_frame("text").select(
        day=pl.col("text").str.extract(_INSTANT, 1),
        time=pl.col("text").str.extract(_INSTANT, 2),
        fraction=pl.col("text").str.extract(_INSTANT, 3),
        zone=pl.col("text").str.extract(_INSTANT, 4),
    )
    return _zoned(text, parts)


def _zoned(text: pl.Series, parts: pl.DataFrame) -> Cells:
    signed = pl.col("zone").str.replace("Z", "+00:00", literal=True)
    minutes = (
        signed.str.slice(1, 2).cast(pl.Int64) * 60 + signed.str.slice(4, 2).cast(pl.Int64)
    ) * pl.when(signed.str.starts_with("-")).then(-1).otherwise(1)
    to_jst = pl.duration(minutes=(_JST_MINUTES - minutes).fill_null(0), time_unit="us")
    fraction = pl.duration(
        microseconds=pl.col("fraction").str.pad_end(6, "0").cast(pl.Int64).fill_null(0),
        time_unit="us",
    )
    local = pl.format("{} {}", "day", "time").str.to_datetime(
        "%Y-%m-%d %H:%M:%S", time_unit="us", strict=False
    )
    # There is no year 0000, even if the offset moves the instant into year 1.
    in_years = pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT) & ~pl.col("year_0")
    values = (
        parts.select(at=local + fraction + to_jst, year_0=pl.col("day").str.starts_with("0000"))
        .select(pl.when(in_years).then("at"))
        .to_series()
    )
    return Cells(values, _malformed(values, text))


def _malformed(values: pl.Series, text: pl.Series) -> Masks:
    """The fault of texts that have no value; no missing text has one."""
    if values.null_count() == text.null_count():
        return {}
    return marked({"malformed": values.is_null() & text.is_not_null()})


def _plain_instants(column: DeliveredColumn) -> pl.Series | None:
    """The values when every cell is a plain ``YYYY-MM-DD HH:MM:SS`` in years 1 to 9999."""
    if isinstance(column, pl.Series):
        column = pa.chunked_array([column.to_arrow(compat_level=pl.CompatLevel.oldest())])
    if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
        return None
    lengths = pc.min_max(pc.binary_length(column)).as_py()
    if column.null_count or lengths["min"] != 19 or lengths["max"] != 19:
        return None
    try:
        values = pl.Series(pl.from_arrow(pc.cast(column, pa.timestamp("us"))))
    except pa.ArrowInvalid:
        return None
    in_years = values.to_frame("at").select(
        pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT).all()
    )
    return values if in_years.item() else None


def _typed_instant(column: pa.ChunkedArray) -> Cells:
    if column.type == pa.timestamp("us"):
        return _japanese_instant(pl.Series(pl.from_arrow(column)))
    # With a zone, whichever it is, ticks count from UTC; without one they are Japan's time already.
    to_jst = pl.duration(minutes=0 if column.type.tz is None else _JST_MINUTES, time_unit="us")
    ticks, unit = pl.col("ticks"), column.type.unit
    if unit == "ns":
        ticks = pl.when(ticks % 1000 == 0).then(ticks // 1000)
    elif unit != "us":
        # Values beyond all years must stay so, and not overflow 64 bits.
        most = _FAR_BEYOND_US // _MICROSECONDS[unit]
        ticks = ticks.clip(-most, most) * _MICROSECONDS[unit]
    frame = pl.DataFrame({"ticks": pl.from_arrow(pc.cast(column, pa.int64()))})
    values = (
        frame.select(at=ticks.cast(pl.Datetime("us")) + to_jst)
        .select(pl.when(pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT)).then(pl.col("at")))
        .to_series()
    )
    return Cells(values, marked({"malformed": values.is_null() & frame["ticks"].is_not_null()}))


def _japanese_instant(delivered: pl.Series) -> Cells:
    inside = (
        delivered.to_frame("at")
        .select(pl.col("at").is_between(_FIRST_INSTANT, _LAST_INSTANT))
        .to_series()
    )
    if inside.all():
        return Cells(delivered, {})
    outside = (~inside).fill_null(value=False)
    return Cells(delivered.set(outside, None), {"malformed": outside})


def day(column: DeliveredColumn) -> Cells:
    """A calendar day, ``YYYY-MM-DD``."""
    if isinstance(column, pl.Series):
        days = column if column.dtype == pl.Date else None
    else:
        is_day = pa.types.is_date(column.type)
        days = pl.Series(pl.from_arrow(pc.cast(column, pa.date32()))) if is_day else None
    if days is not None:
        outside = ~days.is_between(_FIRST_DAY, _LAST_DAY).fill_null(value=True)
        return Cells(days.set(outside, None), marked({"malformed": outside}))
    text = trimmed_text(column)
    plain = text.str.contains(_DAY) & ~text.str.starts_with("0000")
    values = text.set(~plain, None).str.to_date("%Y-%m-%d", strict=False)
    return Cells(values, _malformed(values, text))

"""When the sample happens: the programme's days, the nights, and seconds within them."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Final

import polars as pl

DAY: Final = 86_400


HOUR: Final = 3_600


def second(year: int, month: int, day: int) -> int:
    """Midnight of a day in Japan, in seconds since 1970 without a zone."""
    return (dt.date(year, month, day) - dt.date(1970, 1, 1)).days * DAY


OPENED: Final = second(2020, 7, 1)


WINDOW_FIRST: Final = second(2020, 9, 1)


WINDOW_END: Final = second(2021, 10, 1)


DELIVERED_FIRST: Final = second(2020, 8, 25)


DELIVERED_END: Final = second(2021, 10, 21)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The nights: each delivers what happened since the one before."""

    ends: pl.Series

    @classmethod
    def of(cls, nights: int) -> Calendar:
        days = (DELIVERED_END - DELIVERED_FIRST) // DAY
        ends = [DELIVERED_FIRST + days * (k + 1) // nights * DAY for k in range(nights)]
        return cls(pl.Series(ends))

    @property
    def count(self) -> int:
        return len(self.ends)

    def night_of(self, moments: pl.Series) -> pl.Series:
        """The night, from 1, that delivers each moment; the last takes what comes after it."""
        night = self.ends.search_sorted(moments, side="right").cast(pl.Int64) + 1
        return night.clip(upper_bound=self.count)

    def booked_on(self, night: int) -> dt.date:
        return dt.date(1970, 1, 1) + dt.timedelta(seconds=int(self.ends[night - 1]))


def half_a_night_later(calendar: Calendar, rows: pl.DataFrame) -> pl.DataFrame:
    """Every other row in the next night, where there is one."""
    later = (pl.int_range(pl.len()) % 2).cast(pl.Int64)
    return rows.with_columns((pl.col("night") + later).clip(upper_bound=calendar.count))

"""Small random worlds: a programme, a registry of services, and some nights' files.

`make(seed)` gives the same world for the same seed. The worlds are tuned so that the rare things
happen often: ties in time, refunds that cannot stand, amounts around the cap, rows that cannot be
read, and, with `corrected=True`, events that name each other and come too early. What each night
delivers is kept twice: as rows, so that tests may shuffle and cut them anew, and as the files they
were rendered to.
"""

from worlds.contents import DAY, Night, Row, World
from worlds.files import columns_of, fields_of
from worlds.maker import make
from worlds.nights import (
    book_night,
    booked_by_the_oracle,
    cut_into_nights,
    nights_of_the_oracle,
    redelivered,
    rendered,
)
from worlds.texts import BAD_DATES, BAD_TIMES, FAR_TIMES

__all__ = [
    "BAD_DATES",
    "BAD_TIMES",
    "DAY",
    "FAR_TIMES",
    "Night",
    "Row",
    "World",
    "book_night",
    "booked_by_the_oracle",
    "columns_of",
    "cut_into_nights",
    "fields_of",
    "make",
    "nights_of_the_oracle",
    "redelivered",
    "rendered",
]

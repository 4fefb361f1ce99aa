"""The programme: rate, cap and dated terms, from a strict TOML file.

```toml
programme_id = "mynapoint-2020"
name = "マイナポイント事業"
reconsider_days = 400               # optional: rows older than this wait in vain

[rate]                              # points per yen of counted spend, a ratio
numerator = 25
denominator = 100
source = "…"

[cap]                               # counted spend per person over the whole programme, yen
spending_yen = 20_000
source = "…"

[[terms]]                           # one for each announcement, in order
announced_on = 2021-03-25
window_first = 2020-09-01           # spending counts from this day
window_last = 2021-09-30            # to this day, both included
applications_last = 2021-09-30      # last day to apply for points
card_applications_last = 2021-04-30 # last day to have applied for the card
source = "…"
```

Every key but ``reconsider_days`` is required, and every source says where its values come from.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.terms.strict_toml import StrictTable, packaged_stems, parse, read_packaged, read_text

_BUILT_IN_FOLDER: Final = "terms/programmes"
MAX_CAP_YEN: Final = 1_000_000_000
# Points are counted yen * numerator // denominator in 64-bit integers: with both bounds the
# product stays under 10^15, and sums of thousands of them under 2^63.
MAX_RATE_DENOMINATOR: Final = 1_000_000

MAX_RECONSIDER_DAYS: Final = 36_500

_PROGRAMME_KEYS: Final = ("programme_id", "name", "reconsider_days", "rate", "cap", "terms")
_RATE_KEYS: Final = ("numerator", "denominator", "source")
_CAP_KEYS: Final = ("spending_yen", "source")
_TERMS_KEYS: Final = (
    "announced_on",
    "window_first",
    "window_last",
    "applications_last",
    "card_applications_last",
    "source",
)


@dataclass(frozen=True, slots=True)
class Terms:
    """The deadlines as one announcement set them; all days are Japan Standard Time.

    Attributes:
        announced_on: the day of the announcement; the terms are in force from it on.
        window_first, window_last: the days whose spending counts, both included.
        applications_last: the last day to apply for points (マイナポイントの申込).
        card_applications_last: the last day to have applied for the card (交付申請).
        source: where the dates come from.
    """

    announced_on: dt.date
    window_first: dt.date
    window_last: dt.date
    applications_last: dt.date
    card_applications_last: dt.date
    source: str


@dataclass(frozen=True, slots=True)
class Programme:
    """What the programme awards, and on which terms.

    Attributes:
        programme_id: such as `mynapoint-2020`.
        name: the programme's name, for people.
        rate_numerator, rate_denominator: points per yen of counted spend, a ratio in (0, 1].
        cap_yen: the most spending that counts, per person over the whole programme.
        terms: one for each announcement, in order of `announced_on`.
        reconsider_days: rows of so many days before a run are not looked at once more; None is no
            bound.
        text: the file's text, whole; the sources of rate and cap stand in it.
        sha256: of `text` in UTF-8, which is the file's own.
    """

    programme_id: str
    name: str
    rate_numerator: int
    rate_denominator: int
    cap_yen: int
    terms: tuple[Terms, ...]
    text: str
    sha256: str
    reconsider_days: int | None = None

    def terms_as_of(self, day: dt.date | None) -> Terms:
        """The latest terms announced on or before the day; with None, the latest of all.

        Raises:
            InputError: no terms had been announced by that day.
        """
        if day is None:
            return self.terms[-1]
        for terms in reversed(self.terms):
            if terms.announced_on <= day:
                return terms
        first = self.terms[0].announced_on
        raise InputError(
            f"programme {self.programme_id}: no terms were in force on {day}, "
            f"the first were announced on {first}",
            hint=f"choose a day from {first} on, or none for the latest terms",
        )


def built_in_programmes() -> tuple[str, ...]:
    """The IDs of the programmes that ship with the engine, sorted."""
    return packaged_stems(_BUILT_IN_FOLDER)


def load_programme(id_or_file: str | Path) -> Programme:
    """A programme that ships with the engine, by its ID, or one from a file.

    A text that ends in `.toml` or has a folder in it is a file, any other an ID: what it means
    does not hang on the files that happen to be around. A file without the ending is `./NAME`.

    Raises:
        InputError: there is no such programme or file, or the file breaks a rule.
    """
    if isinstance(id_or_file, str):
        known = built_in_programmes()
        if id_or_file in known:
            text = read_packaged(_BUILT_IN_FOLDER, id_or_file)
            return parse_programme(text, f"{id_or_file} (built in)")
        if not id_or_file.endswith(".toml") and "/" not in id_or_file and os.sep not in id_or_file:
            raise InputError(
                f'programme "{id_or_file}": no built-in programme has this ID',
                hint=f"the built-in ones are {', '.join(known)}; a file is NAME.toml or ./NAME",
            )
    return parse_programme(read_text(id_or_file), str(id_or_file))


def parse_programme(text: str, where: str) -> Programme:
    """The programme that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing or of the wrong type; a
            value is out of bounds; a window ends before it begins; announcements are not in
            ascending order.
    """
    top = parse(text, where, _PROGRAMME_KEYS)
    programme_id = top.identifier("programme_id")
    name = top.text("name")
    reconsider_days = None
    if top.has("reconsider_days"):
        reconsider_days = top.integer("reconsider_days", 1, MAX_RECONSIDER_DAYS)

    rate = top.table("rate", _RATE_KEYS)
    denominator = rate.integer("denominator", 1, MAX_RATE_DENOMINATOR)
    numerator = rate.integer("numerator", 1, MAX_RATE_DENOMINATOR)
    if numerator > denominator:
        raise rate.fault(
            "numerator",
            f"{numerator} over {denominator} is a rate above 1",
            "a rate is more than 0 and at most 1: 25 over 100 is 25 %",
        )
    rate.text("source")

    cap = top.table("cap", _CAP_KEYS)
    cap_yen = cap.integer("spending_yen", 1, MAX_CAP_YEN)
    cap.text("source")

    all_terms: list[Terms] = []
    for table in top.tables("terms", _TERMS_KEYS):
        terms = _terms(table)
        if all_terms and terms.announced_on <= all_terms[-1].announced_on:
            raise table.fault(
                "announced_on",
                f"{terms.announced_on} is not after the terms before it, "
                f"announced on {all_terms[-1].announced_on}",
                "list the terms in order of announcement, one for each day",
            )
        all_terms.append(terms)

    return Programme(
        programme_id=programme_id,
        name=name,
        rate_numerator=numerator,
        rate_denominator=denominator,
        cap_yen=cap_yen,
        terms=tuple(all_terms),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
        reconsider_days=reconsider_days,
    )


def _terms(table: StrictTable) -> Terms:
    terms = Terms(
        announced_on=table.day("announced_on"),
        window_first=table.day("window_first"),
        window_last=table.day("window_last"),
        applications_last=table.day("applications_last"),
        card_applications_last=table.day("card_applications_last"),
        source=table.text("source"),
    )
    if terms.window_last < terms.window_first:
        raise table.fault(
            "window_last",
            f"{terms.window_last} is before window_first, {terms.window_first}",
            "a window begins on or before the day it ends",
        )
    return terms

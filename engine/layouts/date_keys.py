"""How dates are written, of a column or of a part of one: the keys `forms`, `era`, `latest_by`,
`past_midnight`, and for times `zone`, or `zone_from` with `zones`.
"""

from __future__ import annotations

import re
from typing import Final

from engine.layouts.dates import ERAS, DateForm, compile_form, read_two_ways
from engine.layouts.model import Dates, Zone
from engine.layouts.names import Names
from engine.terms.strict_toml import MAX_ID_CHARACTERS, StrictTable

_ZONE: Final = re.compile(r"([+-])([01][0-9]):([0-5][0-9])")


def parse_dates(table: StrictTable, names: Names, *, with_time: bool) -> Dates:
    """The forms of a table; ``with_time``: whether they may have a time of day."""
    forms = _forms(table)
    timed = next((form.text for form in forms if form.has_time), None)
    if timed is not None and not with_time:
        raise table.fault("forms", f'"{timed}" has a time of day', "this column is a day")
    past_midnight = table.boolean("past_midnight", default=False)
    if past_midnight and timed is None:
        raise table.fault("past_midnight", "no form has a time of day", "leave it out")
    zone = _zone(table, names)
    if zone is not None and timed is None:
        raise table.fault("zone", "no form has a time of day", "leave it out")
    two_ways = read_two_ways(forms, table.optional_text("era"))
    if two_ways is not None:
        raise table.fault(
            "forms",
            f'"{two_ways[0]}" and "{two_ways[1]}" read one text as two days or times',
            "leave out the one that the file does not use",
        )
    dates = Dates(forms, _era(table), _latest_by(table, names), past_midnight, zone)
    return _with_year(table, dates)


def _zone(table: StrictTable, names: Names) -> Zone | None:
    if table.has("zone"):
        if table.has("zone_from"):
            raise table.fault("zone", "there is a zone_from as well", "leave one of the two out")
        return Zone(minutes=_minutes(table, "zone", table.text("zone")))
    if not table.has("zone_from"):
        if table.has("zones"):
            raise table.fault("zones", "there is no zone_from whose values it maps", "leave it out")
        return None
    words = table.texts_by_name("zones")
    if not words:
        raise table.fault("zones", "missing", 'write zones = { "JST" = "+09:00" }')
    return Zone(
        column=names.column(table, "zone_from", table.text("zone_from")),
        words={word: _minutes(table, f"zones: {word}", zone) for word, zone in words.items()},
    )


def _minutes(table: StrictTable, key: str, zone: str) -> int:
    found = _ZONE.fullmatch(zone)
    if found is None:
        raise table.fault(
            key,
            f'"{zone[:MAX_ID_CHARACTERS]}" is not how far times are ahead of UTC',
            "write it like +09:00",
        )
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def _with_year(table: StrictTable, dates: Dates) -> Dates:
    without = next((form.text for form in dates.forms if not form.has_year), None)
    if without is not None and dates.latest_by is None:
        raise table.fault(
            "forms",
            f'"{without}" has no year',
            "name the parameter that says which with latest_by, or make the year a part of from",
        )
    return dates


def _latest_by(table: StrictTable, names: Names) -> str | None:
    latest_by = table.optional_text("latest_by")
    if latest_by is not None:
        parameter = names.parameters.get(latest_by)
        if parameter is None or parameter.form != "day":
            raise table.fault(
                "latest_by",
                f'"{latest_by[:MAX_ID_CHARACTERS]}" is not a parameter of the form day',
                'write [parameters.as_of] with form = "day"',
            )
    return latest_by


def _forms(table: StrictTable) -> tuple[DateForm, ...]:
    forms = []
    texts = table.texts("forms")
    if not texts:
        raise table.fault("forms", "missing", 'write forms = ["YYYY/MM/DD"]')
    era = table.optional_text("era")
    for text in texts:
        try:
            form = compile_form(text)
        except ValueError as error:
            raise table.fault(
                "forms",
                f'"{text[:MAX_ID_CHARACTERS]}": {error}',
                "letters are YYYY YY G E EE M MM D DD H HH A h hh m mm s ss; all else is itself",
            ) from None
        if form.needs_era and era is None:
            raise table.fault(
                "forms",
                f'"{text}" has years of an era and does not say which',
                'write era = "令和"',
            )
        forms.append(form)
    return tuple(forms)


def _era(table: StrictTable) -> str | None:
    return table.word("era", tuple(ERAS)) if table.has("era") else None

"""How dates are written, of a column or of a part of one: the keys `forms`, `era`, `latest_by`."""

from __future__ import annotations

from engine.layouts.dates import ERAS, Form, compile_form
from engine.layouts.model import Dates
from engine.layouts.names import Names
from engine.terms.strict_toml import MAX_ID_CHARACTERS, StrictTable


def parse_dates(table: StrictTable, names: Names, *, with_time: bool) -> Dates:
    """The forms of a table; ``with_time``: whether they may have a time of day."""
    forms = _forms(table)
    timed = next((form.text for form in forms if form.has_time), None)
    if timed is not None and not with_time:
        raise table.fault("forms", f'"{timed}" has a time of day', "this column is a day")
    return _with_year(table, Dates(forms, _era(table), _latest_by(table, names)))


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
                f'"{latest_by[:MAX_ID_CHARACTERS]}" is no parameter of the form day',
                'write [parameters.as_of] with form = "day"',
            )
    return latest_by


def _forms(table: StrictTable) -> tuple[Form, ...]:
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

"""The commands' bodies: run a night by its sources file, show or validate that file."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.io.delivered.deliveries import DeliveredAs
from engine.layouts.catalogue import load_layout
from engine.terms.gates import load_gates
from engine.terms.programme import load_programme
from engine.terms.services import load_services
from pipelines.night.sources import (
    NIGHT_ROLES,
    NightRole,
    Sources,
    arrivals,
    is_dated,
    load_sources,
)
from pipelines.run.command import NightDeliveries, book_deliveries
from pipelines.run.observed import Watchers
from pipelines.shown.errors import output_may_fail
from pipelines.shown.terminal import output, plain, print_json, table
from pipelines.shown.texts import Lang, Texts


def run_night(
    book: Path,
    *,
    booked_on: dt.date,
    config: Path,
    wait: float | None,
    expected_run: int | None,
    allowed_gates: Sequence[str],
    nothing_delivered: bool,
    new_book: bool,
    dry_run: bool,
    out: Path | None,
    allow_backdating: bool,
    allow_postdating: bool,
    quiet: bool,
    as_json: bool,
    lang: Lang,
) -> int:
    """Books a night with what its sources have.

    Raises:
        InputError: the sources file or a delivery cannot be used; nothing was booked.
        BookError: the book is in use or damaged.
    """
    sources = load_sources(config)
    options = sources.options
    numerator, denominator = options.max_quarantined
    return book_deliveries(
        book,
        booked_on=booked_on,
        find_delivered=lambda: _delivered(sources, booked_on, nothing_delivered=nothing_delivered),
        services=sources.optional_path(options.services, booked_on),
        programme=sources.programme(booked_on),
        max_quarantined=numerator / denominator,
        quarantined_rows_allowed=options.allow_quarantined,
        rejects=sources.optional_path(options.rejects, booked_on),
        gates=sources.optional_path(options.gates, booked_on),
        allowed_gates=allowed_gates,
        nothing_delivered=nothing_delivered,
        existing=options.existing and not new_book,
        expected_run=expected_run,
        wait_seconds=options.wait if wait is None else wait,
        allow_backdating=allow_backdating,
        allow_postdating=allow_postdating,
        whole_lines=options.whole_lines,
        dry_run=dry_run,
        out=out,
        watchers=Watchers(
            sources.optional_path(options.log_json, booked_on),
            sources.optional_path(options.metrics, booked_on),
            options.on_finish,
        ),
        quiet=quiet,
        as_json=as_json,
        lang=lang,
    )


def _delivered(sources: Sources, booked_on: dt.date, *, nothing_delivered: bool) -> NightDeliveries:
    found = arrivals(sources, booked_on, nothing_delivered=nothing_delivered)
    files: dict[NightRole, list[DeliveredAs]] = {role: [] for role in NIGHT_ROLES}
    for arrival in found:
        files[arrival.source.role] += arrival.files
    notes = [note for arrival in found if (note := arrival.note()) is not None]
    return NightDeliveries(files["transactions"], files["enrollments"], files["events"], notes)


def validate_config(config: Path, *, lang: Lang) -> int:
    """Checks a sources file and every file that it names which is the same each night.

    Raises:
        InputError: something is wrong with it.
    """
    sources = load_sources(config)
    any_day = dt.date(2020, 1, 1)
    for source in sources.sources:
        if source.layout not in (None, "canonical") and not is_dated(source.layout):
            assert source.layout is not None
            is_file = source.layout.endswith(".toml")
            load_layout(sources.path(source.layout, any_day) if is_file else source.layout)
    options = sources.options
    if options.gates is not None and not is_dated(options.gates):
        load_gates(sources.path(options.gates, any_day))
    if options.services is not None and not is_dated(options.services):
        load_services(sources.path(options.services, any_day))
    programme = sources.programme(any_day)
    if programme is not None and not is_dated(options.programme):
        load_programme(programme)
    with output_may_fail():
        output().print(plain(Texts("night", lang)("valid", sources=len(sources.sources))))
    return 0


def show_config(config: Path, *, booked_on: dt.date, lang: Lang, as_json: bool) -> int:
    """Shows what a night would be run with; exit 1 where a required source has nothing.

    Raises:
        InputError: the sources file cannot be used.
    """
    sources = load_sources(config)
    found = arrivals(sources, booked_on, nothing_delivered=True)
    missing = any(arrival.source.required and not arrival.files for arrival in found)
    rows = [
        {
            "name": arrival.source.name,
            "role": arrival.source.role,
            "pattern": arrival.pattern,
            "layout": arrival.source.layout,
            "required": arrival.source.required,
            "files": [str(file.path) for file in arrival.files],
            "manifest": None if arrival.manifest is None else str(arrival.manifest),
        }
        for arrival in found
    ]
    with output_may_fail():
        if as_json:
            print_json({"options": _option_values(sources, booked_on), "sources": rows})
        else:
            _print(rows, Texts("night", lang))
    return 1 if missing else 0


def _option_values(sources: Sources, booked_on: dt.date) -> dict[str, Any]:
    options = sources.options
    paths = ("rejects", "gates", "services", "log_json", "metrics")
    values: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("existing", "wait", "allow_quarantined", "whole_lines")
    }
    values |= {
        "programme": sources.programme(booked_on),
        "max_quarantined": list(options.max_quarantined),
        "on_finish": options.on_finish,
    }
    for name in paths:
        path = sources.optional_path(getattr(options, name), booked_on)
        values[name] = None if path is None else str(path)
    return values


def _print(rows: Sequence[dict[str, Any]], texts: Texts) -> None:
    columns = [(texts(name), name == "found") for name in ("name", "role", "files", "found")]
    lines = [
        (
            *(row["name"], row["role"], row["pattern"]),
            len(row["files"]) or texts("missing" if row["required"] else "none"),
        )
        for row in rows
    ]
    output().print(table(columns, lines))

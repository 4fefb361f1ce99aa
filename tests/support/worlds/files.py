"""A world's rows and settings, written as files."""

import csv
import io
import json
from collections.abc import Sequence
from random import Random

from oracle import (
    ENROLLMENT_OPTIONAL,
    ENROLLMENT_REQUIRED,
    EVENT_OPTIONAL,
    EVENT_REQUIRED,
    TRANSACTION_OPTIONAL,
    TRANSACTION_REQUIRED,
    File,
    Programme,
    Service,
)

from worlds.contents import Row

# --- TOML -----------------------------------------------------------------------------------------


def quoted(text: str) -> str:
    """Write a TOML basic string; JSON's escapes are among TOML's."""
    return json.dumps(text, ensure_ascii=False)


def services_toml(rng: Random, services: Sequence[Service]) -> str:
    """Write the registry, keys in any order, defaults sometimes left out."""
    blocks = []
    for service in services:
        lines = [
            f"service_id = {quoted(service.service_id)}",
            f"name = {quoted(service.name)}",
            f"basis = {quoted(service.basis)}",
        ]
        if service.rounding != "cumulative" or rng.random() < 0.5:
            lines.append(f"rounding = {quoted(service.rounding)}")
        if service.counts_from != "instant" or rng.random() < 0.5:
            lines.append(f"counts_from = {quoted(service.counts_from)}")
        if service.preregistration or rng.random() < 0.5:
            lines.append(f"preregistration = {str(service.preregistration).lower()}")
        if service.applications_close_on is not None:
            lines.append(f"applications_close_on = {service.applications_close_on.isoformat()}")
        if service.awards_close_on is not None:
            lines.append(f"awards_close_on = {service.awards_close_on.isoformat()}")
        if service.excluded_methods or rng.random() < 0.5:
            methods = ", ".join(quoted(method) for method in service.excluded_methods)
            lines.append(f"excluded_methods = [{methods}]")
        rng.shuffle(lines)
        blocks.append("\n".join(["[[services]]", *lines, ""]))
    return "\n".join(blocks)


def programme_toml(programme: Programme) -> str:
    lines = [
        f"programme_id = {quoted(programme.programme_id)}",
        'name = "a programme that never was"',
        "[rate]",
        f"numerator = {programme.numerator}",
        f"denominator = {programme.denominator}",
        'source = "invented"',
        "[cap]",
        f"spending_yen = {programme.cap_yen}",
        'source = "invented"',
    ]
    if programme.reconsider_days is not None:
        lines.insert(0, f"reconsider_days = {programme.reconsider_days}")
    for terms in programme.terms:
        lines += [
            "[[terms]]",
            f"announced_on = {terms.announced_on.isoformat()}",
            f"window_first = {terms.window_first.isoformat()}",
            f"window_last = {terms.window_last.isoformat()}",
            f"applications_last = {terms.applications_last.isoformat()}",
            f"card_applications_last = {terms.card_applications_last.isoformat()}",
            'source = "invented"',
        ]
    return "\n".join(lines) + "\n"


# --- CSV ------------------------------------------------------------------------------------------


def render(rng: Random, role: str, rows: Sequence[Row]) -> tuple[File, ...]:
    """Write the rows to one to three files, in this order, each file in a manner of its own."""
    if not rows and (role == "events" or rng.random() < 0.5):
        return ()
    count = rng.choice((1, 1, 1, 2, 2, 3))
    cuts = sorted(rng.randint(0, len(rows)) for _ in range(count - 1))
    files = []
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(rows)], strict=True), 1):
        files.append((f"{role}-{number}.csv", render_file(rng, role, rows[begin:end])))
    return tuple(files)


def render_file(rng: Random, role: str, rows: Sequence[Row]) -> str:
    required, optional = columns_of(role)
    columns = list(required)
    for column in optional:
        # A row that lacks fields loses the last ones, whichever these are.
        given = any(row.values.get(column, "").strip(" \t\u3000\ufeff") for row in rows)
        if given or rng.random() < 0.6:
            columns.append(column)
    columns += [extra for extra in ("備考", "Amount", "a, b") if rng.random() < 0.1]
    if rng.random() < 0.5:
        rng.shuffle(columns)

    line_end = "\r\n" if rng.random() < 0.3 else "\n"
    quote_all = rng.random() < 0.15
    blank_lines = rng.random() < 0.2

    def written(text: str) -> str:
        if quote_all or any(mark in text for mark in ',"\r\n') or rng.random() < 0.05:
            return '"' + text.replace('"', '""') + '"'
        return text

    lines = [",".join(written(column) for column in columns)]
    for row in rows:
        while blank_lines and rng.random() < 0.15:
            lines.append("")
        if row.blanks:
            lines.append(rng.choice((" ", "\t", "\u3000", "  \t")))
            continue
        fields = [
            row.values.get(column, rng.choice(("", "x", "a,b", "NULL", "-1"))) for column in columns
        ]
        if row.fields_off < 0:
            # Two are left at least: a single empty field would be an empty line.
            del fields[max(2, len(fields) + row.fields_off) :]
        fields += [""] * row.fields_off
        lines.append(",".join(written(text) for text in fields))
    if blank_lines:
        lines.append("")
    # NULs after the last line are what fills up a file.
    end = "" if rng.random() < 0.2 and not lines[-1].endswith("\x00") else line_end
    return ("\ufeff" if rng.random() < 0.2 else "") + line_end.join(lines) + end


def columns_of(role: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if role == "events":
        return EVENT_REQUIRED, EVENT_OPTIONAL
    if role == "enrollments":
        return ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL
    return TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL


def fields_of(raw: str) -> tuple[str, ...]:
    """Read one record's text back."""
    return tuple(next(csv.reader(io.StringIO(raw, newline=""))))

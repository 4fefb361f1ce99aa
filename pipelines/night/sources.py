"""The sources file, ``mynapoint.toml``: what arrives from whom, and how a night is run.

``[run]`` has the options of ``mynapoint run`` that are the same every night, by their names with
underscores. Each ``[[sources]]`` is:

| key | default | meaning |
|---|---|---|
| `name` | | how messages call the source |
| `role` | `transactions` | `transactions`, `enrollments` or `events` |
| `files` | | a file, a folder or a glob; also in an object store, `s3://…` |
| `layout` | by their headers | a layout's ID or file, or `canonical` |
| `parameters` | none | a table: what the layout asks for |
| `parameters_from_name` | none | a regular expression for a file's own name; its named groups are \
parameters |
| `required` | `true` | whether a night without a file of it is refused |
| `manifest` | none | a delivery note of its files |

In paths and URLs, ``{booked_on}`` stands for the day, as ``{booked_on:%Y%m%d}`` in another form.
Relative paths begin at the folder of the sources file. A ``layout`` or ``programme`` that ends in
``.toml`` is a path.
"""

from __future__ import annotations

import datetime as dt
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from engine.errors import InputError
from engine.io.delivered.deliveries import DeliveredAs, names_in_store
from engine.io.object_store import is_store_url
from engine.io.run.delivery_note import DeliveryNote, load_delivery_note
from engine.paths import expanded
from engine.terms.strict_toml import StrictTable, parse, read_text

NightRole = Literal["transactions", "enrollments", "events"]
NIGHT_ROLES: Final[tuple[NightRole, ...]] = get_args(NightRole)

_SOURCE_KEYS: Final = (
    *("name", "role", "files", "layout", "parameters", "parameters_from_name", "required"),
    "manifest",
)
_RUN_KEYS: Final = (
    *("existing", "wait", "max_quarantined", "allow_quarantined", "whole_lines", "rejects"),
    *("gates", "services", "programme", "log_json", "metrics", "on_finish"),
)
_MAX_WAIT_SECONDS: Final = 86_400
_MAX_ROWS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class NightSource:
    """What arrives from one provider; paths and patterns as the file has them."""

    name: str
    role: NightRole
    files: str
    layout: str | None
    parameters: dict[str, str]
    parameters_from_name: re.Pattern[str] | None
    required: bool
    manifest: str | None


@dataclass(frozen=True, slots=True)
class NightlyOptions:
    """The options of a run that are the same every night; paths as the file has them.

    Attributes:
        max_quarantined: a share as two whole numbers.
    """

    existing: bool
    wait: int
    max_quarantined: tuple[int, int]
    allow_quarantined: int
    whole_lines: bool
    rejects: str | None
    gates: str | None
    services: str | None
    programme: str | None
    log_json: str | None
    metrics: str | None
    on_finish: str | None


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources file.

    Attributes:
        folder: where relative paths begin.
    """

    folder: Path
    options: NightlyOptions
    sources: tuple[NightSource, ...]

    def path(self, text: str, booked_on: dt.date) -> str:
        """A path of the file, whole, for a day; a URL as it is."""
        filled = _filled(text, booked_on)
        return filled if is_store_url(filled) else os.path.join(self.folder, filled)  # noqa: PTH118

    def matching(self, text: str, booked_on: dt.date) -> list[str]:
        """The paths that a pattern of the file, or a path, means on a day; of a URL all objects."""
        path = self.path(text, booked_on)
        if is_store_url(path):
            return names_in_store(path, "files")
        if os.path.lexists(path):
            return [path]
        # The pattern is the file's own; its folder is called as it is called.
        pattern = os.path.join(glob.escape(str(self.folder)), _filled(text, booked_on))  # noqa: PTH118
        return sorted(glob.glob(pattern))  # noqa: PTH207

    def programme(self, booked_on: dt.date) -> str | None:
        """The programme of a run on a day: an ID, or a file's whole path."""
        text = self.options.programme
        return self.path(text, booked_on) if text is not None and _is_file(text) else text

    def optional_path(self, text: str | None, booked_on: dt.date) -> Path | None:
        """As ``path``, of an option that may be missing."""
        return None if text is None else Path(self.path(text, booked_on))


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a source has for a night.

    Attributes:
        files: the files and folders behind its pattern.
        manifest: where its delivery note should be.
    """

    source: NightSource
    pattern: str
    files: Sequence[DeliveredAs]
    manifest: Path | None

    def note(self) -> DeliveryNote | None:
        """Its delivery note, which speaks of its own files.

        Raises:
            InputError: it is not there, or cannot be understood.
        """
        if self.manifest is None or not self.files:
            return None
        names = frozenset(str(file.path) for file in self.files)
        return load_delivery_note(self.manifest).of(names)


def load_sources(path: Path) -> Sources:
    """The sources in a file.

    Raises:
        InputError: there is no such file, or it breaks a rule.
    """
    where = Path(expanded(str(path)))
    table = parse(read_text(where), str(path), ("run", "sources"))
    sources: dict[str, NightSource] = {}
    for source_table in table.tables("sources", _SOURCE_KEYS, "name"):
        source = _source(source_table)
        if source.name in sources:
            raise source_table.fault("name", "is there twice", "give each source its own name")
        sources[source.name] = source
    options = table.optional_table("run", _RUN_KEYS) or StrictTable({}, f"{path}: [run]", _RUN_KEYS)
    return Sources(where.absolute().parent, _options(options), tuple(sources.values()))


def _source(table: StrictTable) -> NightSource:
    pattern = table.optional_text("parameters_from_name")
    compiled = None
    if pattern is not None:
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            hint = "write a regular expression of Python, in 'single quotes'"
            raise table.fault("parameters_from_name", str(error), hint) from error
        if not compiled.groupindex:
            hint = "name what is a parameter: (?P<account_id>[0-9]+)"
            raise table.fault("parameters_from_name", "has no named group", hint)
    return NightSource(
        name=table.text("name"),
        role=table.word("role", NIGHT_ROLES, "transactions"),
        files=_path(table, "files", table.text("files")),
        layout=_file_or_id(table, "layout"),
        parameters=table.texts_by_name("parameters"),
        parameters_from_name=compiled,
        required=table.boolean("required", default=True),
        manifest=_optional_path(table, "manifest"),
    )


def _options(table: StrictTable) -> NightlyOptions:
    return NightlyOptions(
        existing=table.boolean("existing", default=True),
        wait=_whole(table, "wait", _MAX_WAIT_SECONDS),
        max_quarantined=table.optional_share("max_quarantined", _MAX_ROWS) or (5, 100),
        allow_quarantined=_whole(table, "allow_quarantined", _MAX_ROWS),
        whole_lines=table.boolean("whole_lines", default=False),
        rejects=_optional_path(table, "rejects"),
        gates=_optional_path(table, "gates"),
        services=_optional_path(table, "services"),
        programme=_file_or_id(table, "programme"),
        log_json=_optional_path(table, "log_json"),
        metrics=_optional_path(table, "metrics"),
        on_finish=table.optional_text("on_finish"),
    )


def _whole(table: StrictTable, key: str, most: int) -> int:
    return table.integer(key, 0, most) if table.has(key) else 0


def _optional_path(table: StrictTable, key: str) -> str | None:
    text = table.optional_text(key)
    return None if text is None else _path(table, key, text)


def _file_or_id(table: StrictTable, key: str) -> str | None:
    text = table.optional_text(key)
    return _path(table, key, text) if text is not None and _is_file(text) else text


def _is_file(text: str) -> bool:
    return text.endswith(".toml")


def _filled(text: str, booked_on: dt.date) -> str:
    return expanded(text.format(booked_on=booked_on))


def is_dated(text: str | None) -> bool:
    """Whether a path of the file, if there is one, is not the same each night."""
    days = (dt.date(2020, 1, 1), dt.date(2021, 12, 31))
    return text is not None and len({text.format(booked_on=day) for day in days}) > 1


def _path(table: StrictTable, key: str, text: str) -> str:
    try:
        text.format(booked_on=dt.date(2020, 1, 1))
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        hint = "between braces stands booked_on alone, such as {booked_on:%Y%m%d}"
        raise table.fault(key, f'"{text}" cannot be filled in', hint) from error
    return text


def arrivals(sources: Sources, booked_on: dt.date, *, nothing_delivered: bool) -> list[Arrival]:
    """What each source has for a night, in the file's order.

    Raises:
        InputError: a required source has nothing, or a file's name does not say its parameters.
    """
    found = [_arrival(sources, source, booked_on) for source in sources.sources]
    for arrival in found:
        if arrival.source.required and not arrival.files and not nothing_delivered:
            raise InputError(
                f"source {arrival.source.name}: there is no file {arrival.pattern}",
                hint="wait for the delivery; or say --nothing-delivered, or required = false in "
                "the sources file",
            )
    return found


def _arrival(sources: Sources, source: NightSource, booked_on: dt.date) -> Arrival:
    pattern = sources.path(source.files, booked_on)
    matches = sources.matching(source.files, booked_on)
    layout = source.layout
    if layout is not None and _is_file(layout):
        layout = sources.path(layout, booked_on)
    files = [DeliveredAs(match, layout, _parameters(source, match)) for match in matches]
    return Arrival(source, pattern, files, sources.optional_path(source.manifest, booked_on))


def _parameters(source: NightSource, path: str) -> dict[str, str]:
    if source.parameters_from_name is None:
        return source.parameters
    match = source.parameters_from_name.fullmatch(Path(path).name)
    if match is None:
        raise InputError(
            f"source {source.name}: {path}: the name is not as parameters_from_name says",
            hint="correct the pattern of files, or the regular expression",
        )
    named = {name: text for name, text in match.groupdict().items() if text is not None}
    return source.parameters | named

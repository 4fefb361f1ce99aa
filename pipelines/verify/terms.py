"""What each run was booked by, read from its kept files by other code than the engine's."""

import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from engine.io.book.folder import Book
from pipelines.verify.kept_runs import KeptRun

RUNS: Final = {
    "run": "BIGINT",
    "run_id": "VARCHAR",
    "format": "BIGINT",
    "booked_on": "DATE",
    "window_first": "DATE",
    "window_last": "DATE",
    "cap_yen": "BIGINT",
    "numerator": "BIGINT",
    "denominator": "BIGINT",
    "reconsidered": "BIGINT",
    "reconsider_days": "BIGINT",
}
SERVICES: Final = {
    "run": "BIGINT",
    "service_id": "VARCHAR",
    "basis": "VARCHAR",
    "rounding": "VARCHAR",
    "counts_from": "VARCHAR",
    "awards_close_on": "DATE",
}
EXCLUDED: Final = {"run": "BIGINT", "service_id": "VARCHAR", "method": "VARCHAR"}
_TYPES: Final = {"BIGINT": int, "VARCHAR": str, "DATE": dt.date}


@dataclass(frozen=True, slots=True)
class TermsRows:
    """Rows of the three tables."""

    run: tuple[Any, ...]
    services: list[tuple[Any, ...]]
    excluded: list[tuple[Any, ...]]


def read_terms(book: Book, run: KeptRun) -> TermsRows:
    """A run's programme, terms and services.

    Raises:
        ValueError, LookupError, TypeError: a file does not say what the record says it does.
    """
    programme = _toml(book, run, "programme.toml")
    used = run.record.programme
    announced = {table["announced_on"]: table for table in programme["terms"]}
    terms = announced[used.terms.announced_on]
    if terms != asdict(used.terms) or programme["programme_id"] != used.id:
        raise ValueError("programme.toml has other terms than the record")
    services = _toml(book, run, "services.toml")["services"]
    read = TermsRows(
        (
            run.number,
            run.id,
            run.record.format,
            run.record.booked_on,
            terms["window_first"],
            terms["window_last"],
            programme["cap"]["spending_yen"],
            programme["rate"]["numerator"],
            programme["rate"]["denominator"],
            run.record.counts.reconsidered,
            programme.get("reconsider_days"),
        ),
        [
            (
                run.number,
                service["service_id"],
                service["basis"],
                service.get("rounding", "cumulative"),
                service.get("counts_from", "instant"),
                service.get("awards_close_on"),
            )
            for service in services
        ],
        [
            (run.number, service["service_id"], method)
            for service in services
            for method in service.get("excluded_methods", [])
        ],
    )
    _check_types(RUNS, [read.run])
    _check_types(SERVICES, read.services)
    _check_types(EXCLUDED, read.excluded)
    return read


def _check_types(columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Of a rate of 25.5 a table would take 25."""
    for row in rows:
        for (name, kind), value in zip(columns.items(), row, strict=True):
            if value is not None and type(value) is not _TYPES[kind]:
                raise TypeError(f"{name} is not of its type")
            if isinstance(value, int) and not 0 <= value < 1 << 62:
                raise ValueError(f"{name} is out of range")


def _toml(book: Book, run: KeptRun, name: str) -> dict[str, Any]:
    return tomllib.loads((book.path / run.file(name)).read_bytes().decode("utf-8-sig"))

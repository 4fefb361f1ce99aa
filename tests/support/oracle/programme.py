"""The services and the programme: reading them, and what of them may not change."""

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from oracle.canonical import UnusableError


@dataclass(frozen=True)
class Service:
    service_id: str
    name: str
    basis: str
    rounding: str = "cumulative"
    counts_from: str = "instant"
    preregistration: bool = False
    applications_close_on: date | None = None
    awards_close_on: date | None = None
    excluded_methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Terms:
    announced_on: date
    window_first: date
    window_last: date
    applications_last: date
    card_applications_last: date


@dataclass(frozen=True)
class Programme:
    programme_id: str
    numerator: int
    denominator: int
    cap_yen: int
    terms: tuple[Terms, ...]
    reconsider_days: int | None = None
    """How long a transaction that was turned away is tried again; None: without a bound."""


MYNAPOINT_2020 = Programme(
    programme_id="mynapoint-2020",
    numerator=25,
    denominator=100,
    cap_yen=20_000,
    terms=(
        Terms(
            announced_on=date(2021, 3, 25),
            window_first=date(2020, 9, 1),
            window_last=date(2021, 9, 30),
            applications_last=date(2021, 9, 30),
            card_applications_last=date(2021, 4, 30),
        ),
    ),
)
"""The built-in programme with its latest terms alone: the only ones the specification states."""


def read_services(text: str) -> list[Service]:
    """A list of `[[services]]`; what is left out has the specification's default."""
    services = []
    for table in tomllib.loads(text)["services"]:
        methods = tuple(table.pop("excluded_methods", ()))
        table.pop("payout", None)
        services.append(Service(**table, excluded_methods=methods))
    return services


def read_programme(text: str) -> Programme:
    table = tomllib.loads(text)
    terms = []
    for stated in table["terms"]:
        stated.pop("source")
        terms.append(Terms(**stated))
    return Programme(
        programme_id=table["programme_id"],
        numerator=table["rate"]["numerator"],
        denominator=table["rate"]["denominator"],
        cap_yen=table["cap"]["spending_yen"],
        terms=tuple(terms),
        reconsider_days=table.get("reconsider_days"),
    )


def terms_in_force(programme: Programme, as_of: date | None) -> Terms:
    """Clause: the latest announced on or before `--terms-as-of` (default: the latest)."""
    latest: Terms | None = None
    for terms in programme.terms:
        if as_of is not None and terms.announced_on > as_of:
            continue
        if latest is None or terms.announced_on > latest.announced_on:
            latest = terms
    if latest is None:
        raise UnusableError(f"no terms were announced by {as_of}")
    return latest


def service_named(service_id: str, services: Sequence[Service]) -> Service | None:
    for service in services:
        if service.service_id == service_id:
            return service
    return None


def refuse_changes(
    services_before: Sequence[Service],
    programme_before: Programme,
    services: Sequence[Service],
    programme: Programme,
    services_with_enrollments: Iterable[str],
) -> None:
    """Refuse what would restate the entries of a book that has some.

    Clause: The programme's id, its rate, its cap, a service's `rounding` or `basis`, and the
    removal of a service that has accepted enrollments: no, once the book has entries.
    """
    for key in ("programme_id", "numerator", "denominator", "cap_yen"):
        if getattr(programme, key) != getattr(programme_before, key):
            raise UnusableError(f"the programme's {key} may not change")
    for before in services_before:
        now = service_named(before.service_id, services)
        if now is None:
            if before.service_id in services_with_enrollments:
                raise UnusableError(f"{before.service_id}: the service has accepted enrollments")
            continue
        for key in ("rounding", "basis"):
            if getattr(now, key) != getattr(before, key):
                raise UnusableError(f"{before.service_id}: {key} may not change")

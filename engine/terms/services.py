"""The registry of payment services (決済サービス), from a strict TOML file.

A list of `[[services]]`; `service_id`, `name` and `basis` are required:

| key | default | meaning |
|---|---|---|
| `service_id` | | as in the deliveries: 1 to 64 characters, no control character |
| `name` | | for people |
| `basis` | | what earns: `charge`, `purchase`, or `either` (the enrollment chooses) |
| `rounding` | `"cumulative"` | what fractions are cut on: `cumulative`, `month` or `transaction` |
| `counts_from` | `"instant"` | spending counts from the `instant` of the application, from its \
day on (`application_day`), or from the `next_day` |
| `preregistration` | `false` | must the person have registered with the service beforehand |
| `applications_close_on` | none | last day on which the service takes applications |
| `awards_close_on` | none | last day whose transactions the service awards |
| `excluded_methods` | `[]` | values of `method` that earn nothing |
| `payout` | `at_once` | when points are granted, a table: see `engine.terms.payout` |
| `lapse_rate` | none | the share of granted points that is expected to lapse, `[3, 100]`; its \
source must be given |
| `registered_number` | none | the service's number in the programme: `MP` and 7 digits |
| `sources` | none | a table, key to text: where the value of that key comes from, \
or `assumed: …` |
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from engine.terms.payout import AT_ONCE, PAYOUT_KEYS, Payout, payout_of
from engine.terms.strict_toml import StrictTable, parse, read_packaged, read_text

Basis = Literal["charge", "purchase", "either"]
Rounding = Literal["cumulative", "month", "transaction"]
CountsFrom = Literal["instant", "application_day", "next_day"]

BASES: Final[tuple[Basis, ...]] = get_args(Basis)
ROUNDINGS: Final[tuple[Rounding, ...]] = get_args(Rounding)
COUNTS_FROM: Final[tuple[CountsFrom, ...]] = get_args(CountsFrom)

_BUILT_IN_FOLDER: Final = "terms/service_registries"
_BUILT_IN_REGISTRY: Final = "japan-2020"
MAX_LAPSE_DENOMINATOR: Final = 1_000_000
_REGISTERED_NUMBER: Final = re.compile(r"MP[0-9]{7}")


@dataclass(frozen=True, slots=True)
class Service:
    """A payment service; all days are Japan Standard Time, both ends included.

    Attributes:
        service_id: as in the deliveries.
        name: the service's name, for people.
        basis: what earns points: charges (前払い), purchases (物品等の購入), or whichever the
            enrollment chose.
        rounding: the group whose sum is rounded down: all of the account, the account's
            calendar month, or the single transaction.
        counts_from: from when on spending counts, seen from the application.
        preregistration: must the person have registered with the service beforehand (事前登録).
        applications_close_on: last day on which the service takes applications.
        awards_close_on: last day whose transactions the service awards.
        excluded_methods: values of a transaction's `method` that earn nothing.
        payout: when points are granted.
        lapse_rate: the share of granted points that is expected to lapse, a ratio.
        earning_methods: values that are known to earn. They change nothing: a run names the values
            that no service lists, since one of them may be a misspelt exclusion.
        registered_number: the service's number in the programme, such as `MP0000064`.
        sources: pairs (key, where its value comes from).
    """

    service_id: str
    name: str
    basis: Basis
    rounding: Rounding = "cumulative"
    counts_from: CountsFrom = "instant"
    preregistration: bool = False
    applications_close_on: dt.date | None = None
    awards_close_on: dt.date | None = None
    excluded_methods: tuple[str, ...] = ()
    payout: Payout = AT_ONCE
    lapse_rate: tuple[int, int] | None = None
    earning_methods: tuple[str, ...] = ()
    registered_number: str | None = None
    sources: tuple[tuple[str, str], ...] = ()

    def source_of(self, key: str) -> str | None:
        """Where the value of `key` comes from; None if the registry does not say."""
        return dict(self.sources).get(key)


_SOURCED_KEYS: Final = (
    "service_id",
    "name",
    "basis",
    "rounding",
    "counts_from",
    "preregistration",
    "applications_close_on",
    "awards_close_on",
    "excluded_methods",
    "payout",
    "lapse_rate",
    "earning_methods",
    "registered_number",
)
_SERVICE_KEYS: Final = (*_SOURCED_KEYS, "sources")


@dataclass(frozen=True, slots=True)
class Services:
    """A registry of services.

    Attributes:
        services: in the file's order; no two have one `service_id`.
        text: the file's text, whole.
        sha256: of `text` in UTF-8, which is the file's own.
        by_id: the services by their `service_id`.
    """

    services: tuple[Service, ...]
    text: str
    sha256: str
    by_id: Mapping[str, Service] = field(init=False, repr=False, compare=False)

    @property
    def known_methods(self) -> frozenset[str]:
        """All values of `method` that a service lists."""
        return frozenset(
            method
            for service in self.services
            for method in (*service.excluded_methods, *service.earning_methods)
        )

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_id", {s.service_id: s for s in self.services})


def load_services(path: str | Path | None) -> Services:
    """The registry in a file; with None, the one that ships with the engine.

    Raises:
        InputError: there is no such file, or it breaks a rule.
    """
    if path is None:
        text = read_packaged(_BUILT_IN_FOLDER, _BUILT_IN_REGISTRY)
        return parse_services(text, f"{_BUILT_IN_REGISTRY} (built in)")
    return parse_services(read_text(path), str(path))


def parse_services(text: str, where: str) -> Services:
    """The registry that a TOML text describes; errors name the text by `where`.

    Raises:
        InputError: the text is not TOML; a key is unknown, missing or of the wrong type; a
            word is none of the listed ones; a `service_id` is there twice; awards close
            before applications do.
    """
    services: dict[str, Service] = {}
    for table in parse(text, where, ("services",)).tables("services", _SERVICE_KEYS, "service_id"):
        service = _service(table)
        if service.service_id in services:
            number = list(services).index(service.service_id) + 1
            raise table.fault(
                "service_id",
                f"[[services]] {number} has it already",
                "give each service an ID of its own",
            )
        services[service.service_id] = service
    return Services(
        services=tuple(services.values()),
        text=text,
        sha256=hashlib.sha256(text.encode("utf-8")).hexdigest(),
    )


def _service(table: StrictTable) -> Service:
    service = Service(
        service_id=table.identifier("service_id"),
        name=table.text("name"),
        basis=table.word("basis", BASES),
        rounding=table.word("rounding", ROUNDINGS, "cumulative"),
        counts_from=table.word("counts_from", COUNTS_FROM, "instant"),
        preregistration=table.boolean("preregistration", default=False),
        applications_close_on=table.optional_day("applications_close_on"),
        awards_close_on=table.optional_day("awards_close_on"),
        excluded_methods=table.texts("excluded_methods"),
        payout=payout_of(table.optional_table("payout", PAYOUT_KEYS)),
        lapse_rate=table.optional_share("lapse_rate", MAX_LAPSE_DENOMINATOR),
        earning_methods=table.texts("earning_methods"),
        registered_number=table.optional_text("registered_number"),
        sources=table.optional_texts_by_key("sources", _SOURCED_KEYS),
    )
    if service.lapse_rate is not None and service.source_of("lapse_rate") is None:
        raise table.fault(
            "lapse_rate",
            "has no source",
            'write under [services.sources] lapse_rate = "…": the state is told where it is from',
        )
    for method in service.earning_methods:
        if method in service.excluded_methods:
            raise table.fault(
                "earning_methods",
                f'"{method}" is excluded as well',
                "a method earns or earns nothing: leave one of the two out",
            )
    number = service.registered_number
    if number is not None and not _REGISTERED_NUMBER.fullmatch(number):
        raise table.fault(
            "registered_number",
            f'"{number}" is not MP and seven digits',
            "write it like MP0000064, or leave it out",
        )
    applications, awards = service.applications_close_on, service.awards_close_on
    if applications is not None and awards is not None and awards < applications:
        raise table.fault(
            "awards_close_on",
            f"{awards} is before applications_close_on, {applications}",
            "a service takes no applications after its last day of awards",
        )
    return service

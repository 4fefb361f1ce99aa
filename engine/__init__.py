"""The points engine of マイナポイント: deliveries in, a validated ledger of awards out.

For those who embed it: ``run`` books a night; ``load_programme`` and ``load_services`` read what
it is booked by; ``InputError`` and ``BookError`` say why nothing was booked.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.errors import BookError, InputError, MynapointError
    from engine.io.deliveries import DeliveredAs
    from engine.io.nightly_run import Progress, RunResult, run
    from engine.programme import Programme, Terms, load_programme, parse_programme
    from engine.services import Service, Services, load_services, parse_services

# Loaded when asked for: the data libraries take longer to import than a command takes to say no.
_HOMES = {
    "BookError": "engine.errors",
    "DeliveredAs": "engine.io.deliveries",
    "InputError": "engine.errors",
    "MynapointError": "engine.errors",
    "Programme": "engine.programme",
    "Progress": "engine.io.nightly_run",
    "RunResult": "engine.io.nightly_run",
    "Service": "engine.services",
    "Services": "engine.services",
    "Terms": "engine.programme",
    "load_programme": "engine.programme",
    "load_services": "engine.services",
    "parse_programme": "engine.programme",
    "parse_services": "engine.services",
    "run": "engine.io.nightly_run",
}

__all__ = [
    "BookError",
    "DeliveredAs",
    "InputError",
    "MynapointError",
    "Programme",
    "Progress",
    "RunResult",
    "Service",
    "Services",
    "Terms",
    "load_programme",
    "load_services",
    "parse_programme",
    "parse_services",
    "run",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as modules' attributes are
    if name not in _HOMES:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""The points engine of マイナポイント, for programs that embed it.

``run`` books a night; ``load_programme`` and ``load_services`` read what it is booked by;
``InputError`` and ``BookError`` say why nothing was booked.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.errors import BookError, InputError, MynapointError
    from engine.io.book.run_record import RunRecord
    from engine.io.delivered.deliveries import DeliveredAs
    from engine.io.run.nightly import run
    from engine.io.run.one_run import RunResult
    from engine.io.run.order import Progress
    from engine.terms.programme import Programme, Terms, load_programme, parse_programme
    from engine.terms.services import Service, Services, load_services, parse_services

__all__ = [
    "BookError",
    "DeliveredAs",
    "InputError",
    "MynapointError",
    "Programme",
    "Progress",
    "RunRecord",
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

_MODULES = {
    "engine.errors": ("BookError", "InputError", "MynapointError"),
    "engine.io.book.run_record": ("RunRecord",),
    "engine.io.delivered.deliveries": ("DeliveredAs",),
    "engine.io.run.nightly": ("run",),
    "engine.io.run.one_run": ("RunResult",),
    "engine.io.run.order": ("Progress",),
    "engine.terms.programme": ("Programme", "Terms", "load_programme", "parse_programme"),
    "engine.terms.services": ("Service", "Services", "load_services", "parse_services"),
}


def __getattr__(name: str) -> object:
    """Loads a name when it is asked for.

    ``python -m mynapoint`` comes by here before it has met interrupts and closed streams, and must
    open nothing until then.
    """
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""The points engine of マイナポイント, for programs that embed it.

``run`` books a night; ``load_programme`` and ``load_services`` read what it is booked by;
``InputError`` and ``BookError`` say why nothing was booked.
"""

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

"""The points engine of マイナポイント, for programs that embed it.

``run`` books a night, or with ``dry_run=True`` says what it would book; ``payout`` instructs what
is owed, ``take_answers`` takes in what became of it, ``due`` says what comes due when; ``verify``,
``explain``, ``claim`` and ``open_book`` answer what an auditor asks; ``load_programme`` and
``load_services`` read what a night is booked by; ``InputError`` and ``BookError`` say why nothing
was booked, with a ``code`` that does not change.

What happens is logged under the name ``engine`` (``logging``): runs begun and booked as ``INFO``,
what someone should look at as ``WARNING``.

A process that has used any of this must not be forked: Polars' threads do not live on in a child.
With ``multiprocessing``, use the start methods ``spawn`` or ``forkserver``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.errors import BookError, InputError, MynapointError
    from engine.io.book.payout_record import PayoutRecord
    from engine.io.book.run_record import RunRecord
    from engine.io.delivered.deliveries import DeliveredAs
    from engine.io.payout.payout_run import PayoutResult, payout, take_answers
    from engine.io.run.nightly import run
    from engine.io.run.one_run import RunResult
    from engine.io.run.order import Progress
    from engine.terms.gates import Gates, load_gates, parse_gates
    from engine.terms.programme import Programme, Terms, load_programme, parse_programme
    from engine.terms.services import Service, Services, load_services, parse_services
    from pipelines.api import claim, due, explain, open_book
    from pipelines.claim.settlement import Claim
    from pipelines.desk.opened_book import OpenedBook
    from pipelines.due.forecast import Due
    from pipelines.explain.story import Person, Transaction
    from pipelines.verify import Finding, Verified, verify

__all__ = [
    "BookError",
    "Claim",
    "DeliveredAs",
    "Due",
    "Finding",
    "Gates",
    "InputError",
    "MynapointError",
    "OpenedBook",
    "PayoutRecord",
    "PayoutResult",
    "Person",
    "Programme",
    "Progress",
    "RunRecord",
    "RunResult",
    "Service",
    "Services",
    "Terms",
    "Transaction",
    "Verified",
    "claim",
    "due",
    "explain",
    "load_gates",
    "load_programme",
    "load_services",
    "open_book",
    "parse_gates",
    "parse_programme",
    "parse_services",
    "payout",
    "run",
    "take_answers",
    "verify",
]

_MODULES = {
    "engine.errors": ("BookError", "InputError", "MynapointError"),
    "engine.io.book.run_record": ("RunRecord",),
    "engine.io.delivered.deliveries": ("DeliveredAs",),
    "engine.io.book.payout_record": ("PayoutRecord",),
    "engine.io.payout.payout_run": ("PayoutResult", "payout", "take_answers"),
    "engine.io.run.nightly": ("run",),
    "engine.io.run.one_run": ("RunResult",),
    "engine.io.run.order": ("Progress",),
    "engine.terms.gates": ("Gates", "load_gates", "parse_gates"),
    "engine.terms.programme": ("Programme", "Terms", "load_programme", "parse_programme"),
    "engine.terms.services": ("Service", "Services", "load_services", "parse_services"),
    "pipelines.api": ("claim", "due", "explain", "open_book"),
    "pipelines.claim.settlement": ("Claim",),
    "pipelines.desk.opened_book": ("OpenedBook",),
    "pipelines.due.forecast": ("Due",),
    "pipelines.explain.story": ("Person", "Transaction"),
    "pipelines.verify": ("Finding", "Verified", "verify"),
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

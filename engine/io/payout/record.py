"""The record of a payout run: what was asked, what went out or came in, and the chain."""

import datetime as dt
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.io.book.folder import run_id
from engine.io.book.payout_record import FORMAT, OthersDone, PayoutRecord
from engine.io.book.payouts import previous_sha256
from engine.io.book.run_record import Input, Output, Ran, RowWarning
from engine.io.payout.known import KnownPayouts
from engine.io.run.changes import JAPAN
from engine.io.users import command_line, user_name
from engine.io.versions import versions


def today() -> dt.date:
    """Today by the machine's clock, in Japan."""
    return dt.datetime.now(JAPAN).date()


def now() -> dt.datetime:
    """The instant by the machine's clock, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


def ran(started_at: dt.datetime) -> Ran:
    """Who ran what, where and when."""
    return Ran(started_at, now(), user_name(), socket.gethostname(), command_line())


@dataclass(frozen=True, slots=True)
class PayoutOrder:
    """What a payout run was asked to do."""

    due_by: dt.date | None = None
    services: tuple[str, ...] = ()
    answers: OthersDone | None = None
    allowed: tuple[str, ...] = ()


def record_of(
    known: KnownPayouts,
    started_at: dt.datetime,
    order: PayoutOrder,
    *,
    counts: dict[str, int],
    points: dict[str, int],
    outputs: Sequence[Output],
    inputs: Sequence[Input] = (),
    skipped: Mapping[str, int] | None = None,
    warnings: Sequence[RowWarning] = (),
) -> PayoutRecord:
    """The record of a payout run on a book as it was before."""
    return PayoutRecord(
        format=FORMAT,
        payout_run_id=run_id(known.payout_runs + 1),
        ran=ran(started_at),
        due_by=order.due_by,
        services=order.services,
        answers=order.answers,
        allowed=order.allowed,
        run_id=run_id(known.runs),
        programme=known.last_run.programme,
        services_sha256=known.last_run.services_sha256,
        inputs=tuple(inputs),
        counts=counts,
        points=points,
        skipped=dict(skipped or {}),
        warnings=tuple(warnings),
        outputs=tuple(sorted(outputs, key=lambda output: output.name)),
        payouts_version=known.payout_runs,
        engine=versions(),
        previous_sha256=previous_sha256(known.book, known.runs),
    )

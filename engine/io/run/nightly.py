"""A run: a night's deliveries go in, and the book has one more whole run, or nothing happens.

The walk: find the files; lock the book; recall what it knows; take in events, enrollments and
transactions; settle what came twice; fold slice by slice; count everything once more; publish;
commit.
"""

import datetime as dt
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.io.book.folder import Book, no_book
from engine.io.book.index import clear_index
from engine.io.book.payouts import settle_tables
from engine.io.book.writing import Access, locked
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.role_files import Files, check_nothing, check_parameters
from engine.io.delivered.roles import ENROLLMENTS, EVENTS, TRANSACTIONS
from engine.io.result_folders import check_folder
from engine.io.run.arguments import (
    check_counts,
    check_delivered,
    check_names,
    check_notes,
    check_paths,
    check_seconds,
    check_share,
    check_types_of_days,
)
from engine.io.run.calculation import Calculation
from engine.io.run.changes import check_days, check_number
from engine.io.run.delivery_note import DeliveryNote, load_delivery_note
from engine.io.run.memory import usual_memory_bytes
from engine.io.run.one_run import Calculated, Calculator, Run, RunResult
from engine.io.run.order import Deliveries, Order, Progress, no_progress
from engine.io.run.sound_index import with_a_sound_index
from engine.io.run.trial import try_run
from engine.io.users import command_line
from engine.paths import local_path
from engine.terms.gates import load_gates
from engine.terms.programme import load_programme
from engine.terms.services import load_services

ROWS_PER_SLICE: Final = 500_000


def run(
    book: str | Path,
    *,
    booked_on: dt.date,
    transactions: Sequence[str | Path | DeliveredAs] = (),
    enrollments: Sequence[str | Path | DeliveredAs] = (),
    events: Sequence[str | Path | DeliveredAs] = (),
    services: str | Path | None = None,
    programme: str | Path | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    whole_lines: bool = False,
    allow_backdating: bool = False,
    allow_postdating: bool = False,
    command: str | None = None,
    threads: int | None = None,
    rows_per_slice: int | None = None,
    memory_mib: int | None = None,
    progress: Progress | None = None,
    how: Calculator | None = None,
    dry_run: bool = False,
    out: str | Path | None = None,
    quarantined_rows_allowed: int = 0,
    rejects: str | Path | None = None,
    gates: str | Path | None = None,
    allowed_gates: Sequence[str] = (),
    manifests: Sequence[str | Path | DeliveryNote] = (),
    nothing_delivered: bool = False,
    existing: bool = False,
    expected_run: int | None = None,
    wait_seconds: float = 0,
    any_owner: bool = False,
) -> RunResult:
    """Books one night's deliveries; the specification's ``mynapoint run``.

    Args:
        book: the book's folder; made by the first run.
        booked_on: the day the entries are booked on.
        transactions: files, folders or globs of delivered transactions; a ``DeliveredAs`` says how
            they are written, else their headers do.
        enrollments: files, folders or globs of delivered enrollments.
        events: files, folders or globs of delivered events.
        services: the services file; by default the book's, or the registry that ships.
        programme: the programme's ID or file; by default the book's, or ``mynapoint-2020``.
        terms_as_of: the day whose terms are in force; by default the latest.
        max_quarantined: the largest share of rows, 0 to 1, that may go to quarantine.
        whole_lines: refuse a CSV file whose last record has no line end; else it is read, and said.
        allow_backdating: lets ``booked_on`` be earlier than the last run's.
        allow_postdating: lets ``booked_on`` be in the future.
        command: the command line for the record; by default this process's.
        threads: how many parts or slices are under way at once; by default one more than there
            are cores, for one may wait for the disk.
        rows_per_slice: about how many rows are calculated at once; bounds the memory.
        memory_mib: how many MiB of rows may wait in memory for their slice, others on the disk; by
            default an eighth of what is free, 512 at most.
        progress: callback that reports how far the run is.
        how: calculates the run; by default this machine alone.
        dry_run: do all of it but the booking: the book's folder is only read.
        out: of a dry run, a new or empty folder for the files that the run would have left, under
            the names that its record gives.
        quarantined_rows_allowed: so many rows may go to quarantine, whatever share they are.
        rejects: where the run is refused for its quarantine, a new or empty folder that keeps it.
        gates: the file of gates; by default the book's, or none.
        allowed_gates: the names of gates that may fail; recorded.
        manifests: delivery notes (see ``delivery_note``); what they say is held against what came.
        nothing_delivered: folders and globs are empty tonight, and that is as it should be.
        existing: there has to be a book already.
        expected_run: the number that the run is to have; another is refused.
        wait_seconds: how long to wait until another run has ended.
        any_owner: the book may belong to another user.

    Raises:
        InputError: the input or the call cannot be used; nothing was booked.
        BookError: the book is in use or damaged; nothing was booked.
    """
    check_types_of_days(booked_on=booked_on, terms_as_of=terms_as_of)
    check_paths(
        book=book, services=services, programme=programme, out=out, rejects=rejects, gates=gates
    )
    if out is not None and not dry_run:
        raise InputError("--out: says nothing here", hint="it belongs to --dry-run")
    check_delivered(transactions=transactions, enrollments=enrollments, events=events)
    check_notes(manifests=manifests)
    check_names(allowed_gates=allowed_gates)
    check_seconds(wait_seconds=wait_seconds)
    check_counts(threads=threads, rows_per_slice=rows_per_slice, expected_run=expected_run)
    check_counts(
        at_least=0, quarantined_rows_allowed=quarantined_rows_allowed, memory_mib=memory_mib
    )
    check_share("--max-quarantined", max_quarantined)
    order = Order(
        booked_on,
        terms_as_of,
        max_quarantined,
        threads or (os.cpu_count() or 1) + 1,
        rows_per_slice or ROWS_PER_SLICE,
        usual_memory_bytes() if memory_mib is None else memory_mib << 20,
        progress or no_progress,
        command_line() if command is None else command,
        allow_backdating,
        allow_postdating,
        quarantined_rows_allowed,
        None if rejects is None else local_path(rejects),
        expected_run,
        tuple(allowed_gates),
        tuple(
            note if isinstance(note, DeliveryNote) else load_delivery_note(note)
            for note in manifests
        ),
    )
    if order.rejects is not None:
        check_folder(order.rejects)
    deliveries = Deliveries(
        *(
            Files(
                role,
                find_delivered(
                    paths,
                    role.name,
                    nothing_is_fine=nothing_delivered,
                    progress=order.progress,
                ),
                whole_lines,
            )
            for role, paths in (
                (EVENTS, events),
                (ENROLLMENTS, enrollments),
                (TRANSACTIONS, transactions),
            )
        )
    )
    if nothing_delivered:
        check_nothing(*deliveries)
    check_parameters(*deliveries)
    given_services = None if services is None else load_services(services)
    given_gates = None if gates is None else load_gates(gates)
    given_programme = None if programme is None else load_programme(programme)
    place = Book.at(book)

    def new_run(at: Book, committed: int) -> Run:
        if committed + 1 < (order.expected_run or 1):
            check_number(committed + 1, order)
        check_days(at, committed, order)
        return Run(
            at,
            committed,
            order,
            deliveries.anew(),
            given_services,
            given_programme,
            given_gates,
            how or on_this_machine,
        )

    result: RunResult | None = None
    try:
        if dry_run:
            if existing:
                place.check_readable()
            return try_run(
                place,
                lambda at, committed: new_run(at, committed).prepare(),
                None if out is None else local_path(out),
            )
        with locked(place, Access(wait_seconds, any_owner, existing)) as held:
            committed, _ = settle_tables(held)
            if existing and committed == 0:
                raise no_book(place)

            def begin_anew() -> None:
                clear_index(held)
                held.clear_up()

            try:
                result = with_a_sound_index(lambda: new_run(held, committed).do(held), begin_anew)
            finally:
                # What cannot be cleared now is cleared by the next run.
                with suppress(OSError):
                    held.clear_up()
    except OSError as error:
        if result is not None:
            # It is done and noted; the lock could not be given back, which the system does.
            return result
        raise BookError(
            f"{error.filename or place.path}: {error.strerror or error}",
            hint="check the disk and the folder's permissions; nothing was booked",
            code="disk",
        ) from error
    return result


def on_this_machine(run: Run, staged: Path) -> Calculated:
    """Calculates a run on this machine alone."""
    return Calculation(run, staged).calculate()

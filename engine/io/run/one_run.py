"""One run on a locked book: calculated, counted once more, published and committed."""

import datetime as dt
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from engine.errors import InputError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import (
    CORRECTIONS_FILE,
    FORMAT,
    GATES_FILE,
    PROGRAMME_FILE,
    RECORD_FILE,
    SERVICES_FILE,
    layout_file,
)
from engine.io.book.index import runs_with_deliveries
from engine.io.book.kept import kept_gates, kept_programme, kept_services
from engine.io.book.ledger import LedgerPart, commit
from engine.io.book.payouts import previous_sha256
from engine.io.book.run_record import Input, Output, Ran, RunRecord, RunRequest, UsedProgramme
from engine.io.book.tables import WrittenTable
from engine.io.book.tally import Tally
from engine.io.book.writing import LockedBook
from engine.io.durable import write_json, write_text
from engine.io.run.changes import check_number
from engine.io.run.delivery_note import check_delivered_as_noted
from engine.io.run.gating import check, examine
from engine.io.run.order import Deliveries, Order
from engine.io.users import user_name
from engine.terms.gates import Gates
from engine.terms.programme import Programme, built_in_programmes, load_programme
from engine.terms.services import Services

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that is in the book, or, of a dry run, that would be.

    Attributes:
        book: the book's path.
        already_booked: whether this very run was in the book before; nothing was changed then.
        record: the run record, as in ``runs/NNNNNN/record.json``; ``to_json`` gives that.
        dry_run: whether nothing was booked because nothing was meant to be.
    """

    book: Path
    already_booked: bool
    record: RunRecord
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Calculated:
    """What a run calculated, in its staging folder.

    Attributes:
        parts: the ledger's files, in ``staging/ledger``.
        tables: all other tables.
        corrections: what the run's events changed, as JSON; None where they changed nothing.
    """

    parts: Sequence[LedgerPart]
    tables: Sequence[WrittenTable]
    tally: Tally
    corrections: str | None


class Calculator(Protocol):
    """A way to calculate a run: on this machine, or on many."""

    def __call__(self, run: "Run", staged: Path) -> Calculated:
        """Takes in the deliveries and decides every row; fills the files' ``inputs``.

        Too large a share of unreadable rows is an error here, unless this very run may have been
        booked before (``earlier_record``).
        """
        ...


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """A run whose files are all staged, but for a run that was booked before.

    Attributes:
        parts: the ledger's files.
        record_sha256: of the record's file.
    """

    result: RunResult
    parts: Sequence[LedgerPart] = ()
    record_sha256: str = ""


class Run:
    """One run on a book at one version. What comes before and after its calculation is here."""

    def __init__(
        self,
        book: Book,
        committed: int,
        order: Order,
        deliveries: Deliveries,
        services: Services | None,
        programme: Programme | None,
        gates: Gates | None,
        calculate: Calculator,
    ) -> None:
        self.book, self.order, self.number = book, order, committed + 1
        self._calculate = calculate
        self.deliveries = deliveries
        self.services = services or kept_services(book, committed)
        self.programme = programme or kept_programme(book, committed)
        self.gates = gates or kept_gates(book, committed)
        self._check_allowed_gates()
        self.terms = self.programme.terms_as_of(order.terms_as_of)
        self.started_at = dt.datetime.now(dt.UTC)

    def do(self, book: LockedBook) -> RunResult:
        """Calculates the run and makes it part of the book, which is this run's, locked."""
        _LOG.info("%s: run %s begins", book.path, run_id(self.number))
        prepared = self.prepare()
        if not prepared.result.already_booked:
            self.order.progress("commit", 0, 1)
            book.publish(self.number)
            commit(book, self.number, prepared.parts, record_sha256=prepared.record_sha256)
        # The run is in the book, even if a terminal or a log can no longer be written to.
        with suppress(Exception):
            self._tell(prepared.result)
        return prepared.result

    def _tell(self, result: RunResult) -> None:
        if not result.already_booked:
            self.order.progress("commit", 1, 1)
        record = result.record
        state = "was booked before" if result.already_booked else "is booked"
        _LOG.info(
            "%s: run %s %s: %d rows read, %d booked, %d points net",
            self.book.path,
            record.run_id,
            state,
            record.counts.read,
            record.counts.booked,
            record.points.net,
        )

    def prepare(self) -> PreparedRun:
        """Calculates the run; its files are staged then."""
        staged = self.book.stage()
        calculated = self._calculate(self, staged)
        if self.earlier_record is not None and not _changes_the_book(calculated):
            check_number(self.earlier_record.number, self.order)
            self._warn_of_gates_not_taken()
            return PreparedRun(
                RunResult(self.book.path, already_booked=True, record=self.earlier_record)
            )
        check_number(self.number, self.order)
        check_delivered_as_noted(self.order.delivery_notes, self._delivered(), self._yen())
        outputs = self._outputs(staged, calculated)
        record = calculated.tally.record(
            self.request, calculated.parts, outputs, previous_sha256(self.book, self.number - 1)
        )
        warnings = tuple(warning for files in self.deliveries for warning in files.warnings)
        record = replace(record, ran=self._ran(), warnings=warnings)
        if self.gates is not None and record.inputs:
            findings = examine(self.gates, record, self._nights_before)
            record = replace(record, gates=check(findings, self.order.allowed_gates))
        record_sha256 = write_json(staged / RECORD_FILE, record.to_json())
        result = RunResult(self.book.path, already_booked=False, record=record)
        return PreparedRun(result, list(calculated.parts), record_sha256)

    def _warn_of_gates_not_taken(self) -> None:
        """Gates are not part of a run's identity: a repeated night is not held to other ones."""
        kept = kept_gates(self.book, self.number - 1)
        if self.gates is not None and self.gates.text != (kept.text if kept else ""):
            _LOG.warning(
                "warning: %s: the gates that were given are not taken: this very run was booked "
                "before; give them with the next night",
                self.book.path,
            )

    def _outputs(self, staged: Path, calculated: Calculated) -> list[Output]:
        folder = f"runs/{run_id(self.number)}"
        outputs = [table.output(folder) for table in calculated.tables]
        texts = {
            SERVICES_FILE: self.services.text,
            PROGRAMME_FILE: self.programme.text,
        } | {
            layout_file(layout_id): layout.text
            for layout_id, layout in self.deliveries.layouts.items()
        }
        if self.gates is not None:
            texts[GATES_FILE] = self.gates.text
        if calculated.corrections is not None:
            texts[CORRECTIONS_FILE] = calculated.corrections
        for name, text in texts.items():
            sha256 = write_text(staged / name, text)
            outputs.append(Output(f"{folder}/{name}", len(text.encode()), sha256))
        return sorted(outputs, key=lambda output: output.name)

    def _delivered(self) -> list[Input]:
        """The inputs with the number of records that they have, which may give two rows each."""
        return [
            replace(read, rows=read.rows - files.second_rows[n])
            for files in self.deliveries
            for n, read in enumerate(files.inputs)
        ]

    def _yen(self) -> dict[str, int]:
        """By name, the sum of the amounts of each file of transactions."""
        files = self.deliveries.transactions
        return {delivered.name: files.yen[n] for n, delivered in enumerate(files.delivered)}

    def _check_allowed_gates(self) -> None:
        names = () if self.gates is None else self.gates.names
        for name in self.order.allowed_gates:
            if name not in names:
                raise InputError(
                    f"--allow-gate: there is no gate {name}",
                    hint=f"the book's gates are {', '.join(names) or 'none'}",
                )

    def _nights_before(self, nights: int) -> list[RunRecord]:
        """The last nights on which something was read, the latest first."""
        records = (self.book.record(number) for number in range(self.number - 1, 0, -1))
        return list(islice((record for record in records if record.inputs), nights))

    def _ran(self) -> Ran:
        return Ran(
            self.started_at,
            dt.datetime.now(dt.UTC),
            user_name(),
            socket.gethostname(),
            self.order.command,
        )

    @property
    def used_programme(self) -> UsedProgramme:
        """The programme and the terms that the run is booked by."""
        programme = self.programme
        built_in = (
            programme.programme_id in built_in_programmes()
            and load_programme(programme.programme_id).sha256 == programme.sha256
        )
        return UsedProgramme(programme.programme_id, programme.sha256, self.terms, built_in)

    @property
    def request(self) -> RunRequest:
        """What the run was asked to do, when all deliveries are read."""
        return RunRequest(
            format=FORMAT,
            run_id=run_id(self.number),
            booked_on=self.order.booked_on,
            programme=self.used_programme,
            services_sha256=self.services.sha256,
            inputs=tuple(read for files in self.deliveries for read in files.inputs),
        )

    @cached_property
    def terms_changed(self) -> bool:
        """Whether the run is booked by other terms or services than the one before."""
        if self.number == 1:
            return False
        last = self.book.record(self.number - 1)
        return (last.services_sha256, last.programme) != (
            self.services.sha256,
            self.used_programme,
        )

    @cached_property
    def earlier_record(self) -> RunRecord | None:
        """The record of an earlier run with identical inputs and terms, or None. Only valid once
        all deliveries are read.
        """
        if self.terms_changed:
            # The run changes what the book keeps, and a change is recorded.
            return None
        identity = self.request.identity
        for number in runs_with_deliveries(self.book, self.number - 1, self.request.inputs):
            record = self.book.record(number)
            if record.identity == identity:
                return record
        return None


def _changes_the_book(calculated: Calculated) -> bool:
    """Whether there is something to book: an enrollment or an event may have made room for rows of
    a delivery that was booked before. What format 1 counted otherwise can wait for another run.
    """
    tally = calculated.tally
    entries = sum(part.totals.rows for part in calculated.parts)
    return bool(
        entries > tally.recounted_of_format_1
        or tally.enrollments_accepted
        or tally.events.accepted
        or tally.events.reconsidered
    )

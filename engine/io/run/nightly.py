"""A run: a night's deliveries go in, and the book has one more whole run, or nothing happens.

The walk: find the files; lock the book; recall what it remembers; take in the enrollments; take in
the transactions; settle what came twice; fold slice by slice; count everything once more; publish;
commit.
"""

import datetime as dt
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.enrollment import Enrolled, enroll
from engine.booking.fold import Folded, Night, fold, resolve_pending
from engine.booking.registry import Registry
from engine.booking.state import Past
from engine.columns.hashing import FewHashes, Hashes
from engine.errors import BookError, InputError
from engine.io.book.folder import Book, part_name, run_id
from engine.io.book.format import (
    FORMAT,
    PROGRAMME_FILE,
    RECORD_FILE,
    SERVICES_FILE,
    RunTable,
    layout_file,
)
from engine.io.book.index import recall
from engine.io.book.kept import kept_programme, kept_services, previous_sha256
from engine.io.book.ledger import Part, commit, write_part
from engine.io.book.run_record import Output, RunRecord, RunRequest, UsedProgramme
from engine.io.book.tables import TableWriter, WrittenTable, table_writer
from engine.io.book.tally import Tally
from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.rows import (
    ENROLLMENT_VALUES,
    ENROLLMENTS,
    TRANSACTIONS,
    Files,
    Rows,
    check_parameters,
    in_order,
)
from engine.io.durable import write_json, write_text
from engine.io.run.intake import Intake, Settled, settle, without_duplicates
from engine.io.run.refusal import Kind, QuarantinedRows
from engine.io.run.shuffle import SeenKeys, Shuffle
from engine.layouts.model import Layout
from engine.records import ENROLLMENT_CONFLICT
from engine.terms.programme import Programme, load_programme
from engine.terms.services import Services, load_services

ROWS_PER_SLICE: Final = 500_000
MOST_SLICES: Final = 256
MOST_SLICES_OF_UNENROLLED: Final = 32


class Progress(Protocol):
    """Is told how far a run is."""

    def __call__(self, phase: str, done: int, total: int, /) -> None:
        """``done`` of about ``total`` rows or slices of the phase."""
        ...


def no_progress(_phase: str, _done: int, _total: int, /) -> None:
    """Reports nothing."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A run that is in the book.

    Attributes:
        book: the book's path.
        already_booked: whether this very run was in the book before; nothing was changed then.
        record: the run record, as in ``runs/NNNNNN/record.json``; ``to_json`` gives that.
    """

    book: Path
    already_booked: bool
    record: RunRecord


@dataclass(frozen=True, slots=True)
class Order:
    """How a run is to be done."""

    booked_on: dt.date
    terms_as_of: dt.date | None
    max_quarantined: float
    threads: int
    rows_per_slice: int
    progress: Progress


def run(
    book: str | Path,
    *,
    booked_on: dt.date,
    transactions: Sequence[str | Path | DeliveredAs] = (),
    enrollments: Sequence[str | Path | DeliveredAs] = (),
    services: str | Path | None = None,
    programme: str | Path | None = None,
    terms_as_of: dt.date | None = None,
    max_quarantined: float = 0.05,
    threads: int | None = None,
    rows_per_slice: int | None = None,
    progress: Progress | None = None,
    how: "type[Run] | Callable[..., Run] | None" = None,
) -> RunResult:
    """Books one night's deliveries; the contract's ``mynapoint run``.

    Args:
        book: the book's folder; made by the first run.
        booked_on: the day the entries are booked on.
        transactions: files, folders or globs of delivered transactions; a ``DeliveredAs`` says how
            they are written, else their headers do.
        enrollments: files, folders or globs of delivered enrollments.
        services: the services file; by default the book's, or the registry that ships.
        programme: the programme's ID or file; by default the book's, or ``mynapoint-2020``.
        terms_as_of: the day whose terms are in force; by default the latest.
        max_quarantined: the largest share of rows, 0 to 1, that may go to quarantine.
        threads: how many parts or slices are under way at once; by default one more than there
            are cores, for one may wait for the disk.
        rows_per_slice: about how many rows are calculated at once; bounds the memory.
        progress: is told how far the run is.
        how: makes the run, with the arguments of ``Run``; by default one on this machine alone.

    Raises:
        InputError: the input or the call cannot be used; nothing was booked.
        BookError: the book is in use or damaged; nothing was booked.
    """
    if not 0 <= max_quarantined <= 1:
        raise InputError(
            f"--max-quarantined: {max_quarantined} is no share between 0 and 1",
            hint="give 0.05 for five rows in a hundred",
        )
    if not transactions and not enrollments:
        raise InputError(
            "nothing was delivered: neither transactions nor enrollments were named",
            hint="name at least one of --transactions and --enrollments",
        )
    order = Order(
        booked_on,
        terms_as_of,
        max_quarantined,
        threads or (os.cpu_count() or 1) + 1,
        rows_per_slice or ROWS_PER_SLICE,
        progress or no_progress,
    )
    files = (
        Files(ENROLLMENTS, find_delivered(enrollments, "enrollments")),
        Files(TRANSACTIONS, find_delivered(transactions, "transactions")),
    )
    check_parameters(*files)
    given_services = None if services is None else load_services(services)
    given_programme = None if programme is None else load_programme(programme)
    place = Book(Path(book))
    try:
        with place.locked():
            place.clear_torn_commit()
            committed = place.committed_runs()
            place.check_acknowledged(committed)
            if committed:
                # The run before may have died between its commit and the sync of it.
                place.sync_commit(committed)
            place.acknowledge(committed)
            place.clear_leftovers(committed)
            try:
                make = how or Run
                return make(place, committed, order, *files, given_services, given_programme).do()
            except (OSError, BookError) as error:
                if _is_booked(place, committed + 1):
                    raise _unconfirmed(place, error) from error
                raise
            finally:
                # What cannot be cleared now is cleared by the next run.
                with suppress(OSError, BookError):
                    place.clear_leftovers(place.committed_runs())
    except OSError as error:
        raise BookError(
            f"{error.filename or place.path}: {error.strerror or error}",
            hint="check the disk and the folder's permissions; nothing was booked",
        ) from error


def _is_booked(book: Book, number: int) -> bool:
    with suppress(OSError, BookError):
        return book.committed_runs() == number
    return False


def _unconfirmed(book: Book, error: OSError | BookError) -> BookError:
    return BookError(
        f"{book.path}: the run was committed, but the disk did not confirm it: {error}",
        hint="run again: what is in the book is recognised, what is not is booked",
    )


class Run:
    """One run on a locked book, calculated on this machine.

    Another way to calculate (``calculate``) is a class of its own; what comes before and after it
    is the same for all.
    """

    def __init__(
        self,
        book: Book,
        committed: int,
        order: Order,
        enrollments: Files,
        transactions: Files,
        services: Services | None,
        programme: Programme | None,
    ) -> None:
        self.book, self.order, self.number = book, order, committed + 1
        self.enrollments, self.transactions = enrollments, transactions
        self.services = services or kept_services(book, committed)
        self.programme = programme or kept_programme(book, committed)
        self.terms = self.programme.terms_as_of(order.terms_as_of)
        self.tally = Tally()
        self.quarantined_rows = QuarantinedRows()

    def do(self) -> RunResult:
        """Calculates the run and makes it part of the book."""
        staged = self.book.stage()
        parts, tables = self.calculate(staged)
        if self.same is not None:
            # A later enrollment may have made room for rows of this very delivery.
            if not parts and not self.tally.enrollments_accepted:
                return RunResult(self.book.path, already_booked=True, record=self.same)
            self.check_quarantined()
        outputs = self._outputs(staged, tables)
        self.tally.skipped = self.transactions.skipped
        self.tally.enrollments_skipped = self.enrollments.skipped
        record = self.tally.record(
            self._request(), parts, outputs, previous_sha256(self.book, self.number)
        )
        record_sha256 = write_json(staged / RECORD_FILE, record.to_json())
        self.book.publish(self.number)
        commit(self.book, self.number, parts, record_sha256=record_sha256)
        return RunResult(self.book.path, already_booked=False, record=record)

    def calculate(self, staged: Path) -> tuple[list[Part], list[WrittenTable]]:
        """Takes in the deliveries and decides every row.

        Fills ``tally`` and the files' ``inputs``; the ledger's parts are in ``staging/ledger``
        then, all other tables in ``staged``. Too large a share of unreadable rows is an error here,
        unless this very run may have been booked before (``same``).
        """
        with (
            ThreadPoolExecutor(self.order.threads) as pool,
            table_writer(staged, RunTable.QUARANTINE) as quarantine,
            table_writer(staged, RunTable.DECLINED) as declined,
        ):
            past = recall(self.book, self.number - 1)
            enrolled = self._take_in_enrollments(pool, past, quarantine)
            self.tally.enroll(enrolled.counts())
            enrollments = pool.submit(write_enrollments, staged, enrolled)
            past = past.joined_by(enrolled.accepted)
            # The registry has what is needed of them, and they are many.
            del enrolled
            intake, wanted = self._take_in_transactions(pool, past, quarantine, declined)
            settled = settle(intake.seen, self.transactions, pool, self._ahead)
            self._quarantine(settled.faulty, quarantine, Kind.WITHIN_DELIVERY)
            if self.same is None:
                self.check_quarantined()
            self._decline_unenrolled(pool, intake.unenrolled, settled, declined)
            night = Night(
                run_id(self.number),
                self.order.booked_on,
                self.programme,
                self.terms,
                self.services,
                past,
                past.registry.for_deciding(self.services),
            )
            parts = self._fold(pool, night, intake.enrolled, settled, wanted, declined)
        tables = [quarantine, declined, *enrollments.result()]
        return parts, [table.written() for table in tables]

    def _take_in_enrollments(
        self, pool: ThreadPoolExecutor, past: Past, quarantine: TableWriter
    ) -> Enrolled:
        enrolled = enroll(
            self._readable_enrollments(pool, quarantine),
            past.registry,
            self.services,
            self.terms,
        )
        for rows in self.enrollments.read_again(pool, self._ahead, np.sort(enrolled.conflicts)):
            faulty = rows.all_at_fault(ENROLLMENT_CONFLICT)
            accepted = pl.Series(past.registry.holds(rows.good))
            for kind, in_conflict in (
                (Kind.WITH_ACCEPTED, faulty.filter(accepted)),
                (Kind.WITHIN_DELIVERY, faulty.filter(~accepted)),
            ):
                self._quarantine_enrollments(in_conflict, quarantine, kind)
        return enrolled

    def _readable_enrollments(
        self, pool: ThreadPoolExecutor, quarantine: TableWriter
    ) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=ENROLLMENT_VALUES)]
        for pieces, records in self.enrollments.read(pool, self._ahead, _read_only):
            self.tally.enrollments_read += records
            for rows in pieces:
                frames.append(rows.good)
                self._quarantine_enrollments(rows.faulty, quarantine, Kind.WITH_ACCEPTED)
            self._progress("enrollments", self.tally.enrollments_read, self.enrollments)
        self._progress_ends("enrollments", self.tally.enrollments_read)
        self.enrollments.screen.judge()
        return pl.concat(frames)

    def _take_in_transactions(
        self,
        pool: ThreadPoolExecutor,
        past: Past,
        quarantine: TableWriter,
        declined: TableWriter,
    ) -> tuple[Intake, FewHashes]:
        expected = self.transactions.rows_expected
        slices = min(MOST_SLICES, max(1, -(-expected // self.order.rows_per_slice)))
        folder = None if slices == 1 else self.book.staging / "work"
        intake = Intake(
            past,
            self.services,
            _slices_of_people(past.registry, slices),
            Shuffle("enrolled", slices, folder),
            Shuffle("unenrolled", min(slices, MOST_SLICES_OF_UNENROLLED), folder),
            SeenKeys(folder, expected),
        )
        wanted: list[Hashes] = [np.empty(0, np.uint64)]
        for pieces, records in self.transactions.read(pool, self._ahead, intake.take):
            self.tally.read += records
            for taken in pieces:
                self.tally.read_yen += taken.yen
                self._quarantine(taken.faulty, quarantine, Kind.WITH_LEDGER)
                self._decline(taken.declined, declined)
                wanted.append(taken.wanted)
            self._progress("transactions", self.tally.read, self.transactions)
        self._progress_ends("transactions", self.tally.read)
        self.transactions.screen.judge()
        return intake, FewHashes(np.concatenate(wanted))

    def _decline_unenrolled(
        self,
        pool: ThreadPoolExecutor,
        unenrolled: Shuffle,
        settled: Settled,
        declined: TableWriter,
    ) -> None:
        def take(number: int, _: int) -> pl.DataFrame:
            return without_duplicates(unenrolled.take(number), settled)

        for rows in in_order(pool, self._ahead, unenrolled.filled(), take):
            self._decline(rows, declined)

    def _fold(
        self,
        pool: ThreadPoolExecutor,
        night: Night,
        enrolled: Shuffle,
        settled: Settled,
        wanted: FewHashes,
        declined: TableWriter,
    ) -> list[Part]:
        folder = self.book.staging / "ledger"

        def calculate(number: int, _: int) -> tuple[Folded, Part | None]:
            rows, repeated = settled.split(enrolled.take(number))
            folded = fold(rows, night, wanted)
            del rows
            # Handed over for good, so that a slice is not held in two forms while it is written.
            entries = [folded.entries]
            folded = folded.without_entries()
            part = None
            if entries[0].height:
                name = part_name(self.number, number)
                part = write_part(entries.pop(), folder, name, self.programme.cap_yen)
            return folded.with_duplicates(repeated, night.past.registry), part

        slices = list(enrolled.filled())
        parts: list[Part] = []
        pending, originals = [], []
        for folded, part in in_order(pool, self._ahead, iter(slices), calculate):
            parts += [part] if part else []
            self._decline(folded.declined, declined)
            pending.append(folded.pending)
            originals.append(folded.originals)
            self.order.progress("booking", len(pending), len(slices))
        if pending:
            self._decline(resolve_pending(pl.concat(pending), pl.concat(originals)), declined)
        return parts

    def _outputs(self, staged: Path, tables: Sequence[WrittenTable]) -> list[Output]:
        folder = f"runs/{run_id(self.number)}"
        outputs = [table.output(folder) for table in tables]
        layouts = self._layouts()
        for name, text in (
            (SERVICES_FILE, self.services.text),
            (PROGRAMME_FILE, self.programme.text),
            *((layout_file(layout_id), one.text) for layout_id, one in layouts.items()),
        ):
            sha256 = write_text(staged / name, text)
            outputs.append(Output(f"{folder}/{name}", len(text.encode()), sha256))
        return sorted(outputs, key=lambda output: output.name)

    def _layouts(self) -> dict[str, Layout]:
        """The layouts that files were read by, by ID."""
        for layout_id in self.enrollments.layouts.keys() & self.transactions.layouts.keys():
            raise InputError(
                f"layout {layout_id}: one of enrollments and one of transactions are called so",
                hint="give each layout a layout_id of its own",
            )
        return self.enrollments.layouts | self.transactions.layouts

    @property
    def _ahead(self) -> int:
        return self.order.threads + 1

    def _progress(self, phase: str, rows: int, files: Files) -> None:
        self.order.progress(phase, rows, max(rows, files.rows_expected))

    def _progress_ends(self, phase: str, rows: int) -> None:
        # How many rows were expected was a guess from the files' sizes.
        if rows:
            self.order.progress(phase, rows, rows)

    def _quarantine(self, faulty: pl.DataFrame, quarantine: TableWriter, conflict: Kind) -> None:
        self.tally.quarantine(faulty)
        rows = self.transactions.as_quarantined(faulty)
        self.quarantined_rows.add(rows, conflict)
        quarantine.write(rows)

    def _quarantine_enrollments(
        self, faulty: pl.DataFrame, quarantine: TableWriter, conflict: Kind
    ) -> None:
        self.tally.enrollments_quarantined += faulty.height
        rows = self.enrollments.as_quarantined(faulty)
        self.quarantined_rows.add(rows, conflict)
        quarantine.write(rows)

    def _decline(self, rows: pl.DataFrame, declined: TableWriter) -> None:
        self.tally.decline(rows)
        declined.write(rows)

    def check_quarantined(self) -> None:
        """Refuses a run of whose rows too many go to quarantine.

        Raises:
            InputError: saying how many of each kind there are, and where the first are.
        """
        read = self.tally.read + self.tally.enrollments_read
        # Rows that a layout leaves out on purpose do not thin out those that cannot be read.
        read -= self.transactions.skipped_rows + self.enrollments.skipped_rows
        self.quarantined_rows.check(read, self.order.max_quarantined)

    def _request(self) -> RunRequest:
        programme = self.programme
        return RunRequest(
            format=FORMAT,
            run_id=run_id(self.number),
            booked_on=self.order.booked_on,
            programme=UsedProgramme(programme.programme_id, programme.sha256, self.terms),
            services_sha256=self.services.sha256,
            inputs=(*self.enrollments.inputs, *self.transactions.inputs),
        )

    @cached_property
    def same(self) -> RunRecord | None:
        """The record of the run that this very run was before, when all deliveries are read."""
        mine = self._request().identity
        if self.number > 1:
            last = self.book.record(self.number - 1).identity
            if (last.services_sha256, last.programme) != (mine.services_sha256, mine.programme):
                # The run changes what the book keeps, and a change is recorded.
                return None
        records = (self.book.record(number) for number in range(self.number - 1, 0, -1))
        return next((record for record in records if record.identity == mine), None)


def write_enrollments(folder: Path, enrolled: Enrolled) -> list[TableWriter]:
    """Writes the accepted and the rejected applications."""
    tables = []
    for table, frame in (
        (RunTable.ACCEPTED, enrolled.accepted),
        (RunTable.REJECTED, enrolled.rejected),
    ):
        with table_writer(folder, table) as writer:
            writer.write(frame)
        tables.append(writer)
    return tables


def _read_only(rows: Rows) -> Rows:
    return rows


def _slices_of_people(registry: Registry, slices: int) -> npt.NDArray[np.int16] | None:
    """By person number, the slice: ranges of person IDs, so that slices follow each other."""
    if slices == 1:
        return None
    ranks = registry.ranks(np.arange(registry.people))
    return (ranks * slices // max(1, registry.people)).astype(np.int16)

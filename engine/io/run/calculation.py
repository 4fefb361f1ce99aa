"""The walk of a run: events, enrollments, transactions; what came twice; slice by slice."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.enrollment import EnrollmentOutcome, concerning, enroll
from engine.booking.fold import Night, resolve_pending
from engine.booking.migrating import counted_otherwise
from engine.booking.recounted import Voids
from engine.booking.registry import Registry
from engine.booking.remembering import corrected, enrolled
from engine.booking.standing import Standing
from engine.booking.state import Past
from engine.booking.voiding import voids_of, without
from engine.columns.hashing import FewHashes, Hashes
from engine.io.book.entries import entries_at
from engine.io.book.folder import part_name, run_id
from engine.io.book.format import RunTable
from engine.io.book.index import Known, recall
from engine.io.book.ledger import LedgerPart
from engine.io.book.tables import TableWriter, table_writer
from engine.io.book.tally import Tally
from engine.io.delivered.role_files import Files
from engine.io.delivered.rows import ENROLLMENT_VALUES, EVENT_VALUES, PartRows
from engine.io.parallel import in_order
from engine.io.run.changes import check_changes
from engine.io.run.correcting import Corrected, IndexedBook
from engine.io.run.intake import NO_ROWS, Intake, settle
from engine.io.run.joining import JoinedAccounts
from engine.io.run.memory import Memory
from engine.io.run.one_run import Calculated, Run
from engine.io.run.reconsidering import (
    Reconsidering,
    put_to_wait,
    waiting_enrollments,
    waits_after,
)
from engine.io.run.refusal import Kind, QuarantinedRows, RefusedRunError
from engine.io.run.rejects import keep_rejects
from engine.io.run.shuffle import SeenKeys, Shuffle
from engine.io.run.slices import FoldedSlice, Slice, SliceWork
from engine.io.run.spelling import (
    accounts_spelled_otherwise,
    people_spelled_otherwise,
    plain_keys,
    transactions_spelled_otherwise,
)
from engine.records import (
    ENROLLMENT_COLUMNS,
    ENROLLMENT_CONFLICT,
    EVENT_CONFLICT,
    Enrollment,
    polars_schema,
)

MOST_SLICES: Final = 256
MOST_SLICES_OF_UNENROLLED: Final = 32
_ENROLLMENT_KEY: Final = ("person_id", "service_id", "account_id")


class Calculation:
    """Takes in a run's deliveries and decides every row; everything is left in ``staged``.

    Slices of people are folded by this process; a subclass may have them folded elsewhere.
    """

    folds_here = True

    def __init__(self, run: Run, staged: Path) -> None:
        self.run, self.staged = run, staged
        self.book, self.order, self.deliveries = run.book, run.order, run.deliveries
        self.number, self.ahead = run.number, run.order.ahead
        self.tally = Tally()
        self.quarantine: TableWriter
        self.declined: TableWriter
        self.tables: list[TableWriter] = []
        self.enrollments_left_alone = False
        self.put_to_wait = pl.DataFrame(schema=polars_schema(Enrollment))
        self.quarantined_rows = QuarantinedRows()

    def calculate(self) -> Calculated:
        with (
            ThreadPoolExecutor(self.order.threads) as pool,
            table_writer(self.staged, RunTable.QUARANTINE) as self.quarantine,
            table_writer(self.staged, RunTable.DECLINED) as self.declined,
        ):
            refusal = None
            try:
                parts, corrections = self._walk(pool)
            except RefusedRunError as error:
                refusal = error
        if refusal is not None:
            if self.order.rejects is not None:
                keep_rejects(
                    self.staged / RunTable.QUARANTINE.file_name, refusal, self.order.rejects
                )
            raise refusal
        self.tally.skipped = self.deliveries.transactions.skipped
        self.tally.enrollments_skipped = self.deliveries.enrollments.skipped
        tables = [table.written() for table in (self.quarantine, self.declined, *self.tables)]
        return Calculated(parts, tables, self.tally, corrections)

    def _walk(self, pool: ThreadPoolExecutor) -> tuple[list[LedgerPart], str | None]:
        self.order.progress("index", 0, 1)
        known = recall(self.book, self.number - 1)
        self.order.progress("index", 1, 1)
        check_changes(self.book, self.number - 1, known.past, self.run.programme, self.run.services)
        events = self._take_in_events(pool, known)
        past = known.past
        if events.taken.corrections != past.corrections:
            past = corrected(past, events.taken.corrections)
        taken_in, corrections = self._take_in_enrollments(pool, past, known, events)
        self.tally.enroll(taken_in.counts())
        enrollments = pool.submit(self._write_enrollments, taken_in, corrections)
        changed = taken_in.accepted.select("service_id", "account_id")
        past = enrolled(past, taken_in.accepted, corrections)
        # Free them: the registry already holds what later steps need.
        del taken_in
        read_entries = partial(entries_at, self.book)
        voids = voids_of(events.taken.groups, past, read_entries)
        if self.number > 1 and self.book.record(self.number - 1).format == 1:
            otherwise, self.tally.recounted_of_format_1 = counted_otherwise(
                past, self.run.services, self.run.programme, read_entries
            )
            voids = replace(voids, counted_otherwise=otherwise)
        before, past = past, without(past, voids)
        reconsidering = Reconsidering(
            known.waiting,
            past,
            voids,
            self.run.terms_changed or past.corrections.left_alone.everything,
            self.order.booked_on,
            self.run.programme.reconsider_days,
        )
        reconsidering.concern(changed, events.taken.groups)
        intake, requested = self._take_in_transactions(pool, past, reconsidering)
        settled = settle(intake.seen, self.deliveries.transactions, reconsidering, pool, self.ahead)
        self.deliveries.transactions.warn_of(
            transactions_spelled_otherwise(
                self.deliveries.transactions.odd_ids, past, intake.seen.are_there
            )
        )
        self._quarantine(self.deliveries.transactions, settled.faulty, Kind.WITHIN_DELIVERY)
        self.tally.quarantine(settled.faulty)
        if self.run.earlier_record is None:
            # Rows that a layout leaves out on purpose do not thin out those that cannot be read.
            read = self.tally.read + self.tally.enrollments_read + self.tally.events.read
            read -= sum(files.skipped_rows for files in self.deliveries)
            self.quarantined_rows.check(
                read, self.order.max_quarantined, self.order.quarantined_rows_allowed
            )
        night = Night(
            run_id(self.number),
            self.order.booked_on,
            self.run.programme,
            self.run.terms,
            self.run.services,
            before,
            past,
            past.registry.for_deciding(self.run.services),
            np.unique(past.facts_at(voids.positions)["account_no"]),
            read_entries,
        )
        parts = self._fold(pool, SliceWork(night, requested, settled), intake, voids)
        enrollments.result()
        before_run = known.past.corrections
        left_alone = replace(
            reconsidering.left_alone(settled.replaced), enrollments=self.enrollments_left_alone
        )
        corrections = replace(corrections, left_alone=left_alone)
        if corrections == before_run:
            return parts, None
        added = json.dumps(corrections.since(before_run), ensure_ascii=False, indent=1)
        return parts, f"{added}\n"

    def _readable(
        self, pool: ThreadPoolExecutor, files: Files
    ) -> Iterator[tuple[list[PartRows], int]]:
        for pieces, records in files.read(pool, self.ahead, _read_only):
            for rows in pieces:
                self._quarantine(files, rows.faulty, Kind.UNREADABLE)
            yield pieces, records
        files.screen.judge()

    def _quarantine(self, files: Files, faulty: pl.DataFrame, conflict: Kind) -> None:
        if faulty.is_empty():
            return
        rows = files.as_quarantined(faulty)
        self.quarantined_rows.add(rows, conflict)
        self.quarantine.write(rows)

    def _in_conflict(self, files: Files, faulty: pl.DataFrame, accepted: pl.Series) -> None:
        """Quarantines rows in conflict with what was ``accepted``, and those with each other."""
        self._quarantine(files, faulty.filter(accepted), Kind.WITH_ACCEPTED)
        self._quarantine(files, faulty.filter(~accepted), Kind.WITHIN_DELIVERY)

    def _take_in_events(self, pool: ThreadPoolExecutor, known: Known) -> Corrected:
        files = self.deliveries.events
        frames = [pl.DataFrame(schema=EVENT_VALUES)]
        read = quarantined = 0
        for pieces, records in self._readable(pool, files):
            read += records
            quarantined += sum(rows.faulty.height for rows in pieces)
            frames += [rows.good for rows in pieces]
        events = Corrected(
            pl.concat(frames),
            self.number,
            IndexedBook(known.past, known.waiting),
            known.past.corrections,
            self.run.services,
        )
        for rows in files.read_again(pool, self.ahead, events.conflicts):
            faulty = rows.all_at_fault(EVENT_CONFLICT)
            quarantined += faulty.height
            accepted = [taken.event.event_id for taken in known.past.corrections.taken]
            self._in_conflict(files, faulty, rows.good["event_id"].is_in(accepted))
        skipped = {reason: rows for reason, (rows, _) in sorted(files.skipped.items())}
        self.tally.events = events.counts(read, quarantined, skipped)
        for table, frame in (
            (RunTable.ACCEPTED_EVENTS, events.accepted),
            (RunTable.REJECTED_EVENTS, events.rejected),
        ):
            self._write(table, frame)
        return events

    def _take_in_enrollments(
        self, pool: ThreadPoolExecutor, past: Past, known: Known, events: Corrected
    ) -> tuple[EnrollmentOutcome, Corrections]:
        files, corrections = self.deliveries.enrollments, events.taken.corrections
        frames = [pl.DataFrame(schema=ENROLLMENT_VALUES)]
        for pieces, records in self._readable(pool, files):
            self.tally.enrollments_read += records
            self.tally.enrollments_quarantined += sum(rows.faulty.height for rows in pieces)
            frames += [rows.good for rows in pieces]
            self._progress("enrollments", self.tally.enrollments_read, files)
        self._progress_ends("enrollments", self.tally.enrollments_read)
        # Processors that have nothing to do while applications are decided read on.
        self.deliveries.transactions.begin(pool)
        delivered = pl.concat(frames)
        looks_again = bool(
            self.run.terms_changed or events.taken.groups or past.corrections.left_alone.enrollments
        )
        if looks_again:
            delivered = self._with_waiting(delivered, events)
        corrections = concerning(delivered, corrections, IndexedBook(past, known.waiting))
        taken_in = enroll(
            delivered, past.registry, corrections, self.run.services, self.run.terms, self.number
        )
        corrections = replace(
            corrections, enrollments=(*corrections.enrollments, *taken_in.concerned)
        )
        files.warn_of(people_spelled_otherwise(delivered, past))
        self.enrollments_left_alone = looks_again and taken_in.conflicts.size > 0
        for rows in files.read_again(pool, self.ahead, np.sort(taken_in.conflicts)):
            faulty = rows.all_at_fault(ENROLLMENT_CONFLICT)
            self.tally.enrollments_quarantined += faulty.height
            self._in_conflict(files, faulty, pl.Series(past.registry.holds(rows.good)))
        return taken_in, corrections

    def _with_waiting(self, delivered: pl.DataFrame, events: Corrected) -> pl.DataFrame:
        """Delivered applications and those that wait under other keys."""
        waits = waiting_enrollments(self.book, self.number - 1).select(ENROLLMENT_COLUMNS)
        self.put_to_wait = put_to_wait(self.book, self.number - 1, waits, events.taken.put_to_wait)
        waits = pl.concat([waits, self.put_to_wait]).unique(
            _ENROLLMENT_KEY, keep="last", maintain_order=True
        )
        waits = waits.join(delivered, on=_ENROLLMENT_KEY, how="anti")
        refs = pl.int_range(-1, -1 - waits.height, -1, eager=True)
        waits = waits.with_columns(row_ref=refs).cast(dict(ENROLLMENT_VALUES))  # type: ignore[arg-type]
        return pl.concat([delivered, waits.select(delivered.columns)])

    def _write_enrollments(self, taken_in: EnrollmentOutcome, corrections: Corrections) -> None:
        """Writes the accepted and the rejected applications, and those that wait unlisted."""
        self._write(RunTable.ACCEPTED, taken_in.accepted)
        self._write(RunTable.REJECTED, taken_in.rejected)
        waiting = waits_after(self.book, self.number - 1, self.put_to_wait, taken_in, corrections)
        if waiting.height:
            self._write(RunTable.WAITING, waiting)

    def _write(self, table: RunTable, frame: pl.DataFrame) -> None:
        with table_writer(self.staged, table) as writer:
            writer.write(frame)
        self.tables.append(writer)

    def _take_in_transactions(
        self, pool: ThreadPoolExecutor, past: Past, reconsidering: Reconsidering
    ) -> tuple[Intake, FewHashes]:
        files = self.deliveries.transactions
        expected = files.rows_expected + reconsidering.rows_expected
        slices = min(MOST_SLICES, max(1, -(-expected // self.order.rows_per_slice)))
        folder = self.book.staging / "work"
        memory = Memory(self.order.memory_bytes if self.folds_here else 0)
        corrections = past.corrections
        intake = Intake(
            past,
            self.run.services,
            reconsidering,
            JoinedAccounts.of(Standing(corrections.taken, corrections.enrollments), reconsidering),
            _slices_of_people(past.registry, slices),
            Shuffle("enrolled", slices, folder, memory),
            Shuffle("unenrolled", min(slices, MOST_SLICES_OF_UNENROLLED), folder, memory),
            SeenKeys(folder, expected, memory),
        )
        requested: list[Hashes] = [np.empty(0, np.uint64)]
        for pieces, records in files.read(pool, self.ahead, intake.take):
            self.tally.read += records
            for taken in pieces:
                self.tally.read_yen += taken.yen
                files.add_yen(taken.yen - taken.second_rows_yen)
                self.tally.quarantine(taken.faulty)
                self._quarantine(files, taken.faulty, Kind.WITH_LEDGER)
                self._decline(taken.declined)
                requested.append(taken.requested)
            self._progress("transactions", self.tally.read, files)
        self._progress_ends("transactions", self.tally.read)
        files.screen.judge()
        files.warn_of_unknown_methods(self.run.services.known_methods)
        files.warn_of(accounts_spelled_otherwise(intake.unknown_accounts, past))
        intake.seen.watch(plain_keys(files.odd_ids))
        requested += [intake.take_waiting(rows) for rows in reconsidering.rows()]
        return intake, FewHashes(np.concatenate(requested))

    def fold_slices(
        self, pool: ThreadPoolExecutor, work: SliceWork, slices: Iterator[Slice]
    ) -> Iterator[FoldedSlice]:
        """What became of each slice, in order; their files are in the staged ledger."""
        folder = self.book.staging / "ledger"

        def calculate(people: Slice, _: int) -> FoldedSlice:
            return work.fold(people, folder / part_name(self.number, people.number))

        return in_order(pool, self.ahead, slices, calculate)

    def _fold(
        self, pool: ThreadPoolExecutor, work: SliceWork, intake: Intake, voids: Voids
    ) -> list[LedgerPart]:
        numbers = intake.slices_of(voids.people)
        rows_of = intake.enrolled.taking if self.folds_here else intake.enrolled.leave
        slices = (
            Slice(
                number,
                rows_of(number) if intake.enrolled.rows[number] else NO_ROWS.clone,
                intake.of_slice(voids, number),
            )
            for number in numbers
        )
        parts: list[LedgerPart] = []
        pending, originals = [], []
        # In turn: what is declined is written here, while slices are folded elsewhere.
        unenrolled_rows = intake.declined(pool, work.settled)
        folds = self.fold_slices(pool, work, slices)
        for unenrolled, fold in zip_longest(unenrolled_rows, folds):
            if unenrolled is not None:
                self._decline(unenrolled)
            if fold is None:
                continue
            folded, part = fold
            parts += [part] if part else []
            self._decline(folded.declined)
            self.tally.reconsidered += folded.reconsidered
            self.tally.reconsidered_yen += folded.reconsidered_yen
            pending.append(folded.pending)
            originals.append(folded.originals)
            self.order.progress("booking", len(pending), len(numbers))
        if pending:
            self._decline(resolve_pending(pl.concat(pending), pl.concat(originals)))
        return parts

    def _progress(self, phase: str, rows: int, files: Files) -> None:
        self.order.progress(phase, rows, max(rows, files.rows_expected))

    def _progress_ends(self, phase: str, rows: int) -> None:
        # How many rows were expected was a guess from the files' sizes.
        if rows:
            self.order.progress(phase, rows, rows)

    def _decline(self, rows: pl.DataFrame) -> None:
        self.tally.decline(rows)
        self.declined.write(rows)


def _read_only(rows: PartRows) -> PartRows:
    return rows


def _slices_of_people(registry: Registry, slices: int) -> npt.NDArray[np.int16] | None:
    """By person number, the slice: ranges of person IDs, so that slices follow each other."""
    if slices == 1:
        return None
    ranks = registry.ranks(np.arange(registry.people))
    return (ranks * slices // max(1, registry.people)).astype(np.int16)

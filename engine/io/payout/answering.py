"""Answers on their way in: read, held against what was instructed, decided, staged."""

import datetime as dt
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.folder import run_id
from engine.io.book.format import layout_file
from engine.io.book.payout_record import OthersDone
from engine.io.book.payouts import PayoutBook
from engine.io.book.run_record import Output
from engine.io.book.tables import TableWriter
from engine.io.delivered.deliveries import Delivered
from engine.io.delivered.role_files import Files, check_parameters
from engine.io.delivered.roles import ANSWERS
from engine.io.delivered.rows import PartRows
from engine.io.durable import write_text
from engine.io.payout.answer_slices import SAID, AnswerSlices
from engine.io.payout.answers_taken import AnswersTaken
from engine.io.payout.instructing import Prepared
from engine.io.payout.known import KnownPayouts
from engine.io.payout.ranges import ROWS_PER_SLICE
from engine.io.payout.record import PayoutOrder, record_of, today
from engine.io.run.refusal import Kind, QuarantinedRows
from engine.payouts.answers import CONFLICT, OVERTAKEN
from engine.reading.canonical import Delivery, Reading, read_answers
from engine.records import Quarantined


@dataclass(frozen=True, slots=True)
class Others:
    """Lines without an answer that are taken as done."""

    number: int
    answered_on: dt.date
    services: tuple[str, ...]

    def as_recorded(self) -> OthersDone:
        """The request as the record has it."""
        return OthersDone(run_id(self.number), self.answered_on, tuple(sorted(self.services)))


class Answers:
    """Answers on their way into a locked book.

    They are decided slice by slice, each with the payouts that its answers may speak of. What is
    accepted is cut once more, by account, since that is the order of the table.
    """

    def __init__(
        self,
        at: KnownPayouts,
        staged: Path,
        found: Sequence[Delivered],
        max_quarantined: float,
        *,
        whole_lines: bool,
    ) -> None:
        self.at, self.staged, self.max_quarantined = at, staged, max_quarantined
        self.files = Files(replace(ANSWERS, read=self._read_rows), found, whole_lines)
        self.read = self.quarantined = 0
        self.quarantined_rows = QuarantinedRows()
        # The points of payouts whose answers are set aside; None until all answers are decided.
        self._instructed: pl.DataFrame | None = None

    def _read_rows(self, table: Delivery) -> Reading:
        return read_answers(table, self._instructed, today())

    def do(self, remaining: Others | None, started_at: dt.datetime) -> Prepared:
        """Decides every answer, and stages the payout run that takes them in.

        Raises:
            InputError: the answers cannot be used; nothing was booked.
            BookError: the disk gives back something else.
        """
        check_parameters(self.files)
        number = self.at.payout_runs + 1
        with (
            ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool,
            TableWriter(self.staged / "quarantine.parquet", Quarantined) as quarantine,
        ):
            taken = self._take_in(pool, remaining, quarantine)
            self._set_aside(pool, taken, quarantine)
        self._check_quarantined()
        if remaining is not None:
            taken.services.update(remaining.services)
            if not taken.services:
                raise InputError(
                    "--others-done: neither answers nor --service say of which services",
                    hint="name them with --service",
                )
        parts, points = taken.write(self.at.book.staging / "ledger", number)
        folder = f"{PayoutBook.RECORDS}/{run_id(number)}"
        outputs = [*(part.output() for part in parts), quarantine.written().output(folder)]
        for layout_id, layout in self.files.layouts.items():
            name = layout_file(layout_id)
            sha256 = write_text(self.staged / name, layout.text)
            outputs.append(Output(f"{folder}/{name}", len(layout.text.encode()), sha256))
        counts = {
            "read": self.read,
            "accepted": taken.accepted,
            "unchanged": taken.unchanged,
            "quarantined": self.quarantined,
            "skipped": self.files.skipped_rows,
            "others_done": taken.others_done,
        }
        out = sum(counts[name] for name in ("accepted", "unchanged", "quarantined", "skipped"))
        if out != self.read:
            raise BookError(
                f"the control totals do not agree: {self.read} answers were read, {out} accounted "
                "for",
                hint="this is a fault of the engine: nothing was booked; report it",
            )
        record = record_of(
            self.at,
            started_at,
            PayoutOrder(answers=OthersDone() if remaining is None else remaining.as_recorded()),
            counts=counts,
            points=points,
            outputs=outputs,
            inputs=self.files.inputs,
            skipped={reason: rows for reason, (rows, _) in sorted(self.files.skipped.items())},
            warnings=self.files.warnings,
        )
        return Prepared(parts, record)

    def _take_in(
        self, pool: ThreadPoolExecutor, remaining: Others | None, quarantine: TableWriter
    ) -> AnswersTaken:
        slices = AnswerSlices(
            self.at,
            self.at.book.staging / "work",
            self.files.rows_expected,
            None if remaining is None else remaining.number,
            ROWS_PER_SLICE,
        )
        for pieces, records in self.files.read(pool, 4, _said):
            self.read += records
            for said, ragged in pieces:
                slices.add(said)
                self._quarantine(ragged, quarantine)
        self.files.screen.judge()
        taken = AnswersTaken(today(), slices.count, slices.folder)
        others = None if remaining is None else (remaining.number, remaining.answered_on)
        run = run_id(self.at.payout_runs + 1)
        for said, lines in slices.take():
            taken.decide(said, lines, self.at.services, run, others)
        return taken

    def _set_aside(
        self, pool: ThreadPoolExecutor, taken: AnswersTaken, quarantine: TableWriter
    ) -> None:
        self._instructed = taken.instructed()
        for rows in self.files.read_again(pool, 4, taken.refs(None)):
            self._quarantine(rows.faulty, quarantine)
        for error in (CONFLICT, OVERTAKEN):
            for rows in self.files.read_again(pool, 4, taken.refs(error)):
                self._quarantine(rows.all_at_fault(error), quarantine)

    def _quarantine(self, faulty: pl.DataFrame, quarantine: TableWriter) -> None:
        if faulty.height:
            self.quarantined += faulty.height
            rows = self.files.as_quarantined(faulty)
            self.quarantined_rows.add(rows, Kind.WITH_ANSWERS)
            quarantine.write(rows)

    def _check_quarantined(self) -> None:
        rows = self.read - self.files.skipped_rows
        if rows and self.quarantined > self.max_quarantined * rows:
            raise InputError(
                f"{self.quarantined} of {rows} answers cannot be taken, more than the share of "
                f"{self.max_quarantined}; nothing was booked: {self.quarantined_rows.told()}",
                hint="have the answers corrected, or raise --max-quarantined to set these rows "
                "aside",
                code="too_many_quarantined",
            )


def _said(rows: PartRows) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What could be read of a piece's answers, columns of `SAID`, and its ragged records."""
    refs = pl.Series("row_ref", rows.first_ref + rows.batch.places, dtype=pl.Int64)
    values = rows.values.with_columns(refs, sound=refs.is_in(rows.good["row_ref"].implode()))
    ragged = rows.faulty.join(values, on="row_ref", how="anti")
    return values.select(list(SAID)).cast(pl.Schema(SAID)), ragged

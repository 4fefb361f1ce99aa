"""Answers on their way in: read, held against what was instructed, decided, staged."""

import datetime as dt
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.folder import part_name, run_id
from engine.io.book.format import layout_file
from engine.io.book.payout_record import OthersDone
from engine.io.book.payouts import PayoutBook, write_payouts
from engine.io.book.run_record import Output
from engine.io.book.tables import TableWriter
from engine.io.delivered.deliveries import Delivered
from engine.io.delivered.role_files import Files, check_parameters
from engine.io.delivered.roles import ANSWERS
from engine.io.durable import write_text
from engine.io.payout.instructing import Prepared
from engine.io.payout.known import Known
from engine.io.payout.record import Order, record_of, today
from engine.io.run.refusal import Kind, QuarantinedRows
from engine.payouts.answers import (
    ACCEPTED,
    ANSWER,
    CONFLICT,
    OVERTAKEN,
    Decision,
    answered,
    decide,
)
from engine.payouts.owed import lines_of
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
    """Answers on their way into a locked book."""

    def __init__(
        self,
        at: Known,
        staged: Path,
        found: Sequence[Delivered],
        max_quarantined: float,
        *,
        whole_lines: bool,
    ) -> None:
        self.at, self.staged, self.max_quarantined = at, staged, max_quarantined
        self.lines = lines_of(at.all_payouts(), at.accounts)
        by_id = self.lines.select("payout_id", "instructed")
        # Whatever an answer says, and be it past reading, its payout has one.
        self.named: list[pl.Series] = []

        def read(table: Delivery) -> Reading:
            reading = read_answers(table, by_id, today())
            self.named.append(reading.values["payout_id"])
            return reading

        self.files = Files(replace(ANSWERS, read=read), found, whole_lines)
        self.read = self.quarantined = 0
        self.quarantined_rows = QuarantinedRows()

    def do(self, remaining: Others | None, started_at: dt.datetime) -> Prepared:
        """Decides every answer, and stages the payout run that takes them in.

        Raises:
            InputError: the answers cannot be used; nothing was booked.
            BookError: the disk gives back something else.
        """
        check_parameters(self.files)
        with (
            ThreadPoolExecutor((os.cpu_count() or 1) + 1) as pool,
            TableWriter(self.staged / "quarantine.parquet", Quarantined) as quarantine,
        ):
            good = self._take_in(pool, quarantine)
            decision = decide(good, self.lines, self.at.services)
            self._set_aside(pool, decision, quarantine)
        self._check_quarantined()
        accepted, done = decision.accepted, pl.DataFrame(schema=ACCEPTED)
        if remaining is not None:
            done = self._others(remaining)
        number = self.at.payout_runs + 1
        rows = answered(pl.concat([accepted, done]), self.lines, run_id(number))
        parts = []
        if rows.height:
            staging = self.at.book.staging / "ledger"
            parts = [write_payouts(rows, staging, part_name(number, 0))]
        folder = f"{PayoutBook.RECORDS}/{run_id(number)}"
        outputs = [*(part.output() for part in parts), quarantine.written().output(folder)]
        for layout_id, layout in self.files.layouts.items():
            name = layout_file(layout_id)
            sha256 = write_text(self.staged / name, layout.text)
            outputs.append(Output(f"{folder}/{name}", len(layout.text.encode()), sha256))
        counts = {
            "read": self.read,
            "accepted": accepted.height,
            "unchanged": decision.unchanged,
            "quarantined": self.quarantined,
            "skipped": self.files.skipped_rows,
            "others_done": done.height,
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
            Order(answers=OthersDone() if remaining is None else remaining.as_recorded()),
            counts=counts,
            points=_answered_points(rows),
            outputs=outputs,
            inputs=self.files.inputs,
            skipped={reason: rows for reason, (rows, _) in sorted(self.files.skipped.items())},
            warnings=self.files.warnings,
        )
        return Prepared(parts, record)

    def _take_in(self, pool: ThreadPoolExecutor, quarantine: TableWriter) -> pl.DataFrame:
        frames = [pl.DataFrame(schema=ANSWER)]
        for pieces, records in self.files.read(pool, 4, lambda rows: rows):
            self.read += records
            for rows in pieces:
                frames.append(rows.good.select(list(ANSWER)).cast(pl.Schema(ANSWER)))
                self._quarantine(rows.faulty, quarantine)
        self.files.screen.judge()
        return pl.concat(frames)

    def _set_aside(
        self, pool: ThreadPoolExecutor, decision: Decision, quarantine: TableWriter
    ) -> None:
        faulty = decision.faulty
        for error in (CONFLICT, OVERTAKEN):
            refs = faulty.filter(pl.col("errors").list.contains(error))["row_ref"].to_numpy()
            for rows in self.files.read_again(pool, 4, refs):
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

    def _others(self, remaining: Others) -> pl.DataFrame:
        named = pl.concat([pl.Series("payout_id", [], pl.String), *self.named])
        answers = named.to_frame()
        spoken_of = self.lines.join(answers, on="payout_id", how="semi")["service_id"].unique()
        services = {*remaining.services, *spoken_of}
        if not services:
            raise InputError(
                "--others-done: neither answers nor --service say of which services",
                hint="name them with --service",
            )
        return (
            self.lines.lazy()
            .filter(
                pl.col("run") == run_id(remaining.number),
                pl.col("answered").is_null(),
                pl.col("service_id").is_in(sorted(services)),
            )
            .join(answers.lazy(), on="payout_id", how="anti")
            .select(
                payout_id="payout_id",
                points="instructed",
                answered_on=pl.lit(remaining.answered_on, pl.Date),
                code=pl.lit(None, pl.String),
            )
            .collect()
        )


def _answered_points(rows: pl.DataFrame) -> dict[str, int]:
    points = pl.col("points")
    is_done, is_pay = pl.col("entry") == "done", pl.col("direction") == "pay"
    sums = rows.select(
        granted=points.filter(is_done & is_pay & (points > 0)).sum(),
        taken_back=points.filter(is_done & ~is_pay & (points > 0)).sum(),
        refused=points.filter(~is_done & (points > 0)).sum(),
        replaced=-points.filter(points < 0).sum(),
    )
    return sums.row(0, named=True)

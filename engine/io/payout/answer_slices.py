"""Delivered answers beside the payouts that they may speak of, in slices that fit into memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl

from engine.io.payout.known import PAYOUT_COLUMNS, KnownPayouts
from engine.io.payout.ranges import cut_by, slices_for
from engine.io.run.shuffle import Shuffle
from engine.payouts.answers import ANSWER
from engine.payouts.owed import instructions

SAID: Final = {**ANSWER, "sound": pl.Boolean()}
"""Of an answer what could be read, and whether all of it could."""
_ID: Final = "payout_id"


class AnswerSlices:
    """Answers, added in any order, and taken with the payouts that they may speak of.

    Attributes:
        count: of slices. Few answers are one, and then no other payouts are held than theirs.
    """

    def __init__(
        self,
        at: KnownPayouts,
        folder: Path,
        answers_expected: int,
        payout_run: int | None,
        rows_per_slice: int,
    ) -> None:
        """Takes all lines of ``payout_run``, too, whether they are answered or not."""
        self._at, self._payout_run = at, payout_run
        of_run = 0 if payout_run is None else at.payouts_expected(payout_run)
        is_few = max(answers_expected, of_run) <= rows_per_slice
        rows = sum(at.payouts_expected(number) for number in range(1, at.payout_runs + 1))
        self.count = 1 if is_few else slices_for(rows + answers_expected, rows_per_slice)
        self.folder = folder if self.count > 1 else None
        self._answers = Shuffle("answers", self.count, self.folder)

    def add(self, said: pl.DataFrame) -> None:
        """Adds answers: columns of `SAID`."""
        self._answers.add(*self._cut(said))

    def take(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """The answers of each slice, and the payouts as `instructions` gives them."""
        nothing_said = pl.DataFrame(schema=SAID)
        if self.count == 1:
            said = self._answers.take(0) if self._answers.rows[0] else nothing_said
            wanted = [said[_ID], *self._instructed()]
            ids = pl.concat(wanted).unique().to_frame()
            frames = [rows.join(ids, on=_ID, how="semi") for rows in self._at.payout_rows()]
            yield said, instructions(pl.concat([pl.DataFrame(schema=PAYOUT_COLUMNS), *frames]))
            return
        payouts = Shuffle("payouts", self.count, self.folder)
        for rows in self._at.payout_rows():
            payouts.add(*self._cut(rows))
        for number in range(self.count):
            said = self._answers.take(number) if self._answers.rows[number] else nothing_said
            if payouts.rows[number]:
                yield said, instructions(payouts.take(number))
            elif said.height:
                yield said, instructions(pl.DataFrame(schema=PAYOUT_COLUMNS))

    def _instructed(self) -> Iterator[pl.Series]:
        """The payouts that the payout run instructed."""
        if self._payout_run is not None:
            for rows in self._at.payout_rows(self._payout_run):
                yield rows.filter(pl.col("entry") == "instructed")[_ID]

    def _cut(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[int]]:
        return cut_by(rows[_ID].hash(seed=1) % self.count, rows, self.count)

"""What became of answers: the rows of the table that they make, and those that are set aside."""

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from engine.booking.index_spaces import RowRefs
from engine.io.book.folder import part_name, run_id
from engine.io.book.payouts import PayoutPart, write_payouts
from engine.io.payout.known import PAYOUT_COLUMNS
from engine.io.payout.ranges import AccountRanges
from engine.io.run.shuffle import Shuffle
from engine.payouts.answers import ANSWER, answered, decide
from engine.payouts.lines import TABLE_ORDER
from engine.reading.canonical import answer_faults
from engine.terms.services import Services


@dataclass
class AnswersTaken:
    """Answers that were decided slice by slice.

    Attributes:
        today: answers of later days are at fault.
        ranges: into how many ranges of accounts the table's rows are cut.
        folder: where they wait; None is memory.
        services: those that the answers speak of; the others that are done are of these alone.
        others_done: how many payouts without an answer were taken as done.
    """

    today: dt.date
    ranges: int
    folder: Path | None
    services: set[str] = field(default_factory=set)
    accepted: int = 0
    unchanged: int = 0
    others_done: int = 0

    def __post_init__(self) -> None:
        self._rows = Shuffle("answered", self.ranges, self.folder)
        self._cuts: AccountRanges | None = None
        self._refs: dict[str | None, list[RowRefs]] = {}
        self._instructed = [
            pl.DataFrame(schema={"payout_id": pl.String(), "instructed": pl.Int64()})
        ]

    def decide(
        self,
        said: pl.DataFrame,
        lines: pl.DataFrame,
        services: Services,
        payout_run_id: str,
        others: tuple[int, dt.date] | None,
    ) -> None:
        """Decides the answers of a slice.

        Args:
            said: columns of `SAID`.
            lines: the payouts of the slice, as `instructions` gives them.
            services: the registry in force.
            payout_run_id: of the payout run that takes the answers in.
            others: a payout run whose payouts without an answer are done, and on which day.
        """
        spoken_of = lines.join(said, on="payout_id", how="semi")
        self.services.update(spoken_of["service_id"].unique())
        known = spoken_of.select("payout_id", "instructed")
        judged = said.join(known, on="payout_id", how="left")
        fault = pl.any_horizontal(~pl.col("sound"), *answer_faults(self.today))
        judged = judged.with_columns(at_fault=fault)
        decision = decide(judged.filter(~pl.col("at_fault")).select(list(ANSWER)), lines, services)
        self.accepted += decision.accepted.height
        self.unchanged += decision.unchanged
        self._set_aside(None, judged.filter("at_fault"), judged)
        for (error,), faulty in (
            decision.faulty.explode("errors").partition_by("errors", as_dict=True).items()
        ):
            self._set_aside(str(error), faulty, judged)
        self._keep(answered(decision.accepted, lines, payout_run_id), is_other=False)
        if others is not None:
            number, day = others
            is_open = (pl.col("run") == run_id(number)) & pl.col("answered").is_null()
            done = lines.filter(is_open).join(said, on="payout_id", how="anti")
            accepted = done.select(
                "payout_id",
                points="instructed",
                answered_on=pl.lit(day, pl.Date),
                code=pl.lit(None, pl.String),
            )
            self._keep(answered(accepted, lines, payout_run_id), is_other=True)

    def _set_aside(self, error: str | None, faulty: pl.DataFrame, judged: pl.DataFrame) -> None:
        if faulty.height:
            self._refs.setdefault(error, []).append(faulty["row_ref"].to_numpy())
            its_own = judged.join(faulty, on="row_ref", how="semi").drop_nulls("instructed")
            self._instructed.append(its_own.select("payout_id", "instructed"))

    def _keep(self, rows: pl.DataFrame, *, is_other: bool) -> None:
        if rows.height:
            whose = rows.select("service_id", account_id="enrolled_account_id")
            if self._cuts is None:
                # The first slice is as good as any sample: payouts are cut by the hash of their ID.
                self._cuts = AccountRanges.over(whose, self.ranges)
            rows = rows.with_columns(is_other=pl.lit(is_other))
            self._rows.add(*self._cuts.cut(rows, whose))

    def refs(self, error: str | None) -> RowRefs:
        """The answers that are set aside for an error, or for what is wrong with them: None."""
        return np.sort(np.concatenate([np.zeros(0, np.int64), *self._refs.get(error, [])]))

    def instructed(self) -> pl.DataFrame:
        """`payout_id` and `instructed`, its points, of all answers that are set aside."""
        return pl.concat(self._instructed).unique()

    def write(self, folder: Path, number: int) -> tuple[list[PayoutPart], dict[str, int]]:
        """Writes the table's rows; gives its files, and the points that were answered.

        Raises:
            BookError: the disk gives back something else.
        """
        parts: list[PayoutPart] = []
        points = _answered_points(pl.DataFrame(schema=PAYOUT_COLUMNS))
        for slice_number in self._rows.filled():
            of_services = pl.col("service_id").is_in(sorted(self.services))
            rows = self._rows.take(slice_number).filter(~pl.col("is_other") | of_services)
            self.others_done += int(rows["is_other"].sum())
            if rows.height:
                rows = rows.drop("is_other").sort(TABLE_ORDER)
                parts.append(write_payouts(rows, folder, part_name(number, len(parts))))
                for name, more in _answered_points(rows).items():
                    points[name] += more
        return parts, points


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

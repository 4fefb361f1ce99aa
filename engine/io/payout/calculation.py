"""A whole book's figures in bounded memory: the accounts are cut into ranges, one at a time.

Ranges ascend by (service, account), so what is made of one follows what was made of those before
it. Entries and payouts are spilled to the range of their account. The people who have several
accounts, few, are kept to the end: only then is it known what they have left over all of them.
"""

import datetime as dt
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from engine.io.payout.known import PAYOUT_COLUMNS, KnownPayouts
from engine.io.payout.ranges import ROWS_PER_SLICE, AccountRanges, slices_for
from engine.io.run.shuffle import Shuffle
from engine.payouts.accounts import Accounts
from engine.payouts.bridge import bridged, by_service
from engine.payouts.lines import lines
from engine.payouts.owed import FiguresRequest, belongs, dated, figures, lines_of, misdirected, pay
from engine.payouts.schedule import KEY

_SAMPLED_PER_RANGE: Final = 64
_ROWS_AT_ONCE: Final = 1_000_000
_LINE_COLUMNS: Final = ("number", "direction", "points", "due_on")


@dataclass
class DayCalculation:
    """The figures of all accounts on a day.

    Attributes:
        services: those that have entries or payouts, after the first range was taken.
        misdirected: of each range that was taken, what `misdirected` says of its payouts.
        folder: where to spill; None keeps everything in memory, in one range.
    """

    known: KnownPayouts
    on: dt.date
    folder: Path | None = None
    entries_per_range: int = ROWS_PER_SLICE
    services: set[str] = field(default_factory=set)
    with_entries: set[str] = field(default_factory=set)
    misdirected: list[pl.DataFrame] = field(default_factory=list)

    @property
    def asked(self) -> FiguresRequest:
        return self._asked

    def __post_init__(self) -> None:
        self._asked = self.known.asked(self.on)
        count = slices_for(self.known.entries_expected, self.entries_per_range)
        self.ranges = 1 if self.folder is None else count
        self._ranges = _ranges(self._asked.accounts, self.ranges)
        self._folder = self.folder if self.ranges > 1 else None

    def by_range(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]]:
        """Of each range that has any: its dated entries, its lines, its figures."""
        entries = Shuffle("entries", self.ranges, self._folder)
        payouts = Shuffle("payouts", self.ranges, self._folder)
        for rows in self.known.entries():
            self.with_entries.update(rows["service_id"].unique())
            entries.add(*self._ranges.cut(rows, rows))
        for rows in self.known.payout_rows():
            self.services.update(rows["service_id"].unique())
            numbers = rows.select("service_id", number="account_id")
            whose = numbers.with_columns(belongs(self._asked.accounts))
            payouts.add(*self._ranges.cut(rows, whose))
        self.services |= self.with_entries
        accounts = Shuffle("accounts", self.ranges, self._folder)
        for rows in self._asked.accounts.enrolled.iter_slices(_ROWS_AT_ONCE):
            accounts.add(*self._ranges.cut(rows, rows))
        nobody = self._asked.accounts.enrolled.clear()
        none = next(iter(self.known.entries()), None)
        for number in range(self.ranges):
            if not entries.rows[number] and not payouts.rows[number]:
                continue
            taken = entries.take(number) if entries.rows[number] else none
            if taken is None:
                return
            if not entries.rows[number]:
                taken = taken.clear()
            own_payouts = (
                payouts.take(number)
                if payouts.rows[number]
                else pl.DataFrame(schema=PAYOUT_COLUMNS)
            )
            own_entries = dated(taken, self._asked)
            own_lines = lines_of(own_payouts, self._asked.accounts)
            self.misdirected.append(misdirected(own_lines))
            enrolled = accounts.take(number) if accounts.rows[number] else nobody
            rows = figures(own_entries, own_lines, enrolled, self._asked)
            yield own_entries, own_lines, rows

    def paid(self, services: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """Figures with `pay`, range by range, and at last those of people with several accounts."""
        several = self._asked.accounts.shared
        kept = []
        for _, _, rows in self.by_range():
            alone = rows.join(several, on="person_id", how="anti")
            kept.append(rows.join(several, on="person_id", how="semi"))
            yield pay(alone, services)
        if kept:
            yield pay(pl.concat(kept), services)

    def bridge(self) -> pl.DataFrame:
        """The terms of the bridge, one row a service."""
        sums = [by_service(bridged(rows)) for rows in self.paid()]
        if not sums:
            return pl.DataFrame()
        return pl.concat(sums).group_by("service_id").sum().sort("service_id")

    def lines(self, services: Collection[str] | None = None) -> Iterator[pl.DataFrame]:
        """What is to be instructed, range by range, sorted by account within each."""
        made = Shuffle("lines", self.ranges, self._folder)
        for rows in self.paid(services):
            instructions = lines(rows, services)
            if instructions.height:
                made.add(*self._ranges.cut(instructions, instructions))
        for number in made.filled():
            yield made.take(number).sort(KEY)


def _ranges(accounts: Accounts, count: int) -> AccountRanges:
    enrolled = accounts.enrolled
    every = max(1, enrolled.height // (count * _SAMPLED_PER_RANGE))
    # Every nth row would not do: where services take turns, it leaves some of them out.
    sampled = enrolled.select(KEY).filter(pl.col("account_id").hash(seed=1) % every == 0)
    return AccountRanges.over(sampled, count)

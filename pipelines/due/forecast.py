"""The bridge on a day, and what treasury asks beside it."""

import datetime as dt
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from engine.io.parquet import scan_parquet
from engine.io.payout.calculation import DayCalculation
from engine.io.payout.known import KnownPayouts, known
from engine.payouts.answers import OVERTAKEN
from engine.payouts.bridge import TERMS, bridged, by_service, coming
from engine.payouts.late import granted_late
from engine.payouts.owed import misdirected, pay
from pipelines.desk.opened_book import book_readable

OVERDUE_DAYS: Final = 60
SERVICES: Final = {"service_id": pl.String(), **dict.fromkeys(TERMS, pl.Int64())}


@dataclass
class Due:
    """What is due on a day, and what is not.

    Attributes:
        services: the terms of the bridge, one row a service.
        days: what comes due after the day: `service_id`, `due_on`, `points`.
        withheld: `service_id`, `why` (`stopped`, `held` by an answer's code, `limit`, or
            `take_back`, on its way), `accounts`, `points`.
        unanswered: `service_id`, `direction`, `days` (since it was instructed), `lines`, `points`.
        debts: `service_id`, `collectable` (whether they are being taken back), `accounts`,
            `points`.
        overtaken: how many answers came after a later day's, and said other points.
        misdirected: `service_id`, `lines`, `points`: on their way to a number that is no longer
            its account's.
        late: `service_id`, `lines`, `points`: granted later than two months after the payment.
    """

    on: dt.date
    by_day: bool
    overdue_days: int
    services: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SERVICES))
    days: pl.DataFrame = field(default_factory=pl.DataFrame)
    withheld: pl.DataFrame = field(default_factory=pl.DataFrame)
    unanswered: pl.DataFrame = field(default_factory=pl.DataFrame)
    debts: pl.DataFrame = field(default_factory=pl.DataFrame)
    misdirected: pl.DataFrame = field(default_factory=pl.DataFrame)
    late: pl.DataFrame = field(default_factory=pl.DataFrame)
    overtaken: int = 0

    @property
    def total(self) -> dict[str, int]:
        """The terms of the bridge over all services."""
        return self.services.select(pl.col(TERMS).sum()).row(0, named=True)

    @property
    def overdue(self) -> int:
        """How many instructions have had no answer for longer than they should."""
        if self.unanswered.is_empty():
            return 0
        late = self.unanswered.filter(pl.col("days") > self.overdue_days)
        return int(late["lines"].sum())


def forecast(
    path: Path,
    on: dt.date,
    *,
    by_day: bool,
    overdue_days: int,
    runs: int | None = None,
    scratch: Path | None = None,
) -> Due:
    """What is due on a day, by all that a book knows, or knew after a run.

    What memory does not hold goes to ``scratch``, by default the system's folder for such.

    Raises:
        InputError: there is no book.
        BookError: a file of it is damaged.
    """
    at = known(path, runs)
    sums = _Sums()
    with tempfile.TemporaryDirectory(prefix="mynapoint-due-", dir=scratch) as folder:
        calculation = DayCalculation(at, on, Path(folder))
        several = calculation.asked.accounts.shared
        kept: list[pl.DataFrame] = []
        for entries, lines, rows in calculation.by_range():
            kept.append(rows.join(several, on="person_id", how="semi"))
            sums.take(bridged(pay(rows.join(several, on="person_id", how="anti"))))
            sums.take_lines(lines, on)
            sums.late.append(granted_late(entries, lines))
            if by_day:
                # What each account has still to come does not hang on what its person is paid now.
                sums.days.append(coming(entries, bridged(pay(rows))))
        if kept:
            sums.take(bridged(pay(pl.concat(kept))))
    return Due(
        on,
        by_day,
        overdue_days,
        services=_added(sums.services, "service_id").select(list(SERVICES)),
        days=_added(sums.days, "service_id", "due_on"),
        withheld=_added(sums.withheld, "service_id", "why"),
        unanswered=_added(sums.unanswered, "service_id", "direction", "days"),
        debts=_added(sums.debts, "service_id", "collectable"),
        misdirected=_added(sums.misdirected, "service_id"),
        late=_added(sums.late, "service_id"),
        overtaken=_overtaken(at),
    )


@dataclass
class _Sums:
    """Sums of ranges of accounts, to be added up."""

    services: list[pl.DataFrame] = field(default_factory=lambda: [pl.DataFrame(schema=SERVICES)])
    days: list[pl.DataFrame] = field(default_factory=lambda: [_few("due_on", pl.Date())])
    withheld: list[pl.DataFrame] = field(
        default_factory=lambda: [_few("why", pl.String(), "accounts")]
    )
    debts: list[pl.DataFrame] = field(
        default_factory=lambda: [_few("collectable", pl.Boolean(), "accounts")]
    )
    unanswered: list[pl.DataFrame] = field(default_factory=list)
    misdirected: list[pl.DataFrame] = field(default_factory=list)
    late: list[pl.DataFrame] = field(default_factory=list)

    def take(self, rows: pl.DataFrame) -> None:
        """Takes figures with their terms of the bridge."""
        self.services.append(by_service(rows))
        why = (
            pl.when("stopped")
            .then(pl.lit("stopped"))
            .when("held")
            .then(pl.lit("held"))
            .when(pl.col("wanted") == 0)
            .then(pl.lit("take_back"))
            .otherwise(pl.lit("limit"))
        )
        self.withheld.append(
            rows.filter(pl.col("withheld") > 0)
            .group_by("service_id", why=why)
            .agg(accounts=pl.len().cast(pl.Int64), points=pl.col("withheld").sum())
        )
        self.debts.append(
            rows.filter(pl.col("debt") > 0)
            .group_by("service_id", collectable=pl.col("take_back") > 0)
            .agg(accounts=pl.len().cast(pl.Int64), points=pl.col("debt").sum())
        )

    def take_lines(self, lines: pl.DataFrame, on: dt.date) -> None:
        """Takes the payouts of a range."""
        unanswered = lines.filter(pl.col("answered").is_null())
        sums = {"lines": pl.len().cast(pl.Int64), "points": pl.col("instructed").sum()}
        days = (pl.lit(on) - pl.col("instructed_on")).dt.total_days()
        self.unanswered.append(
            unanswered.group_by("service_id", "direction", days=days).agg(**sums)
        )
        self.misdirected.append(misdirected(lines))


def _few(key: str, dtype: pl.DataType, *more: str) -> pl.DataFrame:
    sums = dict.fromkeys((*more, "points"), pl.Int64())
    return pl.DataFrame(schema={"service_id": pl.String(), key: dtype, **sums})


def _added(frames: list[pl.DataFrame], *keys: str) -> pl.DataFrame:
    return pl.concat(frames).group_by(keys).sum().sort(keys) if frames else pl.DataFrame()


def _overtaken(at: KnownPayouts) -> int:
    """How many answers came after that of a later day, and said other points."""
    found = 0
    for number in range(1, at.payout_runs + 1):
        path = at.payouts.run_folder(number) / "quarantine.parquet"
        if path.exists():
            with book_readable(at.book):
                errors = scan_parquet(path).select("errors").collect()["errors"]
            found += int(errors.list.contains(OVERTAKEN).sum())
    return found

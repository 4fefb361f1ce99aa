"""A book counted once, when browsing begins; each page adds these counts up.

Committed files never change, so the counts hold for the version of the book that was opened.
"""

from dataclasses import dataclass
from typing import Final

import polars as pl

from engine.io.book.format import RunTable
from pipelines.browse.filters import Filters, runs_in
from pipelines.desk.opened_book import OpenedBook, book_readable

ACCEPTED: Final = "accepted"
WAITING: Final = "waiting"

# Which filters a section's rows have a column for, besides the run.
APPLIES: Final = {
    "entries": ("service", "kind", "paid"),
    "declined": ("service", "kind", "reason"),
    "quarantined": ("fault",),
    "applications": ("service", "outcome"),
    "corrections": ("outcome",),
}
SECTIONS: Final = tuple(APPLIES)


@dataclass(frozen=True, slots=True)
class SectionCounts:
    """A book's rows by section and run, and by whatever the section is filtered by.

    Attributes:
        entries: ``run``, ``service``, ``kind``, ``paid`` (month of the payment), ``rows``,
            ``amount_yen``, ``counted_yen``, ``awarded``, ``reversed``; the last is positive.
        declined: ``run``, ``service`` (null where the registry has none such), ``kind``,
            ``reason``, ``rows``, ``amount_yen``.
        quarantined: ``run``, ``fault``, ``rows``: a row with several faults is in each.
        unreadable: ``run``, ``rows``: quarantined rows, each once.
        applications: ``run``, ``service`` (as above), ``outcome``, ``rows``.
        corrections: ``run``, ``kind``, ``outcome``, ``rows``; ``entries`` and ``points`` of the
            voids and recounts that they caused.
    """

    opened: OpenedBook
    entries: pl.DataFrame
    declined: pl.DataFrame
    quarantined: pl.DataFrame
    unreadable: pl.DataFrame
    applications: pl.DataFrame
    corrections: pl.DataFrame

    def of(self, section: str, filters: Filters, *, but: str | None = None) -> pl.DataFrame:
        """A section's counts as the filters leave them, those of ``but`` aside."""
        counts: pl.DataFrame = getattr(self, section)
        left = counts.filter(pl.col("run").is_in(sorted(runs_in(self.opened, filters))))
        for name in APPLIES[section]:
            value = getattr(filters, name)
            if value is not None and name != but:
                left = left.filter(pl.col(name) == value)
        return left

    def rows(self, section: str, filters: Filters) -> dict[str, int]:
        """How many rows of a section the filters leave, by run; runs without any are left out.

        Of quarantined rows by any fault these are faults, at least one a row.
        """
        left = self.of(section, filters).group_by("run").agg(pl.col("rows").sum())
        return dict(left.filter(pl.col("rows") > 0).iter_rows())


def count(opened: OpenedBook) -> SectionCounts:
    """Counts a book.

    Raises:
        BookError: a file of the book cannot be read.
    """
    known = sorted(
        {
            service
            for number in range(1, opened.runs + 1)
            for service in opened.services(number).by_id
        }
    )
    # What stands in place of a service that nobody knows may be anything, a person's ID too.
    service = pl.when(pl.col("service_id").is_in(known)).then("service_id").alias("service")
    run, rows, points = pl.col("run_id").alias("run"), pl.len().cast(pl.Int64), pl.col("points")
    correcting = {
        number for number, record in enumerate(opened.records, 1) if record.counts.events.accepted
    }
    caused = (
        # A run makes the voids and recounts of the events that it accepts itself.
        opened.ledger([file for file in opened.ledger_files if file.run in correcting])
        .filter(pl.col("event_id").is_not_null())
        .group_by("event_id")
        .agg(entries=rows, points=points.sum())
    )
    accepted_events = opened.table(RunTable.ACCEPTED_EVENTS).join(
        caused, on="event_id", how="left", maintain_order="left"
    )
    rejected_events = opened.table(RunTable.REJECTED_EVENTS).with_columns(
        entries=pl.lit(None, pl.Int64), points=pl.lit(None, pl.Int64)
    )
    queries = {
        "entries": opened.ledger()
        .group_by(
            run,
            pl.col("service_id").alias("service"),
            "kind",
            pl.col("occurred_at").dt.date().alias("paid"),
        )
        .agg(
            rows=rows,
            amount_yen=pl.col("amount").sum(),
            counted_yen=pl.col("counted_amount").sum(),
            awarded=points.filter(points > 0).sum(),
            reversed=-points.filter(points < 0).sum(),
        ),
        "declined": opened.table(RunTable.DECLINED)
        .group_by(run, service, "kind", "reason")
        .agg(rows=rows, amount_yen=pl.col("amount").sum()),
        "quarantined": opened.table(RunTable.QUARANTINE)
        .explode("errors")
        .group_by(run, pl.col("errors").alias("fault"))
        .agg(rows=rows),
        "unreadable": opened.table(RunTable.QUARANTINE).group_by(run).agg(rows=rows),
        "applications": pl.concat(
            frame.group_by(run, service, outcome.alias("outcome")).agg(rows=rows)
            for frame, outcome in (
                (opened.table(RunTable.ACCEPTED), pl.lit(ACCEPTED)),
                (opened.table(RunTable.REJECTED), pl.col("reason")),
                (opened.table(RunTable.WAITING), pl.lit(WAITING)),
            )
        ),
        "corrections": pl.concat(
            frame.group_by(run, "kind", outcome.alias("outcome")).agg(
                pl.col("entries", "points").sum(), rows=rows
            )
            for frame, outcome in (
                (accepted_events, pl.lit(ACCEPTED)),
                (rejected_events, pl.col("reason")),
            )
        ),
    }
    with book_readable(opened.book):
        counted = {name: query.collect(engine="streaming") for name, query in queries.items()}
    # To count by day and the days by month is quicker.
    by_month = ["run", "service", "kind", pl.col("paid").dt.strftime("%Y-%m")]
    counted["entries"] = counted["entries"].group_by(by_month).sum()
    return SectionCounts(opened, **counted)

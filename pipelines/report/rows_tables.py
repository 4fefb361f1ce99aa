"""The report's tables of rows that were not simply booked, and of refunds and applications."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from engine.rules.refunds import (
    REFUND_ACCOUNT_DIFFERS,
    REFUND_BEFORE_ORIGINAL,
    REFUND_EXCEEDS_ORIGINAL,
)
from pipelines.pending.output import age_words
from pipelines.report.book_tables import BookTables
from pipelines.report.table import Table, Value, share
from pipelines.shown.texts import Texts

# Why a refund whose original is booked took nothing back.
TOOK_NOTHING: Final = (REFUND_ACCOUNT_DIFFERS, REFUND_BEFORE_ORIGINAL, REFUND_EXCEEDS_ORIGINAL)


class RowsTables(BookTables):
    """What became of delivered rows."""

    def declined(self) -> Table:
        """Declined rows by reason."""
        by_reason = (
            self._figures.declined.group_by("reason")
            .agg(pl.col("rows", "yen").sum())
            .sort("rows", "reason", descending=[True, False])
        )
        total = int(by_reason["rows"].sum())
        rows = [
            (self._reason(code), code, rows, yen, share(rows, total))
            for code, rows, yen in by_reason.iter_rows()
        ]
        names = ("c_meaning", "c_reason:code", "c_rows:number", "c_yen:number", "c_share:share")
        return self._table("declined", rows, *names)

    def declined_by_service(self) -> Table:
        """Declined rows by service and reason."""
        rows = [
            (self.service_name(service), self._reason(code), code, rows, yen)
            for service, code, rows, yen in self._figures.declined.iter_rows()
        ]
        names = ("c_service", "c_meaning", "c_reason:code", "c_rows:number", "c_yen:number")
        return self._table("declined_by_service", rows, *names, sortable=True)

    def waiting(self) -> Iterator[Table]:
        """What waits by reason and by age, and refunds that took nothing of a booked original."""
        waiting = self._figures.waiting
        if waiting.is_empty():
            return
        sums = pl.col("rows", "yen", "points_at_stake", "unknown").sum()
        names = ("c_rows:number", "c_yen:number", "c_stake:number", "c_stake_unknown:number")
        by_reason = waiting.group_by("reason", "service_id").agg(sums)
        yield self._table(
            "waiting",
            [
                (self.service_name(service), self._reason(code), code, *numbers)
                for code, service, *numbers in by_reason.sort(
                    "rows", "reason", "service_id", descending=[True, False, False]
                ).iter_rows()
            ],
            *("c_service", "c_meaning", "c_reason:code", *names),
            sortable=True,
        )
        words = Texts("pending", self._t.lang)
        by_age = waiting.group_by("age").agg(sums).sort("age")
        rows = [(age_words(age, words), *numbers) for age, *numbers in by_age.iter_rows()]
        yield self._table("waiting_ages", rows, "c_days", *names)
        idle = waiting.filter(pl.col("is_refund"), pl.col("reason").is_in(TOOK_NOTHING))
        by_reason = idle.group_by("reason").agg(sums).sort("reason")
        if by_reason.height:
            rows = [
                (self._reason(code), code, *numbers) for code, *numbers in by_reason.iter_rows()
            ]
            yield self._table("idle_refunds", rows, "c_meaning", "c_reason:code", *names)

    def corrections(self) -> Iterator[Table]:
        """Events by kind, and what they did; none without events."""
        words = Texts("explain", self._t.lang)
        rows = [
            (words(kind), kind, *numbers)
            for kind, *numbers in self._figures.corrections.iter_rows()
        ]
        if rows:
            yield self._table(
                "corrections",
                rows,
                *("c_event", "c_event_kind:code", "c_accepted_events:number"),
                *("c_rejected_events:number", "c_caused:number", "c_net:number"),
            )

    def quarantined(self) -> Table:
        """Quarantined rows by run and file."""
        inputs = {
            (record.run_id, delivered.name): delivered
            for record in self._opened.records
            for delivered in record.inputs
        }
        faults: dict[tuple[str, str], list[str]] = {}
        for run, file, error, times in self._figures.faults.iter_rows():
            faults.setdefault((run, file), []).append(f"{error} {times:,}")
        rows = []
        for run, file, count in self._figures.quarantined.iter_rows():
            delivered = inputs.get((run, file))
            role = self._t(f"word_{delivered.role}") if delivered else None
            of = delivered.rows if delivered else None
            named_faults = ", ".join(faults.get((run, file), []))
            rows.append((run, file, role, of, count, share(count, of), named_faults))
        return self._table(
            "quarantined",
            rows,
            *("c_run:code", "c_file:code+", "c_role", "c_rows_of_file:number"),
            *("c_quarantined:number", "c_share:share", "c_faults:code+"),
            sortable=True,
        )

    def faults(self) -> Table:
        """Faults by column and code."""
        by_error = (
            self._figures.faults.group_by("error")
            .agg(pl.col("faults").sum())
            .sort("faults", "error", descending=[True, False])
        )
        rows = []
        for error, times in by_error.iter_rows():
            column, code = error.rsplit(":", 1)
            rows.append((column, code, self._t(f"fault_{code}"), times))
        names = ("c_column:code", "c_code:code", "c_meaning", "c_times:number")
        return self._table("faults", rows, *names)

    def refunds(self) -> Table:
        """Refunds by month."""
        rows = [
            (month.strftime("%Y-%m"), *numbers)
            for month, *numbers in self._figures.refunds_by_month.iter_rows()
            if numbers[0]
        ]
        return self._table(
            "refunds",
            rows,
            *("c_month", "c_refunds:number", "c_refunded:number"),
            *("c_uncounted:number", "c_reversed:number"),
        )

    def applications(self) -> Table:
        """What became of the applications."""
        rejected: dict[str, int] = {}
        sums = dict.fromkeys(("accepted", "unchanged", "quarantined", "skipped"), 0)
        for record in self._opened.records:
            counts = record.counts.enrollments
            sums["accepted"] += counts.accepted
            sums["unchanged"] += counts.unchanged
            sums["quarantined"] += counts.quarantined
            sums["skipped"] += sum(counts.skipped.values())
            for code, rows in counts.rejected.items():
                rejected[code] = rejected.get(code, 0) + rows
        of: list[tuple[Value, ...]] = [
            (self._t(f"became_{what}"), "", "", sums[what]) for what in sums
        ]
        of[2:2] = [
            (self._t("became_rejected"), self._reason(code), code, rows)
            for code, rows in sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
        ]
        of.append((self._t("total"), "", "", sum(sums.values()) + sum(rejected.values())))
        names = ("c_outcome", "c_meaning", "c_reason:code", "c_rows:number")
        return self._table("applications", of, *names, total=True)

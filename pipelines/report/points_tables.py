"""The report's tables of points: awarded, held, at the cap, and paid out."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from engine.payouts.bridge import TERMS
from pipelines.due.forecast import OVERDUE_DAYS, forecast
from pipelines.report.book_tables import BookTables
from pipelines.report.figures import BANDS
from pipelines.report.table import Table, TableColumn, Value, share
from pipelines.shown.texts import Texts

# A table by day and service with more rows than that goes by month.
MOST_DAYS: Final = 10_000


class PointsTables(BookTables):
    """Points by day and service, people by spending and by points, and payouts."""

    def points(self) -> Table:
        """Points by day and service, or by month where there are too many days."""
        rows, name, heading, note = self._figures.by_day, "t_points", "c_day", ""
        if rows.height > MOST_DAYS:
            name, heading = "t_points_monthly", "c_month"
            note = self._t("note_by_month", rows=f"{rows.height:,}")
            rows = (
                rows.group_by(pl.col("day").dt.truncate("1mo"), "service_id")
                .agg(pl.exclude("day", "service_id").sum())
                .sort("day", "service_id")
            )
        columns = (
            TableColumn(self._t(heading), "day"),
            *self._columns("c_service", "c_service_id:code"),
            *self._columns("c_entries:number", "c_spent:number", "c_refunds:number"),
            *self._columns("c_refunded:number", "c_counted:number"),
            *self._columns("c_awarded:number", "c_reversed:number", "c_net:number"),
        )
        of = [
            (day, self.service_name(service), service, *sums, awarded, back, awarded - back)
            for day, service, *sums, awarded, back in rows.iter_rows()
        ]
        return Table("points", self._t(name), columns, of, sortable=True, note=note)

    def by_service(self) -> Table:
        """The sums by service."""
        accepted = dict(self._figures.accepted.iter_rows())
        sums = {
            service: tuple(numbers)
            for service, *numbers in self._figures.by_day.group_by("service_id")
            .agg(
                pl.col("entries", "spent_yen", "refunds", "refunded_yen", "counted_yen").sum(),
                pl.col("awarded", "reversed").sum(),
            )
            .iter_rows()
        }
        rows = []
        for service in sorted(accepted.keys() | sums.keys()):
            of = sums.get(service, (0,) * 7)
            net = of[-2] - of[-1]
            rows.append((self.service_name(service), service, accepted.get(service, 0), *of, net))
        total = tuple(sum(column) for column in list(zip(*rows, strict=True))[2:])
        rows.sort(key=lambda row: (-row[-1], row[1]))
        if rows:
            rows.append((self._t("total"), "", *total))
        return self._table(
            "by_service",
            rows,
            *("c_service", "c_service_id:code", "c_accepted:number", "c_entries:number"),
            *("c_spent:number", "c_refunds:number", "c_refunded:number", "c_counted:number"),
            *("c_awarded:number", "c_reversed:number", "c_net:number"),
            total=bool(rows),
        )

    def cut_off(self) -> Table:
        """What was booked in a later month than it was paid in, by both months."""
        rows = [
            (
                booked.strftime("%Y-%m"),
                paid.strftime("%Y-%m"),
                entries,
                awarded,
                back,
                awarded - back,
            )
            for paid, booked, entries, awarded, back in self._figures.booked_later.iter_rows()
        ]
        return self._table(
            "cut_off",
            rows,
            *("c_booked_month", "c_paid_month", "c_entries:number"),
            *("c_awarded:number", "c_reversed:number", "c_net:number"),
        )

    def bands(self) -> Table:
        """People by counted spend."""
        rows = self._bands(self._figures.people_by_band, self._figures.cap_yen, "band_cap")
        return self._table("bands", rows, "c_band_yen", "c_people:number", "c_share:share")

    def points_bands(self) -> Table:
        """People by points held."""
        people = self._figures.people_by_points["people"].to_list()
        rows = self._bands(people, self._figures.most_points, "band_most")
        names = ("c_band_points", "c_people:number", "c_share:share")
        return self._table("points_bands", rows, *names)

    def _bands(self, people: list[int], most: int, top: str) -> list[tuple[Value, ...]]:
        total = sum(people)
        rows: list[tuple[Value, ...]] = []
        for band in range(BANDS):
            # The smallest number n with n * BANDS // most == band.
            first, after = (-(-edge * most // BANDS) for edge in (band, band + 1))
            if after > first:
                name = self._t("band", first=f"{first:,}", last=f"{after - 1:,}")
                rows.append((name, people[band], share(people[band], total)))
        rows.append((self._t(top, most=f"{most:,}"), people[BANDS], share(people[BANDS], total)))
        return rows

    def reached(self) -> Table:
        """The share of people at the cap, by month."""
        by_month = (
            self._figures.at_the_cap_by_day()
            .group_by(month=pl.col("day").dt.truncate("1mo"))
            .agg(pl.col("people", "at_cap").sort_by("day").last())
            .sort("month")
        )
        rows = [(*row, share(row[2], row[1])) for row in by_month.iter_rows()]
        return self._table(
            "reached",
            [(month.strftime("%Y-%m"), *rest) for month, *rest in rows],
            *("c_month", "c_with_entries:number", "c_at_cap:number", "c_share:share"),
        )

    def payouts(self) -> Iterator[Table]:
        """From award to grant, by service, on the day of the last booking; none without payouts."""
        opened = self._opened
        if not any(record.is_payout_run for record in opened.chain):
            return
        on = self._opened.records[-1].booked_on
        due = forecast(
            opened.book.path, on, by_day=False, overdue_days=OVERDUE_DAYS, runs=opened.runs
        )
        rows: list[tuple[Value, ...]] = [*due.services.rows()]
        rows.append((self._t("total"), *due.total.values()))
        words = Texts("due", self._t.lang)
        columns = [TableColumn(words("service"), "code")]
        columns += [TableColumn(words(term), "number") for term in TERMS]
        notes = []
        if due.overdue:
            notes.append(words("overdue", lines=due.overdue, days=OVERDUE_DAYS))
        if due.late.height:
            lines, points = due.late.select(pl.col("lines", "points").sum()).row(0)
            notes.append(words("late_note", lines=lines, points=points))
        if due.overtaken:
            notes.append(words("overtaken", answers=due.overtaken))
        yield Table(
            "payouts",
            words("title", on=on),
            tuple(columns),
            rows,
            total=True,
            note=" ".join(notes),
        )

"""The report's tables, once for the page and the workbook: captions, columns, values."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath
from typing import Any, Final, Literal

import polars as pl

from engine.io.book.payouts import PayoutBook
from engine.io.book.run_record import Split
from engine.payouts.bridge import TERMS
from engine.rules.refunds import (
    REFUND_ACCOUNT_DIFFERS,
    REFUND_BEFORE_ORIGINAL,
    REFUND_EXCEEDS_ORIGINAL,
)
from engine.terms.services import Service
from pipelines.desk.reasons import reason
from pipelines.due.forecast import OVERDUE_DAYS, forecast
from pipelines.pending.output import age_words
from pipelines.report.figures import BANDS, Figures
from pipelines.shown.terminal import plain
from pipelines.shown.texts import Texts

# Of refunds whose original is booked, the reasons for which they took nothing back.
TOOK_NOTHING: Final = (REFUND_ACCOUNT_DIFFERS, REFUND_BEFORE_ORIGINAL, REFUND_EXCEEDS_ORIGINAL)
MOST_DAYS: Final = 10_000
"""A table by day and service with more rows than that goes by month."""

Kind = Literal["text", "code", "day", "number", "share"]
Value = str | int | float | dt.date | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, how its values are to be shown, and whether they are long texts."""

    heading: str
    kind: Kind = "text"
    long: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the report.

    Attributes:
        name: one word for it, in no language.
        rows: each a value a column; a ``share`` is a number between 0 and 1.
        sortable: whether it is long enough to be sorted, filtered and shown in pages.
        total: whether the last row is the sum of the others.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]
    sortable: bool = False
    total: bool = False
    note: str = ""


class Tables:
    """The tables of one book's figures in one language."""

    def __init__(self, figures: Figures, texts: Texts) -> None:
        self._figures, self._t = figures, texts
        self._opened = figures.opened
        self._registry: dict[str, Service] = {}
        for number in range(1, self._opened.runs + 1):
            self._registry |= self._opened.services(number).by_id

    def service_name(self, service_id: str | None) -> str:
        """A service as people know it."""
        if service_id is None:
            return self._t("unknown_service_row")
        return self._registry[service_id].name

    def _reason(self, code: str) -> str:
        return reason(code, self._t.lang).words

    def all(self) -> list[Table]:
        """All tables but those of the verification, in the report's order."""
        return [
            *(self.points(), self.by_service(), self.bands(), self.points_bands()),
            *(self.reached(), self.declined(), self.declined_by_service()),
            *(*self.waiting(), *self.corrections()),
            *(self.quarantined(), self.faults(), self.refunds(), self.applications()),
            *(self.runs(), self.runs_yen(), self.inputs(), self.rate(), self.terms()),
            *(self.services(), self.sources()),
            *self.payouts(),
        ]

    def payouts(self) -> Iterator[Table]:
        """From award to grant, by service, on the day of the last booking; none without payouts."""
        places = PayoutBook(self._opened.book.path)
        if not places.log.exists():
            return
        on = self._opened.records[-1].booked_on
        due = forecast(places.path, on, by_day=False, overdue_days=OVERDUE_DAYS)
        rows: list[tuple[Value, ...]] = [*due.services.rows()]
        rows.append((self._t("total"), *due.total.values()))
        words = Texts("due", self._t.lang)
        columns = [Column(words("service"), "code")]
        columns += [Column(words(term), "number") for term in TERMS]
        notes = []
        if due.overdue:
            notes.append(words("overdue", lines=due.overdue, days=OVERDUE_DAYS))
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
            Column(self._t(heading), "day"),
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
            # The least number n with n * BANDS // most == band.
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

    def quarantined(self) -> Table:
        """Quarantined rows by run and file."""
        inputs = {
            (record.run_id, one.name): one
            for record in self._opened.records
            for one in record.inputs
        }
        faults: dict[tuple[str, str], list[str]] = {}
        for run, file, error, times in self._figures.faults.iter_rows():
            faults.setdefault((run, file), []).append(f"{error} {times:,}")
        rows = []
        for run, file, count in self._figures.quarantined.iter_rows():
            one = inputs.get((run, file))
            role = self._t(f"word_{one.role}") if one else None
            of = one.rows if one else None
            some = ", ".join(faults.get((run, file), []))
            rows.append((run, file, role, of, count, share(count, of), some))
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

    def runs(self) -> Table:
        """The runs' control totals in rows."""
        rows = []
        for record in self._opened.records:
            run, counts = record.run_id, record.counts
            where = ", ".join(what for at, what in self._figures.disagreements if at == run)
            outcome = self._t("o_differs", where=where) if where else self._t("o_agrees")
            rows.append(
                (
                    *(run, record.booked_on, record.programme.terms.announced_on),
                    *(*_split(counts), counts.voided, counts.recounted, outcome),
                )
            )
        return self._table(
            "runs",
            rows,
            *("c_run:code", "c_booked_on:day", "c_terms_of:day", "c_read:number"),
            *("c_reconsidered:number", "c_booked:number", "c_declined:number"),
            *("c_quarantined:number", "c_skipped:number"),
            *("c_voided:number", "c_recounted:number", "c_totals"),
            sortable=True,
        )

    def runs_yen(self) -> Table:
        """The runs' control totals in yen, and their points."""
        rows = [
            (
                *(record.run_id, record.booked_on, *_split(record.yen)),
                *(record.points.awarded, record.points.reversed, record.points.net),
            )
            for record in self._opened.records
        ]
        return self._table(
            "runs_yen",
            rows,
            *("c_run:code", "c_booked_on:day", "c_read_yen:number"),
            *("c_reconsidered_yen:number", "c_booked_yen:number", "c_declined_yen:number"),
            *("c_quarantined_yen:number", "c_skipped_yen:number"),
            *("c_awarded:number", "c_reversed:number", "c_net:number"),
            sortable=True,
        )

    def inputs(self) -> Table:
        """The delivered files."""
        rows = [
            (
                *(record.run_id, one.name, self._t(f"word_{one.role}")),
                *(one.rows, one.bytes, one.sha256),
            )
            for record in self._opened.records
            for one in record.inputs
        ]
        return self._table(
            "inputs",
            rows,
            *("c_run:code", "c_file:code+", "c_role", "c_rows:number", "c_bytes:number"),
            "sha256:code+",
            sortable=True,
        )

    def rate(self) -> Table:
        """Rate and cap."""
        programme = self._opened.programme(self._opened.runs)
        # The sources stand in the file alone.
        kept = tomllib.loads(programme.text)
        rate = self._t(
            "value_rate",
            numerator=programme.rate_numerator,
            denominator=programme.rate_denominator,
        )
        rows: list[tuple[Value, ...]] = [
            (self._t("item_rate"), rate, kept["rate"]["source"]),
            (
                self._t("item_cap"),
                self._t("value_cap", yen=f"{programme.cap_yen:,}"),
                kept["cap"]["source"],
            ),
        ]
        return self._table("rate", rows, "c_item", "c_value", "c_source+")

    def terms(self) -> Table:
        """The terms, and which runs used them."""
        opened = self._opened
        used: dict[dt.date, list[int]] = {}
        for number, record in enumerate(opened.records, 1):
            used.setdefault(record.programme.terms.announced_on, []).append(number)
        rows = [
            (
                *(terms.announced_on, f"{terms.window_first} – {terms.window_last}"),
                *(terms.applications_last, terms.card_applications_last),
                _ranges(used.get(terms.announced_on, [])) or self._t("none"),
                " ".join(terms.source.split()),
            )
            for terms in opened.programme(opened.runs).terms
        ]
        return self._table(
            "terms",
            rows,
            *("c_announced:day", "c_window:code", "c_applications_last:day", "c_card_last:day"),
            *("c_used_by:code", "c_source+"),
        )

    def services(self) -> Table:
        """The registry of services."""
        rows = [
            (
                *(one.name, one.service_id, one.registered_number, self._t(f"word_{one.basis}")),
                *(self._t(f"word_{one.rounding}"), self._t(f"word_{one.counts_from}")),
                self._t("yes" if one.preregistration else "no"),
                *(one.applications_close_on, one.awards_close_on),
                ", ".join(one.excluded_methods),
            )
            for one in self._last_services()
        ]
        return self._table(
            "services",
            rows,
            *("c_service", "c_service_id:code", "c_number:code", "c_basis", "c_rounding"),
            *("c_counts_from", "c_preregistration", "c_applications_close:day"),
            *("c_awards_close:day", "c_excluded:code"),
            sortable=True,
        )

    def sources(self) -> Table:
        """Where each value of the registry comes from."""
        rows = [
            (one.name, key, source) for one in self._last_services() for key, source in one.sources
        ]
        return self._table("sources", rows, "c_service", "c_key:code", "c_source+", sortable=True)

    def _last_services(self) -> Iterable[Service]:
        return self._opened.services(self._opened.runs).services

    def _columns(self, *names: str) -> tuple[Column, ...]:
        """Columns from names such as ``c_file:code+``: heading, kind, and whether it is long."""
        columns = []
        for name in names:
            key, _, kind = name.rstrip("+").partition(":")
            # A name without a text of its own is the same in both languages.
            heading = self._t(key) if key.startswith("c_") else key
            long = name.endswith("+")
            columns.append(Column(heading, kind or "text", long))  # type: ignore[arg-type]
        return tuple(columns)

    def _table(
        self,
        name: str,
        rows: Sequence[tuple[Any, ...]],
        *columns: str,
        sortable: bool = False,
        total: bool = False,
    ) -> Table:
        caption = self._t(f"t_{name}")
        return Table(name, caption, self._columns(*columns), rows, sortable, total)


def _split(split: Split) -> tuple[int, ...]:
    """What came in and what became of it, in rows or in yen; the first two make up the rest."""
    return (
        *(split.read, split.reconsidered, split.booked),
        *(split.all_declined, split.quarantined, split.all_skipped),
    )


def share(part: int, whole: int | None) -> float | None:
    """Which share a part is of the whole, 0 to 1; None of nothing."""
    return part / whole if whole else None


def shown(value: Value, kind: Kind) -> str:
    """A value as people read it."""
    if value is None:
        return ""
    if kind == "share":
        return f"{value:.1%}"
    if kind == "number":
        return f"{value:,}"
    return plain(value, keep="\n\t")


def file_name(name: str) -> str:
    """A delivered file's name without its folders, which often are the nights."""
    return PurePath(name).name


def _ranges(numbers: Sequence[int]) -> str:
    """Runs by their names, such as ``000001-000003, 000005``."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]:06}" if len(run) == 1 else f"{run[0]:06}-{run[-1]:06}")
    return ", ".join(parts)

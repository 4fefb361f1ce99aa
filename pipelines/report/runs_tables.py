"""The report's tables of runs: their control totals and files, and the terms that they used."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Sequence
from itertools import groupby

from engine.io.book.run_record import Split
from engine.terms.services import Service
from pipelines.report.book_tables import BookTables
from pipelines.report.table import Table, Value


class RunsTables(BookTables):
    """The runs, and by which programme and registry they booked."""

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
        # The sources are in the file only.
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


def _split(split: Split) -> tuple[int, ...]:
    """What came in and what became of it, in rows or in yen; the first two make up the rest."""
    return (
        *(split.read, split.reconsidered, split.booked),
        *(split.all_declined, split.quarantined, split.all_skipped),
    )


def _ranges(numbers: Sequence[int]) -> str:
    """Runs by their names, such as ``000001-000003, 000005``."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]:06}" if len(run) == 1 else f"{run[0]:06}-{run[-1]:06}")
    return ", ".join(parts)

"""The tables of what a book was booked by: rate and cap, terms, services, each with its source."""

import datetime as dt
import tomllib
from collections.abc import Iterable, Sequence
from itertools import groupby

from engine.terms.services import Service
from pipelines.report.book_tables import OpenedTables
from pipelines.report.table import Table, Value


class TermsTables(OpenedTables):
    """By which programme and registry the runs booked."""

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
                *(
                    service.name,
                    service.service_id,
                    service.registered_number,
                    self._t(f"word_{service.basis}"),
                ),
                *(self._t(f"word_{service.rounding}"), self._t(f"word_{service.counts_from}")),
                self._t("yes" if service.preregistration else "no"),
                *(service.applications_close_on, service.awards_close_on),
                ", ".join(service.excluded_methods),
            )
            for service in self._last_services()
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
            (service.name, key, source)
            for service in self._last_services()
            for key, source in service.sources
        ]
        return self._table("sources", rows, "c_service", "c_key:code", "c_source+", sortable=True)

    def _last_services(self) -> Iterable[Service]:
        return self._opened.services(self._opened.runs).services


def _ranges(numbers: Sequence[int]) -> str:
    """Runs by their names, such as ``000001-000003, 000005``."""
    parts = []
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        parts.append(f"{run[0]:06}" if len(run) == 1 else f"{run[0]:06}-{run[-1]:06}")
    return ", ".join(parts)

"""What all pages have: the opened book and its counts, the language, and what was asked for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.terms.services import Service
from pipelines.browse.calculations import Calculations
from pipelines.browse.counts import SectionCounts
from pipelines.browse.filters import Filters
from pipelines.browse.handles import Handles
from pipelines.browse.listing import Cell, Link, Listing, ListingColumn
from pipelines.browse.lookups import LookupLog
from pipelines.browse.masking import masked, masked_id
from pipelines.browse.rows import SectionRows
from pipelines.desk.opened_book import OpenedBook
from pipelines.desk.reasons import reason
from pipelines.report.table import Table, Value
from pipelines.shown.texts import Lang, Texts


@dataclass(frozen=True)
class Browsed:
    """A book that is browsed, as long as the command runs.

    Attributes:
        lang: the language of pages whose address names none.
    """

    counts: SectionCounts
    log: LookupLog
    lang: Lang
    show_ids: bool
    handles: Handles = field(default_factory=Handles)
    calculations: Calculations = field(default_factory=Calculations)

    @property
    def opened(self) -> OpenedBook:
        return self.counts.opened

    @cached_property
    def sections(self) -> SectionRows:
        """The rows of the book's sections."""
        return SectionRows(self.counts)

    @cached_property
    def disagreements(self) -> list[tuple[str, str]]:
        """Where the book's tables do not add up to its records: run and what."""
        from pipelines.browse.proof import disagreements_of

        return disagreements_of(self.counts)

    @cached_property
    def registry(self) -> Mapping[str, Service]:
        """The services of all runs, as the last that has them says."""
        found: dict[str, Service] = {}
        for number in range(1, self.opened.runs + 1):
            found |= self.opened.services(number).by_id
        return found


class PageRequest:
    """One request for a page: its filters, its language, and how much of long tables it wants."""

    def __init__(
        self, browsed: Browsed, filters: Filters, query: Mapping[str, str], rows: int
    ) -> None:
        """``rows`` is how many rows of a section there may be on the page."""
        self.browsed, self.filters, self.query, self.rows = browsed, filters, query, rows
        self.lang: Lang = browsed.lang if filters.lang is None else filters.lang  # type: ignore[assignment]
        self.t = Texts("browse", self.lang)
        self._kinds = Texts("explain", self.lang)

    @property
    def opened(self) -> OpenedBook:
        return self.browsed.opened

    def id(self, text: str | None) -> str | None:
        """The ID of a person or an account, as it may be shown."""
        return text if text is None or self.browsed.show_ids else masked_id(text)

    def safe(self, value: Any) -> Any:  # noqa: ANN401 - whatever a story is made of
        """A story or a part of it, as it may be shown."""
        return value if self.browsed.show_ids else masked(value, self.service)

    def link(self, value: str | int | None, page: str, **changed: str | None) -> Link:
        """A value that leads to a page with some filters changed."""
        return Link(value, self.filters.with_(**changed).address(page))

    def to(self, kind: str, *ids: str) -> str:
        """The address of the page about a person, an account or a transaction."""
        return self.filters.address(kind, id=self.browsed.handles.of(kind, *ids))

    def person(self, person_id: str) -> Link:
        """A person, leading to their page."""
        return Link(self.id(person_id), self.to("person", person_id))

    def account(self, service_id: str, account_id: str) -> Link:
        """An account, leading to its page."""
        return Link(self.id(account_id), self.to("account", service_id, account_id))

    def transaction(self, service_id: str, transaction_id: str) -> Link:
        """A transaction, leading to its page."""
        return Link(transaction_id, self.to("transaction", service_id, transaction_id))

    def service(self, service_id: str) -> str:
        """A delivered service's ID, as it may be shown: in place of one there may be anything."""
        known = self.browsed.show_ids or service_id in self.browsed.registry
        return service_id if known else "…"

    def service_name(self, service_id: str | None) -> str:
        """A service as people know it."""
        service = self.browsed.registry.get(service_id or "")
        return self.t("unknown_service") if service is None else service.name

    def event(self, event_id: str) -> Link:
        """A correction, leading to its page."""
        return Link(event_id, self.to("correction", event_id))

    def kind(self, code: str | None) -> str:
        """A kind of entry, transaction or correction in words."""
        return "" if code is None else self._kinds(code)

    def reason(self, code: str) -> str:
        """A reason in words; of an outcome, too."""
        if code in ("accepted", "waiting"):
            return self.t(f"outcome_{code}")
        return reason(code, self.lang).words

    def listing(self, table: Table) -> Listing:
        """A table of figures; its runs lead to their pages."""
        columns = tuple(
            ListingColumn(column.key, column.heading, column.kind, column.long)
            for column in table.columns
        )
        rows = [
            [self._cell(column.key, value) for column, value in zip(columns, row, strict=True)]
            for row in table.rows
        ]
        return Listing(table.name, table.caption, columns, rows, total=table.total)

    def _cell(self, key: str, value: Value) -> Cell:
        return self.link(str(value), "runs", run=str(value)) if key == "run" and value else value

    def columns(self, *names: str) -> tuple[ListingColumn, ...]:
        """Columns from names such as ``file:code+``: key, kind, and whether it is long."""
        columns = []
        for name in names:
            key, _, kind = name.rstrip("+").partition(":")
            heading = self.t(f"c_{key}")
            columns.append(ListingColumn(key, heading, kind or "text", name.endswith("+")))  # type: ignore[arg-type]
        return tuple(columns)

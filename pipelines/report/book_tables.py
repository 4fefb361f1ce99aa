"""What all tables of a book need: its figures, the names of services and reasons, the headings."""

from collections.abc import Sequence
from typing import Any

from engine.terms.services import Service
from pipelines.desk.opened_book import OpenedBook
from pipelines.desk.reasons import reason
from pipelines.report.figures import Figures
from pipelines.report.table import Table, TableColumn
from pipelines.shown.texts import Texts


class OpenedTables:
    """An opened book, and its words in one language."""

    def __init__(self, opened: OpenedBook, texts: Texts) -> None:
        self._opened, self._t = opened, texts

    def _columns(self, *names: str) -> tuple[TableColumn, ...]:
        """Columns from names such as ``c_file:code+``: heading, kind, and whether it is long."""
        columns = []
        for name in names:
            key, _, kind = name.rstrip("+").partition(":")
            # A name without a text of its own is the same in both languages.
            heading = self._t(key) if key.startswith("c_") else key
            long = name.endswith("+")
            columns.append(TableColumn(heading, kind or "text", long, key.removeprefix("c_")))  # type: ignore[arg-type]
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


class BookTables(OpenedTables):
    """The figures of one book, and its words in one language."""

    def __init__(self, figures: Figures, texts: Texts) -> None:
        super().__init__(figures.opened, texts)
        self._figures = figures
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

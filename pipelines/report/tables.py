"""The report's tables in their order, once for the page and the workbook."""

from pipelines.report.points_tables import PointsTables
from pipelines.report.rows_tables import RowsTables
from pipelines.report.runs_tables import RunsTables
from pipelines.report.table import Table
from pipelines.report.terms_tables import TermsTables


class Tables(PointsTables, RowsTables, RunsTables, TermsTables):
    """The tables of one book's figures in one language."""

    def all(self) -> list[Table]:
        """All tables but those of the verification, in the report's order."""
        return [
            *(self.points(), self.by_service(), self.bands(), self.points_bands()),
            *(self.reached(), self.cut_off(), self.declined(), self.declined_by_service()),
            *(*self.waiting(), *self.corrections()),
            *(self.quarantined(), self.faults(), self.refunds(), self.applications()),
            *(self.runs(), self.runs_yen(), self.inputs(), self.rate(), self.terms()),
            *(self.services(), self.sources()),
            *self.payouts(),
        ]

"""The report's tables of runs: their control totals and files."""

from engine.io.book.run_record import Split
from pipelines.report.book_tables import BookTables
from pipelines.report.table import Table


class RunsTables(BookTables):
    """What the runs read, and what became of it."""

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
                *(record.run_id, delivered.name, self._t(f"word_{delivered.role}")),
                *(delivered.rows, delivered.bytes, delivered.sha256),
            )
            for record in self._opened.records
            for delivered in record.inputs
        ]
        return self._table(
            "inputs",
            rows,
            *("c_run:code", "c_file:code+", "c_role", "c_rows:number", "c_bytes:number"),
            "sha256:code+",
            sortable=True,
        )


def _split(split: Split) -> tuple[int, ...]:
    """What came in and what became of it, in rows or in yen; the first two make up the rest."""
    return (
        *(split.read, split.reconsidered, split.booked),
        *(split.all_declined, split.quarantined, split.all_skipped),
    )

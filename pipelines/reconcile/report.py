"""What a reconciliation found, before anything is made of it for people."""

from dataclasses import asdict, dataclass, field
from typing import Any

from pipelines.reconcile.differences import DifferenceTotals
from pipelines.shown.spreadsheet import MOST_ROWS


@dataclass(frozen=True, slots=True)
class SeriesPlace:
    """Where a reconciliation stands among those of its folder.

    Attributes:
        previous_sha256: of the summary of the one before; None for the first.
        resolutions_sha256: of the file of resolutions, of which a copy is kept beside.
        carried_rows, carried_difference: what is still open of other months and forms.
        carried_resolved_rows, carried_resolved_difference: what was open there, and is resolved.
    """

    number: str
    previous_sha256: str | None
    resolutions_sha256: str
    carried_rows: int
    carried_difference: int
    carried_resolved_rows: int
    carried_resolved_difference: int


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A claim and a ledger, held against each other.

    Attributes:
        last_run, chain_sha256, seals: the state of the book that was looked at.
        key: the column that makes the claim's form.
        month: the month of booking that was taken of the ledger; None for all of it.
        layout: the ID of the layout by which the claim was read, and ``skipped`` the rows that it
            leaves out on purpose, by its reasons.
        kept: where it stands among others; None where it stands alone.
    """

    book: str
    last_run: str
    chain_sha256: str
    seals: list[str]
    claim: str
    claim_bytes: int
    claim_sha256: str
    claim_rows: int
    key: str
    month: str | None
    totals: DifferenceTotals
    layout: str | None = None
    skipped: dict[str, int] = field(default_factory=dict)
    kept: "SeriesPlace | None" = None

    @property
    def is_open(self) -> bool:
        """Whether anything is to be looked at, here or of earlier reconciliations."""
        return bool(self.totals.breaks or (self.kept and self.kept.carried_rows))

    @property
    def untold(self) -> bool:
        """Whether there are more breaks than a spreadsheet holds."""
        return self.totals.breaks > MOST_ROWS

    def value(self) -> dict[str, Any]:
        """The summary for machines."""
        totals = self.totals
        return {
            "book": self.book,
            "last_run": self.last_run,
            "chain_sha256": self.chain_sha256,
            "seals": self.seals,
            "claim": {
                "name": self.claim,
                "bytes": self.claim_bytes,
                "sha256": self.claim_sha256,
                "rows": self.claim_rows,
                "form": ["service_id", self.key],
                "layout": self.layout,
                "skipped": self.skipped,
            },
            "month": self.month,
            "ledger_points": totals.ledger_points,
            "breaks": {
                kind: {"rows": rows, "difference": difference}
                for kind, (rows, difference) in totals.by_kind.items()
            },
            "resolved": {
                word: {"rows": rows, "difference": difference}
                for word, (rows, difference) in totals.resolved.items()
            },
            "difference": totals.difference,
            "claim_points": totals.claim_points,
            "keys_that_meet_without": totals.meetings,
            **({} if self.kept is None else {"kept": asdict(self.kept)}),
        }

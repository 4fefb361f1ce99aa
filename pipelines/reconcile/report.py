"""What a reconciliation found, before anything is made of it for people."""

from dataclasses import dataclass
from typing import Any

from pipelines.reconcile.differences import Totals
from pipelines.shown.spreadsheet import MOST_ROWS


@dataclass(frozen=True, slots=True)
class Reconciled:
    """A claim and a ledger, held against each other.

    Attributes:
        last_run, chain_sha256, seals: the state of the book that was looked at.
        key: the column that makes the claim's form.
        month: the month of booking that was taken of the ledger; None for all of it.
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
    totals: Totals

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
            },
            "month": self.month,
            "ledger_points": totals.ledger_points,
            "breaks": {
                kind: {"rows": rows, "difference": difference}
                for kind, (rows, difference) in totals.by_kind.items()
            },
            "difference": totals.difference,
            "claim_points": totals.claim_points,
        }

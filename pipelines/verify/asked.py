"""What a verification is asked for: the same of `verify` and of `workpapers`."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.verify import Expected, Verified, verify
from pipelines.verify.claims import FiledClaim
from pipelines.verify.evidence import now


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedEvidence:
    """What a book is held against, as it was named on the command line.

    Attributes:
        transactions, enrollments, events: all nights' deliveries, or none.
        also_unbooked: whether there are deliveries among them that no run has booked.
        signers, trust: whose signatures and time stamps are believed.
        heads: last hashes that were written down.
        seals: copies that were kept elsewhere.
        claims: filed ones.
    """

    transactions: Sequence[str] = ()
    enrollments: Sequence[str] = ()
    events: Sequence[str] = ()
    also_unbooked: bool = False
    signers: Path | None = None
    trust: Path | None = None
    heads: Sequence[str] = ()
    seals: Sequence[Path] = ()
    claims: Sequence[Path] = ()

    def verified(self, book: Path) -> tuple[dt.datetime, Verified]:
        """When the verification began, and what it found.

        Raises:
            InputError: there is no book, or something that was named cannot be used.
            BookError: the book cannot be verified.
        """
        made_at = now()
        found = verify(
            book,
            transactions=self.transactions,
            enrollments=self.enrollments,
            events=self.events,
            also_unbooked=self.also_unbooked,
            expected=Expected.of(self.signers, self.trust, self.heads, self.seals),
            claims=[FiledClaim.at(claim) for claim in self.claims],
        )
        return made_at, found

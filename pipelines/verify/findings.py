"""Findings: what is wrong, where, and which of the README's promises it breaks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MOST_SHOWN: Final = 20

SAME_LEDGER: Final = 1
WHOLE_RUNS: Final = 2
NEVER_TWICE: Final = 3
NEVER_TOO_MUCH: Final = 4
NO_CHANGED_BYTE: Final = 5

PROMISES: Final = {
    SAME_LEDGER: "the same rows give the same ledger",
    WHOLE_RUNS: "a run is booked whole or not at all",
    NEVER_TWICE: "never awarded again, never other content in silence",
    NEVER_TOO_MUCH: "nobody holds too much, every row is accounted for",
    NO_CHANGED_BYTE: "a changed byte is found and named",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: one word for all findings of its kind.
        promise: the number of the README's promise.
        where: a file or folder, seen from the book.
        what: what is wrong there; names no person and no account.
        row: the row in the file, from 1.
        service_id, transaction_id: the entry's.
        person_id, account_id: the entry's; shown to those who ask for them.
    """

    kind: str
    promise: int
    where: str
    what: str
    row: int | None = None
    service_id: str | None = None
    transaction_id: str | None = None
    person_id: str | None = None
    account_id: str | None = None

    def line(self, *, show_ids: bool) -> str:
        """The finding on one line."""
        row = "" if self.row is None else f" row {self.row}"
        names = ["service_id", "transaction_id"]
        names += ["person_id", "account_id"] if show_ids else []
        given = [(name, getattr(self, name)) for name in names]
        ids = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in given if value)
        text = f"promise {self.promise}: {self.where}{row}: {self.what}" + (ids and f" ({ids})")
        # A name may hold any character, and a finding stays on one line.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

    def value(self, *, show_ids: bool) -> dict[str, Any]:
        """The finding for machines."""
        names = ["kind", "promise", "where", "row", "what", "service_id", "transaction_id"]
        names += ["person_id", "account_id"] if show_ids else []
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(slots=True)
class Findings:
    """All findings: the first of each kind, and how many there are."""

    totals: Counter[str] = field(default_factory=Counter)
    _shown: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, finding: Finding, times: int = 1) -> None:
        """Takes a finding; ``times`` says for how many it stands."""
        self.totals[finding.kind] += times
        shown = self._shown.setdefault(finding.kind, [])
        if len(shown) < MOST_SHOWN:
            shown.append(finding)

    def join(self, other: "Findings") -> None:
        """Adds all findings of another collection."""
        for finding in other:
            self.add(finding)
        for kind, total in other.untold().items():
            self.totals[kind] += total - MOST_SHOWN

    def __iter__(self) -> Iterator[Finding]:
        for shown in self._shown.values():
            yield from shown

    def __bool__(self) -> bool:
        return bool(self.totals)

    def untold(self) -> dict[str, int]:
        """By kind, how many findings there are, where not all of them are shown."""
        return {
            kind: total for kind, total in self.totals.items() if total > len(self._shown[kind])
        }

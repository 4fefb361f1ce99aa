"""Findings: what is wrong, where, and which of the README's promises it breaks; and remarks."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

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


Severity = Literal["finding", "remark"]
REMARK: Final = "remark"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or that deserves a look.

    Attributes:
        kind: one word for all findings of its kind.
        promise: the number of the README's promise.
        where: a file or folder, seen from the book.
        what: what is wrong there; names no person and no account.
        row: the row in the file, from 1.
        service_id, transaction_id: the entry's.
        person_id, account_id: the entry's; shown to those who ask for them.
        severity: a ``finding`` breaks the promise; a ``remark`` does not, and wants an explanation.
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
    severity: Severity = "finding"

    @property
    def control(self) -> str:
        """The ID under which auditors file it."""
        return control_of(self.promise)

    def ids(self, *, show_ids: bool) -> list[tuple[str, str]]:
        """Name and value of each ID that it has and that may be shown."""
        names = ["service_id", "transaction_id"]
        names += ["person_id", "account_id"] if show_ids else []
        given = [(name, getattr(self, name)) for name in names]
        return [(name, value) for name, value in given if value]

    def line(self, *, show_ids: bool, severity: str = "") -> str:
        """The finding on one line, in English."""
        row = "" if self.row is None else f" row {self.row}"
        given = self.ids(show_ids=show_ids)
        ids = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in given)
        head = f"{self.control} {severity}".strip()
        text = f"{head}: {self.where}{row}: {self.what}" + (ids and f" ({ids})")
        # A name may hold any character, and a finding stays on one line.
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

    def value(self, *, show_ids: bool) -> dict[str, Any]:
        """The finding for machines."""
        names = ["kind", "control", "where", "row", "what", "service_id", "transaction_id"]
        names += ["person_id", "account_id"] if show_ids else []
        given = {name: getattr(self, name) for name in names}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(slots=True)
class Findings:
    """All findings: the first of each kind, and how many there are; remarks likewise, beside them.

    Attributes:
        totals: how many findings there are, by kind.
        remark_totals: how many remarks there are, by kind.
    """

    totals: Counter[str] = field(default_factory=Counter)
    remark_totals: Counter[str] = field(default_factory=Counter)
    _shown: dict[str, list[Finding]] = field(default_factory=dict)
    _remarks: dict[str, list[Finding]] = field(default_factory=dict)

    def add(self, finding: Finding, times: int = 1) -> None:
        """Takes a finding or a remark; ``times`` says for how many it stands."""
        is_remark = finding.severity == REMARK
        (self.remark_totals if is_remark else self.totals)[finding.kind] += times
        shown = (self._remarks if is_remark else self._shown).setdefault(finding.kind, [])
        if len(shown) < MOST_SHOWN:
            shown.append(finding)

    def join(self, other: "Findings") -> None:
        """Adds all findings and remarks of another collection."""
        for finding in (*other, *other.remarks()):
            self.add(finding)
        for totals, kept, shown in (
            (self.totals, other.totals, other._shown),
            (self.remark_totals, other.remark_totals, other._remarks),
        ):
            for kind, total in kept.items():
                totals[kind] += total - len(shown[kind])

    def __iter__(self) -> Iterator[Finding]:
        for shown in self._shown.values():
            yield from shown

    def remarks(self) -> Iterator[Finding]:
        """The first remarks of each kind."""
        for shown in self._remarks.values():
            yield from shown

    def __bool__(self) -> bool:
        return bool(self.totals)

    def untold(self) -> dict[str, int]:
        """By kind, how many findings there are, where not all of them are shown."""
        return _untold(self.totals, self._shown)

    def untold_remarks(self) -> dict[str, int]:
        """By kind, how many remarks there are, where not all of them are shown."""
        return _untold(self.remark_totals, self._remarks)


def _untold(totals: Counter[str], shown: dict[str, list[Finding]]) -> dict[str, int]:
    return {kind: total for kind, total in totals.items() if total > len(shown[kind])}


def control_of(promise: int) -> str:
    """The control's ID of a promise, such as ``C5``."""
    return f"C{promise}"

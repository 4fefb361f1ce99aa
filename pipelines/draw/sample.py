"""A sample: how it was drawn, from what, and its units."""

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

Method = Literal["monetary", "stratified"]
BOOKED: Final = "booked"


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a sample was drawn: the same from the same book gives the same units.

    Attributes:
        month: of booking; None for all.
    """

    method: Method
    units: int
    seed: int
    month: str | None


@dataclass(frozen=True, slots=True)
class Stratum:
    """A part of the population: a service, or all of it.

    Attributes:
        rows: how many rows it has; ``points`` what they were awarded, in sum.
        units: how many of them were drawn.
    """

    name: str
    rows: int
    points: int
    units: int


@dataclass(frozen=True, slots=True)
class Unit:
    """A row that was drawn.

    Attributes:
        hits: how many of the drawn points are this row's; 1 in a stratified sample.
        outcome: ``booked``, or the reason for which a row was declined.
        person_id, entry_seq: of an entry; null of a declined row.
        points: as booked; 0 of a declined row.
        why: the explanation.
    """

    number: int
    stratum: str
    hits: int
    run_id: str
    outcome: str
    person_id: str | None
    entry_seq: int | None
    service_id: str
    account_id: str
    transaction_id: str
    occurred_at: dt.datetime
    kind: str
    amount_yen: int
    points: int
    why: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was drawn from a book.

    Attributes:
        last_run, last_record_sha256: the state of the book that it was drawn from.
    """

    drawn: Drawn
    book: str
    last_run: str
    last_record_sha256: str
    strata: list[Stratum]
    units: list[Unit] = field(default_factory=list)

    @property
    def points(self) -> int:
        """The points of the population."""
        return sum(stratum.points for stratum in self.strata)

    @property
    def rows(self) -> int:
        """The rows of the population."""
        return sum(stratum.rows for stratum in self.strata)

    def value(self) -> dict[str, Any]:
        """The sample without its units, for machines."""
        return {
            "book": self.book,
            **asdict(self.drawn),
            "last_run": self.last_run,
            "last_record_sha256": self.last_record_sha256,
            "population": {"rows": self.rows, "points": self.points},
            "strata": [asdict(stratum) for stratum in self.strata],
            "drawn_rows": len(self.units),
        }

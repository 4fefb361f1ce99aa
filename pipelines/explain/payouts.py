"""A person's points from the payment that earned them to the answer of the points system."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.io.payout.known import PAYOUT_COLUMNS, known
from engine.payouts.owed import belongs, dated, lines_of
from engine.payouts.schedule import KEY
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts


@dataclass(frozen=True, slots=True)
class DueEntry:
    """An entry that gave or took points, and the day on which they are due."""

    service_id: str
    transaction_id: str
    kind: str
    points: int
    due_on: dt.date


@dataclass(frozen=True, slots=True)
class PaidLine:
    """A payout.

    Attributes:
        number: the account number that it went to.
        answered: the points that were granted or taken back; None if there is no answer yet.
    """

    payout_id: str
    service_id: str
    number: str
    direction: str
    instructed: int
    instructed_on: dt.date
    due_on: dt.date | None
    answered: int | None
    answered_on: dt.date | None
    code: str | None


@dataclass(frozen=True, slots=True)
class Payouts:
    """What became of a person's points."""

    due: list[DueEntry]
    lines: list[PaidLine]

    def value(self) -> dict[str, Any]:
        """For machines."""
        return {"due": _values(self.due), "lines": _values(self.lines)}


def _values(items: Sequence[DueEntry] | Sequence[PaidLine]) -> list[dict[str, Any]]:
    return [
        {
            name: value.isoformat() if isinstance(value, dt.date) else value
            for name, value in asdict(item).items()
        }
        for item in items
    ]


_DUE: Final = ("service_id", "transaction_id", "kind", "points", "due_on")


def payouts_of(book: Path, person_id: str, runs: int | None = None) -> Payouts | None:
    """What became of a person's points, up to a run; None if the book has no payout runs.

    Raises:
        BookError: a file of the book is damaged.
    """
    at = known(book, runs)
    if at.payout_runs == 0:
        return None
    of_person = pl.col("person_id") == person_id
    of_batches = (batch.filter(of_person) for batch in at.entries())
    frames = [entries for entries in of_batches if entries.height]
    accounts = at.accounts.enrolled.filter(of_person).select(KEY)
    due = []
    if frames:
        entries = dated(pl.concat(frames), at.asked(at.last_run.booked_on)).sort("entry_seq")
        accounts = pl.concat([accounts, entries.select(KEY)]).unique()
        due = [
            DueEntry(*row) for row in entries.filter(pl.col("points") != 0).select(_DUE).iter_rows()
        ]
    whose = belongs(at.accounts)
    rows = [
        rows.with_columns(number="account_id")
        .with_columns(whose)
        .join(accounts, on=KEY, how="semi")
        .with_columns(account_id="number")
        .select(list(PAYOUT_COLUMNS))
        for rows in at.payout_rows()
    ]
    lines = (
        lines_of(pl.concat([pl.DataFrame(schema=PAYOUT_COLUMNS), *rows]), at.accounts)
        .sort("run", "service_id", "number", "payout_id")
        .select(PaidLine.__slots__)
    )
    return Payouts(due, [PaidLine(*row) for row in lines.iter_rows()])


DUE_COLUMNS: Final = (
    ("service", False),
    ("story_payment", False),
    ("story_kind", False),
    ("points", True),
    ("day", False),
)
"""The columns of what is due, each with whether it is a number."""


def due_row(due: DueEntry) -> tuple[object, ...]:
    """An entry's row of `DUE_COLUMNS`."""
    return due.service_id, due.transaction_id, due.kind, due.points, due.due_on


def line_told(line: PaidLine, texts: Texts) -> str:
    """A payout and its answer in a sentence."""
    said = texts(
        "story_line",
        day=line.instructed_on,
        direction=texts("word_pay" if line.direction == "pay" else "word_take_back_line"),
        points=line.instructed,
        service=line.service_id,
        number=line.number,
        payout_id=line.payout_id,
    )
    if line.answered is None:
        return said + texts("story_open")
    return said + texts(
        "story_answer", points=line.answered, day=line.answered_on, code=line.code or "-"
    )


def print_payouts(payouts: Payouts, texts: Texts) -> None:
    """Prints when points are due, and what was instructed and answered."""
    console = output()
    console.print(f"\n{texts('story_due')}", style="bold")
    columns = [(texts(name), number) for name, number in DUE_COLUMNS]
    console.print(table(columns, [due_row(due) for due in payouts.due]))
    console.print(f"\n{texts('story_lines')}", style="bold")
    for line in payouts.lines:
        console.print(plain(f"- {line_told(line, texts)}"))
    if not payouts.lines:
        console.print(texts("story_no_line"))

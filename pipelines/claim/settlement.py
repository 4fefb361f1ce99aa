"""What the operator may claim: the ledger's sums by service, tied to the run records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from engine.errors import BookError
from engine.io.book.run_record import RunRecord
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.desk.terms import TermsUsed, terms_used


@dataclass(frozen=True, slots=True)
class EntrySums:
    """Sums over ledger entries.

    Attributes:
        transactions: booked transactions, refunds included; ``refunds`` of them are such. Voids and
            recounts are not transactions: what they change is in the yen and the points.
        amount_yen: of all of them, refunds counted up like the others, as the records do.
        counted_yen: what counted under the cap, net of refunds.
        points_awarded, points_reversed: of the entries that gave and that took back points.
    """

    transactions: int = 0
    refunds: int = 0
    amount_yen: int = 0
    counted_yen: int = 0
    points_awarded: int = 0
    points_reversed: int = 0

    @property
    def points(self) -> int:
        """What remains to be claimed."""
        return self.points_awarded - self.points_reversed


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """A service's line of the claim.

    Attributes:
        name: as the last run's services have it; None where they no longer have the service.
        people: how many have an entry; in a total, each is counted once.
    """

    service_id: str
    name: str | None
    people: int
    sums: EntrySums


@dataclass(frozen=True, slots=True)
class MonthLine:
    """What was booked of a service in one month."""

    service_id: str
    month: str
    sums: EntrySums


@dataclass(frozen=True, slots=True)
class Claim:
    """What may be claimed.

    Attributes:
        month: the month of booking; None for the final settlement, which takes all.
        runs: the runs that it takes in; ``terms`` are those that they awarded by.
        seals: those that the book keeps of its last record.
        lines: one a service, by ``service_id``.
        months: one a service and month of booking.
        people: who have an entry with any service.
    """

    book: str
    month: str | None
    runs: list[str]
    booked_from: str
    booked_to: str
    last_run: str
    last_booked_on: str
    chain_sha256: str
    seals: list[str]
    terms: list[TermsUsed]
    lines: list[ClaimLine]
    months: list[MonthLine]
    people: int

    @property
    def total(self) -> EntrySums:
        return added(line.sums for line in self.lines)


def added(all_sums: Iterable[EntrySums]) -> EntrySums:
    """The sum of sums."""
    names = [field.name for field in fields(EntrySums)]
    rows = [[getattr(sums, name) for name in names] for sums in all_sums]
    return EntrySums(*map(sum, zip(*rows, strict=True))) if rows else EntrySums()


def settled(opened: OpenedBook, month: str | None, scratch: Path) -> Claim:
    """Adds up what was booked in a month, or in all months.

    Raises:
        BookError: a file is damaged, or a run's entries do not come to what its record says.
    """
    records = [record for record in opened.records if month in (None, record.month)]
    numbers = {record.number for record in records}
    with book_readable(opened.book):
        files = [file.path for file in opened.ledger_files if file.run in numbers]
    with Database(scratch / "database") as database:
        database.ledger(files)
        by_run = _by_run(database)
        _check_against_records(opened, records, by_run)
        people, people_in_all = _people(database)
    booked_on = {record.run_id: record.booked_on.isoformat() for record in records}
    names = opened.services(opened.runs).by_id
    last = opened.record(opened.runs)
    days = sorted(booked_on.values())
    return Claim(
        book=str(opened.book.path),
        month=month,
        runs=sorted(booked_on),
        booked_from=days[0],
        booked_to=days[-1],
        last_run=last.run_id,
        last_booked_on=last.booked_on.isoformat(),
        chain_sha256=opened.chain_sha256,
        seals=opened.seals,
        terms=terms_used(opened, numbers),
        lines=[
            ClaimLine(
                service,
                names[service].name if service in names else None,
                people[service],
                added(sums for (_, of), sums in by_run.items() if of == service),
            )
            for service in sorted(people)
        ],
        months=[
            MonthLine(
                service,
                of_month,
                added(
                    sums
                    for (run, of), sums in by_run.items()
                    if of == service and booked_on[run][:7] == of_month
                ),
            )
            for service, of_month in sorted(
                {(service, booked_on[run][:7]) for run, service in by_run}
            )
        ],
        people=people_in_all,
    )


_BY_RUN: Final = """
SELECT
    run_id,
    service_id,
    count(*) FILTER (kind IN ('charge', 'purchase', 'refund')),
    count(*) FILTER (kind = 'refund'),
    coalesce(sum(amount) FILTER (kind IN ('charge', 'purchase', 'refund')), 0)::BIGINT,
    sum(counted_amount)::BIGINT,
    coalesce(sum(points) FILTER (points > 0), 0)::BIGINT,
    -coalesce(sum(points) FILTER (points < 0), 0)::BIGINT
FROM ledger_rows
GROUP BY run_id, service_id
"""

_PEOPLE: Final = """
CREATE TABLE person AS
SELECT service_id, person_id FROM ledger_rows GROUP BY service_id, person_id
"""


def _by_run(database: Database) -> dict[tuple[str, str], EntrySums]:
    return {(run, service): EntrySums(*sums) for run, service, *sums in database.rows(_BY_RUN)}


def _people(database: Database) -> tuple[dict[str, int], int]:
    database.rows(_PEOPLE)
    by_service = database.rows("SELECT service_id, count(*) FROM person GROUP BY service_id")
    [(in_all,)] = database.rows("SELECT count(DISTINCT person_id) FROM person")
    return dict(by_service), int(in_all)


def _check_against_records(
    opened: OpenedBook, records: Sequence[RunRecord], by_run: dict[tuple[str, str], EntrySums]
) -> None:
    known = {record.run_id for record in records}
    foreign = sorted({run for run, _ in by_run} - known)
    if foreign:
        raise _unlike(opened, f"it has entries of run {foreign[0]} where that has none")
    for record in records:
        run = record.run_id
        sums = added(run_sums for (of, _), run_sums in by_run.items() if of == run)
        for what, found, said in (
            ("entries", sums.transactions, record.counts.booked),
            ("yen", sums.amount_yen, record.yen.booked),
            ("points awarded", sums.points_awarded, record.points.awarded),
            ("points reversed", sums.points_reversed, record.points.reversed),
        ):
            if found != said:
                raise _unlike(opened, f"of run {run} it has {found} {what}, the record says {said}")


def _unlike(opened: OpenedBook, what: str) -> BookError:
    return BookError(
        f"{opened.book.path}: the ledger does not tie to the run records: {what}",
        hint="find out with mynapoint verify; nothing may be claimed by such a ledger",
    )

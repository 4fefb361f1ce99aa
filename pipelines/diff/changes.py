"""What changed between two runs: entries and points by service, people, rows, terms."""

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import polars as pl

from engine.io.book.run_record import RunRecord
from engine.records import KINDS
from engine.terms.programme import Programme
from engine.terms.services import Service
from pipelines.desk.opened_book import OpenedBook, book_readable

_POINTS: Final = pl.col("points")
_NOT_TERMS: Final = frozenset({"text", "sha256", "sources", "source", "name"})


@dataclass(frozen=True, slots=True)
class Point:
    """The book after a run."""

    run_id: str
    booked_on: dt.date
    chain_sha256: str


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """What the runs between booked of a service.

    Attributes:
        people: how many have an entry among these.
        transactions: booked ones, ``refunds`` of them such.
        voids, recounts: entries that take back, and that count anew.
    """

    service_id: str
    people: int
    transactions: int
    refunds: int
    voids: int
    recounts: int
    counted_yen: int
    points_awarded: int
    points_reversed: int

    @property
    def points(self) -> int:
        return self.points_awarded - self.points_reversed


@dataclass(frozen=True, slots=True)
class TermChange:
    """A value that a run is the first to decide by; None where there was, or is, none."""

    run_id: str
    what: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """All that changed.

    Attributes:
        runs: those between, the later of the two included.
        services: by ``service_id``.
        people: ``person_id``, ``points_before``, ``points_after``, of those with an entry.
        rows: of transactions, applications and events, what came and what became of them.
        terms: run by run, so one that was changed and put back is there twice.
    """

    before: Point
    after: Point
    runs: list[str]
    services: list[ServiceLine]
    people: pl.DataFrame
    rows: list[tuple[str, int]]
    terms: list[TermChange]

    @property
    def gained(self) -> int:
        return int((self.people["points_after"] > self.people["points_before"]).sum())

    @property
    def lost(self) -> int:
        return int((self.people["points_after"] < self.people["points_before"]).sum())


def changes(before: OpenedBook, after: OpenedBook) -> Changes:
    """What the runs after ``before`` did, up to ``after``: the same book, two runs.

    Raises:
        BookError: a file of the book is damaged.
    """
    files = [file for file in after.ledger_files if file.run > before.runs]
    records = after.records[before.runs :]
    with book_readable(after.book):
        entries = after.ledger(files)
        services = _services(entries)
        people = _people(entries)
    return Changes(
        _point(before),
        _point(after),
        [record.run_id for record in records],
        services,
        people,
        list(_rows(records)),
        list(_terms(before, after)),
    )


def _point(opened: OpenedBook) -> Point:
    last = opened.record(opened.runs)
    return Point(last.run_id, last.booked_on, opened.chain_sha256)


def _services(entries: pl.LazyFrame) -> list[ServiceLine]:
    kind = pl.col("kind")
    sums = (
        entries.group_by("service_id")
        .agg(
            people=pl.col("person_id").n_unique(),
            transactions=kind.is_in(KINDS).sum(),
            refunds=(kind == "refund").sum(),
            voids=kind.str.ends_with("_void").sum(),
            recounts=(kind == "recount").sum(),
            counted_yen=pl.col("counted_amount").sum(),
            points_awarded=_POINTS.filter(_POINTS > 0).sum(),
            points_reversed=-_POINTS.filter(_POINTS < 0).sum(),
        )
        .sort("service_id")
        .collect(engine="streaming")
    )
    return [ServiceLine(*row) for row in sums.iter_rows()]


def _people(entries: pl.LazyFrame) -> pl.DataFrame:
    last = pl.col("points_after").sort_by("entry_seq").last()
    return (
        entries.group_by("person_id")
        .agg(points_before=last - _POINTS.sum(), points_after=last)
        .sort("person_id")
        .collect(engine="streaming")
    )


def _rows(records: tuple[RunRecord, ...]) -> Iterator[tuple[str, int]]:
    sums: Counter[str] = Counter()
    for record in records:
        counts = record.counts
        sums["read"] += counts.read
        sums["reconsidered"] += counts.reconsidered
        sums["booked"] += counts.booked
        sums["voided"] += counts.voided
        sums["recounted"] += counts.recounted
        for reason, rows in counts.declined.items():
            sums[f"declined:{reason}"] += rows
        sums["quarantined"] += counts.quarantined
        sums["skipped"] += counts.all_skipped
        for role, decided in (("enrollments", counts.enrollments), ("events", counts.events)):
            sums[f"{role}:read"] += decided.read
            sums[f"{role}:reconsidered"] += decided.reconsidered
            sums[f"{role}:accepted"] += decided.accepted
            sums[f"{role}:unchanged"] += decided.unchanged
            for reason, rows in decided.rejected.items():
                sums[f"{role}:rejected:{reason}"] += rows
            sums[f"{role}:quarantined"] += decided.quarantined
            sums[f"{role}:skipped"] += sum(decided.skipped.values())
    groups = list(dict.fromkeys(map(_group, sums)))
    ordered = sorted(sums.items(), key=lambda item: groups.index(_group(item[0])))
    yield from ((what, rows) for what, rows in ordered if rows)


def _group(what: str) -> str:
    """Rows turned away for one reason or another stand together."""
    return what.rpartition(":")[0] or what


def _terms(before: OpenedBook, after: OpenedBook) -> Iterator[TermChange]:
    for number in range(before.runs + 1, after.runs + 1):
        was, now = after.record(number - 1), after.record(number)
        for what, old, new in _changed(after, number):
            yield from _differing(now.run_id, what, old, new)
        old_terms, new_terms = _flat(was.programme.terms), _flat(now.programme.terms)
        yield from _differing(now.run_id, "terms", old_terms, new_terms)


def _changed(
    opened: OpenedBook, number: int
) -> Iterator[tuple[str, dict[str, str], dict[str, str]]]:
    """The values of the programme and of each service before a run and in it."""
    was, now = opened.record(number - 1), opened.record(number)
    if was.programme.sha256 != now.programme.sha256:
        old, new = (_values(opened.programme(run)) for run in (number - 1, number))
        yield "programme", old, new
    if was.services_sha256 != now.services_sha256:
        services = [opened.services(run).by_id for run in (number - 1, number)]
        for service in sorted({name for by_id in services for name in by_id}):
            old, new = (_values(by_id.get(service)) for by_id in services)
            yield f"service {service}", old, new


def _values(of: Programme | Service | None) -> dict[str, str]:
    values = {} if of is None else _flat(of)
    # The terms of a programme are compared as the runs used them.
    return {name: value for name, value in values.items() if name != "terms"}


def _flat(value: Any) -> dict[str, str]:  # noqa: ANN401 - any dataclass of terms
    return {
        field.name: str(getattr(value, field.name))
        for field in dataclasses.fields(value)
        if field.name not in _NOT_TERMS and getattr(value, field.name) is not None
    }


def _differing(
    run: str, name: str, old: dict[str, str], new: dict[str, str]
) -> Iterator[TermChange]:
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield TermChange(run, f"{name}: {key}", old.get(key), new.get(key))

"""What an operator reads at the end of a run: rows and yen in and out, points, and where it is."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.io.book.run_record import DecisionCounts, RowWarning, RunRecord
from engine.io.run.one_run import RunResult
from pipelines.shown.said import said
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Lang, Texts

if TYPE_CHECKING:
    from rich.table import Table


def record_value(result: RunResult) -> dict[str, Any]:
    """The run record for machines, and whether the run had been booked before."""
    record = result.record.to_json() | {"already_booked": result.already_booked}
    return record | {"dry_run": True} if result.dry_run else record


def print_record(result: RunResult) -> None:
    """Prints the run record for machines."""
    print_json(record_value(result))


def print_warnings(result: RunResult, lang: Lang) -> None:
    """Names on stderr what was read and should be looked at, and a book that was not there."""
    texts = Texts("run", lang)
    if result.record.number == 1 and not result.already_booked and not result.dry_run:
        sys.stderr.write(f"note: {texts('new_book', book=plain(result.book))}\n")
    for finding in result.record.gates:
        allowed = f" {texts('allowed')}" if finding.is_allowed else ""
        what = texts("warned_gate", what=said(plain(finding.what), lang))
        sys.stderr.write(f"warning: {what}{allowed}\n")
    print_row_warnings(result.record.warnings, lang)


def print_row_warnings(warnings: Iterable[RowWarning], lang: Lang) -> None:
    """Names rows on stderr that were read and should be looked at."""
    texts = Texts("run", lang)
    for warning in warnings:
        what = said(warning.what, lang)
        row = texts("warned_row", file=warning.file, row=warning.row, what=what)
        sys.stderr.write(f"warning: {row}\n")


def print_summary(result: RunResult, lang: Lang, out: Path | None = None) -> None:
    """Prints a run at a glance; ``out`` is where a dry run's tables are."""
    texts, record, console = Texts("run", lang), result.record, output()
    if result.dry_run:
        console.print(texts("dry_run"))
    if result.already_booked:
        console.print(texts("already_booked", run=record.run_id))
    title = texts(
        "title",
        run=record.run_id,
        booked_on=record.booked_on,
        programme=record.programme.id,
        terms=record.programme.terms.announced_on,
    )
    console.print(title)
    console.print(_transactions(record, texts))
    for line in _late_and_corrected(record, texts):
        console.print(line)
    points, counts = record.points, record.counts
    awarded, taken_back, net = (f"{n:,}" for n in (points.awarded, points.reversed, points.net))
    console.print(texts("points", awarded=awarded, reversed=taken_back, net=net))
    at_the_cap, people = f"{counts.people_at_the_cap:,}", f"{counts.people:,}"
    console.print(texts("cap", at_the_cap=at_the_cap, people=people))
    read = f"{counts.enrollments.read:,}"
    console.print(texts("enrollments", read=read, **_decided(counts.enrollments)))
    for reason, rows in counts.enrollments.rejected.items():
        console.print(f"    {reason}: {rows:,}")
    for finding in record.gates:
        console.print(texts("gate", what=said(plain(finding.what), lang)))
    place = out if result.dry_run and not result.already_booked else result.book
    if place is not None:
        console.print(texts("ledger", path=place / "ledger"))
        console.print(texts("tables", path=place / "runs" / record.run_id))


def _decided(counts: DecisionCounts) -> dict[str, str]:
    return {
        "accepted": f"{counts.accepted:,}",
        "unchanged": f"{counts.unchanged:,}",
        "rejected": f"{counts.all_rejected:,}",
        "quarantined": f"{counts.quarantined:,}",
    }


def _late_and_corrected(record: RunRecord, texts: Texts) -> Iterator[str]:
    """What the run took up of earlier runs, and what its events did; nothing of an ordinary one."""
    counts, enrollments, events = record.counts, record.counts.enrollments, record.counts.events
    if counts.reconsidered:
        yield texts("late", rows=f"{counts.reconsidered:,}", yen=f"{record.yen.reconsidered:,}")
    if enrollments.reconsidered:
        yield texts("late_enrollments", rows=f"{enrollments.reconsidered:,}")
    if events.taken_in:
        yield texts("corrections", **_decided(events))
        for reason, rows in events.rejected.items():
            yield f"    {reason}: {rows:,}"
    if counts.voided or counts.recounted:
        voided, recounted = f"{counts.voided:,}", f"{counts.recounted:,}"
        yield texts("by_corrections", voided=voided, recounted=recounted)
    if counts.recounted_of_format_1:
        yield texts("of_format_1", rows=f"{counts.recounted_of_format_1:,}")


def _transactions(record: RunRecord, texts: Texts) -> "Table":
    from rich.table import Table

    counts, yen = record.counts, record.yen
    table = Table(box=None, pad_edge=False)
    table.add_column(texts("transactions"))
    table.add_column(texts("rows"), justify="right")
    table.add_column(texts("yen"), justify="right")
    table.add_row(texts("read"), f"{counts.read:,}", f"{yen.read:,}")
    if counts.reconsidered:
        waited = f"{counts.reconsidered:,}", f"{yen.reconsidered:,}"
        table.add_row(texts("reconsidered"), *waited)
    table.add_row(texts("booked"), f"{counts.booked:,}", f"{yen.booked:,}")
    _add_reasons(table, texts("declined"), counts.declined, yen.declined)
    if counts.skipped:
        _add_reasons(table, texts("skipped"), counts.skipped, yen.skipped)
    table.add_row(texts("quarantined"), f"{counts.quarantined:,}", f"{yen.quarantined:,}")
    return table


def _add_reasons(
    table: "Table", heading: str, rows: Mapping[str, int], yen: Mapping[str, int]
) -> None:
    table.add_row(heading, f"{sum(rows.values()):,}", f"{sum(yen.values()):,}")
    for reason, number in rows.items():
        table.add_row(f"    {reason}", f"{number:,}", f"{yen[reason]:,}", style="dim")

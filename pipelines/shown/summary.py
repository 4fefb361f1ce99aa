"""What an operator reads at the end of a run: rows and yen in and out, points, and where it is."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.io.book.run_record import RowWarning, RunRecord
from engine.io.run.one_run import RunResult
from pipelines.shown.terminal import output, plain, print_json


def record_value(result: RunResult) -> dict[str, Any]:
    """The run record for machines, and whether the run had been booked before."""
    record = result.record.to_json() | {"already_booked": result.already_booked}
    return record | {"dry_run": True} if result.dry_run else record


def print_record(result: RunResult) -> None:
    """Prints the run record for machines."""
    print_json(record_value(result))


def print_warnings(result: RunResult) -> None:
    """Names on stderr what was read and should be looked at, and a book that was not there."""
    if result.record.number == 1 and not result.already_booked and not result.dry_run:
        sys.stderr.write(
            f"note: {plain(result.book)}: there was no book here, and this run has made a new one; "
            "--existing refuses that\n"
        )
    for finding in result.record.gates:
        allowed = " (allowed)" if finding.is_allowed else ""
        sys.stderr.write(f"warning: gate {plain(finding.what)}{allowed}\n")
    print_row_warnings(result.record.warnings)


def print_row_warnings(warnings: Iterable[RowWarning]) -> None:
    """Names rows on stderr that were read and should be looked at."""
    for warning in warnings:
        sys.stderr.write(f"warning: {warning.file}: row {warning.row}: {warning.what}\n")


def print_summary(result: RunResult, out: Path | None = None) -> None:
    """Prints a run at a glance; ``out`` is where a dry run's tables are."""
    record, console = result.record, output()
    if result.dry_run:
        console.print("試行 — a dry run: nothing was booked, this is what a run would do\n")
    counts, enrollments, points = record.counts, record.counts.enrollments, record.points
    if result.already_booked:
        console.print(
            f"記帳済み — this very run is in the book already, as run {record.run_id}; "
            "nothing was changed\n"
        )
    console.print(
        f"記帳回 run {record.run_id}, booked on {record.booked_on}, "
        f"programme {record.programme.id}, terms of {record.programme.terms.announced_on}"
    )
    console.print(_transactions(record))
    for line in _late_and_corrected(record):
        console.print(line)
    console.print(
        f"ポイント points: {points.awarded:,} awarded (付与), {points.reversed:,} reversed "
        f"(取消), {points.net:,} net"
    )
    console.print(
        f"上限到達 at the cap: {counts.people_at_the_cap:,} of {counts.people:,} people "
        "with entries in this run"
    )
    console.print(
        f"申込 enrollments: {enrollments.read:,} read, {enrollments.accepted:,} accepted, "
        f"{enrollments.unchanged:,} unchanged, "
        f"{enrollments.all_rejected:,} rejected, {enrollments.quarantined:,} quarantined"
    )
    for reason, rows in enrollments.rejected.items():
        console.print(f"    {reason}: {rows:,}")
    for finding in record.gates:
        console.print(f"関門 gate: {plain(finding.what)}")
    place = out if result.dry_run and not result.already_booked else result.book
    if place is not None:
        console.print(f"台帳 ledger: {place / 'ledger'}")
        console.print(f"内訳 record, declined, quarantine: {place / 'runs' / record.run_id}")


def _late_and_corrected(record: RunRecord) -> Iterator[str]:
    """What the run took up of earlier runs, and what its events did; nothing of an ordinary one."""
    counts, enrollments, events = record.counts, record.counts.enrollments, record.counts.events
    if counts.reconsidered:
        yield (
            f"保留分の記帳 late: {counts.reconsidered:,} rows of earlier nights booked "
            f"({record.yen.reconsidered:,} yen)"
        )
    if enrollments.reconsidered:
        yield (
            f"保留分の申込 late: {enrollments.reconsidered:,} applications of earlier nights "
            "accepted"
        )
    if events.taken_in:
        yield (
            f"訂正 corrections: {events.accepted:,} accepted, {events.unchanged:,} unchanged, "
            f"{events.all_rejected:,} rejected, {events.quarantined:,} quarantined"
        )
        for reason, rows in events.rejected.items():
            yield f"    {reason}: {rows:,}"
    if counts.voided or counts.recounted:
        yield (
            f"取消・再計算 by corrections: {counts.voided:,} entries voided, "
            f"{counts.recounted:,} recounts"
        )
    if counts.recounted_of_format_1:
        yield (
            f"    形式1の計算の訂正 of what format 1 counted otherwise: "
            f"{counts.recounted_of_format_1:,}"
        )


def _transactions(record: RunRecord) -> Table:
    counts, yen = record.counts, record.yen
    table = Table(box=None, pad_edge=False)
    table.add_column("取引 transactions")
    table.add_column("件数 rows", justify="right")
    table.add_column("円 yen", justify="right")
    table.add_row("読込 read", f"{counts.read:,}", f"{yen.read:,}")
    if counts.reconsidered:
        waited = f"{counts.reconsidered:,}", f"{yen.reconsidered:,}"
        table.add_row("保留から再判定 reconsidered", *waited)
    table.add_row("記帳 booked", f"{counts.booked:,}", f"{yen.booked:,}")
    _add_reasons(table, "対象外 declined", counts.declined, yen.declined)
    if counts.skipped:
        _add_reasons(table, "読み飛ばし skipped", counts.skipped, yen.skipped)
    table.add_row("読込不可 quarantined", f"{counts.quarantined:,}", f"{yen.quarantined:,}")
    return table


def _add_reasons(
    table: Table, heading: str, rows: Mapping[str, int], yen: Mapping[str, int]
) -> None:
    table.add_row(heading, f"{sum(rows.values()):,}", f"{sum(yen.values()):,}")
    for reason, number in rows.items():
        table.add_row(f"    {reason}", f"{number:,}", f"{yen[reason]:,}", style="dim")

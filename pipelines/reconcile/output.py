"""A reconciliation on disk and on the terminal."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from engine.io.durable import sha256_of
from engine.io.parquet import scan_parquet
from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.database import Database
from pipelines.desk.reasons import fault, reason
from pipelines.reconcile.differences import CLAIMED_TWICE, MISSING_IN_LEDGER
from pipelines.reconcile.history import Carried
from pipelines.reconcile.report import Reconciliation
from pipelines.shown import terminal
from pipelines.shown.head import head_facts
from pipelines.shown.spreadsheet import MOST_ROWS, Spreadsheet
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts

XLSX: Final = "breaks.xlsx"
SUMMARY: Final = "summary.json"

# A provider may have called a column with a comma.
_FAULT: Final = re.compile(r"(.+?:[a-z_]+)(?:,|$)", re.DOTALL)
_BATCH_ROWS: Final = 20_000
RESOLVED: Final = "resolved"
CARRIED: Final = "carried"
CARRIED_RESOLVED: Final = "carried_resolved"


def write_results(
    folder: Path, reconciled: Reconciliation, database: Database, texts: Texts, made_on: dt.date
) -> None:
    """Writes the breaks, as Parquet, CSV and a spreadsheet."""
    key = reconciled.key
    _copy(folder, database, "breaks", key)
    if reconciled.kept is not None:
        _copy(folder, database, RESOLVED, key)
    _write_spreadsheet(folder / XLSX, reconciled, database, texts, made_on)


def write_summary(folder: Path, reconciled: Reconciliation) -> None:
    """Writes the summary, with the digests of the other files; the last of them all."""
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
    value = reconciled.value() | {"files_sha256": files}
    summary = json.dumps(value, ensure_ascii=False, indent=1)
    (folder / SUMMARY).write_text(f"{summary}\n", encoding="utf-8")


def write_carried(folder: Path, carried: Carried) -> None:
    """Writes what was left open of other months and forms: what still is, and what is resolved."""
    for name, rows in ((CARRIED, carried.still_open), (CARRIED_RESOLVED, carried.resolved)):
        rows.write_parquet(folder / f"{name}.parquet")
        spreadsheet_csv(rows, folder / f"{name}.csv")


def _copy(folder: Path, database: Database, table_: str, key: str) -> None:
    """Writes a table as Parquet, and as CSV for people."""
    order = f"FROM {table_} ORDER BY {table_}.service_id, {table_}.{key}"
    quoted = f"{folder}/{table_}".replace("'", "''")
    database.rows(
        f"COPY (SELECT * {order}) TO '{quoted}.parquet' (FORMAT parquet, COMPRESSION zstd)"
    )
    spreadsheet_csv(scan_parquet(folder / f"{table_}.parquet"), folder / f"{table_}.csv")


def _write_spreadsheet(
    path: Path, reconciled: Reconciliation, database: Database, texts: Texts, made_on: dt.date
) -> None:
    columns = [
        ("service_id", 16),
        (reconciled.key, 28),
        ("kind", 20),
        ("ledger_points", 14),
        ("claim_points", 14),
        ("difference", 12),
        ("claim_rows", 11),
        ("reason", 26),
        ("run_id", 10),
        ("quarantine_file", 30),
        ("quarantine_row", 15),
        ("difference_id", 20),
        ("meets", 28),
        (texts("explanation"), 80),
    ]
    with Spreadsheet(path, made_on=made_on) as sheets:
        facts: list[tuple[str, object]] = [(texts("title"), None), *facts_of(reconciled, texts)]
        facts += [(what, f"{points:,}") for what, _, points in sums(reconciled, texts)]
        if reconciled.untold:
            facts.append((too_many(reconciled, texts), None))
        sheets.facts(texts("sheet_summary"), facts)
        sheets.table(
            texts("sheet_breaks"),
            columns,
            _rows(reconciled, database, texts),
            note=too_many(reconciled, texts) if reconciled.untold else None,
        )


def _rows(
    reconciled: Reconciliation, database: Database, texts: Texts
) -> Iterator[Sequence[object]]:
    sql = f"SELECT * FROM breaks ORDER BY service_id, {reconciled.key} LIMIT {MOST_ROWS}"  # noqa: S608
    for batch in database.batches(sql, _BATCH_ROWS):
        for row in batch:
            yield (*row, explanation(row, texts))


def explanation(row: Sequence[Any], texts: Texts) -> str:
    """A break in words."""
    _, _, kind, _, _, difference, rows, codes, _, file, place, _, meets = row
    equal = "_equal" if kind == CLAIMED_TWICE and not difference else ""
    above_or_below = texts("above" if difference > 0 else "below")
    points = abs(difference)
    sentences = [
        texts(f"why_{kind}{equal}", rows=rows, points=points, above_or_below=above_or_below)
    ]
    if codes is not None and file is not None:
        faults = _FAULT.findall(codes.removeprefix("quarantined:"))
        words = "; ".join(fault(code, texts.lang) for code in faults)
        sentences.append(texts("why_quarantined", file=file, row=place, words=words))
    elif codes is not None:
        for code in codes.split(" "):
            rejected = code.removeprefix("rejected:")
            words = reason(rejected, texts.lang).words
            sentences.append(words if rejected == code else texts("why_rejected", words=words))
    elif kind == MISSING_IN_LEDGER:
        sentences.append(texts("why_unknown"))
    if meets is not None:
        sentences.append(texts("why_meets", key=meets))
    return " ".join(sentences)


def facts_of(reconciled: Reconciliation, texts: Texts) -> list[tuple[str, object]]:
    """What was held against what."""
    facts: list[tuple[str, object]] = [
        (texts("book"), reconciled.book),
        (texts("last_run"), reconciled.last_run),
        *head_facts(reconciled.chain_sha256, reconciled.seals, texts.lang),
        (texts("claim"), reconciled.claim),
        (texts("claim_sha256"), reconciled.claim_sha256),
        (texts("claim_rows"), reconciled.claim_rows),
        (texts("form"), texts(f"form_{reconciled.key}")),
    ]
    if reconciled.layout is not None:
        facts.append((texts("layout"), reconciled.layout))
    for reason_, rows in reconciled.skipped.items():
        facts.append((texts("skipped", reason=reason_), rows))
    if reconciled.month is not None:
        facts.append((texts("month"), reconciled.month))
    if reconciled.kept is not None:
        facts.append((texts("number"), reconciled.kept.number))
        facts.append((texts("resolutions_sha256"), reconciled.kept.resolutions_sha256))
    for how, times in reconciled.totals.meetings.items():
        facts.append((texts(f"meet_{how}"), times))
    return facts


def sums(reconciled: Reconciliation, texts: Texts) -> list[tuple[str, int | None, int]]:
    """The sum that adds up: the ledger's total, the breaks by kind, the claim's total."""
    totals = reconciled.totals
    kinds = [(texts(kind), *of_kind) for kind, of_kind in totals.by_kind.items()]
    resolved = [(texts(word), *of_word) for word, of_word in totals.resolved.items()]
    return [
        (texts("ledger_total"), None, totals.ledger_points),
        *kinds,
        *resolved,
        (
            texts("claim_total"),
            totals.breaks + sum(rows for rows, _ in totals.resolved.values()),
            totals.claim_points,
        ),
    ]


def too_many(reconciled: Reconciliation, texts: Texts) -> str:
    """That the spreadsheet does not hold all breaks."""
    return texts("too_many", breaks=reconciled.totals.breaks, shown=MOST_ROWS)


def print_reconciled(reconciled: Reconciliation, folder: Path, texts: Texts) -> None:
    """Prints what was held against what, and the sum."""
    console = output()
    console.print(texts("title"), style="bold")
    for label, value in facts_of(reconciled, texts):
        console.print(plain(f"{label}: {value}"))
    columns = [
        (texts("column_what"), False),
        (texts("column_breaks"), True),
        (texts("column_points"), True),
    ]
    console.print()
    console.print(table(columns, sums(reconciled, texts), total=True))
    console.print()
    if reconciled.totals.breaks:
        text = texts("differs", breaks=reconciled.totals.breaks, folder=folder)
        console.print(plain(text))
    elif reconciled.totals.resolved:
        console.print(plain(texts("nothing_open", folder=folder)))
    else:
        console.print(texts("agrees"))
    kept = reconciled.kept
    if kept is not None and kept.carried_rows:
        carried = texts("carried", rows=kept.carried_rows, points=kept.carried_difference)
        console.print(carried)
    if kept is not None and kept.carried_resolved_rows:
        rows, points = kept.carried_resolved_rows, kept.carried_resolved_difference
        console.print(texts("carried_resolved", rows=rows, points=points))


def print_json(reconciled: Reconciliation) -> None:
    """Prints the summary for machines."""
    terminal.print_json(reconciled.value())

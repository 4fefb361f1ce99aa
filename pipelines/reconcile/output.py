"""A reconciliation on disk and on the terminal."""

import datetime as dt
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pipelines.desk.database import Database, guarded_in_sql
from pipelines.desk.reasons import fault, reason
from pipelines.reconcile.differences import CLAIMED_TWICE, MISSING_IN_LEDGER
from pipelines.reconcile.report import Reconciled
from pipelines.shown import terminal
from pipelines.shown.head import head_facts
from pipelines.shown.spreadsheet import MOST_ROWS, Spreadsheet
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts

PARQUET: Final = "breaks.parquet"
CSV: Final = "breaks.csv"
XLSX: Final = "breaks.xlsx"
SUMMARY: Final = "summary.json"

# A provider may have called a column with a comma.
_FAULT: Final = re.compile(r"(.+?:[a-z_]+)(?:,|$)", re.DOTALL)
_BATCH_ROWS: Final = 20_000
_TEXTS: Final = ("reason", "run_id", "quarantine_file")


def write_results(
    folder: Path, reconciled: Reconciled, database: Database, texts: Texts, made_on: dt.date
) -> None:
    """Writes the breaks, as Parquet, CSV and a spreadsheet, and the summary."""
    key = reconciled.key
    order = f"FROM breaks ORDER BY breaks.service_id, breaks.{key}"
    quoted = str(folder).replace("'", "''")
    database.rows(
        f"COPY (SELECT * {order}) TO '{quoted}/{PARQUET}' (FORMAT parquet, COMPRESSION zstd)"
    )
    guarded = guarded_in_sql(["service_id", key, *_TEXTS])
    database.rows(
        f"COPY (SELECT * REPLACE ({guarded}) {order}) TO '{quoted}/{CSV}' (FORMAT csv, HEADER true)"
    )
    _write_spreadsheet(folder / XLSX, reconciled, database, texts, made_on)
    summary = json.dumps(reconciled.value(), ensure_ascii=False, indent=1)
    (folder / SUMMARY).write_text(f"{summary}\n", encoding="utf-8")


def _write_spreadsheet(
    path: Path, reconciled: Reconciled, database: Database, texts: Texts, made_on: dt.date
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


def _rows(reconciled: Reconciled, database: Database, texts: Texts) -> Iterator[Sequence[object]]:
    sql = f"SELECT * FROM breaks ORDER BY service_id, {reconciled.key} LIMIT {MOST_ROWS}"  # noqa: S608
    for batch in database.batches(sql, _BATCH_ROWS):
        for row in batch:
            yield (*row, explanation(row, texts))


def explanation(row: Sequence[Any], texts: Texts) -> str:
    """A break in words."""
    _, _, kind, _, _, difference, rows, codes, _, file, place = row
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
    return " ".join(sentences)


def facts_of(reconciled: Reconciled, texts: Texts) -> list[tuple[str, object]]:
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
    if reconciled.month is not None:
        facts.append((texts("month"), reconciled.month))
    return facts


def sums(reconciled: Reconciled, texts: Texts) -> list[tuple[str, int | None, int]]:
    """The sum that adds up: the ledger's total, the breaks by kind, the claim's total."""
    totals = reconciled.totals
    kinds = [(texts(kind), *of_kind) for kind, of_kind in totals.by_kind.items()]
    return [
        (texts("ledger_total"), None, totals.ledger_points),
        *kinds,
        (texts("claim_total"), totals.breaks, totals.claim_points),
    ]


def too_many(reconciled: Reconciled, texts: Texts) -> str:
    """That the spreadsheet does not hold all breaks."""
    return texts("too_many", breaks=reconciled.totals.breaks, shown=MOST_ROWS)


def print_reconciled(reconciled: Reconciled, folder: Path, texts: Texts) -> None:
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
    else:
        console.print(texts("agrees"))


def print_json(reconciled: Reconciled) -> None:
    """Prints the summary for machines."""
    terminal.print_json(reconciled.value())

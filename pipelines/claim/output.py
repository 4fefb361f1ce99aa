"""A claim on disk and on the terminal."""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.claim.settlement import Claim, EntrySums
from pipelines.desk.terms import TermsUsed, rate
from pipelines.shown import terminal
from pipelines.shown.head import head_facts
from pipelines.shown.spreadsheet import Spreadsheet
from pipelines.shown.terminal import output, plain, table
from pipelines.shown.texts import Texts

_CLAIM: Final = "claim"
_MONTHS: Final = "months"

_SUMS: Final = {
    "transactions": pl.Int64,
    "refunds": pl.Int64,
    "counted_yen": pl.Int64,
    "points_awarded": pl.Int64,
    "points_reversed": pl.Int64,
    "points": pl.Int64,
}


def lines_of(claim: Claim) -> pl.DataFrame:
    """The claim, one row a service; of a month's, with the month, so that it may be reconciled."""
    rows = [
        (line.service_id, line.name, claim.month, line.people, *_values(line.sums))
        for line in claim.lines
    ]
    schema = {
        "service_id": pl.String,
        "name": pl.String,
        "month": pl.String,
        "people": pl.Int64,
        **_SUMS,
    }
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.drop("month") if claim.month is None else frame


def month_rows(claim: Claim) -> pl.DataFrame:
    """The claim by service and month of booking, a form that ``mynapoint reconcile`` takes."""
    rows = [(line.service_id, line.month, *_values(line.sums)) for line in claim.months]
    schema = {"service_id": pl.String, "month": pl.String, **_SUMS}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _values(sums: EntrySums) -> tuple[int, ...]:
    return tuple(getattr(sums, name) for name in _SUMS)


def write_results(folder: Path, claim: Claim, texts: Texts) -> None:
    """Writes the claim as Parquet, CSV, JSON and a spreadsheet with a cover sheet."""
    tables = {_CLAIM: lines_of(claim)}
    if claim.month is None:
        tables[_MONTHS] = month_rows(claim)
    for name, frame in tables.items():
        frame.write_parquet(folder / f"{name}.parquet")
        spreadsheet_csv(frame, folder / f"{name}.csv")
    text = json.dumps(value(claim), ensure_ascii=False, indent=1)
    (folder / f"{_CLAIM}.json").write_text(f"{text}\n", encoding="utf-8")
    made_on = dt.date.fromisoformat(claim.last_booked_on)
    with Spreadsheet(folder / f"{_CLAIM}.xlsx", made_on=made_on) as sheets:
        sheets.facts(texts("sheet_cover"), [(title(claim, texts), None), *cover(claim, texts)])
        sheets.table(
            texts("sheet_claim"),
            [(heading, 18 if numbers else 22) for heading, numbers in _columns(texts)],
            _rows(claim),
            totals=_total(claim, texts),
        )
        if claim.month is None:
            headings = [texts("column_service"), texts("column_month")]
            headings += [heading for heading, _ in _columns(texts)[3:]]
            rows = month_rows(claim).rows()
            sheets.table(texts("sheet_months"), [(heading, 20) for heading in headings], rows)


def title(claim: Claim, texts: Texts) -> str:
    """What is claimed."""
    return texts("title_final" if claim.month is None else "title_month", month=claim.month)


def cover(claim: Claim, texts: Texts) -> list[tuple[str, object]]:
    """What the claim rests on."""
    return [
        (texts("book"), claim.book),
        (
            texts("runs"),
            texts(
                "runs_value",
                runs=len(claim.runs),
                first=claim.runs[0],
                last=claim.runs[-1],
                booked_from=claim.booked_from,
                booked_to=claim.booked_to,
            ),
        ),
        (
            texts("last_run"),
            texts("last_run_value", run_id=claim.last_run, booked_on=claim.last_booked_on),
        ),
        *head_facts(claim.chain_sha256, claim.seals, texts.lang),
        *((texts("terms"), _terms(terms, texts)) for terms in claim.terms),
        (texts("verification"), texts("verification_value")),
        (texts("ties"), texts("ties_value")),
        (texts("people_note"), texts("people_note_value")),
    ]


def _terms(terms: TermsUsed, texts: Texts) -> str:
    return texts(
        "terms_value",
        id=terms.programme_id,
        announced_on=terms.announced_on,
        rate=rate(terms.rate_numerator, terms.rate_denominator, texts.lang),
        cap=terms.cap_yen,
        ships=texts("ships" if terms.ships else "ships_not"),
        runs=", ".join(terms.runs),
        sha256=terms.programme_sha256,
    )


def _columns(texts: Texts) -> list[tuple[str, bool]]:
    return [
        (texts("column_service"), False),
        (texts("column_name"), False),
        (texts("column_people"), True),
        (texts("column_transactions"), True),
        (texts("column_refunds"), True),
        (texts("column_counted"), True),
        (texts("column_awarded"), True),
        (texts("column_reversed"), True),
        (texts("column_net"), True),
    ]


def _rows(claim: Claim) -> list[Sequence[object]]:
    return [(line.service_id, line.name, line.people, *_values(line.sums)) for line in claim.lines]


def _total(claim: Claim, texts: Texts) -> Sequence[object]:
    return (texts("total"), None, claim.people, *_values(claim.total))


def print_claim(claim: Claim, folder: Path | None, texts: Texts) -> None:
    """Prints the claim."""
    console = output()
    console.print(title(claim, texts), style="bold")
    for label, fact in cover(claim, texts):
        console.print(plain(f"{label}: {fact}"))
    console.print()
    console.print(table(_columns(texts), [*_rows(claim), _total(claim, texts)], total=True))
    if folder is not None:
        console.print()
        console.print(plain(texts("written", folder=folder)))


def value(claim: Claim) -> dict[str, Any]:
    """The claim for machines."""
    return {
        "book": claim.book,
        "month": claim.month,
        "runs": claim.runs,
        "booked_from": claim.booked_from,
        "booked_to": claim.booked_to,
        "last_run": claim.last_run,
        "last_booked_on": claim.last_booked_on,
        "chain_sha256": claim.chain_sha256,
        "seals": claim.seals,
        "terms": [terms.value() for terms in claim.terms],
        "verified": False,
        "services": lines_of(claim).to_dicts(),
        "months": month_rows(claim).to_dicts(),
        "total": {"people": claim.people} | dict(zip(_SUMS, _values(claim.total), strict=True)),
    }


def print_json(claim: Claim) -> None:
    """Prints the claim for machines."""
    terminal.print_json(value(claim))

"""What waits, on the terminal, for machines, and row by row for spreadsheets."""

from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.desk.reasons import reason
from pipelines.pending.summary import ROLES, by_age, by_reason, by_run, total
from pipelines.pending.waiting import AGES, Pending
from pipelines.report.table import Kind, Table, TableColumn, printed
from pipelines.shown.result_files import whole_folder
from pipelines.shown.terminal import output, plain, print_json
from pipelines.shown.texts import Texts

_SUMS: Final = ("rows", "yen", "stake", "unknown")
_KINDS: Final[dict[str, Kind]] = {"reason": "code", "service": "code", "run": "code"}


def print_pending_json(waiting: Pending) -> None:
    """Prints the sums for machines."""
    ages = by_age(waiting).with_columns(
        days_up_to=pl.col("age").replace_strict(
            dict(enumerate(AGES)), default=None, return_dtype=pl.Int64
        )
    )
    value: dict[str, Any] = {
        "as_of": waiting.as_of.isoformat(),
        "of_format_1": waiting.of_format_1,
        "rows": {role: getattr(waiting, role).height for role in ROLES},
        "by_reason": by_reason(waiting).to_dicts(),
        "by_age": ages.drop("age").to_dicts(),
        "by_run": by_run(waiting).to_dicts(),
    }
    print_json(value)


def tables(waiting: Pending, texts: Texts) -> list[Table]:
    """The sums for people: by reason, by age, by run."""
    reasons = [
        (texts(f"word_{role}"), code, _words(code, texts), service or "", *numbers)
        for role, code, service, *numbers in by_reason(waiting).iter_rows()
    ]
    ages = [
        (texts(f"word_{role}"), age_words(age, texts), *numbers)
        for role, age, *numbers in by_age(waiting).iter_rows()
    ]
    runs = [
        (texts(f"word_{role}"), run, *numbers)
        for role, run, *numbers in by_run(waiting).iter_rows()
    ]
    listed: list[tuple[str, tuple[str, ...], list[tuple[Any, ...]]]] = [
        ("by_reason", ("role", "reason", "meaning", "service"), reasons),
        ("by_age", ("role", "age"), ages),
        ("by_run", ("role", "run"), runs),
    ]
    return [
        Table(
            name,
            texts(name),
            (
                *(TableColumn(texts(key), _KINDS.get(key, "text"), key=key) for key in keys),
                *(TableColumn(texts(key), "number", key=key) for key in _SUMS),
            ),
            rows,
        )
        for name, keys, rows in listed
    ]


def print_pending(waiting: Pending, texts: Texts, out: Path | None) -> None:
    """Prints the sums for people."""
    console = output()
    console.print(plain(texts("title", day=waiting.as_of)), style="bold")
    if waiting.of_format_1:
        console.print(texts("of_format_1", rows=waiting.of_format_1))
    if total(waiting).is_empty():
        console.print(texts("nothing"))
        return
    for sums in tables(waiting, texts):
        console.print()
        console.print(plain(sums.caption), style="bold")
        console.print(printed(sums))
    console.print()
    console.print(texts("note"))
    if out is not None:
        console.print(plain(texts("written", folder=out)))


def _words(code: str, texts: Texts) -> str:
    return reason(code, texts.lang).words


def age_words(age: int, texts: Texts) -> str:
    """A band of age in words."""
    if age == len(AGES):
        return texts("age_over", days=AGES[-1])
    first = AGES[age - 1] + 1 if age else 0
    return texts("age_band", first=first, last=AGES[age])


def write_rows(out: Path, waiting: Pending) -> None:
    """Writes the rows, a Parquet and a CSV file for each role."""
    with whole_folder(out) as folder:
        for role in ROLES:
            rows: pl.DataFrame = getattr(waiting, role)
            rows.write_parquet(folder / f"{role}.parquet")
            spreadsheet_csv(rows, folder / f"{role}.csv")

"""The sheet of a sample: written to be filled in, and read back as people save it."""

import csv
import datetime as dt
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, get_args

import polars as pl

from engine.errors import InputError
from engine.io.durable import sha256_of
from engine.io.spreadsheet_csv import spreadsheet_csv
from pipelines.draw.sample import Drawn, Method, Sample
from pipelines.draw.workbook import rows_of_workbook
from pipelines.shown.spreadsheet import Spreadsheet
from pipelines.shown.texts import Texts

SHEET: Final = "sample.csv"
WORKBOOK: Final = "sample.xlsx"
DESCRIPTION: Final = "sample.json"
_AUDITED: Final = "audited_points"
_ZIP: Final = b"PK\x03\x04"
_COLUMNS: Final = {
    "unit": 6,
    "hits": 6,
    "stratum": 16,
    "run_id": 10,
    "outcome": 18,
    "person_id": 22,
    "entry_seq": 10,
    "service_id": 16,
    "account_id": 22,
    "transaction_id": 26,
    "occurred_at": 20,
    "kind": 14,
    "amount_yen": 12,
    "book_points": 12,
    _AUDITED: 15,
    "remark": 30,
    "why": 90,
}


def write_sample(folder: Path, sample: Sample, texts: Texts, made_on: dt.date) -> None:
    """Writes the sheet as CSV and as a spreadsheet, and how the sample was drawn."""
    columns = zip(*_rows(sample), strict=True)
    rows = pl.DataFrame(dict(zip(_COLUMNS, columns, strict=True)))
    spreadsheet_csv(rows, folder / SHEET, as_written=("occurred_at",))
    with Spreadsheet(folder / WORKBOOK, made_on=made_on) as sheets:
        sheets.facts(texts("sheet_about"), [(texts("title"), None), *facts_of(sample, texts)])
        sheets.table(texts("sheet_units"), list(_COLUMNS.items()), _rows(sample))
    files = {name: sha256_of(folder / name) for name in (SHEET, WORKBOOK)}
    value = {"format": 1, **sample.value(), "files_sha256": files}
    description = json.dumps(value, ensure_ascii=False, indent=1)
    (folder / DESCRIPTION).write_text(f"{description}\n", encoding="utf-8")


def _rows(sample: Sample) -> Iterator[Sequence[object]]:
    for unit in sample.units:
        yield (
            *(unit.number, unit.hits, unit.stratum, unit.run_id, unit.outcome, unit.person_id),
            *(unit.entry_seq, unit.service_id, unit.account_id, unit.transaction_id),
            *(str(unit.occurred_at), unit.kind, unit.amount_yen, unit.points, None, None, unit.why),
        )


def facts_of(sample: Sample, texts: Texts) -> list[tuple[str, object]]:
    """How the sample was drawn, and from what."""
    drawn = sample.drawn
    facts: list[tuple[str, object]] = [
        (texts("book"), sample.book),
        (texts("last_run"), sample.last_run),
        (texts("last_record"), sample.last_record_sha256),
        (texts("method"), texts(f"method_{drawn.method}")),
        (texts("seed"), str(drawn.seed)),
        (texts("units"), drawn.units),
        (texts("population_rows"), sample.rows),
        (texts("population_points"), sample.points),
    ]
    if drawn.month is not None:
        facts.insert(3, (texts("month"), drawn.month))
    return facts


def read_description(folder: Path) -> tuple[Drawn, int, str]:
    """How a sample was drawn, the last run it was drawn from and the sha256 of its record.

    Raises:
        InputError: the folder does not hold a sample.
    """
    path = folder / DESCRIPTION
    try:
        value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        method, month = value["method"], value["month"]
        units, seed, last_run = int(value["units"]), int(value["seed"]), int(value["last_run"])
        sha256 = str(value["last_record_sha256"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: this does not describe a sample",
            hint="name the folder that mynapoint draw --out made",
        ) from error
    if method not in get_args(Method) or not (month is None or isinstance(month, str)):
        raise InputError(f"{path}: this does not describe a sample", hint="draw it again")
    return Drawn(method, units, seed, month), last_run, sha256


def read_sheet(path: Path, sample: Sample) -> dict[int, int]:
    """The audited points by unit, as a spreadsheet program may have saved them: a workbook or CSV,
    CP932 too.

    Raises:
        InputError: a unit is missing, is not one that was drawn, or is not filled in.
    """
    found: dict[int, int] = {}
    for number, (where, row) in _units_of(path, sample).items():
        found[number] = _whole(row.get(_AUDITED), where, _AUDITED)
        if sample.drawn.method == "monetary" and found[number] < 0:
            raise InputError(
                f"{where}: {_AUDITED} is negative", hint="an award of nothing is 0 points"
            )
    return found


def check_sheet(path: Path, sample: Sample) -> None:
    """Makes sure that a sheet, filled in or not, has the units of a sample and no others.

    Raises:
        InputError: it is not so.
    """
    _units_of(path, sample)


def filled_in(folder: Path) -> Path:
    """The sheet of a sample's folder that somebody filled in: the workbook, where it alone is not
    as it was written.

    Raises:
        InputError: both of them are not.
    """
    try:
        written = json.loads((folder / DESCRIPTION).read_bytes())["files_sha256"]
        changed = [name for name in (SHEET, WORKBOOK) if sha256_of(folder / name) != written[name]]
    except (OSError, ValueError, KeyError, TypeError):
        return folder / SHEET
    if len(changed) > 1:
        raise InputError(
            f"{folder}: {SHEET} and {WORKBOOK} were both changed",
            hint="name the one that is filled in with --sheet",
        )
    return folder / (changed or [SHEET])[0]


def _units_of(path: Path, sample: Sample) -> dict[int, tuple[str, dict[str, str]]]:
    """By unit, the place of its line and what stands there."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: the sheet cannot be read: {error.strerror}", hint="name the filled-in sheet"
        ) from error
    rows = rows_of_workbook(path, data) if data.startswith(_ZIP) else _rows_of_csv(path, data)
    found: dict[int, tuple[str, dict[str, str]]] = {}
    booked = {unit.number: unit.points for unit in sample.units}
    for place, row in enumerate(rows, 2):
        where = f"{path}: line {place}"
        number = _whole(row.get("unit"), where, "unit")
        if number in found:
            raise InputError(f"{where}: unit {number} is there twice", hint="leave one of them out")
        if (
            number not in booked
            or _whole(row.get("book_points"), where, "book_points") != (booked[number])
        ):
            raise InputError(
                f"{where}: unit {number} is not as the sample's seed and the book give it",
                hint="fill in audited_points and remark alone, or draw the sample again",
            )
        found[number] = (where, row)
    missing = sorted(booked.keys() - found.keys())
    if missing:
        raise InputError(
            f"{path}: unit {missing[0]} is missing", hint="the sheet has a line for each unit"
        )
    return found


def _rows_of_csv(path: Path, data: bytes) -> list[dict[str, str]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("cp932")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{path}: the text is neither UTF-8 nor CP932", hint="save the sheet as CSV UTF-8"
            ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    try:
        return list(reader)
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.reader.line_num}: {error}", hint="save the sheet as CSV UTF-8"
        ) from error


def _whole(text: str | None, where: str, column: str) -> int:
    plain = (text or "").strip().replace(",", "")
    if not re.fullmatch(r"-?[0-9]{1,18}", plain):
        what = "is empty" if not plain else "is not a whole number"
        raise InputError(f"{where}: {column} {what}", hint="fill in a whole number of points")
    return int(plain)

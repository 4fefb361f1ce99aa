"""Providers' own files, read by their layouts: to the canonical rows, and each row in its place."""

import csv
import datetime as dt
import tomllib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.io.deliveries import DeliveredAs, find_delivered
from engine.io.reading import ENROLLMENTS, TRANSACTIONS, Files
from engine.layout import built_in_layouts, load_layout
from engine.records import TRANSACTION_COLUMNS

SAMPLES = Path(__file__).parent / "layouts"


@dataclass
class Read:
    """What a file was read to."""

    rows: list[dict[str, str]] = field(default_factory=list)
    quarantined: dict[int, list[str]] = field(default_factory=dict)
    raw: dict[int, str] = field(default_factory=dict)
    skipped: dict[str, tuple[int, int]] = field(default_factory=dict)
    read: int = 0
    record: dict[str, Any] = field(default_factory=dict)


def read(path: Path, layout: Any = None, role: str = "transactions", **parameters: str) -> Read:
    """Reads a file as a run does."""
    delivered = find_delivered([DeliveredAs(path, layout, parameters)], role)
    files = Files(TRANSACTIONS if role == "transactions" else ENROLLMENTS, delivered)
    made = Read()
    with ThreadPoolExecutor(2) as pool:
        for pieces, records in files.read(pool, 2, lambda rows: rows):
            made.read += records
            for rows in pieces:
                made.rows += [
                    {name: as_text(row[name]) for name in row if name != "row_ref"}
                    for row in rows.good.iter_rows(named=True)
                ]
                for row in files.as_quarantined(rows.faulty).iter_rows(named=True):
                    made.quarantined[row["row"]] = row["errors"]
                    made.raw[row["row"]] = row["raw"]
    made.skipped, made.record = files.skipped, files.inputs[0]
    return made


def as_text(value: Any) -> str:
    return "" if value is None else str(value)


def canonical(folder: Path) -> list[dict[str, str]]:
    with (folder / "canonical.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def case(layout_id: str) -> tuple[Path, Mapping[str, Any]]:
    folder = SAMPLES / layout_id
    case = tomllib.loads((folder / "case.toml").read_text(encoding="utf-8"))
    return folder / case["file"], case


@pytest.mark.parametrize("layout_id", built_in_layouts())
def test_a_sample_of_each_layout_that_ships_reads_to_its_canonical_rows(layout_id: str) -> None:
    path, expected = case(layout_id)
    made = read(path, layout_id, **expected["parameters"])
    assert made.rows == canonical(path.parent)
    assert made.skipped == {reason: tuple(one) for reason, one in expected["skipped"].items()}
    assert made.quarantined == {int(row): one for row, one in expected["quarantined"].items()}
    skipped = sum(rows for rows, _ in made.skipped.values())
    assert made.read == len(made.rows) + len(made.quarantined) + skipped == made.record["rows"]

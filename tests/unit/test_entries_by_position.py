"""Entries of the ledger by position: those asked for, in the order asked for."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.errors import BookError
from engine.io.book.checked import DamagedIndex
from engine.io.book.entries import entries_at
from engine.io.book.folder import Book


def ledger_by_position(book: Path) -> tuple[np.ndarray, pl.DataFrame]:
    frame = pl.concat([pl.read_parquet(part) for part in sorted((book / "ledger").glob("*.p*"))])
    run = pl.col("run_id").cast(pl.Int64)
    place = pl.int_range(pl.len()).over("run_id")
    return frame.select((run * 2**32 + place).alias("position")).to_series().to_numpy(), frame


@pytest.mark.parametrize("rows", [0, 1, 40, 3_000])
def test_entries_are_those_asked_for_in_the_order_asked_for(six_nights: Path, rows: int) -> None:
    positions, ledger = ledger_by_position(six_nights)
    places = np.random.default_rng(rows).integers(0, positions.size, rows)
    found = entries_at(Book(six_nights), positions[places])
    assert_frame_equal(found.select(ledger.columns), ledger[places])
    missing = set(found.columns) - set(ledger.columns)
    assert all(found[name].is_null().all() for name in missing)


def test_a_position_without_an_entry_is_the_indexs_fault(six_nights: Path) -> None:
    positions, _ = ledger_by_position(six_nights)
    with pytest.raises(DamagedIndex, match="run 000006 has no entry"):
        entries_at(Book(six_nights), positions[-1:] + 1)


def test_a_damaged_ledger_file_is_named(six_nights: Path, tmp_path: Path) -> None:
    book = tmp_path / "book"
    shutil.copytree(six_nights, book)
    positions, _ = ledger_by_position(book)
    part = sorted((book / "ledger").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(BookError, match=part.name):
        entries_at(Book(book), positions)

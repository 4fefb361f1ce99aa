"""Readers go by what a Parquet file says of its columns, and a file may say what is not so."""

import datetime as dt
import struct
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import ROOT
from forger import Forger

import mynapoint
from pipelines.verify import verify
from pipelines.verify.statistics import untrue_statistics

NIGHT = ROOT / "sample_data" / "night-001"
ROWS = {
    "text": pa.array(["b", None, "d"]),
    "yen": pa.array([5, 300, -7], pa.int64()),
    "day": pa.array([dt.date(2020, 9, 1), None, dt.date(2021, 9, 30)]),
    "at": pa.array([2**63 - 1, -5, 10**15], pa.timestamp("us")),
    "nothing": pa.array([None, None, None], pa.string()),
    "long": pa.array(["x" * 5000, "y", "z"]),
    "texts": pa.array([["a"], [], None], pa.list_(pa.string())),
}


def say(path: Path, old: bytes, new: bytes) -> None:
    """Changes what is said in a file's end, and nothing of its rows."""
    data = path.read_bytes()
    rows_end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    end = data[rows_end:-8].replace(old, new)
    assert end != data[rows_end:-8]
    path.write_bytes(data[:rows_end] + end + len(end).to_bytes(4, "little") + b"PAR1")


def text(value: str) -> bytes:
    """As it stands in a file's end."""
    return bytes([len(value)]) + value.encode()


def test_an_entry_that_a_file_says_it_does_not_have_is_found(tmp_path: Path) -> None:
    book = tmp_path / "book"
    mynapoint.run(
        book,
        booked_on=dt.date(2020, 11, 3),
        transactions=[str(NIGHT / "transactions-*")],
        enrollments=[NIGHT / "enrollments.csv"],
    )
    forger = Forger(book)
    entry = forger.entry(pl.col("service_id") == "waon", pl.col("kind") == "charge")
    forger.set(entry["place"], method="points")
    forger.write()
    assert dict(verify(book).findings.totals) == {"not_eligible": 1}
    path = book / "ledger" / entry["part"]
    greatest = pl.read_parquet(path)["method"].max()
    say(path, text(str(greatest)), text("a"))
    forger.forge()
    assert [finding.where for finding in verify(book).findings] == [f"ledger/{path.name}"]


@pytest.mark.parametrize(
    ("column", "old", "new"),
    [
        ("text", text("b"), text("c")),
        ("text", text("d"), text("c")),
        ("yen", struct.pack("<q", -7), struct.pack("<q", 0)),
        ("yen", struct.pack("<q", 300), struct.pack("<q", 299)),
        ("day", struct.pack("<i", 18506), struct.pack("<i", 18507)),
        ("at", struct.pack("<q", 2**63 - 1), struct.pack("<q", 10**15)),
    ],
)
def test_another_least_or_greatest_value_than_the_rows_have_is_found(
    tmp_path: Path, column: str, old: bytes, new: bytes
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(ROWS), path)
    say(path, old, new)
    assert f"column {column} is" in str(untrue_statistics(path))


def test_another_number_of_nulls_than_the_rows_have_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["b", None]}), path)
    # The third field is their number, doubled; the fifth, the greatest value, follows.
    say(path, b"\x36\x02\x28", b"\x36\x04\x28")
    assert "column text is" in str(untrue_statistics(path))


def test_a_file_of_another_writer_or_with_an_index_is_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table(ROWS), path, write_page_index=True)
    assert "column text is" in str(untrue_statistics(path))
    pl.DataFrame({"text": ["b"]}).write_parquet(path)
    assert untrue_statistics(path) == "another program than Arrow wrote the file"
    path.write_bytes(b"PAR1")
    assert untrue_statistics(path) == "not a Parquet file"


@pytest.mark.parametrize("options", [{}, {"write_statistics": False}, {"row_group_size": 1}])
def test_what_is_so_is_no_finding(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "rows.parquet"
    for rows in (pa.table(ROWS), pa.table(ROWS).slice(0, 0)):
        pq.write_table(rows, path, **options)
        assert untrue_statistics(path) is None

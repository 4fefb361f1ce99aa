"""Parquet files whose parts disagree: no row is lost, no byte is taken that was not hashed."""

import io
import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deliveries import Desk, sha256, transaction

from engine.errors import InputError
from engine.io.delivered import parquet_file
from engine.io.delivered.parquet_pages import ColumnChunk, DamagedPageError, uncompressed_bytes

NAMES = [*transaction(1)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def columns(rows: int, **changed: Any) -> dict[str, Any]:
    made = [transaction(number) for number in range(rows)]
    return {name: [row[name] for row in made] for name in NAMES} | changed


def write(path: Path, rows: int = 60, typed: bool = False, **options: Any) -> Path:
    """A delivery; typed so that it is read by the other of the two readers."""
    changed = {"amount": pa.array([100] * rows, pa.int32())} if typed else {}
    pq.write_table(pa.table(columns(rows, **changed)), path, **options)
    return path


def refused(desk: Desk, path: Path, why: str) -> None:
    with pytest.raises(InputError, match=why):
        desk.run(path)
    assert desk.holds_nothing()


# --- Counts ---------------------------------------------------------------------------------------


def with_footer(path: Path, old: bytes, new: bytes, place: int = -1) -> None:
    """Changes bytes of the footer; there may be several places that have them."""
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    footer = data[start:]
    pieces = footer.split(old)
    assert len(pieces) > 1
    cut = place if place >= 0 else len(pieces) + place
    footer = old.join(pieces[:cut]) + new + old.join(pieces[cut:])
    path.write_bytes(data[:start] + footer)


def test_a_footer_whose_rows_are_not_those_of_its_groups_is_refused(desk: Desk) -> None:
    path = write(desk.folder / "t.parquet")
    # Field 3 of FileMetaData: the number of rows, 60 as a zigzag integer.
    data = path.read_bytes()
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    at = data.index(b"\x16\x78", start)
    path.write_bytes(data[: at + 1] + b"\x00" + data[at + 2 :])
    assert pq.read_metadata(path).num_rows == 0
    refused(desk, path, "the footer says 0 rows, its row groups have 60")


@pytest.mark.parametrize("typed", [False, True])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("dictionary", [False, True])
def test_pages_of_every_kind_are_counted_and_read(
    desk: Desk, typed: bool, version: str, compression: str, dictionary: bool
) -> None:
    path = write(
        desk.folder / "t.parquet",
        typed=typed,
        data_page_version=version,
        compression=compression,
        use_dictionary=dictionary,
        data_page_size=64,
        row_group_size=25,
        write_page_checksum=True,
    )
    assert desk.run(path).record.counts.read == 60


def chunk_of(path: Path, column: int = 0) -> ColumnChunk:
    leaf = pq.read_metadata(path).row_group(0).column(column)
    starts = [place for place in (leaf.dictionary_page_offset, leaf.data_page_offset) if place]
    return ColumnChunk(min(starts), leaf.total_compressed_size, 60)


def test_a_group_that_says_fewer_or_more_rows_than_its_pages_have_is_refused(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "t.parquet")
    chunk = chunk_of(path)
    with io.FileIO(path) as file:
        assert uncompressed_bytes(file, chunk) > 0
        for rows in (0, 59, 61):
            other = ColumnChunk(chunk.start, chunk.compressed_bytes, rows)
            with pytest.raises(DamagedPageError, match="the pages have 60 rows"):
                uncompressed_bytes(file, other)
        for other in (
            ColumnChunk(chunk.start + 1, chunk.compressed_bytes, 60),
            ColumnChunk(chunk.start, chunk.compressed_bytes - 1, 60),
        ):
            with pytest.raises(DamagedPageError):
                uncompressed_bytes(file, other)


@pytest.mark.parametrize("typed", [False, True])
def test_a_changed_bit_of_a_page_with_a_checksum_is_found(desk: Desk, typed: bool) -> None:
    path = write(
        desk.folder / "t.parquet",
        typed=typed,
        compression="none",
        use_dictionary=False,
        write_page_checksum=True,
    )
    data = bytearray(path.read_bytes())
    data[data.index(b"T17")] ^= 1
    path.write_bytes(data)
    refused(desk, path, "a page does not have its checksum")


# --- The bytes that are hashed --------------------------------------------------------------------


@pytest.mark.parametrize("typed", [False, True])
def test_a_file_that_is_rewritten_in_place_after_it_was_read_is_refused(
    desk: Desk, typed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(desk.folder / "t.parquet", typed=typed, compression="none")
    part = parquet_file.RowGroup if typed else parquet_file._PlainRows
    read = part.read

    def read_then_rewrite(self: Any) -> Any:
        batch = read(self)
        status = path.stat()
        data = path.read_bytes()
        with path.open("r+b") as file:
            file.write(data.replace(b"T17", b"T71"))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert path.stat().st_mtime_ns == status.st_mtime_ns
        return batch

    monkeypatch.setattr(part, "read", read_then_rewrite)
    refused(desk, path, "changed while it was read")


@pytest.mark.parametrize("typed", [False, True])
def test_another_file_in_the_place_of_one_that_was_found_is_refused(
    desk: Desk, typed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(desk.folder / "t.parquet", typed=typed)
    shutil.copy(path, desk.folder / "other")
    part = parquet_file.RowGroup if typed else parquet_file._PlainRows
    read = part.read

    def swap_then_read(self: Any) -> Any:
        (desk.folder / "other").replace(path)
        return read(self)

    monkeypatch.setattr(part, "read", swap_then_read)
    refused(desk, path, "changed while it was read")


def test_a_tilde_is_the_home_folder_and_not_a_folder_that_is_called_so(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setenv("HOME", str(desk.folder / "home"))
    for folder, amount in (("./~/in", "100"), ("home/in", "9900")):
        Path(folder).mkdir(parents=True)
        table = pa.table(columns(1, amount=[amount], transaction_id=[amount]))
        pq.write_table(table, f"{folder}/t.parquet")
    record = desk.run("~/in/t.parquet").record
    assert desk.booked() == ["9900"]
    assert record.inputs[1].sha256 == sha256(Path("home/in/t.parquet").read_bytes())


# --- Small files that become large ----------------------------------------------------------------


def repeated(value: str, rows: int) -> pa.Array:
    indices = pa.array([0] * rows, pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array([value]))


@pytest.mark.parametrize("typed", [False, True])
def test_a_long_text_that_repeats_is_refused_before_it_is_unpacked(desk: Desk, typed: bool) -> None:
    rows = 20_000
    table = {name: repeated(value, rows) for name, value in transaction(1).items()}
    table["method"] = repeated("x" * (1 << 16), rows)
    table["amount"] = pa.array([1] * rows, pa.int32() if typed else pa.int64())
    path = desk.folder / "bomb.parquet"
    pq.write_table(pa.table(table), path, store_schema=False, row_group_size=rows)
    assert path.stat().st_size < 1 << 20
    refused(desk, path, "the texts of some rows come to more than 256 MiB")


def test_very_many_rows_in_a_small_file_are_refused(desk: Desk) -> None:
    rows = 8_000_000
    table = {name: repeated(value, rows) for name, value in transaction(1).items()}
    path = desk.folder / "bomb.parquet"
    pq.write_table(pa.table(table), path, store_schema=False, row_group_size=rows)
    refused(desk, path, "unpacks to more than 100 times its size")


def test_pages_that_become_very_large_together_are_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is beyond any bound by itself."""
    table = pa.table(columns(8, method=["m" * 500_000] * 8))
    path = desk.folder / "together.parquet"
    pq.write_table(table, path, compression="zstd", use_dictionary=False, row_group_size=1)
    monkeypatch.setattr(parquet_file, "MOST_EXPANSION", 1)
    refused(desk, path, "unpacks to more than 1 times its size")


def test_a_page_that_becomes_very_large_is_refused(desk: Desk) -> None:
    rows = 40
    text = "x" * (8 << 20)
    path = desk.folder / "bomb.parquet"
    table = pa.table(columns(rows, method=[text] * rows))
    pq.write_table(table, path, compression="zstd", use_dictionary=False, data_page_size=1 << 30)
    refused(desk, path, "a page unpacks to more than 256 MiB")

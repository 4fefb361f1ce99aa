"""Packed files are read as what is in them, in bounded memory; damage is named."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deliveries import Desk, as_csv, sha256, transaction

from engine.errors import InputError
from engine.io.delivered import byte_stream, packed
from engine.io.delivered.packed import bzip2_stream, xz_stream


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def zipped(data: bytes, *others: str, name: str = "t.csv") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
        for other in others:
            archive.writestr(other, data)
    return file.getvalue()


def parquet(data: bytes) -> bytes:
    file = io.BytesIO()
    pl.read_csv(data).write_parquet(file)
    return file.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "bz2": bz2.compress,
    "gz": gzip.compress,
    "xz": lzma.compress,
    "zst": zstd,
}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def rows(count: int) -> bytes:
    return as_csv(transaction(n, method=f"m{n * 7919 % 1000}") for n in range(count)).encode()


ARCHIVERS = PACKERS | {"zip": zipped}


@pytest.mark.parametrize("ending", ARCHIVERS)
def test_a_packed_file_is_read_as_what_is_in_it(desk: Desk, ending: str) -> None:
    content = ARCHIVERS[ending](rows(2000))
    path = desk.write(f"in/t.csv.{ending}", content)
    # By its folder, too: files of this kind are known there.
    record = desk.run(path.parent).record
    assert record.counts.booked == 2000
    # The record names what was delivered, not what was in it.
    assert record.inputs[-1].sha256 == sha256(content)


@pytest.mark.parametrize("ending", PACKERS)
def test_several_streams_one_after_the_other_are_one_file(desk: Desk, ending: str) -> None:
    data, pack = rows(50), PACKERS[ending]
    path = desk.write(f"t.csv.{ending}", pack(data[:700]) + pack(data[700:]))
    assert desk.run(path).record.counts.booked == 50


@pytest.mark.parametrize("ending", ARCHIVERS)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_file_is_refused_by_name(desk: Desk, ending: str, damage: str) -> None:
    data = ARCHIVERS[ending](rows(2000))
    middle = len(data) // 2
    bad = data[:middle] if damage == "cut" else data[:middle] + b"\0\0\0\0" + data[middle + 4 :]
    path = desk.write(f"t.csv.{ending}", bad)
    with pytest.raises(InputError, match=rf"t\.csv\.{ending}: .*cut short or damaged"):
        desk.run(path)
    assert desk.holds_nothing()


@pytest.mark.parametrize(
    ("ending", "damage"),
    [
        (ending, damage)
        for ending in PACKERS
        for damage in ("at its beginning", "within", "cut", "no stream")
        # Frames of zstd need not have a checksum, and these have none.
        if (ending, damage) != ("zst", "within")
    ],
)
def test_damage_to_a_later_stream_is_not_the_end_of_the_file(
    desk: Desk, ending: str, damage: str
) -> None:
    first, later = PACKERS[ending](rows(3)), bytearray(PACKERS[ending](rows(2000)))
    if damage == "cut":
        del later[-9:]
    elif damage == "no stream":
        later[:] = b"no stream of any kind"
    else:
        at = 1 if damage == "at its beginning" else len(later) // 2
        later[at : at + 4] = b"\xff\xff\xff\xff"
    path = desk.write(f"t.csv.{ending}", first + bytes(later))
    with pytest.raises(InputError, match="cut short or damaged"):
        desk.run(path)
    assert desk.holds_nothing()


@pytest.mark.parametrize("ending", ARCHIVERS)
def test_what_unpacks_to_far_more_than_it_is_is_refused(
    desk: Desk, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "MOST_EXPANSION", 1)
    path = desk.write(f"t.csv.{ending}", ARCHIVERS[ending](rows(1) + b"\n" * (2 << 20)))
    with pytest.raises(InputError, match="unpacks to more than"):
        desk.run(path)


def test_a_file_that_asks_for_very_much_memory_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed, "_MOST_MEMORY_BYTES", 1 << 20)
    path = desk.write("t.csv.xz", lzma.compress(rows(1), preset=6))
    with pytest.raises(InputError, match="damaged"):
        desk.run(path)


@pytest.mark.parametrize("ending", ["bz2", "xz"])
def test_padding_between_streams_is_passed_over(ending: str) -> None:
    pack, unpack = PACKERS[ending], {"bz2": bzip2_stream, "xz": xz_stream}[ending]
    stream = unpack(io.BytesIO(pack(b"one") + bytes(8) + pack(b"two") + bytes(4)))
    assert b"".join(iter(lambda: stream.read(2), b"")) == b"onetwo"


def test_folders_and_what_a_mac_adds_are_no_tables(desk: Desk) -> None:
    content = zipped(rows(20), "__MACOSX/._t.csv", "october/", name="october/t.csv")
    assert desk.run(desk.write("t.zip", content)).record.counts.booked == 20


def with_a_password(data: bytes) -> bytes:
    # The flag in the archive's directory, which is looked at first.
    at = data.index(b"PK\x01\x02") + 8
    return data[:at] + b"\x01" + data[at + 1 :]


def by_another_method(data: bytes) -> bytes:
    at = data.index(b"PK\x01\x02") + 10
    return data[:at] + b"\x5d" + data[at + 1 :]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (zipped(rows(3), "more.csv"), "with 2 files in it, not with one table"),
        (with_a_password(zipped(rows(3))), "with a password"),
        (by_another_method(zipped(rows(3))), "packed in a way that is not read"),
        (zipped(zipped(rows(3))), "packed once more"),
        (gzip.compress(zipped(rows(3))), "packed once more"),
        (zipped(parquet(rows(3))), "a Parquet file, packed once more"),
        (gzip.compress(parquet(rows(3))), "a Parquet file, packed once more"),
        (zipped(rows(3), *(f"{n:02000}" for n in range(600))), "its directory is too large"),
    ],
)
def test_an_archive_without_exactly_one_table_is_refused(
    desk: Desk, content: bytes, why: str
) -> None:
    with pytest.raises(InputError, match=why):
        desk.run(desk.write("t.zip", content))
    assert desk.holds_nothing()

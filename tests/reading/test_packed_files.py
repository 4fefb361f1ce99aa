"""Packed files are read as what is in them, in bounded memory; damage is named."""

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deliveries import Desk, as_csv, transaction

from engine.errors import InputError
from engine.io.delivered import byte_stream, packed
from engine.io.delivered.packed import bzip2_stream, xz_stream


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


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


@pytest.mark.parametrize("ending", PACKERS)
def test_a_packed_file_is_read_as_what_is_in_it(desk: Desk, ending: str) -> None:
    path = desk.write(f"in/t.csv.{ending}", PACKERS[ending](rows(2000)))
    # By its folder, too: files of this kind are known there.
    assert desk.run(path.parent).record.counts.booked == 2000


@pytest.mark.parametrize("ending", PACKERS)
def test_several_streams_one_after_the_other_are_one_file(desk: Desk, ending: str) -> None:
    data, pack = rows(50), PACKERS[ending]
    path = desk.write(f"t.csv.{ending}", pack(data[:700]) + pack(data[700:]))
    assert desk.run(path).record.counts.booked == 50


@pytest.mark.parametrize("ending", PACKERS)
@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_file_is_refused_by_name(desk: Desk, ending: str, damage: str) -> None:
    data = PACKERS[ending](rows(2000))
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


@pytest.mark.parametrize("ending", PACKERS)
def test_what_unpacks_to_far_more_than_it_is_is_refused(
    desk: Desk, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_stream, "MOST_EXPANSION", 1)
    path = desk.write(f"t.csv.{ending}", PACKERS[ending](rows(1) + b"\n" * (2 << 20)))
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

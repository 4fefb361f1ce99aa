"""bzip2 and xz are read as what is in them, in bounded memory; damage is named."""

import bz2
import io
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest
from deliveries import Desk, as_csv, transaction

from engine.errors import InputError
from engine.io.delivered import byte_stream, packed
from engine.io.delivered.packed import XzStream

PACKERS: dict[str, Callable[[bytes], bytes]] = {"bz2": bz2.compress, "xz": lzma.compress}


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


def test_padding_between_streams_is_passed_over() -> None:
    data = lzma.compress(b"one") + bytes(8) + lzma.compress(b"two") + bytes(4)
    stream = XzStream(io.BytesIO(data))
    assert b"".join(iter(lambda: stream.read(2), b"")) == b"onetwo"

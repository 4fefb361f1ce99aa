"""Arrays of the index: what they give is what was written, or they say that it is damaged."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.io.book.block_cache import BLOCK_BYTES, BlockCache
from engine.io.book.checked import (
    ArrayFile,
    ArrayWriter,
    CheckedArray,
    DamagedIndex,
    common_ranges,
    write_array,
)
from engine.io.book.segments import Segments, sorted_by_key

LEAST, MOST = 0, 2**64 - 1
PER_BLOCK = BLOCK_BYTES // 8
FACT = np.dtype([("content", "u8"), ("yen", "i4"), ("kind", "u1")])
SMALL_CACHE = 8 * BLOCK_BYTES


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few files may be open; and no time is lost with syncing the many that there are."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def keys(size: int, seed: int, spread: int = 400) -> np.ndarray:
    """Ascending keys, many of them the same, the least and the most there are among them."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, spread, size).astype(np.uint64) * np.uint64(MOST // spread)
    return np.sort(np.where(rng.random(size) < 0.01, np.uint64(MOST), drawn))


def facts(size: int) -> np.ndarray:
    rng = np.random.default_rng(size)
    rows = np.zeros(size, FACT)
    for name in rows.dtype.names or ():
        rows[name] = rng.integers(0, 200, size)
    return rows


@pytest.mark.parametrize("size", [0, 1, PER_BLOCK - 1, PER_BLOCK, PER_BLOCK + 1, 20 * PER_BLOCK])
def test_a_search_finds_what_a_search_in_memory_finds(tmp_path: Path, size: int) -> None:
    held = keys(size, size)
    array = CheckedArray(
        tmp_path, write_array(tmp_path / "keys", held), np.uint64, BlockCache(SMALL_CACHE)
    )
    ends = np.array([LEAST, MOST], np.uint64)
    wanted = np.sort(np.concatenate([held[::3], keys(500, 7, 10_000), ends]))
    starts, stops = array.ranges(wanted)
    assert starts.tolist() == np.searchsorted(held, wanted).tolist()
    assert stops.tolist() == np.searchsorted(held, wanted, "right").tolist()


@pytest.mark.parametrize("rows", [facts(3_000), keys(30_000, 1), np.arange(9_000, dtype=np.uint8)])
def test_rows_are_taken_as_from_an_array_in_memory(tmp_path: Path, rows: np.ndarray) -> None:
    with ArrayWriter(tmp_path / "rows", rows.dtype) as writer:
        for start in range(0, rows.size, 700):
            writer.append(rows[start : start + 700])
        file = writer.finish()
    array = CheckedArray(tmp_path, file, rows.dtype, BlockCache(SMALL_CACHE))
    rng = np.random.default_rng(3)
    for _ in range(20):
        places = rng.integers(0, rows.size, rng.integers(0, 900))
        assert (array.take(places) == rows[places]).all()
        cuts = np.unique(rng.integers(0, rows.size + 1, 2 * rng.integers(1, 30)))
        starts, stops = cuts[:-1:2], cuts[1::2]
        expected = [rows[start:stop] for start, stop in zip(starts, stops, strict=True)]
        assert (array.slices(starts, stops) == np.concatenate([rows[:0], *expected])).all()


def test_two_arrays_share_a_cache_that_is_too_small_for_either(tmp_path: Path) -> None:
    cache = BlockCache(SMALL_CACHE)
    held = [keys(20 * PER_BLOCK, seed, 1 << 40) for seed in (1, 2)]
    arrays = [
        CheckedArray(tmp_path, write_array(tmp_path / f"keys-{n}", held_keys), np.uint64, cache)
        for n, held_keys in enumerate(held)
    ]
    wanted = keys(2_000, 3, 1 << 40)
    for _ in range(3):
        for array, held_keys in zip(arrays, held, strict=True):
            assert (array.lower_bounds(wanted) == np.searchsorted(held_keys, wanted)).all()


def test_places_that_are_not_there_are_refused(tmp_path: Path) -> None:
    array = CheckedArray(tmp_path, write_array(tmp_path / "rows", facts(10)), FACT)
    for places in ([10], [-1]):
        with pytest.raises(IndexError):
            array.take(np.array(places))
    with pytest.raises(IndexError):
        array.slice(5, 11)


def test_ranges_of_several_arrays_part_no_key(tmp_path: Path) -> None:
    held = [keys(size, size, 3_000) for size in (9_000, 1, 0, 4_000)]
    arrays = [
        CheckedArray(tmp_path, write_array(tmp_path / f"keys-{n}", held_keys), np.uint64)
        for n, held_keys in enumerate(held)
    ]
    together = []
    for cuts in common_ranges(arrays, 2_000):
        parts = [array.slice(*cut) for array, cut in zip(arrays, cuts, strict=True)]
        together.append(np.sort(np.concatenate(parts)))
    assert len(together) > 3
    assert (np.concatenate(together) == np.sort(np.concatenate(held))).all()
    for before, after in pairwise(together):
        assert before[-1] < after[0]


def read_whole(folder: Path, file: ArrayFile, dtype: Any) -> None:
    array = CheckedArray(folder, file, dtype, BlockCache(SMALL_CACHE))
    array.slice(0, array.size)
    array.take(np.arange(array.size))


@pytest.mark.parametrize(("rows", "dtype"), [(facts(1_000), FACT), (keys(1_500, 1), np.uint64)])
def test_any_flipped_bit_is_found(tmp_path: Path, rows: np.ndarray, dtype: Any) -> None:
    path = tmp_path / "rows"
    file = write_array(path, rows)
    whole = path.read_bytes()
    read_whole(tmp_path, file, dtype)
    rng = np.random.default_rng(5)
    ends = range(8 * len(whole) - 8 * 48, 8 * len(whole), 5)
    for bit in [*rng.integers(0, 8 * len(whole), 300).tolist(), *ends]:
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(DamagedIndex, match="not what was written"):
            read_whole(tmp_path, file, dtype)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def cut_to_nothing(path: Path) -> None:
    path.write_bytes(b"")


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\0")


def made_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    "spoil", [cut_short, cut_to_nothing, lengthened, Path.unlink, made_a_folder]
)
def test_a_file_that_is_not_whole_is_found(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    file = write_array(tmp_path / "rows", facts(1_000))
    spoil(tmp_path / "rows")
    with pytest.raises(DamagedIndex, match="rows: it"):
        read_whole(tmp_path, file, FACT)


def test_a_file_that_was_cut_short_since_it_was_opened_is_found(tmp_path: Path) -> None:
    file = write_array(tmp_path / "rows", facts(1_000))
    array = CheckedArray(tmp_path, file, FACT)
    array.take(np.array([0]))
    cut_to_nothing(tmp_path / "rows")
    with pytest.raises(DamagedIndex, match="not as long"):
        array.take(np.array([999]))


def test_a_sector_that_cannot_be_read_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(*_: object) -> int:
        raise OSError(errno.EIO, "Input/output error")

    file = write_array(tmp_path / "rows", facts(1_000))
    monkeypatch.setattr(os, "preadv", unreadable)
    with pytest.raises(DamagedIndex, match="rows: it cannot be read: Input/output error"):
        read_whole(tmp_path, file, FACT)


def test_another_array_under_the_same_name_is_found(tmp_path: Path) -> None:
    file = write_array(tmp_path / "rows", facts(1_000))
    (tmp_path / "rows").unlink()
    write_array(tmp_path / "rows", facts(1_000)[::-1])
    with pytest.raises(DamagedIndex):
        read_whole(tmp_path, file, FACT)


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9) | st.just(MOST), max_size=12), max_size=12),
    st.lists(st.integers(0, 9) | st.just(MOST)),
)
def test_segments_find_all_values_of_a_key_in_the_order_of_their_coming(
    tmp_path_factory: pytest.TempPathFactory, nights: list[list[int]], wanted: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("segments")
    segments = Segments(folder, "keys")
    added: list[tuple[int, int]] = []
    for number, night in enumerate(nights):
        values = np.arange(len(night)) + len(added)
        segments = segments.added(f"{number}", [sorted_by_key(np.array(night, np.uint64), values)])
        added += zip(night, values.tolist(), strict=True)
    segments = Segments.open(folder, "keys", segments.listed)
    rows, values = segments.find_all(np.array(wanted, np.uint64))
    assert list(zip(rows.tolist(), values.tolist(), strict=True)) == [
        (row, value) for row, key in enumerate(wanted) for held, value in added if held == key
    ]
    assert segments.size == len(added)


@pytest.mark.usefixtures("few_files")
def test_there_may_be_more_nights_than_open_files(tmp_path: Path) -> None:
    segments = Segments(tmp_path, "keys")
    arrays = []
    for night in range(1_500):
        number = np.array([night], np.uint64)
        segments = segments.added(f"{night:06}", [(number, np.array([night]))])
        written = write_array(tmp_path / f"night-{night}", number)
        arrays.append(CheckedArray(tmp_path, written, np.uint64))
    assert [int(array.take(np.array([0]))[0]) for array in arrays] == list(range(1_500))
    assert segments.find_all(np.arange(1_500, dtype=np.uint64))[1].tolist() == list(range(1_500))
    assert len(segments.files) < 40

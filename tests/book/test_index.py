"""The book's index: a damaged one is noticed and made anew, and no award comes of it."""

import errno
import json
import os
import random
import re
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import pytest
import worlds
from against_the_oracle import DeliveredAs, run_engine
from deliveries import Desk, bodies, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.booking.index_spaces import BookPositions
from engine.booking.state import FACT, RUN_SHIFT, Months, summed
from engine.errors import BookError
from engine.io.book import facts as facts_module
from engine.io.book import index
from engine.io.book.facts import FactFiles, FactWriter
from engine.io.book.folder import Book
from engine.io.book.index import find_bookings
from engine.io.book.index_files import IndexFiles
from engine.io.book.indexing import with_run
from engine.io.book.log import Log
from engine.io.book.manifest import MANIFEST, read_manifest, write_manifest

MADE_ANEW = "the index is made anew from the ledger"


WORLDS = 3


@pytest.fixture(autouse=True, scope="module")
def without_syncs() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


class LastNight:
    """The last night of a random world, on a book with all the nights before it."""

    def __init__(self, world: worlds.World, folder: Path, place: int = 0) -> None:
        self.world, self.folder, self.place = world, folder, place
        self.before, self.book = folder / "before", folder / "book"
        last = len(world.nights) - 1
        for number in range(last):
            run_engine(self.before, DeliveredAs(world, number, folder))
        self.delivery = DeliveredAs(world, last, folder)
        self.begin()
        self.expected = self.booked()
        self.index_after = bodies(self.index)

    @property
    def index(self) -> Path:
        return self.book / "index"

    def begin(self) -> None:
        shutil.rmtree(self.book, ignore_errors=True)
        shutil.copytree(self.before, self.book)

    def booked(self) -> dict[str, Any]:
        """Books the night; all that the run left."""
        run_engine(self.book, self.delivery, threads=2)
        left: dict[str, Any] = dict(bodies(self.book, without=["index/", ".lock", "ledger/_delta"]))
        name = f"runs/{len(self.world.nights):06}/record.json"
        left[name] = json.loads(left[name]) | {"ran": None}
        return left


@pytest.fixture(scope="module", params=range(WORLDS))
def last_night(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LastNight:
    """One that asks the index for people, for rows that wait, and for what months counted."""
    rng = random.Random(request.param)
    while True:
        seed = rng.randrange(1_000_000)
        world = worlds.make(seed, corrected=True)
        nights = list(worlds.booked_by_the_oracle(world))
        if len(nights) > 3 and len(nights[-1].ledger) > 5 and nights[-1].accepted_events:
            return LastNight(world, tmp_path_factory.mktemp(f"{seed}"), request.param)


def damaged_bits(data: bytes, rng: random.Random, times: int) -> Iterator[bytes]:
    for time in range(times if data else 0):
        # Much of a small file only fills up its last block.
        bit = rng.randrange(8 * (len(data) if time % 2 else min(256, len(data))))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        yield bytes(damaged)


@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_a_flipped_bit_in_any_file_of_the_index_changes_nothing_that_is_booked(
    last_night: LastNight, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(times)
    noticed = unnoticed = 0
    files = sorted((last_night.before / "index").iterdir())
    # One bit a file: each file in one of the worlds.
    for path in files[last_night.place :: WORLDS] if times == 1 else files:
        for damaged in damaged_bits(path.read_bytes(), rng, times):
            last_night.begin()
            (last_night.index / path.name).write_bytes(damaged)
            caplog.clear()
            assert last_night.booked() == last_night.expected
            warnings = [record.getMessage() for record in caplog.records]
            assert len(warnings) <= 1
            if warnings:
                assert warnings[0].endswith(MADE_ANEW)
                noticed += 1
            else:
                unnoticed += 1
    # What a run does not read, it does not check.
    assert noticed > unnoticed


def _removed(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


HARMS: Final = (_removed, _cut, _empty, _a_folder)


def test_an_index_with_a_file_that_is_not_whole_is_made_anew_and_the_run_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    last_night = LastNight(worlds.make(23), tmp_path)
    by_kind = {re.sub(r"\d+", "", name): name for name in bodies(last_night.before / "index")}
    names = sorted({*by_kind.values()} - {MANIFEST})
    assert len(names) > 8
    harmed = [(MANIFEST, harm) for harm in HARMS]
    # A file of each kind is cut or removed; what is empty is short, and a folder is not a file.
    harmed += [(name, HARMS[place % 2]) for place, name in enumerate(names)]
    harmed += [(name, HARMS[2 + place % 2]) for place, name in enumerate(names[::4])]
    for name, harm in harmed:
        last_night.begin()
        path = last_night.index / name
        # Of nothing there is nothing to cut.
        (harm if path.stat().st_size else _removed)(path)
        caplog.clear()
        assert last_night.booked() == last_night.expected
        # Without a manifest there is no index.
        is_gone = name == MANIFEST and harm is _removed
        assert [MADE_ANEW in record.getMessage() for record in caplog.records] == (
            [] if is_gone else [True]
        )
        assert bodies(last_night.index) == last_night.index_after


def path_of(descriptor: int) -> str:
    return str(Path(f"/proc/self/fd/{descriptor}").readlink())


def test_a_file_of_the_index_that_cannot_be_read_ends_no_run(
    last_night: LastNight, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read, asked = os.preadv, 0
    index = str(last_night.index.resolve())

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        nonlocal asked
        asked += path_of(descriptor).startswith(index)
        if asked == 4**last_night.place:
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, buffers, offset)

    last_night.begin()
    monkeypatch.setattr(os, "preadv", failing)
    assert last_night.booked() == last_night.expected
    assert [record.getMessage().endswith(MADE_ANEW) for record in caplog.records] == [True]
    assert "it cannot be read: Input/output error" in caplog.text


def test_a_disk_that_gives_back_nothing_whole_ends_the_run_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path)
    for number in (1, 2):
        desk.run(desk.transactions([transaction(number)]))
    before = bodies(desk.book, without=["index/"])

    read, index = os.preadv, str((desk.book / "index").resolve())

    def failing(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if path_of(descriptor).startswith(index):
            raise OSError(errno.EIO, "Input/output error")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", failing)
    with pytest.raises(BookError, match=r"cannot be read.*only just made") as caught:
        desk.run(desk.transactions([transaction(1)]))
    assert caught.value.hint == "check the disk; nothing was booked"
    assert bodies(desk.book, without=["index/"]) == before


def test_an_index_of_an_older_format_is_made_anew_without_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk(tmp_path)
    for number in (1, 2):
        desk.run(desk.transactions([transaction(number)]))
    index = desk.book / "index"
    manifest = read_manifest(index)
    assert manifest is not None
    write_manifest(index, manifest | {"format": manifest["format"] - 1, "keys": "otherwise"})
    old = desk.book / "memory"
    old.mkdir()
    (old / "facts-000001.npy").write_bytes(b"of the first format")
    again = desk.run(desk.transactions([transaction(1), transaction(3)]))
    assert again.record.counts.declined == {"duplicate": 1}
    assert not old.exists()
    assert not caplog.records
    made = read_manifest(index)
    assert made is not None
    assert (made["format"], made["runs"]) == (manifest["format"], 2)


def test_an_index_of_another_book_is_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own, other = Desk(tmp_path / "one"), Desk(tmp_path / "other")
    for desk, first in ((own, 1), (other, 11)):
        for number in range(first, first + 3):
            desk.run(desk.transactions([transaction(number)]))
    shutil.rmtree(own.book / "index")
    shutil.copytree(other.book / "index", own.book / "index")
    again = own.run(own.transactions([transaction(1), transaction(11)]))
    assert again.record.counts.declined == {"duplicate": 1}
    assert [MADE_ANEW in record.getMessage() for record in caplog.records] == [True]


def test_a_night_reads_records_and_commits_of_long_ago_only_where_they_were_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, read = Desk(tmp_path), []
    for of, name in ((Log, "read"), (Book, "_record_bytes")):
        bytes_of = getattr(of, name)

        def noted(place: Any, number: int, bytes_of: Any = bytes_of) -> bytes:
            read.append(number)
            data: bytes = bytes_of(place, number)
            return data

        monkeypatch.setattr(of, name, noted)
    for number in range(1, 6):
        desk.run(desk.transactions([transaction(number)]))
    read.clear()
    desk.run(desk.transactions([transaction(6)]))
    # The first commit has the table's columns.
    assert {*read} == {1, 4, 5}
    os.utime(desk.book / "runs" / "000002" / "record.json")
    read.clear()
    desk.run(desk.transactions([transaction(7)]))
    assert {*read} == {1, 2, 3, 4, 5, 6}
    read.clear()
    # The night before looked at them all, and nobody touched them since.
    assert desk.run(desk.transactions([transaction(1)])).already_booked
    assert {*read} == {1, 6, 7}


def test_a_damaged_index_says_nothing_of_where_an_entry_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    for number in (1, 2):
        desk.run(desk.transactions([transaction(number)]))
    book = Book(desk.book)
    assert find_bookings(book, 2, "coin", "T1") == ([(1, 0)], 1)
    index = desk.book / "index"
    for path in (*index.glob("keys-*-values.array"), *index.glob("facts-*"), index / MANIFEST):
        sound = path.read_bytes()
        path.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
        assert find_bookings(book, 2, "coin", "T1") == ([], 0)
        path.write_bytes(sound)


@pytest.mark.slow
def test_a_book_of_more_runs_than_open_files_goes_on(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, limits[1]))
    try:
        for number in range(1, 1_101):
            desk.run(desk.transactions([transaction(number, amount="1")]))
        again = desk.run(desk.transactions([transaction(n, amount="1") for n in range(1, 1_102)]))
        assert again.record.counts.declined == {"duplicate": 1_100}
        assert len(list((desk.book / "index").iterdir())) < 60
        shutil.rmtree(desk.book / "index")
        refund = {"kind": "refund", "amount": "1", "original_transaction_id": "T7"}
        desk.run(desk.transactions([transaction(2_000, **refund)]))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert len(desk.booked()) == 1_102
    assert desk.ledger()["points_after"][-1] == 1_100 // 4


def test_an_index_that_is_made_anew_takes_no_more_room_on_its_way(
    six_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Book(shutil.copytree(six_nights, tmp_path / "book"))
    shutil.rmtree(book.index)
    unneeded: list[set[str]] = []

    def watched(book: Book, before: IndexFiles) -> IndexFiles:
        unneeded.append({file.name for file in book.index.iterdir()} - {*before.files})
        return with_run(book, before)

    monkeypatch.setattr(index, "with_run", watched)
    index.recall(book, 6)
    assert unneeded == [set()] * 6


@settings(deadline=None)
@given(st.lists(st.integers(0, 9), max_size=40))
def test_the_facts_of_many_runs_stand_in_few_files_and_at_their_places(
    tmp_path_factory: pytest.TempPathFactory, entries_by_run: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("facts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts_module, "_FULL_ROWS", 12)
        files, done = FactFiles(folder), 0
        for run, entries in enumerate(entries_by_run, 1):
            rows = np.zeros(entries, FACT)
            rows["occurred_at"] = done + np.arange(entries)
            done += entries
            fresh = FactWriter(folder, f"{run}")
            fresh.append(rows)
            files = files.added(f"{run}", fresh.finish())
    assert len(files.files) <= 2 * (done // 12) + 6
    facts = FactFiles.open(folder, json.loads(json.dumps(files.listed))).facts
    positions = [
        (run << RUN_SHIFT) + place
        for run, entries in enumerate(entries_by_run, 1)
        for place in range(entries)
    ]
    asked = np.random.default_rng(done).permutation(done)
    found = facts.take(cast(BookPositions, np.array(positions, np.int64)[asked]))
    assert found["occurred_at"].tolist() == asked.tolist()


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(-(2**40), 2**40)), max_size=9)),
)
def test_sums_by_key_are_those_of_a_dictionary(added: list[list[tuple[int, int]]]) -> None:
    sums = Months(np.empty(0, np.int64), np.empty(0, np.int64))
    expected: dict[int, int] = {}
    for pairs in added:
        keys, more = (np.array([pair[n] for pair in pairs], np.int64) for n in (0, 1))
        sums = Months(*summed(*sums, keys, more))
        for key, value in pairs:
            expected[key] = expected.get(key, 0) + value
    assert dict(zip(sums.keys.tolist(), sums.yen.tolist(), strict=True)) == expected
    assert sums.keys.tolist() == sorted(expected)


def test_a_run_that_begins_anew_reads_its_files_from_the_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing that the first attempt counted is counted again."""
    desk = Desk(tmp_path)
    for number in (1, 2):
        desk.run(desk.transactions([transaction(number)]))
    for path in (desk.book / "index").glob("keys-*"):
        sound = path.read_bytes()
        path.write_bytes(bytes([sound[0] ^ 1]) + sound[1:])
    rows = [transaction(1), transaction(3), transaction(4, account_id="A7")]
    rows.append(transaction(5, amount="?"))
    result = desk.run(desk.transactions(rows))
    assert [MADE_ANEW in record.getMessage() for record in caplog.records] == [True]
    counts = result.record.counts
    assert (counts.read, counts.booked, counts.quarantined) == (4, 1, 1)
    assert counts.declined == {"duplicate": 1, "not_enrolled": 1}
    assert [(file.role, file.rows) for file in result.record.inputs] == [
        ("enrollments", 1),
        ("transactions", 4),
    ]


def test_what_is_kept_of_corrections_is_written_again_only_where_there_are_new_ones(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    header = "event_id,kind,authority,service_id,transaction_id"
    names = []
    for number in range(1, 7):
        events = []
        if number in (2, 4):
            row = f"V{number},transaction_voided,clerk,coin,T{number - 1}"
            events = [desk.write(f"events-{number}.csv", f"{header}\n{row}\n")]
        desk.run(desk.transactions([transaction(number)]), events=events)
        names += [file.name for file in (desk.book / "index").glob("corrections-*.json")]
    # By the run that changed it; the index covers all but the last night.
    assert names == [f"corrections-{run:06}.json" for run in (0, 2, 2, 4, 4)]

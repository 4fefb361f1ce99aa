"""Whatever fails, and whenever: the book holds the run or it does not, and running again mends it.

Each file operation of a run is made to fail, the first, then the second, and so on until the run
gets through.
"""

import errno
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import small_nights
from small_nights import Held, Night, deliver, digests, ledger_of, same_ledger

import mynapoint
from engine.io import durable
from engine.io.book.folder import Book

GROWING = ("make folder", "create", "write", "allocate", "commit")
COMMITTED = ("ledger/", "runs/")


class Death(BaseException):
    """The end of a process, as far as its files can tell."""


class Fault:
    """Fails one operation: the first of a run that has not failed yet, or each n-th of them."""

    every = 1

    def __init__(self, failed: set[str]) -> None:
        self.failed, self.struck = failed, ""
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def counts(self, _kind: str) -> bool:
        return True

    def strikes(self, kind: str, path: Path) -> bool:
        """Notes an operation; whether it is the one to fail."""
        with self._lock:
            if self.struck or not self.counts(kind):
                return False
            self._seen[f"{kind} {path}"] += 1
            operation = f"{kind} {path} {self._seen[f'{kind} {path}']}"
            if operation in self.failed:
                return False
            self.failed.add(operation)
            if len(self.failed) % self.every:
                return False
            self.struck = operation
            return True

    def before(self, kind: str, path: Path) -> None:
        raise NotImplementedError

    @contextmanager
    def at_work(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch:
            patch.setattr(durable, "before_operation", self.before)
            yield


class DiskError(Fault):
    """One operation fails; what comes after it goes well."""

    def before(self, kind: str, path: Path) -> None:
        if self.strikes(kind, path):
            raise OSError(errno.EIO, "Input/output error", str(path))


class FullDisk(Fault):
    """From then on nothing can be made or written; what is there can still be removed."""

    # Where one write fails, and no other, every operation is tried.
    every = 2

    def counts(self, kind: str) -> bool:
        return kind in GROWING

    def before(self, kind: str, path: Path) -> None:
        if self.strikes(kind, path) or (self.struck and kind in GROWING):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))


class ShortWrite(Fault):
    """Half of the bytes are written, then the disk is full."""

    def counts(self, kind: str) -> bool:
        return kind == "write"

    def before(self, kind: str, path: Path) -> None:
        if self.strikes(kind, path):
            self.thread = threading.get_ident()

    @contextmanager
    def at_work(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        halves: list[int] = []
        whole = durable.write_some

        def half(descriptor: int, data: memoryview) -> int:
            struck_here = self.struck and threading.get_ident() == self.thread and len(halves) < 2
            if not struck_here:
                return whole(descriptor, data)
            halves.append(len(data) // 2)
            if len(halves) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return whole(descriptor, data[: halves[0]])

        with super().at_work(monkeypatch), monkeypatch.context() as patch:
            patch.setattr(durable, "write_some", half)
            yield


class Killed(Fault):
    """The process does nothing from then on, so that nothing is cleared up."""

    def before(self, kind: str, path: Path) -> None:
        if self.strikes(kind, path) or self.struck:
            raise Death(self.struck)


class Story:
    """A night to be booked on a book, and what the book must hold before and after.

    Several tests share it, and each of them takes a copy of the book.
    """

    def __init__(self, start: Path, night: Night, folder: Path) -> None:
        self.start, self.night, self.folder = start, night, folder
        self.before = ledger_of(start)
        clean = self.copy("clean")
        night.book(clean)
        self.after = Held.of(clean)
        assert self.after.runs == night.number
        self.indexes = {night.number - 1: digests(clean, "index")}
        assert night.book(clean).already_booked
        self.indexes[night.number] = digests(clean, "index")

    def copy(self, name: str) -> Path:
        book = self.folder / name
        shutil.rmtree(book, ignore_errors=True)
        if self.start.exists():
            shutil.copytree(self.start, book)
        return book

    def is_booked(self, book: Path) -> bool:
        """Whether readers see the ledger after the night; else it must be the one before."""
        seen = ledger_of(book)
        if same_ledger(seen, self.after.ledger):
            return True
        assert same_ledger(seen, self.before)
        return False

    def check_whole(self, book: Path, *, booked_by: int) -> None:
        """The book is, byte for byte, as if nothing had ever failed."""
        found = digests(book)
        index = {name: found.pop(name) for name in list(found) if name.startswith("index/")}
        wanted = {
            name: digest
            for name, digest in self.after.files.items()
            if not name.startswith("index/")
        }
        assert found == wanted
        assert index == self.indexes[booked_by]
        assert not (book / "staging").exists()
        assert same_ledger(ledger_of(book), self.after.ledger)

    def run_again(self, book: Path) -> bool:
        """Books the night after a fault; recognised if it was booked, booked if it was not.

        Gives whether it was.
        """
        was_booked = self.is_booked(book)
        again = self.night.book(book)
        assert again.already_booked == was_booked
        self.check_whole(book, booked_by=self.night.number - (not was_booked))
        return was_booked


@pytest.fixture(scope="module")
def first_night(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("first-night")
    return Story(folder / "none", deliver(folder, 1), folder)


@pytest.fixture(scope="module")
def second_night(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("second-night")
    start = folder / "start"
    deliver(folder, 1).book(start)
    return Story(start, deliver(folder, 2), folder)


@pytest.fixture(scope="module")
def upon_a_wreck(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The third night, once killed before its commit, on a book whose index was damaged."""
    folder = tmp_path_factory.mktemp("upon-a-wreck")
    start = folder / "start"
    for number in (1, 2):
        deliver(folder, number).book(start)
    story = Story(start, deliver(folder, 3), folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "before_operation", _die_at("commit"))
        with pytest.raises(Death):
            story.night.book(start)
    part = start / "ledger" / "000003-00000.parquet"
    assert (start / "runs" / "000003" / "record.json").exists()
    # As if that run had had more to book than this one has.
    shutil.copy(part, part.with_name("000003-00007.parquet"))
    _cut_in_half(start / "index" / "facts-000001.array")
    _half_a_commit(start, 3)
    return story


STORIES = ("first_night", "second_night", "upon_a_wreck")


def _die_at(wanted: str) -> Callable[[str, Path], None]:
    dead: list[str] = []

    def before(kind: str, _path: Path) -> None:
        if kind == wanted or dead:
            dead.append(kind)
            raise Death(kind)

    return before


def _cut_in_half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def tree(book: Path) -> dict[str, str]:
    """All there is on the disk, empty folders too."""
    folders = [path for path in book.rglob("*") if path.is_dir()]
    return digests(book) | {str(path.relative_to(book)): "" for path in folders}


def to_be_mended(book: Path, *, with_staged: bool = True) -> tuple[tuple[str, str], ...]:
    """What a mending run meets, to compare: of two books that are the same it makes the same.

    All that is staged is taken away, whatever it is: a sample of that is enough.
    """
    return tuple(
        (name, digest)
        for name, digest in sorted(tree(book).items())
        if with_staged or not name.startswith("staging/")
    )


def _half_a_commit(book: Path, number: int) -> None:
    """What delta-rs leaves when it dies while it writes a commit."""
    path = Book(book).commit_file(number)
    path.with_name(f"{path.name}#1").write_text('{"commitInfo"')


def test_a_run_killed_at_any_operation_is_mended_by_the_next(
    second_night: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_every_operation(second_night, monkeypatch, at_least=90)


def test_a_first_run_killed_at_any_operation_is_mended_by_the_next(
    first_night: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at_every_operation(first_night, monkeypatch, at_least=65)


def killed_at_every_operation(
    story: Story, monkeypatch: pytest.MonkeyPatch, *, at_least: int
) -> None:
    """What a kill leaves is what is there just before an operation: a run is copied at each."""
    book, wrecks = story.copy("book"), story.folder / "wrecks"
    shutil.rmtree(wrecks, ignore_errors=True)
    operations = 0

    def before(_kind: str, _path: Path) -> None:
        nonlocal operations
        operations += 1
        if book.exists():
            shutil.copytree(book, wrecks / f"{operations:04}")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "before_operation", before)
        story.night.book(book)
    assert operations >= at_least
    outcomes, mended = list[bool](), set[object]()
    for number, wreck in enumerate(sorted(wrecks.iterdir())):
        state = to_be_mended(wreck, with_staged=number % 4 == 0)
        if state not in mended:
            mended.add(state)
            outcomes.append(story.run_again(wreck))
    # One act makes the run part of the book: what was killed before it is not, what after is.
    assert outcomes == sorted(outcomes)
    assert {False, True} == set(outcomes)


@pytest.mark.parametrize("name", STORIES)
def test_what_an_act_makes_visible_is_on_the_disk_before_it(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit, and the manifest of the index: all that they name is synced, names included."""
    story: Story = request.getfixturevalue(name)
    book = story.copy("book")
    staging, parts = book / "staging", book / "staging" / "ledger"
    index, manifest = book / "index", book / "index" / "manifest.json"
    commit = Book(book).commit_file(story.night.number)
    disk, unsynced, believed = Unsynced(), dict[Path, set[Path]](), []

    def before(kind: str, path: Path) -> None:
        if kind == "commit" or path == manifest:
            names = {name for name in disk.entries if name.parent != parts}
            unsynced[path] = disk.contents | names
        if path == index / "facts-000001.array" and kind == "create":
            believed.append(manifest.exists())
        disk.before(kind, path)

    with monkeypatch.context() as patch:
        patch.setattr(durable, "before_operation", before)
        story.night.book(book)
    of_the_run = {
        path
        for path in unsynced[commit]
        if path in (book, book / "ledger", book / "runs", staging / "run")
        or {book / "ledger", book / "runs", staging / "run", parts} & set(path.parents)
    }
    assert of_the_run == set()
    assert not [path for path in disk.contents | disk.entries if staging not in path.parents]
    if story.night.number > 1:
        of_index = {path for path in unsynced[manifest] if index in path.parents}
        assert of_index == {index / "manifest.new"}  # only its name, which is about to change
        # An index that is made anew is not believed while it is half made.
        assert believed == [False]


class Unsynced:
    """The files whose contents, and the names that, would suffer from a power cut."""

    def __init__(self) -> None:
        self.contents: set[Path] = set()
        self.entries: set[Path] = set()

    def before(self, kind: str, path: Path) -> None:
        if kind == "sync":
            self.contents.discard(path)
            self.entries -= {entry for entry in self.entries if entry.parent == path}
        elif kind in ("create", "make folder", "rename", "committed"):
            self.entries.add(path)
            if kind in ("create", "committed"):
                self.contents.add(path)
        elif kind in ("write", "allocate"):
            self.contents.add(path)
        elif kind == "remove":
            self.contents.discard(path)
            self.entries.discard(path)


# A night upon a wreck does all that a later night does; a first night makes the folders.
@pytest.mark.parametrize(
    ("name", "fault_kind"),
    [
        ("first_night", DiskError),
        ("upon_a_wreck", DiskError),
        ("upon_a_wreck", FullDisk),
        ("upon_a_wreck", ShortWrite),
    ],
)
def test_a_run_that_fails_again_and_again_loses_nothing(
    name: str,
    fault_kind: type[Fault],
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each attempt begins on what the one before left, and fails one operation later."""
    story: Story = request.getfixturevalue(name)
    book = story.copy("book")
    expected = story.after.files.keys() | digests(book).keys()
    failed: set[str] = set()
    is_booked = story.is_booked(book)
    while True:
        fault, was_booked = fault_kind(failed), is_booked
        with fault.at_work(monkeypatch):
            outcome = attempt(story.night, book)
        is_booked = story.is_booked(book)
        if isinstance(outcome, mynapoint.BookError):
            denied = "nothing was booked" in outcome.hint
            # Nothing of the book has to be restored: the disk has failed, and the message says
            # what is booked.
            assert outcome.code == "disk", outcome
            assert is_booked == (was_booked or not denied), fault.struck
        else:
            assert outcome.already_booked == was_booked
            if not fault.struck:
                break
        assert fault.struck
        if not is_booked and not fault.struck.startswith("remove"):
            left = {name for name in digests(book) if name.startswith(COMMITTED)}
            assert left <= expected
    assert len(failed) >= (15 if fault_kind is ShortWrite else 35)
    assert story.is_booked(book)
    story.night.book(book)
    story.check_whole(book, booked_by=story.night.number)


def attempt(night: Night, book: Path) -> mynapoint.RunResult | mynapoint.BookError:
    try:
        return night.book(book)
    except mynapoint.BookError as error:
        return error


def test_a_disk_that_gives_back_other_bytes_is_noticed_at_every_write(
    second_night: Story, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """But for the index, which is checked when it is read: see test_index."""
    whole = durable.write_some
    denials, mended = list[bool](), set[object]()
    count = 0
    for at in range(1, 1000):
        book = second_night.copy("book")
        count = 0

        def flipped(descriptor: int, data: memoryview, wanted: int = at, book: Path = book) -> int:
            nonlocal count
            if Path(f"/proc/self/fd/{descriptor}").readlink().parent == book / "index":
                return whole(descriptor, data)
            count += 1
            if count != wanted:
                return whole(descriptor, data)
            changed = bytearray(data)
            changed[len(changed) // 2] ^= 1
            return whole(descriptor, memoryview(changed))

        with monkeypatch.context() as patch:
            patch.setattr(durable, "write_some", flipped)
            outcome = attempt(second_night.night, book)
        if count < at:
            break
        denied = isinstance(outcome, mynapoint.BookError)
        if isinstance(outcome, mynapoint.BookError):
            assert "nothing was booked" in outcome.hint
        else:
            assert "could not be noted" in caplog.text, f"nobody saw that write {at} was changed"
        denials.append(denied)
        assert second_night.is_booked(book) != denied
        if to_be_mended(book) not in mended:
            mended.add(to_be_mended(book))
            assert second_night.run_again(book) != denied
    # Only the acknowledgement is written after the commit.
    assert denials == [True] * (len(denials) - 1) + [False]
    assert len(denials) > 15


@pytest.mark.parametrize("at", ["1", "49", "commit", "committed"])
def test_sigkill(second_night: Story, at: str) -> None:
    book = second_night.copy("book")
    program = f"""
import os, pathlib, signal, sys
sys.path.insert(0, {str(Path(small_nights.__file__).parent)!r})
from small_nights import Night
from engine.io import durable
seen = 0
def before(kind, path):
    global seen
    seen += 1
    if {at!r} in (kind, str(seen)):
        os.kill(os.getpid(), signal.SIGKILL)
durable.before_operation = before
Night(pathlib.Path({str(second_night.night.folder)!r}), 2).book(pathlib.Path({str(book)!r}))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert second_night.run_again(book) == (at == "committed")


@pytest.mark.parametrize("name", ["first_night", "second_night"])
def test_a_commit_torn_by_a_power_cut_is_cleared_and_booked_again(
    name: str, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    story: Story = request.getfixturevalue(name)
    booked = story.copy("booked")
    story.night.book(booked)
    whole = Book(booked).commit_file(story.night.number).read_bytes()
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")]
    cuts = [whole[:at] for at in (0, *ends[1:-1], len(whole) // 2, len(whole) - 1)]
    for torn in [*cuts, bytes(len(whole)), whole[:100] + bytes(len(whole) - 100)]:
        book = story.copy("book")
        shutil.copytree(booked, book, dirs_exist_ok=True)
        Book(book).acknowledgement.write_text(f"{story.night.number - 1}\n")
        Book(book).commit_file(story.night.number).write_bytes(torn)
        caplog.clear()
        result = story.night.book(book)
        assert not result.already_booked
        assert "cut short by a crash" in caplog.text
        story.check_whole(book, booked_by=story.night.number - 1)


def test_a_commit_that_was_acknowledged_and_cannot_be_read_is_damage(
    second_night: Story, tmp_path: Path
) -> None:
    book = second_night.copy("book")
    second_night.night.book(book)
    whole = Book(book).commit_file(2).read_bytes()
    third = deliver(tmp_path, 3)
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b'"add"', b'"ad}')):
        Book(book).commit_file(2).write_bytes(damaged)
        refused_and_unchanged(book, third)


@pytest.fixture(scope="module")
def four_nights(second_night: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book whose index sums up the first runs; only to copy."""
    folder = tmp_path_factory.mktemp("four-nights")
    book = Path(shutil.copytree(second_night.start, folder / "book"))
    second_night.night.book(book)
    for number in (3, 4):
        deliver(folder, number).book(book)
    return book


@pytest.mark.parametrize("lost", ["all", "half", "all but its first line", "its files"])
def test_a_damaged_earlier_commit_is_damage(four_nights: Path, tmp_path: Path, lost: str) -> None:
    book = Path(shutil.copytree(four_nights, tmp_path / "book"))
    commit = Book(book).commit_file(1)
    whole = commit.read_bytes()
    lines = whole.split(b"\n")
    left = {
        "all": b"",
        "half": whole[: len(whole) // 2],
        "all but its first line": lines[0],
        "its files": b"\n".join(line for line in lines if not line.startswith(b'{"add"')),
    }
    assert left[lost] != whole
    commit.write_bytes(left[lost])
    refused_and_unchanged(book, deliver(tmp_path, 5))


def test_a_record_cut_short_is_damage_also_where_the_index_sums_it_up(
    four_nights: Path, tmp_path: Path
) -> None:
    book = Path(shutil.copytree(four_nights, tmp_path / "book"))
    record = book / "runs" / "000002" / "record.json"
    record.write_bytes(record.read_bytes()[:200])
    refused_and_unchanged(book, deliver(tmp_path, 5))


@pytest.mark.parametrize("info", [{"operation": "OPTIMIZE"}, {"run_id": "000001"}])
def test_a_commit_that_no_run_made_is_left_alone(second_night: Story, info: dict[str, str]) -> None:
    book = second_night.copy("book")
    Book(book).commit_file(2).write_text(json.dumps({"commitInfo": info}) + "\n")
    refused_and_unchanged(book, second_night.night)


def refused_and_unchanged(book: Path, night: Night) -> None:
    before = digests(book)
    with pytest.raises(mynapoint.BookError) as caught:
        night.book(book)
    assert "nothing was booked" in caught.value.hint
    assert digests(book) == before

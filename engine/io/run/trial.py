"""A dry run: all that a run does up to its commit, beside the book and not in it.

It reads the book at the version that is there when it begins, takes no lock, and changes nothing in
the book's folder: what a run writes on its way, the index brought up to date among it, is in a
folder of the system's, which is removed.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import BookError
from engine.io.book.folder import Book
from engine.io.book.index import clear_index
from engine.io.book.writing import check_place
from engine.io.durable import make_folder, remove_folder
from engine.io.result_folders import check_folder, whole_folder
from engine.io.run.one_run import PreparedRun, RunResult
from engine.io.run.sound_index import with_a_sound_index


@dataclass(frozen=True, slots=True)
class BookOnTrial(Book):
    """A book whose index and staging are elsewhere.

    Attributes:
        scratch: where they are.
    """

    scratch: Path

    @property
    def index(self) -> Path:
        return self.scratch / "index"

    @property
    def staging(self) -> Path:
        return self.scratch / "staging"


def try_run(
    place: Book,
    prepare: Callable[[Book, int], PreparedRun],
    out: Path | None,
) -> RunResult:
    """Prepares a run and books nothing.

    Args:
        place: the book, or where a first run would make it.
        prepare: prepares a run on a book with so many runs.
        out: a new or empty folder for what the run would leave in the book, under the names that
            its record gives.

    Raises:
        InputError: the deliveries or the folder cannot be used.
        BookError: the book is damaged, or had another run meanwhile.
    """
    if out is not None:
        check_folder(out)
    check_place(place)
    with _beside(place) as book:
        committed = _runs(place)

        def begin_anew() -> None:
            clear_index(book)
            remove_folder(book.staging)

        prepared = with_a_sound_index(lambda: prepare(book, committed), begin_anew)
        if _runs(place) != committed:
            raise BookError(
                f"{place.path}: another run was booked while this one was tried",
                hint="try again, with what is in the book now",
                code="book_in_use",
            )
        if out is not None:
            with whole_folder(out) as folder:
                _keep(book, prepared.result, folder)
    return replace(prepared.result, dry_run=True)


@contextmanager
def _beside(place: Book) -> Iterator[BookOnTrial]:
    with tempfile.TemporaryDirectory(prefix="mynapoint-dry-run-") as scratch:
        book = BookOnTrial(place.path, Path(scratch))
        make_folder(book.index)
        # A run may be at work and remove some of these; they are missed then, and made anew.
        with suppress(OSError):
            for file in sorted(place.index.iterdir()):
                (book.index / file.name).symlink_to(file)
        yield book


def _runs(place: Book) -> int:
    if not place.path.exists() or not place.is_begun():
        return 0
    place.refuse_links()
    return place.committed_runs()


def _keep(book: BookOnTrial, result: RunResult, folder: Path) -> None:
    if result.already_booked:
        return
    run_folder = folder / "runs" / result.record.run_id
    run_folder.parent.mkdir(mode=0o700)
    shutil.copytree(book.staging / "run", run_folder)
    shutil.copytree(book.staging / "ledger", folder / "ledger")

"""Delivered files: which there are, what they are, and their records in batches of bounded size."""

import glob
import hashlib
import io
import os
import stat
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import polars as pl

from engine.errors import InputError
from engine.io.delivered.stored_deliveries import Fetched, fetched, stored_deliveries
from engine.io.object_store import StoreUrl, is_store_url
from engine.layouts.catalogue import load_layout
from engine.layouts.model import Layout
from engine.layouts.parameters import describe
from engine.paths import expanded, is_utf8
from engine.reading.canonical import Delivery

PACKED_ENDINGS: Final = (".gz", ".zst", ".bz2", ".xz")
ENDINGS: Final = (
    *(".csv", *(f".csv{ending}" for ending in PACKED_ENDINGS)),
    *(".parquet", ".zip", ".xlsx"),
)
"""Of files that are read where a folder is delivered."""
# Set in the place of a row that is a second one out of its record.
SECOND: Final = 1 << 31


@dataclass(frozen=True, slots=True)
class Ragged:
    """A record with too few or too many fields."""

    row: int
    raw: str


class NameFaults(Protocol):
    """Names the faults of some records, by their places, in the provider's own words."""

    def __call__(self, places: np.ndarray, errors: pl.Series, /) -> pl.Series: ...


def _canonical_names(_places: np.ndarray, errors: pl.Series, /) -> pl.Series:
    return errors


class RawRecords(Protocol):
    """Gives the records of a batch, by their places in it, as they came."""

    def __call__(self, rows: Sequence[int], /) -> list[str]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of a file, in the file's order.

    Attributes:
        table: the canonical columns that the file has, as delivered.
        records: number of records, the ragged ones included.
        places: for each row of ``table`` its place among the records, counted from 0.
        ragged: the records that are not in ``table``.
        raw: the records as they came, by place.
        skipped: by reason, how many records were left out on purpose, and their yen.
        name_faults: what the faults of some records are called.
        split: how many rows of ``table`` are a second one out of their record; their places are
            the record's, and ``SECOND`` beside it.
        sample: some records, with all their columns, to be screened.
    """

    table: Delivery
    records: int
    places: np.ndarray
    ragged: tuple[Ragged, ...]
    raw: RawRecords
    skipped: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    name_faults: NameFaults = _canonical_names
    sample: Sequence[str] = ()
    split: int = 0

    def pieces(self, rows: int) -> Iterator["Batch"]:
        """The batch in pieces of so many rows, which the caches of the machine can hold."""
        height = self.table.shape[0]
        if height <= rows:
            yield self
            return
        for start in range(0, height, rows):
            yield replace(
                self,
                table=self.table.slice(start, rows),
                places=self.places[start : start + rows],
                ragged=self.ragged if start == 0 else (),
            )


class Work(Protocol):
    """A part of a file that may be read in any thread, again and again."""

    def read(self) -> Batch:
        """All its records."""
        ...

    def read_some(self, places: Sequence[int]) -> Batch:
        """Only the records in these places, ascending."""
        ...


class Stretch(Protocol):
    """A stretch of a file that is known by its place, so that any machine may read it."""

    def works(self) -> Iterator[Work]:
        """Its parts, in the file's order."""
        ...

    @property
    def text_bytes(self) -> int:
        """About how many bytes of text it holds."""
        ...


CANONICAL: Final = "canonical"


@dataclass(frozen=True, slots=True)
class FileForm:
    """How files are written: in a layout, or, without one, as their headers say.

    Attributes:
        canonical: whether nothing but the canonical form is meant.
        parameters: what was said of them, by the names that layouts ask for.
    """

    layout: Layout | None = None
    canonical: bool = False
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeliveredAs:
    """What was delivered, and how it is written.

    Attributes:
        path: a file, a folder or a glob.
        layout: a layout's ID or file; ``canonical``; None when the headers decide.
        parameters: what the layout asks for.
    """

    path: str | Path
    layout: str | Path | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def written(self, role: str) -> FileForm:
        """How its files are written.

        Raises:
            InputError: there is no such layout, or it is one of other files.
        """
        if self.layout is None or self.layout == CANONICAL:
            return FileForm(None, self.layout == CANONICAL, self.parameters)
        layout = load_layout(self.layout)
        if layout.role != role:
            raise InputError(
                f"{role}: {self.path}: layout {layout.layout_id} is one of {layout.role}",
                hint=f"deliver such files with --{layout.role}",
            )
        describe(layout, self.parameters, f"{role}: {self.path}")
        return FileForm(layout, canonical=False, parameters=self.parameters)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A delivered file, before it is read.

    Attributes:
        name: the path as it was given.
        identity: what must not change while the file is read.
        written: how it is written, and what was said of it.
        fetched: of a delivery in a store, what keeps its copy, to which ``path`` leads.
    """

    name: str
    path: Path
    size_bytes: int
    identity: tuple[int, ...]
    written: FileForm = field(default_factory=FileForm)
    fetched: Fetched | None = None


class HashingFile(io.RawIOBase):
    """A file that remembers the sha256 of what was read from it, from its beginning on.

    Attributes:
        file: the file itself, which may be read elsewhere meanwhile without being hashed.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self._place = 0
        self._digest = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = os.preadv(self.file.fileno(), [buffer], self._place)
        self._place += count
        self._digest.update(buffer[:count])
        return count

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def find_delivered(
    paths: Sequence[str | Path | DeliveredAs],
    role: str,
    *,
    nothing_is_fine: bool = False,
    progress: Callable[[str, int, int], None] = lambda _phase, _done, _total: None,
) -> list[Delivered]:
    """The files behind paths, each a file, a folder or a glob, in a fixed order.

    Args:
        paths: what was named, also in an object store.
        role: what the files hold.
        nothing_is_fine: whether a folder may be empty, and a glob match nothing.
        progress: callback for how much has been fetched from object stores.

    Raises:
        InputError: nothing is there, or a folder holds a file of another kind.
    """
    return [
        replace(delivered, written=given.written(role))
        for given in (
            path if isinstance(path, DeliveredAs) else DeliveredAs(path) for path in paths
        )
        for delivered in (
            _in_store(StoreUrl.of(given.path), role, nothing_is_fine, progress)
            if is_store_url(given.path)
            else _expand(expanded(str(given.path)), role, nothing_is_fine)
        )
    ]


def names_in_store(url: str, role: str) -> list[str]:
    """The objects behind a URL, none if there are none, by their own URLs.

    Raises:
        InputError: the store fails, or a folder holds an object of another kind.
    """
    stored = stored_deliveries(StoreUrl.of(url), role, ENDINGS, nothing_is_fine=True)
    return [str(delivery.url) for delivery in stored]


def _in_store(
    url: StoreUrl,
    role: str,
    nothing_is_fine: bool,  # noqa: FBT001
    progress: Callable[[str, int, int], None],
) -> Iterator[Delivered]:
    stored = stored_deliveries(url, role, ENDINGS, nothing_is_fine=nothing_is_fine)
    for copy in fetched(stored, role, progress):
        yield replace(_delivered(str(copy.path), role), name=copy.url, fetched=copy)


def _expand(path: str, role: str, nothing_is_fine: bool) -> Iterator[Delivered]:  # noqa: FBT001
    if Path(path).is_dir():
        yield from _folder(path, role, nothing_is_fine)
    elif os.path.lexists(path):
        yield _delivered(path, role)
    else:
        # pathlib has no glob for a pattern that may be absolute.
        matches = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
        if not matches and not (nothing_is_fine and glob.has_magic(path)):
            raise InputError(
                f"{role}: {path}: there is no such file, folder or match",
                hint="check the path; a glob must reach the command in quotes",
            )
        for match in matches:
            if Path(match).is_dir():
                yield from _folder(match, role, nothing_is_fine)
            else:
                yield _delivered(match, role)


def _folder(folder: str, role: str, nothing_is_fine: bool) -> Iterator[Delivered]:  # noqa: FBT001
    found = False
    for root, folders, names in os.walk(folder, onerror=partial(_refuse_folder, role)):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in folders:
            if Path(root, name).is_symlink():
                raise InputError(
                    f"{role}: {root}/{name}: a link to a folder stands in the folder",
                    hint="links are not followed; name the folder behind it on its own",
                )
        for name in sorted(names):
            if name.startswith((".", "_")):
                continue
            path = f"{root}/{name}"
            if not name.lower().endswith(ENDINGS):
                raise InputError(
                    f"{role}: {path}: a file of a kind that is not read stands in the folder",
                    hint="name the files one by one or with a glob; read are " + ", ".join(ENDINGS),
                )
            found = True
            yield _delivered(path, role)
    if not found and not nothing_is_fine:
        raise InputError(
            f"{role}: {folder}: the folder holds no file to read",
            hint=f"read are {', '.join(ENDINGS)}; leave --{role} out if nothing was delivered, "
            "or say --nothing-delivered",
        )


def _refuse_folder(role: str, error: OSError) -> None:
    raise InputError(
        f"{role}: {error.filename}: {error.strerror}", hint="check that the folder may be read"
    ) from error


def _delivered(path: str, role: str) -> Delivered:
    if not is_utf8(path):
        raise InputError(
            f"{role}: {path}: the name is not UTF-8", hint="rename the file, then run again"
        )
    try:
        status = Path(path).stat()
    except OSError as error:
        raise InputError(
            f"{role}: {path}: {error.strerror}", hint="check the path and the link behind it"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(
            f"{role}: {path}: not a regular file",
            hint="pipes and devices cannot be read twice; save the delivery to a file first",
        )
    return Delivered(path, Path(path).absolute(), status.st_size, _identity(status))


def _identity(status: os.stat_result) -> tuple[int, ...]:
    # A writer may set the time of the last modification, but not that of the last change.
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def check_required(columns: Container[str], required: Sequence[str], where: str) -> None:
    """Refuses a file that lacks a column.

    Raises:
        InputError: naming the columns that it lacks.
    """
    missing = [column for column in required if column not in columns]
    if missing:
        raise InputError(
            f"{where} lacks the required column {', '.join(missing)}",
            hint=f"required are {', '.join(required)}, in any order",
        )


def check_unchanged(delivered: Delivered, opened: io.FileIO | None = None) -> None:
    """Refuses a file that changed since it was found; by its path, or as it was opened.

    Raises:
        InputError: naming the file.
    """
    try:
        status = delivered.path.stat() if opened is None else os.fstat(opened.fileno())
    except OSError:
        status = None
    if status is None or _identity(status) != delivered.identity:
        raise InputError(
            f"{delivered.name}: the file changed while it was read",
            hint="wait until the delivery is complete, then run again; nothing was booked",
        )


def open_file(delivered: Delivered) -> io.FileIO:
    """The file that was found, opened to be read.

    Raises:
        InputError: the file cannot be opened, or it is another one by now.
    """
    try:
        file = io.FileIO(delivered.path)
    except OSError as error:
        raise InputError(
            f"{delivered.name}: {error.strerror}", hint="check that the file may be read"
        ) from error
    try:
        check_unchanged(delivered, file)
    except InputError:
        file.close()
        raise
    return file

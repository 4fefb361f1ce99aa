"""The files of a payout run: written into its folder, and copied to where they are wanted."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.errors import BookError, InputError
from engine.io.book.folder import refuse_within_books, run_id
from engine.io.book.payouts import PayoutBook
from engine.io.book.run_record import Output
from engine.io.durable import NewFile, make_folder, remove, rename, sha256_of, sync, write_text
from engine.payouts.entry import DIRECTIONS
from engine.payouts.lines import FILE_COLUMNS

PREFIX: Final = "payouts-"
_SCHEMA: Final = pa.schema(
    [
        ("payout_id", pa.string()),
        ("service_id", pa.string()),
        ("account_id", pa.string()),
        ("direction", pa.string()),
        ("points", pa.int64()),
        ("due_on", pa.date32()),
        ("instructed_on", pa.date32()),
    ]
)


def file_stem(number: int, service_id: str) -> str:
    """The name, without its ending, of a service's file."""
    return f"{PREFIX}{run_id(number)}-{quote(service_id, safe='').replace('~', '%7E')}"


@dataclass
class ServiceFile:
    """A service's lines as CSV and Parquet, written as they come."""

    folder: Path
    stem: str
    rows: int = 0
    lines: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    points: dict[str, int] = field(default_factory=lambda: dict.fromkeys(DIRECTIONS, 0))
    sha256: dict[str, str] = field(default_factory=dict)
    written: list[NewFile] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._csv = NewFile(self.folder / f"{self.stem}.csv")
        self._parquet = NewFile(self.folder / f"{self.stem}.parquet")
        self._csv.write((",".join(FILE_COLUMNS) + "\n").encode())
        self._writer = pq.ParquetWriter(self._parquet, _SCHEMA, compression="zstd")

    def __enter__(self) -> "ServiceFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._csv, self._parquet:
            if error is None:
                self._writer.close()
                for file in (self._csv, self._parquet):
                    self.add(file, file.finish())

    def add(self, file: NewFile, sha256: str) -> None:
        """Adds a file that holds all lines."""
        self.written.append(file)
        self.sha256[file.path.name] = sha256

    def write(self, rows: pl.DataFrame) -> None:
        """Writes further lines, columns of `FILE_COLUMNS`."""
        self.rows += rows.height
        sums = rows.group_by("direction").agg(pl.len(), pl.col("points").sum())
        for direction, lines, points in sums.iter_rows():
            self.lines[direction] += lines
            self.points[direction] += points
        self._csv.write(rows.write_csv(include_header=False).encode())
        self._writer.write_table(rows.to_arrow().cast(_SCHEMA))

    def outputs(self, folder: str) -> list[Output]:
        """The files as the record names them."""
        return [
            Output(f"{folder}/{file.path.name}", file.bytes, self.sha256[file.path.name], self.rows)
            for file in self.written
        ]

    def listed(self) -> list[dict[str, Any]]:
        """The files as the list of files has them."""
        return [
            {"name": name, "rows": self.rows, "points": self.points, "sha256": sha256}
            for name, sha256 in self.sha256.items()
        ]


def write_list(folder: Path, number: int, due_by: str, files: Sequence[ServiceFile]) -> Output:
    """Writes the list of a payout run's files; gives it as the record names it."""
    name = f"{PREFIX}{run_id(number)}.json"
    listed = {
        "payout_run_id": run_id(number),
        "due_by": due_by,
        "files": [entry for file in files for entry in file.listed()],
    }
    text = json.dumps(listed, ensure_ascii=False, indent=1) + "\n"
    sha256 = write_text(folder / name, text)
    return Output(f"{PayoutBook.RECORDS}/{run_id(number)}/{name}", len(text.encode()), sha256)


def check_out(out: Path) -> None:
    """Refuses a folder that files cannot be copied to.

    Raises:
        InputError: it is a file, or within a book.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: this is a file", hint="name a folder for the files")
    refuse_within_books(out)


def check_free(files: Sequence[Path], out: Path) -> None:
    """Refuses a folder that holds another file of one of these names.

    Raises:
        InputError: naming the file; nothing was booked.
    """
    for file in files:
        there = out / file.name
        if there.exists() and (not there.is_file() or sha256_of(there) != sha256_of(file)):
            raise InputError(
                f"{there}: another file is there, and is not overwritten",
                hint="move it away, or name another folder; nothing was booked",
            )


def files_of(book: PayoutBook, number: int) -> list[Path]:
    """The files of a payout run that leave the book.

    Raises:
        BookError: one is missing, or not the one that the record names.
    """
    files = []
    for output in book.payout_record(number).outputs:
        path = book.path / output.name
        if not path.name.startswith(PREFIX):
            continue
        if not path.is_file() or sha256_of(path) != output.sha256:
            raise BookError(
                f"{path}: the file that the book keeps is missing or damaged",
                hint="restore the book from a copy; mynapoint verify finds what else is damaged",
            )
        files.append(path)
    return files


def copy_files(files: Sequence[Path], out: Path) -> None:
    """Copies files into a folder, each beside its name first; the same bytes stay as they are."""
    make_folder(out)
    for file in files:
        to = out / file.name
        if to.exists():
            continue
        fresh = out / f".{file.name}.copying"
        if fresh.exists():
            remove(fresh)
        with file.open("rb") as source, NewFile(fresh) as target:
            while data := source.read(1 << 20):
                target.write(data)
            target.finish()
        rename(fresh, to)
    sync(out)

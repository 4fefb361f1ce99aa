"""Reading a run's files: parts in parallel, results in the files' order, every row findable again.

A row is known by its ``row_ref``: the number of its part among all parts of the role's files,
times 2^32, plus its place in the part. References ascend as the rows were delivered.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.booking.registry import Numbers
from engine.errors import InputError
from engine.io.book.run_record import Input, RowWarning, UsedLayout
from engine.io.delivered.csv_file import CsvFile, text_bytes
from engine.io.delivered.deliveries import Batch, Delivered, Work, check_unchanged, open_file
from engine.io.delivered.laid_out_file import LaidOutFile
from engine.io.delivered.parquet_file import MAGIC, ROW_BYTES, ParquetFile
from engine.io.delivered.recognising import recognised
from engine.layouts.model import Layout
from engine.layouts.parameters import Described
from engine.reading.canonical import (
    ANSWER_FORMS,
    ENROLLMENT_FORMS,
    EVENT_FORMS,
    TRANSACTION_FORMS,
    Delivery,
    Reading,
    read_answers,
    read_enrollments,
    read_events,
    read_transactions,
)
from engine.reading.individual_number import Screen
from engine.reading.methods import MethodCounts
from engine.records import (
    ANSWER_OPTIONAL,
    ANSWER_REQUIRED,
    ENROLLMENT_OPTIONAL,
    ENROLLMENT_REQUIRED,
    EVENT_OPTIONAL,
    EVENT_REQUIRED,
    TRANSACTION_OPTIONAL,
    TRANSACTION_REQUIRED,
    AcceptedEvent,
    Basis,
    Enrollment,
    EventKind,
    RoleName,
    polars_schema,
)

T = TypeVar("T")
_PartRead = tuple[int, list[T], Mapping[str, tuple[int, int]]]
RAGGED: Final = "row:malformed"
REF_SHIFT: Final = 32
PIECE_ROWS: Final = 256 * 1024

ENROLLMENT_VALUES: Final = polars_schema(Enrollment) | {"basis": Basis, "row_ref": pl.Int64()}
EVENT_VALUES: Final = polars_schema(AcceptedEvent) | {
    "kind": EventKind,
    "basis": Basis,
    "row_ref": pl.Int64(),
}
FAULTS_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row_ref": pl.Int64(),
    "errors": pl.List(pl.String()),
    "raw": pl.String(),
    "amount": pl.Int64(),
}


@dataclass(frozen=True, slots=True)
class Role:
    """What is delivered: transactions, enrollments or events."""

    name: RoleName
    required: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Delivery], Reading]


TRANSACTIONS: Final = Role(
    "transactions", TRANSACTION_REQUIRED, TRANSACTION_OPTIONAL, read_transactions
)
ENROLLMENTS: Final = Role("enrollments", ENROLLMENT_REQUIRED, ENROLLMENT_OPTIONAL, read_enrollments)
EVENTS: Final = Role("events", EVENT_REQUIRED, EVENT_OPTIONAL, read_events)
ANSWERS: Final = Role("answers", ANSWER_REQUIRED, ANSWER_OPTIONAL, read_answers)
ROLES: Final[Mapping[RoleName, Role]] = {
    role.name: role for role in (TRANSACTIONS, ENROLLMENTS, EVENTS, ANSWERS)
}
_FORMS: Final = {
    "transactions": TRANSACTION_FORMS,
    "enrollments": ENROLLMENT_FORMS,
    "events": EVENT_FORMS,
    "answers": ANSWER_FORMS,
}


@dataclass(frozen=True, slots=True)
class Rows:
    """A part of a file, read.

    Attributes:
        good: typed canonical columns and ``row_ref``.
        faulty: the rows that cannot be read, columns of ``FAULTS_SCHEMA``.
    """

    good: pl.DataFrame
    faulty: pl.DataFrame
    batch: Batch
    first_ref: int

    def all_at_fault(self, error: str) -> pl.DataFrame:
        """The good rows, as faulty ones, of a batch that holds nothing else."""
        return self._at_fault(self.good, np.arange(self.good.height), error)

    def some_at_fault(self, rows: pl.DataFrame, error: str) -> pl.DataFrame:
        """Some of the good rows, as faulty ones."""
        return self._at_fault(rows, rows["row_ref"].to_numpy() - self.first_ref, error)

    def _at_fault(self, rows: pl.DataFrame, places: Numbers, error: str) -> pl.DataFrame:
        """Rows, by their places in the batch, as faulty ones."""
        errors = self.batch.name_faults(places, alike(error, rows.height))
        return at_fault(rows, self.batch.raw(places.tolist()), errors)


@dataclass
class Files:
    """The files of one role, and what was learnt of them while they were read.

    Attributes:
        skipped: by a layout's reason, how many rows were left out on purpose, and their yen.
        layouts: those that files were read by, by ID.
        warnings: rows that were read, and should be looked at.
        methods: the values of ``method``, counted.
        whole_lines: whether a file whose last record lacks a line end is refused.
    """

    role: Role
    delivered: Sequence[Delivered]
    whole_lines: bool = False
    inputs: list[Input] = field(default_factory=list)
    screen: Screen = field(init=False)
    skipped: dict[str, tuple[int, int]] = field(default_factory=dict)
    layouts: dict[str, Layout] = field(default_factory=dict)
    warnings: list[RowWarning] = field(default_factory=list)
    methods: MethodCounts = field(default_factory=MethodCounts)
    _described: dict[int, Described | None] = field(default_factory=dict)
    _file_of_part: list[int] = field(default_factory=list)
    _first_row_of_part: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.screen = Screen(self.role.name)

    @cached_property
    def rows_expected(self) -> int:
        """About how many rows the files hold."""
        return sum(_rows_expected(file) for file in self.delivered)

    def read(
        self, pool: ThreadPoolExecutor, ahead: int, then: Callable[[Rows], T]
    ) -> Iterator[tuple[list[T], int]]:
        """What ``then`` makes of each part's pieces, in order, and the part's number of records.

        Raises:
            InputError: a file cannot be used.
        """
        files: list[CsvFile | LaidOutFile | ParquetFile] = []

        def works() -> Iterator[tuple[int, Work]]:
            for index in range(len(self.delivered)):
                file = self._open(index)
                files.append(file)
                for work in file.works():
                    yield index, work

        def counted(rows: Rows) -> T:
            self.methods.count(rows.good)
            return then(rows)

        def read(numbered: tuple[int, Work], part: int) -> tuple[int, _PartRead[T]]:
            index, work = numbered
            return index, read_part(self.role, work, part, self.screen, counted)

        rows = [0] * len(self.delivered)
        for index, (records, made, skipped) in in_order(pool, ahead, works(), read):
            self._finish(files, index, rows)
            self._file_of_part.append(index)
            self._first_row_of_part.append(rows[index])
            rows[index] += records
            self.skip(skipped)
            yield made, records
        self._finish(files, len(files), rows)

    def _finish(
        self,
        files: Sequence[CsvFile | LaidOutFile | ParquetFile],
        before: int,
        rows: Sequence[int],
    ) -> None:
        """Notes the files, up to one, whose last parts have been read."""
        for index in range(len(self.inputs), before):
            sha256 = files[index].sha256
            check_unchanged(self.delivered[index])
            self.add_input(index, sha256, rows[index])
            self._check_end(index, rows[index], is_cut=files[index].is_cut)

    def _check_end(self, index: int, row: int, *, is_cut: bool) -> None:
        """Says that a file's last record may be cut short, for RFC 4180 lets it be as it is.

        Raises:
            InputError: whole lines were asked for.
        """
        if not is_cut or row == 0:
            return
        name = self.delivered[index].name
        if self.whole_lines:
            raise InputError(
                f"{name}: row {row}: the last record has no line end, so it may be cut short",
                hint="have the file delivered whole, or run without --whole-lines",
            )
        what = "the last record has no line end, so it may be cut short"
        self.warnings.append(RowWarning(name, row, what))

    def warn_of_unknown_methods(self, known: AbstractSet[str]) -> None:
        """Names the values of ``method`` that no service lists; once all files are read."""
        for row_ref, what in self.methods.unknown(known):
            file, row = self._place(row_ref)
            self.warnings.append(RowWarning(file, row, what))

    def _place(self, row_ref: int) -> tuple[str, int]:
        """The file of a row, and its number in it."""
        part, place = row_ref >> REF_SHIFT, row_ref & ((1 << REF_SHIFT) - 1)
        return self.delivered[self._file_of_part[part]].name, (
            self._first_row_of_part[part] + place + 1
        )

    def add_input(self, index: int, sha256: str, rows: int) -> None:
        """Notes a file that was read to its end, as the run record names it."""
        delivered = self.delivered[index]
        role, layout = self.role.name, self._used_layout(index)
        self.inputs.append(Input(role, delivered.name, delivered.size_bytes, sha256, rows, layout))

    def skip(self, skipped: Mapping[str, tuple[int, int]]) -> None:
        """Counts rows that a layout left out on purpose, and their yen, by its reasons."""
        for reason, (rows, yen) in skipped.items():
            before = self.skipped.get(reason, (0, 0))
            self.skipped[reason] = (before[0] + rows, before[1] + yen)

    @property
    def skipped_rows(self) -> int:
        """How many rows layouts left out on purpose."""
        return sum(rows for rows, _ in self.skipped.values())

    def _used_layout(self, index: int) -> UsedLayout | None:
        described = self.described(index)
        if described is None:
            return None
        layout = described.layout
        return UsedLayout(layout.layout_id, layout.sha256, described.recorded_parameters)

    def describe(self, index: int, described: Described | None) -> None:
        """Notes how a file is written.

        Raises:
            InputError: another layout of these files has the same name.
        """
        if described is not None:
            layout = described.layout
            if self.layouts.setdefault(layout.layout_id, layout).sha256 != layout.sha256:
                raise InputError(
                    f"{self.delivered[index].name}: another layout of this run is called "
                    f"{layout.layout_id}, too",
                    hint="give each layout a layout_id of its own",
                )
        self._described[index] = described

    def described(self, index: int) -> Described | None:
        """The layout by which a file was read, and its parameters; None for the canonical form."""
        return self._described[index]

    def described_as(self, index: int) -> Described | None:
        """How a file is written, found out once; None for the canonical form.

        Raises:
            InputError: it cannot be opened, or is not written as was said.
        """
        if index not in self._described:
            self.describe(index, described_as(self.role, self.delivered[index]))
        return self._described[index]

    def _open(self, index: int) -> CsvFile | LaidOutFile | ParquetFile:
        return opened(self.role, self.delivered[index], self.described_as(index))

    def as_quarantined(self, faulty: pl.DataFrame) -> pl.DataFrame:
        """Faulty rows as ``Quarantined``: with the file's name and the row's number in it."""
        row_refs = faulty["row_ref"].to_numpy()
        parts = row_refs >> REF_SHIFT
        names = pl.Series([file.name for file in self.delivered], dtype=pl.String)
        files = np.array(self._file_of_part, np.int64)[parts]
        first = np.array(self._first_row_of_part, np.int64)[parts]
        return faulty.select(
            names.gather(files).alias("file"),
            pl.Series("row", first + (row_refs & ((1 << REF_SHIFT) - 1)) + 1),
            "errors",
            "raw",
        )

    def read_again(self, pool: ThreadPoolExecutor, ahead: int, row_refs: Numbers) -> Iterator[Rows]:
        """Reads some rows, ascending, once more, for their text as it came.

        Raises:
            InputError: a file changed meanwhile.
        """
        parts = row_refs >> REF_SHIFT
        wanted = set(np.unique(parts).tolist())
        file_of_part = np.array(self._file_of_part, np.int64)

        def read(numbered: tuple[int, Work], _: int) -> Rows:
            part, work = numbered
            return read_part_again(self.role, work, row_refs[parts == part])

        for index in sorted({int(file_of_part[part]) for part in wanted}):
            delivered = self.delivered[index]
            first_part = int(np.searchsorted(file_of_part, index))
            works = enumerate(self._open(index).works(), first_part)
            some = (numbered for numbered in works if numbered[0] in wanted)
            yield from in_order(pool, ahead, some, read)
            check_unchanged(delivered)


def check_parameters(*files: Files) -> None:
    """Refuses what was set for files whose headers decide, and none of which asks for it.

    Raises:
        InputError: naming it; or a file cannot be recognised.
    """
    needless: dict[tuple[str, str], str] = {}
    asked: set[tuple[str, str]] = set()
    for some in files:
        for index, delivered in enumerate(some.delivered):
            parameters = delivered.written.parameters
            if delivered.written.layout is not None or not parameters:
                # A layout that was named has looked at what was set for it.
                continue
            described = some.described_as(index)
            for name, text in parameters.items():
                needless.setdefault((name, text), delivered.name)
                if described is not None and name in described.layout.parameters:
                    asked.add((name, text))
    for (name, text), where in needless.items():
        if (name, text) not in asked:
            raise InputError(
                f"--set {name}: {where}: no layout of these files asks for {name}",
                hint="leave it out, or name the layout that asks for it ahead of it; see mynapoint "
                "layouts",
            )


def described_as(role: Role, delivered: Delivered) -> Described | None:
    """How a delivered file is written; None for the canonical form.

    Raises:
        InputError: it cannot be opened, or is not written as was said.
    """
    if not _is_parquet(delivered):
        return recognised(delivered, role.name, role.required, role.optional)
    if delivered.written.layout is not None:
        raise InputError(
            f"{delivered.name}: a layout describes text, and this is a Parquet file",
            hint="deliver it in the canonical form, without --layout",
        )
    return None


def opened(
    role: Role, delivered: Delivered, described: Described | None
) -> CsvFile | LaidOutFile | ParquetFile:
    """A delivered file, to be read as what it is.

    Raises:
        InputError: it cannot be opened.
    """
    if described is not None:
        return LaidOutFile(delivered, described)
    if _is_parquet(delivered):
        return ParquetFile(delivered, role.required, role.optional, _FORMS[role.name])
    return CsvFile(delivered, role.required, role.optional)


def _is_parquet(delivered: Delivered) -> bool:
    with open_file(delivered) as file:
        return file.read(len(MAGIC)) == MAGIC


def read_part(
    role: Role, work: Work, part: int, screen: Screen, then: Callable[[Rows], T]
) -> _PartRead[T]:
    """A part's number of records, what ``then`` makes of its pieces, and what a layout left out.

    Raises:
        InputError: the part cannot be read.
    """
    batch = work.read()
    screen.look_at_lines(batch.sample)
    made = []
    for piece in batch.pieces(PIECE_ROWS):
        reading = role.read(piece.table)
        screen.look(reading.values)
        made.append(then(_rows(reading, piece, part << REF_SHIFT)))
    return batch.records, made, batch.skipped


def read_part_again(role: Role, work: Work, row_refs: Numbers) -> Rows:
    """Some rows of a part, ascending, once more."""
    batch = work.read_some((row_refs & ((1 << REF_SHIFT) - 1)).tolist())
    return _rows(role.read(batch.table), batch, 0, row_refs)


def alike(error: str, rows: int) -> pl.Series:
    """The faults of rows that have one each, and the same."""
    return pl.Series([[error]], dtype=pl.List(pl.String)).new_from_index(0, rows)


def at_fault(rows: pl.DataFrame, raw: list[str], errors: pl.Series) -> pl.DataFrame:
    """Readable rows as faulty ones."""
    amount = pl.col("amount") if "amount" in rows.columns else pl.lit(None, pl.Int64)
    return rows.select(
        "row_ref",
        errors.alias("errors"),
        pl.Series("raw", raw, dtype=pl.String),
        amount.alias("amount"),
    )


def _rows(reading: Reading, batch: Batch, first_ref: int, row_refs: Numbers | None = None) -> Rows:
    refs = first_ref + batch.places if row_refs is None else row_refs
    good = reading.good.with_columns(row_ref=pl.Series(refs[reading.good["row"].to_numpy()]))
    faulty = pl.DataFrame(schema=FAULTS_SCHEMA)
    if reading.faulty.height or batch.ragged:
        places = batch.places[reading.faulty["row"].to_numpy()]
        ragged = [first_ref + record.row for record in batch.ragged]
        faulty = pl.concat(
            [
                reading.faulty.select(
                    pl.Series("row_ref", first_ref + places, dtype=pl.Int64),
                    batch.name_faults(places, reading.faulty["errors"]).alias("errors"),
                    pl.Series("raw", batch.raw(places.tolist()), dtype=pl.String),
                    "amount",
                ),
                at_fault(
                    pl.DataFrame({"row_ref": ragged}, schema={"row_ref": pl.Int64}),
                    [record.raw for record in batch.ragged],
                    alike(RAGGED, len(ragged)),
                ),
            ]
        ).sort("row_ref")
    return Rows(good.drop("row"), faulty, batch, first_ref)


def _rows_expected(file: Delivered) -> int:
    if file.name.lower().endswith(".parquet"):
        try:
            return int(pq.read_metadata(file.path).num_rows)
        except (pa.ArrowException, OSError):
            return 0
    return text_bytes(file) // ROW_BYTES


def in_order(
    pool: ThreadPoolExecutor,
    ahead: int,
    items: Iterator[Any],
    work: Callable[[Any, int], T],
) -> Iterator[T]:
    """The results of work on each item, in order, with at most ``ahead`` items under way.

    An item that cannot be had is told of when the work on those before it is done: their errors
    come first, however many are under way.
    """
    under_way: list[Future[T]] = []
    failure: Exception | None = None
    numbered = enumerate(items)
    try:
        while True:
            try:
                number, item = next(numbered)
            except StopIteration:
                break
            except (InputError, OSError) as error:
                failure = error
                break
            under_way.append(pool.submit(work, item, number))
            if len(under_way) >= ahead:
                yield under_way.pop(0).result()
        while under_way:
            yield under_way.pop(0).result()
        if failure is not None:
            raise failure
    finally:
        for future in under_way:
            future.cancel()

"""Reading all files of one role: parts in parallel, results in the files' order, and every row can
be found again by its file and number.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeVar

import numpy as np
import polars as pl

from engine.booking.index_spaces import RowRefs
from engine.errors import InputError
from engine.io.book.run_record import Input, RowWarning, UsedLayout
from engine.io.delivered.csv_file import CsvFile
from engine.io.delivered.deliveries import SECOND, Batch, Delivered, Work, check_unchanged
from engine.io.delivered.laid_out_file import LaidOutFile
from engine.io.delivered.opening import described_as, opened, rows_expected
from engine.io.delivered.parquet_file import ParquetFile
from engine.io.delivered.roles import Role
from engine.io.delivered.rows import REF_SHIFT, PartRead, PartRows, read_part, read_part_again
from engine.io.parallel import in_order
from engine.layouts.model import Layout
from engine.layouts.parameters import Described
from engine.reading.individual_number import Screen
from engine.reading.methods import MethodCounts
from engine.reading.spellings import OddIds
from engine.reading.spreadsheet_ids import SpreadsheetIds

T = TypeVar("T")
# By role, the column of which the spelling is looked at while its files are read.
_ODD_IDS: Final = {"transactions": "transaction_id"}
# Read, and not yet looked at.
_PARTS_AHEAD: Final = 2
# Of a row's place: its record, whether or not it is the second row out of it.
_RECORD = SECOND - 1


@dataclass
class Files:
    """The files of one role, and what was found out while they were read.

    Attributes:
        skipped: by a layout's reason, how many rows were left out on purpose, and their yen.
        layouts: those by which files were read, by ID.
        warnings: rows that were read, and that someone should look at.
        methods: the values of ``method``, counted.
        spreadsheet_ids: IDs as spreadsheets leave them.
        odd_ids: IDs that are spelled otherwise than they might be.
        yen: by number of the file, the sum of its amounts, as far as they can be read; without
            those of second rows out of a record.
        second_rows: by number of the file, how many of its rows are second ones out of a record.
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
    spreadsheet_ids: SpreadsheetIds = field(default_factory=SpreadsheetIds)
    odd_ids: OddIds = field(init=False)
    yen: Counter[int] = field(default_factory=Counter)
    second_rows: Counter[int] = field(default_factory=Counter)
    _described: dict[int, Described | None] = field(default_factory=dict)
    _files: list[CsvFile | LaidOutFile | ParquetFile] = field(default_factory=list)
    _begun: Iterator[tuple[int, Batch]] | None = None
    _file_of_part: list[int] = field(default_factory=list)
    _first_row_of_part: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.screen = Screen(self.role.name)
        self.odd_ids = OddIds(_ODD_IDS.get(self.role.name, ""))

    @cached_property
    def rows_expected(self) -> int:
        """About how many rows the files hold."""
        return sum(rows_expected(file) for file in self.delivered)

    def begin(self, pool: ThreadPoolExecutor) -> None:
        """Begins to read the first parts, whenever ``read`` will ask for them."""
        self._begun = in_order(pool, _PARTS_AHEAD, self._works(), _records)

    def read(
        self, pool: ThreadPoolExecutor, ahead: int, then: Callable[[PartRows], T]
    ) -> Iterator[tuple[list[T], int]]:
        """What ``then`` makes of each part's pieces, in order, and the part's number of records.

        Raises:
            InputError: a file cannot be used.
        """
        if self._begun is None:
            self.begin(pool)
        assert self._begun is not None

        def counted(rows: PartRows) -> T:
            self.methods.count(rows.good)
            self.spreadsheet_ids.look(rows.good)
            if self.odd_ids.column:
                self.odd_ids.look(rows.good)
            return then(rows)

        def read(numbered: tuple[int, Batch], part: int) -> tuple[int, PartRead[T]]:
            index, batch = numbered
            return index, read_part(self.role, batch, part, self.screen, counted)

        rows = [0] * len(self.delivered)
        parts = in_order(pool, max(1, ahead - 1), self._begun, read)
        for index, (records, split, made, skipped) in parts:
            self._finish(index, rows)
            self._file_of_part.append(index)
            self._first_row_of_part.append(rows[index])
            rows[index] += records
            self.second_rows[index] += split
            self.skip(skipped)
            self.add_yen(sum(yen for _, yen in skipped.values()))
            yield made, records + split
        self._finish(len(self.delivered), rows)
        for row_ref, what in self.spreadsheet_ids.found():
            file, row = self._place(row_ref)
            self.warnings.append(RowWarning(file, row, what))

    def _works(self) -> Iterator[tuple[int, Work]]:
        for index in range(len(self.delivered)):
            file = self._open(index)
            self._files.append(file)
            for work in file.works():
                yield index, work

    def _finish(self, before: int, rows: Sequence[int]) -> None:
        """Notes the files ahead of number ``before``, whose last parts have been read."""
        for index in range(len(self.inputs), before):
            sha256 = self._files[index].sha256
            check_unchanged(self.delivered[index])
            self.add_input(index, sha256, rows[index] + self.second_rows[index])
            self._check_end(index, rows[index], self._files[index])

    def _check_end(self, index: int, row: int, file: CsvFile | LaidOutFile | ParquetFile) -> None:
        """Warns of a file that may be cut short, in its last record or ahead of its totals.

        RFC 4180 lets a last line have no end.

        Raises:
            InputError: whole lines were asked for, or the rows do not come to the file's totals.
        """
        found = []
        if file.is_cut and row:
            found.append("the last record has no line end, so it may be cut short")
        if isinstance(file, LaidOutFile) and (uncounted := file.uncounted_rows()):
            found.append(
                f"no line with totals counts the last {uncounted:,} rows, so the file may be cut "
                "short"
            )
        name = self.delivered[index].name
        for what in found:
            if self.whole_lines:
                raise InputError(
                    f"{name}: row {row}: {what}",
                    hint="have the file delivered whole, or run without --whole-lines",
                )
            self.warnings.append(RowWarning(name, row, what))

    def warn_of_unknown_methods(self, known: AbstractSet[str]) -> None:
        """Names the values of ``method`` that no service lists; once all files are read."""
        self.warn_of(self.methods.unknown(known))

    def warn_of(self, found: Iterable[tuple[int, str]]) -> None:
        """Warns of rows, each by its reference and what to say; once all files are read."""
        for row_ref, what in found:
            file, row = self._place(row_ref)
            self.warnings.append(RowWarning(file, row, what))

    def _place(self, row_ref: int) -> tuple[str, int]:
        """The file of a row, and its number in it."""
        part, place = row_ref >> REF_SHIFT, row_ref & _RECORD
        return self.delivered[self._file_of_part[part]].name, (
            self._first_row_of_part[part] + place + 1
        )

    def add_input(self, index: int, sha256: str, rows: int) -> None:
        """Notes a file that was read to its end, as the run record names it."""
        delivered = self.delivered[index]
        role, layout = self.role.name, self._used_layout(index)
        self.inputs.append(Input(role, delivered.name, delivered.size_bytes, sha256, rows, layout))

    def add_yen(self, yen: int) -> None:
        """Counts amounts of the part that was read last."""
        self.yen[self._file_of_part[-1]] += yen

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
            InputError: it cannot be opened, or is not in the form that was named.
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
            pl.Series("row", first + (row_refs & _RECORD) + 1),
            "errors",
            "raw",
        )

    def read_again(
        self, pool: ThreadPoolExecutor, ahead: int, row_refs: RowRefs
    ) -> Iterator[PartRows]:
        """Reads some rows, ascending, once more, for their text as it came.

        Raises:
            InputError: a file changed meanwhile.
        """
        parts = row_refs >> REF_SHIFT
        wanted = set(np.unique(parts).tolist())
        file_of_part = np.array(self._file_of_part, np.int64)

        def read(numbered: tuple[int, Work], _: int) -> PartRows:
            part, work = numbered
            return read_part_again(self.role, work, row_refs[parts == part])

        files = sorted({int(file_of_part[part]) for part in wanted})

        def works() -> Iterator[tuple[int, Work]]:
            for index in files:
                first_part = int(np.searchsorted(file_of_part, index))
                numbered = enumerate(self._open(index).works(), first_part)
                yield from ((part, work) for part, work in numbered if part in wanted)

        yield from in_order(pool, ahead, works(), read)
        for index in files:
            check_unchanged(self.delivered[index])


def _records(numbered: tuple[int, Work], _: int) -> tuple[int, Batch]:
    index, work = numbered
    return index, work.read()


def check_nothing(*files: Files) -> None:
    """Refuses files where nothing should have been delivered.

    Raises:
        InputError: naming the first.
    """
    for role_files in files:
        for delivered in role_files.delivered:
            raise InputError(
                f"--nothing-delivered: {role_files.role.name}: {delivered.name} was delivered",
                hint="leave the option out to book what there is",
                code="something_delivered",
            )


def check_parameters(*files: Files) -> None:
    """Rejects ``--set`` parameters that no recognised layout uses.

    Raises:
        InputError: naming the parameter; or a file cannot be recognised.
    """
    needless: dict[tuple[str, str], str] = {}
    asked: set[tuple[str, str]] = set()
    for role_files in files:
        for index, delivered in enumerate(role_files.delivered):
            parameters = delivered.written.parameters
            if delivered.written.layout is not None or not parameters:
                # A layout that was named has looked at what was set for it.
                continue
            described = role_files.described_as(index)
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

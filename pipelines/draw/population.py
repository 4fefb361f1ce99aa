"""The rows that a sample is drawn from, in the order of the book; and those that were drawn.

A monetary-unit sample is of points that were awarded: each point of an entry that gave some has the
same chance. A stratified one is of rows, by service: entries of all kinds, and declined rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl

from engine.errors import BookError, InputError
from engine.io.book.format import RunTable
from engine.io.durable import sha256_of
from engine.io.parquet import scan_parquet
from engine.records import polars_schema
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.draw.randomness import allocated, distinct, one_of_each_cell
from pipelines.draw.sample import BOOKED, Drawn, Sample, Stratum, Unit
from pipelines.explain.lookup import person_of
from pipelines.explain.wording import Words

# A variance needs two.
LEAST_OF_A_STRATUM: Final = 2
ALL: Final = "points"
_COLUMNS: Final = (
    *("run_id", "outcome", "person_id", "entry_seq", "service_id", "account_id"),
    *("transaction_id", "occurred_at", "kind", "amount", "points"),
)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A file of the population."""

    frame: pl.LazyFrame
    declined: bool = False


def draw(opened: OpenedBook, drawn: Drawn) -> Sample:
    """Draws a sample; its units are not explained yet.

    Raises:
        InputError: there is nothing to draw from, or fewer units than the strata need.
        BookError: a file is damaged, or the ledger does not come to what the records say.
    """
    record_file = opened.book.run_folder(opened.runs) / "record.json"
    with book_readable(opened.book):
        strata, units = (
            _monetary(opened, drawn) if drawn.method == "monetary" else _stratified(opened, drawn)
        )
        sha256 = sha256_of(record_file)
    return Sample(
        drawn,
        str(opened.book.path),
        opened.records[-1].run_id,
        sha256,
        strata,
        [replace(unit, number=place) for place, unit in enumerate(units, 1)],
    )


def explained_units(opened: OpenedBook, sample: Sample, words: Words) -> Sample:
    """The sample, each unit with why it earned what it did."""
    stories: dict[str, dict[int, str]] = {}
    units = []
    for unit in sample.units:
        if unit.person_id is None or unit.entry_seq is None:
            units.append(replace(unit, why=words.reason(unit.outcome)))
            continue
        if unit.person_id not in stories:
            stories[unit.person_id] = {
                explained.entry.entry_seq: words.joined(words.why(explained))
                for explained in person_of(opened, unit.person_id).entries
            }
        units.append(replace(unit, why=stories[unit.person_id][unit.entry_seq]))
    return replace(sample, units=units)


def _ledger(opened: OpenedBook, month: str | None) -> Iterator[_Piece]:
    for file in opened.ledger_files:
        if month in (None, opened.record(file.run).month):
            yield _Piece(opened.ledger([file]).with_columns(outcome=pl.lit(BOOKED)))


def _declined(opened: OpenedBook, month: str | None) -> Iterator[_Piece]:
    table = RunTable.DECLINED
    for path in opened.tables(table):
        record = opened.record(int(path.parent.name))
        if month in (None, record.month):
            frame = scan_parquet([path], schema=polars_schema(table.record)).with_columns(
                run_id=pl.lit(record.run_id),
                outcome=pl.col("reason"),
                person_id=pl.lit(None, pl.String),
                entry_seq=pl.lit(None, pl.Int64),
                points=pl.lit(0, pl.Int64),
            )
            yield _Piece(frame, declined=True)


def _monetary(opened: OpenedBook, drawn: Drawn) -> tuple[list[Stratum], list[Unit]]:
    awarded = pl.col("points").clip(0)
    sizes = [
        piece.frame.select(
            points=awarded.sum(), rows=(pl.col("points") > 0).sum().cast(pl.Int64)
        ).collect(engine="streaming")
        for piece in _ledger(opened, drawn.month)
    ]
    total = sum(int(size["points"][0]) for size in sizes)
    _check_against_records(opened, drawn.month, total)
    if not total:
        raise InputError(
            "there is no award to draw from",
            hint="leave --month out, or name a month in which points were awarded",
        )
    places = np.array(one_of_each_cell(drawn.seed, total, drawn.units))
    units: list[Unit] = []
    before = 0
    for piece, size in zip(_ledger(opened, drawn.month), sizes, strict=True):
        here = places[(places >= before) & (places < before + int(size["points"][0]))] - before
        before += int(size["points"][0])
        if not len(here):
            continue
        sums = piece.frame.select(awarded.cum_sum()).collect()["points"].to_numpy()
        rows, hits = np.unique(np.searchsorted(sums, here, side="right"), return_counts=True)
        units += _units(piece, rows.tolist(), hits.tolist(), [ALL] * len(rows))
    count = sum(int(size["rows"][0]) for size in sizes)
    return [Stratum(ALL, count, total, drawn.units)], units


def _stratified(opened: OpenedBook, drawn: Drawn) -> tuple[list[Stratum], list[Unit]]:
    pieces = [*_ledger(opened, drawn.month), *_declined(opened, drawn.month)]
    known = {
        service for number in range(1, opened.runs + 1) for service in opened.services(number).by_id
    }
    # What stands in place of a service that nobody knows may be anything.
    service = (
        pl.when(pl.col("service_id").is_in(sorted(known))).then("service_id").otherwise(pl.lit(""))
    )
    counted = [
        piece.frame.group_by(stratum=service)
        .agg(rows=pl.len().cast(pl.Int64), points=pl.col("points").sum())
        .collect(engine="streaming")
        for piece in pieces
    ]
    if not counted:
        raise InputError("there is no row to draw from", hint="leave --month out, or name another")
    sums = pl.concat(counted).group_by("stratum").agg(pl.col("rows", "points").sum())
    sizes = {name: rows for name, rows, _ in sums.sort("stratum").iter_rows()}
    least = sum(min(LEAST_OF_A_STRATUM, rows) for rows in sizes.values())
    if drawn.units < least:
        raise InputError(
            f"--units: {drawn.units} are too few for {len(sizes)} strata",
            hint=f"name {least} or more: two of each service",
        )
    shares = allocated(sizes, drawn.units, LEAST_OF_A_STRATUM)
    wanted = {
        name: np.array(distinct(drawn.seed, f"stratum:{name}", rows, shares[name]), dtype=np.int64)
        for name, rows in sizes.items()
    }
    units: list[Unit] = []
    before = dict.fromkeys(sizes, 0)
    for piece, count in zip(pieces, counted, strict=True):
        here: dict[str, np.ndarray[Any, Any]] = {}
        for name, rows, _ in count.iter_rows():
            inside = (wanted[name] >= before[name]) & (wanted[name] < before[name] + rows)
            if inside.any():
                here[name] = wanted[name][inside] - before[name]
            before[name] += rows
        if here:
            units += _of_strata(piece, service, here)
    points = {name: total for name, _, total in sums.iter_rows()}
    strata = [Stratum(name, rows, points[name], shares[name]) for name, rows in sizes.items()]
    return strata, sorted(units, key=lambda unit: unit.stratum)


def _of_strata(
    piece: _Piece, service: pl.Expr, wanted: dict[str, "np.ndarray[Any, Any]"]
) -> list[Unit]:
    column = piece.frame.select(stratum=service).collect()["stratum"]
    places: list[tuple[int, str]] = []
    for name, of_stratum in wanted.items():
        rows = (column == name).arg_true().to_numpy()
        places += [(int(row), name) for row in rows[of_stratum]]
    places.sort()
    return _units(
        piece, [row for row, _ in places], [1] * len(places), [name for _, name in places]
    )


def _units(
    piece: _Piece, rows: Sequence[int], hits: Sequence[int], strata: Sequence[str]
) -> list[Unit]:
    found = (
        piece.frame.with_row_index("place")
        .filter(pl.col("place").is_in(rows))
        .select(_COLUMNS)
        .collect(engine="streaming")
    )
    return [
        Unit(0, stratum, hit, *row)
        for row, hit, stratum in zip(found.iter_rows(), hits, strata, strict=True)
    ]


def _check_against_records(opened: OpenedBook, month: str | None, total: int) -> None:
    said = sum(record.points.awarded for record in opened.records if month in (None, record.month))
    if said != total:
        raise BookError(
            f"{opened.book.path}: the ledger awards {total} points, the run records say {said}",
            hint="find out with mynapoint verify; nothing can be drawn from such a ledger",
        )

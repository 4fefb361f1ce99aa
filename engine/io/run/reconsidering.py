"""What waits in the book and may be possible now: rows that earlier runs turned away.

Nothing that was turned away needs to be delivered again. What a run looks at once more follows from
what it changes: new terms or services concern everything; enrollments and events the rows of their
accounts; a transaction that may be booked its refunds.
"""

import datetime as dt
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from engine.booking.concerned import Concerned
from engine.booking.corrections import Account, Corrections, LeftAlone
from engine.booking.enrollment import EnrollmentOutcome
from engine.booking.event_examination import PutToWait
from engine.booking.index_spaces import RowRefs
from engine.booking.recounted import Voids
from engine.booking.registry import enrollment_contents
from engine.booking.standing import Standing
from engine.booking.state import Past
from engine.io.book.folder import Book
from engine.io.book.format import RunTable
from engine.io.book.indexing import read_tables
from engine.io.book.waiting import Waiting
from engine.records import ENROLLMENT_COLUMNS, TRANSACTION_COLUMNS, Enrollment, polars_schema

ENROLLMENT_KEY: Final = ("person_id", "service_id", "account_id")
_KEY: Final = ("service_id", "transaction_id")
MOST_NAMED: Final = 100_000
"""So many rows that were left alone are named; the next run looks for them, and not at all."""
_NO_ROWS: Final = pl.DataFrame(
    schema={
        **dict.fromkeys(TRANSACTION_COLUMNS, pl.String()),
        "occurred_at": pl.Datetime("us"),
        "amount": pl.Int64(),
        "booked_once": pl.Boolean(),
        "row_id": pl.Int64(),
    }
)


def waiting_enrollments(book: Book, committed: int) -> pl.DataFrame:
    """The applications that wait: the last content of each that has not been accepted since.

    Columns of ``Enrollment``, and ``run``, the number of the run from which on it waits.
    """
    # The tables of format 1 keep too little of an application to decide it again.
    numbers = range(1, committed + 1)
    numbers = numbers[bisect_left(numbers, 2, key=lambda number: book.record(number).format) :]
    delivered = pl.coalesce("delivered_person_id", "person_id").alias("person_id")
    rejected = [delivered if name == "person_id" else name for name in ENROLLMENT_COLUMNS]
    rows = (
        pl.concat(
            [
                read_tables(book, numbers, RunTable.REJECTED, rejected),
                read_tables(book, numbers, RunTable.WAITING, ENROLLMENT_COLUMNS),
            ]
        )
        .sort("run", maintain_order=True)
        .unique(ENROLLMENT_KEY, keep="last", maintain_order=True)
    )
    if rows.is_empty():
        return rows
    last = (
        read_tables(book, numbers, RunTable.ACCEPTED, ENROLLMENT_KEY)
        .join(rows.select(ENROLLMENT_KEY), on=ENROLLMENT_KEY, how="semi")
        .group_by(ENROLLMENT_KEY)
        .agg(accepted_in=pl.col("run").max())
    )
    return (
        rows.join(last, on=ENROLLMENT_KEY, how="left", maintain_order="left")
        .filter(pl.col("accepted_in").fill_null(0) <= pl.col("run"))
        .drop("accepted_in")
    )


def put_to_wait(
    book: Book, committed: int, waits: pl.DataFrame, put: Sequence[PutToWait]
) -> pl.DataFrame:
    """The applications, as they were delivered, that events put beside ``waits``, or in the place
    of what waits under their keys.
    """
    if not put:
        return pl.DataFrame(schema=polars_schema(Enrollment))
    wanted = pl.DataFrame(
        [(*enrollment.key, enrollment.content, instead) for enrollment, instead in put],
        schema={
            **dict.fromkeys(ENROLLMENT_KEY, pl.String),
            "content": pl.UInt64,
            "instead": pl.Boolean,
        },
        orient="row",
    )
    accepted = read_tables(book, range(1, committed + 1), RunTable.ACCEPTED, ENROLLMENT_COLUMNS)
    accepted = accepted.drop("run").join(wanted, on=ENROLLMENT_KEY, how="semi")
    found = _with_content(accepted).unique([*ENROLLMENT_KEY, "content"])
    there = _with_content(waits).select(*ENROLLMENT_KEY, there="content")
    return (
        wanted.join(found, on=[*ENROLLMENT_KEY, "content"], how="inner", maintain_order="left")
        .join(there, on=ENROLLMENT_KEY, how="left", maintain_order="left")
        .filter(
            pl.when("instead")
            .then((pl.col("there") != pl.col("content")).fill_null(value=False))
            .otherwise(pl.col("there").is_null())
        )
        .select(ENROLLMENT_COLUMNS)
    )


def waits_after(
    book: Book,
    committed: int,
    put: pl.DataFrame,
    taken_in: EnrollmentOutcome,
    corrections: Corrections,
) -> pl.DataFrame:
    """The applications that wait from a run on, beside those that it rejected: what events
    ``put`` to wait, and what was delivered and changed nothing for now.
    """
    return pl.concat(
        [
            _put_after_all(put, taken_in),
            _said_instead(book, committed, taken_in.said_again, corrections),
            taken_in.waiting.cast(dict(put.schema)),  # type: ignore[arg-type]
        ]
    )


def _put_after_all(put: pl.DataFrame, taken_in: EnrollmentOutcome) -> pl.DataFrame:
    """What events put to wait, where the run has not decided anything under its key since."""
    if put.is_empty():
        return put
    delivered = pl.coalesce("delivered_person_id", "person_id").alias("person_id")
    decided = [
        taken_in.waiting.select(ENROLLMENT_KEY),
        taken_in.said_again.select(ENROLLMENT_KEY),
        taken_in.accepted.select(ENROLLMENT_KEY),
        taken_in.rejected.select(delivered, *ENROLLMENT_KEY[1:]),
    ]
    return put.join(
        pl.concat(rows.cast(pl.String) for rows in decided), on=ENROLLMENT_KEY, how="anti"
    )


def _said_instead(
    book: Book, committed: int, said_again: pl.DataFrame, corrections: Corrections
) -> pl.DataFrame:
    """Rows that say what is accepted, where another content waits under their key: it no longer
    does.

    It can only where an enrollment was out of force meanwhile, which an undoing ended.
    """
    rows = said_again.cast(dict(polars_schema(Enrollment)))  # type: ignore[arg-type]
    if rows.is_empty() or all(taken.event.kind != "undone" for taken in corrections.taken):
        return rows.clear()
    waits = _with_content(waiting_enrollments(book, committed).select(ENROLLMENT_COLUMNS))
    return (
        _with_content(rows.unique(ENROLLMENT_KEY, maintain_order=True))
        .join(
            waits.select(*ENROLLMENT_KEY, there="content"),
            on=ENROLLMENT_KEY,
            how="inner",
            maintain_order="left",
        )
        .filter(pl.col("there") != pl.col("content"))
        .select(ENROLLMENT_COLUMNS)
    )


def _with_content(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(pl.Series("content", enrollment_contents(rows)))


@dataclass(slots=True)
class Reconsidering:
    """The waiting transactions that a run looks at once more.

    Attributes:
        everything: whether terms or services changed, so that all that waits may be possible.
        days: rows whose day is so many days before ``booked_on`` are passed over; None: no bound.
    """

    waiting: Waiting
    past: Past
    voids: Voids
    everything: bool
    booked_on: dt.date
    days: int | None
    _found: list[pl.DataFrame] = field(default_factory=list)
    _keys: list[pl.DataFrame] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rows_expected(self) -> int:
        """About how many rows it may be, where that is many."""
        return self.waiting.size if self.everything else 0

    def concern(self, accounts: pl.DataFrame, groups: Sequence[Concerned]) -> None:
        """Looks for the rows of accounts whose enrollment changed, ``service_id`` and
        ``account_id``, and of all that events concern.
        """
        self._add(_voided_rows(self.voids))
        self.of_originals(_originals(self.voids))
        if self.everything or not self.waiting.size:
            return
        named: set[Account] = set()
        transactions = set(self.past.corrections.left_alone.transactions)
        for group in groups:
            named |= group.accounts | {e.account for e in group.enrollments}
            transactions |= group.transactions
        named |= self._numbers_of(accounts)
        accounts = pl.concat([accounts, _pairs(named, "account_id")])
        self._add(self.waiting.of_accounts(*accounts.get_columns()))
        self._add(self.waiting.of_keys(*_pairs(transactions, "transaction_id").get_columns()))

    def _numbers_of(self, accounts: pl.DataFrame) -> set[Account]:
        """The numbers that earlier events had replace some accounts."""
        corrections = self.past.corrections
        if all(taken.event.kind != "account_replaced" for taken in corrections.taken):
            return set()
        known = _pairs(corrections.accounts, "account_id")
        changed = set(known.join(accounts, on=known.columns, how="semi").iter_rows())
        standing = Standing(corrections.taken, corrections.enrollments)
        return {
            number
            for enrollment in standing.in_force()
            if enrollment.account in changed
            for number in standing.accounts_of(enrollment)
        }

    @property
    def asks_for_refunds(self) -> bool:
        """Whether refunds of what may be booked have to be looked for."""
        return not self.everything and bool(self.waiting.size)

    def of_originals(self, keys: pl.DataFrame) -> None:
        """Looks for the refunds of transactions that may be booked: ``service_id`` and
        ``transaction_id``; in any thread.
        """
        if not self.asks_for_refunds or keys.is_empty():
            return
        with self._lock:
            self._add(self.waiting.refunds_of(keys["service_id"], keys["transaction_id"]))

    def _add(self, rows: pl.DataFrame) -> None:
        if rows.height:
            self._found.append(rows.select(_NO_ROWS.columns))

    def rows(self) -> Iterator[pl.DataFrame]:
        """The rows that wait and may be possible: canonical columns and ``row_ref``, negative."""
        for rows in self._numbered():
            if not self.everything:
                self._keys.append(rows.select(*_KEY, "row_ref"))
            yield rows

    def left_alone(self, row_refs: RowRefs) -> LeftAlone:
        """What the next run has to look at again: rows whose key was delivered, perhaps in
        conflict, so that they were left alone.
        """
        if row_refs.size == 0:
            return LeftAlone()
        if self.everything and row_refs.size > MOST_NAMED:
            return LeftAlone(everything=True)
        return LeftAlone(tuple(sorted(self.keys_of(row_refs).select(_KEY).iter_rows())))

    def keys_of(self, row_refs: RowRefs) -> pl.DataFrame:
        """Some of the rows, after all were given: their keys, and ``row_ref``."""
        wanted = pl.col("row_ref").is_in(pl.Series(row_refs, dtype=pl.Int64).implode())
        numbered = self._numbered() if self.everything else self._keys
        return pl.concat([rows.filter(wanted).select(*_KEY, "row_ref") for rows in numbered])

    def _numbered(self) -> Iterator[pl.DataFrame]:
        """The rows in an order that is the same each time."""
        taken = 0
        for frame in self._batches():
            rows = self._possible(frame)
            refs = pl.int_range(-taken - 1, -taken - 1 - rows.height, -1, eager=True)
            yield rows.select(*TRANSACTION_COLUMNS, row_ref=refs)
            taken += rows.height

    def _batches(self) -> Iterator[pl.DataFrame]:
        fresh = self._found[:1] if self.voids.positions.size else []
        if self.everything:
            yield from fresh
            voided = pl.concat(fresh or [_NO_ROWS]).select(_KEY)
            for batch in self.waiting.batches():
                yield batch.select(_NO_ROWS.columns).join(voided, on=_KEY, how="anti")
            return
        rows = pl.concat([_NO_ROWS, *self._found]).unique("row_id", maintain_order=True)
        refunds = self._refunds_of(rows)
        yield (
            pl.concat([rows, refunds]).sort("row_id").unique(_KEY, keep="last", maintain_order=True)
        )

    def _refunds_of(self, rows: pl.DataFrame) -> pl.DataFrame:
        keys = rows.filter(pl.col("kind") != "refund")
        if keys.is_empty() or not self.waiting.size:
            return rows.clear()
        refunds = self.waiting.refunds_of(keys["service_id"], keys["transaction_id"])
        return refunds.select(_NO_ROWS.columns)

    def _possible(self, rows: pl.DataFrame) -> pl.DataFrame:
        booked = self.past.booked_at(rows["service_id"], rows["transaction_id"]) >= 0
        rows = rows.filter(~pl.Series(booked))
        if self.days is not None:
            age = pl.lit(self.booked_on) - pl.col("occurred_at").dt.date()
            possible = rows.select(age.dt.total_days() < self.days).to_series().to_numpy().copy()
            # A key that was booked once is never passed over, whatever it says by now.
            old = rows.select(_KEY)[np.flatnonzero(~possible)]
            keys = old["service_id"], old["transaction_id"]
            possible[~possible] = self.past.entries_of(*keys) >= 0
            rows = rows.filter(pl.Series(possible))
        return rows


_AFTER_ALL: Final = 1 << 62


def _voided_rows(voids: Voids) -> pl.DataFrame:
    rows = voids.entries.select(
        *TRANSACTION_COLUMNS, booked_once=pl.lit(value=True), row_id=pl.lit(_AFTER_ALL, pl.Int64)
    )
    return rows.with_columns(row_id=pl.col("row_id") + pl.int_range(pl.len()))


def _originals(voids: Voids) -> pl.DataFrame:
    return voids.entries.select(
        "service_id", transaction_id=pl.coalesce("original_transaction_id", "transaction_id")
    )


def _pairs(pairs: Iterable[tuple[str, str]], identifier: str) -> pl.DataFrame:
    return pl.DataFrame(
        sorted(pairs), schema={"service_id": pl.String, identifier: pl.String}, orient="row"
    )

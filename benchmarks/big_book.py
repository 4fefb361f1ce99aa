"""Writes a book of many entries straight to the disk, to measure what reads one.

    python benchmarks/big_book.py BOOK --runs 100 --entries 1000000 --people 2500000 --memory

Each run books `--entries` people, one entry each, and declines as many rows as `--declined` says,
by the engine's own writers, so the book is one that `mynapoint verify` finds sound.
"""

import argparse
import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from engine.booking.enrollment import EnrollmentCounts
from engine.io.book.folder import Book, part_name, run_id
from engine.io.book.format import (
    FORMAT,
    PROGRAMME_FILE,
    RECORD_FILE,
    SERVICES_FILE,
    TABLES_OF_EVERY_RUN,
    RunTable,
)
from engine.io.book.index import recall
from engine.io.book.ledger import commit, write_part
from engine.io.book.payouts import previous_sha256
from engine.io.book.run_record import Input, Output, RunRequest, UsedProgramme
from engine.io.book.tables import table_writer
from engine.io.book.tally import Tally
from engine.io.book.writing import LockedBook, locked
from engine.io.durable import write_json, write_text
from engine.io.payout.record import ran
from engine.records import Declined, Enrollment, LedgerEntry, polars_schema
from engine.terms.programme import load_programme
from engine.terms.services import load_services

SERVICES = ("paypay", "aupay", "merpay", "nanaco")
BASES = {"paypay": "purchase", "aupay": "charge", "merpay": "purchase", "nanaco": "charge"}
ROWS_PER_PART = 500_000
FIRST_DAY = dt.datetime(2020, 9, 2)


class World:
    """People with one account each, and what they have come to."""

    def __init__(self, people: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.ids = pl.select(
            person_id=pl.format("p{}", pl.int_range(people).cast(pl.String).str.zfill(15)),
            account_id=pl.format("a{}", (pl.int_range(people) * 7919 % people).cast(pl.String)),
            service_id=pl.int_range(people) % len(SERVICES),
        ).with_columns(pl.col("service_id").replace_strict(dict(enumerate(SERVICES))))
        self.seq = np.zeros(people, np.int64)
        self.net = np.zeros(people, np.int64)

    def enrollments(self) -> pl.DataFrame:
        return (
            self.ids.with_columns(
                applied_at=pl.lit(FIRST_DAY - dt.timedelta(days=1)),
                card_applied_on=pl.lit(dt.date(2020, 7, 1)),
                basis=pl.col("service_id").replace_strict(BASES),
            )
            .with_columns(
                pl.lit(None, dtype=dtype).alias(name)
                for name, dtype in polars_schema(Enrollment).items()
                if name in ("reserved_at", "certificate_issued_at", "preregistered_on")
            )
            .select(list(polars_schema(Enrollment)))
        )

    def entries(self, number: int, rows: int, booked_on: dt.date) -> pl.DataFrame:
        people = np.sort(self.rng.choice(self.seq.size, rows, replace=False))
        amounts = self.rng.integers(100, 2_000, rows)
        before = self.net[people].clip(0, 20_000)
        self.seq[people] += 1
        self.net[people] += amounts
        after = self.net[people].clip(0, 20_000)
        ids = self.ids[people]
        return ids.with_columns(
            run_id=pl.lit(run_id(number)),
            booked_on=pl.lit(booked_on),
            entry_seq=pl.Series(self.seq[people]),
            transaction_id=self.transaction_ids("t", number, rows),
            occurred_at=pl.lit(FIRST_DAY + dt.timedelta(days=number % 390))
            + pl.Series(self.rng.integers(0, 86_400, rows) * 1_000_000).cast(pl.Duration("us")),
            kind=pl.col("service_id").replace_strict(BASES),
            amount=pl.Series(amounts),
            original_transaction_id=pl.lit(None, dtype=pl.String),
            method=pl.lit(None, dtype=pl.String),
            enrolled_account_id=pl.lit(None, dtype=pl.String),
            net_amount=pl.Series(amounts),
            counted_amount=pl.Series(after - before),
            points=pl.Series(after // 4 - before // 4),
            net_spend_after=pl.Series(self.net[people]),
            points_after=pl.Series(after // 4),
            event_id=pl.lit(None, dtype=pl.String),
        ).select(list(polars_schema(LedgerEntry)))

    def declined(self, number: int, rows: int) -> pl.DataFrame:
        people = self.rng.integers(0, self.seq.size, rows)
        return (
            self.ids[people]
            .with_columns(
                transaction_id=self.transaction_ids("d", number, rows),
                occurred_at=pl.lit(FIRST_DAY - dt.timedelta(days=90)),
                kind=pl.lit("purchase"),
                amount=pl.lit(100, dtype=pl.Int64),
                original_transaction_id=pl.lit(None, dtype=pl.String),
                method=pl.lit(None, dtype=pl.String),
                reason=pl.lit("before_window"),
            )
            .select(list(polars_schema(Declined)))
        )

    def transaction_ids(self, mark: str, number: int, rows: int) -> pl.Series:
        """Distinct, and in no order."""
        shuffled = self.rng.permutation(rows)
        return pl.select(
            pl.format(f"{mark}{number:04}{{}}", pl.Series(shuffled).cast(pl.String).str.zfill(10))
        ).to_series()


def book_a_run(book: LockedBook, world: World, number: int, rows: int, declined_rows: int) -> None:
    programme, services = load_programme("mynapoint-2020"), load_services(None)
    staged = book.stage()
    booked_on = (FIRST_DAY + dt.timedelta(days=number)).date()
    entries = world.entries(number, rows, booked_on)
    parts = []
    for part, start in enumerate(range(0, rows, ROWS_PER_PART)):
        of_part = entries[start : start + ROWS_PER_PART]
        name = part_name(number, part)
        parts.append(write_part(of_part, book.staging / "ledger", name, programme.cap_yen))
    accepted = world.enrollments() if number == 1 else world.enrollments()[:0]
    declined = world.declined(number, declined_rows)
    tally = Tally(
        read=rows + declined_rows,
        read_yen=int(entries["amount"].sum()) + int(declined["amount"].sum()),
        enrollments_read=accepted.height,
    )
    tally.enroll(EnrollmentCounts(accepted.height, unchanged=0, rejected={}))
    tally.decline(declined)
    outputs = []
    folder = f"runs/{run_id(number)}"
    frames = {RunTable.ACCEPTED: accepted, RunTable.DECLINED: declined}
    for table in TABLES_OF_EVERY_RUN[FORMAT]:
        with table_writer(staged, table) as writer:
            writer.write(frames.get(table, pl.DataFrame(schema=polars_schema(table.record))))
        outputs.append(writer.written().output(folder))
    for name, text in ((SERVICES_FILE, services.text), (PROGRAMME_FILE, programme.text)):
        sha256 = write_text(staged / name, text)
        outputs.append(Output(f"{folder}/{name}", len(text.encode()), sha256))
    terms = programme.terms_as_of(None)
    request = RunRequest(
        format=FORMAT,
        run_id=run_id(number),
        booked_on=booked_on,
        programme=UsedProgramme(programme.programme_id, programme.sha256, terms),
        services_sha256=services.sha256,
        inputs=(
            Input("transactions", "transactions", 0, "", tally.read),
            Input("enrollments", "enrollments", 0, "", accepted.height),
        ),
    )
    outputs.sort(key=lambda output: output.name)
    run_record = replace(
        tally.record(request, parts, outputs, previous_sha256(book, number - 1)),
        ran=ran(dt.datetime.now(dt.UTC)),
    )
    digest = write_json(staged / RECORD_FILE, run_record.to_json())
    book.publish(number)
    commit(book, number, parts, record_sha256=digest)
    book.clear_up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("book", type=Path)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--entries", type=int, default=1_000_000, help="a run")
    parser.add_argument("--declined", type=int, default=100_000, help="a run")
    parser.add_argument("--people", type=int, default=2_500_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--memory", action="store_true", help="make the book's memory, too")
    options = parser.parse_args()
    world = World(options.people, options.seed)
    with locked(Book.at(options.book)) as book:
        for number in range(1, options.runs + 1):
            book_a_run(book, world, number, options.entries, options.declined)
            print(f"run {number} of {options.runs}", flush=True)
        if options.memory:
            recall(book, options.runs)


if __name__ == "__main__":
    main()

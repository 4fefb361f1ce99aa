"""The floor under the job: read every input byte, write as many rows as come out, decide nothing.

Parquet is decoded by Polars' streaming engine, CSV parsed as text by pyarrow's streaming reader,
and the rows are written by Polars while the next ones are read. Both tools were tried for each, on
two cores and 2 million rows: Polars decodes in 0.09 s where pyarrow, a thread to a file, takes
0.20 s; and writes in 0.33 s where pyarrow, likewise, takes 0.36 s.

What is written has the ledger's columns and close to its entropy: people, services and accounts
come from the enrollments and stand together as in a sorted ledger, the rest comes from the
transactions in the order delivered, and the computed columns go flat past the cap as in life.
"""

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import interface

if __name__ == "__main__":
    PARSER = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    PARSER.add_argument("--transactions", required=True, metavar="GLOB")
    PARSER.add_argument("--enrollments", required=True, metavar="GLOB")
    PARSER.add_argument("--rows-out", required=True, type=int, metavar="N")
    PARSER.add_argument("--out", required=True, type=Path, metavar="DIR")
    PARSER.add_argument("--threads", type=int, default=2)
    GIVEN = PARSER.parse_args()
    # Polars reads the number of its threads when it is imported.
    os.environ["POLARS_MAX_THREADS"] = str(GIVEN.threads)

import polars as pl
import pyarrow as pa
import pyarrow.csv

ROWS_PER_FILE = 2_000_000
CSV_BLOCK_BYTES = 4 << 20
# Where the made-up running spend starts again: some way past the cap.
SPENDING_RANGE_YEN = 2 * interface.SPENDING_CAP_YEN


def parquet_batches(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Decode the canonical columns of Parquet files, about a file's worth of rows at a time."""
    delivered = set(interface.columns_of(files[0]))
    frame = pl.scan_parquet(list(files)).select(c for c in columns if c in delivered)
    yield from frame.collect_batches(
        chunk_size=ROWS_PER_FILE, maintain_order=False, engine="streaming"
    )


def csv_batches(files: Sequence[Path]) -> Iterator[pl.DataFrame]:
    """Parse every column of CSV files as text, about a file's worth of rows at a time."""
    batches: list[pa.RecordBatch] = []
    rows = 0
    for path in files:
        names = interface.columns_of(path)
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
        for batch in reader:
            batches.append(batch)
            rows += batch.num_rows
            if rows >= ROWS_PER_FILE:
                yield text_frame(batches)
                batches, rows = [], 0
    if batches:
        yield text_frame(batches)


def text_frame(batches: list[pa.RecordBatch]) -> pl.DataFrame:
    """Hand pyarrow's batches to Polars."""
    frame = pl.from_arrow(pa.Table.from_batches(batches))
    assert isinstance(frame, pl.DataFrame)
    return frame


def batches_of(files: Sequence[Path], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Read the files, whichever kind they are."""
    return parquet_batches(files, columns) if interface.is_parquet(files[0]) else csv_batches(files)


def ledger_like(rows: pl.DataFrame, people: pl.DataFrame, first: int, total: int) -> pl.LazyFrame:
    """Rows shaped like the ledger's, from `first` of `total`, out of what was just read."""
    place = pl.int_range(first, first + rows.height, dtype=pl.Int64, eager=True)
    rows_per_person = max(total // people.height, 1)
    person = (place * people.height // total).cast(pl.UInt32)
    # A lazy gather takes each column in a thread of its own, `people[person]` all in one.
    people = people.lazy().select(pl.all().gather(person)).collect(engine="in-memory")
    occurred_at = pl.col("occurred_at")
    if rows.schema["occurred_at"] == pl.String:
        occurred_at = occurred_at.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us")
    absent = [
        pl.lit(None, pl.String).alias(name)
        for name in interface.OPTIONAL_TRANSACTION_COLUMNS
        if name not in rows.columns
    ]
    amount, net, counted = (pl.col(c) for c in ("amount", "net_spend_after", "counted_amount"))
    cap = interface.SPENDING_CAP_YEN
    return (
        rows.lazy()
        .with_columns(
            *absent,
            *people.get_columns(),
            occurred_at.cast(pl.Datetime("us")),
            pl.col("amount").cast(pl.Int64),
            run_id=pl.lit(interface.RUN_ID),
            booked_on=pl.lit(interface.BOOKED_ON),
            entry_seq=place % rows_per_person + 1,
            enrolled_account_id=pl.lit(None, pl.String),
            event_id=pl.lit(None, pl.String),
        )
        .with_columns(net_amount=amount, net_spend_after=amount.cum_sum() % SPENDING_RANGE_YEN)
        .with_columns(counted_amount=pl.when(net <= cap).then(amount).otherwise(0))
        .with_columns(points=counted // 4, points_after=net.clip(0, cap) // 4)
        .select(interface.LEDGER_COLUMNS)
    )


def write(rows: pl.LazyFrame, path: Path) -> int:
    """Write one file; its size."""
    rows.sink_parquet(path, compression="zstd", compression_level=1, engine="streaming")
    return path.stat().st_size


def main() -> None:
    """Read all, write `--rows-out` rows, print what it took."""
    transactions = interface.files(GIVEN.transactions)
    enrollments = interface.files(GIVEN.enrollments)
    GIVEN.out.mkdir(parents=True, exist_ok=True)
    pa.set_cpu_count(GIVEN.threads)
    started = time.perf_counter()
    people = pl.concat(batches_of(enrollments, interface.ENROLLMENT_COLUMNS)).select(
        "person_id", "service_id", "account_id"
    )
    rows_in = rows_out = bytes_out = number = 0
    writing: Future[int] | None = None
    with ThreadPoolExecutor(1) as writer:
        for batch in batches_of(transactions, interface.TRANSACTION_COLUMNS):
            rows_in += batch.height
            rows = batch.head(GIVEN.rows_out - rows_out)
            if rows.is_empty():
                continue
            if writing is not None:
                # One file in writing, one being read: memory stays bounded.
                bytes_out += writing.result()
            made = ledger_like(rows, people, rows_out, GIVEN.rows_out)
            writing = writer.submit(write, made, GIVEN.out / f"part-{number:05d}.parquet")
            rows_out, number = rows_out + rows.height, number + 1
        if writing is not None:
            bytes_out += writing.result()
    seconds = time.perf_counter() - started
    found = {
        "tool": "polars" if interface.is_parquet(transactions[0]) else "pyarrow and polars",
        "rows_in": rows_in,
        "rows_out": rows_out,
        "seconds": round(seconds, 2),
        "cpu_seconds": interface.cpu_seconds(),
        "peak_mb": interface.peak_mb(),
        "bytes_in": sum(path.stat().st_size for path in [*transactions, *enrollments]),
        "bytes_out": bytes_out,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()

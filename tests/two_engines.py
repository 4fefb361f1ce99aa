"""The same nights booked in two ways: what must not differ between the two books."""

import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from polars.testing import assert_frame_equal

from engine.io.book.folder import Book, run_id
from engine.io.run.one_run import Run
from engine.spark.messages import SCHEMA, Message, Station, answered, asked, at_station
from engine.spark.spark_run import SparkRun

TABLES = ("declined", "quarantine", "accepted_enrollments", "rejected_enrollments")
SAME = ("booked_on", "programme", "services_sha256", "inputs", "counts", "yen", "points")


class TableTop:
    """A cluster on a table: each task is done twice, from messages in any order.

    Of the two, one is believed: what the other leaves behind may not show anywhere.
    """

    cores = 3

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def run(
        self, progress: Callable[[int, int], None], tasks: Sequence[Sequence[Any]], steps: Any
    ) -> list[Any]:
        messages = asked(tasks)
        for done, step in enumerate(steps, 1):
            partitions: list[list[Message]] = [[] for _ in range(step.partitions)]
            for message in self._shuffled(messages):
                mine = message.station == step.station
                partitions[message.target if mine else message.place % step.partitions].append(
                    message
                )
            messages = []
            for partition in partitions:
                if step.in_order:
                    partition.sort(key=lambda message: message.place)
                attempts = [self._attempt(step, partition) for _ in range(2)]
                messages += self._random.choice(attempts)
            progress(done, len(steps))
        assert {message.station for message in messages} <= {Station.DRIVER}
        return answered([(one.kind, one.place, one.payload) for one in messages])

    def _shuffled(self, messages: Iterable[Message]) -> list[Message]:
        messages = list(messages)
        self._random.shuffle(messages)
        return messages

    @staticmethod
    def _attempt(step: Any, partition: Sequence[Message]) -> list[Message]:
        columns = [[list(message)[at] for message in partition] for at in range(5)]
        batches = [pa.record_batch(columns, schema=SCHEMA)] if partition else []
        made = at_station(step.station, step.work, step.job, batches)
        return [Message(*row.values()) for batch in made for row in batch.to_pylist()]


def on_a_table_top(seed: int) -> Callable[..., Run]:
    """For ``mynapoint.run(how=...)``: the stations of a run on Spark, without Spark."""
    return lambda *arguments: SparkRun(TableTop(seed), *arguments)


def tables_of(book: Path, run: int) -> dict[str, pl.DataFrame]:
    """All rows of a run: the ledger's in their order, the others sorted."""
    found = {}
    for name in TABLES:
        frame = pl.read_parquet(book / "runs" / run_id(run) / f"{name}.parquet")
        if name == "quarantine":
            frame = frame.with_columns(pl.col("errors").list.sort().list.join(" "))
        found[name] = frame.sort(frame.columns, nulls_last=True)
    parts = sorted((book / "ledger").glob(f"{run_id(run)}-*.parquet"))
    found["ledger"] = (
        pl.concat([pl.read_parquet(part) for part in parts]) if parts else pl.DataFrame()
    )
    return found


def assert_same_run(one: Path, other: Path, run: int) -> None:
    """Every table and all counts of a run are the same in both books, row for row."""
    mine, its = tables_of(one, run), tables_of(other, run)
    for name, frame in mine.items():
        assert_frame_equal(frame, its[name])
    records = [Book(book).record(run) for book in (one, other)]
    for name in SAME:
        assert getattr(records[0], name) == getattr(records[1], name), name
    loose = sum(pl.read_parquet(file).height for file in (other / "ledger").glob("*.parquet"))
    assert loose == pl.read_delta(str(other / "ledger")).height
    assert not (other / "staging").exists()

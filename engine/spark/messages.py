"""Messages between stations: many rows in one, with the partition they are meant for."""

import io
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, auto
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from engine.errors import MynapointError
from engine.records import Kind

COLUMNS: Final = "station int, target int, kind int, place bigint, payload binary"
SCHEMA: Final = pa.schema(
    [
        ("station", pa.int32()),
        ("target", pa.int32()),
        ("kind", pa.int32()),
        ("place", pa.int64()),
        ("payload", pa.binary()),
    ]
)
_ROWS_A_MESSAGE: Final = 32 * 1024
_ROWS_HELD: Final = 1_000_000

Targets = npt.NDArray[np.int64]


class Station(IntEnum):
    """Where a message is taken in."""

    READING = 0
    KEYS = auto()
    PEOPLE = auto()
    TABLES = auto()
    DRIVER = auto()


class Say(IntEnum):
    """What a message holds."""

    BEGIN = 0
    ITEM = auto()
    PARTS = auto()
    ROWS = auto()
    ASKED = auto()
    ANSWERS = auto()
    FACTS = auto()
    REFUNDS = auto()
    BALANCES = auto()
    MONTHS = auto()
    CONFLICTS = auto()
    FAULTY = auto()
    DECLINED = auto()
    PENDING = auto()
    ORIGINALS = auto()
    SCREEN = auto()
    DONE = auto()
    ERROR = auto()


class Message(NamedTuple):
    """``place`` orders messages where their order matters, and spreads those that pass by."""

    station: int
    target: int
    kind: int
    place: int
    payload: bytes


def packed(frame: pl.DataFrame) -> bytes:
    """A frame as bytes."""
    if frame.schema.get("kind") == Kind:
        frame = frame.with_columns(pl.col("kind").to_physical())
    sink = io.BytesIO()
    frame.write_ipc_stream(sink, compression="lz4", compat_level=pl.CompatLevel.oldest())
    return sink.getvalue()


def unpacked(payload: bytes) -> pl.DataFrame:
    """The frame that was packed."""
    frame = pl.read_ipc_stream(payload)
    if frame.schema.get("kind") == pl.UInt8:
        frame = frame.with_columns(pl.col("kind").cat.to(Kind))
    return frame


def told(payload: bytes) -> Any:  # noqa: ANN401 - whatever was said
    """What a task, or the driver, said to another one of this run."""
    return pickle.loads(payload)  # noqa: S301 - only this run's own tasks write messages


def all_of(payloads: list[bytes], empty: pl.DataFrame) -> pl.DataFrame:
    """The frames of many messages in one."""
    return pl.concat([unpacked(one) for one in payloads], rechunk=True) if payloads else empty


@dataclass(slots=True)
class Outbox:
    """Gathers rows by their targets until a message of them is worth sending."""

    _held: dict[tuple[int, int, int], list[pl.DataFrame]] = field(default_factory=dict)
    _rows: dict[tuple[int, int, int], int] = field(default_factory=dict)
    _all_rows: int = 0

    def add(
        self, station: Station, kind: Say, frame: pl.DataFrame, targets: Targets | int
    ) -> Iterator[Message]:
        """Adds rows, each for its target or all for one; gives what is worth sending."""
        if isinstance(targets, int):
            yield from self._add((station, targets, kind), frame)
        elif targets.size:
            order = np.argsort(targets, kind="stable")
            ascending = targets[order]
            frame = frame[order]
            cuts = np.flatnonzero(ascending[1:] != ascending[:-1]) + 1
            for start, end in pairwise([0, *cuts.tolist(), ascending.size]):
                yield from self._add((station, int(ascending[start]), kind), frame[start:end])
        if self._all_rows > _ROWS_HELD:
            yield from self.rest()

    def _add(self, address: tuple[int, int, int], frame: pl.DataFrame) -> Iterator[Message]:
        if frame.is_empty():
            return
        self._held.setdefault(address, []).append(frame)
        self._rows[address] = self._rows.get(address, 0) + frame.height
        self._all_rows += frame.height
        if self._rows[address] >= _ROWS_A_MESSAGE:
            yield from self._sent(address)

    def _sent(self, address: tuple[int, int, int]) -> Iterator[Message]:
        frame = pl.concat(self._held.pop(address))
        self._all_rows -= self._rows.pop(address)
        station, target, kind = address
        for some in frame.iter_slices(2 * _ROWS_A_MESSAGE):
            yield Message(station, target, kind, target, packed(some))

    def rest(self) -> Iterator[Message]:
        """What is still held."""
        for address in list(self._held):
            yield from self._sent(address)


Work = Callable[[Any, Iterator[Message]], Iterator[Message]]


def at_station(
    here: Station,
    work: Work,
    job: Any,  # noqa: ANN401 - what the station's work asks for
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Does a station's work on a partition's messages; those for later stations pass by.

    An error that a user can act on travels to the driver as a message; Spark's retries would not
    mend it.
    """
    passing: deque[Message] = deque()
    arriving = _messages(batches)
    last = 0

    def mine() -> Iterator[Message]:
        nonlocal last
        for message in arriving:
            if message.station == here:
                last = max(0, message.place)
                yield message
            else:
                passing.append(message)

    def leaving() -> Iterator[Message]:
        try:
            for message in work(job, mine()):
                while passing:
                    yield passing.popleft()
                yield message
        except MynapointError as error:
            yield Message(Station.DRIVER, 0, Say.ERROR, last, pickle.dumps(error))
        yield from passing
        for message in arriving:
            if message.station != here:
                yield message

    for message in leaving():
        columns = [[value] for value in message]
        yield pa.record_batch(columns, schema=SCHEMA)


def _messages(batches: Iterable[pa.RecordBatch]) -> Iterator[Message]:
    for batch in batches:
        columns = [batch.column(name) for name in SCHEMA.names]
        for row in range(batch.num_rows):
            yield Message(*(column[row].as_py() for column in columns))


def asked(tasks: Sequence[Sequence[Any]]) -> list[Message]:
    """The items of each task, for the first station; None is what begins."""
    return [
        Message(
            int(Station.READING),
            task,
            int(Say.BEGIN if item is None else Say.ITEM),
            task << 32 | place,
            pickle.dumps(item),
        )
        for task, items in enumerate(tasks)
        for place, item in enumerate(items)
    ]


def answered(rows: Iterable[tuple[int, int, bytes]]) -> list[Any]:
    """What tasks said to the driver (kind, place, payload), in the order of its places.

    Raises:
        MynapointError: a task raised it; of several, the first in that order.
    """
    found = sorted(rows, key=lambda row: row[1])
    for kind, _, payload in found:
        if kind == Say.ERROR:
            error: MynapointError = told(payload)
            raise error
    return [told(payload) for _, _, payload in found]

"""Waiting transactions as they stand on the disk: what is fixed of each, and its texts beside it.

A row's texts follow each other, and so do those of the rows of one account: what is asked for
together is read together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import Hashes, hash_pair
from engine.records import TRANSACTION_COLUMNS, Kind

TEXTS: Final = ("service_id", "transaction_id", "account_id", "original_transaction_id", "method")
COLUMNS: Final = (*TRANSACTION_COLUMNS, "booked_once", "run", "row_id")

# Two hashes, of the account and of the key. The texts' lengths are in bytes, -1 where there is
# none; ``texts_at`` counts from the first byte of the texts' file. A row's ID is its run's number
# times 2^32 plus its place among the run's rows.
FIXED: Final = np.dtype(
    [
        ("account", "u8"),
        ("key", "u8"),
        ("texts_at", "u8"),
        ("occurred_at", "i8"),
        ("row_id", "i8"),
        ("amount", "i4"),
        ("method_length", "i4"),
        ("lengths", "i2", (len(TEXTS) - 1,)),
        ("kind", "u1"),
        ("booked_once", "u1"),
        # Blocks are full of rows then, and need not be copied to be used.
        ("unused", "u1", (6,)),
    ]
)


@dataclass(frozen=True, slots=True)
class WaitingRows:
    """Waiting rows: what is fixed of each, and its texts as one."""

    fixed: npt.NDArray[Any]
    texts: pl.Series

    @classmethod
    def none(cls) -> "WaitingRows":
        return cls(np.empty(0, FIXED), pl.Series(dtype=pl.Binary))

    @classmethod
    def of(cls, fixed: npt.NDArray[Any], data: npt.NDArray[np.uint8]) -> "WaitingRows":
        """Rows and the bytes of all their texts, in their order."""
        offsets = np.zeros(fixed.size + 1, np.int64)
        np.cumsum(text_bytes(fixed), out=offsets[1:])
        texts = pa.LargeBinaryArray.from_buffers(
            pa.large_binary(), fixed.size, [None, pa.py_buffer(offsets), pa.py_buffer(data)]
        )
        return cls(fixed, pl.Series(texts))

    @classmethod
    def united(cls, parts: Sequence["WaitingRows"]) -> "WaitingRows":
        return cls(
            np.concatenate([part.fixed for part in parts]),
            pl.concat([part.texts for part in parts], rechunk=True),
        )

    def take(self, places: npt.NDArray[np.int64]) -> "WaitingRows":
        return WaitingRows(self.fixed[places], self.texts[places])

    def filter(self, mask: npt.NDArray[np.bool_]) -> "WaitingRows":
        return self if mask.all() else self.take(np.flatnonzero(mask))

    def column(self, name: str) -> npt.NDArray[Any]:
        """Of what is fixed, one column, on its own."""
        return np.ascontiguousarray(self.fixed[name])

    def text(self, name: str) -> pl.Series:
        """One of the texts."""
        return self.text_columns([name]).to_series()

    def text_columns(self, names: Sequence[str]) -> pl.DataFrame:
        """Some of the texts, cut out of the whole in one query."""
        start, columns = np.zeros(self.fixed.size, np.int64), [self.texts.alias("all")]
        cuts = dict.fromkeys(names, pl.lit(None))
        for name in TEXTS:
            length = _lengths(self.fixed, name)
            if name in names:
                at, of = f"start of {name}", f"length of {name}"
                columns += [pl.Series(at, start), pl.Series(of, length)]
                part = pl.col("all").bin.slice(pl.col(at), pl.col(of).clip(0)).cast(pl.String)
                cuts[name] = pl.when(pl.col(of) >= 0).then(part)
            start = start + np.maximum(length, 0)
        return pl.DataFrame(columns).select(**cuts)


def encoded(frame: pl.DataFrame) -> WaitingRows:
    """Rows of the canonical columns, ``booked_once`` and ``row_id``."""
    fixed = np.zeros(frame.height, FIXED)
    fixed["account"] = _pair_hashes(frame, "account_id")
    fixed["key"] = _pair_hashes(frame, "transaction_id")
    fixed["occurred_at"] = frame["occurred_at"].cast(pl.Int64).to_numpy()
    fixed["kind"] = frame["kind"].cast(Kind).to_physical().to_numpy()
    for name in ("row_id", "amount", "booked_once"):
        fixed[name] = frame[name].to_numpy()
    texts = pl.col(TEXTS).cast(pl.String)
    lengths = frame.select(texts.str.len_bytes().cast(pl.Int64).fill_null(-1))
    for number, name in enumerate(TEXTS):
        place = fixed["method_length"] if name == "method" else fixed["lengths"][:, number]
        place[:] = lengths[name].to_numpy()
    return WaitingRows(
        fixed, frame.select(pl.concat_str(texts.fill_null("")).cast(pl.Binary)).to_series()
    )


def _pair_hashes(frame: pl.DataFrame, identifier: str) -> Hashes:
    return hash_pair(frame["service_id"].cast(pl.String), frame[identifier])


def decoded(rows: WaitingRows) -> pl.DataFrame:
    """The rows in the columns ``COLUMNS``."""
    row_ids = rows.column("row_id")
    columns = {
        **rows.text_columns(TEXTS).to_dict(),
        "occurred_at": pl.Series(rows.column("occurred_at")).cast(pl.Datetime("us")),
        "kind": pl.Series(rows.column("kind")).cat.to(Kind).cast(pl.String),
        "amount": rows.column("amount").astype(np.int64),
        "booked_once": rows.column("booked_once") != 0,
        "run": row_ids >> RUN_SHIFT,
        "row_id": row_ids,
    }
    return pl.DataFrame({name: columns[name] for name in COLUMNS})


def text_bytes(fixed: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """How many bytes the texts of each row have."""
    total = np.zeros(fixed.size, np.int64)
    for name in TEXTS:
        total += np.maximum(_lengths(fixed, name), 0)
    return total


def _lengths(fixed: npt.NDArray[Any], name: str) -> npt.NDArray[np.int64]:
    """How many bytes a text has, -1 where there is none."""
    of_all = fixed["method_length"] if name == "method" else fixed["lengths"][:, TEXTS.index(name)]
    lengths: npt.NDArray[np.int64] = of_all.astype(np.int64)
    return lengths

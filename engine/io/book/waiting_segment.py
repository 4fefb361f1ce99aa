"""A segment of waiting rows on the disk: by the hash of their account, and how to find that."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import Hashes, Positions, hash_pair
from engine.io.book.checked import ArrayFile, ArrayWriter, CheckedArray, write_array
from engine.io.book.segments import Pairs, PairSorter, Segment
from engine.io.book.waiting_rows import FIXED, WaitingRows, text_bytes
from engine.records import KINDS

_DTYPES: Final = {
    "accounts": np.dtype(np.uint64),
    "fixed": FIXED,
    "texts": np.dtype(np.uint8),
    "contested": np.dtype(np.uint64),
}
_REFUND: Final = KINDS.index("refund")


@dataclass(frozen=True, slots=True)
class WaitingSegment:
    """Rows by the hash of their account, ascending.

    Attributes:
        keys: under which account a key's row stands.
        originals: under which accounts the refunds of an original stand.
        contested: the keys that stand under more than one account here.
        rows_by_run: how many rows of each run there are.
    """

    accounts: CheckedArray
    fixed: CheckedArray
    texts: CheckedArray
    contested: CheckedArray
    keys: Segment
    originals: Segment
    rows_by_run: dict[int, int]

    @classmethod
    def open(cls, folder: Path, listed: dict[str, Any]) -> "WaitingSegment":
        """The segment whose files were listed."""
        arrays = {
            name: CheckedArray(folder, ArrayFile(*listed[name]), dtype)
            for name, dtype in _DTYPES.items()
        }
        return cls(
            **arrays,
            keys=Segment.open(folder, listed["keys"]),
            originals=Segment.open(folder, listed["originals"]),
            rows_by_run={int(run): rows for run, rows in listed["rows_by_run"].items()},
        )

    @property
    def listed(self) -> dict[str, Any]:
        """The segment's files, for JSON."""
        return {
            **{name: list(getattr(self, name).file) for name in _DTYPES},
            "keys": self.keys.listed,
            "originals": self.originals.listed,
            "rows_by_run": {str(run): rows for run, rows in self.rows_by_run.items()},
        }

    @property
    def files(self) -> list[str]:
        """The names of all files."""
        arrays = [getattr(self, name).file.name for name in _DTYPES]
        return [*arrays, *self.keys.files, *self.originals.files]

    def rows(self, starts: Positions, stops: Positions) -> WaitingRows:
        """The rows of ascending ranges."""
        filled = starts < stops
        if not filled.any():
            return WaitingRows.none()
        starts, stops = starts[filled], stops[filled]
        fixed = self.fixed.slices(starts, stops)
        after = np.cumsum(stops - starts)
        begins = fixed["texts_at"].astype(np.int64)
        ends = begins + text_bytes(fixed)
        return WaitingRows.of(
            fixed, self.texts.slices(begins[after - (stops - starts)], ends[after - 1])
        )


class SegmentWriter:
    """Writes a segment, a range of accounts after the other."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._files = ExitStack()
        self._arrays = {
            part: self._files.enter_context(ArrayWriter(self._path(part), _DTYPES[part]))
            for part in ("accounts", "fixed", "texts")
        }
        self._text_bytes = 0
        self._keys = PairSorter(folder, f"{name}-keys-part")
        self._originals = PairSorter(folder, f"{name}-originals-part")
        self._rows_by_run: dict[int, int] = {}

    def _path(self, part: str) -> Path:
        return self._folder / f"{self._name}-{part}.array"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.close()

    def append(self, rows: WaitingRows) -> None:
        """Adds rows by the hash of their account."""
        fixed, lengths = rows.fixed.copy(), text_bytes(rows.fixed)
        fixed["texts_at"] = self._text_bytes + np.cumsum(lengths) - lengths
        self._text_bytes += int(lengths.sum())
        accounts = rows.column("account")
        self._arrays["accounts"].append(accounts)
        self._arrays["fixed"].append(fixed)
        self._arrays["texts"].append(_bytes_of(rows.texts))
        refunds = rows.filter(rows.fixed["kind"] == _REFUND)
        originals = hash_pair(refunds.text("service_id"), refunds.text("original_transaction_id"))
        self._keys.add(rows.column("key"), accounts.view(np.int64))
        self._originals.add(originals, refunds.column("account").view(np.int64))
        runs, counts = np.unique(rows.fixed["row_id"] >> RUN_SHIFT, return_counts=True)
        for run, count in zip(runs.tolist(), counts.tolist(), strict=True):
            self._rows_by_run[run] = self._rows_by_run.get(run, 0) + count

    def finish(self) -> WaitingSegment:
        """Returns when the segment is on the disk."""
        arrays = {part: array.finish() for part, array in self._arrays.items()}
        contested: list[Hashes] = [np.empty(0, np.uint64)]
        ranges = _noted(self._keys.ranges(), contested)
        keys = Segment.write(self._folder, f"{self._name}-keys", ranges)
        name = f"{self._name}-originals"
        originals = Segment.write(self._folder, name, self._originals.ranges())
        arrays["contested"] = write_array(self._path("contested"), np.concatenate(contested))
        return WaitingSegment.open(
            self._folder,
            {
                **arrays,
                "keys": keys.listed,
                "originals": originals.listed,
                "rows_by_run": dict(sorted(self._rows_by_run.items())),
            },
        )


def last_each(rows: WaitingRows) -> WaitingRows:
    """The rows by the hash of their account; of an account's with one key, the one of last."""
    columns = {name: rows.column(name) for name in ("account", "key", "row_id")}
    order = pl.DataFrame(columns).select(pl.arg_sort_by(*columns)).to_series().to_numpy()
    rows = rows.take(order.astype(np.int64))
    account, key = rows.column("account"), rows.column("key")
    alike = np.flatnonzero((account[1:] == account[:-1]) & (key[1:] == key[:-1]))
    if alike.size == 0:
        return rows
    older, newer = rows.take(alike), rows.take(alike + 1)
    replaced = np.ones(alike.size, np.bool_)
    for name in ("service_id", "transaction_id"):
        replaced &= (older.text(name) == newer.text(name)).to_numpy()
    kept = np.ones(account.size, np.bool_)
    kept[alike[replaced]] = False
    return rows.filter(kept)


def contested_keys(keys: Hashes, accounts: Positions) -> Hashes:
    """Those of ascending keys that stand under more than one account."""
    differ = (keys[1:] == keys[:-1]) & (accounts[1:] != accounts[:-1])
    return np.unique(keys[1:][differ])


def _noted(ranges: Iterable[Pairs], contested: list[Hashes]) -> Iterator[Pairs]:
    for keys, accounts in ranges:
        contested.append(contested_keys(keys, accounts))
        yield keys, accounts


def _bytes_of(texts: pl.Series) -> npt.NDArray[np.uint8]:
    """The bytes of all texts, one after the other."""
    if len(texts) == 0:
        return np.empty(0, np.uint8)
    array = texts.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    return np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]

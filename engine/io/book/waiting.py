"""What waits: the rows that runs declined, to be found by account, by original and by key.

They stand in segments by the hash of their account, from the oldest to the youngest. A segment is
never changed, only merged. Two further arrays say under which accounts a key, or the refunds of an
original, may be found. Hashes only find; texts decide.

One content waits for a key: that of the row that came last. An older one stays on the disk until
segments are merged, but no look-up gives it. What was booked since, this does not know.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from engine.booking.state import RUN_SHIFT
from engine.columns.hashing import FewHashes, Hashes, hash_pair
from engine.io.book.checked import common_ranges, distinct
from engine.io.book.segments import ROWS_AT_ONCE, first_to_merge, merged
from engine.io.book.waiting_rows import COLUMNS, WaitingRows, decoded, encoded
from engine.io.book.waiting_segment import SegmentWriter, WaitingSegment, contested_keys, last_each

StillWaits = Callable[[pl.DataFrame], pl.Series]

_KEY: Final = ["service_id", "transaction_id"]
_ORIGINAL: Final = ["service_id", "original_transaction_id"]
_ACCOUNT: Final = ["service_id", "account_id"]
_NOTHING: Final = np.empty(0, np.uint64)


class Waiting:
    """The waiting rows of a book. Whatever reads them may raise ``DamagedIndex``."""

    def __init__(self, folder: Path, segments: Sequence[WaitingSegment] = ()) -> None:
        """Takes the segments from the oldest to the youngest."""
        self._folder, self._segments = folder, tuple(segments)

    @classmethod
    def open(cls, folder: Path, listed: Sequence[dict[str, Any]]) -> "Waiting":
        """The segments that were listed."""
        return cls(folder, [WaitingSegment.open(folder, segment) for segment in listed])

    @property
    def listed(self) -> list[dict[str, Any]]:
        """The segments' files, for JSON."""
        return [segment.listed for segment in self._segments]

    @property
    def files(self) -> list[str]:
        """The names of all files."""
        return [name for segment in self._segments for name in segment.files]

    @property
    def size(self) -> int:
        """How many rows there are on the disk: no fewer than wait."""
        return sum(segment.accounts.size for segment in self._segments)

    @property
    def rows_by_run(self) -> dict[int, int]:
        """How many rows of each run there are on the disk."""
        rows: Counter[int] = Counter()
        for segment in self._segments:
            rows.update(segment.rows_by_run)
        return dict(sorted(rows.items()))

    def add_run(
        self,
        number: int,
        rows: pl.DataFrame | Iterable[pl.DataFrame],
        still_waits: StillWaits | None = None,
    ) -> "Waiting":
        """With the rows of a further run, in their order.

        They have the canonical columns and ``booked_once``. Where segments are merged, rows are
        given up of which ``still_waits`` says no; it must say the same of all rows of a key.
        """
        segments = list(self._segments)
        known, place = len(segments), number << RUN_SHIFT
        for piece in [rows] if isinstance(rows, pl.DataFrame) else rows:
            for rows_at_once in piece.iter_slices(ROWS_AT_ONCE):
                row_ids = pl.int_range(place, place + rows_at_once.height, eager=True)
                place += rows_at_once.height
                fresh = SegmentWriter(self._folder, f"waiting-{number:06}-{len(segments) - known}")
                with fresh:
                    fresh.append(last_each(encoded(rows_at_once.with_columns(row_id=row_ids))))
                    segments.append(fresh.finish())
        start = first_to_merge([segment.accounts.size for segment in segments])
        if start is not None:
            with SegmentWriter(self._folder, f"waiting-{number:06}-merged") as whole:
                for range_rows in _in_ranges(segments[start:]):
                    whole.append(_shed(range_rows, still_waits))
                segments[start:] = [whole.finish()]
        return Waiting(self._folder, [segment for segment in segments if segment.accounts.size])

    def of_accounts(self, service_ids: pl.Series, account_ids: pl.Series) -> pl.DataFrame:
        """The rows of these accounts."""
        accounts = _pairs(_ACCOUNT, service_ids, account_ids)
        hashes = _ascending(_hashes(accounts))
        found = self._under(hashes)
        return self._last(found.join(accounts, on=_ACCOUNT, how="semi"), found, hashes)

    def refunds_of(
        self, service_ids: pl.Series, original_transaction_ids: pl.Series
    ) -> pl.DataFrame:
        """The refunds that name these originals."""
        originals = _pairs(_ORIGINAL, service_ids, original_transaction_ids)
        hashes = _ascending(_hashes(originals))
        under = [segment.originals.find(hashes)[1] for segment in self._segments]
        accounts = _united(under)
        found = self._under(accounts)
        refunds = found.filter(pl.col("kind") == "refund")
        return self._last(refunds.join(originals, on=_ORIGINAL, how="semi"), found, accounts)

    def of_keys(self, service_ids: pl.Series, transaction_ids: pl.Series) -> pl.DataFrame:
        """The rows with these keys."""
        keys = _pairs(_KEY, service_ids, transaction_ids)
        hashes = _ascending(_hashes(keys))
        accounts = _united(segment.keys.find(hashes)[1] for segment in self._segments)
        found = self._under(accounts)
        return self._last(found.join(keys, on=_KEY, how="semi"), found, accounts)

    def batches(self) -> Iterator[pl.DataFrame]:
        """All rows, in bounded memory, in an arbitrary order."""
        if not self._segments:
            return
        ranges = merged([segment.keys for segment in self._segments], ROWS_AT_ONCE)
        contested = FewHashes(np.concatenate([contested_keys(*key_range) for key_range in ranges]))
        for rows in _in_ranges(self._segments):
            frame = decoded(rows)
            doubtful = frame[contested.places_among(np.ascontiguousarray(rows.fixed["key"]))]
            if doubtful.height:
                last = self.of_keys(doubtful["service_id"], doubtful["transaction_id"])
                replaced = doubtful.join(last, on="row_id", how="anti")
                frame = frame.join(replaced, on="row_id", how="anti")
            yield frame

    def _under(self, accounts: Hashes) -> pl.DataFrame:
        """All rows under ascending hashes of accounts, and the number of their segment."""
        found = [_no_rows()]
        for number, segment in enumerate(self._segments if accounts.size else ()):
            rows = segment.rows(*segment.accounts.ranges(accounts))
            if rows.fixed.size:
                found.append(decoded(rows).with_columns(segment=pl.lit(number, pl.Int64)))
        return pl.concat(found)

    def _last(self, wanted: pl.DataFrame, found: pl.DataFrame, accounts: Hashes) -> pl.DataFrame:
        """Those of the wanted rows that came last for their key.

        ``found`` are all rows under these ascending hashes of accounts, the wanted ones too.
        """
        if wanted.is_empty():
            return wanted.select(COLUMNS)
        rival_accounts = np.setdiff1d(self._rivals(wanted), accounts, assume_unique=True)
        everything = (
            pl.concat([found, self._under(rival_accounts)]) if rival_accounts.size else found
        )
        last = everything.group_by(_KEY).agg(pl.col("row_id").max())
        return wanted.join(last, on=[*_KEY, "row_id"], how="semi").sort("row_id").select(COLUMNS)

    def _rivals(self, wanted: pl.DataFrame) -> Hashes:
        """The accounts that may have a later row with the key of one of these rows."""
        keys, own = _hashes(wanted.select(_KEY)), wanted["segment"].to_numpy()
        accounts = []
        for number, segment in enumerate(self._segments):
            own_keys = _ascending(keys[own == number])
            starts, stops = segment.contested.ranges(own_keys)
            contested = np.concatenate([keys[own < number], own_keys[starts < stops]])
            accounts.append(segment.keys.find(_ascending(contested))[1])
        return _united(accounts)


@cache
def _no_rows() -> pl.DataFrame:
    return decoded(WaitingRows.none()).with_columns(segment=pl.lit(0, pl.Int64))


def _in_ranges(segments: Sequence[WaitingSegment]) -> Iterator[WaitingRows]:
    """All rows of some segments, those of an account together, the last of each key in it."""
    for cuts in common_ranges([segment.accounts for segment in segments], ROWS_AT_ONCE):
        parts = [
            segment.rows(np.array([start]), np.array([stop]))
            for segment, (start, stop) in zip(segments, cuts, strict=True)
        ]
        yield last_each(WaitingRows.united(parts))


def _shed(rows: WaitingRows, still_waits: StillWaits | None) -> WaitingRows:
    return rows if still_waits is None else rows.filter(still_waits(decoded(rows)).to_numpy())


def _pairs(names: list[str], service_ids: pl.Series, identifiers: pl.Series) -> pl.DataFrame:
    columns = zip(names, (service_ids, identifiers), strict=True)
    return pl.DataFrame([texts.cast(pl.String).alias(name) for name, texts in columns])


def _hashes(pairs: pl.DataFrame) -> Hashes:
    service_ids, identifiers = pairs.get_columns()
    return hash_pair(service_ids, identifiers)


def _united(accounts: Iterable[np.ndarray]) -> Hashes:
    return _ascending(np.concatenate([_NOTHING, *(hashes.view(np.uint64) for hashes in accounts)]))


def _ascending(hashes: Hashes) -> Hashes:
    return distinct(np.sort(hashes))

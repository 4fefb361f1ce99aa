"""What the book remembers of its entries' keys, in segments that any cut by key can read.

A segment holds, in the order of the keys' hashes, 52 bytes an entry: the hash, the entry's facts,
the hash of its account. It covers a range of hashes; so does a partition of keys, and reads of
each segment, through a memory map, the part that is its own. Beside it stands what refunds took
back, by the original's key.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, cast
from uuid import uuid4

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.registry import Numbers
from engine.booking.state import FACT, RUN_SHIFT, Keys, Past, content_hashes, key_checks
from engine.columns.hashing import CHECK_SEED, KEY_SEED, Hashes, Positions, hash_pair
from engine.io.durable import new_file

ENTRY: Final = np.dtype([("hash", "u8"), ("fact", FACT), ("account", "u8")])
REFUNDED: Final = np.dtype([("hash", "u8"), ("check", "u4"), ("yen", "i8"), ("counted", "i8")])
ANSWER: Final = np.dtype([("entry", ENTRY), ("yen", "i8"), ("counted", "i8")])
_FULL: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment's files, without their endings, and the range of hashes that it covers."""

    name: str
    first: int
    beyond: int
    entries: int
    refunded: int

    def files(self) -> list[str]:
        return [f"{self.name}.{what}.npy" for what in ("hashes", "facts", "accounts", "refunded")]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def partition_of(hashes: Hashes, bits: int) -> Numbers:
    """By its leading bits, the partition of each key."""
    if bits == 0:
        return np.zeros(hashes.size, np.int64)
    return (hashes >> np.uint64(64 - bits)).astype(np.int64)


def entries_of_ledger(frame: pl.DataFrame) -> np.ndarray:
    """What is remembered of ledger entries, columns of ``ENTRY_COLUMNS``, ``kind`` as an Enum."""
    entries = np.zeros(frame.height, ENTRY)
    ids = frame["service_id"], frame["transaction_id"]
    hashes = hash_pair(*ids)
    refund, amounts = (frame["kind"] == "refund").to_numpy(), frame["amount"].to_numpy()
    entries["hash"], facts = hashes, entries["fact"]
    facts["content"] = content_hashes(frame, hashes)
    facts["occurred_at"] = frame["occurred_at"].to_physical().to_numpy()
    facts["check"] = key_checks(*ids)
    # Nobody's number: the other half of what the account is known by.
    facts["account_no"] = account_checks(frame)
    facts["signed_amount"] = np.where(refund, -amounts, amounts)
    facts["counted"] = frame["counted_amount"].to_numpy()
    entries["account"] = account_hashes(frame)
    return entries


def account_hashes(frame: pl.DataFrame, seed: int = KEY_SEED) -> Hashes:
    """The hash of each row's account."""
    return hash_pair(frame["service_id"], frame["account_id"], seed)


def account_checks(frame: pl.DataFrame) -> npt.NDArray[np.int32]:
    """A second hash of each row's account: two that agree in both are taken for the same."""
    hashes = account_hashes(frame, CHECK_SEED)
    return (hashes >> np.uint64(32)).astype(np.uint32).view(np.int32)


class KeyMemory:
    """What the book remembers of the keys of one partition."""

    def __init__(
        self, folder: Path, segments: Sequence[Segment], bits: int, partition: int
    ) -> None:
        """Opens the partition's part of each segment."""
        width = _FULL >> bits
        self.first, self.beyond = partition * width, (partition + 1) * width
        mine = [one for one in segments if one.first < self.beyond and self.first < one.beyond]
        self._names = [
            one.name for one in mine if self.first <= one.first and one.beyond <= self.beyond
        ]
        self._known: list[tuple[str, list[np.ndarray]]] = []
        for segment in mine:
            sizes = (segment.entries, segment.entries, segment.entries, segment.refunded)
            # What is empty cannot be mapped.
            arrays = [
                np.load(folder / name, mmap_mode="r" if size else None)
                for name, size in zip(segment.files(), sizes, strict=True)
            ]
            hashes, facts, accounts, refunded = arrays
            some, back = self._within(hashes), self._within(refunded["hash"])
            self._known.append(
                (segment.name, [hashes[some], facts[some], accounts[some], refunded[back]])
            )

    def _within(self, ascending: npt.NDArray[np.uint64]) -> slice:
        start = np.searchsorted(ascending, np.uint64(self.first))
        end = ascending.size
        if self.beyond < _FULL:
            end = int(np.searchsorted(ascending, np.uint64(self.beyond)))
        return slice(int(start), end)

    def add(self, entries: np.ndarray) -> None:
        """Adds entries, in memory."""
        entries = entries[np.argsort(entries["hash"], kind="stable")]
        arrays = [np.ascontiguousarray(entries[name]) for name in ("hash", "fact", "account")]
        self._known.append(("", [*arrays, np.empty(0, REFUNDED)]))

    def add_refunded(self, refunded: np.ndarray) -> None:
        """Adds what refunds took back, to what was added last."""
        self._known[-1][1][3] = _summed([refunded])

    @property
    def past(self) -> Past:
        """As a past that knows keys and facts, and no people."""
        keys, facts = [], []
        for number, (_, (hashes, fact, _, _)) in enumerate(self._known, 1):
            positions = (number << RUN_SHIFT) + np.arange(hashes.size)
            keys.append(Keys(hashes, positions))
            facts.append(fact)
        return replace(Past.empty(), keys=keys, facts=facts)

    def accounts_at(self, positions: Positions) -> Hashes:
        """The hashes of the accounts of the entries at these positions."""
        accounts = np.empty(positions.size, np.uint64)
        numbers = positions >> RUN_SHIFT
        for number in np.unique(numbers):
            at = numbers == number
            places = positions[at] & ((1 << RUN_SHIFT) - 1)
            accounts[at] = self._known[number - 1][1][2][places]
        return accounts

    def answers(self, hashes: Hashes, positions: Positions) -> np.ndarray:
        """All that is known of the entries of these hashes at these positions."""
        answers = np.zeros(positions.size, ANSWER)
        entry = answers["entry"]
        entry["hash"], entry["account"] = hashes, self.accounts_at(positions)
        entry["fact"] = self.past.facts_at(positions)
        back = [self._refunded_of(one[3], hashes) for _, one in self._known]
        known = pl.DataFrame(_columns(_summed(back)))
        found = pl.DataFrame(
            {"hash": hashes, "check": np.ascontiguousarray(entry["fact"]["check"])}
        ).join(known, on=("hash", "check"), how="left", maintain_order="left")
        answers["yen"] = found["yen"].fill_null(0).to_numpy()
        answers["counted"] = found["counted"].fill_null(0).to_numpy()
        return answers

    @staticmethod
    def _refunded_of(refunded: np.ndarray, hashes: Hashes) -> np.ndarray:
        ascending = refunded["hash"]
        wanted = np.unique(hashes)
        starts = np.searchsorted(ascending, wanted)
        counts = np.searchsorted(ascending, wanted, side="right") - starts
        ends = np.cumsum(counts)
        places = np.arange(int(counts.sum())) + np.repeat(starts - (ends - counts), counts)
        return cast("np.ndarray", refunded[places])

    def write(self, folder: Path) -> tuple[Segment, list[str]]:
        """Writes what was added as one segment, with smaller ones that it takes up.

        Gives the segment and the names of those that it takes the place of.
        """
        taken = [arrays for name, arrays in self._known if not name]
        rows = sum(arrays[0].size for arrays in taken)
        replaced = []
        for name, arrays in sorted(self._known, key=lambda one: int(one[1][0].size)):
            if name in self._names and arrays[0].size <= 2 * rows:
                taken.append(arrays)
                replaced.append(name)
                rows += arrays[0].size
        hashes, facts, accounts = (np.concatenate([one[at] for one in taken]) for at in range(3))
        order = np.argsort(hashes, kind="stable")
        refunded = _summed([one[3] for one in taken])
        name = f"keys-{uuid4().hex}"
        segment = Segment(name, self.first, self.beyond, hashes.size, refunded.size)
        arrays = [hashes[order], facts[order], accounts[order], refunded]
        for file_name, array in zip(segment.files(), arrays, strict=True):
            with new_file(folder / file_name) as file:
                np.save(cast("Any", file), array)
        return segment, replaced


def _columns(records: np.ndarray) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(records[name]) for name in records.dtype.names or ()}


def _summed(parts: Sequence[np.ndarray]) -> np.ndarray:
    """What refunds took back, one record a key, in the order of the keys' hashes."""
    together = np.concatenate([np.empty(0, REFUNDED), *parts])
    frame = (
        pl.DataFrame(_columns(together))
        .group_by("hash", "check")
        .agg(pl.col("yen").sum(), pl.col("counted").sum())
        .sort("hash", "check")
    )
    summed = np.empty(frame.height, REFUNDED)
    for name in frame.columns:
        summed[name] = frame[name].to_numpy()
    return summed

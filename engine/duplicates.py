"""The same transaction delivered more than once: duplicates, and conflicts of content.

Two transactions are the same when service and transaction ID are. The same content again is a
duplicate; other content is a conflict: with the ledger's if it has the key, else of all its rows.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.hashing import Hashes, Positions
from engine.past import Past, content_hashes
from engine.registry import Numbers

SIGHTING: Final = np.dtype([("key", "u8"), ("content", "u8"), ("row_ref", "i8")])


class Repeated(NamedTuple):
    """Rows, by ``row_ref`` ascending, whose key was seen more than once in a run.

    ``duplicates`` repeat a row that stays; ``contested`` share a key's hash with other content,
    and are to be settled by their texts.
    """

    duplicates: Numbers
    contested: Numbers


def sightings(keys: Hashes, contents: Hashes, row_refs: Numbers) -> np.ndarray:
    """What must be remembered of a row to see its key again: 24 bytes."""
    seen = np.empty(keys.size, SIGHTING)
    seen["key"], seen["content"], seen["row_ref"] = keys, contents, row_refs
    return seen


def repeated_within(seen: np.ndarray) -> Repeated:
    """Finds repeated keys among sightings; all sightings of a key must be there."""
    again = pl.Series(np.ascontiguousarray(seen["key"])).is_duplicated().to_numpy()
    if not again.any():
        return Repeated(np.empty(0, np.int64), np.empty(0, np.int64))
    some = seen[again]
    frame = pl.DataFrame({name: np.ascontiguousarray(some[name]) for name in SIGHTING.names or ()})
    return _verdicts(frame, ["key"], "content")


def settled_by_text(rows: pl.DataFrame) -> Repeated:
    """Settles contested rows: ``service_id``, ``transaction_id``, ``content``, ``row_ref``.

    What is still contested then is a conflict.
    """
    return _verdicts(rows, ["service_id", "transaction_id"], "content")


def _verdicts(frame: pl.DataFrame, key: list[str], content: str) -> Repeated:
    judged = frame.sort("row_ref").select(
        "row_ref",
        contents=pl.col(content).n_unique().over(key),
        first=pl.int_range(pl.len()).over(key) == 0,
    )
    one = pl.col("contents") == 1
    return Repeated(
        judged.filter(one & ~pl.col("first"))["row_ref"].to_numpy(),
        judged.filter(~one)["row_ref"].to_numpy(),
    )


def against_the_book(
    frame: pl.DataFrame, key_hashes: Hashes, past: Past
) -> tuple[Positions, Hashes, npt.NDArray[np.bool_]]:
    """For each transaction its entry's position or -1, its content's hash, whether that differs."""
    contents = content_hashes(frame, key_hashes)
    positions = past.entries_of(frame["service_id"], frame["transaction_id"])
    known = np.flatnonzero(positions >= 0)
    differs = np.zeros(frame.height, np.bool_)
    differs[known] = past.facts_at(positions[known])["content"] != contents[known]
    return positions, contents, differs

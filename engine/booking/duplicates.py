"""The same transaction delivered more than once: duplicates, and conflicts of content.

Two transactions are the same when service and transaction ID are. The same content again is a
duplicate; other content is a conflict: with the ledger's if it has the key, else of all its rows.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.index_spaces import BookPositions, RowRefs
from engine.booking.state import Past, content_hashes
from engine.columns.hashing import Hashes, repeated_places

WHERE_SEEN: Final = np.dtype([("content", "u8"), ("row_ref", "i8")])


class Occurrences(NamedTuple):
    """What is kept of each row to detect repeated keys (24 bytes a row).

    Attributes:
        keys: the keys' hashes.
        where: ``WHERE_SEEN``, the hash of the content and the ``row_ref``.
    """

    keys: Hashes
    where: np.ndarray

    @classmethod
    def of(cls, keys: Hashes, contents: Hashes, row_refs: RowRefs) -> "Occurrences":
        """The occurrences of some rows."""
        where = np.empty(keys.size, WHERE_SEEN)
        where["content"], where["row_ref"] = contents, row_refs
        return cls(keys, where)


class Repeated(NamedTuple):
    """Rows, by ``row_ref`` ascending, whose key came more than once in a run.

    ``duplicates`` repeat a row that stays; ``contested`` share a key's hash with other content,
    and are to be settled by their texts, those that waited too; ``replaced`` waited in the book
    under a key that was delivered again.
    """

    duplicates: RowRefs
    contested: RowRefs
    replaced: RowRefs

    @classmethod
    def of_all(cls, parts: Iterable["Repeated"]) -> "Repeated":
        """What was found in several parts, as one."""
        none: RowRefs = np.empty(0, np.int64)
        nothing = cls(none, none, none)
        return cls(*(np.sort(np.concatenate(r)) for r in zip(nothing, *parts, strict=True)))


def repeated_within(seen: Occurrences) -> Repeated:
    """Finds repeated keys among occurrences; all occurrences of a key must be there."""
    again = repeated_places(seen.keys)
    if again.size == 0:
        return Repeated.of_all([])
    frame = pl.DataFrame(
        {
            "key": seen.keys[again],
            "content": np.ascontiguousarray(seen.where["content"][again]),
            "row_ref": np.ascontiguousarray(seen.where["row_ref"][again]),
        }
    )
    delivered, contents = pl.col("row_ref") >= 0, pl.col("content").n_unique()
    doubtful = frame.select(((contents > 1) & delivered.any()).over("key")).to_series()
    sure = _verdicts(frame.filter(~doubtful), ["key"], "content")
    return sure._replace(contested=frame.filter(doubtful)["row_ref"].sort().to_numpy())


def settled_by_text(rows: pl.DataFrame) -> Repeated:
    """Settles contested rows: ``service_id``, ``transaction_id``, ``content``, ``row_ref``.

    What is still contested then is a conflict.
    """
    return _verdicts(rows, ["service_id", "transaction_id"], "content")


def _verdicts(frame: pl.DataFrame, key: list[str], content: str) -> Repeated:
    delivered = pl.col("row_ref") >= 0
    judged = frame.sort("row_ref").select(
        "row_ref",
        contents=pl.col(content).filter(delivered).n_unique().over(key),
        first=delivered.cum_sum().over(key) == 1,
    )
    waited, same_content = ~delivered, pl.col("contents") == 1
    return Repeated(
        judged.filter(delivered & same_content & ~pl.col("first"))["row_ref"].to_numpy(),
        judged.filter(delivered & ~same_content)["row_ref"].to_numpy(),
        judged.filter(waited & (pl.col("contents") > 0))["row_ref"].to_numpy(),
    )


class AgainstBook(NamedTuple):
    """What the book knows of delivered transactions.

    Attributes:
        positions: of each one's entry, void or not; -1 where it has none.
        in_force: whether that entry is in force.
        contents: the hash of each one's content.
        differs: whether the entry says something else.
    """

    positions: BookPositions
    in_force: npt.NDArray[np.bool_]
    contents: Hashes
    differs: npt.NDArray[np.bool_]


def against_the_book(frame: pl.DataFrame, key_hashes: Hashes, past: Past) -> AgainstBook:
    """Compares delivered transactions with the entries of their keys."""
    contents = content_hashes(frame, key_hashes)
    positions = past.entries_of(frame["service_id"], frame["transaction_id"])
    known = np.flatnonzero(positions >= 0)
    differs = np.zeros(frame.height, np.bool_)
    differs[known] = past.facts_at(positions[known])["content"] != contents[known]
    return AgainstBook(positions, past.in_force(positions), contents, differs)

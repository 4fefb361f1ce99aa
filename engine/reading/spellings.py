"""IDs that another spelling of meets: counted, and never changed.

`ＡＢ１２`, `ab12` and `AB12` are three IDs, and so are `0012` and `12`. Often they are one that a
person typed, or that an editor, a Mac or a spreadsheet changed: then a payment is booked twice, an
enrolled account's payments are declined, or a person has two caps. So a run names them.

Two IDs are spellings of one if they are equal as `look_alikes` has them, without byte order marks,
in capitals (unless an ID has letters of both cases: they may tell IDs apart), and, of digits alone,
without zeros ahead and without `.0` behind.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.columns.text_bytes import bytes_of
from engine.layouts.look_alikes import plain_texts

# Few IDs are spelled oddly; where all are, as many show it.
MOST_LOOKED_AT: Final = 100_000
_NOT_ASCII: Final = 0x80
_ID: Final = pl.col("id")
_NUMBER: Final = r"^0*([0-9]+?)(?:\.0+)?$"
_SCHEMA: Final = {"service_id": pl.String, "id": pl.String, "plain": pl.String, "row_ref": pl.Int64}


def plain_ids(ids: pl.Series) -> pl.Series:
    """IDs as all their spellings have them; the same series where none is spelled otherwise."""
    ends, data = bytes_of(ids.to_arrow(compat_level=pl.CompatLevel.oldest()))
    content = data[ends[0] : ends[-1]]
    if content.size == 0:
        return ids
    frame, greatest = ids.to_frame("id"), content.max()
    if greatest >= _NOT_ASCII:
        frame = frame.select(plain_texts(_ID).str.replace_all("\ufeff", "", literal=True))
    plain = _ID
    if greatest >= ord("a"):
        plain = pl.when(_ID.str.contains("[A-Z]")).then(_ID).otherwise(_ID.str.to_uppercase())
    starts = ends[:-1][ends[:-1] < ends[1:]] - ends[0]
    has_zeros = (content[starts] == ord("0")).any() or b"." in content.tobytes()
    if not has_zeros and greatest < ord("a"):
        return ids
    spelled = frame.select_seq(plain.str.replace(_NUMBER, "${1}")).to_series()
    return ids if spelled.equals(ids) else spelled


@dataclass(slots=True)
class OddIds:
    """The IDs of one column that are spelled otherwise than they might be; used by several threads.

    Attributes:
        column: which; a person's IDs are of no service.
        every: whether all IDs are kept, for what is looked at may be the plain spelling.
    """

    column: str
    every: bool = False
    _found: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _lock: Lock = field(default_factory=Lock)

    def look(self, rows: pl.DataFrame) -> None:
        """Looks at readable rows, which have a ``row_ref``."""
        if self._rows >= MOST_LOOKED_AT or rows.height == 0:
            return
        if self.every:
            rows = rows.head(MOST_LOOKED_AT)
        ids = rows[self.column]
        plain = plain_ids(ids)
        if plain is ids and not self.every:
            return
        service = pl.lit("") if self.column == "person_id" else pl.col("service_id")
        found = rows.select(
            service.cast(pl.String).alias("service_id"),
            pl.col(self.column).alias("id"),
            plain.alias("plain"),
            "row_ref",
        )
        if not self.every:
            found = found.filter(pl.col("id") != pl.col("plain"))
        found = found.unique(["service_id", "id"], keep="first", maintain_order=True)
        with self._lock:
            found = found.head(max(0, MOST_LOOKED_AT - self._rows))
            self._found.append(found)
            self._rows += found.height

    def ids(self) -> pl.DataFrame:
        """What was found: ``service_id``, ``id``, ``plain``, ``row_ref``, each ID once."""
        if not self._found:
            return pl.DataFrame(schema=_SCHEMA)
        found = pl.concat(self._found)
        return found.sort("row_ref").unique(["service_id", "id"], keep="first", maintain_order=True)

    def among_each_other(self, ids: pl.DataFrame) -> npt.NDArray[np.bool_]:
        """Which of the IDs have another of them as another spelling."""
        again = pl.col("id").n_unique().over("service_id", "plain") > 1
        return ids.select(again.fill_null(value=False)).to_series().to_numpy()


def in_other_spellings(
    ids: pl.DataFrame, services: pl.Series | None, others: pl.Series
) -> npt.NDArray[np.bool_]:
    """Which of some IDs, as ``OddIds`` finds them, another spelling is among others."""
    mask = np.zeros(ids.height, np.bool_)
    if ids.is_empty():
        return mask
    # There may be millions of others, and few come near one of the IDs.
    other, plain = pl.col("other"), pl.col("plain")
    outlines = ids.select(_outline(plain)).to_series().implode()
    near = _outline(other).is_in(outlines) | (other.str.len_bytes() != other.str.len_chars())
    services = services if services is not None else pl.repeat("", len(others), eager=True)
    known = pl.DataFrame({"other": others, "service_id": services.alias("service_id")})
    known = known.filter(near).with_columns(pl.col("service_id").cast(pl.String))
    met = (
        ids.with_row_index("place")
        .join(known.with_columns(plain=plain_ids(known["other"])), on=["service_id", "plain"])
        .filter(pl.col("id") != other)
    )
    mask[met["place"].to_numpy()] = True
    return mask


def _outline(ids: pl.Expr) -> pl.Expr:
    """What all spellings of an ID of ASCII have in common, and other IDs may."""
    return ids.str.to_uppercase().str.strip_chars_start("0").str.strip_chars_end(".0")


def said_of(
    ids: pl.DataFrame, meets: npt.NDArray[np.bool_], column: str, what: str
) -> Iterator[tuple[int, str]]:
    """The first row's reference, and what to say of the IDs that another spelling of meets."""
    count = int(meets.sum())
    if count:
        row_ref = int(ids["row_ref"][int(np.flatnonzero(meets)[0])])
        are = "IDs are" if count > 1 else "ID is"
        yield row_ref, f"{column}: {count:,} {are} another spelling of one {what}"

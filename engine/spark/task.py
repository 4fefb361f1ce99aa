"""What a Spark task does: one slice of people is folded, and its ledger file written."""

from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from engine.columns.hashing import FINGERPRINT
from engine.errors import InputError, MynapointError
from engine.io.book.checked import DamagedIndex
from engine.io.run.slices import FoldedSlice, Slice, SliceWork

if TYPE_CHECKING:
    from pyspark import Broadcast


def fold_there(
    sent: "Broadcast[SliceWork]", folder: Path, fingerprint: str, people: Slice
) -> FoldedSlice | MynapointError | DamagedIndex:
    """Folds a slice; an error of the engine is an answer, for doing it again would not help.

    Every attempt writes a file of its own; only that of the answer which arrives is used.
    """
    if fingerprint != FINGERPRINT:
        return InputError(
            "the cluster's machines do not have the same version of polars as the driver",
            hint="install the same version of mynapoint and its libraries on all of them; "
            "nothing was booked",
        )
    work: SliceWork = sent.value
    try:
        return work.fold(people, folder / f"{people.number:05}-{uuid4().hex}.parquet")
    except (MynapointError, DamagedIndex) as error:
        return error

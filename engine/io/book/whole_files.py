"""What the index keeps of people as a whole: a few files, each read and checked at once."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.exceptions import Exceptions
from engine.booking.registry import Registry
from engine.booking.state import Balances, Months, Past, RefundSums
from engine.io.book.checked import DamagedIndex
from engine.io.durable import NewFile, write_json

Listed = dict[str, Sequence[str]]
"""Of each file, by what it keeps: its name and its sha256."""

CORRECTIONS: Final = "corrections"
REGISTRY: Final = ("accounts", "people-ids")


def write_registry(folder: Path, registry: Registry, mark: str) -> Listed:
    """Writes who is enrolled; the mark, never used before, names the files."""
    people = pl.DataFrame([registry.people_ids, pl.Series("several", registry.several)])
    listed: Listed = {}
    for kind, frame in (("accounts", registry.accounts), ("people-ids", people)):
        name = f"{kind}-{mark}.arrow"
        with NewFile(folder / name) as file:
            frame.write_ipc(cast("Any", file))
            listed[kind] = name, file.finish()
    return listed


def write_state(folder: Path, past: Past, mark: str) -> Listed:
    """Writes what every run changes; the mark, never used before, names the file."""
    name = f"state-{mark}.npy"
    with NewFile(folder / name) as file:
        for array in _arrays(past):
            np.save(cast("Any", file), array, allow_pickle=False)
        return {"state": (name, file.finish())}


def write_corrections(folder: Path, corrections: Corrections, mark: str) -> Listed:
    """Writes what is kept of events; the mark, never used before, names the file."""
    name = f"corrections-{mark}.json"
    return {CORRECTIONS: (name, write_json(folder / name, corrections.to_json()))}


def _arrays(past: Past) -> list[npt.NDArray[np.int64]]:
    return [
        past.accounts_by_run,
        past.counted,
        past.voided,
        *past.balances,
        *past.months,
        *past.refunded,
    ]


_ARRAYS: Final = len(_arrays(Past.empty()))


def read_past(folder: Path, listed: Mapping[str, Sequence[str]]) -> Past:
    """A past that knows what these files keep, and no entries.

    Raises:
        DamagedIndex: a file is missing, cannot be read, or is not what was written.
    """
    data = {kind: _read(folder / name, sha256) for kind, (name, sha256) in listed.items()}
    people = pl.read_ipc(data["people-ids"])
    registry = Registry(
        pl.read_ipc(data["accounts"]), people["person_id"], people["several"].to_numpy()
    )
    corrections = Corrections.from_json(json.loads(data["corrections"]))
    stream = BytesIO(data["state"])
    arrays = [np.load(stream, allow_pickle=False) for _ in range(_ARRAYS)]
    accounts_by_run, counted, voided, *more = arrays
    return Past(
        registry=registry,
        accounts_by_run=accounts_by_run,
        corrections=corrections,
        exceptions=Exceptions.of(corrections, registry),
        balances=Balances(*more[:3]),
        counted=counted,
        months=Months(*more[3:5]),
        keys=(),
        people=(),
        facts=Past.empty().facts,
        refunded=RefundSums(*more[5:]),
        voided=voided,
    )


def _read(path: Path, sha256: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedIndex(f"{path}: it cannot be read: {error.strerror}") from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise DamagedIndex(f"{path}: it is not what was written")
    return data

"""The book's memory: what it remembers, kept on disk so that a night need not read the ledger.

It is made from committed runs alone and brought up to date when a run begins; a memory that is
missing, half-written or of another version is made again from the ledger.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from engine.errors import BookError
from engine.hashing import FINGERPRINT
from engine.io.book import Book, run_id
from engine.io.durable import sha256_of
from engine.past import FACT, Balances, Keys, Past, Refunded
from engine.registry import Registry
from engine.remembering import ENTRY_COLUMNS, remembered

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_TIER: Final = 4
_MERGE_ROWS: Final = 4_000_000

Manifest = dict[str, Any]


def recall(book: Book, committed: int) -> Past:
    """What the book remembers of its committed runs.

    Raises:
        BookError: a committed run's files are missing or damaged.
    """
    if committed == 0:
        return Past.empty()
    manifest = _manifest(book, committed)
    past = _load(book.memory, manifest)
    if manifest["runs"] == committed:
        return past
    book.memory.mkdir(exist_ok=True)
    for number in range(manifest["runs"] + 1, committed + 1):
        past, segments = _with_run(book, past, number, manifest["keys"])
        manifest = {**manifest, "runs": number, "keys": segments}
    return _save(book.memory, past, manifest)


def _manifest(book: Book, committed: int) -> Manifest:
    fresh: Manifest = {
        "format": FORMAT,
        "hashes": FINGERPRINT,
        "runs": 0,
        "first_month": 0,
        "keys": [],
        "registry": None,
        "state": None,
    }
    try:
        manifest = json.loads((book.memory / _MANIFEST).read_text())
        usable = (
            manifest["format"] == FORMAT
            and manifest["hashes"] == FINGERPRINT
            and manifest["runs"] <= committed
            and manifest["last_record"] == _record_mark(book, manifest["runs"])
        )
    except (OSError, ValueError, KeyError):
        usable = False
    return manifest if usable else fresh


def _record_mark(book: Book, number: int) -> str:
    """Ties a memory to its book: the digest of the last record that it covers."""
    return sha256_of(book.run(number) / "record.json")


def _load(folder: Path, manifest: Manifest) -> Past:
    if manifest["runs"] == 0:
        return Past.empty()
    accounts = pl.read_ipc(folder / manifest["registry"])
    state = np.load(folder / manifest["state"])
    return Past(
        registry=Registry.of(accounts),
        balances=Balances(*state["balances"]),
        months=state["months"],
        first_month=manifest["first_month"],
        keys=[_open_keys(folder, name) for name in manifest["keys"]],
        facts=[
            np.load(folder / _facts_name(number), mmap_mode="r")
            for number in range(1, manifest["runs"] + 1)
        ],
        refunded=Refunded(*state["refunded"]),
    )


def _with_run(
    book: Book, past: Past, number: int, segments: Sequence[str]
) -> tuple[Past, list[str]]:
    """The past with a further committed run, and the names of its key segments on disk."""
    record = book.record(number)
    folder = book.memory
    facts_path = folder / _facts_name(number)
    rows = record["counts"]["booked"]
    # An empty file cannot be mapped, so a run without entries has room for one.
    space = np.lib.format.open_memmap(facts_path, mode="w+", dtype=FACT, shape=(max(rows, 1),))
    facts = space[:rows]
    known = len(past.keys)
    try:
        accepted = pl.read_parquet(book.run(number) / "accepted_enrollments.parquet")
        past = remembered(past, number, accepted, _entries(book, record), facts)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BookError(
            f"{book.run(number)}: a file of a booked run is missing or damaged: "
            f"{str(error).splitlines()[0]}",
            hint="restore the book from a copy; nothing was booked",
        ) from error
    space.flush()
    names = list(segments)
    fresh = [keys for keys in past.keys[known:] if keys.hashes.size]
    if fresh:
        names.append(_write_merged(folder, fresh, f"{run_id(number)}-0"))
    names = _tiered(folder, names, number)
    keys = [_open_keys(folder, name) for name in names]
    return replace(past, keys=keys), names


def _entries(book: Book, record: dict[str, Any]) -> Iterator[pl.DataFrame]:
    for output in record["outputs"]:
        if output["name"].startswith("ledger/"):
            path = book.path / output["name"]
            yield pl.DataFrame(pq.read_table(path, columns=list(ENTRY_COLUMNS)))


def _facts_name(number: int) -> str:
    return f"facts-{run_id(number)}.npy"


def _open_keys(folder: Path, name: str) -> Keys:
    return Keys(
        np.load(folder / f"keys-{name}-hashes.npy", mmap_mode="r"),
        np.load(folder / f"keys-{name}-positions.npy", mmap_mode="r"),
    )


def _tiered(folder: Path, names: list[str], number: int) -> list[str]:
    """Merges segments of like size, so that their number grows with the book's logarithm."""
    merged = 0
    while True:
        tiers: dict[int, list[str]] = {}
        for name in names:
            size = np.load(folder / f"keys-{name}-hashes.npy", mmap_mode="r").size
            tiers.setdefault(size.bit_length() // 2, []).append(name)
        full = next((group for group in tiers.values() if len(group) >= _TIER), None)
        if full is None:
            return names
        merged += 1
        together = _write_merged(
            folder, [_open_keys(folder, name) for name in full], f"{run_id(number)}-{merged}"
        )
        names = [*(name for name in names if name not in full), together]


def _write_merged(folder: Path, segments: Sequence[Keys], name: str) -> str:
    """Writes one segment from many, a range of hashes after the other."""
    rows = sum(segment.hashes.size for segment in segments)
    hashes = np.lib.format.open_memmap(
        folder / f"keys-{name}-hashes.npy", mode="w+", dtype=np.uint64, shape=(rows,)
    )
    positions = np.lib.format.open_memmap(
        folder / f"keys-{name}-positions.npy", mode="w+", dtype=np.int64, shape=(rows,)
    )
    bits = max(0, (rows // _MERGE_ROWS).bit_length())
    bounds = [np.uint64(part << (64 - bits)) for part in range(1, 1 << bits)]
    cuts = [
        [0, *np.searchsorted(segment.hashes, bounds).tolist(), segment.hashes.size]
        for segment in segments
    ]
    done = 0
    for part in range(1 << bits):
        some = [
            (
                segment.hashes[cut[part] : cut[part + 1]],
                segment.positions[cut[part] : cut[part + 1]],
            )
            for segment, cut in zip(segments, cuts, strict=True)
        ]
        part_hashes = np.concatenate([one for one, _ in some])
        order = np.argsort(part_hashes, kind="stable")
        hashes[done : done + order.size] = part_hashes[order]
        positions[done : done + order.size] = np.concatenate([one for _, one in some])[order]
        done += order.size
    hashes.flush()
    positions.flush()
    return name


def _save(folder: Path, past: Past, manifest: Manifest) -> Past:
    """Writes what changed beside what is there, then the manifest, then clears the rest."""
    mark = run_id(manifest["runs"])
    registry, state = f"registry-{past.registry.accounts.height}.arrow", f"state-{mark}.npz"
    if manifest["registry"] != registry:
        past.registry.accounts.write_ipc(folder / registry)
    np.savez(
        folder / state,
        balances=np.stack(past.balances),
        months=past.months,
        refunded=np.stack(past.refunded),
    )
    book = Book(folder.parent)
    manifest = {
        **manifest,
        "first_month": past.first_month,
        "registry": registry,
        "state": state,
        "last_record": _record_mark(book, manifest["runs"]),
    }
    temporary = folder / "manifest.new"
    temporary.write_text(json.dumps(manifest, indent=1))
    temporary.replace(folder / _MANIFEST)
    kept = {_MANIFEST, registry, state}
    kept |= {_facts_name(number) for number in range(1, manifest["runs"] + 1)}
    kept |= {f"keys-{name}-{of}.npy" for name in manifest["keys"] for of in ("hashes", "positions")}
    for file in folder.iterdir():
        if file.name not in kept:
            file.unlink()
    return past

"""The book's memory: what it remembers, kept on disk so that a night need not read the ledger.

It is made from committed runs alone and brought up to date when a run begins; a memory that is
missing, half-written or of another version is made again from the ledger.
"""

import json
import zipfile
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, cast

import numpy as np
import polars as pl

from engine.booking.registry import Registry
from engine.booking.remembering import ENTRY_COLUMNS, remembered
from engine.booking.state import FACT, RUN_SHIFT, Balances, Keys, Past, Refunded
from engine.columns.hashing import FINGERPRINT
from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import RECORD_FILE, RunTable
from engine.io.book.run_record import RunRecord
from engine.io.durable import (
    make_folder,
    new_array,
    new_file,
    remove,
    rename,
    sha256_of,
    sync,
    sync_array,
    write_json,
)

FORMAT: Final = 5
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
    manifest, past = _believable(book, committed)
    if manifest["runs"] == committed:
        return past
    make_folder(book.memory)
    _clear(book.memory, manifest["files"])
    for number in range(manifest["runs"] + 1, committed + 1):
        past, segments = _with_run(book, past, number, manifest["keys"])
        manifest = {**manifest, "runs": number, "keys": segments}
    return _save(book.memory, past, manifest)


def find_entry(
    book: Book, committed: int, service_id: str, transaction_id: str
) -> tuple[tuple[int, int] | None, int]:
    """Where the memory has a transaction's entry: its run's number and its place in the run.

    Reads what the search needs and nothing else, and changes nothing. The second value says how
    many runs the memory speaks of: of those after it, and of a book without a memory to be
    believed, it does not know.
    """
    try:
        manifest = _manifest(book, committed)
        if manifest is None:
            return None, 0
        past = replace(
            Past.empty(),
            keys=[_open_keys(book.memory, name) for name in manifest["keys"]],
            facts=_open_facts(book.memory, manifest["runs"]),
        )
        key = (pl.Series([service_id]), pl.Series([transaction_id]))
        position = int(past.entries_of(*key)[0])
    except (*_UNBELIEVABLE, IndexError):
        return None, 0
    if position < 0:
        return None, manifest["runs"]
    return (position >> RUN_SHIFT, position & ((1 << RUN_SHIFT) - 1)), manifest["runs"]


def _manifest(book: Book, committed: int) -> Manifest | None:
    """What the memory says of itself, when it is of this book, this engine, and all there."""
    manifest: Manifest = json.loads((book.memory / _MANIFEST).read_text(encoding="utf-8"))
    if (
        manifest["format"] == FORMAT
        and manifest["hashes"] == FINGERPRINT
        and manifest["runs"] <= committed
        and manifest["last_record"] == _record_mark(book, manifest["runs"])
        and manifest["files"] == _sizes(book.memory, manifest["files"])
    ):
        return manifest
    return None


_POLARS_ERRORS: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_UNBELIEVABLE: Final = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    zipfile.BadZipFile,
    *_POLARS_ERRORS,
)


def _believable(book: Book, committed: int) -> tuple[Manifest, Past]:
    """What is remembered, when all of it is there; nothing otherwise."""
    with suppress(*_UNBELIEVABLE):
        manifest = _manifest(book, committed)
        if manifest is not None:
            return manifest, _load(book.memory, manifest)
    nothing: Manifest = {
        "format": FORMAT,
        "hashes": FINGERPRINT,
        "runs": 0,
        "first_month": 0,
        "keys": [],
        "registry": None,
        "state": None,
        "files": {},
    }
    return nothing, Past.empty()


def _sizes(folder: Path, names: Iterable[str]) -> dict[str, int]:
    return {name: (folder / name).stat().st_size for name in names}


def _clear(folder: Path, kept: Container[str]) -> None:
    """Removes what is not kept; where nothing is, the manifest first, lest it be believed later."""
    manifest = folder / _MANIFEST
    if not kept and manifest.exists():
        remove(manifest)
        sync(folder)
    for file in sorted(folder.iterdir()):
        if file.name not in kept and file != manifest:
            remove(file)


def _record_mark(book: Book, number: int) -> str:
    """Ties a memory to its book: the digest of the last record that it covers."""
    return sha256_of(book.run_folder(number) / RECORD_FILE)


def _load(folder: Path, manifest: Manifest) -> Past:
    accounts = pl.read_ipc(folder / manifest["registry"])
    state = np.load(folder / manifest["state"])
    return Past(
        registry=Registry.of(accounts),
        balances=Balances(*state["balances"]),
        months=state["months"],
        first_month=manifest["first_month"],
        keys=[_open_keys(folder, name) for name in manifest["keys"]],
        facts=_open_facts(folder, manifest["runs"]),
        refunded=Refunded(*state["refunded"]),
    )


def _with_run(
    book: Book, past: Past, number: int, segments: Sequence[str]
) -> tuple[Past, list[str]]:
    """The past with a further committed run, and the names of its key segments on disk."""
    record = book.record(number)
    folder = book.memory
    facts_path = folder / _facts_name(number)
    rows = record.counts.booked
    # An empty file cannot be mapped, so a run without entries has room for one.
    space = new_array(facts_path, FACT, max(rows, 1))
    facts = space[:rows]
    known = len(past.keys)
    try:
        accepted = pl.read_parquet(book.run_folder(number) / RunTable.ACCEPTED.file_name)
        past = remembered(past, number, accepted, _entries(book, record), facts)
    except (OSError, ValueError, KeyError, *_POLARS_ERRORS) as error:
        raise BookError(
            f"{book.run_folder(number)}: a file of a booked run is missing or damaged: "
            f"{str(error).splitlines()[0]}",
            hint="restore the book from a copy; nothing was booked",
        ) from error
    sync_array(facts_path, space)
    names = list(segments)
    fresh = [keys for keys in past.keys[known:] if keys.hashes.size]
    if fresh:
        names.append(_write_merged(folder, fresh, f"{run_id(number)}-0"))
    names = _tiered(folder, names, number)
    keys = [_open_keys(folder, name) for name in names]
    return replace(past, keys=keys), names


def _entries(book: Book, record: RunRecord) -> Iterator[pl.DataFrame]:
    for output in record.ledger_files:
        path = book.path / output.name
        yield pl.read_parquet(path, columns=list(ENTRY_COLUMNS), glob=False)


def _facts_name(number: int) -> str:
    return f"facts-{run_id(number)}.npy"


def _open_facts(folder: Path, runs: int) -> list[np.ndarray]:
    return [np.load(folder / _facts_name(n), mmap_mode="r") for n in range(1, runs + 1)]


def _open_keys(folder: Path, name: str) -> Keys:
    return Keys(*(np.load(folder / file, mmap_mode="r") for file in _keys_names(name)))


def _keys_names(name: str) -> tuple[str, str]:
    return f"keys-{name}-hashes.npy", f"keys-{name}-positions.npy"


def _tiered(folder: Path, names: list[str], number: int) -> list[str]:
    """Merges segments of like size, so that their number grows with the book's logarithm."""
    merged = 0
    while True:
        tiers: dict[int, list[str]] = {}
        for name in names:
            size = _open_keys(folder, name).hashes.size
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
    hashes_path, positions_path = (folder / file for file in _keys_names(name))
    hashes = new_array(hashes_path, np.dtype(np.uint64), rows)
    positions = new_array(positions_path, np.dtype(np.int64), rows)
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
    sync_array(hashes_path, hashes)
    sync_array(positions_path, positions)
    return name


def _save(folder: Path, past: Past, manifest: Manifest) -> Past:
    """Writes what changed beside what is there, then the manifest, then clears the rest."""
    mark = run_id(manifest["runs"])
    registry, state = f"registry-{past.registry.accounts.height}.arrow", f"state-{mark}.npz"
    if manifest["registry"] != registry:
        with new_file(folder / registry) as file:
            past.registry.accounts.write_ipc(cast("IO[bytes]", file))
    with new_file(folder / state) as file:
        np.savez(
            file,
            balances=np.stack(past.balances),
            months=past.months,
            refunded=np.stack(past.refunded),
        )
    kept = [registry, state]
    kept += [_facts_name(number) for number in range(1, manifest["runs"] + 1)]
    kept += [file for name in manifest["keys"] for file in _keys_names(name)]
    manifest = {
        **manifest,
        "first_month": past.first_month,
        "registry": registry,
        "state": state,
        "last_record": _record_mark(Book(folder.parent), manifest["runs"]),
        "files": _sizes(folder, kept),
    }
    # What the manifest names is on the disk before the manifest is, names included.
    sync(folder)
    write_json(folder / "manifest.new", manifest)
    rename(folder / "manifest.new", folder / _MANIFEST)
    sync(folder)
    _clear(folder, kept)
    return past

"""The book's index: what it knows, kept on disk so that a night need not read the ledger.

It is made from committed runs alone and brought up to date when a run begins; a memory that is
missing, half-written or of another version is made again from the ledger.
"""

import json
import zipfile
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Final, NamedTuple, cast

import numpy as np
import polars as pl

from engine.booking.corrections import Corrections
from engine.booking.exceptions import Exceptions
from engine.booking.registry import Registry
from engine.booking.remembering import corrected, enrolled, remembered
from engine.booking.state import (
    FACT,
    RUN_SHIFT,
    Balances,
    Keys,
    Past,
    Refunded,
    content_hashes,
)
from engine.columns.hashing import FINGERPRINT, hash_pair
from engine.errors import BookError
from engine.io.book.entries import as_entries
from engine.io.book.folder import Book, run_id
from engine.io.book.format import CORRECTIONS_FILE, RECORD_FILE, SINCE_FORMAT_2, RunTable
from engine.io.book.run_record import RunRecord
from engine.io.book.waiting import Waiting
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
from engine.io.parquet import scan_parquet
from engine.records import TRANSACTION_COLUMNS, VOIDS, Kind, polars_schema
from engine.rules.spending import DUPLICATE

FORMAT: Final = 6
_MANIFEST: Final = "manifest.json"
_TIER: Final = 4
_MERGE_ROWS: Final = 4_000_000

Manifest = dict[str, Any]


class Known(NamedTuple):
    """What the book knows of its committed runs, and what waits in it."""

    past: Past
    waiting: Waiting


def recall(book: Book, committed: int) -> Known:
    """What the book knows of its committed runs.

    Raises:
        BookError: a committed run's files are missing or damaged.
    """
    if committed == 0:
        return Known(Past.empty(), Waiting(book.memory))
    manifest, past = _believable(book, committed)
    waiting = Waiting.open(book.memory, manifest["waiting"])
    if manifest["runs"] == committed:
        return Known(past, waiting)
    make_folder(book.memory)
    _clear(book.memory, manifest["files"])
    registry = past.registry if manifest["runs"] else None
    for number in range(manifest["runs"] + 1, committed + 1):
        past, changed = _with_run(book, past, number, manifest)
        waiting = _with_waiting(book, past, waiting, number)
        manifest = {**manifest, **changed, "runs": number, "waiting": waiting.listed}
    if past.registry is not registry:
        manifest = {**manifest, **_save_registry(book.memory, past, manifest["runs"])}
    return Known(_save(book.memory, past, manifest, waiting.files), waiting)


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
            keys=_open_all(book.memory, manifest["keys"]),
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
        "people": [],
        "waiting": [],
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
    accounts, people = (
        pl.read_ipc((folder / manifest[name]).read_bytes()) for name in ("registry", "people_ids")
    )
    state = np.load(folder / manifest["state"])
    corrections = Corrections.from_json(
        json.loads((folder / manifest["corrections"]).read_text(encoding="utf-8"))
    )
    registry = Registry(accounts, people["person_id"], people["several"].to_numpy())
    return Past(
        registry=registry,
        accounts_by_run=state["accounts_by_run"],
        corrections=corrections,
        exceptions=Exceptions.of(corrections, registry),
        balances=Balances(*state["balances"]),
        months=state["months"],
        first_month=manifest["first_month"],
        keys=_open_all(folder, manifest["keys"]),
        people=_open_all(folder, manifest["people"]),
        facts=_open_facts(folder, manifest["runs"]),
        refunded=Refunded(*state["refunded"]),
        voided=state["voided"],
    )


def _with_run(
    book: Book, past: Past, number: int, manifest: Manifest
) -> tuple[Past, dict[str, list[str]]]:
    """The past with a further committed run, and the names of its segments on disk."""
    record = book.record(number)
    folder = book.memory
    facts_path = folder / _facts_name(number)
    rows = sum(output.rows or 0 for output in record.ledger_files)
    # An empty file cannot be mapped, so a run without entries has room for one.
    space = new_array(facts_path, FACT, max(rows, 1))
    facts = space[:rows]
    known = {"keys": len(past.keys), "people": len(past.people)}
    try:
        corrections = past.corrections
        kept = book.run_folder(number) / CORRECTIONS_FILE
        if kept.exists():
            corrections = corrections.with_run(json.loads(kept.read_text(encoding="utf-8")))
            past = corrected(past, corrections)
        accepted = RunTable.ACCEPTED
        past = enrolled(past, read_table(book, number, accepted), corrections)
        past = remembered(past, number, _entries(book, record), facts)
    except (OSError, ValueError, KeyError, *_POLARS_ERRORS) as error:
        raise BookError(
            f"{book.run_folder(number)}: a file of a booked run is missing or damaged: "
            f"{str(error).splitlines()[0]}",
            hint="restore the book from a copy; nothing was booked",
        ) from error
    sync_array(facts_path, space)
    names = {}
    for kind, segments in (("keys", past.keys), ("people", past.people)):
        mine = list(manifest[kind])
        fresh = [keys for keys in segments[known[kind] :] if keys.hashes.size]
        if fresh:
            mine.append(_write_merged(folder, fresh, f"{kind}-{run_id(number)}-0"))
        names[kind] = _tiered(folder, mine, kind, number)
    opened = {kind: _open_all(folder, mine) for kind, mine in names.items()}
    return replace(past, keys=opened["keys"], people=opened["people"]), names


def read_table(book: Book, number: int, table: RunTable) -> pl.DataFrame:
    """One of a run's tables; without rows where the run's format has no such table."""
    path = book.run_folder(number) / table.file_name
    schema = polars_schema(table.record)
    if not path.exists() and table in SINCE_FORMAT_2:
        return pl.DataFrame(schema=schema)
    return scan_parquet(path).collect(engine="in-memory")


def _entries(book: Book, record: RunRecord) -> Iterator[pl.DataFrame]:
    for output in record.ledger_files:
        yield as_entries(scan_parquet(book.path / output.name).collect(engine="in-memory"))


def _with_waiting(book: Book, past: Past, waiting: Waiting, number: int) -> Waiting:
    """What waits after a further run: what it voided, then what it declined."""
    record = book.record(number)
    if record.format < 2:
        # The tables of such a run keep too little of a declined row to decide it again.
        return waiting
    rows = []
    if record.counts.voided:
        for entries in _entries(book, record):
            voids = entries.filter(pl.col("kind").is_in(VOIDS))
            rows.append(
                voids.with_columns(pl.col("kind").str.strip_suffix("_void")).select(
                    *TRANSACTION_COLUMNS, booked_once=pl.lit(value=True)
                )
            )
    declined = read_table(book, number, RunTable.DECLINED).filter(pl.col("reason") != DUPLICATE)
    if declined.height:
        rows.append(_marked(declined, past).select(*TRANSACTION_COLUMNS, "booked_once"))
    return waiting.add_run(number, pl.concat(rows)) if rows else waiting


def _marked(declined: pl.DataFrame, past: Past) -> pl.DataFrame:
    """Declined rows, and which of them say what an entry, void by now, said."""
    positions = past.entries_of(declined["service_id"], declined["transaction_id"])
    once = positions >= 0
    if once.any():
        rows = declined.filter(pl.Series(once)).with_columns(pl.col("kind").cast(Kind))
        contents = content_hashes(rows, hash_pair(rows["service_id"], rows["transaction_id"]))
        once[once] = past.facts_at(positions[once])["content"] == contents
    return declined.with_columns(booked_once=pl.Series(once))


def _facts_name(number: int) -> str:
    return f"facts-{run_id(number)}.npy"


def _open_facts(folder: Path, runs: int) -> list[np.ndarray]:
    return [np.load(folder / _facts_name(n), mmap_mode="r") for n in range(1, runs + 1)]


def _open_keys(folder: Path, name: str) -> Keys:
    return Keys(*(np.load(folder / file, mmap_mode="r") for file in _keys_names(name)))


def _open_all(folder: Path, names: Iterable[str]) -> list[Keys]:
    return [_open_keys(folder, name) for name in names]


def _keys_names(name: str) -> tuple[str, str]:
    return f"{name}-hashes.npy", f"{name}-positions.npy"


def _tiered(folder: Path, names: list[str], kind: str, number: int) -> list[str]:
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
            folder, _open_all(folder, full), f"{kind}-{run_id(number)}-{merged}"
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


def _save_registry(folder: Path, past: Past, runs: int) -> dict[str, str]:
    """Writes who is enrolled; the names of the files."""
    names = {
        "registry": f"registry-{run_id(runs)}.arrow",
        "people_ids": f"people-{run_id(runs)}.arrow",
    }
    registry = past.registry
    people = pl.DataFrame([registry.people_ids, pl.Series("several", registry.several)])
    for name, frame in (("registry", registry.accounts), ("people_ids", people)):
        with new_file(folder / names[name]) as file:
            frame.write_ipc(cast("IO[bytes]", file))
    return names


def _save(folder: Path, past: Past, manifest: Manifest, waiting: Sequence[str]) -> Past:
    """Writes what changed beside what is there, then the manifest, then clears the rest."""
    mark = run_id(manifest["runs"])
    names = {"corrections": f"corrections-{mark}.json", "state": f"state-{mark}.npz"}
    write_json(folder / names["corrections"], past.corrections.to_json())
    with new_file(folder / names["state"]) as file:
        np.savez(
            file,
            accounts_by_run=past.accounts_by_run,
            balances=np.stack(past.balances),
            months=past.months,
            refunded=np.stack(past.refunded),
            voided=past.voided,
        )
    kept = [manifest["registry"], manifest["people_ids"], *names.values(), *waiting]
    kept += [_facts_name(number) for number in range(1, manifest["runs"] + 1)]
    kept += [
        file for kind in ("keys", "people") for name in manifest[kind] for file in _keys_names(name)
    ]
    manifest = {
        **manifest,
        **names,
        "first_month": past.first_month,
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

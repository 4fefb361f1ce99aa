"""The seals of a book: signatures and time stamps over records of its chain, kept beside it.

``BOOK/seals/run-000006.1.sig`` is an SSH signature of ``runs/000006/record.json``, ``….2.tsr`` a
time stamp (RFC 3161) of the same bytes; of a payout run, ``payout-run-000002.1.sig``. A seal is no
part of the chain: it may be added at any time, and a copy of it may be kept elsewhere.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from engine.io.book.chain import ChainRecord
from engine.io.book.folder import Book

SEALS_FOLDER: Final = "seals"
SealKind = Literal["signature", "timestamp"]
ENDINGS: Final[dict[SealKind, str]] = {"signature": ".sig", "timestamp": ".tsr"}
_KINDS: Final = {ending: kind for kind, ending in ENDINGS.items()}
_NAME: Final = re.compile(r"(run|payout-run)-([0-9]{6,})\.[0-9]+(\.sig|\.tsr)")
_FOLDERS: Final = {"run": "runs", "payout-run": "payout_runs"}


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal's file.

    Attributes:
        place: the record that it is said to seal, such as ``runs/000006``; None of a copy whose
            name does not say so.
    """

    path: Path
    kind: SealKind
    place: str | None


def seal_at(path: Path) -> Seal | None:
    """The seal that a file is by its name; None where it is not called as one."""
    kind = _KINDS.get(path.suffix)
    if kind is None:
        return None
    name = _NAME.fullmatch(path.name)
    return Seal(path, kind, f"{_FOLDERS[name[1]]}/{name[2]}" if name else None)


def seals_of(book: Book) -> list[Seal]:
    """The seals that a book keeps, by their names."""
    folder = book.path / SEALS_FOLDER
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    seals = (seal_at(path) for path in found if path.is_file())
    return [seal for seal in seals if seal is not None and seal.place is not None]


def name_of_seal(record: ChainRecord, number: int, kind: SealKind) -> str:
    """The name of a record's seal."""
    folder, _, run = record.place.partition("/")
    [word] = [word for word, name in _FOLDERS.items() if name == folder]
    return f"{word}-{run}.{number}{ENDINGS[kind]}"


def names_of_seals(book: Book, place: str) -> list[str]:
    """The names of the seals that a book keeps of a record; none of them is checked here."""
    return [seal.path.name for seal in seals_of(book) if seal.place == place]

"""``mynapoint seal``: somebody's word, from outside of the book, on what is in it today.

The chain's last record holds the digest of the one before, and so on: whoever signs its bytes signs
the whole book, and a time stamp of them says since when it has not changed.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from engine.errors import BookError, InputError
from engine.io.book.chain import ChainRecord
from engine.io.durable import make_folder, sync, write_bytes
from engine.paths import local_path
from pipelines.desk.opened_book import OpenedBook, book_readable, open_book
from pipelines.desk.seals import SEALS_FOLDER, SealKind, name_of_seal
from pipelines.seal.signatures import sign
from pipelines.seal.timestamps import ask

_MOST_SEALS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Sealed:
    """What was sealed, and the files that do so."""

    record: ChainRecord
    files: list[Path]


def seal(path: Path, *, key: Path | None, tsa: str | None) -> Sealed:
    """Seals a book as it is: writes seals of its last record beside it.

    Both are had before one is written.

    Raises:
        InputError: there is no book, the key cannot be used, or the authority gives no time stamp.
        BookError: the book is damaged, or nothing can be written there.
    """
    if key is None and tsa is None:
        raise InputError(
            "seal: one of --key and --tsa is needed",
            hint="--key FILE signs with an SSH key, --tsa URL asks an authority for a time stamp",
        )
    opened = open_book(path)
    head = _head(opened)
    with book_readable(opened.book):
        message = head.path.read_bytes()
    seals: list[tuple[SealKind, bytes]] = []
    if key is not None:
        seals.append(("signature", sign(message, local_path(key))))
    if tsa is not None:
        seals.append(("timestamp", ask(tsa, message)))
    folder = opened.book.path / SEALS_FOLDER
    try:
        make_folder(folder)
        files = [_written(folder, head, kind, content) for kind, content in seals]
        sync(folder)
    except OSError as error:
        raise BookError(
            f"{folder}: the seal cannot be written: {error.strerror or error}",
            hint="check the folder's permissions, and the room on the disk",
        ) from error
    return Sealed(head, files)


def _head(opened: OpenedBook) -> ChainRecord:
    """The chain's last record, if the chain holds."""
    chain = opened.chain
    for before, record in pairwise(chain):
        with book_readable(opened.book):
            said = json.loads(record.path.read_bytes())["previous_sha256"]
        if said != before.sha256:
            raise BookError(
                f"{record.path}: this record was made after another one than {before.place}",
                hint="find out with mynapoint verify; such a book cannot be sealed",
            )
    return chain[-1]


def _written(folder: Path, record: ChainRecord, kind: SealKind, content: bytes) -> Path:
    """Writes a seal under the first number that is free."""
    taken = {name.name.rpartition(".")[0] for name in folder.iterdir()}
    for number in range(1, _MOST_SEALS):
        file = folder / name_of_seal(record, number, kind)
        if file.name.rpartition(".")[0] not in taken:
            write_bytes(file, content)
            return file
    raise BookError(f"{folder}: there are too many seals", hint="remove some of this record's")

"""What a run takes over from the run before it: services, programme and corrections."""

import json
from pathlib import Path
from typing import Final

from engine.booking.corrections import Corrections
from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.format import (
    CORRECTIONS_FILE,
    GATES_FILE,
    PROGRAMME_FILE,
    SERVICES_FILE,
)
from engine.io.durable import sha256_of
from engine.terms.gates import Gates, parse_gates
from engine.terms.programme import Programme, load_programme, parse_programme
from engine.terms.services import Services, load_services, parse_services

DEFAULT_PROGRAMME: Final = "mynapoint-2020"


def kept_services(book: Book, committed: int) -> Services:
    """The services that the last run used; before the first, those that ship with the engine.

    Raises:
        BookError: the kept file is missing or damaged.
    """
    if committed == 0:
        return load_services(None)
    path = book.run_folder(committed) / SERVICES_FILE
    return parse_services(_kept(path, book.record(committed).services_sha256), str(path))


def kept_programme(book: Book, committed: int) -> Programme:
    """The programme that the last run used; before the first, ``mynapoint-2020``.

    Raises:
        BookError: the kept file is missing or damaged.
    """
    if committed == 0:
        return load_programme(DEFAULT_PROGRAMME)
    path = book.run_folder(committed) / PROGRAMME_FILE
    return parse_programme(_kept(path, book.record(committed).programme.sha256), str(path))


def kept_gates(book: Book, committed: int) -> Gates | None:
    """The gates that the last run was held to; None where it was held to none.

    Raises:
        BookError: the kept file is missing or damaged.
    """
    if committed == 0:
        return None
    name = f"{book.RECORDS}/{run_id(committed)}/{GATES_FILE}"
    for output in book.record(committed).outputs:
        if output.name == name:
            path = book.path / name
            return parse_gates(_kept(path, output.sha256), str(path))
    return None


def kept_corrections(book: Book, committed: int) -> Corrections:
    """What is kept of all events up to a run.

    Raises:
        OSError, ValueError: a run's file of them cannot be read.
    """
    corrections = Corrections()
    for number in range(1, committed + 1):
        corrections = with_corrections_of(book, number, corrections)
    return corrections


def with_corrections_of(book: Book, number: int, before: Corrections) -> Corrections:
    """What is kept after a further run; the same where that run changed nothing of it."""
    path = book.run_folder(number) / CORRECTIONS_FILE
    if not path.exists():
        return before
    return before.with_run(json.loads(path.read_text(encoding="utf-8")))


def _kept(path: Path, sha256: str) -> str:
    try:
        if sha256_of(path) == sha256:
            return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        pass
    raise BookError(
        f"{path}: the file that the book keeps is missing or damaged",
        hint="restore the book from a copy; nothing was booked",
    )

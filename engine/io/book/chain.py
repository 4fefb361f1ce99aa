"""The one chain that the records of runs and of payout runs make; its last record is its head."""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.io.book.folder import Book, run_id
from engine.io.book.format import RECORD_FILE
from engine.io.book.payouts import PayoutBook
from engine.io.durable import sha256_of

_DAMAGED: Final = (OSError, ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class ChainRecord:
    """A record of the chain.

    Attributes:
        place: its folder, seen from the book, such as ``runs/000006``.
        sha256: of the record's bytes; it stands for all records up to this one.
        run: the number of the last run that it knows: its own, or that of its payout run.
    """

    place: str
    path: Path
    sha256: str
    run: int

    @property
    def is_payout_run(self) -> bool:
        return self.place.startswith(PayoutBook.RECORDS)


def chain_of(book: Book, runs: int, payout_runs: int) -> list[ChainRecord]:
    """The chain's records in order; those that cannot be read are left out.

    Args:
        book: the book.
        runs: how many runs are in it.
        payout_runs: how many payout runs.
    """
    payouts = PayoutBook(book.path)
    by_run: dict[int, list[Path]] = {}
    for number in range(1, payout_runs + 1):
        path = payouts.run_folder(number) / RECORD_FILE
        # That a record cannot be read is found where it is looked at.
        with suppress(*_DAMAGED):
            by_run.setdefault(int(json.loads(path.read_bytes())["run_id"]), []).append(path)
    records = []
    for number in range(1, runs + 1):
        for path in (book.runs / run_id(number) / RECORD_FILE, *by_run.get(number, ())):
            with suppress(OSError):
                place = path.parent.relative_to(book.path).as_posix()
                records.append(ChainRecord(place, path, sha256_of(path), number))
    return records

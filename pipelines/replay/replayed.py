"""A book's runs booked once more from their deliveries, which are found by their sha256."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.io.book.folder import Book
from engine.io.delivered.deliveries import Delivered, find_delivered
from engine.io.durable import sha256_of
from engine.io.payout.known import known as known_payouts
from engine.io.result_folders import check_folder
from engine.paths import local_path
from pipelines.desk.opened_book import open_book
from pipelines.verify.findings import Findings
from pipelines.verify.kept_runs import KeptRun
from pipelines.verify.origin import decide_again, differences_of_run, missing_deliveries


@dataclass(frozen=True, slots=True)
class Replayed:
    """A book that was booked once more.

    Attributes:
        runs: how many runs it has.
        payout_runs: how many payout runs the first book has, which are not made again.
        findings: where the two differ.
    """

    book: Path
    new: Path
    runs: int
    payout_runs: int
    findings: Findings


def replay(path: Path, new: Path, folders: Sequence[Path]) -> Replayed:
    """Books every run of a book into a new one, in order, and compares the two.

    Args:
        path: the book.
        new: a new or empty folder.
        folders: where the deliveries are, or files of them; whatever they are called now.

    Raises:
        InputError: a delivery is missing, or the folder cannot be used; nothing was booked then.
        BookError: the book is damaged.
    """
    require_extra("replay", "verify", "duckdb")
    new = local_path(new)
    check_folder(new)
    opened = open_book(path)
    runs = [
        KeptRun(record.number, record, frozenset(output.name for output in record.outputs))
        for record in opened.records
    ]
    known = _known(runs, folders)
    for run in runs:
        for what in missing_deliveries(run, known):
            raise InputError(
                f"run {run.id}: {what}; nothing was booked",
                hint="name every folder that deliveries were kept in; they are found by their "
                "sha256, not by their names",
            )
    findings, anew = Findings(), Book.at(new)
    with tempfile.TemporaryDirectory(prefix="mynapoint-replay-") as scratch:
        for run in runs:
            found = [
                (known[delivery.role, delivery.sha256].path, delivery.name, delivery.role)
                for delivery in run.record.inputs
            ]
            record = decide_again(opened.book, anew, run, found)
            names = {str(file): name for file, name, _ in found}
            folder = Path(scratch) / run.id
            folder.mkdir()
            for finding, times in differences_of_run(opened.book, anew, run, record, names, folder):
                findings.add(finding, times)
    payout_runs = known_payouts(path).payout_runs
    return Replayed(opened.book.path, anew.path, len(runs), payout_runs, findings)


def _known(runs: Sequence[KeptRun], folders: Sequence[Path]) -> Mapping[tuple[str, str], Delivered]:
    """The deliveries of runs, by role and sha256."""
    wanted: dict[str, set[str]] = {}
    for run in runs:
        for delivery in run.record.inputs:
            wanted.setdefault(delivery.sha256, set()).add(delivery.role)
    sizes = {delivery.bytes for run in runs for delivery in run.record.inputs}
    known: dict[tuple[str, str], Delivered] = {}
    for file in _files(folders):
        # Of most other files the size tells it already.
        if file.stat().st_size not in sizes:
            continue
        sha256 = sha256_of(file)
        for role in wanted.get(sha256, ()):
            [known[role, sha256]] = find_delivered([file], role)
    return known


def _files(folders: Sequence[Path]) -> Iterator[Path]:
    for given in folders:
        folder = local_path(given)
        if folder.is_file():
            yield folder
            continue
        if not folder.is_dir():
            raise InputError(
                f"--deliveries: {given}: there is no such folder", hint="check the path"
            )
        for root, inner, names in os.walk(folder):
            inner.sort()
            for name in sorted(names):
                path = Path(root, name)
                if path.is_file():
                    yield path

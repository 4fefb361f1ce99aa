"""The command's body: write the sample, name its files."""

import sys
from pathlib import Path

from engine.errors import InputError
from engine.io.book.folder import refuse_within_books
from engine.paths import local_path
from pipelines.sample import write_sample
from pipelines.sample.answers import write_answers
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_folder


def write_answers_to(folder: Path, payouts: Path) -> int:
    """Writes answers to the files of payout runs to a folder.

    Raises:
        InputError: there are no such files, or the folder cannot be written to.
    """
    folder = local_path(folder)
    refuse_within_books(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = write_answers(folder / "answers.csv", local_path(payouts))
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="name a folder that can be written to",
        ) from error
    with output_may_fail():
        sys.stdout.write(f"{path}\n")
    return 0


def write_deliveries(
    folder: Path, *, people: int, transactions: int, nights: int, seed: int
) -> int:
    """Writes sample deliveries to a folder.

    Raises:
        InputError: the folder holds something else, or cannot be written to.
    """
    folder = local_path(folder)
    check_folder(folder)
    try:
        paths = write_sample(
            folder, people=people, transactions=transactions, nights=nights, seed=seed
        )
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: {error.strerror or error}",
            hint="name a folder that can be written to",
        ) from error
    with output_may_fail():
        for path in paths:
            sys.stdout.write(f"{path}\n")
    return 0

"""What ``mynapoint quarantine`` prints and writes."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from engine.errors import InputError
from engine.paths import local_path
from pipelines.layouts.writing_back import (
    SetAside,
    WrittenBack,
    file_name,
    find_originals,
    lines_of,
    write_back,
)
from pipelines.shown.result_files import check_outside_books
from pipelines.shown.terminal import plain
from pipelines.shown.texts import Lang, Texts


def print_rows(files: Sequence[SetAside]) -> None:
    """Prints one line a row."""
    for quarantined in files:
        for line in lines_of(quarantined):
            sys.stdout.write(f"{plain(line)}\n")


def write_files(
    files: Sequence[SetAside], delivered: Sequence[str], folder: Path | None, lang: Lang
) -> None:
    """Writes the rows back to a folder, or to standard output if they are of one file.

    Raises:
        InputError: a delivered file is not there any more; there are several and no folder.
    """
    texts = Texts("quarantine", lang)
    if folder is None and len(files) > 1:
        raise InputError(
            f"rows of {len(files)} files are in quarantine, and each has its own form",
            hint="name a folder for them: --out DIR",
        )
    taken: set[str] = set()
    for quarantined, original in find_originals(files, delivered):
        made = write_back(quarantined, original)
        if folder is None:
            sys.stdout.flush()
            sys.stdout.buffer.write(made.content)
            sys.stdout.buffer.flush()
            if not made.has_reasons:
                sys.stderr.writelines(f"{plain(line)}\n" for line in lines_of(quarantined))
        else:
            _write(folder, file_name(quarantined, made.ending, taken), made, quarantined)
        _notes(quarantined, made, texts)


def _write(folder: Path, name: str, made: WrittenBack, quarantined: SetAside) -> None:
    folder = local_path(folder)
    check_outside_books(folder)
    files = {name: made.content}
    if not made.has_reasons:
        files[f"{name}.reasons.txt"] = "".join(
            f"{line}\n" for line in lines_of(quarantined)
        ).encode()
    for path, content in ((folder / name, content) for name, content in files.items()):
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(path, "xb", opener=_for_the_owner) as file:
                file.write(content)
        except FileExistsError:
            raise InputError(
                f"{path}: there is something already", hint="name a new or an empty folder"
            ) from None
        except OSError as error:
            raise InputError(
                f"{path}: {error.strerror or error}", hint="name a folder that can be written to"
            ) from error
        sys.stdout.write(f"{plain(path)}\n")


def _for_the_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _notes(quarantined: SetAside, made: WrittenBack, texts: Texts) -> None:
    if quarantined.numbers_equal_rows:
        sys.stderr.write(f"{texts('whole_file', name=plain(quarantined.name))}\n")
    if made.like_formulas:
        sys.stderr.write(f"{texts('formulas', rows=made.like_formulas)}\n")

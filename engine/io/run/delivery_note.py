"""A delivery note (manifest): what a provider says it has delivered, held against what came.

A CSV file with the columns ``name`` and any of ``sha256``, ``bytes``, ``rows``, ``yen``, in any
order; an empty cell says nothing. Or the lines that ``sha256sum`` writes. ``name`` is a file's own
name, without its folder. ``rows`` are its records, without the header; those that a layout leaves
out are among them. ``yen`` is the sum of the amounts of a file of transactions, refunds included as
they stand. A second row that ``[refunded]`` makes of a record counts in neither.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Final

from engine.errors import InputError
from engine.io.book.run_record import Input
from engine.io.object_store import is_store_url, stored_text
from engine.terms.strict_toml import read_text

_COLUMNS: Final = ("name", "sha256", "bytes", "rows", "yen")
_SHA256SUM: Final = re.compile(r"([0-9a-f]{64}) [ *](.+)")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class DeliveryNote:
    """What should have been delivered.

    Attributes:
        where: the note's own file.
        files: by name, what is said of each: ``sha256`` and whole numbers.
        covers: the inputs that it speaks of; None for all of the run's.
    """

    where: str
    files: Mapping[str, Mapping[str, str | int]]
    covers: frozenset[str] | None = None

    def of(self, names: frozenset[str]) -> "DeliveryNote":
        """The same note, of these inputs alone."""
        return replace(self, covers=names)


def load_delivery_note(path: str | Path) -> DeliveryNote:
    """The delivery note in a file.

    Raises:
        InputError: there is no such file, or it cannot be understood.
    """
    text = (stored_text(path) if is_store_url(path) else read_text(path)).removeprefix("\ufeff")
    lines = [line for line in text.splitlines() if line.strip()]
    found = [match for line in lines if (match := _SHA256SUM.fullmatch(line))]
    rows: list[dict[str, str]]
    if lines and len(found) == len(lines):
        rows = [{"sha256": match[1], "name": PurePath(match[2]).name} for match in found]
    else:
        rows = list(_csv_rows(text, str(path)))
    files: dict[str, Mapping[str, str | int]] = {}
    for number, row in enumerate(rows, 1):
        where = f"--manifest: {path}: row {number}"
        if row["name"] in files:
            raise _fault(f"{where}: {row['name']} is there twice", "name each file once")
        files[row["name"]] = _said(row, where)
    return DeliveryNote(str(path), files)


def _csv_rows(text: str, path: str) -> Iterator[dict[str, str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    hint = f"the columns are name and any of {', '.join(_COLUMNS[1:])}"
    try:
        header = [name.strip() for name in next(reader, [])]
        if "name" not in header or len(set(header)) < len(header) or set(header) - set(_COLUMNS):
            raise _fault(f"--manifest: {path}: the header is not that of a delivery note", hint)
        for number, fields in enumerate(reader, 1):
            if not fields:
                continue
            if (
                len(fields) != len(header)
                or not (row := dict(zip(header, fields, strict=True)))["name"].strip()
            ):
                raise _fault(f"--manifest: {path}: row {number}: a field is missing", hint)
            yield {name: field.strip() for name, field in row.items()}
    except csv.Error as error:
        raise _fault(f"--manifest: {path}: {error}", hint) from error


def _said(row: Mapping[str, str], where: str) -> dict[str, str | int]:
    said: dict[str, str | int] = {}
    for name, text in row.items():
        if name == "name" or not text:
            continue
        if name == "sha256":
            if not _SHA256.fullmatch(text.lower()):
                raise _fault(f"{where}: sha256: not 64 hexadecimal digits", "give it as sha256sum")
            said[name] = text.lower()
        elif not text.isascii() or not text.isdecimal() or len(text) > 18:
            raise _fault(f"{where}: {name}: not a whole number", "write digits alone")
        else:
            said[name] = int(text)
    return said


def check_delivered_as_noted(
    notes: Sequence[DeliveryNote], inputs: Sequence[Input], yen: Mapping[str, int]
) -> None:
    """Refuses deliveries that are not what their notes say.

    Args:
        notes: those that were given; those that cover the same inputs together name all of them.
        inputs: what was read; ``rows`` are the provider's own records.
        yen: by an input's name, the sum of its amounts; of transactions alone.

    Raises:
        InputError: naming files and figures that differ; or two inputs have one name, or two notes
            say different things of one.
    """
    for covers in dict.fromkeys(note.covers for note in notes):
        _check(
            [note for note in notes if note.covers == covers],
            [read for read in inputs if covers is None or read.name in covers],
            yen,
        )


def _check(notes: Sequence[DeliveryNote], inputs: Sequence[Input], yen: Mapping[str, int]) -> None:
    noted = _noted(notes)
    delivered = _by_own_name(notes, inputs)
    differences = [
        *(f"{name} was not delivered" for name in noted if name not in delivered),
        *(f"{name} is not noted" for name in delivered if name not in noted),
    ]
    for name, said in noted.items():
        if name in delivered:
            read = delivered[name]
            differences += _differences(name, said, read, yen.get(read.name))
    if differences:
        more = len(differences) - _MOST_NAMED
        shown = [*differences[:_MOST_NAMED], *([f"{more} more"] if more > 0 else [])]
        raise InputError(
            f"{', '.join(note.where for note in notes)}: the deliveries are not what is noted; "
            f"nothing was booked: {'; '.join(shown)}",
            hint="have the files delivered again, whole; or leave --manifest out",
            code="manifest_differs",
            details={"differences": differences},
        )


def _noted(notes: Sequence[DeliveryNote]) -> dict[str, dict[str, str | int]]:
    """What all notes together say, by a file's name."""
    noted: dict[str, dict[str, str | int]] = {}
    for note in notes:
        for name, said in note.files.items():
            before = noted.setdefault(name, {})
            for figure, value in said.items():
                if before.setdefault(figure, value) != value:
                    raise _fault(
                        f"--manifest: {note.where}: {name}: {figure} is {value}, and another note "
                        f"says {before[figure]}; nothing was booked",
                        "ask the provider which note holds, and leave the other one out",
                    )
    return noted


def _by_own_name(notes: Sequence[DeliveryNote], inputs: Sequence[Input]) -> dict[str, Input]:
    """The inputs by their names without folders, by which notes call them."""
    delivered: dict[str, Input] = {}
    for read in inputs:
        name = PurePath(read.name).name
        other = delivered.setdefault(name, read)
        if other is not read:
            where = ", ".join(note.where for note in notes)
            raise _fault(
                f"--manifest: {where}: {other.name} and {read.name} have one name, so that no note "
                "can tell them apart; nothing was booked",
                "give each file a name of its own, or book them in two runs, each with its note",
            )
    return delivered


def _differences(
    name: str, said: Mapping[str, str | int], read: Input, yen: int | None
) -> Iterator[str]:
    figures = {"sha256": read.sha256, "bytes": read.bytes, "rows": read.rows, "yen": yen}
    for figure, noted in said.items():
        found = figures[figure]
        if found is None:
            yield f"{name} holds no amounts, and {noted} yen are noted"
        elif found != noted:
            yield f"{name}: {figure} is {found}, noted is {noted}"


def _fault(message: str, hint: str) -> InputError:
    return InputError(message, hint=hint)

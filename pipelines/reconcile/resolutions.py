"""What was decided of differences: the file of resolutions that people fill in.

A difference is known by its ``difference_id``, which follows from its keys and its figures: when a
figure changes, it is another difference, and open.
"""

import csv
import datetime as dt
import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import InputError

OPEN: Final = "open"
RESOLUTIONS: Final = ("accepted", "corrected", "disputed")
COLUMNS: Final = (
    *("difference_id", "resolution", "resolved_by", "resolved_on", "evidence_sha256", "note"),
)
_ID: Final = "d[0-9a-f]{16}"
_SHA256: Final = "[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Resolution:
    """What was decided of one difference.

    Attributes:
        resolution: one of ``RESOLUTIONS``.
        evidence_sha256: of the document that it rests on; None where the policy asks for none.
    """

    difference_id: str
    resolution: str
    resolved_by: str
    resolved_on: dt.date
    evidence_sha256: str | None
    note: str | None

    @property
    def row(self) -> tuple[object, ...]:
        """Its values, in the order of ``COLUMNS``."""
        return tuple(getattr(self, name) for name in COLUMNS)


def parse_resolutions(data: bytes, path: Path, *, evidence_required: bool) -> list[Resolution]:
    """The resolutions of a file, as UTF-8 or as spreadsheet programs in Japan save it (CP932).

    Raises:
        InputError: a line cannot be used; all lines must be.
    """
    reader = csv.DictReader(io.StringIO(_decoded(data, path), newline=""))
    try:
        return _resolutions(reader, path, evidence_required=evidence_required)
    except csv.Error as error:
        raise InputError(
            f"{path}: line {reader.reader.line_num}: {error}",
            hint="save it as CSV, a line for each break",
        ) from error


def _resolutions(
    reader: "csv.DictReader[str]", path: Path, *, evidence_required: bool
) -> list[Resolution]:
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: column {missing[0]} is missing", hint=f"its header is {','.join(COLUMNS)}"
        )
    found: dict[str, Resolution] = {}
    for line in reader:
        where = f"{path}: line {reader.line_num}"
        values = {name: (line.get(name) or "").strip() for name in COLUMNS}
        if not any(values.values()):
            continue
        resolution = _resolution(values, where, evidence_required=evidence_required)
        if resolution.difference_id in found:
            raise InputError(
                f"{where}: {resolution.difference_id} is resolved twice",
                hint="leave one of the lines out",
            )
        found[resolution.difference_id] = resolution
    return list(found.values())


def _decoded(data: bytes, path: Path) -> str:
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InputError(f"{path}: the text is neither UTF-8 nor CP932", hint="save it as UTF-8")


def _resolution(values: dict[str, str], where: str, *, evidence_required: bool) -> Resolution:
    sha256 = values["evidence_sha256"].lower()
    words = f"write {', '.join(RESOLUTIONS[:-1])} or {RESOLUTIONS[-1]}"
    has_evidence = bool(re.fullmatch(_SHA256, sha256))
    for name, fits, hint in (
        ("difference_id", re.fullmatch(_ID, values["difference_id"]), "copy it from breaks.csv"),
        ("resolution", values["resolution"] in RESOLUTIONS, words),
        ("resolved_by", values["resolved_by"], "say who decided it"),
        (
            "evidence_sha256",
            has_evidence or not (sha256 or evidence_required),
            "write the SHA-256 of the document that it rests on, 64 hex digits",
        ),
    ):
        if not fits:
            what = f'cannot be "{values[name]}"' if values[name] else "is empty"
            raise InputError(f"{where}: {name} {what}", hint=hint)
    try:
        # A spreadsheet program writes 2021/4/1.
        year, month, day = map(int, values["resolved_on"].replace("/", "-").split("-"))
        resolved_on = dt.date(year, month, day)
    except ValueError as error:
        raise InputError(f"{where}: resolved_on is not a day", hint="write YYYY-MM-DD") from error
    return Resolution(
        values["difference_id"],
        values["resolution"],
        values["resolved_by"],
        resolved_on,
        sha256 or None,
        values["note"] or None,
    )

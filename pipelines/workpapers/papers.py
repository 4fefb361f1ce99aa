"""The papers of an audit, made or copied into a folder."""

import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from engine.errors import InputError
from engine.io.durable import sha256_of
from engine.paths import local_path
from pipelines.claim.output import write_results
from pipelines.claim.settlement import settled
from pipelines.desk.database import Database, readable_by_duckdb
from pipelines.desk.opened_book import OpenedBook, book_readable
from pipelines.draw.command import drawn_again
from pipelines.draw.sheet import DESCRIPTION, SHEET, WORKBOOK, check_sheet, read_sheet
from pipelines.remarks.noticed import look_through
from pipelines.remarks.output import write_remarks
from pipelines.shown.texts import Lang, Texts
from pipelines.verify import Verified
from pipelines.verify.evidence import evidence, versions
from pipelines.verify.output import lines_of

DIFFERENCES: Final = "differences"
SAMPLES: Final = "samples"
# By kind of given folder, the file that says what it is.
_DESCRIBED_BY: Final = {DIFFERENCES: "summary.json", SAMPLES: DESCRIPTION}


@dataclass(frozen=True, slots=True)
class Given:
    """A folder that another command made, to be kept among the papers.

    Attributes:
        kind: ``DIFFERENCES`` or ``SAMPLES``.
    """

    kind: str
    folder: Path

    def check(self, opened: OpenedBook) -> None:
        """Makes sure that it is what it is said to be, and of this book.

        Raises:
            InputError: it is not.
        """
        described_by = self.folder / _DESCRIBED_BY[self.kind]
        try:
            value: dict[str, Any] = json.loads(described_by.read_text(encoding="utf-8"))
            if self.kind == SAMPLES:
                run, sha256 = int(value["last_run"]), value["last_record_sha256"]
            else:
                run, sha256 = int(value["last_run"]), value["chain_sha256"]
            files = dict(value["files_sha256"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            command = "draw" if self.kind == SAMPLES else "reconcile"
            raise InputError(
                f"{described_by}: it cannot be read as what mynapoint {command} writes",
                hint=f"name the folder of one result of mynapoint {command}",
            ) from error
        known = {record.sha256 for record in opened.chain}
        if not 1 <= run <= opened.runs or sha256 not in known:
            raise InputError(
                f"{self.folder}: it was made from another book, or the book has changed since",
                hint="name a result of this book, or make it again",
            )
        altered = []
        for name in sorted(files):
            path = self.folder / name
            if not path.is_file():
                raise InputError(
                    f"{path}: the file that {described_by.name} names is missing",
                    hint="name the folder of one result as it was made, or make it again",
                )
            altered += [path] * (sha256_of(path) != files[name])
        if self.kind == SAMPLES:
            # Its sheets are filled in after they were made.
            _check_sample(opened, self.folder, value, altered)
        elif altered:
            raise InputError(
                f"{altered[0]}: this is not the file that {described_by.name} names",
                hint="name the folder of one result as it was made, or make it again",
            )


def _check_sample(
    opened: OpenedBook, folder: Path, described: dict[str, Any], altered: Sequence[Path]
) -> None:
    """Makes sure that a sample is the one that its seed and the book give, and that its sheet has
    its units: as drawn, or filled in.

    Raises:
        InputError: it is not so.
    """
    sample = drawn_again(opened, folder)
    # The book may have been moved since.
    again = json.loads(json.dumps(sample.value())) | {"book": described.get("book")}
    if {name: described.get(name) for name in again} != again:
        raise InputError(
            f"{folder / DESCRIPTION}: it is not as the sample's seed and the book give it",
            hint="name the folder that mynapoint draw --out made, or draw the sample again",
        )
    filled_in = [folder / name for name in (SHEET, WORKBOOK) if folder / name in altered]
    if filled_in:
        read_sheet(filled_in[0], sample)
    else:
        check_sheet(folder / SHEET, sample)


def make_papers(
    folder: Path,
    opened: OpenedBook,
    verified: Verified,
    given: Sequence[Given],
    *,
    made_at: dt.datetime,
    lang: Lang,
) -> None:
    """Writes the papers: verification, claim, remarks, what was given, records and seals, head.

    Raises:
        BookError: a file of the book is damaged.
        InputError: a given folder holds something that is not a file.
    """
    _verification(folder, verified, made_at, lang)
    with tempfile.TemporaryDirectory(prefix="mynapoint-workpapers-") as scratch:
        with readable_by_duckdb(opened.book.path):
            made = settled(opened, None, Path(scratch))
            with Database(Path(scratch) / "remarks") as database:
                remarks = look_through(opened, database)
                (folder / "remarks").mkdir()
                write_remarks(folder / "remarks", opened, remarks, database)
        (folder / "claim").mkdir()
        write_results(folder / "claim", made, Texts("claim", lang))
    for number, result in enumerate(given, 1):
        _copy(result.folder, folder / result.kind / f"{number:02}-{result.folder.resolve().name}")
    _records_and_seals(folder, opened)
    _head(folder, opened, verified, made_at)


def _verification(folder: Path, verified: Verified, made_at: dt.datetime, lang: Lang) -> None:
    value = evidence(verified, made_at=made_at, show_ids=False)
    _write_json(folder / "verification.json", value)
    lines = lines_of(verified, Texts("verify", lang), made_at=made_at, show_ids=False)
    (folder / "verification.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _records_and_seals(folder: Path, opened: OpenedBook) -> None:
    """The records, so that the chain can be followed to its head, and the seals over them."""
    with book_readable(opened.book):
        for record in opened.chain:
            (folder / "chain" / record.place).mkdir(parents=True)
            shutil.copyfile(record.path, folder / "chain" / record.place / record.path.name)
        seals = opened.book.path / "seals"
        if seals.is_dir():
            _copy(seals, folder / "seals", files_alone=True)


def _head(folder: Path, opened: OpenedBook, verified: Verified, made_at: dt.datetime) -> None:
    last = opened.records[-1]
    _write_json(
        folder / "head.json",
        {
            "book": opened.book.path.resolve().name,
            "made_at": made_at.isoformat(),
            "last_run": last.run_id,
            "last_booked_on": last.booked_on.isoformat(),
            "head": {"record": opened.chain[-1].place, "sha256": opened.chain_sha256},
            "seals": opened.seals,
            "findings": verified.findings.totals.total(),
            "versions": versions(),
        },
    )


def _copy(source: Path, target: Path, *, files_alone: bool = False) -> None:
    """Copies the files of a folder, and looks that what was copied is what stands there.

    Args:
        source: the folder.
        target: where they are copied to.
        files_alone: what is not a file is left out, instead of refused.
    """
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_symlink() or not path.is_file():
            if files_alone:
                continue
            raise InputError(
                f"{path}: this is not a file", hint="name the folder of one result, as it was made"
            )
        shutil.copyfile(path, target / path.name)
        if sha256_of(path) != sha256_of(target / path.name):
            raise InputError(f"{path}: it changed while it was copied", hint="try again")


def _write_json(path: Path, value: dict[str, Any]) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1, default=str)
    path.write_text(f"{text}\n", encoding="utf-8")


def given_folders(kind: str, paths: Sequence[Path]) -> list[Given]:
    """Folders as they were named."""
    return [Given(kind, local_path(path)) for path in paths]

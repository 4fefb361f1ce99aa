"""The run record: what went in, what came out, on which terms; and that the sums agree."""

import datetime as dt
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from engine.booking.enrollment import EnrollmentCounts
from engine.errors import BookError
from engine.io.book.folder import Book, run_id
from engine.io.book.ledger import Part
from engine.io.durable import sha256_of
from engine.terms.programme import Programme, Terms, load_programme, parse_programme
from engine.terms.services import Services, load_services, parse_services

DEFAULT_PROGRAMME: Final = "mynapoint-2020"
_LIBRARIES: Final = ("mynapoint", "polars", "pyarrow", "pandera", "deltalake", "numpy")

Record = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """Rows and yen of a run, by what became of them."""

    read: int = 0
    read_yen: int = 0
    quarantined: int = 0
    quarantined_yen: int = 0
    declined: dict[str, int] = field(default_factory=dict)
    declined_yen: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, tuple[int, int]] = field(default_factory=dict)
    enrollments_read: int = 0
    enrollments_accepted: int = 0
    enrollments_unchanged: int = 0
    enrollments_rejected: dict[str, int] = field(default_factory=dict)
    enrollments_quarantined: int = 0
    enrollments_skipped: dict[str, tuple[int, int]] = field(default_factory=dict)

    def quarantine(self, faulty: pl.DataFrame) -> None:
        """Counts transactions that cannot be read."""
        self.quarantined += faulty.height
        self.quarantined_yen += int(faulty["amount"].sum())

    def decline(self, declined: pl.DataFrame) -> None:
        """Counts declined transactions."""
        by_reason = declined.group_by("reason").agg(pl.len(), pl.col("amount").sum())
        for reason, rows, yen in by_reason.iter_rows():
            self.declined[reason] = self.declined.get(reason, 0) + rows
            self.declined_yen[reason] = self.declined_yen.get(reason, 0) + yen

    def enroll(self, counts: EnrollmentCounts) -> None:
        """Counts the decided enrollments."""
        self.enrollments_accepted = counts.accepted
        self.enrollments_unchanged = counts.unchanged
        self.enrollments_rejected = counts.rejected

    def record(
        self,
        order: Record,
        parts: Sequence[Part],
        outputs: list[Record],
        previous: str | None,
    ) -> Record:
        """The run's record.

        Raises:
            BookError: rows or yen were lost or doubled on the way; nothing may be booked then.
        """
        record = order | {
            "counts": {
                "read": self.read,
                "booked": sum(part.totals.rows for part in parts),
                "declined": dict(sorted(self.declined.items())),
                "quarantined": self.quarantined,
                "people": sum(part.people for part in parts),
                "people_at_the_cap": sum(part.people_at_the_cap for part in parts),
                "enrollments": {
                    "read": self.enrollments_read,
                    "accepted": self.enrollments_accepted,
                    "unchanged": self.enrollments_unchanged,
                    "rejected": self.enrollments_rejected,
                    "quarantined": self.enrollments_quarantined,
                }
                | _skipped(self.enrollments_skipped, 0),
            }
            | _skipped(self.skipped, 0),
            "yen": {
                "read": self.read_yen + sum(yen for _, yen in self.skipped.values()),
                "booked": sum(part.totals.amount_yen for part in parts),
                "declined": dict(sorted(self.declined_yen.items())),
                "quarantined": self.quarantined_yen,
            }
            | _skipped(self.skipped, 1),
            "points": {
                "awarded": sum(part.totals.points_awarded for part in parts),
                "reversed": sum(part.totals.points_reversed for part in parts),
            },
            "outputs": [part.output() for part in parts] + outputs,
            "ledger_version": int(order["run_id"]) - 1,
            "engine": {"python": platform.python_version()}
            | {library: version(library) for library in _LIBRARIES},
            "previous_sha256": previous,
        }
        _check_totals(record)
        return record


def _skipped(skipped: Mapping[str, tuple[int, int]], which: int) -> Record:
    """What layouts left out, by reason, rows (0) or yen (1); nothing where nothing was."""
    split = {reason: one[which] for reason, one in sorted(skipped.items())}
    return {"skipped": split} if split else {}


def _check_totals(record: Record) -> None:
    counts, yen, enrollments = record["counts"], record["yen"], record["counts"]["enrollments"]
    for what, split in (("rows", counts), ("yen", yen)):
        out = split["booked"] + sum(split["declined"].values()) + split["quarantined"]
        out += sum(split.get("skipped", {}).values())
        if split["read"] != out:
            raise _lost(f"{split['read']} {what} of transactions were read, {out} accounted for")
    out = sum(enrollments["rejected"].values()) + sum(
        enrollments[name] for name in ("accepted", "unchanged", "quarantined")
    )
    out += sum(enrollments.get("skipped", {}).values())
    if enrollments["read"] != out:
        raise _lost(f"{enrollments['read']} enrollments were read, {out} accounted for")


def _lost(what: str) -> BookError:
    return BookError(
        f"the control totals do not agree: {what}",
        hint="this is a fault of the engine, not of the delivery: nothing was booked; report it",
    )


def order_record(
    number: int,
    booked_on: dt.date,
    programme: Programme,
    terms: Terms,
    services: Services,
    inputs: list[Record],
) -> Record:
    """The part of a record that says what the run was asked to do."""
    used = {
        name: value.isoformat() if isinstance(value, dt.date) else value
        for name, value in asdict(terms).items()
    }
    return {
        "run_id": run_id(number),
        "booked_on": booked_on.isoformat(),
        "programme": {"id": programme.programme_id, "sha256": programme.sha256, "terms": used},
        "services_sha256": services.sha256,
        "inputs": inputs,
    }


def identity(record: Record) -> Record:
    """What makes two runs the same: deliveries, services, programme, terms and date."""
    return {
        "inputs": sorted(
            [one["role"], one["sha256"], one["rows"], json.dumps(one.get("layout"))]
            for one in record["inputs"]
        ),
        "booked_on": record["booked_on"],
        "services": record["services_sha256"],
        "programme": record["programme"],
    }


def previous_sha256(book: Book, number: int) -> str | None:
    """The digest of the record before; None for the first run."""
    return None if number == 1 else sha256_of(book.run_folder(number - 1) / "record.json")


def kept_services(book: Book, committed: int) -> Services:
    """The services that the last run used; before the first, those that ship with the engine.

    Raises:
        BookError: the kept file is missing or damaged.
    """
    if committed == 0:
        return load_services(None)
    path = book.run_folder(committed) / "services.toml"
    return parse_services(_kept(path, book.record(committed)["services_sha256"]), str(path))


def kept_programme(book: Book, committed: int) -> Programme:
    """The programme that the last run used; before the first, ``mynapoint-2020``.

    Raises:
        BookError: the kept file is missing or damaged.
    """
    if committed == 0:
        return load_programme(DEFAULT_PROGRAMME)
    path = book.run_folder(committed) / "programme.toml"
    return parse_programme(_kept(path, book.record(committed)["programme"]["sha256"]), str(path))


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

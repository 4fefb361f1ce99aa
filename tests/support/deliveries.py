"""Small deliveries on disk, and a book to book them in."""

import csv
import datetime as dt
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import oracle
import polars as pl
import worlds

import mynapoint
from engine.io.delivered.deliveries import DeliveredAs
from engine.io.run.one_run import RunResult
from pipelines.run.attempts import ATTEMPTS_FILE

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
CONFORMANCE = TESTS / "conformance"
SERVICES_OF_CASES = CONFORMANCE / "services.toml"
CASES = {
    path.stem: path
    for path in sorted(CONFORMANCE.rglob("*.toml"))
    if path != SERVICES_OF_CASES and path.parent.name != "payout"
}
"""The conformance cases that are booked without payouts, by name."""
SAMPLE = ROOT / "sample_data"
KEEPS_NO_RUN = {".lock", ".acknowledged", "attempts.jsonl"}

SERVICES = """\
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"

[[services]]
service_id = "tap"
name = "Tap"
basis = "charge"
rounding = "month"
"""
TRANSACTION_COLUMNS = (*oracle.TRANSACTION_REQUIRED, *oracle.TRANSACTION_OPTIONAL)
ENROLLMENT_COLUMNS = (*oracle.ENROLLMENT_REQUIRED, *oracle.ENROLLMENT_OPTIONAL)

Row = Mapping[str, str]


def transaction(number: int, **changed: str) -> dict[str, str]:
    """A transaction that is booked: 100 yen, by the account that is enrolled."""
    return {
        "transaction_id": f"T{number}",
        "service_id": "coin",
        "account_id": "A1",
        "occurred_at": "2020-09-05 10:00:00",
        "kind": "purchase",
        "amount": "100",
        "original_transaction_id": "",
        "method": "",
    } | changed


def enrollment(number: int, **changed: str) -> dict[str, str]:
    """An enrollment that is accepted: the person P1 with account A1, and so on."""
    return (
        dict.fromkeys(ENROLLMENT_COLUMNS, "")
        | {
            "person_id": f"P{number}",
            "service_id": "coin",
            "account_id": f"A{number}",
            "applied_at": "2020-09-01 09:00:00",
            "card_applied_on": "2020-06-01",
        }
        | changed
    )


def as_csv(rows: Iterable[Row], columns: Sequence[str] = (), line_end: str = "\n") -> str:
    """CSV as the standard library writes it; by default with the first row's columns."""
    rows = list(rows)
    columns = columns or list(rows[0])
    records = []
    for values in (columns, *([row[column] for column in columns] for row in rows)):
        text = io.StringIO(newline="")
        # With this line end the writer quotes whatever holds a CR or an LF.
        csv.writer(text, lineterminator="\r\n").writerow(values)
        records.append(text.getvalue().removesuffix("\r\n") + line_end)
    return "".join(records)


def bodies(folder: Path, *, without: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below a folder but those that begin with certain names.

    The notes of attempts are left out: they hold the time, and nothing depends on them.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith((*without, ATTEMPTS_FILE)):
            found[name] = without_times_of_files(path)
    return found


def without_times_of_files(path: Path) -> bytes:
    """A file's content; an index's manifest without its stamp, which holds when files changed."""
    content = path.read_bytes()
    if path.parts[-2:] == ("index", "manifest.json"):
        with suppress(ValueError):  # It may be half written.
            return json.dumps(json.loads(content) | {"stamp": "", "sha256": ""}).encode()
    return content


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Desk:
    """A folder with deliveries and a book."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book"
        self.services = self.write("services.toml", SERVICES)
        self.enrollments = self.write("enrollments.csv", as_csv([enrollment(1)]))

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def transactions(self, rows: Iterable[Row], name: str = "transactions.csv") -> Path:
        return self.write(name, as_csv(rows, TRANSACTION_COLUMNS))

    def run(self, *transactions: Path | str | DeliveredAs, **options: Any) -> RunResult:
        """Books a night, by default with P1's enrollment and whatever share of bad rows."""
        defaults: dict[str, Any] = {
            "booked_on": dt.date(2020, 9, 30),
            "enrollments": [self.enrollments],
            "services": self.services,
            "max_quarantined": 1.0,
            "threads": 1,
        }
        return mynapoint.run(self.book, transactions=transactions, **(defaults | options))

    def ledger(self) -> pl.DataFrame:
        ledger = pl.read_delta(str(self.book / "ledger"))
        return ledger.sort("run_id", "person_id", "entry_seq")

    def table(self, name: str, run: int = 1) -> pl.DataFrame:
        return pl.read_parquet(self.book / "runs" / f"{run:06}" / f"{name}.parquet")

    def record(self, run: int = 1) -> dict[str, Any]:
        path = self.book / "runs" / f"{run:06}" / "record.json"
        record: dict[str, Any] = json.loads(path.read_bytes())
        return record

    def booked(self) -> list[str]:
        """The booked transactions, in the order of their IDs."""
        return sorted(self.ledger()["transaction_id"])

    def quarantined(self, run: int = 1) -> list[tuple[int, tuple[str, ...], str]]:
        """The quarantine's rows: number, sorted codes, raw text."""
        rows = self.table("quarantine", run).select("row", "errors", "raw").rows()
        return sorted((row, tuple(sorted(errors)), raw) for row, errors, raw in rows)

    def outcome(self, run: int = 1) -> dict[str, list[Any]]:
        """All rows of a run, wherever they ended, but for the names of files."""
        columns = list(oracle.LEDGER_COLUMNS[2:])
        return {
            "ledger": self.ledger().filter(run_id=f"{run:06}").select(columns).rows(),
            "declined": sorted(self.table("declined", run).rows()),
            "rejected": sorted(self.table("rejected_enrollments", run).rows()),
            "quarantined": self.quarantined(run),
        }

    def holds_nothing(self) -> bool:
        """Whether the book is as if no run had ever been."""
        return not (self.book.exists() and set(bodies(self.book)) - KEEPS_NO_RUN)


def book_world(world: worlds.World, folder: Path, number: int, book: Path) -> RunResult:
    """Books a night of a random world with the engine."""
    night = world.nights[number]
    paths: dict[str, list[Path]] = {"transactions": [], "enrollments": []}
    files = [("transactions", file) for file in night.transactions]
    files += [("enrollments", file) for file in night.enrollments]
    assert not night.events
    if night.services is not None:
        files.append(("services", ("services.toml", night.services)))
    if night.programme is not None:
        files.append(("programme", ("programme.toml", night.programme)))
    for role, (name, text) in files:
        path = folder / f"night-{number + 1}" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        paths.setdefault(role, []).append(path)
    return mynapoint.run(
        book,
        booked_on=night.booked_on,
        transactions=paths["transactions"],
        enrollments=paths["enrollments"],
        services=paths["services"][0] if "services" in paths else None,
        programme=paths["programme"][0] if "programme" in paths else None,
        terms_as_of=night.terms_as_of,
        max_quarantined=1.0,
        threads=1,
    )

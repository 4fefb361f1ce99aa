"""Small nights, a few rows each, with something of everything; and what a book holds, as values."""

import datetime as dt
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import polars as pl
from deliveries import without_times_of_files
from polars.testing import assert_frame_equal

import mynapoint
from engine.io.book.folder import Book
from engine.io.book.run_record import Ran
from engine.io.run.one_run import Run
from pipelines.run.attempts import ATTEMPTS_FILE

PEOPLE = 5
_NOON = dt.datetime(2020, 10, 31, 12, 0, tzinfo=dt.UTC)
RAN = Ran(_NOON, _NOON, "user", "host", "mynapoint run")
SERVICES = """
[[services]]
service_id = "coin"
name = "purchases, one running sum"
basis = "purchase"

[[services]]
service_id = "note"
name = "charges, rounded at each transaction"
basis = "charge"
rounding = "transaction"
"""
ENROLLMENT_HEADER = "person_id,service_id,account_id,applied_at,card_applied_on\n"
EVENT_HEADER = (
    "event_id,kind,authority,person_id,service_id,account_id,transaction_id,effective_at\n"
)
TRANSACTION_HEADER = (
    "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
)


@dataclass(frozen=True)
class Night:
    """A night's delivery."""

    folder: Path
    number: int

    @property
    def booked_on(self) -> dt.date:
        return dt.date(2020, 10, self.number)

    @property
    def services(self) -> Path:
        return self.folder / "services.toml"

    @property
    def enrollments(self) -> Path:
        return self.folder / "enrollments.csv"

    @property
    def transactions(self) -> Path:
        return self.folder / "transactions.csv"

    @property
    def events(self) -> Path:
        return self.folder / "events.csv"

    def book(self, book: Path) -> mynapoint.RunResult:
        """Books the night; in two slices, so that rows wait for theirs on the disk.

        Always at the same instant, so that the same run leaves the same bytes.
        """
        with patch.object(Run, "_ran", lambda _run: RAN):
            return mynapoint.run(
                book,
                booked_on=self.booked_on,
                transactions=[self.transactions],
                enrollments=[self.enrollments],
                events=[self.events],
                services=self.services,
                max_quarantined=1,
                threads=1,
                rows_per_slice=12,
                memory_mib=0,
            )

    def arguments(self, book: Path) -> list[str]:
        """The same as a command line."""
        return [
            *("run", str(book), "--booked-on", self.booked_on.isoformat()),
            *("--transactions", str(self.transactions), "--enrollments", str(self.enrollments)),
            *("--events", str(self.events), "--services", str(self.services)),
            *("--max-quarantined", "1", "--quiet"),
        ]


def deliver(folder: Path, number: int, *, refers_back: bool = True) -> Night:
    """Writes a night's files; ``refers_back`` to the night before, from the second on."""
    night = Night(folder / f"night-{number:02}", number)
    night.folder.mkdir(parents=True)
    night.services.write_text(SERVICES)
    people = [f"{number:02}{person}" for person in range(PEOPLE)]
    enrolled = [
        f"P{person},{'coin' if person[-1] < '3' else 'note'},A{person},"
        "2020-09-02 08:00:00,2020-08-01\n"
        for person in people
    ]
    enrolled.append(f"X{number},coin,A{people[0]},2020-09-03 08:00:00,2020-08-01\n")
    rows = []
    for person in people:
        service, kind = ("coin", "purchase") if person[-1] < "3" else ("note", "charge")
        for hour, amount in ((9, 1999), (10, 30_001 if person[-1] == "1" else 777), (11, 402)):
            rows.append(
                f"T{person}-{hour},{service},A{person},2020-10-01 {hour}:00:00,{kind},{amount},"
            )
    first = people[0]
    rows += [
        rows[0],
        f"R{first},coin,A{first},2020-10-02 09:00:00,refund,499,T{first}-9",
        f"B{first},coin,A{first},2020-09-01 09:00:00,purchase,100,",
        f"S{first},coin,nobody,2020-10-01 09:00:00,purchase,100,",
        f"M{first},coin,A{first},2020-10-01 09:00:00,purchase,many,",
        f"L{first},coin,L{number},2020-10-01 09:00:00,purchase,2000,",
    ]
    events = []
    if refers_back and number > 1:
        before = f"{number - 1:02}0"
        rows += [
            f"T{before}-9,coin,A{before},2020-10-01 9:00:00,purchase,1999,".replace(" 9:", " 09:"),
            f"R{before}b,coin,A{before},2020-10-03 09:00:00,refund,1500,T{before}-9",
            f"R{before}c,coin,A{before},2020-10-03 10:00:00,refund,1,T{before}-9",
        ]
        events.append(f"V{number},transaction_voided,the service,,coin,,T{before}-10,")
        # It comes a night before the stop that it ends.
        resumed = f"P{number - 1:02}2,coin,A{number - 1:02}2,,2020-10-01 11:30:00"
        events.append(f"E{number},enrollment_resumed,the city,{resumed}")
        stopped = f"P{number - 2:02}2,coin,A{number - 2:02}2,,2020-10-01 10:30:00"
        events.append(f"S{number},enrollment_stopped,the city,{stopped}")
        # A payment of the night before waits for it.
        late = f"L{number - 1},coin,L{number - 1}"
        enrolled.append(f"{late},2020-09-02 08:00:00,2020-08-01\n")
    rows = [row.replace(" 9:", " 09:") for row in rows]
    night.enrollments.write_text(ENROLLMENT_HEADER + "".join(enrolled))
    night.transactions.write_text(TRANSACTION_HEADER + "\n".join(rows) + "\n")
    night.events.write_text(EVENT_HEADER + "\n".join(events) + "\n")
    return night


@dataclass(frozen=True)
class Held:
    """What a book holds: its committed runs, its ledger, and each file's digest."""

    runs: int
    ledger: pl.DataFrame
    files: dict[str, str]

    @classmethod
    def of(cls, book: Path) -> "Held":
        return cls(Book(book).committed_runs(), ledger_of(book), digests(book))


def ledger_of(book: Path) -> pl.DataFrame:
    """The ledger as any reader of Delta Lake sees it; without rows before the first run."""
    log = book / "ledger" / "_delta_log"
    if not log.exists() or not any(file.suffix == ".json" for file in log.iterdir()):
        return pl.DataFrame()
    return pl.read_delta(str(book / "ledger")).sort("run_id", "person_id", "entry_seq")


def digests(book: Path, under: str = "") -> dict[str, str]:
    """The sha256 of each file, without what holds the time: commits, attempts, when a run ran."""
    found = {}
    for root, _, names in os.walk(book / under):
        for name in names:
            path = Path(root, name)
            if name == ATTEMPTS_FILE:
                continue
            is_commit = path.parent.name == "_delta_log"
            content = b"" if is_commit else without_times_of_files(path)
            if name == "record.json":
                with suppress(ValueError):  # It may be half written.
                    content = json.dumps(json.loads(content) | {"ran": None}).encode()
            found[str(path.relative_to(book))] = hashlib.sha256(content).hexdigest()
    return found


def same_ledger(ledger: pl.DataFrame, other: pl.DataFrame) -> bool:
    try:
        assert_frame_equal(ledger, other)
    except AssertionError:
        return False
    return True

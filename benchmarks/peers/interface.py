"""What the peers share: one command line, one reading of the services file, one line of JSON.

Nothing here does any of the measured work.
"""

import argparse
import csv
import gzip
import json
import resource
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

REQUIRED_TRANSACTION_COLUMNS = (
    "transaction_id",
    "service_id",
    "account_id",
    "occurred_at",
    "kind",
    "amount",
)
OPTIONAL_TRANSACTION_COLUMNS = ("original_transaction_id", "method")
TRANSACTION_COLUMNS = REQUIRED_TRANSACTION_COLUMNS + OPTIONAL_TRANSACTION_COLUMNS
REQUIRED_ENROLLMENT_COLUMNS = (
    "person_id",
    "service_id",
    "account_id",
    "applied_at",
    "card_applied_on",
)
OPTIONAL_ENROLLMENT_COLUMNS = (
    "basis",
    "reserved_at",
    "certificate_issued_at",
    "preregistered_on",
)
ENROLLMENT_COLUMNS = REQUIRED_ENROLLMENT_COLUMNS + OPTIONAL_ENROLLMENT_COLUMNS

LEDGER_COLUMNS = (
    "run_id",
    "booked_on",
    "person_id",
    "entry_seq",
    "service_id",
    "account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
    "enrolled_account_id",
    "net_amount",
    "counted_amount",
    "points",
    "net_spend_after",
    "points_after",
    "event_id",
)
DECLINED_COLUMNS = (
    "service_id",
    "transaction_id",
    "account_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
    "reason",
)
# In the specification's order: the first that holds is the one given. Two more need events.
DECLINE_REASONS = (
    "duplicate",
    "unknown_service",
    "not_enrolled",
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
    "before_window",
    "after_window",
    "before_application",
    "service_closed",
    "not_the_basis",
    "excluded_method",
)

RUN_ID = "000001"
BOOKED_ON = date(2021, 10, 1)
WINDOW_FIRST_DAY = date(2020, 9, 1)
WINDOW_LAST_DAY = date(2021, 9, 30)
APPLICATIONS_CLOSE_ON = date(2021, 9, 30)
CARD_APPLICATIONS_CLOSE_ON = date(2021, 4, 30)
SPENDING_CAP_YEN = 20_000
RATE_NUMERATOR = 25
RATE_DENOMINATOR = 100


@dataclass(frozen=True)
class Job:
    """One command line: what to read, where to write, how much of the machine to use."""

    transactions: list[Path]
    enrollments: list[Path]
    services: list[dict[str, Any]]
    out: Path
    threads: int
    memory_limit: str


@dataclass
class Outcome:
    """What a peer found, to be printed."""

    rows: int
    booked: int
    conflicts: int
    points_net: int
    declined: Mapping[str, int] = field(default_factory=dict)

    def check(self) -> None:
        """Every row ends in exactly one place; a join that multiplied rows would show here."""
        placed = self.booked + self.conflicts + sum(self.declined.values())
        if placed != self.rows:
            sys.exit(f"error: {self.rows} rows read, {placed} placed")


def parse(description: str | None, arguments: list[str] | None = None) -> Job:
    """Read the command line that all peers have in common."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transactions", required=True, metavar="GLOB")
    parser.add_argument("--enrollments", required=True, metavar="GLOB")
    parser.add_argument("--services", required=True, type=Path, metavar="FILE")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-limit", default="12GB")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    return Job(
        transactions=files(given.transactions),
        enrollments=files(given.enrollments),
        services=services(given.services),
        out=given.out,
        threads=given.threads,
        memory_limit=given.memory_limit,
    )


def files(pattern: str) -> list[Path]:
    """List the files that a glob or a path names, in order; none is an error."""
    named = Path(pattern)
    if named.is_dir():
        found = [path for path in named.rglob("*") if path.is_file()]
    else:
        found = list(Path(named.anchor).glob(str(named.relative_to(named.anchor))))
    if not found:
        sys.exit(f"error: no file matches {pattern}")
    if len({is_parquet(path) for path in found}) > 1:
        sys.exit(f"error: {pattern} matches CSV and Parquet files; a peer reads one kind at a time")
    return sorted(found)


def is_parquet(path: Path) -> bool:
    """Tell the two kinds of file apart by name."""
    return path.suffix == ".parquet"


def columns_of(path: Path) -> list[str]:
    """The names in a file's header."""
    if is_parquet(path):
        return list(pq.read_schema(path).names)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
        return next(csv.reader(lines))


def services(path: Path) -> list[dict[str, Any]]:
    """The registry of services, defaults filled in."""
    defaults: dict[str, Any] = {
        "rounding": "cumulative",
        "counts_from": "instant",
        "preregistration": False,
        "applications_close_on": None,
        "awards_close_on": None,
        "excluded_methods": [],
    }
    with path.open("rb") as file:
        return [defaults | service for service in tomllib.load(file)["services"]]


def peak_mb(*, of_children: bool = False) -> int:
    """The most memory this process, or one of those it started, has held at once."""
    whose = resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF
    return resource.getrusage(whose).ru_maxrss // 1024


def cpu_seconds(*, of_children: bool = False) -> float:
    """Processor time of all threads; says more than the clock does where the machine is shared."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN if of_children else resource.RUSAGE_SELF)
    return round(used.ru_utime + used.ru_stime, 2)


def print_outcome(outcome: Outcome, seconds: float, *, of_children: bool = False) -> None:
    """Print the peer's one line of JSON; ``of_children`` when processes it started did the work."""
    outcome.check()
    found = {
        "rows": outcome.rows,
        "booked": outcome.booked,
        "conflicts": outcome.conflicts,
        "declined": {
            reason: outcome.declined[reason]
            for reason in DECLINE_REASONS
            if outcome.declined.get(reason)
        },
        "points_net": outcome.points_net,
        "seconds": round(seconds, 2),
        "cpu_seconds": cpu_seconds(of_children=of_children),
        "peak_mb": peak_mb(of_children=of_children),
    }
    print(json.dumps(found))

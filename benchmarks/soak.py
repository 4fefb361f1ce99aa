"""A year of small nights into one book, as they come: late files, conflicts, corrections, crashes.

    python benchmarks/soak.py --nights 365 --rows 200 --people 300 --keep DIR

Every night has payments of that day, now and then in a file that comes days late; people apply in
the first month, some of them after they paid; payments are refunded, also ahead of themselves,
repeated and contradicted; accounts are replaced, enrollments stopped, transactions voided, people
merged, and some of it undone. Once a month the run is killed (SIGKILL) ahead of a file operation
that is drawn by lot, and is run again. All of it is a function of `--seed`.

In the end it is asked whether anything was lost: every valid transaction that was delivered is
booked or waits, none is booked twice, none both; and whether the book is proven (`mynapoint verify`
with all deliveries, which decides every run again). The nights run in one process, so that what is
measured is the night and not the start of a program, and so that memory which a night leaves behind
is seen. From the second month on each night is also booked into a copy of the book as it was after
the first one, in turn, so that a busy minute of the machine falls on both: what the age of a book
costs is how the two differ.

Written to `--results`: `soak-N.md` and `.json`. Exit 1 where something was lost or is not proven.
"""

import argparse
import csv
import datetime as dt
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import machine
import polars as pl
from presenting import table

import mynapoint
from engine.io import durable

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results"
FIRST_DAY: Final = dt.date(2020, 9, 2)
NIGHTS_A_MONTH: Final = 30
SERVICES: Final = """
[[services]]
service_id = "coin"
name = "purchases, one running sum"
basis = "purchase"

[[services]]
service_id = "note"
name = "charges, rounded by the month"
basis = "charge"
rounding = "month"
"""
KINDS: Final = {"coin": "purchase", "note": "charge"}
TRANSACTION: Final = (
    *("transaction_id", "service_id", "account_id", "occurred_at", "kind", "amount"),
    "original_transaction_id",
)
ENROLLMENT: Final = ("person_id", "service_id", "account_id", "applied_at", "card_applied_on")
EVENT: Final = (
    *("event_id", "kind", "authority", "person_id", "service_id", "account_id", "transaction_id"),
    *("other_id", "effective_at"),
)
# What is done in a night, by lot: how often in a thousand rows, or in a thousand nights.
REFUNDED, REPEATED, CONTRADICTED, UNREADABLE, STRANGERS = 40, 20, 5, 3, 50
LATE_FILES, EVENTS = 80, 400

Row = dict[str, str]
Files = dict[str, list[Path]]


@dataclass
class World:
    """Whoever pays, and what has been delivered so far.

    Attributes:
        readable: the keys of all transactions that can be read, as they were first delivered.
        delivered: rows of earlier nights, which may be repeated or contradicted.
        under_way: by night, such rows as come then.
        accounts: by person, the service and the accounts, the newest last.
        late: by night, the files that come then.
    """

    folder: Path
    people: int
    nights: int
    lot: random.Random
    readable: dict[tuple[str, str], Row] = field(default_factory=dict)
    accounts: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    late: dict[int, list[tuple[str, Path]]] = field(default_factory=lambda: defaultdict(list))
    events: list[Row] = field(default_factory=list)
    delivered: list[Row] = field(default_factory=list)
    under_way: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    number: int = 0

    def __post_init__(self) -> None:
        for person in range(self.people):
            service = self.lot.choice(list(KINDS))
            self.accounts[f"P{person:05}"] = (service, [f"A{person:05}"])

    def night(self, number: int, rows: int) -> Files:
        """Makes a night's files; gives those that have come by then."""
        self.number = number
        self.delivered = [*self.delivered, *self.under_way.pop(number - 1, [])][-20_000:]
        folder = self.folder / f"night-{number:03}"
        folder.mkdir(parents=True)
        day = FIRST_DAY + dt.timedelta(days=number - 1)
        for service in KINDS:
            made = self._payments(service, day, rows // len(KINDS))
            self._deliver("transactions", folder / f"transactions-{service}.csv", TRANSACTION, made)
        applied = [
            self._enrollment(person, day)
            for place, person in enumerate(self.accounts)
            if place % min(NIGHTS_A_MONTH - 7, self.nights) == number - 1
        ]
        self._deliver("enrollments", folder / "enrollments.csv", ENROLLMENT, applied)
        if self._happens(EVENTS):
            self._deliver("events", folder / "events.csv", EVENT, [self._event(day)])
        files: Files = {"transactions": [], "enrollments": [], "events": []}
        for role, path in self.late.pop(number, []):
            files[role].append(path)
        return files

    def rest(self) -> Files:
        """The files that were still to come after the last night."""
        files: Files = {"transactions": [], "enrollments": [], "events": []}
        for night in sorted(self.late):
            for role, path in self.late[night]:
                files[role].append(path)
        return files

    def _happens(self, in_a_thousand: int) -> bool:
        return self.lot.randrange(1000) < in_a_thousand

    def _deliver(self, role: str, path: Path, columns: Sequence[str], rows: list[Row]) -> None:
        """Writes a file, which comes tonight or some nights late."""
        if not rows:
            return
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        days = self.lot.randint(1, 7) if self._happens(LATE_FILES) else 0
        self.late[self.number + days].append((role, path))
        if role == "transactions":
            first = (self.readable.get((row["service_id"], row["transaction_id"])) for row in rows)
            self.under_way[self.number + days] += [
                row for row, known in zip(rows, first, strict=True) if row is known
            ]

    def _at(self, day: dt.date) -> str:
        return f"{day} {self.lot.randrange(24):02}:{self.lot.randrange(60):02}:00"

    def _payments(self, service: str, day: dt.date, rows: int) -> list[Row]:
        people = [name for name, (chosen, _) in self.accounts.items() if chosen == service]
        made: list[Row] = []
        for place in range(rows):
            if self.delivered and self._happens(REPEATED):
                made.append(self.lot.choice(self.delivered))
                continue
            if self.delivered and self._happens(CONTRADICTED):
                row = self.lot.choice(self.delivered)
                made.append(row | {"amount": str(int(row["amount"]) + 1)})
                continue
            key = f"{service[0].upper()}{self.number:03}-{place:04}"
            account = f"X{self.lot.randrange(50)}"
            if not self._happens(STRANGERS):
                account = self.lot.choice(self.accounts[self.lot.choice(people)][1])
            amount = str(self.lot.choice((120, 480, 999, 1500, 4980)) + self.lot.randrange(100))
            kind = KINDS[service] if self.lot.randrange(10) else "charge"
            values = (key, service, account, self._at(day), kind, amount, "")
            row = dict(zip(TRANSACTION, values, strict=True))
            if self._happens(UNREADABLE):
                made.append(row | {"amount": f"{amount}円"})
                continue
            made.append(row)
            self.readable[service, key] = row
            if self._happens(REFUNDED):
                later = day + dt.timedelta(days=self.lot.randrange(3))
                refund = row | {
                    "transaction_id": f"{key}-R",
                    "kind": "refund",
                    "amount": str(self.lot.randint(1, int(amount))),
                    "occurred_at": f"{later} 23:59:59",
                    "original_transaction_id": key,
                }
                # It may stand in an earlier line, or come in an earlier file, than its original.
                made.insert(self.lot.randrange(len(made)), refund)
                self.readable[service, refund["transaction_id"]] = refund
        return made

    def _enrollment(self, person: str, day: dt.date) -> Row:
        service, accounts = self.accounts[person]
        applied = day - dt.timedelta(days=self.lot.choice((0, 0, 0, 2, 20)))
        at = self._at(max(applied, FIRST_DAY))
        values = (person, service, accounts[0], at, "2020-08-01")
        return dict(zip(ENROLLMENT, values, strict=True))

    def _event(self, day: dt.date) -> Row:
        person = self.lot.choice(list(self.accounts))
        service, accounts = self.accounts[person]
        event = dict.fromkeys(EVENT, "") | {
            "event_id": f"E{self.number:03}",
            "authority": "the soak benchmark",
        }
        kind = self.lot.choice(
            (
                *("account_replaced", "enrollment_stopped", "enrollment_resumed"),
                *("transaction_voided", "transaction_voided", "persons_merged", "undone"),
            )
        )
        event["kind"] = kind
        at = self._at(day - dt.timedelta(days=self.lot.randrange(10)))
        if kind == "account_replaced":
            new = f"{accounts[0]}-{len(accounts)}"
            event |= {"service_id": service, "account_id": accounts[-1], "other_id": new}
            event["effective_at"] = at
            accounts.append(new)
        elif kind == "transaction_voided":
            key = self.lot.choice(list(self.readable))
            event |= {"service_id": key[0], "transaction_id": key[1]}
        elif kind == "persons_merged":
            event |= {"person_id": person, "other_id": self.lot.choice(list(self.accounts))}
        elif kind == "undone":
            event["other_id"] = self.lot.choice(self.events)["event_id"] if self.events else "E000"
        else:
            event |= {"person_id": person, "service_id": service, "account_id": accounts[0]}
            event["effective_at"] = at
        self.events.append(event)
        return event


class Operations:
    """Counts a run's file operations; kills the process ahead of one of them."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.count, self._killed_at = 0, killed_at

    def before(self, _kind: str, _path: Path) -> None:
        self.count += 1
        if self.count == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        durable.before_operation = self.before


def book_night(book: Path, services: Path, booked_on: dt.date, files: Files) -> mynapoint.RunResult:
    return mynapoint.run(
        book,
        booked_on=booked_on,
        transactions=files["transactions"],
        enrollments=files["enrollments"],
        events=files["events"],
        services=services,
        nothing_delivered=not any(files.values()),
    )


def timed(
    book: Path, services: Path, booked_on: dt.date, files: Files
) -> tuple[float, mynapoint.RunRecord]:
    """Books a night; its processor time, seconds, and its record."""
    before = time.process_time()
    record = book_night(book, services, booked_on, files).record
    return time.process_time() - before, record


def killed(book: Path, services: Path, booked_on: dt.date, files: Files, operation: int) -> bool:
    """Books a night in a process of its own, which is killed; False where it ended before."""
    order = json.dumps(
        {
            "book": str(book),
            "services": str(services),
            "booked_on": booked_on.isoformat(),
            "files": {role: [str(path) for path in paths] for role, paths in files.items()},
            "operation": operation,
        }
    )
    done = subprocess.run([sys.executable, __file__, "--die", order], check=False)
    if done.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the night to be killed ended with exit code {done.returncode}")
    return done.returncode == -signal.SIGKILL


def die(order: str) -> None:
    given = json.loads(order)
    Operations(given["operation"]).watch()
    files = {role: [Path(path) for path in paths] for role, paths in given["files"].items()}
    booked_on = dt.date.fromisoformat(given["booked_on"])
    book_night(Path(given["book"]), Path(given["services"]), booked_on, files)


def findings(book: Path, world: World, scratch: Path) -> dict[str, int]:
    """How many transactions were lost, and how many are there twice; all should be 0."""
    columns = ["service_id", "transaction_id", "kind"]
    ledger = pl.concat(
        pl.read_parquet(path, columns=columns)
        for path in sorted((book / "ledger").glob("*.parquet"))
    ).filter(pl.col("kind") != "recount")
    times: Counter[tuple[str, str]] = Counter()
    for service, transaction, kind in ledger.iter_rows():
        times[service, transaction] += -1 if kind.endswith("_void") else 1
    out = scratch / "pending"
    command = (sys.executable, "-m", "mynapoint", "pending", str(book), "--out", str(out))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    pending = pl.read_parquet(out / "transactions.parquet")
    waiting = set(pending.select("service_id", "transaction_id").iter_rows())
    booked = {key for key, number in times.items() if number == 1}
    return {
        "lost": len(world.readable.keys() - booked - waiting),
        "booked more than once": sum(number not in (0, 1) for number in times.values()),
        "booked and waiting": len(booked & waiting),
        "booked and never delivered": len(booked - world.readable.keys()),
    }


def verified(book: Path, folder: Path) -> tuple[int, float]:
    """The exit code of `mynapoint verify` with all deliveries, and its processor time, seconds."""
    before = os.times()
    command = [sys.executable, "-m", "mynapoint", "verify", str(book), "--lang", "en"]
    for role in ("transactions", "enrollments", "events"):
        command += [f"--{role}", str(folder / "nights" / "*" / f"{role}*.csv")]
    done = subprocess.run(command, check=False)
    after = os.times()
    spent = after.children_user + after.children_system
    return done.returncode, spent - before.children_user - before.children_system


def by_month(nights: Sequence[dict[str, Any]]) -> Iterable[Sequence[dict[str, Any]]]:
    return (
        nights[first : first + NIGHTS_A_MONTH] for first in range(0, len(nights), NIGHTS_A_MONTH)
    )


def cost_of(nights: Sequence[dict[str, Any]]) -> tuple[str, str, str]:
    """What a night took in the median, what in the young book, and the one over the other."""
    if not nights:
        return "", "", ""
    cpu_s = median(night["cpu_s"] for night in nights)
    young = [night["young_cpu_s"] for night in nights if night["young_cpu_s"] is not None]
    if not young:
        return f"{cpu_s:.3f}", "", ""
    return f"{cpu_s:.3f}", f"{median(young):.3f}", f"{cpu_s / median(young):.2f} ×"


def page(value: dict[str, Any], options: argparse.Namespace) -> str:
    lines = []
    for number, month in enumerate(by_month(value["nights"]), 1):
        plain = [night for night in month if not night["corrected"]]
        corrected = [night for night in month if night["corrected"]]
        lines.append(
            [
                f"{number}",
                f"{len(month)}",
                f"{sum(night['rows'] for night in month):,}",
                *cost_of(plain),
                *cost_of(corrected),
                f"{sum(night['killed'] for night in month)}",
                f"{month[-1]['entries']:,}",
                f"{month[-1]['rss_mb']:,}",
            ]
        )
    head = [
        *("month", "nights", "rows", "CPU a night, s", "in the young book, s", "ratio"),
        *("with corrections, s", "in the young book, s", "ratio", "killed", "entries"),
        "memory held after it, MB",
    ]
    found = ", ".join(f"{what}: {number}" for what, number in value["findings"].items())
    command = (
        f"python benchmarks/soak.py --nights {options.nights} --rows {options.rows} "
        f"--people {options.people} --seed {options.seed}"
    )
    proven = (
        f"{value['delivered']:,} readable transactions were delivered. {found}. `mynapoint verify` "
        f"with all deliveries: exit {value['verify_exit']}, {value['verify_cpu_s']:.0f} s of "
        "processor time.\n"
    )
    measured = (
        "Processor time is the median of the month's nights, those with corrections apart: they "
        "ask for all that people have. Nights that were killed ran again; "
        "what is measured is the second time.\n"
    )
    title = f"# {options.nights:,} nights of {options.rows:,} rows, {options.people:,} people\n"
    return "\n".join(
        [
            *(title, machine.described(value["where"]), table(head, lines)),
            *(measured, proven),
            f"To measure again:\n\n    {command}\n",
        ]
    )


def soak(folder: Path, options: argparse.Namespace, say: Callable[[str], object]) -> dict[str, Any]:
    """Books all nights into `folder`; what each took, and what was found in the end."""
    where = machine.circumstances()
    book, services = folder / "book", folder / "services.toml"
    services.write_text(SERVICES, encoding="utf-8")
    lot = random.Random(options.seed)
    world = World(folder / "nights", options.people, options.nights, lot)
    nights: list[dict[str, Any]] = []
    young = folder / "young"
    entries, operations, fatal = 0, 50, 2
    for number in range(1, options.nights + 1):
        files = world.night(number, options.rows)
        if number == options.nights:
            # What is still under way comes with the last one.
            for role, paths in world.rest().items():
                files[role] += paths
        booked_on = FIRST_DAY + dt.timedelta(days=number)
        was_killed = False
        if number % NIGHTS_A_MONTH == 1 and number > 1:
            fatal = number + lot.randrange(NIGHTS_A_MONTH)
        if number == fatal:
            was_killed = killed(book, services, booked_on, files, lot.randrange(1, operations + 1))
        watched = Operations()
        watched.watch()
        cpu_s, record = timed(book, services, booked_on, files)
        operations = watched.count or operations
        young_cpu_s = None
        if number == NIGHTS_A_MONTH:
            shutil.copytree(book, young)
        elif number > NIGHTS_A_MONTH:
            copy = folder / "copy"
            shutil.copytree(young, copy)
            young_cpu_s, _ = timed(copy, services, booked_on, files)
            shutil.rmtree(copy)
        entries += record.counts.booked + record.counts.voided + record.counts.recounted
        nights.append(
            {
                "night": number,
                "rows": record.counts.read,
                "cpu_s": round(cpu_s, 4),
                "young_cpu_s": None if young_cpu_s is None else round(young_cpu_s, 4),
                "killed": was_killed,
                "corrected": bool(files["events"]),
                "entries": entries,
                "rss_mb": _rss_mb(),
            }
        )
        if number % NIGHTS_A_MONTH == 0:
            say(f"night {number}: {median(n['cpu_s'] for n in nights[-NIGHTS_A_MONTH:]):.3f} s")
    exit_code, verify_cpu_s = verified(book, folder)
    return {
        "where": where,
        "nights": nights,
        "delivered": len(world.readable),
        "findings": findings(book, world, folder),
        "verify_exit": exit_code,
        "verify_cpu_s": verify_cpu_s,
    }


def _rss_mb() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 10**6


def is_proven(value: dict[str, Any]) -> bool:
    return value["verify_exit"] == 0 and not any(value["findings"].values())


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--nights", type=int, default=365)
    parser.add_argument("--rows", type=int, default=200, help="payments a night")
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a new folder for the book and the deliveries")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--die", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.die:
        die(options.die)
        return 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        value = soak(folder, options, lambda text: sys.stderr.write(f"{text}\n"))
    options.results.mkdir(parents=True, exist_ok=True)
    name = options.results / f"soak-{options.nights}"
    name.with_suffix(".json").write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    name.with_suffix(".md").write_text(page(value, options), encoding="utf-8")
    sys.stdout.write(page(value, options))
    return 0 if is_proven(value) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Makes large deliveries for the benchmarks, in little memory, the same for the same seed.

    python benchmarks/generate.py DIR --rows 20000000 --people 2500000 --seed 1

Every row is a pure function of its number, so a refund or a duplicate does not have to remember
its original, however far back: it makes it again. Of the rows, 1.5 % are refunds (of the last days
mostly, some of months ago), 0.5 % duplicates, 0.01 % conflicts, 1 % of accounts that nobody
enrolled, 0.5 % ahead of the application, 0.5 % not of the chosen basis; the rest can be booked.
`--booked 0.25` deals more of these three, as where an operator delivers all customers' payments.
People apply before the programme and in its first ten months; the early ones buy most.

Written are `services.toml`, `enrollments.parquet` (a folder of files above 5 million people) and
`transactions/part-0000.parquet` and so on, or with `--nights` a folder a night, `night-001` …,
with all enrollments in the first, or with `--enroll nightly` each with the people who applied since
the one before. `--night` writes one of them alone. Refunds, duplicates and
conflicts reach back over nights: half of the refunds go back over up to a hundredth of all rows,
four in ten over up to a twelfth, the rest over up to a third; one repetition in five over up to a
thirtieth.
"""

from __future__ import annotations

import argparse
import datetime as dt
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engine.terms.services import parse_services
from pipelines.sample.calendar import DAY, HOUR, second
from pipelines.sample.chance import (
    Bits,
    Integers,
    below,
    charges_yen,
    mixed,
    payments_yen,
    scattered,
    skewed,
)

CHUNK_ROWS: Final = 1_000_000
PEOPLE_IN_A_FILE: Final = 5_000_000

SERVICES_TOML: Final = """\
# The services of the large benchmark deliveries. Invented; between them they have every trait.

[[services]]
service_id = "densha-ic"
name = "charges, registration beforehand, summed by month"
basis = "charge"
rounding = "month"
preregistration = true

[[services]]
service_id = "shiden-ic"
name = "charges, ended early"
basis = "charge"
applications_close_on = 2021-03-15
awards_close_on = 2021-03-31

[[services]]
service_id = "machi-pay"
name = "charges or purchases as chosen, some methods excluded"
basis = "either"
excluded_methods = ["gift_card", "other_credit_card"]

[[services]]
service_id = "kaimono-pay"
name = "purchases from the day after the application, rounded at each transaction"
basis = "purchase"
rounding = "transaction"
counts_from = "next_day"

[[services]]
service_id = "hoshi-card"
name = "purchases, the whole day of the application included"
basis = "purchase"
counts_from = "application_day"

[[services]]
service_id = "mise-ic"
name = "charges, rounded at each transaction"
basis = "charge"
rounding = "transaction"
"""
SERVICES: Final = parse_services(SERVICES_TOML, "SERVICES_TOML").services
SERVICE_IDS: Final = [service.service_id for service in SERVICES]
SHARES: Final = (18, 5, 27, 12, 25, 13)
MEAN_PAYMENTS_YEN: Final = (1_100, 1_100, 900, 900, 4_600, 1_100)
ENDED: Final = SERVICE_IDS.index("shiden-ic")
OPEN: Final = SERVICE_IDS.index("machi-pay")

KINDS: Final = ("charge", "purchase", "refund", "payment")
CHARGE, PURCHASE, REFUND, NO_KIND = range(4)
METHODS: Final = (None, "bank", "credit_card", "cash", "balance", "points", "gift_card")
USUAL_METHODS: Final = np.array([[1, 1, 2, 3] * 16, [0, 2, 4, 4, 4, 5, 4, 4] * 8])
USUAL_METHODS[:, 63] = METHODS.index("gift_card")

SOUND, REFUNDING, REPEATED, CONFLICTING, STRANGER, EARLY, OFF_BASIS, BROKEN = range(8)
PER_MILLION: Final = (15_000, 5_000, 100, 10_000, 5_000, 5_000)
BOOKED: Final = 1 - sum(PER_MILLION) / 1_000_000


OPENED: Final = second(2020, 7, 1)
WINDOW_FIRST: Final = second(2020, 9, 1)
WINDOW_END: Final = second(2021, 10, 1)
LAST_CARD_DAY: Final = second(2021, 4, 30)
ENDED_AT: Final = second(2021, 4, 1)
NO_MORE_APPLICATIONS_AT: Final = second(2021, 3, 16)
# Which share of the people has applied by when.
APPLIED_SHARE: Final = (0.0, 0.6, 1.0)
APPLIED_BY: Final = (OPENED, WINDOW_FIRST, second(2021, 7, 1))
# Rows are delivered up to this long before or after their turn.
SHUFFLED_WITHIN: Final = 6 * HOUR

FIRST_DAY: Final = dt.date(2020, 6, 1)
DATES: Final = np.array(
    [int(f"{FIRST_DAY + dt.timedelta(days):%Y%m%d}") for days in range(600)], dtype=np.int64
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Transactions as columns of numbers; `number` and `original` stand for transaction IDs."""

    number: Integers
    id_at: Integers
    service: Integers
    account: Integers
    at: Integers
    kind: Integers
    amount: Integers
    method: Integers
    original: Integers
    original_at: Integers


@dataclass(frozen=True, slots=True)
class World:
    """Everybody and everything that happens, as pure functions of the number."""

    rows: int
    people: int
    seed: int
    broken_per_million: int
    roles_per_million: tuple[int, ...] = PER_MILLION

    def bits(self, name: str, numbers: Integers) -> Bits:
        """64 well-mixed bits for each number."""
        return mixed(self.seed, name, numbers.view(np.uint64))

    def roll(self, name: str, numbers: Integers, sides: int) -> Integers:
        """A whole number from 0 to sides - 1 for each number."""
        return below(self.bits(name, numbers), sides)

    # -- people

    def applied_at(self, person: Integers) -> Integers:
        """When the person applied: the lower the number, the earlier, but for the hour."""
        share = np.interp(person / self.people, APPLIED_SHARE, APPLIED_BY)
        return share.astype(np.int64) + self.roll("applied", person, DAY)

    def applied_by(self, at: Integers) -> Integers:
        """How many people have applied two days before, so that theirs counts by any rule."""
        share = np.interp(at - 2 * DAY, APPLIED_BY, APPLIED_SHARE)
        return np.maximum((share * self.people).astype(np.int64), 1)

    def applied_before(self, night: int, nights: int) -> int:
        """How many people have applied when that one of the nights ends."""
        end = WINDOW_FIRST + (WINDOW_END - WINDOW_FIRST) * night // nights
        return int(np.interp(end, APPLIED_BY, APPLIED_SHARE) * self.people)

    def first_service(self, person: Integers) -> Integers:
        """The service that the person chose."""
        urn = np.repeat(np.arange(len(SHARES)), SHARES)
        service = urn[self.roll("service", person, len(urn))]
        late = (service == ENDED) & (self.applied_at(person) >= NO_MORE_APPLICATIONS_AT)
        return np.where(late, OPEN, service)

    def moved_at(self, person: Integers) -> Integers:
        """When whose service ended applied for another."""
        return ENDED_AT + self.roll("moved", person, 30 * DAY)

    def basis(self, person: Integers, service: Integers) -> Integers:
        """What earns on the person's account at the service."""
        fixed = np.array([("charge", "purchase", "either").index(s.basis) for s in SERVICES])
        return np.where(fixed[service] == 2, self.roll("basis", person, 2), fixed[service])

    # -- transactions

    def role(self, number: Integers) -> Integers:
        """What is the matter with each row."""
        bounds = np.cumsum((*self.roles_per_million, self.broken_per_million))
        role = np.searchsorted(bounds, self.roll("role", number, 1_000_000), side="right") + 1
        return np.where(role > BROKEN, SOUND, role)

    def at(self, number: Integers) -> Integers:
        """When each row happened: in order of the numbers, but for some hours."""
        span = WINDOW_END - WINDOW_FIRST - 2 * SHUFFLED_WITHIN
        turn = WINDOW_FIRST + number * span // self.rows
        return turn + self.roll("at", number, 2 * SHUFFLED_WITHIN)

    def spending(self, number: Integers, role: Integers) -> Rows:
        """What each row is, or would be if it were neither a refund nor a repetition."""
        at = self.at(number)
        known = self.applied_by(at)
        person = skewed(self.bits("person", number), known)
        not_yet = np.minimum(self.applied_by(at + 5 * DAY) + self.people // 500, self.people)
        early = (role == EARLY) & (not_yet < self.people)
        off_basis = (role == OFF_BASIS) | ((role == EARLY) & ~early)
        late_comer = not_yet + skewed(self.bits("late comer", number), self.people - not_yet)
        person = np.where(early, late_comer, person)
        person = np.where(role == STRANGER, person + 2 * self.people, person)

        service = self.first_service(person)
        moved = (service == ENDED) & (at >= self.moved_at(person) + 2 * DAY)
        service = np.where(moved, OPEN, service)
        kind = self.basis(person, service) ^ off_basis
        draw = self.bits("amount", number)
        charges = charges_yen()
        amounts = np.stack([[charges, payments_yen(mean)] for mean in MEAN_PAYMENTS_YEN])
        return Rows(
            number=number,
            id_at=at,
            service=service,
            account=person + np.where(moved, self.people, 0),
            at=at,
            kind=kind,
            amount=amounts[service, kind, (draw >> np.uint64(32)) % np.uint64(len(charges))],
            method=USUAL_METHODS[kind, draw % np.uint64(64)],
            original=np.full_like(number, -1),
            original_at=at,
        )

    def originals(self, number: Integers, role: Integers) -> Integers:
        """An earlier sound row for each refund or repetition; -1 if there is none at hand."""
        far = self.roll("far", number, 10)
        refund = np.select([far < 5, far < 9], [self.rows // 100, self.rows // 12], self.rows // 3)
        repeat = np.where(far < 8, min(2_000, self.rows // 100), self.rows // 30)
        reach = np.where(role == REFUNDING, refund, repeat)
        reach = np.maximum(np.minimum(reach, number), 1)
        back = self.bits("back", number) % reach.astype(np.uint64)
        first = number - 1 - back.view(np.int64)
        # If that row is none to come back to, the one before it is, with few exceptions.
        first = np.where((first >= 0) & (self.role(first) == SOUND), first, first - 1)
        return np.where((first >= 0) & (self.role(first) == SOUND), first, -1)

    def delivered(self, start: int, end: int) -> tuple[Rows, Integers]:
        """The rows from start to end as they are delivered, and what is the matter with them."""
        number = np.arange(start, end, dtype=np.int64)
        role = self.role(number)
        rows = self.spending(number, role)
        again = np.flatnonzero((role >= REFUNDING) & (role <= CONFLICTING))
        original = self.originals(number[again], role[again])
        again, original = again[original >= 0], original[original >= 0]
        what = role[again]
        first = self.spending(original, np.full_like(original, SOUND))
        refund = what == REFUNDING
        part = 1 + first.amount * self.roll("part", number[again], 90) // 100
        whole = self.roll("whole", number[again], 2) == 0
        later = np.maximum(rows.at[again], first.at + 60)
        amount = np.where(refund & ~whole, part, first.amount) + 10 * (what == CONFLICTING)
        changed = replace(
            first,
            number=np.where(refund, number[again], original),
            id_at=np.where(refund, later, first.at),
            at=np.where(refund, later, first.at),
            kind=np.where(refund, REFUND, first.kind),
            amount=amount,
            method=np.where(refund, 0, first.method),
            original=np.where(refund, original, -1),
            original_at=first.at,
        )
        columns = {}
        for name in Rows.__slots__:
            columns[name] = getattr(rows, name).copy()
            columns[name][again] = getattr(changed, name)
        return Rows(**columns), role

    # -- text

    def transaction_ids(self, number: Integers, at: Integers) -> pl.Series:
        """The day and ten digits, no two the same."""
        digits = scattered(self.seed, "transaction", number, 10**5, 10**5)
        day = DATES[at // DAY - (FIRST_DAY - dt.date(1970, 1, 1)).days]
        return pl.Series(day * 10**10 + digits).cast(pl.String)

    def account_ids(self, account: Integers) -> pl.Series:
        """Twelve digits, no two the same."""
        digits = 10**11 + scattered(self.seed, "account", account, 9 * 10**5, 10**6)
        return pl.Series(digits).cast(pl.String)

    def person_ids(self, person: Integers) -> pl.Series:
        """Sixteen hexadecimal digits, no two the same."""
        every = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), dtype=np.uint16)
        text = every[self.bits("person id", person).view(np.uint8)].tobytes()
        ends = np.arange(0, len(text) + 1, 16, dtype=np.int64)
        whole = pa.LargeStringArray.from_buffers(
            len(person), pa.py_buffer(ends), pa.py_buffer(text)
        )
        return pl.Series(whole)

    def transactions(self, start: int, end: int) -> pl.DataFrame:
        """The transactions from start to end, as they are delivered."""
        rows, role = self.delivered(start, end)
        ids = self.transaction_ids(rows.number, rows.id_at)
        original = self.transaction_ids(np.maximum(rows.original, 0), rows.original_at)
        of_refund = pl.Series(rows.original >= 0)
        frame = pl.DataFrame(
            {
                "transaction_id": ids,
                "service_id": worded(SERVICE_IDS, rows.service),
                "account_id": self.account_ids(rows.account),
                "occurred_at": moments(rows.at),
                "kind": worded(KINDS, rows.kind),
                "amount": rows.amount,
                "original_transaction_id": original.set(~of_refund, None),
                "method": worded(METHODS, rows.method),
            }
        )
        if not self.broken_per_million:
            return frame
        fault = pl.Series(np.where(role == BROKEN, rows.number % 4, -1))
        return frame.with_columns(
            transaction_id=pl.when(fault != 0).then("transaction_id"),
            kind=pl.when(fault == 1).then(pl.lit(KINDS[NO_KIND])).otherwise("kind"),
            amount=pl.when(fault == 2).then(0).otherwise("amount"),
            original_transaction_id=pl.when(fault == 3)
            .then("transaction_id")
            .otherwise("original_transaction_id"),
        )

    def enrollments(self, start: int, end: int) -> pl.DataFrame:
        """The applications of the people from start to end, second ones included."""
        person = np.arange(start, end, dtype=np.int64)
        service, applied = self.first_service(person), self.applied_at(person)
        moving = np.flatnonzero(service == ENDED)
        # One in a thousand tries a second service, and is refused.
        greedy = np.flatnonzero(self.roll("greedy", person, 1_000) == 0)
        greedy = greedy[service[greedy] != ENDED]
        elsewhere = (service[greedy] + 1) % len(SERVICES)
        elsewhere[elsewhere == ENDED] = OPEN
        return pl.concat(
            [
                self.applications(person, service, person, applied),
                self.applications(
                    person[moving],
                    np.full_like(moving, OPEN),
                    person[moving] + self.people,
                    self.moved_at(person[moving]),
                ),
                self.applications(
                    person[greedy],
                    elsewhere,
                    person[greedy] + 4 * self.people,
                    applied[greedy] + DAY,
                ),
            ]
        )

    def applications(
        self, person: Integers, service: Integers, account: Integers, applied: Integers
    ) -> pl.DataFrame:
        """One application a person, each in order."""
        day = applied // DAY
        card = np.minimum(day - 30 - self.roll("card", person, 300), LAST_CARD_DAY // DAY)
        open_basis = np.array([s.basis == "either" for s in SERVICES])[service]
        registers = np.array([s.preregistration for s in SERVICES])[service]
        reserved = applied - 300 - self.roll("reserved", person, 50 * 60)
        reserves = pl.Series(self.roll("reserves", person, 10) < 6)
        return pl.DataFrame(
            {
                "person_id": self.person_ids(person),
                "service_id": worded(SERVICE_IDS, service),
                "account_id": self.account_ids(account),
                "applied_at": moments(applied),
                "card_applied_on": days(card),
                "basis": worded(KINDS, self.basis(person, service)).set(
                    ~pl.Series(open_basis), None
                ),
                "reserved_at": moments(reserved).set(~reserves, None),
                "certificate_issued_at": moments(reserved - 20 * DAY).set(~reserves, None),
                "preregistered_on": days(day - 1).set(~pl.Series(registers), None),
            }
        )


def worded(words: tuple[str | None, ...] | list[str], codes: Integers) -> pl.Series:
    """The word for each code."""
    return pl.Series(words, dtype=pl.String).gather(codes)


def moments(at: Integers) -> pl.Series:
    """Seconds as times."""
    return pl.Series(at * 1_000_000).cast(pl.Datetime("us"))


def days(day: Integers) -> pl.Series:
    """Days since 1970 as dates."""
    return pl.Series(day.astype(np.int32)).cast(pl.Date)


def write_parquet(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """A row group for each frame."""
    writer = None
    for frame in frames:
        table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    if writer:
        writer.close()


def write_csv(path: Path, frames: Iterator[pl.DataFrame]) -> None:
    """One header, then all frames."""
    with path.open("wb") as file:
        for number, frame in enumerate(frames):
            frame.write_csv(file, include_header=number == 0, datetime_format="%Y-%m-%d %H:%M:%S")


def roles_per_million(booked: float) -> tuple[int, ...]:
    """How many rows of a million are not sound, by role, when that share is booked."""
    aside, declined = PER_MILLION[:3], PER_MILLION[3:]
    left = round((1 - booked) * 1_000_000) - sum(aside)
    return *aside, *(left * rows // sum(declined) for rows in declined)


def cut(total: int, pieces: int) -> list[tuple[int, int]]:
    """Bounds of pieces that are as even as can be; none is empty unless all of it is."""
    pieces = max(1, min(pieces, total))
    return [(total * k // pieces, total * (k + 1) // pieces) for k in range(pieces)]


def generate(
    folder: Path,
    *,
    rows: int,
    people: int,
    seed: int,
    file_format: str = "parquet",
    files: int = 4,
    nights: int | None = None,
    night: int | None = None,
    enroll: str = "first",
    broken: float = 0.0,
    booked: float = BOOKED,
    jobs: int = 2,
) -> list[Path]:
    """Writes the deliveries into the folder, or of the nights only one; returns the files.

    People enroll in the `first` night, or `nightly`, as they apply.
    """
    world = World(rows, people, seed, round(broken * 1_000_000), roles_per_million(booked))
    first = folder / "night-001" if nights else folder
    enrolled = [(first / f"enrollments.{file_format}", (0, people))]
    if people > PEOPLE_IN_A_FILE:
        bounds = cut(people, -(-people // PEOPLE_IN_A_FILE))
        at = first / "enrollments"
        enrolled = [(at / f"part-{k:04}.{file_format}", b) for k, b in enumerate(bounds)]
    if nights:
        names = [f"night-{k + 1:03}/transactions" for k in range(nights)]
    else:
        names = [f"transactions/part-{k:04}" for k in range(files)]
    moved = [
        (folder / f"{name}.{file_format}", bounds)
        for name, bounds in zip(names, cut(rows, len(names)), strict=False)
    ]
    if nights and enroll == "nightly":
        applied = [0, *(world.applied_before(k, nights) for k in range(1, nights)), people]
        enrolled = [
            (folder / f"night-{k:03}" / f"enrollments.{file_format}", bounds)
            for k, bounds in enumerate(pairwise(applied), 1)
            if bounds[0] < bounds[1]
        ]
    if night:
        of_night = folder / f"night-{night:03}"
        enrolled = [(path, bounds) for path, bounds in enrolled if path.is_relative_to(of_night)]
        moved = moved[night - 1 : night]

    def write(path: Path, bounds: tuple[int, int], *, of_people: bool) -> Path:
        start, end = bounds
        make = world.enrollments if of_people else world.transactions
        frames = (make(at, min(at + CHUNK_ROWS, end)) for at in range(start, end, CHUNK_ROWS))
        path.parent.mkdir(parents=True, exist_ok=True)
        (write_csv if file_format == "csv" else write_parquet)(path, frames)
        return path

    folder.mkdir(parents=True, exist_ok=True)
    services = folder / "services.toml"
    services.write_text(SERVICES_TOML, encoding="utf-8")
    with ThreadPoolExecutor(jobs) as pool:
        tasks = [
            *(pool.submit(write, path, bounds, of_people=True) for path, bounds in enrolled),
            *(pool.submit(write, path, bounds, of_people=False) for path, bounds in moved),
        ]
        return [services, *(task.result() for task in tasks)]


def main() -> None:
    """Reads the command line and writes the deliveries."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--people", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--files", type=int, default=4, help="transaction files without --nights")
    parser.add_argument("--nights", type=int, help="cut the rows into so many nights")
    parser.add_argument("--night", type=int, help="write that night alone, from 1 on")
    parser.add_argument("--enroll", choices=("first", "nightly"), default="first")
    parser.add_argument("--broken", type=float, default=0.0, help="share of unreadable rows")
    parser.add_argument("--booked", type=float, default=BOOKED, help="share of rows that earn")
    parser.add_argument("--jobs", type=int, default=2, help="files written at a time")
    args = parser.parse_args()
    if args.night is not None and not 1 <= args.night <= (args.nights or 0):
        parser.error("--night: one of --nights, from 1 on")
    began = time.perf_counter()
    written = generate(
        args.folder,
        rows=args.rows,
        people=args.people,
        seed=args.seed,
        file_format=args.format,
        files=args.files,
        nights=args.nights,
        night=args.night,
        enroll=args.enroll,
        broken=args.broken,
        booked=args.booked,
        jobs=args.jobs,
    )
    size = sum(path.stat().st_size for path in written)
    seconds = time.perf_counter() - began
    print(f"{len(written)} files, {size / 1e6:,.0f} MB, {seconds:.1f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

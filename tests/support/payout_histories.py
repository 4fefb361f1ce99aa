"""Random histories of what a book may come to, as a book that the payouts' oracle understands.

They hold whatever a book may: charges over the cap, refunds and voids, numbers replaced and put
back, stops, merges, refusals, partial take-backs, answers in any order, skipped days, runs that
died before their commit, services asked for on their own.
"""

import datetime as dt
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from payout_oracle import DAY, Account, Book, Row

from engine.io.payout.calculation import DayCalculation
from engine.payouts.accounts import Accounts, Replacement
from engine.payouts.answers import ANSWER, answered, decide
from engine.payouts.bridge import TERMS, is_closed
from engine.payouts.entry import PayoutEntry
from engine.payouts.lines import TABLE_ORDER, instructed
from engine.payouts.owed import FiguresRequest, lines_of, with_account
from engine.records import polars_schema
from engine.terms.services import Services, parse_services
from engine.validation import validated

FIRST = dt.date(2020, 9, 1)
SCHEDULES: list[Row] = [
    {"when": "at_once"},
    {"when": "days_after", "days": 30},
    {"when": "month_day", "months": 1, "day": 31},
    {"when": "month_day", "months": 2, "day": "last"},
    {"when": "month_day", "months": 1, "day": 10, "cut_day": 7},
    {
        "when": "on_reaching",
        "yen": 10_000,
        "months": 2,
        "day": 25,
        "rest_on": dt.date(2021, 4, 30),
    },
]
ENTRY: dict[str, Any] = {
    "booked_on": pl.Date,
    "person_id": pl.String,
    "entry_seq": pl.Int64,
    "service_id": pl.String,
    "account_id": pl.String,
    "enrolled_account_id": pl.String,
    "transaction_id": pl.String,
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String,
    "original_transaction_id": pl.String,
    "net_amount": pl.Int64,
    "points": pl.Int64,
}


def toml(value: object) -> str:
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def services_of(book: Book) -> Services:
    text = ""
    for service, schedule in book.schedules.items():
        keys = ", ".join(f"{key} = {toml(value)}" for key, value in schedule.items())
        text += f'[[services]]\nservice_id = {toml(service)}\nname = "a"\nbasis = "purchase"\n'
        if service in book.closes_on:
            text += f"awards_close_on = {book.closes_on[service]}\n"
        text += f"payout = {{ {keys} }}\n"
    return parse_services(text, "here")


def accounts_of(book: Book) -> Accounts:
    enrolled = [(*account, *whose) for account, whose in book.view.enrolled.items()]
    return Accounts(
        pl.DataFrame(
            enrolled,
            schema={
                "service_id": pl.String,
                "account_id": pl.String,
                "person_id": pl.String,
                "in_force": pl.Boolean,
            },
            orient="row",
        ),
        [Replacement(*replacement) for replacement in book.view.replacements],
        book.view.stopped,
    )


@dataclass
class Known:
    """Stands for a book on the disk."""

    book: Book

    @property
    def entries_expected(self) -> int:
        return len(self.book.ledger)

    def asked(self, on: dt.date) -> FiguresRequest:
        return FiguresRequest(
            on,
            self.book.last_booked_on,
            self.book.window_last,
            services_of(self.book),
            accounts_of(self.book),
        )

    def entries(self) -> Iterator[pl.DataFrame]:
        frame = pl.DataFrame(self.book.ledger, schema=ENTRY, orient="row")
        for start in range(0, frame.height, 7):
            yield with_account(frame.slice(start, 7))

    def payout_rows(self) -> Iterator[pl.DataFrame]:
        frame = table(self.book.payouts)
        runs = frame["payout_run_id"].unique(maintain_order=True)
        yield from (frame.filter(pl.col("payout_run_id") == run) for run in runs)


def table(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=polars_schema(PayoutEntry), orient="row")


def engine_lines(
    book: Book, run: str, on: dt.date, services: list[str] | None, scratch: Path | None
) -> list[Row]:
    known: Any = Known(book)
    calculation = DayCalculation(known, on, scratch, entries_per_range=9)
    parts = [instructed(lines, run, on) for lines in calculation.lines(services)]
    for part in parts:
        validated(part, PayoutEntry)
    return [row for part in parts for row in part.to_dicts()]


def engine_bridge(book: Book, on: dt.date) -> dict[str, Row]:
    known: Any = Known(book)
    sums = DayCalculation(known, on).bridge()
    if sums.is_empty():
        return {}
    assert is_closed(sums)
    return {row.pop("service_id"): row for row in sums.select("service_id", *TERMS).to_dicts()}


class History:
    """A random history, kept as a book that the oracle understands."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        services = [f"s{number}" for number in range(self.random.randint(1, 3))]
        self.book = Book({service: self._schedule() for service in services})
        if self.random.random() < 0.3:
            self.book.closes_on[services[0]] = dt.date(2020, 12, 31)
        for person in range(self.random.randint(1, 4)):
            for service in self.random.sample(services, self.random.randint(1, len(services))):
                self.book.view.enrolled[service, f"A{person}"] = (f"P{person}", True)
        self.today = FIRST
        self.spent: dict[str, list[Row]] = {}
        self.numbers = 0
        self.run = 0
        self.asked_for = dict.fromkeys(services, FIRST)

    def _schedule(self) -> Row:
        schedule = dict(self.random.choice(SCHEDULES))
        if self.random.random() < 0.3:
            schedule["take_back_from"] = dt.date(2021, 1, 15)
        if self.random.random() < 0.15:
            schedule["last_payout_on"] = dt.date(2021, 2, 15)
        if self.random.random() < 0.5:
            schedule["hold_codes"] = ["closed"]
        if self.random.random() < 0.5:
            schedule["ignore_codes"] = ["repeat"]
        return schedule

    # --- what happens to the ledger

    def worths(self, person: str) -> dict[Account, int]:
        """The points of a person's accounts: what counts under the cap, in booking order."""
        counted: dict[Account, int] = {}
        total = 0
        for payment in self.spent.get(person, ()):
            before, total = total, total + payment["left"]
            more = min(total, 20_000) - min(before, 20_000)
            counted[payment["account"]] = counted.get(payment["account"], 0) + more
        return {account: yen * 25 // 100 for account, yen in counted.items()}

    def entry(self, payment: Row, kind: str, net_amount: int, original: str | None = None) -> None:
        """Changes what is left of a transaction, and books it with what follows for others."""
        person = payment["person"]
        before = self.worths(person)
        payment["left"] += net_amount
        after = self.worths(person)
        self._book(payment, kind, net_amount, 0, original)
        own = payment["account"]
        self.book.ledger[-1]["points"] = after.get(own, 0) - before.get(own, 0)
        for other in sorted(after):
            change = after[other] - before.get(other, 0)
            if other != own and change:
                later = next(o for o in self.spent[person] if o["account"] == other)
                self._book(later, "recount", 0, change, None)

    def _book(
        self, payment: Row, kind: str, net_amount: int, points: int, original: str | None
    ) -> None:
        service, account = payment["account"]
        person = payment["person"]
        entries = sum(entry["person_id"] == person for entry in self.book.ledger)
        self.book.ledger.append(
            {
                "booked_on": self.today,
                "person_id": person,
                "entry_seq": entries + 1,
                "service_id": service,
                "account_id": payment["number"],
                "enrolled_account_id": None if payment["number"] == account else account,
                "transaction_id": payment["id"]
                if original is None
                else f"R{len(self.book.ledger)}",
                "occurred_at": dt.datetime.combine(payment["day"], dt.time(12)),
                "kind": kind,
                "original_transaction_id": original,
                "net_amount": net_amount,
                "points": points,
            }
        )
        self.book.last_booked_on = self.today

    def purchase(self) -> None:
        in_force = [a for a, (_, there) in self.book.view.enrolled.items() if there]
        if not in_force:
            return
        account = self.random.choice(in_force)
        person, _ = self.book.view.enrolled[account]
        self.numbers += 1
        replacing = [new for s, old, new, _ in self.book.view.replacements if (s, old) == account]
        payment = {
            "id": f"T{self.numbers}",
            "person": person,
            "account": account,
            "number": self.random.choice([account[1], *replacing]),
            "day": self.today - self.random.randint(0, 60) * DAY,
            "left": 0,
            "refunds": [],
        }
        self.spent.setdefault(person, []).append(payment)
        self.entry(payment, "purchase", self.random.choice([3, 400, 4_003, 9_000, 15_000, 21_000]))

    def refund(self) -> None:
        left_over = [payment for of in self.spent.values() for payment in of if payment["left"] > 0]
        if left_over:
            payment = self.random.choice(left_over)
            yen = self.random.choice([payment["left"], max(1, payment["left"] // 3)])
            payment["refunds"].append(yen)
            self.entry(payment, "refund", -yen, payment["id"])

    def void(self) -> None:
        left_over = [payment for of in self.spent.values() for payment in of if payment["left"] > 0]
        if not left_over:
            return
        payment = self.random.choice(left_over)
        self.take_out(payment)
        if self.random.random() < 0.5:
            # Booked again, on the day that is right, and refunded again.
            again = {**payment, "day": payment["day"] - 35 * DAY, "left": 0, "refunds": []}
            self.spent[payment["person"]].append(again)
            self.entry(again, "purchase", 9_000)
            again["refunds"].append(1_000)
            self.entry(again, "refund", -1_000, again["id"])

    def take_out(self, payment: Row) -> None:
        """Voids a transaction and, ahead of it, its refunds."""
        while payment["refunds"]:
            self.entry(payment, "refund_void", payment["refunds"].pop(), payment["id"])
        self.entry(payment, "purchase_void", -payment["left"])

    def replace(self) -> None:
        service, account = self.random.choice(list(self.book.view.enrolled))
        self.numbers += 1
        at = dt.datetime.combine(self.today - self.random.randint(-5, 9) * DAY, dt.time(9))
        chain = [new for s, _, new, _ in self.book.view.replacements if s == service]
        old = self.random.choice([account, *chain])
        self.book.view.replacements.append((service, old, f"N{self.numbers}", at))

    def undo_replacement(self) -> None:
        """The number turns out to be somebody else's, who may be enrolled with it."""
        if self.book.view.replacements:
            replacement = self.random.choice(self.book.view.replacements)
            self.book.view.replacements.remove(replacement)
            if self.random.random() < 0.5:
                self.book.view.enrolled[replacement[0], replacement[2]] = (f"Q{self.numbers}", True)

    def stop(self) -> None:
        service, account = self.random.choice(list(self.book.view.enrolled))
        at = dt.datetime.combine(self.today - self.random.randint(-3, 9) * DAY, dt.time(9))
        self.book.view.stops.append((service, account, at, self.random.random() < 0.5))

    def merge(self) -> None:
        account = self.random.choice(list(self.book.view.enrolled))
        people = sorted({person for person, _ in self.book.view.enrolled.values()})
        goes, _ = self.book.view.enrolled[account]
        stays = self.random.choice(people)
        if goes == stays:
            return
        for payment in self.spent.get(goes, []):
            if payment["left"]:
                self.take_out(payment)
        for other, (person, _) in list(self.book.view.enrolled.items()):
            if person == goes:
                self.book.view.enrolled[other] = (stays, False)

    # --- what happens to payouts

    def payout(self, scratch: Path) -> None:
        services = None
        if self.random.random() < 0.3:
            services = [self.random.choice(list(self.book.schedules))]
        on = self.today + self.random.choice([-1, 0, 0, 0, 14]) * DAY
        asked = services or list(self.book.schedules)
        if any(on < self.asked_for[service] for service in asked):
            return
        for service in asked:
            self.asked_for[service] = on
        self.run += 1
        run = f"{self.run:06}"
        expected = self.book.instruct(run, on, services)
        assert engine_lines(self.book, run, on, services, None) == expected
        # The run died before its commit, or the machine has less memory: the same lines and IDs.
        assert engine_lines(self.book, run, on, services, scratch) == expected
        if self.random.random() < 0.1:
            return
        self.book.payouts += expected
        assert engine_lines(self.book, "999999", on, services, None) == []
        self.nobody_has_too_much(on, expected)

    def nobody_has_too_much(self, on: dt.date, lines: list[Row]) -> None:
        found = self.book.figures(on)
        people: dict[str, int] = {}
        for row in found.values():
            if row["person"] is not None:
                left = row["awarded"] - row["paid"]
                people[row["person"]] = people.get(row["person"], 0) + left
        for line in lines:
            row = found[line["service_id"], line["enrolled_account_id"]]
            if line["direction"] == "pay":
                assert row["paid"] <= row["awarded"]
                assert row["person"] is None or people[row["person"]] >= 0

    def answers(self) -> None:
        lines = list(self.book.lines().values())
        if not lines:
            return
        answers: list[Row] = []
        for line in self.random.sample(lines, self.random.randint(1, min(4, len(lines)))):
            for _ in range(self.random.choice([1, 1, 1, 2, 3])):
                outcome = self.random.choice(["done", "done", "refused", "partly"])
                if outcome == "partly" and line["points"] < 2:
                    outcome = "refused"
                points = self.random.randint(1, max(1, line["points"] - 1))
                answers.append(
                    {
                        "payout_id": line["payout_id"],
                        "outcome": outcome,
                        "points": points if outcome == "partly" else None,
                        "answered_on": self.today - self.random.choice([0, 0, 1, 3]) * DAY,
                        "code": self.random.choice([None, None, "closed", "busy", "repeat"]),
                    }
                )
        self.take(answers)

    def take(self, answers: list[Row]) -> None:
        self.run += 1
        run = f"{self.run:06}"
        expected, faults, unchanged = self.book.answer(run, answers)
        rows = [{"row_ref": place, **answer} for place, answer in enumerate(answers)]
        frame = pl.DataFrame(rows, schema=ANSWER, orient="row")
        lines = lines_of(table(self.book.payouts), accounts_of(self.book))
        decision = decide(frame, lines, services_of(self.book))
        got = [(row["row_ref"], row["errors"][0]) for row in decision.faulty.to_dicts()]
        assert (got, decision.unchanged) == (faults, unchanged)
        made = validated(answered(decision.accepted, lines, run), PayoutEntry)
        assert made.to_dicts() == table(expected).sort(TABLE_ORDER).to_dicts()
        self.book.payouts += expected

    def bridge(self) -> None:
        for on in (self.today, self.today + self.random.randint(1, 200) * DAY):
            assert engine_bridge(self.book, on) == self.book.bridge(on)


STEPS = {
    History.purchase: 8,
    History.refund: 3,
    History.void: 1,
    History.replace: 1,
    History.undo_replacement: 1,
    History.stop: 1,
    History.merge: 1,
    History.answers: 5,
    History.bridge: 2,
}

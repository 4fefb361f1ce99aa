"""Payouts of random worlds: people, services, nights and corrections as the engine books them.

Whose an account is comes from the engine's own books here, and from the oracle's events there; the
schedules, the payouts and their answers are added to both. `MYNAPOINT_FIRST_SEED` moves the worlds
to other seeds.
"""

import datetime as dt
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import oracle
import polars as pl
import pytest
import worlds
from against_the_oracle import DeliveredAs, run_engine
from oracle.book import AcceptedEnrollment
from oracle.in_force import InForce
from oracle.programme import terms_in_force
from payout_histories import SCHEDULES, services_of, table
from payout_oracle import DAY, Account, Book, Row, View

from engine.io.payout.calculation import DayCalculation
from engine.io.payout.known import KnownPayouts, known
from engine.payouts.bridge import TERMS
from engine.payouts.lines import instructed
from engine.payouts.owed import FiguresRequest

FIRST_SEED = int(os.environ.get("MYNAPOINT_FIRST_SEED", "0"))


class ViewOfEvents(View):
    """Whose the accounts are, read from the oracle's events and enrollments."""

    def __init__(self, book: oracle.Book) -> None:
        self.now = InForce(book.events, book.enrollments)
        super().__init__(
            self._enrolled(book),
            [
                (event.service_id or "", event.account_id or "", event.other_id or "", at)
                for event in (accepted.event for accepted in self.now.events)
                if event.kind == "account_replaced" and (at := event.effective_at)
            ],
        )

    def _enrolled(self, book: oracle.Book) -> dict[Account, tuple[str, bool]]:
        enrolled: dict[Account, tuple[str, bool]] = {}
        for enrollment in book.enrollments:
            account = enrollment.service_id, enrollment.account_id
            if enrollment in self.now.enrollments:
                enrolled[account] = self.now.person_of(enrollment), True
            elif not enrolled.get(account, ("", False))[1] and self._was_merged(enrollment):
                enrolled[account] = self.now.read_as(enrollment.person_id), False
        return enrolled

    def _was_merged(self, enrollment: AcceptedEnrollment) -> bool:
        """Clause: where a merge took its enrollment out, the one who stays."""
        return (
            enrollment.granted_by is None
            and self.now.read_as(enrollment.person_id) != enrollment.person_id
            and not self.now.bars(
                enrollment.came_under, enrollment.service_id, enrollment.account_id
            )
        )

    def belongs(self, service: str, number: str) -> str:
        beyond = {number}
        while not self.enrolled.get((service, number), ("", False))[1]:
            before = [old for s, old, new, _ in self.replacements if (s, new) == (service, number)]
            before = [old for old in before if old not in beyond]
            if not before:
                break
            # "one that replacements give to two goes with the enrollment accepted first"
            number = min(before, key=lambda old: self._accepted(service, old))
            beyond.add(number)
        return number

    def _accepted(self, service: str, number: str) -> float:
        enrollment = self.now.enrollment_of_account(service, number)
        return float("inf") if enrollment is None else enrollment.number

    def stopped(self, until: dt.datetime) -> set[Account]:
        last = until - dt.timedelta(microseconds=1)
        return {
            (enrollment.service_id, enrollment.account_id)
            for enrollment in self.now.enrollments
            if self.now.is_stopped(enrollment, last)
        }


@dataclass
class PaidWorld:
    """The engine's book of a world, with the schedules and the payouts of the oracle's."""

    at: KnownPayouts
    book: Book

    @property
    def entries_expected(self) -> int:
        return self.at.entries_expected

    def entries(self) -> Iterator[pl.DataFrame]:
        return self.at.entries()

    def payout_rows(self) -> Iterator[pl.DataFrame]:
        yield table(self.book.payouts)

    def asked(self, on: dt.date) -> FiguresRequest:
        last = self.at.last_run
        window_last = last.programme.terms.window_last
        return FiguresRequest(
            on, last.booked_on, window_last, services_of(self.book), self.at.accounts
        )

    def lines(self, run: str, on: dt.date) -> list[Row]:
        here: Any = self
        parts = [instructed(lines, run, on) for lines in DayCalculation(here, on).lines()]
        return [row for part in parts for row in part.to_dicts()]

    def bridge(self, on: dt.date) -> dict[str, Row]:
        here: Any = self
        sums = DayCalculation(here, on).bridge()
        if sums.is_empty():
            return {}
        return {row.pop("service_id"): row for row in sums.select("service_id", *TERMS).to_dicts()}


def some_answers(rng: Random, book: Book, on: dt.date) -> list[Row]:
    lines = list(book.lines().values())
    return [
        {
            "payout_id": line["payout_id"],
            "outcome": rng.choice(["done", "done", "refused"]),
            "points": None,
            "answered_on": on,
            "code": rng.choice([None, "closed"]),
        }
        for line in rng.sample(lines, len(lines) // 2)
    ]


@pytest.mark.parametrize("seed", range(FIRST_SEED + 7_000, FIRST_SEED + 7_004))
def test_a_random_world_is_paid_as_the_oracle_says(seed: int, tmp_path: Path) -> None:
    world = worlds.make(seed, corrected=True)
    rng = Random(seed)
    book = Book({})
    number = 0
    for night, (_, kept) in enumerate(worlds.nights_of_the_oracle(world)):
        run_engine(tmp_path / "book", DeliveredAs(world, night, tmp_path), threads=1)
        at = known(tmp_path / "book")
        for service in kept.services:
            if service.service_id not in book.schedules:
                schedule = {**rng.choice(SCHEDULES), "hold_codes": ["closed"]}
                book.schedules[service.service_id] = schedule
            if service.awards_close_on is not None:
                book.closes_on[service.service_id] = service.awards_close_on
        assert kept.programme is not None
        terms = terms_in_force(kept.programme, world.nights[night].terms_as_of)
        assert kept.last_booked_on is not None
        book.window_last, book.last_booked_on = terms.window_last, kept.last_booked_on
        book.ledger = [dict(vars(entry)) for entry in kept.ledger]
        book.view = ViewOfEvents(kept)
        paid = PaidWorld(at, book)
        for later in (rng.choice([-2, 0]), rng.choice([0, 40]), rng.choice([90, 400])):
            number += 1
            on = kept.last_booked_on + later * DAY
            expected = book.instruct(f"{number:06}", on)
            assert paid.lines(f"{number:06}", on) == expected, (night, on)
            book.payouts += expected
            number += 1
            made, _, _ = book.answer(f"{number:06}", some_answers(rng, book, on))
            book.payouts += made
        for later in (0, 500):
            on = kept.last_booked_on + later * DAY
            assert paid.bridge(on) == book.bridge(on), (night, on)

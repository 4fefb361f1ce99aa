"""Random histories of bookings, refunds, events, answers: the engine and an oracle say the same."""

import datetime as dt
from pathlib import Path

import pytest
from payout_histories import STEPS, History, engine_bridge, engine_lines
from payout_oracle import DAY


@pytest.mark.parametrize("seed", range(240))
def test_a_random_history_is_paid_as_the_oracle_says(seed: int, tmp_path: Path) -> None:
    history = History(seed)
    for number in range(22):
        history.today += history.random.choice([0, 1, 3, 11]) * DAY
        if history.random.random() < 0.3:
            folder = tmp_path / str(number)
            folder.mkdir()
            history.payout(folder)
        else:
            [step] = history.random.choices(list(STEPS), list(STEPS.values()))
            step(history)
    history.bridge()


@pytest.mark.parametrize("seed", range(40))
def test_once_all_is_due_and_answered_what_is_granted_is_what_is_awarded(seed: int) -> None:
    history = History(1_000 + seed)
    for schedule in history.book.schedules.values():
        for key in ("last_payout_on", "hold_codes"):
            schedule.pop(key, None)
    quiet = (History.purchase, History.refund, History.void, History.replace, History.answers)
    for _ in range(15):
        history.today += history.random.choice([1, 3, 11]) * DAY
        history.random.choice(quiet)(history)
        history.run += 1
        history.book.payouts += history.book.instruct(f"{history.run:06}", history.today)
    history.today = dt.date(2022, 12, 31)
    for _ in range(6):
        history.run += 1
        run = f"{history.run:06}"
        lines = engine_lines(history.book, run, history.today, None, None)
        history.book.payouts += lines
        open_lines = [line for line in history.book.lines().values() if line["answer"] is None]
        history.take(
            [
                {
                    "payout_id": line["payout_id"],
                    "outcome": "done",
                    "points": None,
                    "answered_on": history.today,
                    "code": None,
                }
                for line in open_lines
            ]
        )
    for terms in engine_bridge(history.book, history.today).values():
        assert terms["granted"] - terms["taken_back"] == terms["awarded"]
        assert terms["due"] == terms["debt"] == terms["not_yet_due"] == 0

"""What the points systems of the sample answer: most lines are done, a few are not."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.errors import InputError
from engine.records import ANSWER_COLUMNS

DAYS_LATER: Final = 2
# Of so many lines one: by the last digits of its ID, which are those of a hash.
_REFUSED_OF: Final = 32
_PARTLY: Final = 7
_UNANSWERED: Final = 9


def write_answers(path: Path, payouts: Path) -> Path:
    """Answers the files of payout runs in a folder; the same lines have the same answers.

    Raises:
        InputError: the folder has no such files.
    """
    files = sorted(payouts.glob("payouts-*.csv"))
    if not files:
        raise InputError(
            f"{payouts}: no files of a payout run are there",
            hint="name the folder of mynapoint payout BOOK --due-by DATE --out DIR",
        )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(ANSWER_COLUMNS)
        for lines in files:
            with lines.open(encoding="utf-8", newline="") as text:
                for line in csv.DictReader(text):
                    for answer in _answer(line):
                        writer.writerow([answer.get(column, "") for column in ANSWER_COLUMNS])
    return path


def _answer(line: dict[str, str]) -> Iterator[dict[str, str]]:
    """A line's answer; one in many has none yet."""
    day = dt.date.fromisoformat(line["instructed_on"]) + dt.timedelta(days=DAYS_LATER)
    answer = {"payout_id": line["payout_id"], "outcome": "done", "answered_on": day.isoformat()}
    points = int(line["points"])
    kind = int(line["payout_id"], 16) % _REFUSED_OF
    if kind == _UNANSWERED:
        return
    if kind == 0:
        answer |= {"outcome": "refused", "code": "closed"}
    elif kind == _PARTLY and points > 1:
        answer |= {"outcome": "partly", "points": str(points // 2), "code": "limit"}
    yield answer

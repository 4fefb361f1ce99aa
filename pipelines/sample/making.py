"""``mynapoint sample``: deliveries of a few nights, from people to files."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipelines.sample.calendar import Calendar
from pipelines.sample.chance import Dice
from pipelines.sample.corrections import with_corrections
from pipelines.sample.files import (
    readme_text,
    write_enrollments,
    write_events,
    write_transactions,
)
from pipelines.sample.people import enrolled_people
from pipelines.sample.providers import PROVIDERS, sampled_services
from pipelines.sample.spending import delivered_transactions


def write_sample(
    folder: Path, *, people: int, transactions: int, nights: int, seed: int
) -> list[Path]:
    """Writes sample deliveries, a folder a night, and a README; returns the files in order.

    Each night has an `enrollments.csv`, a transactions file per provider who has any, and an
    `events.csv` where something is corrected (in nights 2 and 3, if there are three). Of
    `transactions` rows, 93 % are payments and charges and 4 % refunds; duplicates, conflicts,
    broken rows and what is delivered again come on top, some 4 %. Below about 200 people, 3,000
    transactions and 2 nights not every fault finds room. Files of the same names are replaced.

    Raises:
        ValueError: people or nights are below 1, or transactions below 0.
    """
    if people < 1 or nights < 1 or transactions < 0:
        raise ValueError("people and nights must be at least 1, transactions at least 0")
    dice, calendar = Dice(seed), Calendar.of(nights)
    services = sampled_services()
    accounts, enrollments = enrolled_people(dice, calendar, services, people)
    delivered = delivered_transactions(dice, calendar, services, accounts, transactions)
    enrollments, delivered, events = with_corrections(
        dice, calendar, accounts, enrollments, delivered
    )
    written: list[Path] = []
    rows: list[tuple[int, int, int]] = []
    by_night = delivered.partition_by("night", as_dict=True)
    for night in range(1, nights + 1):
        at = folder / f"night-{night:03}"
        at.mkdir(parents=True, exist_ok=True)
        applications = enrollments.filter(pl.col("night") == night)
        written.append(write_enrollments(at / "enrollments.csv", applications))
        part = by_night.get((night,), delivered.clear())
        for number, provider in enumerate(PROVIDERS):
            own = part.filter(pl.col("provider") == number)
            if own.height:
                path = at / f"transactions-{provider.name}.{provider.suffix}"
                written.append(write_transactions(path, provider, own))
        corrections = events.filter(pl.col("night") == night)
        if corrections.height:
            written.append(write_events(at / "events.csv", corrections))
        rows.append((applications.height, part.height, corrections.height))
    readme = folder / "README.md"
    text = readme_text(people, transactions, seed, calendar, rows)
    readme.write_text(text, encoding="utf-8")
    return [*written, readme]

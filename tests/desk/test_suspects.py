"""Whoever is no suspect is one of whom the whole arithmetic, asked, would say the same: nothing."""

import datetime as dt
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from deliveries import ROOT
from forger import PERSON, Forger

import mynapoint
from pipelines.verify import Verified, screening, verify

SAMPLE = ROOT / "sample_data"
DAY = dt.timedelta(days=1)


@pytest.fixture(scope="module", params=["one run", "three runs"])
def sound_book(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    book = tmp_path_factory.mktemp("suspects") / "book"
    nights = [f"night-{number:03}" for number in (1, 2, 3)]
    for delivered in [nights] if request.param == "one run" else [[night] for night in nights]:
        mynapoint.run(
            book,
            booked_on=dt.date(2021, 3, 3),
            transactions=[str(SAMPLE / night / "transactions-*") for night in delivered],
            enrollments=[SAMPLE / night / "enrollments.csv" for night in delivered],
            rows_per_slice=400,
        )
    return book


def changed(entry: dict[str, Any], other: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """Values of an entry that are not what they were; half of them another entry's."""
    values: list[dict[str, Any]] = [
        {name: entry[name] + dice.choice((-1, 1))}
        for name in (
            *("amount", "net_amount", "counted_amount", "points", "net_spend_after"),
            "points_after",
        )
    ]
    values += [{"occurred_at": entry["occurred_at"] + days * DAY} for days in (-400, -3, 3, 400)]
    values += [
        {name: other[name]}
        for name in ("transaction_id", "account_id", "service_id", "kind", "method", "occurred_at")
    ]
    values += [
        {"enrolled_account_id": other["account_id"]},
        {"original_transaction_id": other["transaction_id"]},
        {"event_id": "e-1"},
        {"transaction_id": "\x7f"},
        {"transaction_id": entry["transaction_id"] * 20},
        {"booked_on": entry["booked_on"] - DAY},
        {"kind": "charge_void"},
        {"service_id": other["service_id"], "transaction_id": other["transaction_id"]},
    ]
    return dice.choice(values)


def forged(book: Path, seed: int) -> None:
    """Changes one value of one entry of every sixth person."""
    dice = random.Random(seed)
    forger = Forger(book)
    entries = forger.ledger.partition_by(PERSON, maintain_order=True)
    for of_person in entries[seed % 6 :: 6]:
        entry, other = (
            rows.row(dice.randrange(rows.height), named=True)
            for rows in (of_person, dice.choice(entries))
        )
        forger.set(
            entry["place"], **{"net_amount": entry["net_amount"]} | changed(entry, other, dice)
        )
    forger.write()


def told(verified: Verified) -> tuple[dict[str, int], list[str]]:
    lines = [finding.line(show_ids=True) for finding in verified.findings]
    return dict(verified.findings.totals), sorted(lines)


@pytest.mark.parametrize("seed", range(2))
def test_all_entries_looked_at_tell_no_more_than_those_of_suspects(
    sound_book: Path, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = Path(shutil.copytree(sound_book, tmp_path / "book"))
    forged(book, seed)
    of_suspects = verify(book)
    # Where rows are not sorted, everyone is a suspect.
    assert not {"not_recalculated", "sorting"} & of_suspects.findings.totals.keys()
    assert len(of_suspects.findings.totals) > 5
    read = screening.statements
    of_everyone = "true AS are_suspects"
    monkeypatch.setattr(
        screening,
        "statements",
        lambda name: read(name).replace("AS are_suspects", f"OR {of_everyone}"),
    )
    assert told(of_suspects) == told(verify(book))

"""What would restate entries that are booked may not change in the middle of a book."""

import datetime as dt
from importlib.resources import files
from pathlib import Path

import pytest
from deliveries import SERVICES, Desk, bodies, transaction

from engine.errors import InputError
from pipelines.verify import verify

PROGRAMME = files("engine.terms").joinpath("programmes/mynapoint-2020.toml").read_text("utf-8")
NEXT = dt.date(2020, 10, 1)
# What is changed, into what; and how the refusal names it.
PROGRAMMES = {
    "its id": ('"mynapoint-2020"', '"other"', "programme_id: .* from mynapoint-2020 to other"),
    "the rate": ("numerator = 25", "numerator = 30", "rate: may not .* from 25/100 to 30/100"),
    "the rate's form": ("denominator = 100", "denominator = 50", "rate: .* from 25/100 to 25/50"),
    "the cap": ("20_000", "40_000", "cap.spending_yen: may not .* from 20000 to 40000"),
}
OF_SERVICES = {
    "the rounding": ("", 'rounding = "month"', "coin: rounding: .* from cumulative to month"),
    "the basis": ('"purchase"', '"charge"', "coin: basis: may not .* from purchase to charge"),
    "its removal": ('"coin"', '"other"', "coin: .* from a service with .* enrollments to none"),
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("terms"))
    desk.run(desk.transactions([transaction(1)]))
    desk.transactions([transaction(2)], "more.csv")
    return desk


def refused(desk: Desk, why: str, **terms: Path) -> None:
    held = bodies(desk.book, without=["index", "attempts.jsonl"])
    with pytest.raises(InputError, match=why):
        desk.run(desk.folder / "more.csv", booked_on=NEXT, enrollments=[], **terms)
    assert bodies(desk.book, without=["index", "attempts.jsonl"]) == held
    assert not verify(desk.book).findings


@pytest.mark.parametrize("what", PROGRAMMES)
def test_a_programme_that_would_restate_what_is_booked_is_refused(desk: Desk, what: str) -> None:
    before, after, why = PROGRAMMES[what]
    refused(desk, why, programme=desk.write("p.toml", PROGRAMME.replace(before, after, 1)))


@pytest.mark.parametrize("what", OF_SERVICES)
def test_services_that_would_restate_what_is_booked_are_refused(desk: Desk, what: str) -> None:
    before, after, why = OF_SERVICES[what]
    coin, rest = SERVICES.strip().partition("\n\n")[::2]
    coin = coin.replace(before, after, 1) if before else f"{coin}\n{after}"
    refused(desk, why, services=desk.write("s.toml", f"{coin}\n\n{rest}"))


def test_a_book_without_entries_may_be_begun_by_other_terms(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, account_id="nobody")]), enrollments=[])
    programme = desk.write("p.toml", PROGRAMME.replace("numerator = 25", "numerator = 30", 1))
    more = desk.transactions([transaction(2)], "more.csv")
    assert desk.run(more, booked_on=NEXT, programme=programme).record.counts.booked == 1

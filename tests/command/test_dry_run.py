"""A dry run says what a run would do, to the byte, and leaves the book as it was."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
import worlds
from against_the_oracle import DeliveredAs
from deliveries import Desk, bodies, transaction

import mynapoint
from engine.errors import BookError, InputError
from engine.io.run import calculation
from pipelines.cli import call


def options_of(delivery: DeliveredAs) -> dict[str, Any]:
    return {
        "booked_on": delivery.night.booked_on,
        "transactions": delivery.transactions,
        "enrollments": delivery.enrollments,
        "events": delivery.events,
        "services": delivery.services,
        "programme": delivery.programme,
        "terms_as_of": delivery.night.terms_as_of,
        "max_quarantined": 1.0,
        "threads": 1,
    }


def without_time(record: dict[str, Any]) -> dict[str, Any]:
    return record | {"ran": None}


@pytest.mark.parametrize("seed", [1, 3])
def test_a_dry_run_and_the_run_differ_in_nothing_but_the_time(seed: int, tmp_path: Path) -> None:
    world, book = worlds.make(seed, corrected=seed == 1), tmp_path / "book"
    for number in range(len(world.nights)):
        options = options_of(DeliveredAs(world, number, tmp_path))
        before = bodies(book) if book.exists() else None
        out = tmp_path / f"out-{number}"
        tried = mynapoint.run(book, **options, dry_run=True, out=out)
        assert (bodies(book) if book.exists() else None) == before
        booked = mynapoint.run(book, **options)
        assert (tried.dry_run, booked.dry_run) == (True, False)
        assert tried.already_booked == booked.already_booked
        assert without_time(tried.record.to_json()) == without_time(booked.record.to_json())
        if not booked.already_booked:
            left = bodies(out)
            record = f"runs/{booked.record.run_id}/record.json"
            assert json.loads(left.pop(record)) == tried.record.to_json()
            in_book = {output.name for output in booked.record.outputs}
            assert left == {name: (book / name).read_bytes() for name in in_book}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)], "first.csv"))
    return desk


def arguments(desk: Desk, *more: object) -> list[str]:
    delivered = desk.transactions([transaction(2), transaction(3, amount="many")])
    return [
        *("run", str(desk.book), "--booked-on", "2020-09-30", "--transactions", str(delivered)),
        *("--max-quarantined", "1", *map(str, more)),
    ]


def test_the_summary_is_that_of_the_run_and_says_that_nothing_was_booked(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(arguments(desk, "--dry-run", "--out", desk.folder / "out")) == 0
    tried = capsys.readouterr().out.splitlines()
    assert "nothing was booked" in tried[0]
    assert str(desk.folder / "out" / "runs" / "000002") in tried[-1]
    assert call(arguments(desk)) == 0
    assert capsys.readouterr().out.splitlines()[:-2] == tried[2:-2]


def test_its_json_is_the_record_and_says_so(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(arguments(desk, "--dry-run", "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said.pop("dry_run") is True
    assert call(arguments(desk, "--json")) == 0
    booked = json.loads(capsys.readouterr().out)
    assert without_time(said) == without_time(booked)
    assert "dry_run" not in booked


def test_what_a_run_refuses_a_dry_run_refuses_alike(desk: Desk) -> None:
    before = bodies(desk.book)
    for options in (
        {"booked_on": dt.date(2020, 9, 29)},
        {"max_quarantined": 0.0},
        {"booked_on": dt.date(2999, 1, 1)},
    ):
        delivered = desk.transactions([transaction(3, amount="many")])
        with pytest.raises(InputError) as of_dry_run:
            desk.run(delivered, dry_run=True, **options)
        assert bodies(desk.book) == before
        with pytest.raises(InputError) as of_run:
            desk.run(delivered, **options)
        assert of_dry_run.value.message == of_run.value.message
        before = bodies(desk.book)


def test_a_book_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    assert desk.run(dry_run=True).record.run_id == "000001"
    assert not desk.book.exists()


def test_a_damaged_index_is_made_anew_beside_the_book(desk: Desk) -> None:
    desk.run(desk.transactions([transaction(2)]))
    [state] = desk.book.glob("index/*state*")
    state.write_bytes(b"\0" + state.read_bytes()[1:])
    before = bodies(desk.book)
    again = desk.transactions([transaction(n) for n in (1, 2, 3)], "again.csv")
    tried = desk.run(again, dry_run=True)
    assert tried.record.counts.declined == {"duplicate": 2}
    assert bodies(desk.book) == before


def test_it_takes_no_lock_and_says_when_a_run_was_booked_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(*_: object) -> None:
        monkeypatch.undo()
        desk.run(desk.transactions([transaction(9)], "other.csv"))

    monkeypatch.setattr(calculation, "check_changes", meanwhile)
    with pytest.raises(BookError, match="another run was booked") as caught:
        desk.run(desk.transactions([transaction(2)]), dry_run=True)
    assert caught.value.code == "book_in_use"


def test_its_tables_go_to_a_new_folder_outside_of_the_book(desk: Desk) -> None:
    filled = desk.write("filled/diary", "dear").parent
    for out, why in ((filled, "something already"), (desk.book / "out", "within the book")):
        with pytest.raises(InputError, match=why):
            desk.run(dry_run=True, out=out)
    with pytest.raises(InputError, match="--out"):
        desk.run(out=desk.folder / "out")
    desk.run(dry_run=True, out=desk.folder / "out")
    modes = {path.stat().st_mode & 0o777 for path in (desk.folder / "out").rglob("*")}
    assert modes == {0o600, 0o700}

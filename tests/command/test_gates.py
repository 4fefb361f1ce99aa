"""Gates: a night that does not look like one is refused, or warned of; the book keeps them."""

import json
from pathlib import Path
from typing import Any

import oracle
import pytest
from deliveries import Desk, bodies, enrollment, transaction

from engine.errors import InputError
from engine.terms.gates import MEASURES, REASONS, load_gates, parse_gates
from pipelines.cli import call


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.run()
    return desk


def gates(desk: Desk, *texts: str) -> Path:
    text = "".join(f'[[gates]]\nname = "gate {n}"\n{text}\n' for n, text in enumerate(texts, 1))
    return desk.write("gates.toml", text)


def rows(desk: Desk, count: int, first: int, **changed: str) -> Path:
    numbers = range(first, first + count)
    return desk.transactions([transaction(n, **changed) for n in numbers], f"{first}.csv")


def run(desk: Desk, path: Path, **options: Any) -> list[tuple[str, str, int, int | None]]:
    record = desk.run(path, enrollments=[], **options).record
    return [
        (finding.gate, finding.bound, finding.value, finding.reference) for finding in record.gates
    ]


def test_a_night_is_held_to_bounds_as_they_stand(desk: Desk) -> None:
    path = gates(desk, 'measure = "read"\nwarn_below = 3\nfail_below = 2')
    assert run(desk, rows(desk, 3, 100), gates=path) == []
    assert run(desk, rows(desk, 2, 200)) == [("gate 1", "warn_below", 2, None)]
    before = bodies(desk.book, without=["index/"])
    with pytest.raises(InputError, match="gate 1: read: 1, below 2") as caught:
        run(desk, rows(desk, 1, 300))
    assert caught.value.code == "gate_failed"
    assert json.loads(json.dumps(caught.value.details))["gates"][0]["value"] == 1
    assert bodies(desk.book, without=["index/"]) == before
    with pytest.raises(InputError, match="gate 1"):
        run(desk, rows(desk, 1, 300), dry_run=True)


def test_a_night_is_held_to_a_share_of_what_was_read(desk: Desk) -> None:
    path = gates(
        desk,
        'measure = "declined"\nreason = "not_enrolled"\nof = "read"\nfail_above = 50',
        'measure = "declined"\nreason = "not_enrolled"\nof = "read"\nin = "yen"\nwarn_above = 1',
        'measure = "enrollments_rejected"\nof = "read"\nwarn_above = 99',
    )
    mixed = [transaction(1), transaction(2, account_id="nobody", amount="1000")]
    assert run(desk, desk.transactions(mixed), gates=path) == [
        ("gate 2", "warn_above", 1000, 1100),
    ]
    nobody = [transaction(n, account_id="nobody") for n in (4, 5)]
    path = desk.transactions([transaction(3), *nobody])
    with pytest.raises(InputError, match="not_enrolled: 2, above 50 % of 3"):
        run(desk, path)
    refused = desk.write("e.csv", "")
    rejected = enrollment(2, card_applied_on="2021-08-01")
    refused.write_text(",".join(rejected) + "\n" + ",".join(rejected.values()) + "\n")
    assert [finding.gate for finding in desk.run(enrollments=[refused]).record.gates] == ["gate 3"]


def test_a_night_is_held_to_the_median_of_the_nights_before(desk: Desk) -> None:
    path = gates(
        desk,
        'measure = "read"\nof = "median"\nnights = 3\nwarn_below = 100\nfail_below = 50',
        'measure = "read"\nof = "median"\nnights = 2\nwarn_above = 200',
    )
    # The night with the enrollment is one of them; there are not three yet.
    assert run(desk, rows(desk, 4, 100), gates=path) == []
    # Of the night with the enrollment, on which nothing was spent, and 4.
    assert run(desk, rows(desk, 2, 200)) == [("gate 2", "warn_above", 2, 0)]
    # Nights without deliveries do not count: of 0, 4 and 2 the median is 2; of 4 and 2, 2.
    desk.run(enrollments=[])
    assert run(desk, rows(desk, 1, 300)) == [("gate 1", "warn_below", 1, 2)]
    # Of 4, 2 and 1.
    assert run(desk, rows(desk, 5, 400)) == [("gate 2", "warn_above", 5, 1)]
    with pytest.raises(InputError, match=r"below 50 % of 2 \(the median of 3 nights\)"):
        run(desk, desk.transactions([], "none.csv"))


def test_changed_services_are_a_figure_too(desk: Desk) -> None:
    path = gates(desk, 'measure = "services_changed"\nwarn_above = 0')
    assert run(desk, rows(desk, 1, 100), gates=path) == []
    renamed = desk.write("other.toml", desk.services.read_text().replace('"Coin"', '"Coins"'))
    found = run(desk, rows(desk, 1, 200), services=renamed)
    assert found == [("gate 1", "warn_above", 1, None)]


def test_the_book_keeps_its_gates_until_it_is_given_others(desk: Desk) -> None:
    path = gates(desk, 'measure = "files"\nwarn_above = 0')
    assert len(run(desk, rows(desk, 1, 100), gates=path)) == 1
    path.write_text("changed afterwards")
    assert len(run(desk, rows(desk, 1, 200))) == 1
    assert run(desk, rows(desk, 1, 300), gates=desk.write("none.toml", "")) == []
    assert run(desk, rows(desk, 1, 400)) == []
    kept = [run.joinpath("gates.toml").read_text() for run in sorted(desk.book.glob("runs/*"))[1:]]
    assert [bool(text) for text in kept] == [True, True, False, False]
    assert call(["verify", str(desk.book)]) == 0


def test_a_gate_may_be_allowed_to_fail_and_that_is_recorded_and_said(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    path = gates(desk, 'measure = "read"\nfail_below = 2', 'measure = "files"\nwarn_above = 0')
    words = ["run", desk.book, "--booked-on", "2020-09-30", "--gates", path]
    words += ["--transactions", rows(desk, 1, 100), "--allow-gate"]
    with pytest.raises(InputError, match="there is no gate gate 9"):
        call([str(word) for word in (*words, "gate 9")])
    with pytest.raises(InputError, match="gate 1"):
        call([str(word) for word in (*words, "gate 2")])
    capsys.readouterr()
    assert call([str(word) for word in (*words, "gate 1")]) == 0
    said = capsys.readouterr()
    assert "warning: gate gate 1: read: 1, below 2 (allowed)\n" in said.err
    assert "gate 2: files: 1, above 0" in said.out
    first, second = desk.record(2)["gates"]
    assert (first["gate"], first["is_allowed"]) == ("gate 1", True)
    assert (second["bound"], "is_allowed" in second) == ("warn_above", False)


def test_a_record_of_a_night_without_gates_says_nothing_of_them(desk: Desk) -> None:
    assert "gates" not in desk.record()


def test_every_reason_can_be_named_and_no_other(desk: Desk) -> None:
    assert set(REASONS["declined"]) == set(oracle.DECLINE_REASONS)
    assert set(REASONS["enrollments_rejected"]) == set(oracle.ENROLLMENT_REASONS)
    assert set(REASONS["events_rejected"]) == set(oracle.EVENT_REASONS)
    every = gates(desk, *(f'measure = "{measure}"\nwarn_above = 1' for measure in MEASURES))
    assert len(load_gates(every).gates) == len(MEASURES)
    run(desk, rows(desk, 1, 100), gates=every)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('measure = "red"\nwarn_above = 1', "red"),
        ('measure = "read"', "no bound"),
        ('measure = "read"\nwarn_over = 1', "warn_over"),
        ('measure = "read"\nreason = "duplicate"\nwarn_above = 1', "has no reasons"),
        ('measure = "declined"\nreason = "not_enroled"\nwarn_above = 1', "not_enroled"),
        ('measure = "files"\nin = "yen"\nwarn_above = 1', "has no yen"),
        ('measure = "files"\nof = "read"\nwarn_above = 1', "not counted among what was read"),
        ('measure = "read"\nof = "median"\nwarn_above = 1', "nights"),
        ('measure = "read"\nnights = 3\nwarn_above = 1', "nights"),
        ('measure = "services_changed"\nof = "median"\nnights = 1\nwarn_above = 1', "no median"),
        ('measure = "read"\nwarn_above = -1', "warn_above"),
        ('measure = "read"\nwarn_above = 1\n[[gates]]\nname = "gate 1"', "measure: missing"),
    ],
)
def test_a_file_of_gates_is_read_strictly(desk: Desk, text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        load_gates(gates(desk, text))


def test_two_gates_of_one_name_are_refused() -> None:
    gate = '[[gates]]\nname = "a"\nmeasure = "read"\nwarn_above = 1\n'
    with pytest.raises(InputError, match="twice"):
        parse_gates(gate + gate, "gates.toml")


def test_a_median_of_nothing_is_a_bound_too(desk: Desk) -> None:
    path = gates(
        desk,
        'measure = "declined"\nof = "median"\nnights = 1\nwarn_above = 200',
        'measure = "declined"\nof = "median"\nnights = 1\nwarn_below = 50',
    )
    assert run(desk, rows(desk, 1, 100), gates=path) == []
    assert run(desk, rows(desk, 1, 200)) == []
    assert run(desk, rows(desk, 2, 300, account_id="nobody")) == [("gate 1", "warn_above", 2, 0)]


def test_gates_that_come_with_a_night_that_is_booked_already_are_said_not_to_be_taken(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    night, path = rows(desk, 1, 100), gates(desk, 'measure = "files"\nwarn_above = 0')
    run(desk, night)
    assert desk.run(night, enrollments=[], gates=path).already_booked
    assert "gates that were given are not taken" in caplog.text
    assert run(desk, rows(desk, 1, 200)) == []
    # Those that the book keeps may be given again.
    run(desk, again := rows(desk, 1, 300), gates=path)
    caplog.clear()
    assert desk.run(again, enrollments=[], gates=path).already_booked
    assert not caplog.text

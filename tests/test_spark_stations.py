"""A run's stations, without Spark: every task is done twice and messages come in any order.

Random worlds are booked by the stations and on one machine, or by both in turn, and every table is
compared. The same on a real cluster is in test_spark.
"""

import datetime as dt
from pathlib import Path

import pytest
import worlds
from against_the_oracle import DeliveredAs
from test_layouts_read import case
from two_engines import assert_same_run, on_a_table_top

import mynapoint
from engine.io.delivered.deliveries import DeliveredAs as DeliveredByLayout
from engine.layouts.model import built_in_layouts


def book(path: Path, delivery: DeliveredAs, **how: object) -> mynapoint.RunResult:
    night = delivery.night
    return mynapoint.run(
        path,
        booked_on=night.booked_on,
        transactions=delivery.transactions,
        enrollments=delivery.enrollments,
        services=delivery.services,
        programme=delivery.programme,
        terms_as_of=night.terms_as_of,
        max_quarantined=1.0,
        **how,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("seeds", "in_turn", "form"),
    [
        (range(8), False, "csv"),
        (range(8, 16), True, "csv"),
        (range(16, 18), True, "gz"),
        (range(18, 20), False, "zst"),
    ],
)
def test_the_stations_book_what_one_machine_books(
    tmp_path: Path, seeds: range, in_turn: bool, form: str
) -> None:
    for seed in seeds:
        world = worlds.make(seed)
        for number in range(len(world.nights)):
            delivery = DeliveredAs(world, number, tmp_path / f"{seed}", form)
            one, other = tmp_path / f"{seed}-one", tmp_path / f"{seed}-other"
            result = book(one, delivery)
            if in_turn and (number + seed) % 2:
                book(other, delivery)
            else:
                book(other, delivery, how=on_a_table_top(seed), rows_per_slice=8)
            assert_same_run(one, other, int(result.record.run_id))


@pytest.mark.parametrize("layout_id", built_in_layouts())
def test_providers_own_files_are_read_by_their_layouts_there_too(
    tmp_path: Path, layout_id: str
) -> None:
    path, expected = case(layout_id)
    delivered = DeliveredByLayout(path, layout_id, expected["parameters"])
    for book_path, how in (("one", None), ("other", on_a_table_top(1))):
        mynapoint.run(
            tmp_path / book_path,
            booked_on=dt.date(2021, 10, 1),
            transactions=[delivered],
            max_quarantined=1.0,
            how=how,
        )
    assert_same_run(tmp_path / "one", tmp_path / "other", 1)

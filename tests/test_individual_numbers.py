"""No Individual Number enters a book."""

import datetime as dt
from pathlib import Path
from random import Random

import polars as pl
import pytest

import mynapoint
from engine.reading.individual_number import Screen, check_digit_agrees

SERVICES = '[[services]]\nservice_id = "coin"\nname = "coin"\nbasis = "purchase"\n'


def with_check_digit(eleven: str) -> str:
    """The rule of the ordinance, step by step: P_n from the lowest digit, Q_n = n+1 or n-5."""
    total = 0
    for n, digit in enumerate(reversed(eleven), 1):
        total += int(digit) * (n + 1 if n <= 6 else n - 5)
    remainder = total % 11
    return eleven + str(0 if remainder <= 1 else 11 - remainder)


def numbers(count: int, seed: int = 1) -> list[str]:
    random = Random(seed)
    return [with_check_digit(f"{random.randrange(10**11):011}") for _ in range(count)]


def twelve_digits(count: int, seed: int = 2) -> list[str]:
    random = Random(seed)
    return [f"{random.randrange(10**12):012}" for _ in range(count)]


def test_the_check_digit_is_the_ordinances() -> None:
    assert check_digit_agrees(pl.Series(numbers(2000))).all()
    one_off = [n[:-1] + str((int(n[-1]) + 1) % 10) for n in numbers(2000)]
    assert not check_digit_agrees(pl.Series(one_off)).any()


@pytest.mark.parametrize("count", [9, 100, 20_000])
def test_a_column_of_individual_numbers_is_refused(count: int) -> None:
    screen = Screen("enrollments")
    screen.look(pl.DataFrame({"person_id": numbers(count), "account_id": ["A"] * count}))
    with pytest.raises(mynapoint.InputError, match="column person_id seems to hold"):
        screen.judge()


@pytest.mark.parametrize("seed", range(20))
def test_other_ids_of_twelve_digits_pass(seed: int) -> None:
    screen = Screen("transactions")
    for piece in range(5):
        screen.look(pl.DataFrame({"account_id": twelve_digits(3000, seed * 5 + piece)}))
    screen.judge()


def test_one_account_that_agrees_by_chance_may_be_delivered_a_thousand_times() -> None:
    screen = Screen("transactions")
    screen.look(pl.DataFrame({"account_id": numbers(1) * 1000}))
    screen.judge()


def test_a_tenth_of_the_values_hidden_among_others_is_found() -> None:
    screen = Screen("transactions")
    screen.look(pl.DataFrame({"account_id": twelve_digits(9000)}))
    screen.look(pl.DataFrame({"account_id": numbers(3000)}))
    with pytest.raises(mynapoint.InputError):
        screen.judge()


@pytest.mark.parametrize("column", ["person_id", "account_id"])
@pytest.mark.parametrize("broken", [False, True])
def test_a_delivery_with_individual_numbers_books_nothing_and_shows_none(
    column: str, broken: bool, tmp_path: Path
) -> None:
    applied = "yesterday" if broken else "2020-09-01 09:00:00"
    rows = [
        (number, f"A{row}") if column == "person_id" else (f"P{row}", number)
        for row, number in enumerate(numbers(50))
    ]
    lines = [f"{person},coin,{account},{applied},2020-06-01" for person, account in rows]
    delivered = tmp_path / "enrollments.csv"
    delivered.write_text(
        "person_id,service_id,account_id,applied_at,card_applied_on\n" + "\n".join(lines) + "\n"
    )
    services = tmp_path / "services.toml"
    services.write_text(SERVICES)
    with pytest.raises(mynapoint.InputError) as refused:
        mynapoint.run(
            tmp_path / "book",
            booked_on=dt.date(2020, 10, 1),
            enrollments=[delivered],
            services=services,
            max_quarantined=1,
        )
    assert column in refused.value.message
    assert not any(number in refused.value.message + refused.value.hint for number in numbers(50))
    assert not list((tmp_path / "book").rglob("*.parquet"))

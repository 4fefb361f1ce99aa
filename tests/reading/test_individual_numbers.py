"""No Individual Number enters a book."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from random import Random

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
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


WIDE = str.maketrans("0123456789-", "０１２３４５６７８９－")
FORMS: dict[str, Callable[[str], str]] = {
    "as printed": lambda number: f"{number[:4]} {number[4:8]} {number[8:]}",
    "with hyphens": lambda number: f"{number[:4]}-{number[4:8]}-{number[8:]}",
    "in full width": lambda number: number.translate(WIDE),
    "in full width with hyphens": lambda number: (
        f"{number[:4]}-{number[4:8]}-{number[8:]}".translate(WIDE)
    ),
    "behind a prefix": lambda number: f"P{number}",
    "with words around": lambda number: f"マイナンバー {number} です",
}
ENROLLMENT = ("person_id", "service_id", "account_id", "applied_at", "card_applied_on")
TRANSACTION = ("transaction_id", "service_id", "account_id", "occurred_at", "kind", "amount")
VALUES = {
    "service_id": "coin",
    "applied_at": "2020-09-01 09:00:00",
    "card_applied_on": "2020-06-01",
    "occurred_at": "2020-09-05 10:00:00",
    "kind": "purchase",
    "amount": "100",
}


def delivered(folder: Path, role: str, column: str, values: list[str], *, parquet: bool) -> Path:
    """A delivery with some values in one column, canonical or not."""
    names = [*(ENROLLMENT if role == "enrollments" else TRANSACTION)]
    names += [column] if column not in names else []
    columns = {
        name: values
        if name == column
        else [VALUES.get(name, f"{name}-{row}") for row in range(len(values))]
        for name in names
    }
    if parquet:
        pq.write_table(pa.table(columns), folder / "delivered.parquet")
        return folder / "delivered.parquet"
    rows = zip(*columns.values(), strict=True)
    text = "\n".join([",".join(names), *map(",".join, rows), ""])
    (folder / "delivered.csv").write_text(text)
    return folder / "delivered.csv"


def refused(folder: Path, role: str, path: Path) -> bool:
    services = folder / "services.toml"
    services.write_text(SERVICES)
    try:
        mynapoint.run(
            folder / "book",
            booked_on=dt.date(2020, 10, 1),
            services=services,
            max_quarantined=1,
            transactions=[path] if role == "transactions" else [],
            enrollments=[path] if role == "enrollments" else [],
        )
    except mynapoint.InputError as error:
        return "seems to hold Individual Numbers" in error.message
    return False


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("role", "column"),
    [
        ("enrollments", "person_id"),
        ("transactions", "transaction_id"),
        ("transactions", "original_transaction_id"),
        ("transactions", "method"),
        # A column that nobody reads is kept in the raw text of a row that cannot be read.
        ("transactions", "マイナンバー"),
    ],
)
def test_individual_numbers_are_refused_however_they_are_written_wherever_they_stand(
    form: str, role: str, column: str, tmp_path: Path
) -> None:
    values = [FORMS[form](number) for number in numbers(60)]
    assert refused(tmp_path, role, delivered(tmp_path, role, column, values, parquet=False))
    assert not list((tmp_path / "book").rglob("*.parquet"))


@pytest.mark.parametrize("gap", ["  ", "\u00a0", "\u2009", "\u202f", "\u2013", ".", "/", "_"])
def test_individual_numbers_are_known_with_any_gap_between_their_groups(gap: str) -> None:
    values = [gap.join((number[:4], number[4:8], number[8:])) for number in numbers(60)]
    read, unread = Screen("enrollments"), Screen("enrollments")
    read.look(pl.DataFrame({"person_id": values}))
    unread.look_at_lines([f"a,{value},b" for value in values])
    for screen in (read, unread):
        with pytest.raises(mynapoint.InputError, match="60 have its check digit"):
            screen.judge()


@pytest.mark.parametrize("column", ["transaction_id", "method"])
def test_individual_numbers_in_parquet_are_refused_too(column: str, tmp_path: Path) -> None:
    path = delivered(tmp_path, "transactions", column, numbers(60), parquet=True)
    assert refused(tmp_path, "transactions", path)


@pytest.mark.parametrize("form", FORMS)
def test_other_numbers_of_twelve_digits_pass_in_every_form_and_column(
    form: str, tmp_path: Path
) -> None:
    values = [FORMS[form](number) for number in twelve_digits(3000)]
    for column in ("transaction_id", "メモ"):
        path = delivered(tmp_path, "transactions", column, values, parquet=False)
        assert not refused(tmp_path, "transactions", path)


def test_numbers_of_more_digits_are_not_cut_to_twelve(tmp_path: Path) -> None:
    values = [f"{number}7" for number in numbers(200)]
    path = delivered(tmp_path, "transactions", "transaction_id", values, parquet=False)
    assert not refused(tmp_path, "transactions", path)

"""IDs that another spelling of meets: a run names how many, and books each as it is."""

import datetime as dt
import unicodedata
from pathlib import Path

import polars as pl
import pytest
from deliveries import Desk, as_csv, enrollment, transaction

from engine.reading import spellings
from engine.reading.spellings import plain_ids

KANA = "ガード"


@pytest.mark.parametrize(
    ("spelled", "plain"),
    [
        ("AB12", "AB12"),
        ("ＡＢ１２", "AB12"),
        ("ab12", "AB12"),
        ("aB12", "aB12"),
        ("0012", "12"),
        ("00", "0"),
        ("A0012", "A0012"),
        ("0012-7", "0012-7"),
        ("12.0", "12"),
        ("12.50", "12.50"),
        ("００１２", "12"),
        ("12\u20133", "12-3"),
        ("12\ufeff3", "123"),
        (unicodedata.normalize("NFD", KANA), KANA),
        ("ｶﾞｰﾄﾞ", KANA),
    ],
)
def test_spellings_of_one_id_are_plain_alike(spelled: str, plain: str) -> None:
    assert plain_ids(pl.Series([spelled])).to_list() == [plain]
    assert plain_ids(pl.Series(["X9", spelled, "7"])).to_list() == ["X9", plain, "7"]


def test_ids_that_are_plain_are_the_same_series() -> None:
    ids = pl.Series(["AB12", "T-1", "7"])
    assert plain_ids(ids) is ids
    empty = pl.Series([], dtype=pl.String)
    assert plain_ids(empty) is empty


def warnings(desk: Desk, *rows: dict[str, str], **options: object) -> list[tuple[int, str]]:
    record = desk.run(desk.transactions(rows), **options).record
    return [(warning.row, warning.what) for warning in record.warnings]


MET = "transaction_id: 1 ID is another spelling of one that is delivered or booked, too"


@pytest.mark.parametrize("other", ["t1", "Ｔ１", "T1\ufeff1"])
def test_a_transaction_that_is_booked_in_another_spelling_is_counted(
    tmp_path: Path, other: str
) -> None:
    desk, own = Desk(tmp_path), "T11" if "\ufeff" in other else "T1"
    assert warnings(desk, transaction(1, transaction_id=own), transaction(2)) == []
    night = transaction(3), transaction(1, transaction_id=other)
    assert warnings(desk, *night, booked_on=dt.date(2020, 10, 1)) == [(2, MET)]
    assert other in desk.ledger()["transaction_id"].to_list()


@pytest.mark.parametrize("rows", [("T1", "ｔ1"), ("ｔ1", "T1"), ("t1", "Ｔ１"), ("001", "1")])
def test_two_spellings_in_one_night_are_counted(tmp_path: Path, rows: tuple[str, str]) -> None:
    ids = [transaction(1, transaction_id=spelling) for spelling in ("T7", *rows)]
    ((row, what),) = warnings(Desk(tmp_path), *ids)
    assert row in (2, 3)
    assert what.startswith("transaction_id: ")
    assert desk_rows(tmp_path) == 3


def desk_rows(folder: Path) -> int:
    return len(list((folder / "book" / "ledger").glob("*.parquet"))) and int(
        pl.read_parquet(str(folder / "book" / "ledger" / "*.parquet")).height
    )


@pytest.mark.parametrize(("enrolled", "delivered"), [("0012", "12"), ("12", "0012"), ("AB", "ab")])
def test_an_account_that_is_enrolled_in_another_spelling_is_counted(
    tmp_path: Path, enrolled: str, delivered: str
) -> None:
    desk = Desk(tmp_path)
    enrollments = desk.write("e.csv", as_csv([enrollment(1, account_id=enrolled), enrollment(2)]))
    rows = [
        transaction(n, account_id=spelling)
        for n, spelling in enumerate((enrolled, "A9", delivered))
    ]
    assert warnings(desk, *rows, enrollments=[enrollments]) == [
        (3, "account_id: 1 ID is another spelling of one that is enrolled; their rows are declined")
    ]


def test_a_person_who_is_known_in_another_spelling_is_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run()
    more = [enrollment(7), enrollment(2, person_id="ｐ１"), enrollment(3, person_id="p7")]
    enrollments = desk.write("e.csv", as_csv(more))
    record = desk.run(enrollments=[enrollments], booked_on=dt.date(2020, 10, 1)).record
    assert [(warning.row, warning.what) for warning in record.warnings] == [
        (1, "person_id: 3 IDs are another spelling of one that is known; each has a cap of its own")
    ]


def test_of_very_many_odd_ids_as_many_are_looked_at_as_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spellings, "MOST_LOOKED_AT", 2)
    rows = [
        transaction(1, transaction_id=spelling) for spelling in ("T1", "t1", "T2", "t2", "T3", "t3")
    ]
    assert warnings(Desk(tmp_path), *rows) == [(2, MET.replace("1 ID is", "2 IDs are"))]

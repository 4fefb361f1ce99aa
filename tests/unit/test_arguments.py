"""The public functions say in a line what is wrong with an argument."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, transaction

import mynapoint
from mynapoint import DeliveredAs, InputError

WRONG: dict[str, list[Any]] = {
    "booked_on": [dt.datetime(2020, 9, 30), "2020-09-30", None, 20200930],
    "terms_as_of": [dt.datetime(2020, 9, 30), "2020-09-30"],
    "transactions": ["t.csv", Path("t.csv"), b"t.csv", DeliveredAs("t.csv"), None, 5, {"t": 1}],
    "enrollments": ["e.csv", [5], [None], [b"e.csv"]],
    "events": ["e.csv", [["e.csv"]], [DeliveredAs("e.csv", parameters={"account_id": 5})]],  # type: ignore[dict-item]
    "services": [5, b"s.toml"],
    "programme": [5, b"p.toml"],
    "threads": ["2", 0, -1, True, 1.5],
    "rows_per_slice": ["2", 0],
    "max_quarantined": ["0.05", True, float("nan"), -0.1, 1.01, None],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG.items() for value in values],
)
def test_an_argument_of_a_wrong_type_is_named_and_nothing_is_booked(
    name: str, value: Any, tmp_path: Path
) -> None:
    desk = Desk(tmp_path)
    arguments: dict[str, Any] = {
        "booked_on": dt.date(2020, 9, 30),
        "transactions": [desk.transactions([transaction(1)])],
        "enrollments": (desk.enrollments,),
        "services": desk.services,
    }
    with pytest.raises(InputError) as refused:
        mynapoint.run(desk.book, **(arguments | {name: value}))
    assert name.replace("_", "-") in refused.value.message.replace("_", "-")
    assert "\n" not in refused.value.message + refused.value.hint
    assert desk.holds_nothing()


@pytest.mark.parametrize("book", [None, 5, b"book"])
def test_a_book_that_is_no_path_is_named(book: Any) -> None:
    with pytest.raises(InputError, match="book: must be a str"):
        mynapoint.run(book, booked_on=dt.date(2020, 9, 30))


@pytest.mark.parametrize("load", [mynapoint.load_programme, mynapoint.load_services])
@pytest.mark.parametrize("file", [5, b"file.toml", ["file.toml"]])
def test_what_is_loaded_is_a_path(load: Any, file: Any) -> None:
    with pytest.raises(InputError, match="must be a str or"):
        load(file)


@pytest.mark.parametrize("parse", [mynapoint.parse_programme, mynapoint.parse_services])
def test_what_is_parsed_is_a_text(parse: Any) -> None:
    with pytest.raises(InputError, match="here: must be a text, is of type bytes"):
        parse(b"", "here")

"""Whose an account is, as payouts ask: replaced numbers, the newest, people with several."""

import datetime as dt
from typing import Any

import polars as pl

from engine.payouts.accounts import ENROLLED, Account, Accounts, Replacement

AT = dt.datetime(2020, 10, 1)


def replaced(old: str, new: str) -> Replacement:
    return Replacement("coin", old, new, AT)


def accounts(people: dict[str, str], *replacements: Replacement, **more: Any) -> Accounts:
    rows = [("coin", number, person, True) for number, person in people.items()]
    return Accounts(pl.DataFrame(rows, schema=ENROLLED, orient="row"), replacements, **more)


def test_a_number_that_two_accounts_went_on_with_belongs_to_the_one_accepted_first() -> None:
    def second(several: list[Account]) -> Account:
        return several[1]

    two = replaced("A", "N"), replaced("B", "N"), replaced("N", "O")
    found = accounts({"A": "P", "B": "Q"}, *two, accepted_first=second)
    assert found.belongs == {("coin", "N"): ("coin", "B"), ("coin", "O"): ("coin", "B")}
    assert found.newest(AT + dt.timedelta(1)) == {("coin", "B"): "O"}


def test_numbers_that_replaced_each_other_and_are_nobodys_are_looked_at_once() -> None:
    circle = replaced("A", "B"), replaced("B", "A")
    assert set(accounts({}, *circle).belongs) <= {("coin", "A"), ("coin", "B")}


def test_people_with_two_accounts_are_shared_and_those_with_one_are_not() -> None:
    people = {"A": "one", "B": "two", "C": "two", "D": "three", "E": "three", "F": "three"}
    assert sorted(accounts(people).shared["person_id"]) == ["three", "two"]

"""`explain`: each reason with its facts, all reasons that hold, accounts, and IDs as delivered."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from deliveries import Desk, enrollment, transaction

from engine.errors import InputError
from pipelines.cli import call

SERVICES = """\
[[services]]
service_id = "coin"
name = "Coin Pay"
basis = "purchase"

[[services]]
service_id = "ends"
name = "Ends"
basis = "charge"
awards_close_on = 2020-09-03
excluded_methods = ["gift"]
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    desk = Desk(tmp_path_factory.mktemp("facts"))
    desk.services = desk.write("services.toml", SERVICES)
    people = [
        enrollment(1),
        enrollment(2, service_id="ends"),
        # The account is P1's by then, and P3's card came too late.
        enrollment(3, account_id="A1", applied_at="2020-09-02 09:00:00")
        | {"card_applied_on": "2021-05-02"},
        enrollment(4, service_id="gone"),
        enrollment(5),
    ]
    header = ",".join(people[0])
    enrolled = desk.write(
        "people.csv", "\n".join([header, *(",".join(row.values()) for row in people)])
    )

    def refund(number: int, original: str, **changed: str) -> dict[str, str]:
        refund = {"kind": "refund", "original_transaction_id": original}
        return transaction(number, **(refund | changed))

    rows = [
        transaction(1, amount="1000"),
        refund(2, "T1", amount="700", occurred_at="2020-09-06 10:00:00"),
        refund(3, "T1", amount="400", occurred_at="2020-09-07 10:00:00"),
        refund(4, "T1", amount="5", occurred_at="2020-09-08 10:00:00"),
        refund(5, "T1", account_id="A5", occurred_at="2020-09-09 10:00:00"),
        refund(6, "T1", occurred_at="2020-09-04 10:00:00"),
        refund(7, "T99"),
        transaction(8, service_id="ends", account_id="A2", method="gift"),
        transaction(9, occurred_at="2020-08-31 10:00:00"),
        transaction(10, account_id="A3"),
        transaction(11, service_id="con"),
    ]
    desk.run(desk.transactions(rows), enrollments=[enrolled])
    again = desk.transactions([transaction(1, amount="1000")], "again.csv")
    desk.run(again, booked_on=dt.date(2020, 10, 1), enrollments=[])
    return desk.book


def said(book: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = call(["explain", str(book), *words])
    out, err = capsys.readouterr()
    assert err == ""
    return code, out


@pytest.mark.parametrize(
    ("transaction_id", "facts"),
    [
        ("T1", ["The first of it was booked in run 000001, as entry 1."]),
        ("T4", ["The original, T1 (run 000001), is of 1,000 yen; earlier refunds took back 1,000"]),
        ("T5", ["The original, T1 (run 000001), is of account A1."]),
        ("T6", ["The original, T1 (run 000001), happened at 2020-09-05 10:00:00."]),
        ("T7", ["The original, T99, was booked in no run."]),
        (
            "T9",
            [
                "The window begins on 2020-09-01.",
                "It also holds that: before_application",
                "Spending counts from 2020-09-01 09:00:00.",
            ],
        ),
        ("T10", ["not_enrolled: no accepted application names"]),
    ],
)
def test_a_declined_transaction_names_the_facts_of_its_reasons(
    book: Path, transaction_id: str, facts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = said(book, "--transaction", "coin", transaction_id, "--lang", "en", capsys=capsys)
    assert code == 0
    for fact in facts:
        assert fact in out, out


def test_all_reasons_that_hold_are_told_the_recorded_one_first(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--transaction", "ends", "T8")
    code, out = said(book, *words, "--lang", "en", capsys=capsys)
    for fact in (
        "The service's last day of awards was 2020-09-03.",
        "It also holds that: not_the_basis",
        "This is a purchase; the service awards each charge.",
        "It also holds that: excluded_method",
        "The method is gift.",
    ):
        assert fact in out
    value: dict[str, Any] = json.loads(said(book, *words, "--json", capsys=capsys)[1])
    assert [fact["reason"] for fact in value["declined"][0]["facts"]] == [
        *("service_closed", "not_the_basis", "excluded_method")
    ]
    _, japanese = said(book, *words, "--lang", "ja", capsys=capsys)
    assert "このサービスの付与は 2020-09-03 で終了。このほか、次の理由にも該当" in japanese
    assert code == 0


def test_a_refunds_reason_claims_no_clause_of_the_notice(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = said(book, "--transaction", "coin", "T7", "--lang", "en", capsys=capsys)
    assert "the notice does not mention it" in out
    assert "〔" not in out


def test_a_rejected_application_names_who_holds_the_account(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = said(book, "--person", "P3", "--lang", "en", capsys=capsys)
    assert code == 0
    assert "The card was applied for on 2021-05-02; the last day was 2021-04-30." in out
    assert "It also holds that: account_taken" in out
    assert "The account is that of person P1, whose application of 2020-09-01 09:00:00" in out


def test_whose_an_account_is_is_followed_through_merges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)]))
    header = "event_id,kind,authority,person_id,other_id\n"
    merges = "E1,persons_merged,city,P1,P2\nE2,persons_merged,city,P2,P3\n"
    events = desk.write("events.csv", header + merges)
    desk.run(booked_on=dt.date(2020, 10, 1), enrollments=[], events=[events])
    out = said(desk.book, "--account", "coin", "A1", "--json", capsys=capsys)[1]
    assert [person["person_id"] for person in json.loads(out)["people"]] == ["P1", "P2", "P3"]


def test_an_account_is_told_with_its_people_and_all_that_was_delivered_of_it(
    book: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = said(book, "--account", "coin", "A1", "--lang", "en", capsys=capsys)
    assert code == 0
    for text in ("Account coin A1", "Person P1", "rejected in run 000001", "- T9: ", "- T4: "):
        assert text in out
    value = json.loads(said(book, "--account", "coin", "A1", "--json", capsys=capsys)[1])
    assert [person["person_id"] for person in value["people"]] == ["P1"]
    assert len(value["applications"]) == 2
    code, out = said(book, "--account", "coin", "A3", "--lang", "en", capsys=capsys)
    assert "No accepted application names this account: it is nobody's." in out
    code, out = said(book, "--account", "coin", "A77", "--lang", "en", capsys=capsys)
    assert code == 1
    assert "The book has no application and no transaction of this account" in out


@pytest.mark.parametrize("blank", [" ", "\t", "\u3000", "\ufeff"])
def test_ids_are_trimmed_as_those_of_deliveries_are(
    book: Path, blank: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = said(book, "--person", "P1", capsys=capsys)
    assert said(book, "--person", f"{blank}P1{blank}", capsys=capsys) == plain
    words = ("--transaction", f"coin{blank}", f"{blank}T1")
    assert "T1" in said(book, *words, capsys=capsys)[1]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("--transaction", "coim", "T1"), "coin"),
        (("--account", "Coin Pay", "A1"), "coin"),
        (("--account", "end", "A2"), "ends"),
    ],
)
def test_a_service_that_is_not_there_may_be_another(
    book: Path, words: tuple[str, ...], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = said(book, *words, "--lang", "en", capsys=capsys)
    assert code == 1
    assert f"There is no such service: {words[1]}." in out
    assert f"Did you mean {meant}?" in out


def test_one_of_the_three_is_asked_for(book: Path) -> None:
    for words in ([], ["--person", "P1", "--account", "coin", "A1"]):
        with pytest.raises(InputError, match="one of --person, --account and --transaction"):
            call(["explain", str(book), *words])

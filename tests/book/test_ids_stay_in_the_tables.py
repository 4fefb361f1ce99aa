"""IDs of people and accounts stand in the book's tables, and nowhere else."""

from pathlib import Path

import pytest
from command_line import in_this_process, without_note
from deliveries import Desk, as_csv, enrollment, transaction

from engine.io.payout.record import now, ran
from engine.io.users import command_line
from engine.layouts.catalogue import built_in_layouts, load_layout

ID = "ACCOUNT-OF-TARO"
PAYPAY = (
    "取引日,出金金額（円）,入金金額（円）,取引内容,取引先,取引方法,取引番号\n"
    '2020/09/10 10:00:00,"1,000",-,支払い,店,PayPay残高,1\n'
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def run(desk: Desk, *options: object) -> tuple[int, str]:
    done = in_this_process(
        *("run", desk.book, "--booked-on", "2020-10-01", "--services", desk.services),
        *(*options, "--quiet"),
    )
    return done.returncode, done.stdout + without_note(done.stderr)


@pytest.mark.parametrize("role", ["transactions", "enrollments"])
def test_a_file_without_its_header_is_refused_without_a_value_of_its_first_row(
    desk: Desk, role: str
) -> None:
    row = (
        transaction(1, transaction_id=ID, account_id=ID)
        if role == "transactions"
        else enrollment(1, person_id=ID, account_id=ID)
    )
    path = desk.write("headless.csv", as_csv([row]).split("\n", 1)[1])
    code, said = run(desk, f"--{role}", path)
    assert code == 2
    assert ID not in said
    assert "columns 1 and 3 of the header have the same name" in said


def test_a_column_that_is_read_and_named_twice_is_named(desk: Desk) -> None:
    head, row = as_csv([transaction(1)]).splitlines()
    path = desk.write("twice.csv", f"{head},amount\n{row},100\n")
    code, said = run(desk, "--transactions", path)
    assert (code, "the header names the column amount twice" in said) == (2, True)


@pytest.mark.parametrize(
    "options",
    [
        ("--set", f"account_id={ID}", "--transactions", "t.csv"),
        ("--set", ID, "--transactions", "t.csv"),
        ("--set", f"account_id={ID}", "--set", f"account_id={ID}", "--transactions", "t.csv"),
        ("--transactions", "t.csv", "--set", f"account_id={ID}"),
        ("--set", f"account_id={ID}", "--layout", "paypay", "--transactions", "p.csv"),
        ("--layout", "paypay", "--set", f"account={ID}", "--transactions", "p.csv"),
        ("--layout", "paypay", "--set", f"account_id={ID} ", "--transactions", "p.csv"),
    ],
)
def test_an_error_about_what_was_set_does_not_show_it(desk: Desk, options: tuple[str]) -> None:
    desk.write("t.csv", as_csv([transaction(1)]))
    desk.write("p.csv", PAYPAY)
    files = [desk.folder / option if option.endswith(".csv") else option for option in options]
    code, said = run(desk, *files)
    assert code == 2
    assert ID not in said


def test_the_record_keeps_the_digest_of_an_id_that_was_set_and_the_run_can_be_verified(
    desk: Desk,
) -> None:
    desk.services.write_text(
        '[[services]]\nservice_id = "paypay"\nname = "P"\nbasis = "purchase"\n'
    )
    enrollments = desk.write("e.csv", as_csv([enrollment(1, service_id="paypay", account_id=ID)]))
    path = desk.write("p.csv", PAYPAY)
    options = ("--layout", "paypay", "--set", f"account_id={ID}", "--transactions", path)
    assert run(desk, "--enrollments", enrollments, *options) == (0, "")
    texts = b"".join(file.read_bytes() for file in (desk.book / "runs").rglob("*.json"))
    assert b"sha256:" in texts
    assert ID.encode() not in texts
    assert desk.ledger()["account_id"].to_list() == [ID]
    # The same again is known as the same run; and it is decided again, with the ID of its rows.
    assert run(desk, "--enrollments", enrollments, *options)[0] == 0
    assert not (desk.book / "runs" / "000002").exists()
    verified = in_this_process(
        "verify", desk.book, "--enrollments", enrollments, "--transactions", path
    )
    assert verified.returncode == 0, verified.stdout


@pytest.mark.parametrize("words", [["--set", f"account_id={ID}"], [f"--set=account_id={ID}"],
    ["--set", "bank=B", f"account_id={ID}"], ["--set", ID]])  # fmt: skip
def test_no_command_line_that_is_kept_shows_what_was_set(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["mynapoint", "payout", "BOOK", *words, "--answers", "a.csv"])
    for kept in (command_line(), ran(now()).command):
        assert ID not in kept
        assert kept.startswith("mynapoint payout BOOK")
        assert kept.endswith("--answers a.csv")


def test_every_account_that_a_layout_that_ships_asks_for_is_marked_as_an_id() -> None:
    for layout_id in built_in_layouts():
        for name, parameter in load_layout(layout_id).parameters.items():
            assert (parameter.form == "id") == (name == "account_id"), (layout_id, name)

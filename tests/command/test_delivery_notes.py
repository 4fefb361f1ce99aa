"""What a delivery note says is held against what came; a night without deliveries is recorded."""

import hashlib
from pathlib import Path

import pytest
from deliveries import Desk, bodies, transaction

from engine.errors import InputError
from pipelines.cli import call


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def book(desk: Desk, *more: object) -> int:
    words = ("run", desk.book, "--booked-on", "2020-09-30", "--services", desk.services, *more)
    return call([*map(str, words), "--quiet", "--max-quarantined", "1"])


def test_a_night_that_is_as_noted_is_booked(desk: Desk) -> None:
    rows = [transaction(1, amount="100"), transaction(2, amount="250"), transaction(3, amount="x")]
    path = desk.transactions(rows)
    note = desk.write(
        "note.csv",
        "rows,name,yen,sha256,bytes\n"
        f"3,{path.name},350,{sha256(path)},{path.stat().st_size}\n"
        f",{desk.enrollments.name},,{sha256(desk.enrollments).upper()},\n",
    )
    delivered = ("--transactions", path, "--enrollments", desk.enrollments)
    assert book(desk, *delivered, "--manifest", note) == 0


def test_what_sha256sum_writes_is_a_note_and_several_notes_are_one(desk: Desk) -> None:
    path = desk.transactions([transaction(1)])
    first = desk.write("SHA256SUMS", f"{sha256(path)}  out/{path.name}\n")
    second = desk.write("two.sha256", f"{sha256(desk.enrollments)} *{desk.enrollments.name}\n")
    delivered = ("--transactions", path, "--enrollments", desk.enrollments)
    assert book(desk, *delivered, "--manifest", first, second) == 0


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("name,rows\ntransactions.csv,3\n", "transactions.csv: rows is 2, noted is 3"),
        ("name,yen\ntransactions.csv,201\n", "transactions.csv: yen is 200, noted is 201"),
        ("name,bytes\ntransactions.csv,7\n", "noted is 7"),
        (f"name,sha256\ntransactions.csv,{'0' * 64}\n", f"noted is {'0' * 64}"),
        ("name\ntransactions.csv\nmore.csv\n", "more.csv was not delivered"),
        ("name\nmore.csv\n", "more.csv was not delivered; transactions.csv is not noted"),
        ("name,yen\ntransactions.csv,200\nenrollments.csv,1\n", "enrollments.csv was not del"),
    ],
)
def test_a_night_that_is_not_as_noted_is_refused_and_nothing_booked(
    desk: Desk, note: str, why: str
) -> None:
    path = desk.transactions([transaction(1), transaction(2)])
    with pytest.raises(InputError, match=why) as caught:
        book(desk, "--transactions", path, "--manifest", desk.write("note.csv", note))
    assert caught.value.code == "manifest_differs"
    assert caught.value.details["differences"]
    assert desk.holds_nothing()


def test_yen_are_told_file_by_file(desk: Desk) -> None:
    first = desk.transactions([transaction(1, amount="100")], "one.csv")
    second = desk.transactions([transaction(2, amount="250")], "two.csv")
    note = desk.write("note.csv", "name,yen\none.csv,100\ntwo.csv,250\n")
    assert book(desk, "--transactions", first, second, "--manifest", note) == 0


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("file,rows\na,1\n", "header"),
        ("name,rows,rows\na,1,1\n", "header"),
        ("name,rows\na\n", "row 1: a field is missing"),
        ("name,rows\n,1\n", "row 1: a field is missing"),
        ("name,rows\na,many\n", "row 1: rows: not a whole number"),
        ("name,sha256\na,abc\n", "row 1: sha256: not 64"),
        ("name\na\na\n", "row 2: a is there twice"),
        ('name\n"a\n', "note.csv"),
        ("", "header"),
    ],
)
def test_a_note_that_cannot_be_understood_is_refused(desk: Desk, note: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        book(desk, "--manifest", desk.write("note.csv", note))


def test_a_night_without_deliveries_is_recorded_when_it_is_said(desk: Desk) -> None:
    desk.run()
    before = bodies(desk.book, without=["index/"])
    empty = desk.folder / "tonight"
    empty.mkdir()
    named = ("--transactions", empty, "--enrollments", f"{desk.folder}/none-*.csv")
    for more in ((), ("--dry-run",)):
        with pytest.raises(InputError):
            book(desk, *named, *more)
    assert bodies(desk.book, without=["index/"]) == before
    assert book(desk, *named, "--nothing-delivered") == 0
    assert desk.record(2)["inputs"] == []


def test_what_was_delivered_after_all_and_a_folder_that_is_gone_are_refused(desk: Desk) -> None:
    path = desk.transactions([transaction(1)], "tonight/t.csv")
    with pytest.raises(InputError, match=r"t\.csv was delivered") as caught:
        book(desk, "--transactions", path.parent, "--nothing-delivered")
    assert caught.value.code == "something_delivered"
    with pytest.raises(InputError, match="no such file"):
        book(desk, "--transactions", desk.folder / "gone", "--nothing-delivered")


def test_two_files_of_one_name_are_no_match_for_a_note(desk: Desk) -> None:
    paths = [desk.transactions([transaction(n)], f"{n}/t.csv") for n in (1, 2)]
    note = desk.write("note.csv", "name,rows,yen\nt.csv,1,100\n")
    with pytest.raises(InputError, match=r"1/t\.csv and .*2/t\.csv have one name") as caught:
        book(desk, "--transactions", *paths, "--manifest", note)
    assert caught.value.hint
    assert desk.holds_nothing()


def test_notes_that_say_different_things_of_a_file_are_refused_and_others_complete_each_other(
    desk: Desk,
) -> None:
    path = desk.transactions([transaction(1)])
    wrong = desk.write("wrong.csv", f"name,rows\n{path.name},99\n")
    right = desk.write("right.csv", f"name,rows\n{path.name},1\n")
    yen = desk.write("yen.csv", f"name,yen\n{path.name},7\n")
    with pytest.raises(InputError, match=r"right\.csv: .*rows is 1, and another note says 99"):
        book(desk, "--transactions", path, "--manifest", wrong, right)
    with pytest.raises(InputError, match="rows is 1, noted is 99"):
        book(desk, "--transactions", path, "--manifest", wrong, yen)
    assert desk.holds_nothing()


def test_a_note_counts_a_providers_records_and_not_their_second_rows(desk: Desk) -> None:
    layout = desk.write(
        "layout.toml",
        """\
layout_id = "paid"
name = "paid"
role = "transactions"
follows = "an example"
[file]
encoding = "utf-8"
header = ["number", "account", "day", "yen", "returned"]
[columns]
service_id = { constant = "coin" }
transaction_id = { from = "number" }
account_id = { from = "account" }
occurred_at = { from = "day", forms = ["YYYY/M/D"] }
kind = { constant = "purchase" }
amount = { from = "yen" }
[refunded]
amount = "returned"
suffix = "-r"
""",
    )
    rows = ["1,A1,2020/9/5,200,30", "2,A1,2020/9/6,100,", "3,A1,2020/9/x,50,20"]
    path = desk.write("paid.csv", "number,account,day,yen,returned\n" + "\n".join(rows) + "\n")
    note = desk.write("note.csv", "name,rows,yen\npaid.csv,3,350\n")
    options = ("--layout", layout, "--transactions", path, "--manifest")
    wrong = desk.write("wrong.csv", "name,rows,yen\npaid.csv,5,400\n")
    with pytest.raises(InputError, match=r"rows is 3, noted is 5; .*yen is 350, noted is 400"):
        book(desk, *options, wrong)
    assert book(desk, *options, note) == 0
    # The record has both rows of a record, as before.
    assert desk.record()["inputs"][0]["rows"] == desk.record()["counts"]["read"] == 5

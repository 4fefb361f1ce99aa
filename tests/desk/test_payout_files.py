"""A payout run's lines in a points system's own form: written, copied, proven, refused."""

import json
from pathlib import Path

import pytest
from payout_books import PayoutBook, paid, service
from test_verify_payouts import forge, found

from engine.errors import InputError
from engine.io.durable import sha256_of
from pipelines.cli import call

__all__ = ["paid"]

FORM = """\
layout_id = "own-system"
name = "付与依頼"
follows = "a test"
role = "payouts"
line_end = "crlf"
[[first]]
constant = "H"
[[first]]
from = "instructed_on"
forms = ["YYYYMMDD"]
[[last]]
constant = "T"
[[last]]
from = "rows"
[[last]]
from = "pay_points"
[file]
encoding = "cp932"
columns = ["区分", "番号", "ポイント", "依頼番号"]
[columns."区分"]
from = "direction"
map = { pay = "付与", take_back = "取消" }
[columns."番号"]
from = "account_id"
[columns."ポイント"]
from = "points"
[columns."依頼番号"]
from = "payout_id"
"""


@pytest.fixture
def coins(paid: PayoutBook) -> PayoutBook:
    """Two accounts that are owed 1,000 and 2,000 points."""
    rows = "T1,A1,2020-10-01,purchase,4000 T2,A2,2020-10-01,purchase,8000"
    paid.run("2020-10-02", rows, ("A1", "A2"), services=service('{ when = "at_once" }'))
    return paid


def test_the_lines_go_out_in_the_points_systems_own_form_and_verify_reads_them_back(
    coins: PayoutBook, tmp_path: Path
) -> None:
    form = coins.file("form.toml", FORM)
    first, second = (line["payout_id"] for line in coins.pay("2020-10-02", "--layout", str(form)))
    copied = coins.folder / "out" / "payouts-000001-coin.txt"
    assert copied.read_bytes().decode("cp932").split("\r\n") == [
        "H,20201002",
        f"付与,A1,1000,{first}",
        f"付与,A2,2000,{second}",
        "T,2,3000",
        "",
    ]
    kept = coins.path / "payout_runs" / "000001"
    assert (kept / "layout-own-system.toml").read_text(encoding="utf-8") == FORM
    listed = json.loads((kept / "payouts-000001.json").read_bytes())["files"]
    assert sorted(file["name"] for file in listed) == [
        f"payouts-000001-coin.{suffix}" for suffix in ("csv", "parquet", "txt")
    ]
    assert found(coins.path, tmp_path) == []
    assert call(["payout", str(coins.path), "--again", "1", "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / copied.name).read_bytes() == copied.read_bytes()


@pytest.mark.parametrize(
    ("old", "new"), [("1000", "9000"), ("T,2", "T,3"), ("3000", "3001"), ("A2", "A3"), ("H,", "X,")]
)
def test_verify_finds_another_value_in_it_though_all_digests_agree(
    old: str, new: str, coins: PayoutBook, tmp_path: Path
) -> None:
    coins.pay("2020-10-02", "--layout", str(coins.file("form.toml", FORM)))
    kept = coins.path / "payout_runs" / "000001"
    file, listed = kept / "payouts-000001-coin.txt", kept / "payouts-000001.json"
    before = sha256_of(file)
    file.write_bytes(file.read_bytes().replace(old.encode(), new.encode(), 1))
    listed.write_text(listed.read_text("utf-8").replace(before, sha256_of(file)), "utf-8")
    forge(coins.path, 1, lambda rows: rows)
    assert any("something else than the table" in line for line in found(coins.path, tmp_path))


def test_a_value_that_the_form_cannot_hold_is_refused_and_nothing_is_booked(
    paid: PayoutBook,
) -> None:
    rows = "T1,A\N{GRINNING FACE},2020-10-01,purchase,4000"
    accounts = ("A\N{GRINNING FACE}",)
    paid.run("2020-10-02", rows, accounts, services=service('{ when = "at_once" }'))
    arguments = [
        "payout",
        str(paid.path),
        "--due-by",
        "2020-10-02",
        "--out",
        str(paid.folder / "x"),
    ]
    arguments += ["--layout", str(paid.file("form.toml", FORM))]
    with pytest.raises(InputError, match=r"U\+1F600 is not in cp932"):
        call(arguments)
    assert not (paid.path / "payout_runs").exists()
    assert len(paid.pay("2020-10-02")) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--layout", "a.toml", "--layout", "b.toml"], "--layout, given twice"),
        (["--layout", "nowhere.toml"], "no such file"),
        (["--set", "account_id=A1"], "--set"),
    ],
)
def test_what_says_nothing_of_files_that_are_written_is_refused(
    more: list[str], words: str, coins: PayoutBook
) -> None:
    arguments = ["payout", str(coins.path), "--due-by", "2020-10-02", "--out", str(coins.folder)]
    with pytest.raises(InputError, match=words):
        call([*arguments, *more])

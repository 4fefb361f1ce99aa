"""claim --granted: what was granted, less what was taken back, less what lapses."""

import json
from pathlib import Path

import openpyxl
import polars as pl
import pytest
from payout_books import PayoutBook, paid, service

from engine.errors import InputError
from pipelines.cli import call

__all__ = ["paid"]


@pytest.fixture
def granted(paid: PayoutBook) -> PayoutBook:
    """200 accounts that were granted 5,000 points each, of four of whom 5,000 were taken back."""
    accounts = tuple(f"A{number:03}" for number in range(200))
    services = service('{ when = "at_once", take_back_from = 2020-11-01 }')
    services = services.replace("payout", "lapse_rate = [3, 100]\npayout")
    services += '[services.sources]\nlapse_rate = "filed in a test"\n'
    rows = [f"T-{account},{account},2020-10-01,purchase,20000" for account in accounts]
    paid.run("2020-10-02", " ".join(rows), accounts, services=services)
    lines = paid.pay("2020-10-02")
    paid.answer(*(f"{line['payout_id']},done,,2020-10-03," for line in lines))
    rows = [
        f"R-{account},{account},2020-10-04,refund,20000,T-{account}" for account in accounts[:4]
    ]
    paid.run("2020-10-05", " ".join(rows))
    taken = paid.pay("2020-11-01")
    paid.answer(*(f"{line['payout_id']},done,,2020-10-30," for line in taken))
    return paid


def said(
    book: PayoutBook, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, dict[str, int]]:
    capsys.readouterr()
    assert call(["claim", str(book.path), "--granted", "--json", *more]) == 0
    value: dict[str, dict[str, int]] = json.loads(capsys.readouterr().out)
    return value


def test_a_million_granted_20_000_taken_back_and_3_percent_come_to_950_600(
    granted: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    total = said(granted, capsys, "--month", "2020-10")["total"]
    assert total == {
        "granted": 1_000_000,
        "taken_back": 20_000,
        "net": 980_000,
        "lapse": 29_400,
        "claimed_before": 0,
        "claimed": 950_600,
    }


def test_in_the_end_the_expected_lapse_is_held_against_the_actual_both_ways(
    granted: PayoutBook, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(granted, capsys, "--final")["total"]["claimed"] == 29_400
    for lapsed, balance in ((9_400, 20_000), (49_400, -20_000)):
        value = said(granted, capsys, "--final", "--lapsed", f"coin={lapsed}")
        assert value["total"]["claimed"] == balance
    assert value["bridge"]["coin"]["granted"] == 1_000_000  # type: ignore[index]


def test_the_claim_is_written_to_a_folder(granted: PayoutBook, tmp_path: Path) -> None:
    out = tmp_path / "claim"
    for lang in ("ja", "en"):
        arguments = ["claim", str(granted.path), "--granted", "--final"]
        to = ["--out", str(out)] if lang == "ja" else []
        assert call([*arguments, "--lang", lang, *to]) == 0
    assert pl.read_parquet(out / "claim.parquet")["net"].to_list() == [980_000]
    assert sorted(path.name for path in out.iterdir()) == [
        "claim.csv",
        "claim.json",
        "claim.parquet",
        "claim.xlsx",
    ]
    book = openpyxl.load_workbook(out / "claim.xlsx", read_only=True)
    assert book.sheetnames == ["表紙", "請求", "付与の内訳"]
    cover = {row[0]: row[1] for row in book["表紙"].iter_rows(values_only=True)}
    assert cover["失効見込率 coin"] == "3/100"
    claimed = list(book["請求"].iter_rows(values_only=True))
    assert claimed[1][:4] == ("coin", 1_000_000, 20_000, 980_000)
    assert claimed[-1] == ("合計", *claimed[1][1:])
    bridge = list(book["付与の内訳"].iter_rows(values_only=True))
    assert bridge[1][:4] == ("coin", 980_000, 1_000_000, 20_000)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--granted"],
        ["--granted", "--month", "2020-09"],
        ["--granted", "--month", "2020-10", "--lapsed", "coin=1"],
        ["--granted", "--final", "--lapsed", "coin"],
        ["--final", "--lapsed", "coin=1"],
    ],
)
def test_what_cannot_be_claimed_is_refused(granted: PayoutBook, arguments: list[str]) -> None:
    with pytest.raises(InputError):
        call(["claim", str(granted.path), *arguments])

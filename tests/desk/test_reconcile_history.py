"""`reconcile --history`: differences have a life; claims in the forms that people write."""

import csv
import hashlib
import io
import json
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deliveries import Desk, as_csv, bodies, enrollment, transaction

import mynapoint
from pipelines.cli import call

SHA256 = hashlib.sha256(b"the operator's letter").hexdigest()
LAYOUT = """
layout_id = "operator-claim"
name = "請求書"
role = "claims"
follows = "the operator's spreadsheet, saved as CSV"

[file]
encoding = "cp932"
header = ["サービス", "決済サービスID", "請求ポイント"]

[columns.service_id]
from = "サービス"
map = { "コイン" = "coin", "タップ" = "tap" }

[columns]
account_id = { from = "決済サービスID" }
points = { from = [{ amount = "請求ポイント" }] }

[[skip]]
reason = "total"
column = "サービス"
is = ["合計"]
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Four accounts, with 1,000, 2,000, 3,000 and 4,000 points; one has zeros ahead."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    accounts = ["A1", "A2", "0012", "B 4"]
    desk.enrollments = desk.write(
        "enrollments.csv",
        as_csv([enrollment(n, account_id=account) for n, account in enumerate(accounts)]),
    )
    rows = [
        transaction(n, account_id=account, amount=str(4000 * (n + 1)))
        for n, account in enumerate(accounts)
    ]
    desk.run(desk.transactions(rows))
    return desk


def claimed(folder: Path, **points: int | None) -> Path:
    """A claim by account, as the ledger has it but for what is given."""
    by_account: dict[str, int | None] = {"A1": 1000, "A2": 2000, "0012": 3000, "B 4": 4000}
    by_account |= {name.replace("_", " "): value for name, value in points.items()}
    rows = [
        f"coin,{account},{value}\n" for account, value in by_account.items() if value is not None
    ]
    path = folder / "claim.csv"
    path.write_text("service_id,account_id,points\n" + "".join(rows))
    return path


def reconciled(
    desk: Desk, claim: Path, capsys: pytest.CaptureFixture[str], *options: object
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = call(["reconcile", str(desk.book), str(claim), *map(str, options), "--json"])
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, value


def breaks(folder: Path, name: str = "breaks") -> list[dict[str, Any]]:
    frame = pl.read_parquet(folder / f"{name}.parquet")
    rows = list(csv.DictReader(io.StringIO((folder / f"{name}.csv").read_text("utf-8-sig"))))
    assert [row["difference_id"] for row in rows] == frame["difference_id"].to_list()
    return frame.rows(named=True)


def resolve(history: Path, *lines: tuple[str, str], encoding: str = "utf-8", **more: str) -> None:
    """Writes down what was decided of differences: their IDs, and the words."""
    path = history / "resolutions.csv"
    given = {"by": "監査人 山田", "on": "2021/4/1", "sha": SHA256, "note": "確認済み"} | more
    text = path.read_text("utf-8-sig")
    for difference_id, word in lines:
        text += (
            f"{difference_id},{word},{given['by']},{given['on']},{given['sha']},{given['note']}\n"
        )
    path.write_text(text, encoding=encoding)


def open_and_resolved(value: dict[str, Any]) -> tuple[int, int]:
    """How many are open and resolved; together they are all, to the point."""
    sides = [value["breaks"].values(), value["resolved"].values()]
    points = sum(figures["difference"] for side in sides for figures in side)
    assert value["ledger_points"] + points == value["claim_points"]
    found = [sum(figures["rows"] for figures in side) for side in sides]
    return found[0], found[1]


def test_the_next_reconciliation_shows_only_what_is_open(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim, history = claimed(tmp_path, A1=1500, A2=None, X9=7), tmp_path / "history"
    code, value = reconciled(desk, claim, capsys, "--history", history)
    assert (code, open_and_resolved(value)) == (1, (3, 0))
    first = {row["account_id"]: row["difference_id"] for row in breaks(history / "000001")}
    resolve(history, (first["A1"], "accepted"), (first["A2"], "disputed"))
    before = bodies(history / "000001")
    code, value = reconciled(desk, claim, capsys, "--history", history)
    assert (code, open_and_resolved(value)) == (1, (1, 2))
    assert value["resolved"] == {
        "accepted": {"rows": 1, "difference": 500},
        "disputed": {"rows": 1, "difference": -2000},
    }
    assert [row["account_id"] for row in breaks(history / "000002")] == ["X9"]
    resolved = {row["account_id"]: row for row in breaks(history / "000002", "resolved")}
    assert (resolved["A1"]["resolution"], resolved["A1"]["difference"]) == ("accepted", 500)
    assert (resolved["A1"]["resolved_by"], resolved["A1"]["evidence_sha256"]) == (
        "監査人 山田",
        SHA256,
    )
    resolve(history, (first["X9"], "corrected"))
    code, value = reconciled(desk, claim, capsys, "--history", history)
    assert (code, open_and_resolved(value)) == (0, (0, 3))
    # Nothing of before has changed, and each is tied to the one before it.
    assert bodies(history / "000001") == before
    summaries = [(history / f"00000{n}" / "summary.json").read_bytes() for n in (1, 2, 3)]
    for earlier, later in pairwise(summaries):
        kept = json.loads(later)["kept"]
        assert kept["previous_sha256"] == hashlib.sha256(earlier).hexdigest()
    assert (history / "000003" / "resolutions.csv").read_bytes() == (
        history / "resolutions.csv"
    ).read_bytes()
    for name, sha256 in json.loads(summaries[2])["files_sha256"].items():
        assert hashlib.sha256((history / "000003" / name).read_bytes()).hexdigest() == sha256
    for path in history.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) in (0o600, 0o700), path
    capsys.readouterr()
    call(["reconcile", str(desk.book), str(claim), "--history", str(history), "--lang", "ja"])
    assert "未解決の差異はありません" in capsys.readouterr().out


def test_a_difference_whose_figures_change_is_open_again(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history"
    reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)
    [first] = breaks(history / "000001")
    resolve(history, (first["difference_id"], "accepted"))
    assert reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)[0] == 0
    code, value = reconciled(desk, claimed(tmp_path, A1=1501), capsys, "--history", history)
    assert (code, open_and_resolved(value)) == (1, (1, 0))


def test_what_is_open_of_another_month_is_carried_until_it_is_resolved(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import datetime as dt

    desk, history = Desk(tmp_path), tmp_path / "history"
    for month in (9, 10):
        rows = [transaction(month, amount="4000")]
        desk.run(desk.transactions(rows), booked_on=dt.date(2020, month, 30))
    claim = tmp_path / "claim.csv"
    claim.write_text("service_id,account_id,points\ncoin,A1,900\n")
    september = ("--month", "2020-09", "--history", history)
    october = ("--month", "2020-10", "--history", history)
    assert reconciled(desk, claim, capsys, *september)[0] == 1
    claim.write_text("service_id,account_id,points\ncoin,A1,1000\n")
    code, value = reconciled(desk, claim, capsys, *october)
    assert (code, open_and_resolved(value)) == (1, (0, 0))
    assert (value["kept"]["carried_rows"], value["kept"]["carried_difference"]) == (1, -100)
    [carried] = breaks(history / "000002", "carried")
    assert (carried["reconciliation"], carried["month_compared"]) == ("000001", "2020-09")
    assert breaks(history / "000002", "carried_resolved") == []
    resolve(history, (carried["difference_id"], "corrected"))
    code, value = reconciled(desk, claim, capsys, *october)
    assert (code, value["kept"]["carried_rows"]) == (0, 0)
    # It does not vanish: open and resolved, it is all that was carried.
    kept = value["kept"]
    assert (kept["carried_resolved_rows"], kept["carried_resolved_difference"]) == (1, -100)
    assert breaks(history / "000003", "carried") == []
    [resolved] = breaks(history / "000003", "carried_resolved")
    assert {name: resolved[name] for name in carried} == carried
    assert (resolved["resolution"], resolved["resolved_by"]) == ("corrected", "監査人 山田")
    assert resolved["evidence_sha256"] == SHA256


def test_resolutions_are_read_as_spreadsheet_programs_save_them(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history"
    reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)
    [first] = breaks(history / "000001")
    resolve(history, (first["difference_id"], "accepted"), encoding="cp932")
    assert reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)[0] == 0


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"word": "agreed"}, 'resolution cannot be "agreed"'),
        ({"sha": ""}, "evidence_sha256 is empty"),
        ({"sha": "abc"}, 'evidence_sha256 cannot be "abc"'),
        ({"by": ""}, "resolved_by is empty"),
        ({"on": "April"}, "resolved_on is not a day"),
        ({"id": "d12"}, 'difference_id cannot be "d12"'),
        ({"twice": "yes"}, "is resolved twice"),
        ({"note": "x" * 1_100_000}, "field larger than"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_resolution_that_cannot_be_understood_is_refused(
    desk: Desk,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    line: dict[str, str],
    why: str,
) -> None:
    history = tmp_path / "history"
    reconciled(desk, claimed(tmp_path), capsys, "--history", history)
    known = (line.get("id", "d" + "0" * 16), line.get("word", "accepted"))
    resolve(history, *[known] * (2 if "twice" in line else 1), **line)
    before = bodies(history)
    with pytest.raises(mynapoint.InputError, match=why):
        call(["reconcile", str(desk.book), str(claimed(tmp_path)), "--history", str(history)])
    assert bodies(history) == before


def test_the_policy_says_whether_evidence_is_needed(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "history"
    reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)
    [first] = breaks(history / "000001")
    resolve(history, (first["difference_id"], "accepted"), sha="")
    (history / "policy.toml").write_text("evidence_required = false\n")
    assert reconciled(desk, claimed(tmp_path, A1=1500), capsys, "--history", history)[0] == 0
    for text, why in (
        ("evidence = true", "there is no key evidence"),
        ("layout = 1", "wrong type"),
    ):
        (history / "policy.toml").write_text(text)
        with pytest.raises(mynapoint.InputError, match=why):
            call(["reconcile", str(desk.book), str(claimed(tmp_path)), "--history", str(history)])


def test_a_reconciliation_that_was_changed_afterwards_is_noticed(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, claim = tmp_path / "history", claimed(tmp_path, A1=1500)
    for _ in range(2):
        reconciled(desk, claim, capsys, "--history", history)
    emptied = history / "000001" / "breaks.parquet"
    kept = emptied.read_bytes()
    pl.read_parquet(emptied).clear().write_parquet(emptied)
    with pytest.raises(mynapoint.InputError, match="this is not the file that"):
        call(["reconcile", str(desk.book), str(claim), "--history", str(history)])
    emptied.write_bytes(kept)
    summary = history / "000001" / "summary.json"
    summary.write_text(summary.read_text("utf-8").replace("1500", "1501") + " ")
    with pytest.raises(mynapoint.InputError, match="does not follow"):
        call(["reconcile", str(desk.book), str(claim), "--history", str(history)])


def test_a_folder_is_of_one_book_and_goes_on_in_time(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, claim = tmp_path / "history", claimed(tmp_path, A1=1500)
    other = Desk(tmp_path / "other")
    for night in (1, 2):
        other.run(other.transactions([transaction(night, amount="4000")]))
    line = ["reconcile", str(other.book), str(claim), "--history", str(history)]
    assert call(line) == 1
    with pytest.raises(mynapoint.InputError, match="a later state of the book"):
        call([*line, "--as-of", "1"])
    with pytest.raises(mynapoint.InputError, match="another book"):
        call(["reconcile", str(desk.book), str(claim), "--history", str(history)])
    assert reconciled(other, claim, capsys, "--history", history)[0] == 1


def test_wrong_usage_is_said_so(desk: Desk, tmp_path: Path) -> None:
    claim = str(claimed(tmp_path))
    for options, why in (
        ([], "one of --out and --history"),
        (["--out", "x", "--history", "y"], "one of --out and --history"),
        (["--out", str(tmp_path / "x"), "--set", "a=b"], "it is for a layout"),
        (["--history", str(desk.book / "history")], "within the book"),
    ):
        with pytest.raises(mynapoint.InputError, match=why):
            call(["reconcile", str(desk.book), claim, *options])


# --- Claims as they are written -------------------------------------------------------------------


@pytest.mark.parametrize("month", [None, "2021-03"])
def test_whatever_claim_writes_agrees_with_the_ledger(
    six_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], month: str | None
) -> None:
    what = ["--final"] if month is None else ["--month", month]
    call(["claim", str(six_nights), *what, "--out", str(tmp_path / "claim")])
    files = sorted([*(tmp_path / "claim").glob("*.csv"), *(tmp_path / "claim").glob("*.parquet")])
    assert len(files) == (4 if month is None else 2)
    for file in files:
        out = ["--out", str(tmp_path / f"{file.name}-out")]
        options = [] if month is None else ["--month", month]
        assert call(["reconcile", str(six_nights), str(file), *options, *out]) == 0, file
    capsys.readouterr()
    claim = tmp_path / "claim" / "claim.csv"
    claim.write_text(claim.read_text("utf-8").replace("paypay,", "paypal,", 1), "utf-8")
    options = [] if month is None else ["--month", month]
    changed = tmp_path / "changed"
    assert call(["reconcile", str(six_nights), str(claim), *options, "--out", str(changed)]) == 1
    assert {row["kind"] for row in breaks(changed)} == {"missing_in_claim", "missing_in_ledger"}


def test_a_service_that_is_called_like_a_formula_agrees_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.services = desk.write(
        "services.toml", '[[services]]\nservice_id = "=1+1"\nname = "="\nbasis = "purchase"\n'
    )
    desk.enrollments = desk.write("e.csv", as_csv([enrollment(1, service_id="=1+1")]))
    desk.run(desk.transactions([transaction(1, service_id="=1+1", amount="4000")]))
    call(["claim", str(desk.book), "--final", "--out", str(tmp_path / "claim")])
    claim = tmp_path / "claim" / "claim.csv"
    assert "'=1+1" in claim.read_text("utf-8")
    code, value = reconciled(desk, claim, capsys, "--out", tmp_path / "out")
    assert (code, value["claim_points"]) == (0, 1000)


def test_a_claim_is_read_by_a_layout(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CP932, Japanese headers, thousands, full-width digits, a total at the end."""
    (tmp_path / "layout.toml").write_text(LAYOUT, "utf-8")
    claim = tmp_path / "請求.csv"
    claim.write_text(
        'サービス,決済サービスID,請求ポイント\nコイン,A1,"1,000"\nコイン,A2,２０００\n'
        'コイン,0012,3000\nコイン,B 4,4000\n合計,,"10,000"\n',
        "cp932",
    )
    options = ("--layout", tmp_path / "layout.toml", "--out")
    code, value = reconciled(desk, claim, capsys, *options, tmp_path / "out")
    assert (code, value["claim_points"], value["claim"]["rows"]) == (0, 10_000, 4)
    assert (value["claim"]["layout"], value["claim"]["skipped"]) == ("operator-claim", {"total": 1})
    claim.write_text(claim.read_text("cp932").replace("3000", "2999"), "cp932")
    # The history's policy may name it, too.
    history = tmp_path / "history"
    history.mkdir()
    (history / "claims.toml").write_text(LAYOUT, "utf-8")
    (history / "policy.toml").write_text('layout = "claims.toml"\n')
    code, value = reconciled(desk, claim, capsys, "--history", history)
    assert (code, value["difference"]) == (1, -1)
    for wrong, why in (
        ("コイン,A1,多い", "row 1 cannot be read|not a whole number"),
        ("ペイ,A1,1", "row 1"),
    ):
        claim.write_text(f"サービス,決済サービスID,請求ポイント\n{wrong}\n", "cp932")
        with pytest.raises(mynapoint.InputError, match=why):
            reconciled(desk, claim, capsys, *options, tmp_path / "wrong")
    with pytest.raises(mynapoint.InputError, match="is one of transactions"):
        reconciled(desk, claim, capsys, "--layout", "waon", "--out", tmp_path / "wrong")


def test_keys_that_would_meet_are_counted_and_named(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = claimed(tmp_path, **{"0012": None, "A2": None, "A1": None})
    text = claim.read_text() + "coin,12,3000\ncoin,'A2,2000\ncoin, A1,1000\ncoin,9,5\n"
    claim.write_text(text)
    code, value = reconciled(desk, claim, capsys, "--out", tmp_path / "out")
    assert code == 1
    assert value["keys_that_meet_without"] == {"blanks": 1, "apostrophes": 1, "leading_zeros": 1}
    met = {row["account_id"]: row["meets"] for row in breaks(tmp_path / "out")}
    assert met == {
        "12": "0012",
        "'A2": "A2",
        " A1": "A1",
        "9": None,
        "0012": "12",
        "A2": "'A2",
        "A1": " A1",
    }
    capsys.readouterr()
    call(["reconcile", str(desk.book), str(claim), "--out", str(tmp_path / "two"), "--lang", "en"])
    assert (
        "keys of the claim that are in the ledger but for zeros ahead: 1" in capsys.readouterr().out
    )

"""A book as it was after a run, what changed between two, and filed claims against today's."""

import datetime as dt
import json
import shutil
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
from deliveries import Desk, enrollment, transaction

from engine.errors import InputError
from engine.io.book.payouts import PayoutBook
from pipelines.cli import call

RUNS = 4
AS_OF = 2
SCHEMA = json.loads(files("pipelines.verify").joinpath("verification.schema.json").read_text())
CLOSED = """\
[[services]]
service_id = "coin"
name = "Coin"
basis = "purchase"

[[services]]
service_id = "tap"
name = "Tap"
basis = "charge"
rounding = "month"
awards_close_on = 2021-01-31
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Four runs in two months, with a refund, a void, new terms, and payout runs between."""
    desk = Desk(tmp_path_factory.mktemp("time"))
    people = [enrollment(n) for n in range(1, 5)]
    for run in range(1, RUNS + 1):
        rows = [
            transaction(run * 10 + n, account_id=f"A{n}", amount=f"{run}00{n}") for n in range(1, 5)
        ]
        rows.append(transaction(run * 10 + 5, account_id="A9"))
        rows.append(transaction(run * 10 + 6, amount="many"))
        if run > 1:
            refund = {"kind": "refund", "original_transaction_id": f"T{run * 10 - 9}"}
            rows.append(transaction(run * 10 + 7, **refund))
        file = desk.transactions(rows, f"transactions-{run}.csv")
        events = []
        if run == RUNS:
            void = "E1,transaction_voided,city,coin,T32"
            header = "event_id,kind,authority,service_id,transaction_id"
            events = [desk.write("events.csv", f"{header}\n{void}\n")]
            desk.write("services.toml", CLOSED)
        late = [enrollment(9)] if run == 3 else []
        enrolled = desk.write(f"enrollments-{run}.csv", _csv(people if run == 1 else late))
        desk.run(
            file,
            booked_on=dt.date(2020, 9 + (run + 1) // 2, 20 + run),
            enrollments=[enrolled],
            events=events,
        )
        pay(desk, "--due-by", f"2020-{9 + (run + 1) // 2}-{20 + run}", "--out", f"paid-{run}")
    payouts = pl.read_csv(desk.folder / "paid-1" / "payouts-000001-coin.csv")
    answers = "".join(f"{payout_id},done,,2020-10-22,\n" for payout_id in payouts["payout_id"])
    path = desk.write("answers.csv", f"payout_id,outcome,points,answered_on,code\n{answers}")
    pay(desk, "--answers", str(path))
    return desk


def _csv(rows: list[dict[str, str]]) -> str:
    header = list(enrollment(1))
    return "\n".join(",".join(row) for row in (header, *(row.values() for row in rows))) + "\n"


def pay(desk: Desk, *words: str) -> None:
    out = [str(desk.folder / word) if word.startswith("paid") else word for word in words]
    assert call(["payout", str(desk.book), *out]) == 0


@pytest.fixture(scope="module")
def cut(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the book, cut at a run."""
    book = Path(shutil.copytree(desk.book, tmp_path_factory.mktemp("cut") / "book"))
    shutil.rmtree(book / "index")
    for number in range(AS_OF + 1, RUNS + 1):
        shutil.rmtree(book / "runs" / f"{number:06}")
        for path in (book / "ledger").glob(f"{number:06}-*"):
            path.unlink()
        (book / "ledger" / "_delta_log" / f"{number - 1:020}.json").unlink()
    (book / ".acknowledged").write_text(f"{AS_OF}\n")
    payouts = PayoutBook(book)
    for number in range(RUNS + 1, 0, -1):
        record = payouts.payout_record(number)
        if int(record.run_id) > AS_OF:
            shutil.rmtree(payouts.run_folder(number))
            payouts.commit_file(number).unlink()
            for path in payouts.ledger.glob(f"{number:06}-*"):
                path.unlink()
            (book / ".payouts-acknowledged").write_text(f"{number - 1}\n")
    return book


def said(*words: object, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    capsys.readouterr()
    code = call([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "--person", "P1", "--declined"),
        ("explain", "--person", "P1", "--json"),
        ("explain", "--transaction", "coin", "T11"),
        ("explain", "--transaction", "coin", "T25"),
        ("explain", "--transaction", "coin", "T31"),
        ("claim", "--final"),
        ("claim", "--month", "2020-10", "--json"),
        ("claim", "--granted", "--final", "--json"),
        ("report", "--out", "OUT.html"),
    ],
    ids=" ".join,
)
def test_a_command_as_of_a_run_is_the_same_on_a_copy_cut_at_that_run(
    desk: Desk,
    cut: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    name, *options = words
    results = []
    for number, (book, as_of) in enumerate(((desk.book, ["--as-of", "000002"]), (cut, []))):
        page = tmp_path / str(number) / "report.html"
        page.parent.mkdir()
        given = [str(page) if option == "OUT.html" else option for option in options]
        code, out, err = said(name, book, *given, *as_of, capsys=capsys)
        text = page.read_text() if page.exists() else out
        assert err == ""
        results.append((code, text.replace(str(book), "BOOK")))
    assert results[0] == results[1]


def test_a_claim_is_reconciled_with_the_book_as_it_was(
    desk: Desk, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said("claim", cut, "--final", "--out", tmp_path / "claim", capsys=capsys)[0] == 0
    months = tmp_path / "claim" / "months.csv"
    then = ["reconcile", desk.book, months, "--out", tmp_path / "then", "--as-of", AS_OF, "--json"]
    code, out, _ = said(*then, capsys=capsys)
    on_copy = ["reconcile", cut, months, "--out", tmp_path / "copy", "--json"]
    other_code, other, _ = said(*on_copy, capsys=capsys)
    assert code == other_code == 0
    assert out.replace(str(desk.book), "BOOK") == other.replace(str(cut), "BOOK")
    assert said("reconcile", desk.book, months, "--out", tmp_path / "now", capsys=capsys)[0] == 1


@pytest.mark.parametrize("run", ["0", "5", "000005"])
def test_a_run_that_is_not_there_is_named(desk: Desk, run: str) -> None:
    with pytest.raises(InputError, match=r"there is no run 5, the last is 4|--as-of"):
        call(["claim", str(desk.book), "--final", "--as-of", run])


# --- What changed ---------------------------------------------------------------------------------


def test_what_changed_between_two_runs_adds_up_to_the_claims_at_both(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def points(run: int) -> int:
        line = ["claim", desk.book, "--final", "--as-of", run, "--json"]
        return int(json.loads(said(*line, capsys=capsys)[1])["total"]["points"])

    line = ["diff", desk.book, "2", "000004", "--json", "--out", tmp_path / "changed"]
    code, out, _ = said(*line, capsys=capsys)
    value = json.loads(out)
    assert code == 0
    assert value["runs"] == ["000003", "000004"]
    assert sum(line["points"] for line in value["services"]) == points(4) - points(2)
    people = pl.read_parquet(tmp_path / "changed" / "people.parquet")
    assert people["difference"].sum() == points(4) - points(2)
    assert value["people"]["with_entries"] == people.height
    assert value["rows"]["voided"] == 1
    assert value["rows"]["enrollments:accepted"] == 1
    rows = value["rows"]
    came = rows["read"] + rows["reconsidered"]
    assert rows["reconsidered"] > 0
    assert came == sum(
        number
        for what, number in rows.items()
        if what in ("booked", "quarantined", "skipped") or what.startswith("declined:")
    )
    assert rows["enrollments:read"] == rows["enrollments:accepted"]
    [change] = value["terms"]
    assert change == {
        "run": change["run"],
        "what": "service tap: awards_close_on",
        "before": None,
        "after": "2021-01-31",
    }
    assert change["run"] in value["runs"]


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ("What the runs after 000003, up to 000004, changed", "transactions voided")),
        ("ja", ("記帳回 000003 の後から 000004 までの変化", "取引: 訂正による取消")),
    ],
)
def test_people_read_what_changed(
    desk: Desk, lang: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said("diff", desk.book, "3", "4", "--lang", lang, capsys=capsys)
    assert code == 0
    for text in words:
        assert text in out


def test_the_earlier_run_is_named_first(desk: Desk) -> None:
    with pytest.raises(InputError, match="run 2 does not come after run 3"):
        call(["diff", str(desk.book), "3", "2"])


# --- Filed claims ---------------------------------------------------------------------------------


def filed(book: Path, path: Path, *words: object, capsys: pytest.CaptureFixture[str]) -> Path:
    path.write_text(said("claim", book, *words, "--json", capsys=capsys)[1])
    return path


def found(book: Path, *claims: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    words = [word for claim in claims for word in ("--claim", claim)]
    value: dict[str, Any] = json.loads(said("verify", book, *words, "--json", capsys=capsys)[1])
    jsonschema.validate(value, SCHEMA)
    return value


def test_filed_claims_are_held_against_todays_book(
    desk: Desk, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = [
        filed(cut, tmp_path / "month.json", "--month", "2020-10", capsys=capsys),
        filed(cut, tmp_path / "final.json", "--final", capsys=capsys),
        filed(desk.book, tmp_path / "granted.json", "--granted", "--final", capsys=capsys),
    ]
    value = found(desk.book, *claims, capsys=capsys)
    assert value["totals"] == {}
    # The book went on: what was claimed over all is more by now.
    assert value["remark_totals"] == {"claim_grown": 1}
    assert [Path(claim["claim"]).name for claim in value["claims"]] == [
        *("month.json", "final.json", "granted.json")
    ]
    edited = json.loads(claims[0].read_text())
    edited["services"][0]["points"] += 7
    claims[0].write_text(json.dumps(edited))
    value = found(desk.book, claims[0], capsys=capsys)
    points = edited["services"][0]["points"]
    assert [finding["what"] for finding in value["findings"]] == [
        f"coin: claim points {points}, book {points - 7}"
    ]
    # A book that is not the one that was claimed by.
    value = found(cut, claims[2], capsys=capsys)
    assert value["totals"] == {"claim": 1}


def test_what_is_not_a_claim_is_named(desk: Desk) -> None:
    with pytest.raises(InputError, match="not a claim"):
        call(["verify", str(desk.book), "--claim", str(desk.services)])


@pytest.mark.parametrize(
    ("harm", "fault"),
    [
        ({"month": 5}, "month is neither"),
        ({"month": "2021-13"}, "month is neither"),
        ({"total": None}, "total is missing"),
        ({"total": 3}, "total holds no sums"),
        ({"runs": None}, "runs is missing"),
        ({"payout_runs": "a"}, "payout_runs is not a number"),
        ({"payout_runs": 1}, "a service has no number of points as lapse"),
        ({"services": [{"points": 1}]}, "a service has no service_id"),
        ({"services": [{"service_id": "coin"}] * 2}, "a service is there twice"),
        ({"paid_to": "X"}, 'no claim has the key "paid_to"'),
    ],
)
def test_what_a_claim_lacks_is_named(
    cut: Path, tmp_path: Path, harm: dict[str, Any], fault: str
) -> None:
    value: dict[str, Any] = {
        "chain_sha256": "0",
        "last_run": "000001",
        "month": None,
        "services": [{"service_id": "coin"}],
        "total": {},
        "runs": [],
    }
    path = tmp_path / "claim.json"
    kept = {key: said for key, said in (value | harm).items() if said is not None or key == "month"}
    path.write_text(json.dumps(kept))
    with pytest.raises(InputError, match=fault):
        call(["verify", str(cut), "--claim", str(path)])


def test_a_claim_of_grants_holds_no_answers_that_came_later(
    desk: Desk, cut: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = filed(desk.book, tmp_path / "granted.json", "--granted", "--final", capsys=capsys)
    value = json.loads(path.read_text())
    before = said("claim", cut, "--granted", "--final", "--json", capsys=capsys)[1]
    path.write_text(json.dumps(value | {"chain_sha256": json.loads(before)["chain_sha256"]}))
    whats = [finding["what"] for finding in found(desk.book, path, capsys=capsys)["findings"]]
    assert "the claim has another payout_runs than the book" in whats
    assert "the claim has another last_run than the book" in whats
    # No run is of that month.
    path = filed(cut, tmp_path / "final.json", "--final", capsys=capsys)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"month": "2035-01"}))
    assert found(cut, path, capsys=capsys)["totals"] == {"claim": 1}


# --- The report -----------------------------------------------------------------------------------


def test_a_report_decides_again_from_the_deliveries(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [
        *("--transactions", desk.folder / "transactions-*.csv"),
        *("--enrollments", desk.folder / "enrollments-*.csv"),
        *("--events", desk.folder / "events.csv"),
    ]
    out = tmp_path / "report.html"
    line = ["report", desk.book, "--out", out, "--lang", "en"]
    code, _, err = said(*line, "--verify", *given, capsys=capsys)
    assert (code, err) == (0, "")
    text = out.read_text()
    assert "every run was decided again from its deliveries" in text
    assert "last hash of the chain of run records (SHA-256): " in text
    for words, error in (
        (given, "deliveries say nothing without --verify"),
        (["--verify", "--as-of", "2"], "--verify is of the whole book"),
    ):
        with pytest.raises(InputError, match=error):
            call([str(word) for word in (*line, *words)])


# --- CSV ------------------------------------------------------------------------------------------


def test_csv_files_open_in_a_spreadsheet_of_japan_and_are_read_again(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without its mark, Excel takes UTF-8 for CP932."""
    for name, words in (
        ("final", ("claim", desk.book, "--final")),
        ("granted", ("claim", desk.book, "--granted", "--final")),
        ("pending", ("pending", desk.book)),
        ("changed", ("diff", desk.book, "1", "4")),
    ):
        assert said(*words, "--out", tmp_path / name, capsys=capsys)[0] == 0
    files = sorted(tmp_path.rglob("*.csv"))
    assert len(files) >= 5
    for file in files:
        assert file.read_bytes().startswith(b"\xef\xbb\xbf"), file
    claim = tmp_path / "final" / "months.csv"
    line = ("reconcile", desk.book, claim, "--out", tmp_path / "breaks")
    assert said(*line, capsys=capsys)[0] == 0

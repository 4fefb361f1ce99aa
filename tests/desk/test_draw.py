"""`draw`: samples that anybody can draw again, and what a filled-in one says of the book."""

import csv
import hashlib
import json
import math
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from deliveries import Desk, bodies, transaction
from spreadsheets import rows_of

import mynapoint
from pipelines.cli import call
from pipelines.draw.evaluation import poisson_upper
from pipelines.draw.randomness import allocated

SEED = 20211021
Row = dict[str, str]


def drawn(book: Path, out: Path, *options: str, units: int = 60, seed: int = SEED) -> list[Row]:
    arguments = ["--units", str(units), "--seed", str(seed), "--out", str(out), "--lang", "en"]
    assert call(["draw", str(book), *arguments, *options]) == 0
    return rows_of(out / "sample.csv")


@pytest.fixture(scope="module")
def drawn_once(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample of the sample's book, not filled in; only to copy."""
    folder = tmp_path_factory.mktemp("drawn") / "sample"
    drawn(six_nights, folder)
    return folder


@pytest.fixture
def sheet(drawn_once: Path, tmp_path: Path) -> Path:
    """A copy of it to fill in."""
    return Path(shutil.copytree(drawn_once, tmp_path / "sample"))


def fill(folder: Path, audited: Callable[[Row], int | str], *, encoding: str = "utf-8") -> None:
    """Fills a sheet in, as somebody at a spreadsheet does."""
    rows = [row | {"audited_points": str(audited(row))} for row in rows_of(folder / "sample.csv")]
    write(folder, rows, encoding)


def fill_workbook(file: Path, audited: Callable[[int], float | str]) -> None:
    """Fills the workbook in and saves it; ``audited`` is of the booked points."""
    workbook = openpyxl.load_workbook(file)
    sheet = workbook["sample"]
    names = [cell.value for cell in sheet[1]]
    booked, filled = names.index("book_points") + 1, names.index("audited_points") + 1
    for row in range(2, sheet.max_row + 1):
        sheet.cell(row, filled, audited(sheet.cell(row, booked).value))
    workbook.save(file)


def write(folder: Path, rows: list[Row], encoding: str = "utf-8") -> None:
    with (folder / "sample.csv").open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def evaluated(
    book: Path, folder: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = call(["draw", str(book), "--evaluate", str(folder), "--json", *options])
    value: dict[str, Any] = json.loads(capsys.readouterr().out)["evaluation"]
    return code, value


def as_booked(row: Row) -> str:
    return row["book_points"]


def test_the_seed_alone_says_which_points_are_drawn(six_nights: Path, tmp_path: Path) -> None:
    """Once more by the words of the guide, point by point."""
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet").sort(
        "run_id", "person_id", "entry_seq"
    )
    points = [
        (run, person, str(seq))
        for run, person, seq, awarded in ledger.select(
            "run_id", "person_id", "entry_seq", "points"
        ).iter_rows()
        for _ in range(awarded)
    ]
    total, units = len(points), 60
    expected = []
    for cell in range(units):
        first, after = total * cell // units, total * (cell + 1) // units
        digest = hashlib.sha256(f"{SEED}:cell:{cell}".encode()).hexdigest()
        expected.append(points[first + int(digest, 16) % (after - first)])
    rows = drawn(six_nights, tmp_path / "one")
    found = [
        (row["run_id"], row["person_id"], row["entry_seq"])
        for row in rows
        for _ in range(int(row["hits"]))
    ]
    assert found == expected
    assert all(row["why"] and row["audited_points"] == "" for row in rows)
    again, other = tmp_path / "again", tmp_path / "other"
    assert drawn(six_nights, again) == rows
    assert bodies(again)["sample.csv"] == bodies(tmp_path / "one")["sample.csv"]
    assert bodies(again)["sample.xlsx"] == bodies(tmp_path / "one")["sample.xlsx"]
    assert drawn(six_nights, other, seed=SEED + 1) != rows


def test_an_award_of_an_interval_or_more_is_always_drawn(six_nights: Path, tmp_path: Path) -> None:
    ledger = pl.read_parquet(six_nights / "ledger" / "*.parquet")
    units = 900
    interval = ledger["points"].clip(0).sum() / units
    large = ledger.filter(pl.col("points") >= 2 * interval)
    assert large.height > 10
    rows = drawn(six_nights, tmp_path / "sample", units=units)
    assert set(large["transaction_id"]) <= {row["transaction_id"] for row in rows}
    assert sum(int(row["hits"]) for row in rows) == units
    assert all(int(row["book_points"]) > 0 for row in rows)


def test_a_stratified_sample_has_rows_of_each_service_booked_and_declined(
    six_nights: Path, tmp_path: Path
) -> None:
    rows = drawn(six_nights, tmp_path / "sample", "--method", "stratified", units=120)
    assert len(rows) == 120
    description = json.loads((tmp_path / "sample" / "sample.json").read_text("utf-8"))
    sizes = {stratum["name"]: stratum["rows"] for stratum in description["strata"]}
    kept = sum(
        pl.read_parquet(six_nights / pattern).height
        for pattern in ("ledger/*.parquet", "runs/*/declined.parquet")
    )
    assert sum(sizes.values()) == kept
    for name, size in sizes.items():
        of_stratum = [row for row in rows if row["stratum"] == name]
        assert len(of_stratum) >= min(2, size)
    assert {row["outcome"] == "booked" for row in rows} == {True, False}
    assert all(row["book_points"] == "0" and row["why"] for row in rows if row["person_id"] == "")
    keys = [
        tuple(row[name] for name in ("run_id", "outcome", "transaction_id", "kind")) for row in rows
    ]
    assert len(set(keys)) == len(rows)
    with pytest.raises(mynapoint.InputError, match="too few for"):
        drawn(six_nights, tmp_path / "few", "--method", "stratified", units=10)


def test_units_are_given_to_strata_by_size_and_none_are_lost() -> None:
    assert allocated({"a": 100, "b": 50, "c": 1}, 30, 2) == {"a": 19, "b": 10, "c": 1}
    assert allocated({"a": 3, "b": 3}, 100, 2) == {"a": 3, "b": 3}


def test_a_month_is_drawn_from_alone(six_nights: Path, tmp_path: Path) -> None:
    rows = drawn(six_nights, tmp_path / "sample", "--month", "2020-11", units=20)
    assert {row["run_id"] for row in rows} == {"000001"}
    with pytest.raises(mynapoint.InputError, match="no run was booked in 2020-12"):
        drawn(six_nights, tmp_path / "none", "--month", "2020-12")


def test_the_sheet_is_its_owners_and_names_are_no_formulas(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, transaction_id="=1+1", amount="4000")]))
    [row] = drawn(desk.book, tmp_path / "sample", units=1)
    assert row["transaction_id"] == "'=1+1"
    for file in (tmp_path / "sample").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    sheet = openpyxl.load_workbook(tmp_path / "sample" / "sample.xlsx")["sample"]
    assert [cell.value for cell in sheet[2]][9] == "=1+1"
    assert sheet.cell(2, 10).data_type == "s"
    with pytest.raises(mynapoint.InputError, match="there is something already"):
        drawn(desk.book, tmp_path / "sample", units=1)


# --- What it says ---------------------------------------------------------------------------------


def test_the_factors_are_those_of_the_textbooks() -> None:
    assert [round(poisson_upper(k, 95), 2) for k in range(4)] == [3.0, 4.74, 6.3, 7.75]
    assert [round(poisson_upper(k, 90), 2) for k in range(3)] == [2.3, 3.89, 5.32]
    assert round(poisson_upper(0, 99), 2) == 4.61


def test_without_an_error_the_limit_is_three_intervals(
    six_nights: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(sheet, as_booked)
    code, value = evaluated(six_nights, sheet, capsys)
    assert (code, value["units_in_error"]) == (0, 0)
    limit = math.ceil(759_814 / 60 * -math.log(0.05))
    assert value["too_many"] == {"found": 0, "projected": 0, "upper": limit}
    assert value["too_few"] == {"found": 0, "projected": 0, "upper": None}
    _, less = evaluated(six_nights, sheet, capsys, "--confidence", "80")
    assert less["too_many"]["upper"] < limit


def test_a_sheet_may_be_filled_in_as_a_workbook(
    six_nights: Path,
    drawn_once: Path,
    sheet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = sheet
    fill(folder, lambda row: int(row["book_points"]) // 2)
    as_csv = evaluated(six_nights, folder, capsys)
    again = Path(shutil.copytree(drawn_once, tmp_path / "again"))
    # Some programs keep every number as one with a fraction.
    fill_workbook(again / "sample.xlsx", lambda points: float(points // 2))
    assert evaluated(six_nights, again, capsys) == as_csv
    workbook = again / "sample.xlsx"
    elsewhere = evaluated(six_nights, folder, capsys, "--sheet", str(workbook))
    assert elsewhere == as_csv
    # Nobody knows which of two is meant.
    shutil.copy(workbook, folder / "sample.xlsx")
    with pytest.raises(mynapoint.InputError, match="were both changed"):
        evaluated(six_nights, folder, capsys)


@pytest.mark.parametrize(
    ("audited", "says"),
    [("", "audited_points is empty"), (0.5, "is not a whole number"), ("x", "not a whole number")],
)
def test_a_workbook_that_is_not_filled_in_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], audited: float | str, says: str
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, amount="4000")]))
    drawn(desk.book, tmp_path / "sample", units=1)
    fill_workbook(tmp_path / "sample" / "sample.xlsx", lambda _: audited)
    with pytest.raises(mynapoint.InputError, match=says):
        evaluated(desk.book, tmp_path / "sample", capsys)


def test_what_is_no_workbook_of_a_sample_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, amount="4000")]))
    drawn(desk.book, tmp_path / "sample", units=1)
    other, broken = tmp_path / "other.xlsx", tmp_path / "broken.xlsx"
    openpyxl.Workbook().save(other)
    broken.write_bytes(b"PK\x03\x04")
    for sheet, says in ((other, "no sheet of the workbook"), (broken, "cannot be read")):
        with pytest.raises(mynapoint.InputError, match=says):
            evaluated(desk.book, tmp_path / "sample", capsys, "--sheet", str(sheet))


def test_errors_are_projected_by_their_taintings(
    six_nights: Path, sheet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Units 3 and 5 are half and wholly wrong, unit 7 had too little."""
    rows = rows_of(sheet / "sample.csv")
    points = {row["unit"]: int(row["book_points"]) for row in rows}
    audited = {"3": points["3"] // 2, "5": 0, "7": points["7"] + 10}
    fill(sheet, lambda row: audited.get(row["unit"], points[row["unit"]]))
    code, value = evaluated(six_nights, sheet, capsys, "--out", str(tmp_path / "evaluation"))
    assert (code, value["units_in_error"]) == (1, 3)
    interval = 759_814 / 60
    taint = (points["3"] - audited["3"]) / points["3"]
    over = value["too_many"]
    assert over["found"] == points["3"] - audited["3"] + points["5"]
    assert over["projected"] == round(interval * (1 + taint))
    f0, f1, f2 = (poisson_upper(k, 95) for k in range(3))
    assert over["upper"] == math.ceil(interval * (f0 + (f1 - f0) + (f2 - f1) * taint))
    assert value["too_few"]["projected"] == round(interval * 10 / points["7"])
    kept = json.loads((tmp_path / "evaluation" / "evaluation.json").read_text("utf-8"))
    assert kept["evaluation"] == value
    capsys.readouterr()
    call(["draw", str(six_nights), "--evaluate", str(sheet), "--lang", "ja"])
    assert "60 行のうち 3 行に相違" in capsys.readouterr().out


def test_a_stratified_sample_finds_awards_that_are_missing(
    six_nights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = drawn(six_nights, tmp_path / "sample", "--method", "stratified", units=120)
    fill(tmp_path / "sample", as_booked)
    code, value = evaluated(six_nights, tmp_path / "sample", capsys)
    assert (code, value["too_many"]["upper"]) == (0, None)
    strata = json.loads((tmp_path / "sample" / "sample.json").read_text("utf-8"))["strata"]
    stands_for = max(stratum["rows"] / stratum["units"] for stratum in strata)
    upper_rows = -math.log(0.05) * stands_for
    assert value["upper_rate"] == pytest.approx(
        upper_rows / sum(stratum["rows"] for stratum in strata)
    )
    [missed, *_] = [row for row in rows if row["person_id"] == "" and row["stratum"] == "paypay"]
    fill(
        tmp_path / "sample",
        lambda row: 500 if row["unit"] == missed["unit"] else row["book_points"],
    )
    code, value = evaluated(six_nights, tmp_path / "sample", capsys)
    assert code == 1
    description = json.loads((tmp_path / "sample" / "sample.json").read_text("utf-8"))
    [paypay] = [stratum for stratum in description["strata"] if stratum["name"] == "paypay"]
    assert value["too_few"]["found"] == 500
    assert value["too_few"]["projected"] == round(500 * paypay["rows"] / paypay["units"])
    assert value["too_few"]["upper"] > value["too_few"]["projected"]


def test_a_sheet_is_read_as_spreadsheet_programs_save_it(
    six_nights: Path, sheet: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In CP932, with thousands, without the zeros ahead of numbers, in another order."""
    fill(sheet, lambda row: f"{int(row['book_points']):,}")
    rows = rows_of(sheet / "sample.csv")
    saved = [
        row | {"run_id": str(int(row["run_id"])), "remark": "確認済み"} for row in reversed(rows)
    ]
    write(sheet, saved, "cp932")
    assert evaluated(six_nights, sheet, capsys)[0] == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda rows: [rows[0] | {"audited_points": ""}, *rows[1:]], "audited_points is empty"),
        (lambda rows: [rows[0] | {"audited_points": "1.5"}, *rows[1:]], "is not a whole number"),
        (lambda rows: [rows[0] | {"audited_points": "-1"}, *rows[1:]], "is negative"),
        (lambda rows: [rows[0] | {"book_points": "1"}, *rows[1:]], "is not as the sample's seed"),
        (lambda rows: [rows[0] | {"unit": "61"}, *rows[1:]], "is not as the sample's seed"),
        (lambda rows: [*rows, rows[0]], "unit 1 is there twice"),
        (lambda rows: rows[1:], "unit 1 is missing"),
        (lambda rows: [rows[0] | {"remark": "x" * 1_100_000}], "line 2: field larger than"),
    ],
    ids=[
        *("empty", "a share", "negative", "other points", "another unit", "twice", "missing"),
        "too long",
    ],
)
def test_a_sheet_that_is_not_the_samples_is_refused(
    six_nights: Path, sheet: Path, change: Callable[[list[Row]], list[Row]], why: str
) -> None:
    fill(sheet, as_booked)
    write(sheet, change(rows_of(sheet / "sample.csv")))
    with pytest.raises(mynapoint.InputError, match=why):
        call(["draw", str(six_nights), "--evaluate", str(sheet)])


def test_a_sample_is_evaluated_on_the_book_as_it_was_and_on_no_other(
    tmp_path: Path, six_nights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(n, amount="400") for n in range(20)]))
    drawn(desk.book, tmp_path / "sample", units=5)
    fill(tmp_path / "sample", as_booked)
    before = evaluated(desk.book, tmp_path / "sample", capsys)
    desk.run(desk.transactions([transaction(n, amount="800") for n in range(30, 40)]))
    assert evaluated(desk.book, tmp_path / "sample", capsys) == before
    with pytest.raises(mynapoint.InputError, match="another book"):
        call(["draw", str(six_nights), "--evaluate", str(tmp_path / "sample")])


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--units", "5", "--out", "x"], "--units, --seed and --out are needed"),
        (["--units", "0", "--seed", "1", "--out", "x"], "must be between 1 and 10,000"),
        (["--evaluate", "nowhere"], "this does not describe a sample"),
        (["--evaluate", "nowhere", "--confidence", "5"], "between 50 and 100"),
    ],
)
def test_wrong_usage_is_said_so(
    six_nights: Path,
    arguments: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(mynapoint.InputError, match=why):
        call(["draw", str(six_nights), *arguments])
    assert not list(tmp_path.iterdir())

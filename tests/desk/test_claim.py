"""`mynapoint claim`: what may be claimed is what was booked, and ties to the run records."""

import datetime as dt
import json
import re
import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest
from deliveries import Desk, as_csv, enrollment, transaction

from engine.errors import BookError, InputError
from engine.io.durable import sha256_of
from engine.terms import programme
from pipelines.cli import call
from pipelines.desk.opened_book import OpenedBook, open_book


@pytest.fixture(scope="module")
def opened(six_nights: Path) -> OpenedBook:
    return open_book(six_nights)


@pytest.fixture(scope="module")
def ledger(opened: OpenedBook) -> pl.DataFrame:
    month = pl.col("booked_on").dt.strftime("%Y-%m")
    return opened.ledger().with_columns(month=month).collect()


def by_service(ledger: pl.DataFrame) -> dict[str, tuple[int, ...]]:
    """The claim's figures, made another way: entry by entry."""
    sums: dict[str, list[int]] = {}
    people: dict[str, set[str]] = {}
    for row in ledger.iter_rows(named=True):
        figures = sums.setdefault(row["service_id"], [0, 0, 0, 0, 0])
        people.setdefault(row["service_id"], set()).add(row["person_id"])
        figures[0] += row["kind"] in ("charge", "purchase", "refund")
        figures[1] += row["kind"] == "refund"
        figures[2] += row["counted_amount"]
        figures[3] += max(row["points"], 0)
        figures[4] += max(-row["points"], 0)
    return {
        key: (len(people[key]), *sums_of, sums_of[3] - sums_of[4])
        for key, sums_of in sorted(sums.items())
    }


FIGURES = ["transactions", "refunds", "counted_yen", "points_awarded", "points_reversed", "points"]


@pytest.mark.parametrize("month", [None, "2020-11", "2021-01", "2021-10"])
def test_the_claim_is_what_was_booked_of_each_service(
    opened: OpenedBook, ledger: pl.DataFrame, tmp_path: Path, month: str | None
) -> None:
    which = ["--final"] if month is None else ["--month", month]
    out = tmp_path / "out"
    assert call(["claim", str(opened.book.path), *which, "--out", str(out)]) == 0
    expected = by_service(ledger if month is None else ledger.filter(month=month))
    for frame in (pl.read_parquet(out / "claim.parquet"), pl.read_csv(out / "claim.csv")):
        rows = frame.select("service_id", "people", *FIGURES).rows()
        assert {row[0]: row[1:] for row in rows} == expected
        assert [row[0] for row in rows] == sorted(expected)
        assert ("month" in frame.columns) == (month is not None)


def test_the_totals_are_those_of_the_run_records(
    opened: OpenedBook, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["claim", str(opened.book.path), "--final", "--json"]) == 0
    total = json.loads(capsys.readouterr().out)["total"]
    records = opened.records
    assert total["transactions"] == sum(record.counts.booked for record in records)
    assert total["points_awarded"] == sum(record.points.awarded for record in records)
    assert total["points_reversed"] == sum(record.points.reversed for record in records)
    assert (
        total["people"] == opened.ledger().select(pl.col("person_id").n_unique()).collect().item()
    )


@pytest.mark.parametrize("name", ["months.csv", "months.parquet"])
def test_the_final_claim_by_month_agrees_with_the_ledger(
    six_nights: Path, tmp_path: Path, name: str
) -> None:
    call(["claim", str(six_nights), "--final", "--out", str(tmp_path / "claim")])
    made = str(tmp_path / "claim" / name)
    assert call(["reconcile", str(six_nights), made, "--out", str(tmp_path / "out")]) == 0


def test_a_months_claim_agrees_with_what_was_booked_in_it(six_nights: Path, tmp_path: Path) -> None:
    call(["claim", str(six_nights), "--month", "2021-03", "--out", str(tmp_path / "claim")])
    made = str(tmp_path / "claim" / "claim.csv")
    arguments = ["reconcile", str(six_nights), made, "--out", str(tmp_path / "out")]
    assert call([*arguments, "--month", "2021-03"]) == 0


@pytest.mark.parametrize("lang", ["ja", "en"])
def test_the_cover_names_the_book_its_last_run_and_the_chain(
    six_nights: Path, tmp_path: Path, lang: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["claim", str(six_nights), "--final", "--out", str(out), "--lang", lang]
    assert call(arguments) == 0
    chain = sha256_of(six_nights / "runs" / "000006" / "record.json")
    with zipfile.ZipFile(out / "claim.xlsx") as book:
        sheets = {name: book.read(name).decode() for name in book.namelist()}
    cover = sheets["xl/worksheets/sheet1.xml"]
    for fact in (str(six_nights), "000006", "2021-10-21", chain):
        assert fact in cover
    assert chain in capsys.readouterr().out
    assert len(re.findall("<sheet ", sheets["xl/workbook.xml"])) == 3


def test_the_same_claim_gives_the_same_bytes(six_nights: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        call(["claim", str(six_nights), "--final", "--out", str(tmp_path / name), "--lang", "en"])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


def test_what_was_taken_back_in_a_later_month_is_reversed_in_that_month(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)]))
    refund = {
        "kind": "refund",
        "original_transaction_id": "T1",
        "occurred_at": "2020-09-07 10:00:00",
    }
    later = desk.transactions([transaction(2, **refund)], "later.csv")
    desk.run(later, booked_on=dt.date(2020, 10, 31))
    call(["claim", str(desk.book), "--month", "2020-10", "--json"])
    [line] = json.loads(capsys.readouterr().out)["services"]
    assert (line["points_awarded"], line["points_reversed"], line["points"]) == (0, 25, -25)
    assert (line["transactions"], line["refunds"], line["counted_yen"]) == (1, 1, -100)


def test_a_night_without_entries_is_a_claim_of_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1, account_id="nobody")]))
    out = tmp_path / "out"
    assert call(["claim", str(desk.book), "--final", "--out", str(out)]) == 0
    assert pl.read_parquet(out / "claim.parquet").is_empty()


def test_a_service_whose_id_looks_like_a_formula_is_text(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.write(
        "services.toml", '[[services]]\nservice_id = "=1+1"\nname = "@x"\nbasis = "purchase"\n'
    )
    given = {"service_id": "=1+1"}
    desk.write("enrollments.csv", as_csv([enrollment(1, **given)]))
    desk.run(desk.transactions([transaction(1, **given)]))
    out = tmp_path / "out"
    assert call(["claim", str(desk.book), "--final", "--out", str(out)]) == 0
    assert (out / "claim.csv").read_text().splitlines()[1].startswith("'=1+1,'@x,")
    assert pl.read_parquet(out / "claim.parquet")["service_id"].to_list() == ["=1+1"]
    with zipfile.ZipFile(out / "claim.xlsx") as book:
        assert not any("<f>" in book.read(name).decode() for name in book.namelist())


@pytest.mark.parametrize(
    ("part", "name"),
    [("points", "awarded"), ("points", "reversed"), ("counts", "booked"), ("yen", "booked")],
)
def test_a_ledger_that_does_not_tie_to_its_records_is_not_claimed(
    six_nights: Path, tmp_path: Path, part: str, name: str
) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    path = book / "runs" / "000004" / "record.json"
    record = json.loads(path.read_text())
    record[part][name] += 1
    path.write_text(json.dumps(record))
    with pytest.raises(BookError, match="does not tie to the run records: of run 000004"):
        call(["claim", str(book), "--final", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
    # What another month claims does not hang on it.
    assert call(["claim", str(book), "--month", "2021-01"]) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "one of --month and --final"),
        (["--final", "--month", "2021-01"], "one of --month and --final"),
        (["--month", "2021-02"], "no run was booked in 2021-02"),
        (["--month", "2021-13"], "expected YYYY-MM"),
        (["--month", "2021-01-01"], "expected YYYY-MM"),
    ],
)
def test_a_claim_of_what_is_not_there_is_refused(
    six_nights: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        call(["claim", str(six_nights), *arguments, "--out", str(tmp_path / "out")])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["claim", "reconcile"])
@pytest.mark.parametrize("there", ["an earlier result", "something else", "a file"])
def test_no_result_takes_the_place_of_what_is_there(
    six_nights: Path, tmp_path: Path, command: str, there: str
) -> None:
    claim, out = tmp_path / "claim.csv", tmp_path / "out"
    claim.write_text("service_id,month,points\n")
    arguments = ["--final"] if command == "claim" else [str(claim)]
    line = [command, str(six_nights), *arguments, "--out", str(out)]
    if there == "an earlier result":
        call(line)
    elif there == "a file":
        out.write_text("dear")
    else:
        out.mkdir()
        (out / "diary.txt").write_text("dear")
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(out)}
    with pytest.raises(InputError, match="there is something already"):
        call(line)
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files_of(out)} == before


def files_of(out: Path) -> list[Path]:
    return sorted(out.iterdir()) if out.is_dir() else [out]


def test_an_empty_folder_takes_a_result(six_nights: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert call(["claim", str(six_nights), "--final", "--out", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 6


def test_a_claim_names_every_set_of_terms_that_its_runs_awarded_by(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)]), terms_as_of=dt.date(2020, 12, 1))
    for number in (2, 3):
        later = desk.transactions([transaction(number)], f"{number}.csv")
        desk.run(later, booked_on=dt.date(2020, 10, number))
    assert call(["claim", str(desk.book), "--final", "--lang", "en"]) == 0
    said = capsys.readouterr().out
    first, second = re.findall(r"^terms: (.*); sha256 ", said, re.MULTILINE)
    ships = "25 % of 20,000 yen at most; the programme that ships with mynapoint"
    assert first.endswith(f": {ships}; runs 000001")
    assert second.endswith(f": {ships}; runs 000002, 000003")
    assert first.split(":")[0] != second.split(":")[0]
    assert "verification: the book was not verified for this claim" in said
    assert call(["claim", str(desk.book), "--month", "2020-10", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    [terms] = value["terms"]
    assert (terms["rate_numerator"], terms["rate_denominator"], terms["cap_yen"]) == (
        25,
        100,
        20_000,
    )
    assert (terms["ships"], terms["runs"]) == (True, ["000002", "000003"])
    assert value["verified"] is False


@pytest.mark.parametrize(
    ("lang", "words"), [("en", "not the programme"), ("ja", "同梱の制度ではない")]
)
def test_a_claim_says_when_its_programme_is_not_the_one_that_ships(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lang: str, words: str
) -> None:
    desk = Desk(tmp_path)
    shipped = Path(programme.__file__).parent / "programmes" / "mynapoint-2020.toml"
    changed = shipped.read_text("utf-8").replace("20_000", "30_000")
    path = desk.write("programme.toml", changed)
    desk.run(desk.transactions([transaction(1)]), programme=path)
    out = tmp_path / "out"
    line = ["claim", str(desk.book), "--final", "--out", str(out), "--lang", lang]
    assert call(line) == 0
    said = capsys.readouterr().out
    assert words in said
    assert "30,000" in said
    with zipfile.ZipFile(out / "claim.xlsx") as book:
        assert words in book.read("xl/worksheets/sheet1.xml").decode()

"""CSV files for people: what Excel shows of them is what the book says."""

import ast
import codecs
import csv
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from browsing import found, served
from deliveries import ROOT, Desk, as_csv, enrollment, transaction
from spreadsheets import shown

import mynapoint
from engine.io.spreadsheet_csv import guarded
from pipelines.cli import call

# What Excel in Japan makes something else of: numbers, amounts, days, times, truths, errors.
ODD = (
    *("0012", "1E5", "20200901000502058769", "1-2", "3/4", "10:30", "1,234", "(5)", "50%", ".5"),
    *(
        "¥100",
        "$5",
        "１２３",
        " 7",
        "MAR1",
        "sept 2",
        "Dec-12",
        "R3.4.1",
        "H30/1/1",
        "令和3年4月1日",
    ),
    *("午後1時", "true", "FALSE", "#N/A", "2021-04", "2021/4/1", "5月1日"),
)
AS_THEY_ARE = (
    "paypay",
    "card-66409966629",
    "C0006287729450",
    "market",
    "決済",
    "truely",
    "Rakuten",
)
FORMULAS = ("=1+1", "+1", "-5", "@x", "＝1", "\tx")


@pytest.mark.parametrize("text", [*ODD, *AS_THEY_ARE, *FORMULAS, '1"2', "1" * 255])
def test_a_text_is_shown_as_it_is_and_never_calculated(text: str) -> None:
    cell = pl.select(guarded(pl.lit(text))).item()
    if text in FORMULAS:
        assert cell == f"'{text}"
    elif text in AS_THEY_ARE:
        assert cell == text
    else:
        assert cell != text
        assert shown(cell) == text


def test_what_is_no_text_or_too_long_to_be_wrapped_stays() -> None:
    texts = pl.Series([None, "", "1" * 256, "1\n2", "12 rows of nothing\x00"])
    assert pl.select(guarded(pl.lit(texts))).to_series().to_list() == texts.to_list()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A book of a service, accounts, people and payments with odd IDs, and all that is made of it
    for people.
    """
    desk = Desk(tmp_path_factory.mktemp("odd"))
    service = {"service_id": "0012"}
    desk.write(
        "services.toml", '[[services]]\nservice_id = "0012"\nname = "1-2"\nbasis = "purchase"\n'
    )
    people = [
        enrollment(n, person_id=text, account_id=text, **service) for n, text in enumerate(ODD)
    ]
    enrollments = desk.write("enrollments.csv", as_csv(people))
    rows = [
        transaction(n, transaction_id=text, account_id=text, **service)
        for n, text in enumerate(ODD)
    ]
    declined = [
        row | {"transaction_id": f"{n}-1", "account_id": "0013"} for n, row in enumerate(rows)
    ]
    desk.run(desk.transactions([*rows[:9], *declined]), enrollments=[enrollments])
    desk.run(desk.transactions(rows[9:], "2.csv"), booked_on=dt.date(2020, 10, 1), enrollments=[])
    out, book = desk.folder / "out", str(desk.book)
    out.mkdir()
    claim = out / "claim" / "claim.csv"
    accounts = desk.write("accounts.csv", "service_id,account_id,points\n0012,9,1\n")
    for command in (
        ["claim", book, "--final", "--out", out / "claim"],
        ["diff", book, "1", "2", "--out", out / "diff"],
        ["pending", book, "--out", out / "pending"],
        ["remarks", book, "--out", out / "remarks"],
        ["draw", book, "--units", "9", "--seed", "1", "--out", out / "sample"],
        ["reconcile", book, accounts, "--history", out / "history"],
        ["reconcile", book, claim, "--month", "2020-10", "--history", out / "history"],
    ):
        call([str(argument) for argument in command])
    bad = desk.transactions([transaction(1, amount="x", **service)], "bad.csv")
    given = ["--transactions", str(bad), "--rejects", str(out / "rejects")]
    with pytest.raises(mynapoint.InputError, match="quarantine"):
        call(["run", book, *given, "--booked-on", "2020-10-02"])
    return desk


def files(desk: Desk) -> Iterator[Path]:
    yield from sorted((desk.folder / "out").rglob("*.csv"))


def test_every_csv_for_people_says_utf8_and_none_of_its_ids_is_converted(desk: Desk) -> None:
    seen: dict[str, set[str]] = {}
    for path in files(desk):
        data = path.read_bytes()
        assert data.startswith(codecs.BOM_UTF8), path
        if path.name == "resolutions.csv":
            continue
        header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        ids = [
            place
            for place, name in enumerate(header)
            if name.endswith("_id") or name in ("key", "month", "month_compared", "name")
        ]
        for row in rows:
            for place in ids:
                cell = row[place]
                assert not cell or cell[0] == "=" or cell[0].isalpha(), (path, header[place], cell)
                assert shown(cell) == cell or cell.startswith('="'), (path, cell)
                seen.setdefault(path.name, set()).add(shown(cell))
    named = {
        *("claim.csv", "months.csv", "people.csv", "transactions.csv", "remarks.csv"),
        *("sample.csv", "breaks.csv", "carried.csv"),
    }
    assert named <= set(seen)
    for name in named:
        assert "0012" in seen[name] or name == "people.csv", name
    assert seen["people.csv"] == {text.strip() for text in ODD[9:]}


def test_reconcile_reads_what_claim_writes(
    desk: Desk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("claim.csv", "months.csv"):
        path = desk.folder / "out" / "claim" / name
        assert (
            '="' in next(csv.reader(io.StringIO(path.read_text("utf-8-sig").partition("\n")[2])))[0]
        )
        assert call(["reconcile", str(desk.book), str(path), "--out", str(tmp_path / name)]) == 0
    # An account as a spreadsheet was told to leave it.
    claim = desk.write(
        "wrapped.csv", 'service_id,account_id,points\n"=""0012""","=""1-2""",25\n0012,0012,25\n'
    )
    call(["reconcile", str(desk.book), str(claim), "--out", str(tmp_path / "out")])
    keys = pl.read_parquet(tmp_path / "out" / "breaks.parquet")["account_id"]
    assert not {"0012", "1-2"} & set(keys)
    capsys.readouterr()


def test_a_page_of_browse_as_csv_is_one_too(desk: Desk, tmp_path: Path) -> None:
    with served(desk.book, tmp_path / "log", show_ids=True) as pages:
        text = pages.get("entries.csv").text
        assert text.startswith("\ufeff")
        rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
        assert {shown(row["person_id"]) for row in rows} == {text.strip() for text in ODD}
        assert all(row["person_id"][0] == "=" or row["person_id"][0].isalpha() for row in rows)
        # An instant is one, and points are a number.
        assert rows[0]["occurred_at"] == "2020-09-05 10:00:00"
        assert rows[0]["points"] == "25"
        assert found(pages, "1E5", "person")


def test_no_command_writes_csv_for_people_by_itself() -> None:
    """Machines read what the others write: providers' own forms, deliveries."""
    machines = {"layouts/writing_back.py", "sample/answers.py", "sample/files.py"}
    writers = set()
    for path in (ROOT / "pipelines").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            is_writer = isinstance(node, ast.Attribute) and (
                node.attr in ("write_csv", "sink_csv", "DictWriter")
                or (node.attr == "writer" and getattr(node.value, "id", "") == "csv")
            )
            if is_writer or (isinstance(node, ast.Constant) and "FORMAT csv" in str(node.value)):
                writers.add(path.relative_to(ROOT / "pipelines").as_posix())
    assert writers <= machines

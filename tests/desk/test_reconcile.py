"""`mynapoint reconcile`: every difference between a claim and the ledger, and none besides."""

import csv
import json
import re
import shutil
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from deliveries import Desk, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pipelines.reconcile.output
import pipelines.reconcile.report
from engine.errors import BookError, InputError
from engine.io.book.format import RunTable
from pipelines.cli import call
from pipelines.desk.database import Database
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.reconcile.claim_file import load, recognised_claim
from pipelines.reconcile.differences import KINDS, compare

FORMS = ("transaction_id", "account_id", "month")
Rows = list[tuple[str, str, int]]


@pytest.fixture(scope="module")
def opened(six_nights: Path) -> OpenedBook:
    return open_book(six_nights)


@pytest.fixture(scope="module")
def ledger(opened: OpenedBook) -> pl.DataFrame:
    month = pl.col("booked_on").dt.strftime("%Y-%m")
    return opened.ledger().with_columns(month=month).collect()


def true_claim(ledger: pl.DataFrame, form: str) -> Rows:
    sums: Counter[tuple[str, str]] = Counter()
    for service, key, points in ledger.select("service_id", form, "points").iter_rows():
        sums[service, key] += points
    return [(*key, points) for key, points in sorted(sums.items())]


def write_claim(path: Path, form: str, rows: Rows) -> Path:
    frame = pl.DataFrame(rows, schema=["service_id", form, "points"], orient="row")
    frame = frame.cast({"service_id": pl.String, form: pl.String, "points": pl.Int64})
    if path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_csv(path)
    return path


class Break(NamedTuple):
    service_id: str
    key: str
    kind: str
    ledger_points: int
    claim_points: int
    difference: int


def slow_breaks(ledger: pl.DataFrame, form: str, claim: Rows) -> list[Break]:
    """What the breaks should be, one key after the other."""
    booked = {(service, key): points for service, key, points in true_claim(ledger, form)}
    claimed: dict[tuple[str, str], list[int]] = {}
    for service, key, points in claim:
        claimed.setdefault((service, key), []).append(points)
    found = []
    for both in sorted(booked.keys() | claimed.keys()):
        booked_points, claimed_points = booked.get(both), claimed.get(both, [])
        if len(claimed_points) > 1:
            kind = "claimed_twice"
        elif booked_points is None:
            kind = "missing_in_ledger"
        elif not claimed_points:
            if booked_points == 0:
                continue
            kind = "missing_in_claim"
        elif claimed_points[0] != booked_points:
            kind = "points_differ"
        else:
            continue
        found.append(
            Break(
                *both,
                kind,
                booked_points or 0,
                sum(claimed_points),
                sum(claimed_points) - (booked_points or 0),
            )
        )
    return found


def breaks_of(folder: Path) -> list[Break]:
    frame = pl.read_parquet(folder / "breaks.parquet")
    return [Break(*row[:6]) for row in frame.iter_rows()]


# --- Every difference, and none besides -----------------------------------------------------------


@st.composite
def mistakes(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """What is done to a true claim: at which row, and with which points."""
    points = st.sampled_from([0, 1, -1, 7, 5000, -5000, 10**15])
    kinds = st.sampled_from(["drop", "again", "other", "foreign", "foreign twice", "near"])
    return draw(st.lists(st.tuples(kinds, st.integers(0, 10**6), points), max_size=12))


def with_mistakes(rows: Rows, done: list[tuple[str, int, int]]) -> Rows:
    rows = list(rows)
    for what, place, points in done:
        service, key, old = rows[place % len(rows)]
        if what == "drop" and len(rows) > 1:
            del rows[place % len(rows)]
        elif what == "again":
            rows.append((service, key, points))
        elif what == "other":
            rows[place % len(rows)] = (service, key, old + points)
        elif what.startswith("foreign"):
            month = f"{1900 + place % 90}-01"
            rows += [(f"foreign{place}", month, points)] * (2 if "twice" in what else 1)
        elif what == "near" and not re.fullmatch(r"\d{4}-\d\d", key):
            # Keys are compared as they are: neither blanks nor case nor zeros are forgiven.
            rows[place % len(rows)] = (service, f"{key} ", old)
    return rows


@pytest.mark.parametrize("form", FORMS)
def test_the_breaks_are_those_that_a_slow_comparison_finds(
    form: str,
    opened: OpenedBook,
    ledger: pl.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rows = true_claim(ledger, form)

    @given(mistakes(), st.sampled_from(["csv", "parquet"]))
    @settings(
        max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    def check(done: list[tuple[str, int, int]], ending: str) -> None:
        folder = tmp_path_factory.mktemp("claim")
        claim = with_mistakes(rows, done)
        path = write_claim(folder / f"claim.{ending}", form, claim)
        with Database(folder / "database") as database:
            assert load(recognised_claim(path), database) == len(claim)
            totals = compare(opened, database, form, None)
            found = sorted(Break(*row[:6]) for row in database.rows("SELECT * FROM breaks"))
        expected = slow_breaks(ledger, form, claim)
        assert found == expected
        assert totals.ledger_points == ledger["points"].sum()
        assert totals.claim_points == sum(points for _, _, points in claim)
        assert totals.ledger_points + sum(found.difference for found in expected) == (
            totals.claim_points
        )
        assert {kind: rows for kind, (rows, _) in totals.by_kind.items()} == {
            kind: sum(found.kind == kind for found in expected) for kind in KINDS
        }

    check()


@pytest.mark.parametrize("ending", ["csv", "parquet", "csv.gz", "csv.zst"])
@pytest.mark.parametrize("form", FORMS)
def test_one_planted_difference_of_each_kind_is_found_and_none_besides(
    form: str, ending: str, six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    rows = [row for row in true_claim(ledger, form) if row[2] > 1]
    dropped, doubled, changed = rows[0], rows[1], rows[2]
    foreign = ("paypay", "2019-01", 9)
    claim = [*rows[1:2], *rows[1:], foreign]
    claim[claim.index(changed)] = (*changed[:2], changed[2] - 1)
    name = "claim.parquet" if ending == "parquet" else "claim.csv"
    path = write_claim(tmp_path / name, form, claim)
    if ending == "csv.zst":
        import zstandard

        path = tmp_path / "claim.csv.zst"
        path.write_bytes(zstandard.compress((tmp_path / name).read_bytes()))
    elif ending == "csv.gz":
        import gzip

        path = tmp_path / "claim.csv.gz"
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
    assert call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")]) == 1
    # Accounts and months that come to less than nothing are claimed so; see the property above.
    negative = [row for row in true_claim(ledger, form) if row[2] < 0 or row[2] == 1]
    expected = sorted(
        [
            Break(*dropped[:2], "missing_in_claim", dropped[2], 0, -dropped[2]),
            Break(*doubled[:2], "claimed_twice", doubled[2], 2 * doubled[2], doubled[2]),
            Break(*changed[:2], "points_differ", changed[2], changed[2] - 1, -1),
            Break(*foreign[:2], "missing_in_ledger", 0, 9, 9),
            *(Break(*row[:2], "missing_in_claim", row[2], 0, -row[2]) for row in negative),
        ]
    )
    assert breaks_of(tmp_path / "out") == expected


@pytest.mark.parametrize("form", FORMS)
def test_a_true_claim_agrees_and_is_exit_0(
    form: str,
    six_nights: Path,
    ledger: pl.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # What earned nothing need not be claimed.
    rows = [row for row in true_claim(ledger, form) if row[2]]
    path = write_claim(tmp_path / "claim.csv", form, rows)
    out = tmp_path / "out"
    arguments = ["reconcile", str(six_nights), str(path), "--out", str(out), "--lang", "ja"]
    assert call(arguments) == 0
    assert "請求は台帳と一致します" in capsys.readouterr().out
    assert breaks_of(out) == []


def test_a_month_of_the_ledger_alone_may_be_held_against(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    of_month = ledger.filter(month="2021-01")
    path = write_claim(tmp_path / "c.csv", "transaction_id", true_claim(of_month, "transaction_id"))
    arguments = ["reconcile", str(six_nights), str(path), "--out"]
    assert call([*arguments, str(tmp_path / "same"), "--month", "2021-01"]) == 0
    assert call([*arguments, str(tmp_path / "other"), "--month", "2021-03"]) == 1
    for month in ("2021-02", "2021-1", "x"):
        with pytest.raises(InputError, match="--month"):
            call([*arguments, str(tmp_path / "none"), "--month", month])


# --- Why the ledger does not have it --------------------------------------------------------------


def reasons(book: Path, path: Path, out: Path) -> dict[str, tuple[Any, ...]]:
    assert call(["reconcile", str(book), str(path), "--out", str(out)]) == 1
    frame = pl.read_parquet(out / "breaks.parquet").filter(kind="missing_in_ledger")
    columns = ("reason", "run_id", "quarantine_file", "quarantine_row")
    return {
        row[1]: row[2:] for row in frame.select("service_id", frame.columns[1], *columns).rows()
    }


def test_a_missing_transaction_comes_with_what_the_last_run_to_see_it_said(
    opened: OpenedBook, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    declined = (
        opened.table(RunTable.DECLINED)
        .filter(pl.col("reason") != "duplicate")
        .collect()
        .join(ledger, on=["service_id", "transaction_id"], how="anti")
        .sort("run_id")
        .unique(["service_id", "transaction_id"], keep="last", maintain_order=True)
    )
    rows = [(*key, 1) for key in declined.select("service_id", "transaction_id").rows()]
    path = write_claim(tmp_path / "claim.csv", "transaction_id", [*rows, ("paypay", "never", 1)])
    reason_of = reasons(opened.book.path, path, tmp_path / "out")
    assert declined.height > 100
    for key, reason, run in declined.select("transaction_id", "reason", "run_id").iter_rows():
        assert reason_of[key] == (reason, run, None, None)
    assert reason_of["never"] == (None, None, None, None)


def test_a_quarantined_transaction_comes_with_its_file_row_and_faults(
    opened: OpenedBook, tmp_path: Path
) -> None:
    faulty = opened.table(RunTable.QUARANTINE).filter(
        pl.col("file").str.contains("paypay"), pl.col("errors").list.contains("amount:malformed")
    )
    [row, *_] = faulty.collect().rows(named=True)
    key = row["raw"].split(",")[0]
    path = write_claim(tmp_path / "claim.csv", "transaction_id", [("paypay", key, 1)])
    reason_of = reasons(opened.book.path, path, tmp_path / "out")
    assert reason_of[key] == (
        "quarantined:amount:malformed",
        row["run_id"],
        row["file"],
        row["row"],
    )
    # The same ID with another service is another transaction.
    path = write_claim(tmp_path / "other.csv", "transaction_id", [("suica", key, 1)])
    assert reasons(opened.book.path, path, tmp_path / "again")[key][0] is None


def test_a_missing_account_comes_with_all_that_was_said_of_it(
    opened: OpenedBook, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    rejected = opened.table(RunTable.REJECTED).collect()
    booked = ledger.select("service_id", "account_id").unique()
    [row, *_] = rejected.join(booked, on=["service_id", "account_id"], how="anti").rows(named=True)
    rows = [(row["service_id"], row["account_id"], 1)]
    path = write_claim(tmp_path / "claim.csv", "account_id", rows)
    reason, *_ = reasons(opened.book.path, path, tmp_path / "out")[row["account_id"]]
    assert f"rejected:{row['reason']}" in reason.split(" ")


def test_a_missing_service_and_month_comes_with_the_reasons_of_that_months_runs(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    early = {"occurred_at": "2020-08-01 10:00:00"}
    odd = transaction(9, service_id="ghost", account_id="A1", amount="x")
    rows = [transaction(1, **early), transaction(2, **early), transaction(3, account_id="B"), odd]
    desk.run(desk.transactions(rows))
    claim = [("coin", "2020-09", 5), ("ghost", "2020-09", 5), ("ghost", "2020-10", 5)]
    path = write_claim(tmp_path / "claim.parquet", "month", claim)
    assert call(["reconcile", str(desk.book), str(path), "--out", str(tmp_path / "out")]) == 1
    breaks = pl.read_parquet(tmp_path / "out" / "breaks.parquet").select("reason").to_series()
    assert breaks.to_list() == ["before_window not_enrolled", "quarantined:amount:malformed", None]


# --- Claims that cannot be used -------------------------------------------------------------------

HEAD = b"service_id,transaction_id,points\n"
NO_POINTS = "row 1 has points that are not a whole number"
UNUSABLE: dict[str, tuple[str, bytes, str]] = {
    "no service": ("c.csv", b"transaction_id,points\nt,1\n", "column service_id is missing"),
    "no points": ("c.csv", b"service_id,transaction_id\np,t\n", "column points is missing"),
    "no key": (
        "c.csv",
        b"service_id,points\np,1\nq,2\np,3\n",
        "rows 1 and 3 are of one service and no column says for what",
    ),
    "a column twice": ("c.csv", b"service_id,transaction_id,points,points\n", "more than once"),
    "two forms": (
        "c.csv",
        b"service_id,transaction_id,account_id,points\n",
        "by transaction_id or by account_id",
    ),
    "an empty file": ("c.csv", b"", "column service_id is missing"),
    "decimals": ("c.csv", HEAD + b"p,t,12.0\n", NO_POINTS),
    "an exponent": ("c.csv", HEAD + b"p,t,1e3\n", NO_POINTS),
    "a separator": (
        "c.csv",
        HEAD + b'p,t,"1,000"\n',
        NO_POINTS,
    ),
    "a blank": ("c.csv", HEAD + b"p,t, 1\n", NO_POINTS),
    "wide digits": (
        "c.csv",
        HEAD + "p,t,１\n".encode(),
        NO_POINTS,
    ),
    "no points in a row": (
        "c.csv",
        HEAD + b"p,t,\n",
        NO_POINTS,
    ),
    "too large a number": (
        "c.csv",
        HEAD + b"p,t,9223372036854775808\n",
        NO_POINTS,
    ),
    "a row without a key": ("c.csv", HEAD + b"p,,1\n", "has no transaction_id"),
    "a row of a total": ("c.csv", HEAD + b",,1\n", "has no service_id"),
    "Shift_JIS": ("c.csv", HEAD + "p,取引,1\n".encode("cp932"), "line 2: the text is not UTF-8"),
    "a Shift_JIS header": ("c.csv", "service_id,取引,points\n".encode("cp932"), "not UTF-8"),
    "Shift_JIS in a column of no concern": (
        "c.csv",
        b"service_id,transaction_id,points,note\np,t,1," + "備考".encode("cp932") + b"\n",
        "line 2: the text is not UTF-8",
    ),
    "a short row": (
        "c.csv",
        HEAD + b"p,t,1\np,t\n",
        "line 3: Expected Number of Columns: 3 Found: 2",
    ),
    "a long row": ("c.csv", HEAD + b"p,t,1,1\n", "line 2: Expected Number of Columns: 3 Found: 4"),
    "an open quote": ("c.csv", HEAD + b'p,"t,1\n', "line 2: Value with unterminated quote"),
    "a month in words": (
        "c.csv",
        b"service_id,month,points\np,Nov 2020,1\n",
        "row 1 has a month",
    ),
    "a thirteenth month": (
        "c.csv",
        b"service_id,month,points\np,2020-13,1\n",
        "row 1 has a month",
    ),
    "a day": ("c.csv", b"service_id,month,points\np,2020-11-01,1\n", "row 1 has a month"),
    "another kind of file": ("c.xlsx", b"PK", "does not say that it is CSV or Parquet"),
    "no Parquet": ("c.parquet", b"service_id", "cannot be read"),
    "gzip that is none": ("c.csv.gz", HEAD, "cannot be read"),
}


@pytest.mark.parametrize("case", UNUSABLE, ids=lambda case: case.replace(" ", "-"))
def test_a_claim_that_cannot_be_used_is_refused_with_its_place(
    case: str, six_nights: Path, tmp_path: Path
) -> None:
    name, content, words = UNUSABLE[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")])
    assert words in refused.value.message
    assert str(path) in refused.value.message
    assert refused.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("points", [1.0], "points is of type double"),
        ("points", pl.Series([1]).cast(pl.Decimal(10, 2)), "points is of type decimal"),
        ("points", pl.Series([2**63], dtype=pl.UInt64), "not a whole number"),
        ("points", [None], "points is of type null"),
        ("transaction_id", [12], "transaction_id is of type int64; a key is text"),
    ],
)
def test_a_parquet_claim_of_other_types_is_refused(
    six_nights: Path, tmp_path: Path, column: str, values: Any, words: str
) -> None:
    path = tmp_path / "claim.parquet"
    frame = pl.DataFrame({"service_id": ["p"], "transaction_id": ["t"], "points": [1]})
    frame.with_columns(pl.Series(column, values)).write_parquet(path)
    with pytest.raises(InputError) as refused:
        call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")])
    assert words in refused.value.message


def test_a_claim_may_have_other_columns_in_any_order_a_bom_and_windows_line_ends(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    rows = true_claim(ledger, "account_id")
    lines = ["points,note,service_id,account_id"]
    lines += [f'{points},"a, ""b""",{service},{key}' for service, key, points in rows]
    path = tmp_path / "it's [a] claim*.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")]) == 0


def test_points_that_come_to_more_than_64_bits_are_refused(
    six_nights: Path, tmp_path: Path
) -> None:
    path = write_claim(tmp_path / "c.csv", "transaction_id", [("p", "t", 2**63 - 1)] * 2)
    with pytest.raises(InputError, match="more than 64 bits"):
        call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")])


def test_a_difference_of_more_than_64_bits_is_refused(
    six_nights: Path, ledger: pl.DataFrame, tmp_path: Path
) -> None:
    earned = ledger.filter(pl.col("points") > 0).row(0, named=True)
    row = (earned["service_id"], earned["transaction_id"], -(2**63))
    path = write_claim(tmp_path / "c.csv", "transaction_id", [row])
    with pytest.raises(InputError, match="more than 64 bits"):
        call(["reconcile", str(six_nights), str(path), "--out", str(tmp_path / "out")])


# --- The results ----------------------------------------------------------------------------------


def cells(path: Path) -> Iterator[str]:
    """Every sheet's XML."""
    with zipfile.ZipFile(path) as book:
        for name in book.namelist():
            if name.startswith("xl/worksheets/"):
                yield book.read(name).decode()


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    rows = [(f"{mark}cmd", f"{mark}1+1", 1) for mark in "=+-@＝"] + [("paypay", "plain", 1)]
    return write_claim(tmp_path / "claim.csv", "transaction_id", rows)


def test_no_text_becomes_a_formula(six_nights: Path, claim: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call(["reconcile", str(six_nights), str(claim), "--out", str(out)])
    for sheet in cells(out / "breaks.xlsx"):
        assert "<f>" not in sheet
        assert "<f " not in sheet
    with (out / "breaks.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    texts = [row["transaction_id"] for row in rows] + [row["service_id"] for row in rows]
    calculated = [text for text in texts if text.startswith(tuple("=+-@＝"))]
    # But for what says that it is a text.
    assert all(re.fullmatch('="[^"]*"', text) for text in calculated)
    assert sum(text.startswith("'") for text in texts) == 10
    # The exact keys are in the Parquet file.
    assert "=1+1" in pl.read_parquet(out / "breaks.parquet")["transaction_id"]


def test_the_three_files_hold_the_same_breaks(
    six_nights: Path, claim: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    call(["reconcile", str(six_nights), str(claim), "--out", str(out)])
    frame = pl.read_parquet(out / "breaks.parquet")
    table = pl.read_csv(out / "breaks.csv")
    assert table["difference"].to_list() == frame["difference"].to_list()
    assert frame.schema["difference"] == pl.Int64
    summary = json.loads((out / "summary.json").read_text())
    assert sum(kind["rows"] for kind in summary["breaks"].values()) == frame.height
    assert summary["ledger_points"] + summary["difference"] == summary["claim_points"]
    *_, breaks = cells(out / "breaks.xlsx")
    assert breaks.count("<row ") == frame.height + 1


def test_more_breaks_than_a_sheet_holds_are_said_to_be_more(
    six_nights: Path,
    claim: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module in (pipelines.reconcile.output, pipelines.reconcile.report):
        monkeypatch.setattr(module, "MOST_ROWS", 10)
    out = tmp_path / "out"
    call(["reconcile", str(six_nights), str(claim), "--out", str(out), "--lang", "en"])
    said = "holds only the first 10 of"
    assert said in capsys.readouterr().err
    _, breaks = cells(out / "breaks.xlsx")
    with zipfile.ZipFile(out / "breaks.xlsx") as book:
        assert any(said in book.read(name).decode() for name in book.namelist())
    assert breaks.count("<row ") == 10 + 2
    assert pl.read_parquet(out / "breaks.parquet").height > 10


def test_a_result_takes_the_place_of_nothing(six_nights: Path, claim: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["reconcile", str(six_nights), str(claim), "--out", str(out)]
    call(arguments)
    first = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(InputError, match="out: there is something already"):
        call(arguments)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == first
    with pytest.raises(InputError, match=r"claim\.csv: there is something already"):
        call([*arguments[:-1], str(claim)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["claim.csv", "out"]


def test_a_ledger_that_does_not_tie_to_its_records_is_not_reconciled(
    six_nights: Path, claim: Path, tmp_path: Path
) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "book"))
    path = book / "runs" / "000002" / "record.json"
    record = json.loads(path.read_text())
    record["points"]["awarded"] += 1
    path.write_text(json.dumps(record))
    with pytest.raises(BookError, match="the ledger comes to"):
        call(["reconcile", str(book), str(claim), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["reconcile", "claim"])
def test_a_damaged_ledger_file_is_named_as_the_book_has_it(
    command: str, six_nights: Path, claim: Path, tmp_path: Path
) -> None:
    book = Path(shutil.copytree(six_nights, tmp_path / "it's a book"))
    path = min((book / "ledger").glob("*.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    out = ["--out", str(tmp_path / "out")]
    arguments = {"reconcile": [str(claim), *out], "claim": ["--final", *out]}[command]
    with pytest.raises(BookError, match=re.escape(f"ledger/{path.name}")):
        call([command, str(book), *arguments])
    assert not (tmp_path / "out").exists()


def test_a_refund_is_claimed_as_what_it_took_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    refund = {
        "kind": "refund",
        "original_transaction_id": "T1",
        "occurred_at": "2020-09-06 10:00:00",
    }
    desk.run(desk.transactions([transaction(1), transaction(2, **refund)]))
    rows = [("coin", "T1", 25), ("coin", "T2", -25)]
    for claim, code in ((rows, 0), (rows[:1], 1)):
        path = write_claim(tmp_path / "claim.csv", "transaction_id", claim)
        out = tmp_path / f"out-{code}"
        assert call(["reconcile", str(desk.book), str(path), "--out", str(out)]) == code
    assert breaks_of(out) == [Break("coin", "T2", "missing_in_claim", -25, 0, 25)]


def test_reconciling_changes_no_byte_of_the_book(
    six_nights: Path, claim: Path, tmp_path: Path
) -> None:
    before = {path: path.read_bytes() for path in six_nights.rglob("*") if path.is_file()}
    call(["reconcile", str(six_nights), str(claim), "--out", str(tmp_path / "out")])
    assert {path: path.read_bytes() for path in six_nights.rglob("*") if path.is_file()} == before

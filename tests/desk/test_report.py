"""`mynapoint report`: the figures are the book's, the page claims no more than was checked."""

import datetime as dt
import hashlib
import html
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pytest
from corrected_nights import corrected_book
from deliveries import ROOT, Desk, transaction
from sample_book import HOSTILE, booked_sample, hostile_book

import mynapoint
from engine.errors import BookError, InputError
from engine.io.book.format import RunTable
from pipelines.cli import call
from pipelines.desk.opened_book import open_book
from pipelines.report import points_tables, write_report
from pipelines.report.figures import BANDS, Figures, gather
from pipelines.report.tables import Tables
from pipelines.shown.texts import LANGS, Lang, Texts

VENDOR = ROOT / "pipelines" / "report" / "vendor"
LIBRARY_SHA256 = "38017a5586acd9c6eb6bbfe8b6938e1a25bdc717c5acfcb07e0c9d663282c59d"


@pytest.fixture
def sample(six_nights: Path) -> Path:
    return six_nights


@pytest.fixture(scope="module")
def figures(six_nights: Path) -> Figures:
    return gather(open_book(six_nights))


@dataclass(frozen=True)
class Written:
    """A report of the sample's book; only to read."""

    page: Path
    workbook: Path

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(
    six_nights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Lang], Written]:
    """By language, without a verification; each written once."""

    @cache
    def report_in(lang: Lang) -> Written:
        folder = tmp_path_factory.mktemp("written")
        made = Written(folder / "report.html", folder / "report.xlsx")
        write_report(six_nights, out=made.page, xlsx=made.workbook, lang=lang, verify=False)
        return made

    return report_in


@pytest.fixture(scope="module")
def verified(six_nights: Path, tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("verified")
    made = Written(folder / "report.html", folder / "report.xlsx")
    write_report(six_nights, out=made.page, xlsx=made.workbook, lang="en", verify=True)
    return made


@pytest.fixture
def book(sample: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return shutil.copytree(sample, tmp_path / "book")


def report(book: Path, folder: Path) -> str:
    out = folder / "report.html"
    write_report(book, out=out, xlsx=None, lang="en", verify=False)
    return out.read_text(encoding="utf-8")


def cells(page: str) -> str:
    """The page's text, without what it is made of."""
    body = page[page.index("<body>") : page.index('<script type="application/json"')]
    return html.unescape(re.sub(r"<svg.*?</svg>|<[^>]*>", "\n", body, flags=re.DOTALL))


# --- The figures ----------------------------------------------------------------------------------


def _last_entries(ledger: pl.DataFrame) -> pl.DataFrame:
    return ledger.sort("entry_seq").group_by("person_id").last()


def test_people_are_counted_in_the_band_of_their_last_entry(sample: Path, figures: Figures) -> None:
    last = _last_entries(open_book(sample).ledger().collect())
    spend = [0] * (BANDS + 1)
    points = [0] * (BANDS + 1)
    for net, held in last.select("net_spend_after", "points_after").iter_rows():
        spend[min(net, 20_000) // 2_000] += 1
        points[held // 500] += 1
    assert figures.people_by_band == spend
    assert figures.people_by_points["people"].to_list() == points
    assert figures.people == last.height


def test_a_cap_that_ten_does_not_divide_has_bands_that_hold_its_people(tmp_path: Path) -> None:
    programme = tmp_path / "programme.toml"
    text = mynapoint.load_programme("mynapoint-2020").text
    programme.write_text(text.replace("spending_yen = 20_000", "spending_yen = 12_345"))
    book = booked_sample(tmp_path / "book", nights=1, programme=programme)
    figures = gather(open_book(book))
    last = _last_entries(open_book(book).ledger().collect())["net_spend_after"].clip(0, 12_345)
    rows = Tables(figures, Texts("report", "en")).bands().rows
    assert len(rows) == BANDS + 1
    for name, people, _ in rows[:-1]:
        first, after = (int(end.replace(",", "")) for end in str(name).split(" to "))
        assert people == last.is_between(first, after).sum(), name
    assert rows[-1][1] == (last == 12_345).sum()


def test_who_is_at_the_cap_by_a_day_is_who_had_reached_it_by_then(
    sample: Path, figures: Figures
) -> None:
    ledger = open_book(sample).ledger().collect()
    by_day = figures.at_the_cap_by_day()
    assert by_day["people"][-1] == ledger["person_id"].n_unique()
    # The sample's nights come in the order of their days but for some late rows: where a person's
    # entries are in order of time, the entry before a day tells.
    tidy = ledger.filter(
        (pl.col("occurred_at").diff().over("person_id", order_by="entry_seq") >= dt.timedelta())
        .fill_null(value=True)
        .all()
        .over("person_id")
    )
    untidy = ledger["person_id"].n_unique() - tidy["person_id"].n_unique()
    for day, people, at_cap in by_day.iter_rows():
        before = _last_entries(tidy.filter(pl.col("occurred_at").dt.date() <= day))
        assert 0 <= people - before.height <= untidy
        assert 0 <= at_cap - (before["net_spend_after"] >= 20_000).sum() <= untidy


def test_the_days_add_up_to_the_run_records(sample: Path, figures: Figures) -> None:
    records = open_book(sample).records
    by_day = figures.by_day
    assert by_day["entries"].sum() == sum(
        record.counts.booked - record.counts.voided for record in records
    )
    net_yen = open_book(sample).ledger().select(pl.col("net_amount").sum()).collect().item()
    assert sum(by_day["spent_yen"]) - sum(by_day["refunded_yen"]) == net_yen
    assert by_day["awarded"].sum() == sum(record.points.awarded for record in records)
    assert by_day["reversed"].sum() == sum(record.points.reversed for record in records)
    refunds = open_book(sample).ledger().filter(pl.col("kind").is_in(["refund", "refund_void"]))
    undone = -refunds.select(pl.col("points").sum()).collect().item()
    assert figures.refunds_by_month["reversed"].sum() == undone
    assert figures.disagreements == ()


def test_what_waits_and_what_corrections_did_stand_in_the_report(tmp_path: Path) -> None:
    figures = gather(open_book(corrected_book(tmp_path).book))
    tables = {table.name: table.rows for table in Tables(figures, Texts("report", "en")).all()}
    waits = {(row[2], *row[3:]) for row in tables["waiting"]}
    # Code, rows, yen, points at stake, rows whose stake nobody knows.
    assert ("not_enrolled", 1, 2000, 0, 1) in waits
    assert ("voided", 1, 5000, -1250, 0) in waits
    assert [row[:2] for row in tables["waiting_ages"]] == [("8 to 30", 2), ("31 to 90", 1)]
    # Kind, accepted, rejected, entries, points: L1 goes; R2 goes, and T3 is recounted.
    assert [row[1:] for row in tables["corrections"]] == [
        ("enrollment_stopped", 0, 1, 0, 0),
        ("transaction_voided", 2, 0, 3, -1000),
    ]
    assert figures.disagreements == ()


def test_a_refund_that_came_before_its_original_in_time_is_told_with_what_is_at_stake(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    payment = transaction(1, amount="4000")
    refund = transaction(
        2,
        kind="refund",
        amount="1000",
        occurred_at="2020-09-01 00:00:00",
        original_transaction_id=payment["transaction_id"],
    )
    desk.run(desk.transactions([payment, refund]))
    tables = {
        table.name: table.rows
        for table in Tables(gather(open_book(desk.book)), Texts("report", "en")).all()
    }
    [row] = tables["idle_refunds"]
    assert row[1:] == ("refund_before_original", 1, 1000, -250, 0)


def test_every_table_of_the_report_has_its_rows_in_both_languages(figures: Figures) -> None:
    for lang in LANGS:
        for table in Tables(figures, Texts("report", lang)).all():
            assert table.rows, table.name
            assert {len(row) for row in table.rows} == {len(table.columns)}, table.name


def test_every_fault_has_its_words() -> None:
    texts = Texts("report", "ja")
    for code in ("missing", "malformed", "out_of_range", "unknown", "unexpected", "conflict"):
        assert texts(f"fault_{code}")


def test_too_many_days_are_summed_by_month(
    figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    daily = Tables(figures, Texts("report", "en")).points()
    monkeypatch.setattr(points_tables, "MOST_DAYS", 1000)
    monthly = Tables(figures, Texts("report", "en")).points()
    assert len(monthly.rows) < len(daily.rows)
    assert monthly.caption != daily.caption
    assert f"{len(daily.rows):,}" in monthly.note
    for place in range(3, len(daily.columns)):
        assert sum(row[place] for row in monthly.rows) == sum(row[place] for row in daily.rows)  # type: ignore[misc]


def test_a_service_that_nobody_knows_is_not_named(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1), transaction(2, service_id="taro@example.jp")]))
    page = report(desk.book, tmp_path)
    assert "taro@example.jp" not in page
    assert "(not in the registry)" in page


# --- What it claims -------------------------------------------------------------------------------


@pytest.mark.parametrize(("lang", "words"), [("en", "Not verified"), ("ja", "未検証")])
def test_without_a_verification_it_says_so(
    written: Callable[[Lang], Written], lang: Lang, words: str
) -> None:
    text = cells(written(lang).text)
    assert words in text
    assert text.count(Texts("report", lang)("o_not_checked")) == 3


def test_a_verified_book_is_called_so_but_not_its_deliveries(verified: Written) -> None:
    text = cells(verified.text)
    assert "Verified, no findings" in text
    assert text.count("not checked") == 1


def test_findings_of_the_verification_stand_on_the_page_and_the_command_ends_with_1(
    book: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    services = book / "runs" / "000001" / "services.toml"
    services.write_text(services.read_text().replace("PayPay", "PayPal"))
    out = tmp_path / "report.html"
    words = ("report", book, "--out", out, "--lang", "en")
    # What a report is made from must be what was booked.
    with pytest.raises(BookError, match=r"000001/services\.toml"):
        call([*map(str, words)])
    services.write_text(services.read_text().replace("PayPal", "PayPay"))
    (book / "runs/000001/rejected_enrollments.parquet").write_bytes(b"")
    assert call([*map(str, (*words, "--verify"))]) == 1
    text = cells(out.read_text(encoding="utf-8"))
    assert "runs/000001/rejected_enrollments.parquet" in text
    assert "Verified, no findings" not in text
    assert "findings" in capsys.readouterr().err


def _fewer_declined(book: Path) -> None:
    path = book / "runs" / "000002" / "declined.parquet"
    pl.read_parquet(path).head(-1).write_parquet(path)


def _more_points(book: Path) -> None:
    path = next((book / "ledger").glob("000002-*.parquet"))
    pl.read_parquet(path).with_columns(pl.col("points") + 1).write_parquet(path)


def _another_record(book: Path) -> None:
    path = book / "runs" / "000002" / "record.json"
    record = json.loads(path.read_text())
    record["counts"]["read"] += 1
    path.write_text(json.dumps(record))


@pytest.mark.parametrize("harm", [_fewer_declined, _more_points, _another_record])
def test_tables_that_do_not_add_up_are_named_and_the_command_ends_with_1(
    book: Path, tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    harm(book)
    out = tmp_path / "report.html"
    assert call(["report", str(book), "--out", str(out), "--lang", "en"]) == 1
    assert "differs: " in cells(out.read_text(encoding="utf-8"))


def test_the_terms_stand_there_with_their_sources(written: Callable[[Lang], Written]) -> None:
    text = cells(written("en").text)
    assert "付与の上限金額は5,000円" in text
    assert "2021年4月末までに、マイナンバーカードの交付申請した方" in text
    assert "000001-000006" in text


# --- Nobody is named, nothing is run --------------------------------------------------------------


def test_no_person_and_no_account_is_named(sample: Path, verified: Written) -> None:
    texts = verified.text + repr(_values(verified.workbook))
    words = set(re.findall(r"[\w.-]+", texts))
    opened = open_book(sample)
    for frame in (
        opened.ledger(),
        opened.table(RunTable.ACCEPTED),
        opened.table(RunTable.DECLINED),
    ):
        for column in {"person_id", "account_id", "transaction_id"} & set(
            frame.collect_schema().names()
        ):
            ids = frame.select(pl.col(column).unique()).collect().to_series()
            assert ids.len() > 100
            assert ids.str.contains(r"^[\w.-]+$").all()
            assert words.isdisjoint(ids.to_list()), column


def test_the_page_asks_for_nothing_and_lets_nothing_in(
    written: Callable[[Lang], Written],
) -> None:
    page = written("en").text
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    rules = html.unescape(policy[1])
    assert rules.startswith("default-src 'none'; script-src 'sha256-")
    assert "http" not in rules
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r'(?:src|href|action|poster|data)="(?!#|data:,")', markup) == []
    assert "url(" not in markup
    assert "@import" not in markup


def test_the_library_on_the_page_is_the_one_that_was_taken() -> None:
    library = (VENDOR / "dataTables.min.js").read_bytes()
    assert hashlib.sha256(library).hexdigest() == LIBRARY_SHA256
    assert LIBRARY_SHA256 in (VENDOR / "README.md").read_text()
    version = re.search(rb"DataTables ([0-9.]+)", library)
    assert version
    assert version[1].decode() in (VENDOR / "README.md").read_text()
    assert "MIT" in (VENDOR / "dataTables.LICENSE.txt").read_text()


def test_the_same_book_gives_the_same_bytes(
    written: Callable[[Lang], Written], sample: Path, tmp_path: Path
) -> None:
    once = written("ja")
    out, xlsx = tmp_path / "again.html", tmp_path / "again.xlsx"
    write_report(sample, out=out, xlsx=xlsx, lang="ja", verify=False)
    assert out.read_bytes() == once.page.read_bytes()
    assert xlsx.read_bytes() == once.workbook.read_bytes()
    assert '<html lang="ja">' in once.text


def test_a_book_without_an_entry_has_its_report_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run(desk.transactions([transaction(1)]), enrollments=())
    text = cells(report(desk.book, tmp_path))
    assert "no accepted application names this service and account" in text


# --- The workbook ---------------------------------------------------------------------------------


def _values(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    book = openpyxl.load_workbook(path)
    return {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}


def test_the_workbook_holds_the_tables_of_the_page(
    written: Callable[[Lang], Written], figures: Figures
) -> None:
    sheets = _values(written("en").workbook)
    for table in Tables(figures, Texts("report", "en")).all():
        heading, *rows = sheets[table.name]
        assert heading == tuple(column.heading for column in table.columns)
        expected = [tuple(_as_kept(value) for value in row) for row in table.rows]
        assert [tuple(_as_kept(value) for value in row) for row in rows] == expected


def _as_kept(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.date()
    if isinstance(value, float):
        return round(value, 12)
    return None if value == "" else value


def test_no_value_becomes_a_formula_a_link_or_markup(tmp_path: Path) -> None:
    book = hostile_book(tmp_path)
    page, path = tmp_path / "report.html", tmp_path / "report.xlsx"
    write_report(book, out=page, xlsx=path, lang="en", verify=False)
    texts = []
    for sheet in openpyxl.load_workbook(path).worksheets:
        for row in sheet.iter_rows():
            texts += [cell.value for cell in row if isinstance(cell.value, str)]
            assert {cell.data_type for cell in row} <= {"s", "n", "d"}
            assert not any(cell.hyperlink for cell in row)
    markup = page.read_text(encoding="utf-8")
    for name in HOSTILE:
        assert name in texts
        if name != html.escape(name):
            assert name not in markup
        assert name in html.unescape(markup)


# --- How it is written ----------------------------------------------------------------------------


def test_an_old_report_stays_until_the_new_one_is_whole(
    written: Callable[[Lang], Written],
    sample: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, xlsx = tmp_path / "report.html", tmp_path / "report.xlsx"
    shutil.copy(written("ja").page, out)
    shutil.copy(written("ja").workbook, xlsx)
    old = out.read_bytes(), xlsx.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(xlsx))

    monkeypatch.setattr("pipelines.shown.spreadsheet.Spreadsheet.table", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_report(sample, out=out, xlsx=xlsx, lang="en", verify=False)
    assert (out.read_bytes(), xlsx.read_bytes()) == old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.xlsx"]
    monkeypatch.undo()
    write_report(sample, out=out, xlsx=xlsx, lang="en", verify=False)
    assert out.read_bytes() != old[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.xlsx"]


def test_places_that_cannot_be_meant_are_refused(sample: Path, tmp_path: Path) -> None:
    for out, xlsx, why in (
        (tmp_path, None, "this is a folder"),
        (tmp_path / "gone" / "report.html", None, "folder is not there"),
        (sample / "report.html", None, "within the book"),
        (tmp_path / "report", tmp_path / "report", "the same file"),
    ):
        with pytest.raises(InputError, match=why):
            write_report(sample, out=out, xlsx=xlsx, lang="en", verify=False)


def test_a_missing_library_is_named_with_what_to_do(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(InputError, match="report: vl-convert is not installed") as refused:
        write_report(sample, out=tmp_path / "r.html", xlsx=None, lang="en", verify=False)
    assert refused.value.hint == "pip install 'mynapoint[report]'"


def test_where_there_is_no_book_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no book"):
        report(tmp_path / "nothing", tmp_path)
    assert not (tmp_path / "nothing").exists()


def test_a_reader_changes_nothing_in_the_book(book: Path, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in book.rglob("*")}
    report(book, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in book.rglob("*")} == before


def test_the_command_says_what_it_wrote(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, xlsx = tmp_path / "report.html", tmp_path / "report.xlsx"
    words = ("report", sample, "--out", out, "--xlsx", xlsx, "--lang", "ja")
    assert call([*map(str, words)]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{out}\n{xlsx}\n", "")

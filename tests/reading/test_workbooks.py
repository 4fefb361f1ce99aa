"""Excel workbooks and UTF-16 text are read as they come, or named for what is wrong with them."""

import datetime as dt
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from command_line import in_this_process
from deliveries import Desk, as_csv, sha256, transaction
from test_ends_of_files import LAID_OUT, LAYOUT
from xlsxwriter import Workbook
from xlsxwriter.utility import xl_rowcol_to_cell

from engine.errors import InputError
from engine.io.delivered import byte_stream, workbook
from engine.io.delivered.deliveries import DeliveredAs

HEADER = list(transaction(0))
ROW = ["T1", "coin", "A1", "2020-09-05 10:00:00", "purchase", 100]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def made(
    *rows: Sequence[object], formats: dict[str, str] | None = None, more: bool = False
) -> bytes:
    """A workbook as Excel writes it, with its texts in a part of their own."""
    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for place, value in enumerate(row):
                shown_as = (formats or {}).get(xl_rowcol_to_cell(number, place))
                sheet.write(
                    number, place, value, shown_as and book.add_format({"num_format": shown_as})
                )
        if more:
            book.add_worksheet().write("A1", "something")
    return file.getvalue()


def delivered(desk: Desk, *rows: Sequence[object], formats: dict[str, str] | None = None) -> Path:
    return desk.write("t.xlsx", made(*rows, formats=formats))


def test_a_workbook_is_booked_as_the_same_rows_in_csv(desk: Desk, tmp_path: Path) -> None:
    rows = [transaction(n, method=f"m{n % 7}") for n in range(1, 300)]
    path = delivered(desk, HEADER, *(list(row.values()) for row in rows))
    record = desk.run(path).record
    assert record.inputs[-1].sha256 == sha256(path.read_bytes())
    other = Desk(tmp_path / "other")
    other.run(other.transactions(rows))
    assert desk.outcome() == other.outcome()


def test_values_are_what_their_cells_are_typed_as(desk: Desk) -> None:
    path = delivered(
        desk,
        HEADER,
        [7, "coin", "A1", dt.datetime(2020, 9, 5, 10, 0, 30), "purchase", 1200.0, None, True],
        [],
        ["T2", "coin", "A1", dt.datetime(2020, 9, 5), "purchase", "1200"],
        ["T3", "coin", "A1", dt.datetime(2020, 9, 5), "purchase", 12.5, None, 0.5],
        formats={
            "A2": "00000",
            "D2": "yyyy/m/d h:mm:ss",
            "D4": "yyyy-mm-dd hh:mm",
            "D5": "yyyy/m/d",
        },
    )
    desk.run(path)
    columns = ["transaction_id", "occurred_at", "amount", "method"]
    assert desk.ledger().select(columns).rows() == [
        ("T2", dt.datetime(2020, 9, 5), 1200, None),
        ("00007", dt.datetime(2020, 9, 5, 10, 0, 30), 1200, "TRUE"),
    ]
    assert desk.quarantined() == [
        (
            3,
            ("amount:malformed", "occurred_at:malformed"),
            "T3,coin,A1,2020-09-05,purchase,12.5,,0.5",
        )
    ]


def test_an_id_of_which_a_spreadsheet_lost_digits_is_warned_of_and_a_fault_by_a_layout(
    desk: Desk,
) -> None:
    path = delivered(desk, HEADER, [1234567890123456789, *ROW[1:]], [10**15, *ROW[1:]])
    warning = desk.run(path).record.warnings[-1]
    assert (warning.row, "looks rounded by a spreadsheet" in warning.what) == (1, True)
    assert desk.booked() == ["1.234567890123457E+18", "1E+15"]

    headings = ["番号", "会員", "日時", "区分", "金額"]
    rows = [[n, "A1", "2020/9/5 10:00", "支払", 7500] for n in (1234567890123456, 123456789012345)]
    laid_out = desk.write("own.xlsx", (made(["明細"], [], headings, *rows)))
    desk.run(DeliveredAs(laid_out, desk.write("own.toml", LAYOUT)))
    assert [(row, faults) for row, faults, _ in desk.quarantined(2)] == [(1, ("番号:malformed",))]
    assert "123456789012345" in desk.booked()


def test_rows_end_where_the_header_does_whatever_the_sheet_says_of_its_size(desk: Desk) -> None:
    content = made([*HEADER, None, None], ROW, [*ROW[:5], 100, None, None, "more"])
    parts = with_part(content, "xl/worksheets/sheet1.xml", rb'ref="A1:[A-Z0-9]+"', b'ref="A1"')
    record = desk.run(desk.write("t.xlsx", parts)).record
    assert (record.counts.booked, record.counts.declined) == (1, {"duplicate": 1})


def with_part(content: bytes, name: str, pattern: bytes, text: bytes) -> bytes:
    """A workbook with some text of a part in the place of other text."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", 8) as new:
        for part in old.infolist():
            data = old.read(part)
            if part.filename == name:
                data, times = re.subn(pattern, lambda _: text, data)
                assert times
            new.writestr(part, data)
    return file.getvalue()


SHEET = "xl/worksheets/sheet1.xml"
ENTITIES = b'<!DOCTYPE a [<!ENTITY b "c">]><worksheet'
DAMAGES: dict[str, tuple[Callable[[], bytes], str]] = {
    "two sheets": (lambda: made(HEADER, ROW, more=True), "has 2 sheets with something in them"),
    "no XML": (
        lambda: with_part(made(HEADER, ROW), SHEET, b"</sheetData>", b"<"),
        "cannot be read: not well-formed",
    ),
    "a row twice": (
        lambda: with_part(made(HEADER, ROW), SHEET, b'<row r="2"', b'<row r="1"'),
        "row 1 is followed by row 1",
    ),
    "a row beyond all sheets": (
        lambda: with_part(made(HEADER, ROW), SHEET, b'<row r="2"', b'<row r="9999999"'),
        "followed by row 9,999,999",
    ),
    "a row of no number": (
        lambda: with_part(made(HEADER, ROW), SHEET, b'<row r="2"', b'<row r="T1"'),
        "a row has no number",
    ),
    "entities": (
        lambda: with_part(made(HEADER, ROW), SHEET, b"<worksheet", ENTITIES),
        "declares a document type",
    ),
    "a text that is not there": (
        lambda: with_part(made(HEADER, ROW), SHEET, b"<v>9</v>", b"<v>99</v>"),
        r"openpyxl gives up \(IndexError\)",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_workbook_that_cannot_be_read_whole_is_refused_by_name(desk: Desk, damage: str) -> None:
    make, why = DAMAGES[damage]
    with pytest.raises(InputError, match=rf"t\.xlsx: .*{why}"):
        desk.run(desk.write("t.xlsx", make()))
    assert desk.holds_nothing()


@pytest.mark.parametrize(
    ("module", "limit", "most"),
    [
        (workbook, "MAX_ROW_BYTES", 1 << 17),
        (workbook, "MAX_TEXTS_BYTES", 1 << 10),
        (workbook, "MAX_ELEMENTS", 2),
        (workbook, "MAX_PART_BYTES", 1 << 10),
        (byte_stream, "MOST_EXPANSION", 0),
    ],
)
def test_a_workbook_that_takes_more_than_any_real_one_is_refused(
    desk: Desk, module: Any, limit: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, most)
    wide = [*HEADER, *(f"column {number}" for number in range(12_000))]
    with pytest.raises(InputError, match="unpacks to more than"):
        desk.run(delivered(desk, wide, ROW, ROW))


def test_without_the_extra_a_workbook_names_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = delivered(desk, HEADER, ROW)
    monkeypatch.setattr("engine.extras.import_module", lambda name: 1 / 0 if not name else fail())
    with pytest.raises(InputError, match=r"t\.xlsx: .*openpyxl is not installed \(extra: xlsx\)"):
        desk.run(path)


def fail() -> None:
    raise ImportError


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
@pytest.mark.parametrize("ending", ["csv", "zip"])
def test_a_providers_file_in_utf_16_is_read_by_its_layout(
    desk: Desk, encoding: str, ending: str
) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    content = mark + LAID_OUT.encode(encoding)
    if ending == "zip":
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("t.csv", content)
        content = file.getvalue()
    path = desk.write(f"t.{ending}", content)
    record = desk.run(DeliveredAs(path, desk.write("own.toml", LAYOUT))).record
    assert record.counts.booked == 3
    assert record.inputs[-1].sha256 == sha256(content)


def test_rows_of_a_workbook_go_back_in_the_form_of_their_layout(desk: Desk) -> None:
    header, *rows = (line.split(",") for line in LAID_OUT.splitlines())
    rows[1][4] = "七千"
    path = desk.write("t.xlsx", (made(header, *rows)))
    layout = desk.write("own.toml", LAYOUT)
    desk.run(DeliveredAs(path, layout))
    back = desk.folder / "back"
    done = in_this_process("quarantine", desk.book, "1", "--csv", "--out", back)
    assert done.returncode == 0, done.stderr
    (mended,) = back.glob("*.csv")
    text = mended.read_bytes().decode("cp932")
    assert text.splitlines()[1] == "金額:malformed,N2,A1,2020/9/5 10:00,支払,七千"
    mended.write_bytes(text.replace("七千", "7000").encode("cp932"))
    assert desk.run(DeliveredAs(mended, layout)).record.counts.booked == 1


def test_a_shipped_layout_is_recognised_in_a_workbook_and_in_utf_16(desk: Desk) -> None:
    text = (Path(__file__).parent.parent / "layouts/waon/waon.csv").read_bytes().decode("cp932")
    book = made(*(line.split(",") for line in text.replace('"', "").splitlines()))
    for name, content in {"t.csv": text.encode("utf-16"), "t.xlsx": book}.items():
        path = desk.write(name, content)
        done = in_this_process("preview", path, "--set", "account_id=A1")
        assert "waon" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (as_csv([transaction(1)]).encode("utf-16"), "this is UTF-16 text, not UTF-8"),
        (LAID_OUT.encode("utf-16")[:-1], "goes on as none"),
        (LAID_OUT.replace("支払", "🍵").encode("utf-16"), r"cp932 lacks: U\+1F375"),
    ],
)
def test_utf_16_that_cannot_be_read_is_refused(desk: Desk, content: bytes, why: str) -> None:
    layout = None if why.endswith("UTF-8") else desk.write("own.toml", LAYOUT)
    for written in {layout, layout or "canonical"}:
        with pytest.raises(InputError, match=why):
            desk.run(DeliveredAs(desk.write("t.csv", content), written))
    assert desk.holds_nothing()

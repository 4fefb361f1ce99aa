"""Lines inside a provider's file that change what the rows below them mean."""

import datetime as dt
import unicodedata
from pathlib import Path
from random import Random

import pytest
from deliveries import Desk, as_csv, enrollment
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laid_out_files import Read, read
from short_limits import cut_into_blocks

import mynapoint
from engine.errors import InputError
from pipelines.layouts.writing_back import find_originals, set_aside, write_back

LAYOUT = """\
layout_id = "own"
name = "own"
role = "transactions"
follows = "invented"

[file]
encoding = "cp932"
header = ["番号", "日", "区分", "金額"]
optional = ["元番号"]

[ahead]
"カード" = "カード番号"

[columns]
transaction_id = { from = "番号" }
service_id = { constant = "coin" }
account_id = { from = "カード" }
occurred_at = { from = "日", forms = ["YYYY/M/D"] }
amount = { from = "金額" }
original_transaction_id = { refund_from = "元番号" }

[columns.kind]
from = "区分"
map = { "支払" = "purchase", "入金" = "charge" }

[[sections]]
reason = "card_line"
line_begins = "カード番号"
sets = ["カード"]

[[sections]]
reason = "heading"
line_matches = "^【取消】"
kind = "refund"

[[sections]]
reason = "heading"
line_begins = "【利用】"
kind = "as_written"

[[sections]]
reason = "other_table"
header = ["ご利用日", "種類", "番号", "お金"]
renamed = { "ご利用日" = "日", "お金" = "金額", "種類" = "区分" }

[[sections]]
reason = "footer"
line_begins = "以下余白"
ends = true

[[skip]]
reason = "total"
line_begins = "合計"
"""
AHEAD = "明細\r\nカード番号,A1\r\n番号,日,区分,金額,元番号\r\n"


def read_lines(folder: Path, *lines: str, layout: str = LAYOUT, ahead: str = AHEAD) -> Read:
    (folder / "own.toml").write_text(layout, encoding="utf-8")
    path = folder / "own.csv"
    path.write_bytes((ahead + "".join(f"{line}\r\n" for line in lines)).encode("cp932"))
    return read(path, folder / "own.toml")


def short(made: Read) -> list[str]:
    names = ("transaction_id", "account_id", "kind", "amount", "original_transaction_id")
    return [" ".join(row[name] for name in names).strip() for row in made.rows]


@pytest.fixture(params=[None, 1, 40], ids=["whole", "cut at each line", "cut into blocks"])
def cut(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param:
        cut_into_blocks(monkeypatch, request.param)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("stray", ["", 'a"b'], ids=["regular", "irregular"])
def test_each_line_holds_for_the_rows_below_it_until_another_says_the_same(
    tmp_path: Path, stray: str
) -> None:
    made = read_lines(
        tmp_path,
        f"N1,2020/9/5,支払,100,{stray}",
        "カード番号,A2",
        "N2,2020/9/5,支払,200,",
        "【取消】,,,,",
        "N3,2020/9/6,支払,50,N2",
        '"カード番号","A3",,,',
        "N4,2020/9/6,支払,60,N1",
        "【利用】",
        "N5,2020/9/7,入金,500,",
        "合計,910",
    )
    assert short(made) == [
        "N1 A1 purchase 100",
        "N2 A2 purchase 200",
        "N3 A2 refund 50 N2",
        "N4 A3 refund 60 N1",
        "N5 A3 charge 500",
    ]
    assert made.skipped == {"card_line": (2, 0), "heading": (2, 0), "total": (1, 0)}
    assert made.read == made.rows_of_file == 10


@pytest.mark.usefixtures("cut")
def test_another_table_has_its_own_header_and_its_own_names(tmp_path: Path) -> None:
    made = read_lines(
        tmp_path,
        "N1,2020/9/5,支払,100,",
        "ご利用日,種類,番号,店,お金,手数料",
        '2020/9/8,支払,N2,架空,"1,200",0',
        "2020/9/x,支払,N3,架空,300,0",
        "以下余白",
        "件数,3",
        "2020/9/8,支払,N4,架空,1,0",
        "番号,日,区分,金額,元番号",
        "番号,ご利用日,お金,種類",
        "N5,2020/9/9,5,",
    )
    assert short(made) == ["N1 A1 purchase 100", "N2 A1 purchase 1200"]
    assert made.quarantined == {4: ["日:malformed"], 10: ["区分:missing"]}
    assert made.skipped == {"other_table": (2, 0), "footer": (4, 0)}


@pytest.mark.usefixtures("cut")
def test_a_negative_amount_below_a_heading_of_cancellations_is_no_cancellation(
    tmp_path: Path,
) -> None:
    signed = LAYOUT.replace('"charge" }\n', '"charge" }\nby_sign = { negative = "charge" }\n')
    rows = ("【取消】", "N1,2020/9/5,支払,-100,N0", "N2,2020/9/5,支払,100,N0")
    assert read_lines(tmp_path, *rows, layout=signed).quarantined == {2: ["区分:unknown"]}
    same = signed.replace('negative = "charge"', 'negative = "refund"')
    assert [row["kind"] for row in read_lines(tmp_path, *rows, layout=same).rows] == ["refund"] * 2


ROW = "N1,2020/9/5,支払,100,"
NOT_DESCRIBED = {
    "a second line ahead": ("カード番号,A2", "takes from ahead of the header"),
    "a second line ahead, padded": ("カード番号,A2,,,", "takes from ahead of the header"),
    "a heading": ("架空の明細", "does not describe"),
    "a heading, padded": ("架空の明細2020年9月分,,,,", "does not describe"),
    "a second header": ("日,番号,金額,区分,元番号", "second header"),
    "a second header of another width": ("日,番号,金額", "second header"),
    "a second header in other words": ("取引,年月日,種類,円,備考", "does not describe"),
    "another card's line": ("架空　花子　様,9999-99**-****,架空カード", "does not describe"),
    "a header in other words and of another width": ("年月日,種類,円", "does not describe"),
}
PLAIN = LAYOUT[: LAYOUT.index("[[sections]]")]


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("kind", NOT_DESCRIBED)
def test_a_line_that_the_layout_does_not_describe_makes_the_file_unusable_and_is_named(
    tmp_path: Path, kind: str
) -> None:
    line, why = NOT_DESCRIBED[kind]
    with pytest.raises(InputError, match=why) as caught:
        read_lines(tmp_path, ROW, ROW, line, ROW, layout=PLAIN)
    # What stands in the line may be somebody's card.
    assert "A2" not in caught.value.message
    if "line ahead" not in kind:
        assert "row 3" in caught.value.message


NAMED = PLAIN.replace('"金額"]', '"金額", "店"]') + '[columns.method]\nfrom = "店"\n'
NAMED_AHEAD = "カード番号,A1\r\n番号,日,区分,金額,店\r\n"


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    "line",
    [
        "日,番号,金額,区分,元番号",
        "番号,日,金額,手数料,区分",
        "番号,日,区分,金額,元番号,残高",
        "番号,日,金額",
        ",,金額,番号,日",
    ],
)
@pytest.mark.parametrize("stray", ["", 'a"b'], ids=["regular", "irregular"])
def test_the_header_of_another_table_cannot_be_left_out(
    tmp_path: Path, line: str, stray: str
) -> None:
    skips = "".join(
        f'\n[[skip]]\nreason = "heading"\n{test}\n'
        for test in (
            'line_begins = "番号"',
            'column = "番号"\nis = ["日"]',
            'line_begins = ",,金額"',
        )
    )
    with pytest.raises(InputError, match="row 2: a second header stands among the rows") as caught:
        read_lines(
            tmp_path,
            f"N1,2020/9/5,支払,100,{stray}",
            line,
            "N2,2020/9/6,支払,200,",
            layout=LAYOUT + skips,
        )
    assert "[[sections]]" in str(caught.value.hint)


def test_a_repeated_header_and_lines_with_one_title_may_be_left_out(tmp_path: Path) -> None:
    skips = '\n[[skip]]\nreason = "page"\nline_begins = "番号"\n'
    rows = [
        "N1,2020/9/5,支払,100,",
        "番号,日,区分,金額,元番号",
        "番号,3,,,",
        "N2,2020/9/6,支払,200,",
    ]
    made = read_lines(tmp_path, *rows, layout=LAYOUT + skips)
    assert short(made) == ["N1 A1 purchase 100", "N2 A1 purchase 200"]
    assert made.skipped == {"page": (2, 0)}


@pytest.mark.parametrize(
    "line", ["計,2 件,,300,", '"計","2 件","","300",""', "計,2 件,300", "計,2 件"]
)
def test_a_line_is_left_out_by_more_than_its_first_cell(tmp_path: Path, line: str) -> None:
    skips = '\n[[skip]]\nreason = "count"\nline_begins = "計,2"\n'
    rows = ["N1,2020/9/5,支払,100,", line, "計,3,支払,200,", "N2,2020/9/6,支払,200,"]
    made = read_lines(tmp_path, *rows, layout=LAYOUT + skips)
    assert {reason: rows for reason, (rows, _) in made.skipped.items()} == {"count": 1}
    assert made.quarantined == {3: ["日:malformed"]}


def test_a_cell_that_is_called_as_its_column_makes_no_header_of_a_row(tmp_path: Path) -> None:
    rows = ("N1,2020/9/5,支払,100,店", "N2,2020/9/5,支払,200,架空")
    made = read_lines(tmp_path, *rows, layout=NAMED, ahead=NAMED_AHEAD)
    assert [row["method"] for row in made.rows] == ["店", "架空"]


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("line", ["架空花子,x,区分,金額,9", "架空花子,区分,金額"])
def test_of_a_second_header_nothing_is_shown_but_titles(tmp_path: Path, line: str) -> None:
    rows = ("N1,2020/9/5,支払,100,架空", line, "N2,2020/9/5,支払,200,架空")
    with pytest.raises(InputError, match=r"row 2: a second header .*, with 区分, 金額$"):
        read_lines(tmp_path, *rows, layout=NAMED, ahead=NAMED_AHEAD)


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    "below", [["件数,3件"], ["2020/9/8,架空,1", "2020/9/9,架空,2"], ["終わり"]]
)
def test_lines_of_another_width_below_the_table_make_the_file_unusable(
    tmp_path: Path, below: list[str]
) -> None:
    with pytest.raises(InputError, match="row 3"):
        read_lines(tmp_path, ROW, ROW, *below, layout=PLAIN)


@pytest.mark.usefixtures("cut")
def test_a_damaged_row_among_others_is_set_aside_alone(tmp_path: Path) -> None:
    rows = ("N2,2020/9/5,支払", "N3,x9,支払,1x,", "N,4,2020/9/5,支払,1,x")
    made = read_lines(tmp_path, ROW, *rows, ROW, layout=PLAIN)
    assert made.quarantined == {
        2: ["row:malformed"],
        3: ["日:malformed", "金額:malformed"],
        4: ["row:malformed"],
    }
    assert len(made.rows) == 2


def test_a_last_row_that_is_cut_short_is_set_aside_alone(tmp_path: Path) -> None:
    text = AHEAD + f"{ROW}\r\nN2,2020/9/5,支"
    made = read_lines(tmp_path, layout=PLAIN, ahead=text)
    assert made.quarantined == {2: ["row:malformed"]}


def test_a_table_ahead_of_the_header_is_not_passed_over(tmp_path: Path) -> None:
    ahead = "カード番号,A1\r\n番号,日,金額\r\nN0,2020/9/1,5\r\n番号,日,区分,金額\r\n"
    with pytest.raises(InputError, match="line 2 is another header"):
        read_lines(tmp_path, ROW.rstrip(","), layout=PLAIN, ahead=ahead)


# --- Separators that spreadsheets and banks add ---------------------------------------------------


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("", [",", ",", ","]),
        (",", ["", "", ""]),
        (",,", ["", ",", ",,"]),
        ("", ["", ",,", ""]),
        (",", [",,,", "", ","]),
    ],
)
def test_separators_at_the_ends_of_lines_are_no_columns(
    tmp_path: Path, header: str, rows: list[str]
) -> None:
    ahead = f"カード番号,A1\r\n番号,日,区分,金額{header}\r\n"
    lines = [f"N{n},2020/9/5,支払,{n}{more}" for n, more in enumerate(rows, 1)]
    made = read_lines(tmp_path, *lines, ",,,", ",,,,,", " ", layout=PLAIN, ahead=ahead)
    assert short(made) == [f"N{n} A1 purchase {n}" for n in (1, 2, 3)]
    assert made.quarantined == {}
    assert made.skipped == {"blank": (3, 0)}


@pytest.mark.usefixtures("cut")
def test_what_stands_beyond_the_headers_columns_is_not_passed_over(tmp_path: Path) -> None:
    ahead = "カード番号,A1\r\n番号,日,区分,金額\r\n"
    rows = ("N1,2020/9/5,支払,1,", "N2,2020/9/5,支払,1,000", "N3,2020/9/5,支払,3,")
    made = read_lines(tmp_path, *rows, layout=PLAIN, ahead=ahead)
    assert made.quarantined == {2: ["row:malformed"]}
    assert made.raw[2] == rows[1]
    assert len(made.rows) == 2


@pytest.mark.usefixtures("cut")
def test_a_table_is_fitted_to_a_row_and_not_to_a_part_of_a_section_line(tmp_path: Path) -> None:
    # A vertical tab ends a line for Python alone.
    ahead = "カード番号,A1\r\n番号,日,区分,金額,\r\n"
    rows = ("【利用】\x0ba,b,c,d", "N1,2020/9/5,支払,1,覚え")
    made = read_lines(tmp_path, *rows, ahead=ahead)
    assert short(made) == ["N1 A1 purchase 1"]


# --- Tabs as separators ---------------------------------------------------------------------------

TABS = LAYOUT.replace('encoding = "cp932"', 'encoding = "cp932"\nseparator = "\\t"')
TABS_AHEAD = "カード番号\tA1\r\n元番号\t番号\t日\t区分\t金額\r\n"


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("stray", ["", 'a"b'], ids=["regular", "irregular"])
def test_an_empty_first_cell_is_not_passed_over_where_tabs_separate(
    tmp_path: Path, stray: str
) -> None:
    rows = (
        f"{stray}\tN1\t2020/9/5\t支払\t100",
        "\t【取消】1\t2020/9/5\t支払\t200",
        "\t合計\t2020/9/5\t支払\t300",
        "\tカード番号\t2020/9/5\t支払\t400",
        " カード番号\tA2",
        "\tN2\t2020/9/5\t支払\t500",
        "カード番号\t\tA3",
        "\tN3\t2020/9/5\t支払\t600",
    )
    made = read_lines(tmp_path, *rows, layout=TABS, ahead=TABS_AHEAD)
    assert [line.split(" purchase")[0] for line in short(made)] == [
        *("N1 A1", "【取消】1 A1", "合計 A1", "カード番号 A1", "N2 A2"),
    ]
    assert made.quarantined == {8: ["account_id:missing"]}
    assert made.skipped == {"card_line": (2, 0)}


@pytest.mark.usefixtures("cut")
def test_tabs_at_the_ends_of_lines_are_no_columns(tmp_path: Path) -> None:
    rows = ("\tN1\t2020/9/5\t支払\t1", "\tN2\t2020/9/5\t支払\t2\t\t", "\tN3\t2020/9/5\t支払\t3")
    made = read_lines(tmp_path, *rows, layout=TABS, ahead=TABS_AHEAD)
    assert short(made) == [f"N{n} A1 purchase {n}" for n in (1, 2, 3)]
    assert made.quarantined == {}


# --- There and back -------------------------------------------------------------------------------


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    marks=st.lists(
        st.sampled_from(("row", "row", "card", "取消", "利用", "table", "ends")), max_size=14
    ),
    seed=st.integers(0, 2**32),
)
def test_rows_in_any_sections_are_read_back_as_they_were(
    marks: list[str], seed: int, tmp_path: Path
) -> None:
    random, lines, expected, skipped = Random(seed), list[str](), list[str](), 0
    card, kind, other, ended = "A1", "purchase", False, False
    for number, mark in enumerate(marks):
        if mark == "row":
            refund = kind == "refund" and not ended
            cells = [f"N{number}", "2020/9/5", "支払", "100", "N0" if refund else ""]
            if other:
                cells = [cells[1], cells[2], cells[0], "100", *cells[4:]]
            lines.append(",".join(cells))
            if not ended:
                expected.append(f"N{number} {card} {kind} 100 {'N0' if refund else ''}".strip())
            skipped += ended
            continue
        skipped += 1
        if mark == "card":
            lines.append(f"カード番号,{number}" + random.choice(("", ",,,")))
            card = card if ended else str(number)
        elif mark in ("取消", "利用"):
            lines.append(f"【{mark}】" + random.choice(("", ",,,,")))
            kind = kind if ended else {"取消": "refund", "利用": "purchase"}[mark]
        elif mark == "table":
            lines.append("ご利用日,種類,番号,お金,元番号")
            other, ended = True, False
        else:
            lines.append("以下余白")
            ended = True
    with pytest.MonkeyPatch.context() as patch:
        cut_into_blocks(patch, random.choice((1, 50, 10_000)))
        made = read_lines(tmp_path, *lines)
    assert short(made) == expected
    assert made.quarantined == {}
    assert sum(rows for rows, _ in made.skipped.values()) == skipped
    assert made.read == len(lines)


def test_rows_set_aside_go_back_below_the_lines_of_their_sections(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "own.toml").write_text(LAYOUT, encoding="utf-8")
    rows = [
        "N1,2020/10/5,支払,100,",
        "カード番号,A2",
        "N2,2020/10/x,支払,200,",
        "【取消】",
        "N3,2020/10/6,支払,50x,N2",
        "ご利用日,種類,番号,お金,元番号",
        "2020/10/8,支払,N4,x,N2",
    ]
    path = tmp_path / "own.csv"
    path.write_bytes((AHEAD + "".join(f"{row}\r\n" for row in rows)).encode("cp932"))
    whole = read(path, tmp_path / "own.toml")
    assert [*whole.quarantined] == [3, 5, 7]
    applications = tmp_path / "applications.csv"
    applications.write_text(as_csv([enrollment(1)]))
    mynapoint.run(
        desk.book,
        booked_on=dt.date(2020, 11, 1),
        enrollments=[applications],
        transactions=[mynapoint.DeliveredAs(path, tmp_path / "own.toml")],
        max_quarantined=1,
    )
    quarantined = set_aside(Path(desk.book), 1)
    ((file, original),) = find_originals(quarantined, [str(path)])
    text = write_back(file, original).content.decode("cp932")
    mended = text.replace("2020/10/x", "2020/10/7").replace("50x", "50").replace(",x,", ",70,")
    path.write_bytes(mended.encode("cp932"))
    again = read(path, tmp_path / "own.toml")
    assert again.quarantined == {}
    assert short(again) == ["N2 A2 purchase 200", "N3 A2 refund 50 N2", "N4 A2 refund 70 N2"]


def test_lines_with_decomposed_kana_are_the_same_lines(tmp_path: Path) -> None:
    layout = LAYOUT.replace('"カード番号"', '"ガード"').replace("cp932", "utf-8")
    layout = layout.replace('"種類", "番号"', '"ジャンル", "番号"').replace(
        '"種類" =', '"ジャンル" ='
    )
    layout = layout.replace("【取消】", "【デポ】").replace("合計", "ご計")
    lines = (
        *("ガード,A1", "番号,日,区分,金額,元番号", "N1,2020/9/5,支払,100,", "ガード,A2"),
        *("N2,2020/9/5,支払,200,", "【デポ】", "N3,2020/9/6,支払,50,N2", "ご計,350", "【利用】"),
        *("ご利用日,ジャンル,番号,お金", "2020/9/8,支払,N4,70"),
    )
    (tmp_path / "own.toml").write_text(layout, encoding="utf-8")
    path = tmp_path / "own.csv"
    made = []
    for form in ("NFC", "NFD"):
        path.write_text(unicodedata.normalize(form, "\n".join([*lines, ""])), encoding="utf-8")
        made.append(read(path, tmp_path / "own.toml"))
    assert short(made[0]) == [
        *("N1 A1 purchase 100", "N2 A2 purchase 200", "N3 A2 refund 50 N2", "N4 A2 purchase 70"),
    ]
    assert made[0] == made[1]


# --- Records of one length ------------------------------------------------------------------------

FIXED = """\
layout_id = "bank"
name = "bank"
role = "transactions"
follows = "invented"

[fixed]
encoding = "cp932"
record_bytes = 12
first = [{ name = "日", at = 2, bytes = 8 }]
fields = [
    { name = "種", at = 1, bytes = 1 },
    { name = "番号", at = 2, bytes = 3 },
    { name = "金額", at = 5, bytes = 8 },
]

[columns]
transaction_id = { from = ["日", "番号"] }
service_id = { constant = "coin" }
account_id = { from = "番号" }
occurred_at = { from = "日", forms = ["YYYYMMDD"] }
kind = { constant = "charge" }
amount = { from = "金額" }
"""
BANK = ["120201005   ", "2A0100000100", "2A0200000200", "120201006   ", "2A0100000100"]


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\r"])
def test_a_second_first_record_holds_for_the_records_below_it_where_the_layout_says_so(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.io.delivered.fixed_file.BLOCK_BYTES", 24)
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    path.write_text("".join(record + end for record in BANK), newline="")
    layout.write_text(FIXED, encoding="utf-8")
    with pytest.raises(InputError, match="record 4 begins as the first one does"):
        read(path, layout)
    section = '\n[[sections]]\nreason = "header"\nline_begins = "1"\nsets = ["日"]\n'
    layout.write_text(FIXED + section, encoding="utf-8")
    made = read(path, layout)
    days = [row["occurred_at"][:10] for row in made.rows]
    assert days == ["2020-10-05", "2020-10-05", "2020-10-06"]
    assert made.skipped == {"header": (1, 0)}
    assert made.quarantined == {}


HEADER_RECORD = '\n[[sections]]\nreason = "header"\nline_begins = "1"\nsets = ["日"]\n'


def test_a_later_first_record_of_another_length_is_not_believed(tmp_path: Path) -> None:
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    layout.write_text(FIXED + HEADER_RECORD, encoding="utf-8")
    cut = [*BANK[:3], BANK[3].replace("1006", "106"), BANK[4]]
    path.write_text("".join(f"{record}\n" for record in cut))
    with pytest.raises(InputError, match=r"record 4 holds for those below .* 12 bytes, but 11"):
        read(path, layout)


def test_an_end_record_holds_up_to_the_first_record_of_another_file(tmp_path: Path) -> None:
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    end = '\n[[sections]]\nreason = "end"\nline_begins = "9"\nends = true\n'
    layout.write_text(FIXED + HEADER_RECORD + end, encoding="utf-8")
    ended = [*BANK[:2], "9".ljust(12), "note".ljust(12), *BANK[3:], "9".ljust(12)]
    path.write_text("".join(f"{record}\n" for record in ended))
    made = read(path, layout)
    assert [row["occurred_at"][:10] for row in made.rows] == ["2020-10-05", "2020-10-06"]
    assert {reason: rows for reason, (rows, _) in made.skipped.items()} == {"header": 1, "end": 3}
    # A row there belongs to another file, the first record of which is missing.
    path.write_text("".join(f"{record}\n" for record in [*ended, BANK[2]]))
    with pytest.raises(InputError, match="record 8 stands below the end of the file and begins as"):
        read(path, layout)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        (["\x00" + BANK[0], *BANK[1:3]], "the first record does not have 12 bytes, but 13"),
        ([BANK[0][1:] + " ", *BANK[1:3]], "the first record does not begin with 1"),
        ([*BANK[:3], BANK[3][1:], BANK[4]], "record 4 does not have 12 bytes, but 11"),
        ([*BANK[:3], "\x00" + BANK[3], BANK[4]], "record 4 does not have 12 bytes, but 13"),
    ],
)
def test_a_first_record_that_lost_a_byte_or_has_one_more_makes_the_file_unusable(
    tmp_path: Path, records: list[str], message: str
) -> None:
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    begins = FIXED.replace("record_bytes = 12", 'record_bytes = 12\nfirst_begins = "1"')
    layout.write_text(begins + HEADER_RECORD, encoding="utf-8")
    path.write_text("".join(f"{record}\n" for record in records))
    with pytest.raises(InputError, match=message):
        read(path, layout)


def test_a_row_of_another_length_is_set_aside_alone_and_the_end_of_a_file_may_be_short(
    tmp_path: Path,
) -> None:
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    layout.write_text(FIXED, encoding="utf-8")
    path.write_text("\n".join([BANK[0], BANK[1][:-1], BANK[2], "9"]))
    made = read(path, layout)
    assert made.quarantined == {1: ["row:malformed"], 3: ["row:malformed"]}
    assert len(made.rows) == 1


def test_records_of_one_length_are_left_out_by_how_they_begin(tmp_path: Path) -> None:
    path, layout = tmp_path / "bank.txt", tmp_path / "bank.toml"
    trailer = '\n[[skip]]\nreason = "trailer"\nline_begins = "8T"\n'
    layout.write_text(FIXED + trailer, encoding="utf-8")
    path.write_text("".join(f"{record}\n" for record in [*BANK[:3], "8T0000000200"]))
    made = read(path, layout)
    assert len(made.rows) == 2
    assert {reason: rows for reason, (rows, _) in made.skipped.items()} == {"trailer": 1}

"""Words, amounts and times as providers write them, and what other programs make of them."""

import unicodedata
from pathlib import Path

import pytest
import zstandard
from deliveries import Desk, as_csv, transaction
from laid_out_files import Read, read
from short_limits import cut_into_blocks

import mynapoint
from pipelines.cli import call

LAYOUT = """\
layout_id = "own"
name = "own"
role = "transactions"
follows = "invented"

[file]
encoding = "utf-8"
header = ["番号", "会員", "日時", "区分", "金額（円）"]
optional = ["元番号", "旗", "使用ポイント", "時差"]

[columns]
transaction_id = { from = "番号" }
service_id = { constant = "coin" }
account_id = { from = "会員" }
occurred_at = { from = "日時", forms = ["YYYY/M/D H:mm", "YYYY/M/D"] }
amount = { from = "金額（円）" }
original_transaction_id = { refund_from = "元番号" }
method = { from = "区分", map = { "チャージ〜自動" = "auto" } }

[columns.kind]
from = "区分"
map = { "支払" = "purchase", "取消（−）" = "refund", "チャージ〜自動" = "charge" }

[[skip]]
reason = "failed"
column = "区分"
is = ["ｴﾗｰ"]
"""
HEADER = "番号,会員,日時,区分,金額（円）"


def read_rows(
    folder: Path, *rows: str, header: str = HEADER, changes: tuple[tuple[str, str], ...] = ()
) -> Read:
    layout = LAYOUT
    for old, new in changes:
        assert old in layout
        layout = layout.replace(old, new)
    (folder / "own.toml").write_text(layout, encoding="utf-8")
    path = folder / "own.csv"
    path.write_text("".join(f"{line}\n" for line in (header, *rows)), encoding="utf-8")
    return read(path, folder / "own.toml")


# --- Look-alikes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        unicodedata.normalize("NFD", HEADER),
        HEADER.replace("（円）", "(円)"),
        unicodedata.normalize("NFD", HEADER.replace("（円）", "(円)")),
    ],
)
def test_a_header_that_looks_the_same_is_found(tmp_path: Path, header: str) -> None:
    assert len(read_rows(tmp_path, "N1,A1,2020/10/1,支払,100", header=header).rows) == 1


@pytest.mark.parametrize(
    ("word", "kind", "method"),
    [
        ("チャージ～自動", "charge", "auto"),
        ("ﾁｬｰｼﾞ~自動", "charge", "auto"),
        (unicodedata.normalize("NFD", "チャージ〜自動"), "charge", "auto"),
        ("取消(-)", "refund", "取消(-)"),
        ("取消（－）", "refund", "取消（－）"),
        ("取消（―）", "refund", "取消（―）"),
    ],
)
def test_a_word_that_looks_the_same_means_the_same(
    tmp_path: Path, word: str, kind: str, method: str
) -> None:
    made = read_rows(tmp_path, f"N1,A1,2020/10/1,{word},100,N0", header=f"{HEADER},元番号")
    assert [(row["kind"], row["method"]) for row in made.rows] == [(kind, method)]


@pytest.mark.parametrize("word", ["エラー", "ｴﾗｰ", unicodedata.normalize("NFD", "エラー")])
def test_a_row_is_left_out_by_a_word_that_looks_the_same(tmp_path: Path, word: str) -> None:
    assert read_rows(tmp_path, f"N1,A1,2020/10/1,{word},100").skipped == {"failed": (1, 100)}


@pytest.mark.parametrize("word", ["エラー3回", "ｴﾗｰ3回", "エラー３回"])
def test_a_pattern_matches_what_looks_the_same(tmp_path: Path, word: str) -> None:
    skip = '[[skip]]\nreason = "tries"\ncolumn = "区分"\nmatches = "^エラー[0-9]回$"\n\n[[skip]]\n'
    changes = (("[[skip]]\n", skip),)
    made = read_rows(tmp_path, f"N1,A1,2020/10/1,{word},100", changes=changes)
    assert made.skipped == {"tries": (1, 100)}


@pytest.mark.parametrize("word", ["チャジ〜自動", "チャ一ジ〜自動", "支払い", "支 払"])
def test_a_word_that_only_resembles_one_is_a_fault(tmp_path: Path, word: str) -> None:
    made = read_rows(tmp_path, f"N1,A1,2020/10/1,{word},100")
    assert made.quarantined == {1: ["区分:unknown"]}


def test_ids_are_never_changed(tmp_path: Path) -> None:
    ids = ["Ｎ１", "N−1", unicodedata.normalize("NFD", "ガ1")]
    made = read_rows(tmp_path, *(f"{written},{written},2020/10/1,支払,100" for written in ids))
    assert [row["transaction_id"] for row in made.rows] == ids
    assert [row["account_id"] for row in made.rows] == ids


# --- Blank as a word ------------------------------------------------------------------------------

BLANK = (
    LAYOUT[LAYOUT.index('from = "区分"\n') : LAYOUT.index("\n\n[[skip]]")],
    'from = ["区分", "旗"]\nmap = { "支払-" = "purchase", "支払-*" = "refund" }',
)


def test_a_flag_that_is_blank_on_ordinary_rows_is_a_word_of_the_map(tmp_path: Path) -> None:
    made = read_rows(
        tmp_path,
        "N1,A1,2020/10/1,支払,100,,",
        "N2,A1,2020/10/1,支払,100,N1,*",
        "N3,A1,2020/10/1,支払,100,,+",
        "N4,A1,2020/10/1,売上,100,,",
        header=f"{HEADER},元番号,旗",
        changes=(BLANK,),
    )
    assert [row["kind"] for row in made.rows] == ["purchase", "refund"]
    assert made.quarantined == {3: ["区分:unknown", "旗:unknown"], 4: ["旗:missing"]}


def test_nothing_may_be_a_word_of_its_own(tmp_path: Path) -> None:
    change = (BLANK[0], 'from = "旗"\nmap = { "" = "purchase", "*" = "refund" }')
    rows = ("N1,A1,2020/10/1,支払,100,,", "N2,A1,2020/10/1,支払,100,N1,*")
    made = read_rows(tmp_path, *rows, header=f"{HEADER},元番号,旗", changes=(change,))
    assert [row["kind"] for row in made.rows] == ["purchase", "refund"]


# --- Amounts --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["1000.00", '"1,000.0"', "￥1000.00円", "１０００.００", "+1000.00"]
)
def test_zeros_behind_a_point_are_no_part_of_an_amount(tmp_path: Path, written: str) -> None:
    made = read_rows(tmp_path, f"N1,A1,2020/10/1,支払,{written}", "N2,A1,2020/10/1,支払,7")
    assert [row["amount"] for row in made.rows] == ["1000", "7"]


@pytest.mark.parametrize("written", ["1000.50", "1.000", "1000.", ".00", "10.00.00", "1000.000"])
def test_any_other_fraction_is_a_fault(tmp_path: Path, written: str) -> None:
    made = read_rows(tmp_path, f"N1,A1,2020/10/1,支払,{written}")
    assert made.quarantined == {1: ["金額（円）:malformed"]}


LESS = ('{ from = "金額（円）" }', '{ from = "金額（円）", less = "使用ポイント" }')


@pytest.mark.parametrize(
    ("amount", "points", "left"),
    [
        ("1000", "300", "700"),
        ("1000", "", "1000"),
        ("1000", "0", "1000"),
        ("1000", "1000", "金額（円）:out_of_range"),
        ("1000", "1001", "金額（円）:malformed"),
        ("1000", "-300", "金額（円）:malformed"),
        ("1000", "x", "金額（円）:malformed"),
        ("", "300", "金額（円）+使用ポイント:missing"),
    ],
)
def test_an_amount_may_be_less_another_column(
    tmp_path: Path, amount: str, points: str, left: str
) -> None:
    row = f"N1,A1,2020/10/1,支払,{amount},{points}"
    made = read_rows(tmp_path, row, header=f"{HEADER},使用ポイント", changes=(LESS,))
    found = [row["amount"] for row in made.rows]
    faults = {error for errors in made.quarantined.values() for error in errors}
    assert left in (*found, *faults)


# --- Times ----------------------------------------------------------------------------------------

TIME = 'occurred_at = { from = "日時", forms = ["YYYY/M/D H:mm", "YYYY/M/D"] }'


@pytest.mark.parametrize(
    ("written", "at"),
    [
        ("2020/10/5 25:30", "2020-10-06 01:30:00"),
        ("2020/10/31 24:00", "2020-11-01 00:00:00"),
        ("2020/10/5 23:59", "2020-10-05 23:59:00"),
        ("2020/10/5 29:59", "2020-10-06 05:59:00"),
        ("2020/10/5 30:00", None),
        ("2020/10/5 25:60", None),
    ],
)
def test_a_business_day_may_go_on_past_midnight(
    tmp_path: Path, written: str, at: str | None
) -> None:
    late = (TIME, TIME.replace(" }", ", past_midnight = true }"))
    made = read_rows(tmp_path, f"N1,A1,{written},支払,100", changes=(late,))
    assert [row["occurred_at"] for row in made.rows] == ([] if at is None else [at])
    # Where the layout does not say so, it is a fault.
    plain = read_rows(tmp_path, f"N1,A1,{written},支払,100")
    assert bool(plain.quarantined) == (at != "2020-10-05 23:59:00")


def test_times_of_another_zone_become_japans(tmp_path: Path) -> None:
    utc = (TIME, TIME.replace(" }", ', zone = "+00:00" }'))
    made = read_rows(tmp_path, "N1,A1,2020/8/31 15:30,支払,100", changes=(utc,))
    assert [row["occurred_at"] for row in made.rows] == ["2020-09-01 00:30:00"]


def test_a_column_may_say_the_zone_and_an_unknown_one_is_a_fault(tmp_path: Path) -> None:
    zones = 'zone_from = "時差", zones = { "JST" = "+09:00", "PDT" = "-07:00" } }'
    by_column = (TIME, TIME.replace(" }", f", {zones}"))
    rows = [
        f"N{n},A1,2020/10/11 2:35,支払,100,{zone}"
        for n, zone in enumerate(("JST", "PDT", "EST", ""))
    ]
    made = read_rows(tmp_path, *rows, header=f"{HEADER},時差", changes=(by_column,))
    assert [row["occurred_at"] for row in made.rows] == [
        "2020-10-11 02:35:00",
        "2020-10-11 18:35:00",
    ]
    assert [*made.quarantined] == [3, 4]


# --- Compression ----------------------------------------------------------------------------------


def test_frames_of_zstd_that_hold_no_data_are_passed(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(LAYOUT, encoding="utf-8")
    skippable = b"\x5a\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
    halves = (f"{HEADER}\nN1,A1,2020/10/1,支払,100\n", "N2,A1,2020/10/1,支払,100\n")
    packed = [zstandard.compress(half.encode()) for half in halves]
    path = tmp_path / "own.csv.zst"
    path.write_bytes(skippable * 2 + packed[0] + skippable + packed[1] + skippable)
    assert len(read(path, tmp_path / "own.toml").rows) == 2


# --- IDs that spreadsheets touched ----------------------------------------------------------------

UNWRAP = ('encoding = "utf-8"', 'encoding = "utf-8"\nunwrap = true')


@pytest.mark.parametrize("written", ['="0012"', '"=""0012"""', "'0012", "0012"])
def test_guards_against_spreadsheets_are_taken_off_where_the_layout_says_so(
    tmp_path: Path, written: str
) -> None:
    row = f"{written},{written},'2020/10/1,支払,'100"
    made = read_rows(tmp_path, row, changes=(UNWRAP,))
    assert [(row["transaction_id"], row["amount"]) for row in made.rows] == [("0012", "100")]
    if written != "0012":
        assert read_rows(tmp_path, row).quarantined[1][:2] == ["番号:malformed", "会員:malformed"]


def test_an_id_that_was_rounded_stays_a_fault(tmp_path: Path) -> None:
    made = read_rows(tmp_path, "1.2E+15,A1,2020/10/1,支払,100", changes=(UNWRAP,))
    assert made.quarantined == {1: ["番号:malformed"]}


def test_in_the_canonical_form_ids_that_a_spreadsheet_touched_are_booked_and_named(
    tmp_path: Path,
) -> None:
    desk = Desk(tmp_path)
    rows = [
        transaction(1),
        transaction(2, transaction_id="1.2E+15"),
        transaction(3, transaction_id="'0012", account_id='="0012"'),
    ]
    path = desk.write("t.csv", as_csv(rows))
    warnings = [
        (warning.row, warning.what.split(";")[0]) for warning in desk.run(path).record.warnings
    ]
    assert warnings == [
        (2, "transaction_id looks rounded by a spreadsheet (1.2E+15)"),
        (3, 'account_id looks guarded against a spreadsheet (="0012" or \'0012)'),
        (3, 'transaction_id looks guarded against a spreadsheet (="0012" or \'0012)'),
    ]


# --- Two rows out of one --------------------------------------------------------------------------

REFUNDED = '\n[refunded]\namount = "返金額"\nsuffix = "-R"\n'
SPLIT = (("[[skip]]", f"{REFUNDED}\n[[skip]]"), ('"時差"]', '"時差", "返金額"]'))


@pytest.mark.parametrize("block", [1, 60, 10_000])
def test_a_refunded_amount_in_its_own_column_is_a_refund_of_the_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    cut_into_blocks(monkeypatch, block)
    rows = [
        "N1,A1,2020/10/1,支払,1000,,0.00",
        "N2,A1,2020/10/2,支払,5000,,1500",
        "N3,A1,2020/10/3,エラー,700,,700",
        "N4,A1,2020/10/x,支払,900,,100",
        "N5,A1,2020/10/5,支払,800,,x",
        "N6,A1,2020/10/6,取消（−）,100,N1,50",
        "N7,A1,2020/10/7,支払,800,,-1",
    ]
    made = read_rows(tmp_path, *rows, header=f"{HEADER},元番号,返金額", changes=SPLIT)
    short = [
        f"{row['transaction_id']} {row['kind']} {row['amount']} {row['original_transaction_id']}"
        for row in made.rows
    ]
    assert sorted(short) == [
        "N1 purchase 1000 ",
        "N2 purchase 5000 ",
        "N2-R refund 1500 N2",
        "N5 purchase 800 ",
        "N6 refund 100 N1",
        "N7 purchase 800 ",
    ]
    # The second row has its record's number.
    assert {*made.quarantined} == {4, 5, 6, 7}
    assert made.read == made.rows_of_file == 7 + 5
    assert made.skipped == {"failed": (1, 700)}


def test_rows_out_of_one_are_booked_found_in_conflict_and_verified(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    layout = tmp_path / "split.toml"
    text = LAYOUT
    for old, new in (*SPLIT, ('constant = "coin"', f'constant = "{transaction(1)["service_id"]}"')):
        text = text.replace(old, new)
    layout.write_text(text, encoding="utf-8")
    account = transaction(1)["account_id"]
    head = f"{HEADER},返金額\n"
    first = desk.write("1.csv", head + f"N1,{account},2020/10/1,支払,5000,1500\n")
    # The refunded amount has grown meanwhile: that is another content of the same refund.
    second = desk.write("2.csv", head + f"N1,{account},2020/10/1,支払,5000,2500\n")
    ran = desk.run(mynapoint.DeliveredAs(first, layout))
    assert (ran.record.counts.read, ran.record.counts.booked) == (2, 2)
    again = desk.run(mynapoint.DeliveredAs(second, layout), max_quarantined=1)
    assert again.record.counts.declined == {"duplicate": 1}
    assert again.record.counts.quarantined == 1
    delivered = ["--transactions", str(first), "--transactions", str(second)]
    enrolled = ["--enrollments", str(desk.enrollments)]
    assert call(["verify", str(desk.book), *enrolled, *delivered]) == 0

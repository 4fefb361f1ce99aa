"""A provider's file as it really comes: encodings, line ends, cuts; and the place of each row."""

import datetime as dt
import gzip
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest
from deliveries import Desk, transaction
from hypothesis import example, given, settings
from hypothesis import strategies as st
from laid_out_files import Read, read
from short_limits import cut_into_blocks, keep_records_short
from test_individual_numbers import numbers

import mynapoint
from engine.errors import InputError
from engine.io.delivered import fixed_file, numbered_work
from engine.io.delivered.deliveries import Batch, Work, find_delivered
from engine.io.delivered.laid_out_file import LaidOutFile
from engine.layouts.equal_rows import EqualRows, Ids
from engine.layouts.parameters import Described

LAYOUT = """\
layout_id = "own"
name = "own"
role = "transactions"
follows = "invented"

[file]
encoding = "cp932"
header = ["番号", "会員", "日時", "区分", "金額"]
optional = ["元番号"]

[columns]
transaction_id = { from = "番号" }
service_id = { constant = "coin" }
account_id = { from = "会員" }
occurred_at = { from = "日時", forms = ["YYYY/M/D H:mm", "YYYY/M/D"] }
amount = { from = "金額" }
original_transaction_id = { refund_from = "元番号" }
method = { from = "区分" }

[columns.kind]
from = "区分"
map = { "支払" = "purchase", "取消" = "refund" }

[[skip]]
reason = "failed"
column = "区分"
is = ["失敗"]

[[skip]]
reason = "total"
line_begins = "合計"
"""
HEADER = "番号,会員,日時,区分,金額"
ROWS = [f"N{n},A1,2020/9/5 1{n % 10}:00,支払,{100 + n}" for n in range(40)]


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(LAYOUT, encoding="utf-8")
    return path


def changed(layout: Path, *pairs: tuple[str, str]) -> Path:
    text = layout.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    layout.write_text(text, encoding="utf-8")
    return layout


def read_text(layout: Path, text: str | bytes, **parameters: str) -> Read:
    path = layout.parent / "theirs.csv"
    path.write_bytes(text.encode("cp932") if isinstance(text, str) else text)
    return read(path, layout, **parameters)


def lines(*rows: str, header: str = HEADER, end: str = "\r\n") -> str:
    return "".join(f"{row}{end}" for row in (header, *rows))


def refused(layout: Path, text: str | bytes, why: str) -> InputError:
    with pytest.raises(InputError, match=why) as caught:
        read_text(layout, text)
    return caught.value


# --- Decoding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method",
    ["①②", "㈱", "髙島", "－", "～", "ﾏｲﾅﾎﾟｲﾝﾄ", "ソ表能", "￠￡￢", "―∥", "\u3000x", "x\u3000"],
)
def test_every_character_of_cp932_is_read_as_it_was_written(layout: Path, method: str) -> None:
    changed(layout, ('method = { from = "区分" }', 'method = { from = "メモ" }'))
    changed(layout, ('"金額"]', '"金額", "メモ"]'))
    made = read_text(layout, lines(f"N1,A1,2020/9/5,支払,100,{method}", header=f"{HEADER},メモ"))
    assert [row["method"] for row in made.rows] == [method.strip("\u3000")]


@pytest.mark.parametrize("word", ["支払\u3000", "\u3000支払", "支払 ", "\t支払"])
def test_a_word_with_one_blank_of_any_width_beside_it_is_the_word(layout: Path, word: str) -> None:
    """Each alone: a file that has any blank at an end is trimmed everywhere."""
    made = read_text(layout, lines(f"N1,A1,2020/9/5,{word},100", "N2,A1,2020/9/5,支払,100"))
    assert [(row["kind"], row["method"]) for row in made.rows] == [("purchase", "支払")] * 2


def test_a_trail_byte_that_looks_like_a_mark_of_csv_is_none(layout: Path) -> None:
    # The second bytes of these are those of \\ | ~ ` @ and brackets.
    odd = [c for c in map(chr, range(0x3000, 0x9FFF)) if _trail(c) in b"\\|~`@[]{}^_"]
    assert len(odd) > 100
    made = read_text(layout, lines(f'N1,A1,2020/9/5,"{"".join(odd)}",100'))
    assert made.quarantined == {1: ["区分:unknown"]}
    assert "".join(odd) in made.raw[1]


def _trail(character: str) -> bytes:
    try:
        encoded = character.encode("cp932")
    except UnicodeEncodeError:
        return b"?"
    return encoded[1:] if encoded.decode("cp932") == character else b"?"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_may_end_in_any_way(layout: Path, end: str) -> None:
    assert len(read_text(layout, lines(*ROWS, end=end)).rows) == 40


def test_line_ends_may_be_mixed(layout: Path) -> None:
    text = "\r\n".join([HEADER, *ROWS[:20]]) + "\r" + "\n".join(ROWS[20:])
    assert [row["transaction_id"] for row in read_text(layout, text).rows] == [
        f"N{n}" for n in range(40)
    ]


def test_a_bom_is_no_part_of_the_first_name(layout: Path) -> None:
    changed(layout, ('"cp932"', '"utf-8"'))
    assert len(read_text(layout, lines(*ROWS).encode("utf-8-sig")).rows) == 40


def test_compressed_files_are_read_as_they_are(layout: Path) -> None:
    assert len(read_text(layout, gzip.compress(lines(*ROWS).encode("cp932"))).rows) == 40


@pytest.mark.parametrize(
    ("written", "expected", "likely"),
    [
        ("utf-8", "cp932", "UTF-8"),
        ("utf-8-sig", "cp932", "UTF-8"),
        ("cp932", "utf-8", "CP932"),
        ("euc_jp", "cp932", "EUC-JP"),
        ("euc_jp", "utf-8", "EUC-JP"),
        ("iso2022_jp", "cp932", "ISO-2022-JP"),
    ],
)
def test_a_file_in_another_encoding_is_refused_and_the_likely_one_named(
    layout: Path, written: str, expected: str, likely: str
) -> None:
    changed(layout, ('"cp932"', f'"{expected}"'))
    error = refused(layout, lines(*ROWS).encode(written), "the file is not")
    assert f"it looks like {likely}" in error.hint


def test_a_file_in_utf_16_without_a_mark_is_named_by_its_first_bytes(layout: Path) -> None:
    refused(layout, lines(*ROWS).encode("utf-16-le"), "this is UTF-16 text")


def test_a_byte_that_no_text_has_makes_a_column_that_is_used_unreadable(layout: Path) -> None:
    text = lines(*ROWS).encode("cp932").replace("支払".encode("cp932"), b"\x81\x00", 1)
    refused(layout, text, "the file is not CP932")


# --- Framing --------------------------------------------------------------------------------------

CUTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "whole": lambda _: None,
    "cut into blocks of 100 bytes": lambda patch: cut_into_blocks(patch, 100),
}


@pytest.mark.parametrize("cut", CUTS)
def test_rows_keep_their_numbers_however_the_file_is_cut(
    layout: Path, monkeypatch: pytest.MonkeyPatch, cut: str
) -> None:
    CUTS[cut](monkeypatch)
    rows = list(ROWS)
    rows[4] = "N4,A1,2020/2/30,支払,104"
    rows[17] = "N17,A1,2020/9/5,失敗,117"
    rows[23] = "N23,A1"
    rows[31] = '"N31","A1","2020/9/5","支払","1,00円"'
    made = read_text(layout, "表題\r\n\r\n" + lines(*rows, "合計,36,4600"))
    assert made.quarantined == {
        5: ["日時:malformed"],
        24: ["row:malformed"],
        32: ["金額:malformed"],
    }
    assert made.raw[24] == "N23,A1"
    assert made.raw[32] == '"N31","A1","2020/9/5","支払","1,00円"'
    assert made.skipped == {"failed": (1, 117), "total": (1, 0)}
    assert (made.read, len(made.rows)) == (41, 36)


def test_equal_rows_are_numbered_across_the_cuts_of_a_file(
    layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_blocks(monkeypatch, 100)
    changed(
        layout,
        ('{ from = "番号" }', '{ from = ["会員", { amount = "金額" }], number_equal_rows = true }'),
    )
    rows = [f"x,A1,2020/9/5,{'失敗' if n == 3 else '支払'},{n % 2}00円" for n in range(30)]
    made = read_text(layout, lines(*rows))
    ones = [f"A1-100-{n}" for n in range(1, 15)]
    noughts = [f"A1-0-{n}" for n in range(1, 16)]
    assert [row["transaction_id"] for row in made.rows] == ones
    assert len(made.quarantined) == len(noughts)


def test_more_rows_than_can_be_numbered_are_refused(
    layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbered_work, "MOST_NUMBERED_ROWS", 30)
    changed(layout, ('{ from = "番号" }', '{ from = "番号", number_equal_rows = true }'))
    refused(layout, lines(*ROWS), "more than 30 rows")


def test_another_separator_is_read_as_quotes_and_all(layout: Path) -> None:
    changed(layout, ('encoding = "cp932"', 'encoding = "cp932"\nseparator = "\\t"'))
    text = lines(*ROWS, 'N9\tA1\t2020/9/6\t支払\t"1,234"').replace(",A1", "\tA1")
    made = read_text(
        layout,
        text.replace(",2020", "\t2020")
        .replace(",支払,", "\t支払\t")
        .replace(HEADER, HEADER.replace(",", "\t")),
    )
    assert [row["amount"] for row in made.rows][-2:] == ["139", "1234"]


def test_a_file_without_a_header_is_read_by_position(layout: Path) -> None:
    changed(layout, ("header =", "columns ="), ('optional = ["元番号"]', "lines_ahead = 1"))
    changed(layout, ('refund_from = "元番号"', 'refund_from = "番号"'))
    assert len(read_text(layout, lines(*ROWS, header="何かの表題")).rows) == 40


def test_columns_of_one_name_are_told_apart_by_their_number(layout: Path) -> None:
    changed(layout, ('"会員", "日時", "区分"', '"会員", "区分", "日時", "区分"'))
    changed(layout, ('from = "区分"\nmap', 'from = "区分 (2)"\nmap'))
    made = read_text(
        layout, lines("N1,A1,店,2020/9/5,支払,100", header="番号,会員,区分,日時,区分,金額")
    )
    assert [(row["kind"], row["method"]) for row in made.rows] == [("purchase", "店")]


def test_a_value_from_ahead_of_the_header_holds_for_all_rows(layout: Path) -> None:
    changed(layout, ('"会員", ', ""), ("[columns]", '[ahead]\n"会員" = "会員番号："\n\n[columns]'))
    text = "明細\r\n会員番号：A7,,,\r\n\r\n" + lines(
        "N1,2020/9/5,支払,100", header=HEADER.replace("会員,", "")
    )
    assert [row["account_id"] for row in read_text(layout, text).rows] == ["A7"]
    refused(layout, text.replace("会員番号：", "会員："), "no line ahead of the header begins with")


def test_a_header_that_is_not_there_is_named_by_what_it_lacks(layout: Path) -> None:
    error = refused(layout, lines(*ROWS, header=HEADER.replace("金額", "額")), "lacks 金額")
    assert "preview" in error.hint


def test_fixed_records_are_read_with_line_ends_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_file, "BLOCK_BYTES", 64)
    layout = tmp_path / "own.toml"
    layout.write_text(
        'layout_id = "own"\nname = "own"\nrole = "transactions"\nfollows = "invented"\n'
        '[fixed]\nencoding = "cp932"\nrecord_bytes = 30\nfields = [\n'
        '{ name = "番号", at = 1, bytes = 4 }, { name = "会員", at = 5, bytes = 10 },\n'
        '{ name = "日", at = 15, bytes = 8 }, { name = "金額", at = 23, bytes = 8 } ]\n'
        '[columns]\ntransaction_id = { from = "番号" }\nservice_id = { constant = "coin" }\n'
        'account_id = { from = "会員" }\noccurred_at = { from = "日", forms = ["YYYYMMDD"] }\n'
        'kind = { constant = "purchase" }\namount = { from = "金額" }\n',
        encoding="utf-8",
    )
    records = [f"{n:04}{'ﾏｲﾅ' + str(n):<10}20200905{n + 1:08}" for n in range(9)]
    expected = [("ﾏｲﾅ" + str(n), str(n + 1)) for n in range(9)]
    for end in ("", "\n", "\r\n"):
        for last in (end, "\x1a"):
            text = end.join(records) + last
            made = read_text(layout, text)
            assert [(row["account_id"], row["amount"]) for row in made.rows] == expected
            assert made.quarantined == {}
    ragged = read_text(layout, "\r\n".join([*records[:4], "short", *records[4:]]))
    assert ragged.quarantined == {5: ["row:malformed"]}
    assert (ragged.raw[5], ragged.read) == ("short", 10)
    first = read_text(layout, "\r\n".join(["short", *records]))
    assert (first.quarantined, len(first.rows)) == ({1: ["row:malformed"]}, 9)
    cut = read_text(layout, "".join(records) + "0009")
    assert cut.quarantined == {10: ["row:malformed"]}


# --- What becomes of the rows --------------------------------------------------------------------


def test_each_row_is_booked_declined_quarantined_or_skipped_by_the_layouts_reason(
    layout: Path,
) -> None:
    desk = Desk(layout.parent)
    rows = [
        'N1,A1,2020/9/5,支払,"1,000円"',
        "N2,A9,2020/9/5,支払,200円",
        "N3,A1,2020/9/5,失敗,300円",
        "N4,A1,2020/9/5,不明,400円",
        "N5,A1,2020/9/5,取消,500円",
    ]
    path = desk.write("theirs.csv", lines(*rows).encode("cp932"))
    record = desk.run(mynapoint.DeliveredAs(path, layout)).record
    counts, yen = record.counts, record.yen
    assert (counts.read, counts.booked, counts.quarantined) == (5, 1, 2)
    assert (counts.declined, counts.skipped) == ({"not_enrolled": 1}, {"failed": 1})
    assert (yen.read, yen.booked, yen.quarantined) == (2400, 1000, 900)
    assert (yen.declined, yen.skipped) == ({"not_enrolled": 200}, {"failed": 300})


def test_rows_that_are_left_out_do_not_thin_out_those_that_cannot_be_read(layout: Path) -> None:
    desk = Desk(layout.parent)
    rows = [f"N{n},A1,2020/9/5,失敗,300円" for n in range(19)] + ["N20,A1,2020/9/5,不明,400円"]
    path = desk.write("theirs.csv", lines(*rows).encode("cp932"))
    delivered = mynapoint.DeliveredAs(path, layout)
    with pytest.raises(
        InputError, match=r"1 of 2 rows would go to quarantine.*1 unreadable: 区分:unknown 1 \("
    ):
        desk.run(delivered, max_quarantined=0.49)
    assert desk.holds_nothing()
    assert desk.run(delivered, max_quarantined=0.5).record.counts.quarantined == 1


def test_conflicts_in_a_file_with_a_layout_are_refused_as_conflicts(layout: Path) -> None:
    desk = Desk(layout.parent)
    rows = [f"N1,A1,2020/9/5,支払,{yen}円" for yen in (100, 200)]
    path = desk.write("theirs.csv", lines(*rows).encode("cp932"))
    with pytest.raises(InputError, match=r"booked: 2 in conflict within the delivery \("):
        desk.run(mynapoint.DeliveredAs(path, layout), max_quarantined=0.1)


def test_a_file_of_nothing_but_rows_that_are_left_out_is_booked(layout: Path) -> None:
    desk = Desk(layout.parent)
    path = desk.write("theirs.csv", lines("N1,A1,2020/9/5,失敗,300円").encode("cp932"))
    delivered = mynapoint.DeliveredAs(path, layout)
    assert desk.run(delivered, enrollments=[], max_quarantined=0).record.counts.read == 1


def test_bytes_that_are_no_text_matter_where_they_are_read(layout: Path) -> None:
    sound = "N1,A1,2020/9/5,支払,100".encode("cp932")
    header = f"{HEADER},メモ\n".encode("cp932")
    read = read_text(layout, header + sound + b",\x81 A\n")
    assert [row["transaction_id"] for row in read.rows] == ["N1"]
    # Where the row is kept for people, they are shown as what nobody can read.
    read = read_text(layout, header + sound.replace(b"2020/9/5", b"x") + b",\x81 A\n")
    assert read.raw == {1: "N1,A1,x,支払,100,\ufffd A"}
    refused(layout, header + sound.replace(b"A1", b"A\x81 1") + b",\n", "is not CP932")


BROKEN = b"\x81 "


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_records_of_another_width_do_not_make_unread_bytes_matter(
    layout: Path, end: str, quote: str
) -> None:
    rows = [f"{quote}{row}{quote}".replace(",", f"{quote},{quote}") for row in ROWS[:6]]
    rows[2] = "N2,A1,2020/9/5"
    text = lines(
        *(f"{row},メモ" for row in rows), "", "合計,5,メモ", header=f"{HEADER},メモ", end=end
    )
    broken = text.encode("cp932").replace(
        "メモ".encode("cp932") + end.encode(), BROKEN + end.encode()
    )
    read = read_text(layout, broken.replace(BROKEN, "メモ".encode("cp932"), 1))
    assert [row["transaction_id"] for row in read.rows] == ["N0", "N1", "N3", "N4", "N5"]
    assert [row["method"] for row in read.rows] == ["支払"] * 5
    assert read.raw == {3: "N2,A1,2020/9/5,\ufffd "}
    assert read.skipped == {"total": (1, 0)}
    assert read.read == 7
    refused(layout, broken.replace(b"A1", b"A\x81 1", 1), "is not CP932")


def test_naming_a_fault_reads_no_more_of_a_row_than_it_is_made_from(layout: Path) -> None:
    day = '{ day = "日時", forms = ["YYYY/M/D"] }'
    made = f'{{ from = ["会員", {day}], refund_from = ["会員", {day}, "元番号"] }}'
    changed(layout, ('{ from = "番号" }', made))
    rows = ["N1,A1,2020/13/5,支払,100,!", "N2,A1,2020/13/5,取消,100,N1", "N3,A1,x,取消,100,"]
    text = lines(*rows, header=f"{HEADER},元番号").encode("cp932").replace(b"!", BROKEN)
    assert read_text(layout, text).quarantined == {
        1: ["日時:malformed"],
        2: ["日時:malformed"],
        3: ["元番号:missing", "日時:malformed"],
    }


def test_a_file_of_nothing_but_records_of_another_width_is_read(layout: Path) -> None:
    read = read_text(layout, lines("合計,1", "N1,A1", "合計,2"))
    assert (read.rows, read.quarantined) == ([], {2: ["row:malformed"]})
    assert read.skipped == {"total": (2, 0)}


@pytest.mark.parametrize("last", ["", "合計,1"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_utf_8_and_irregular_quotes_are_decoded_whole(
    layout: Path, encoding: str, last: str
) -> None:
    changed(layout, ('"cp932"', f'"{encoding}"'))
    stray = "x" if encoding == "utf-8" else 'a"b'
    text = lines(*(f"{row},{stray}" for row in ROWS), last, header=f"{HEADER},メモ").encode(
        encoding
    )
    assert len(read_text(layout, text).rows) == 40
    refused(layout, text.replace(stray.encode(), stray.encode() + BROKEN, 1), "the file is not")


@pytest.mark.parametrize("word", ["支払", "取消", "不明", ""])
@pytest.mark.parametrize("decided", ["", 'by_sign = { negative = "refund" }', "by_column"])
def test_a_sign_or_a_column_decides_only_where_the_word_is_known(
    layout: Path, word: str, decided: str
) -> None:
    changed(
        layout,
        ('"金額"]', '"金額", "払戻額"]'),
        ('{ from = "金額" }', '{ from = ["金額", "払戻額"] }'),
        ('[columns.kind]\nfrom = "区分"', f"[columns.kind]\n{_deciding(decided)}"),
    )
    amounts = ",100" if decided == "by_column" else "-100," if decided else "100,"
    row = f"N1,A1,2020/9/5,{word},{amounts},N0"
    read = read_text(layout, lines(row, header=f"{HEADER},払戻額,元番号"))
    if word in ("支払", "取消"):
        kind = "refund" if decided or word == "取消" else "purchase"
        assert [(row["kind"], row["amount"]) for row in read.rows] == [(kind, "100")]
        assert read.quarantined == {}
    else:
        assert read.quarantined == {1: ["区分:unknown" if word else "区分:missing"]}


def _deciding(decided: str) -> str:
    by_column = 'by_column = { "払戻額" = "refund" }'
    return f'from = "区分"\n{by_column if decided == "by_column" else decided}'


CONFLICTS = {
    "alone": ('{ from = "番号" }', "番号:conflict"),
    "composed": (
        '{ from = ["会員", { day = "日時", forms = ["YYYY/M/D"] }] }',
        "会員+日時:conflict",
    ),
    "composed, equal rows numbered": (
        '{ from = ["会員", "番号"], number_equal_rows = true }',
        "会員+番号:conflict",
    ),
}


WHERE = [
    (made, where)
    for made in CONFLICTS
    for where in ("in one file", "in two", "in the book")
    # Numbered, they are two rows of one file, and not one with two contents.
    if not ("numbered" in made and where == "in one file")
]


@pytest.mark.parametrize(("made", "where"), WHERE)
def test_a_conflict_is_named_by_the_providers_columns(layout: Path, made: str, where: str) -> None:
    made_from, fault = CONFLICTS[made]
    changed(layout, ('transaction_id = { from = "番号" }', f"transaction_id = {made_from}"))
    desk = Desk(layout.parent)
    rows = ["N0,A1,2020/9/4,支払,100円", "N1,A1,2020/9/5,支払,100円", "N1,A1,2020/9/5,支払,200円"]
    cuts = {
        "in one file": [rows],
        "in two": [rows[:2], ["N2,A1,2020/9/6,支払,1円", rows[2]]],
        "in the book": [rows[:2], ["N2,A1,2020/9/6,支払,1円", rows[2]]],
    }
    deliveries = [
        mynapoint.DeliveredAs(desk.write(f"{n}.csv", lines(*rows_of_file).encode("cp932")), layout)
        for n, rows_of_file in enumerate(cuts[where])
    ]
    runs = [[delivery] for delivery in deliveries] if where == "in the book" else [deliveries]
    for files in runs:
        desk.run(*files)
    last = desk.table("quarantine", len(runs))
    assert {*last["raw"]} == {*rows[1:]} if where != "in the book" else {rows[2]}
    assert {*last["errors"].explode()} == {fault}


def test_a_conflict_within_a_laid_out_file_shows_the_rows_as_they_came(layout: Path) -> None:
    desk = Desk(layout.parent)
    rows = ["N1,A1,2020/9/5,支払,100円", "N2,A1,2020/9/5,支払,5円", "N1,A1,2020/9/5,支払,200円"]
    path = desk.write("theirs.csv", lines(*rows).encode("cp932"))
    desk.run(mynapoint.DeliveredAs(path, layout))
    quarantine = desk.table("quarantine")
    assert quarantine.select("row", "raw").rows() == [(1, rows[0]), (3, rows[2])]


def test_a_record_without_layouts_has_nothing_new_in_it(layout: Path) -> None:
    desk = Desk(layout.parent)
    record = desk.run(desk.transactions([transaction(1)])).record.to_json()
    assert "skipped" not in record["counts"]
    assert "skipped" not in record["yen"]
    assert not any("layout" in read_file for read_file in record["inputs"])


def test_the_layout_and_what_it_was_told_are_kept_with_the_run(layout: Path) -> None:
    changed(layout, ("[columns]", '[parameters.who]\nasks = "who"\n\n[columns]'))
    changed(layout, ('account_id = { from = "会員" }', 'account_id = { from = "who" }'))
    desk = Desk(layout.parent)
    path = desk.write("theirs.csv", lines(*ROWS).encode("cp932"))
    delivered = mynapoint.DeliveredAs(path, layout, {"who": "A1"})
    record = desk.run(delivered).record
    used = record.inputs[1].layout
    assert used is not None
    assert (used.id, used.parameters) == ("own", {"who": "A1"})
    kept = desk.book / "runs" / "000001" / "layout-own.toml"
    assert kept.read_bytes() == layout.read_bytes()
    assert any(output.name == "runs/000001/layout-own.toml" for output in record.outputs)
    again = desk.run(delivered)
    assert again.already_booked
    other = mynapoint.DeliveredAs(path, layout, {"who": "A2"})
    assert not desk.run(other).already_booked


def test_two_layouts_of_one_id_cannot_be_told_apart_and_are_refused(layout: Path) -> None:
    desk = Desk(layout.parent)
    path = desk.write("theirs.csv", lines(*ROWS).encode("cp932"))
    other = desk.write("other.toml", layout.read_text(encoding="utf-8") + "# other\n")
    with pytest.raises(InputError, match="another layout of this run is called own"):
        desk.run(mynapoint.DeliveredAs(path, layout), mynapoint.DeliveredAs(path, other))


def test_individual_numbers_are_found_behind_a_layout_too(layout: Path) -> None:
    desk = Desk(layout.parent)
    rows = [f"N{n},{account},2020/9/5,支払,100" for n, account in enumerate(numbers(60))]
    path = desk.write("theirs.csv", lines(*rows).encode("cp932"))
    with pytest.raises(InputError, match="Individual Numbers"):
        desk.run(mynapoint.DeliveredAs(path, layout))


def test_enrollments_have_layouts_as_well(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    layout = desk.write(
        "own.toml",
        'layout_id = "own"\nname = "own"\nrole = "enrollments"\nfollows = "invented"\n'
        '[file]\nencoding = "cp932"\nheader = ["申込者", "会員", "申込日時", "交付申請日"]\n'
        '[columns]\nperson_id = { from = "申込者" }\nservice_id = { constant = "coin" }\n'
        'account_id = { from = "会員" }\n'
        'applied_at = { from = "申込日時", forms = ["YYYY年M月D日 H時m分"] }\n'
        'card_applied_on = { from = "交付申請日", forms = ["GE年M月D日"] }\n',
    )
    rows = ["P1,A1,2020年9月1日 9時0分,令和2年6月1日", "P2,A2,2020年9月1日 9時0分,令和2年6月31日"]
    text = lines(*rows, header="申込者,会員,申込日時,交付申請日")
    path = desk.write("theirs.csv", text.encode("cp932"))
    enrollments = [mynapoint.DeliveredAs(path, layout)]
    result = desk.run(desk.transactions([transaction(1)]), enrollments=enrollments)
    assert result.record.counts.booked == 1
    assert desk.table("quarantine")["errors"].to_list() == [["交付申請日:malformed"]]
    assert desk.table("accepted_enrollments")["card_applied_on"].to_list() == [dt.date(2020, 6, 1)]


def few_repeated(repeated: list[list[str]], among: int) -> list[list[str]]:
    """Parts of so many IDs that are their own, with a few others here and there."""
    parts = [[f"{number} {n}" for n in range(among)] for number in range(len(repeated))]
    for part, repeated_ids in zip(parts, repeated, strict=True):
        for number, repeated_id in enumerate(repeated_ids):
            part.insert(number * 37 % len(part), repeated_id)
    return parts


ALL_REPEATED = st.lists(st.lists(st.sampled_from("abcde"), max_size=12), max_size=5)
FEW_REPEATED = st.builds(
    few_repeated,
    st.lists(st.lists(st.sampled_from("abcde"), max_size=12), min_size=2, max_size=3),
    st.sampled_from((100, 300)),
)


@settings(deadline=None)
@given(ALL_REPEATED | FEW_REPEATED)
@example(few_repeated([[*"abcab"], [*"cda"]], 300))
def test_equal_rows_are_numbered_in_their_order_wherever_a_file_is_cut(
    parts: list[list[str]],
) -> None:
    equal_rows, seen = EqualRows(), Counter[str]()
    for part in parts:
        expected = []
        for row_id in part:
            seen[row_id] += 1
            expected.append(seen[row_id])
        assert equal_rows.numbers(Ids.of(pl.Series(part, dtype=pl.String))).tolist() == expected
        assert len(equal_rows) == len(seen)


def test_rows_in_conflict_are_read_again_with_their_numbers(layout: Path) -> None:
    # Of the same ID and number in two files, with other contents.
    changed(layout, ('{ from = "番号" }', '{ from = "番号", number_equal_rows = true }'))
    desk = Desk(layout.parent)
    files = [
        desk.write(f"{n}.csv", lines(*rows).encode("cp932"))
        for n, rows in enumerate(
            (
                ["N1,A1,2020/9/5,支払,100", "N1,A1,2020/9/5,支払,200"],
                ["N1,A1,2020/9/5,支払,100", "N1,A1,2020/9/5,支払,300"],
            )
        )
    ]
    desk.run(*(mynapoint.DeliveredAs(path, layout) for path in files))
    assert desk.booked() == ["N1-1"]
    assert desk.table("quarantine").select("row", "raw").rows() == [
        (2, "N1,A1,2020/9/5,支払,200"),
        (2, "N1,A1,2020/9/5,支払,300"),
    ]


def parts_of(layout: Path, text: str) -> list[Work]:
    path = layout.parent / "theirs.csv"
    path.write_bytes(text.encode("cp932"))
    delivered = find_delivered([mynapoint.DeliveredAs(path, layout)], "transactions")[0]
    assert delivered.written.layout is not None
    return list(LaidOutFile(delivered, Described(delivered.written.layout, {})).works())


def ids_of(batch: Batch) -> list[str]:
    assert isinstance(batch.table, pl.DataFrame)
    return batch.table["transaction_id"].to_list()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 2, 0, 3), (3,)])
def test_parts_are_numbered_in_the_files_order_whichever_is_read_first_or_at_all(
    layout: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[int, ...]
) -> None:
    changed(layout, ('{ from = "番号" }', '{ from = "番号", number_equal_rows = true }'))
    rows = [f"N{n % 3},A1,2020/9/5,支払,100" for n in range(40)]
    keep_records_short(monkeypatch, 40)
    cut_into_blocks(monkeypatch, 300)
    works = parts_of(layout, lines(*rows))
    assert len(works) >= 4
    expected = [f"N{n % 3}-{n // 3 + 1}" for n in range(40)]
    starts = [0]
    for work in parts_of(layout, lines(*rows)):
        starts.append(starts[-1] + work.read().records)
    assert starts[-1] == 40
    for part in order:
        here = expected[starts[part] : starts[part + 1]]
        assert ids_of(works[part].read()) == here
        assert ids_of(works[part].read_some([1, 3])) == [here[1], here[3]]
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda work: ids_of(work.read()), parts_of(layout, lines(*rows))))
    assert [row_id for part in again for row_id in part] == expected


def test_parts_that_nobody_reads_are_not_held_until_the_last(
    layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(layout, ('{ from = "番号" }', '{ from = "番号", number_equal_rows = true }'))
    keep_records_short(monkeypatch, 40)
    monkeypatch.setattr(numbered_work, "_MOST_WAITING", 2)
    cut_into_blocks(monkeypatch, 60)
    works = parts_of(layout, lines(*(f"N{n % 3},A1,2020/9/5,支払,100" for n in range(400))))
    assert len(works) > 100
    assert [work.is_numbered for work in works[-4:]] == [True, True, False, False]  # type: ignore[attr-defined]
    assert ids_of(works[-1].read())[-1] == "N0-134"


@pytest.mark.parametrize(
    "numbers", [["0001", "0002"], ["1", "20"], ["ア01", "ア02"], [" 001", "002 "]]
)
@pytest.mark.parametrize("days", [["2020/9/5", "2020/9/6"], ["2020/9/5", "2020/13/5"]])
def test_an_id_of_several_columns_is_the_same_however_wide_they_are(
    layout: Path, numbers: list[str], days: list[str]
) -> None:
    made = '["会員", { day = "日時", forms = ["YYYY/M/D"] }, "番号"]'
    changed(layout, ('transaction_id = { from = "番号" }', f"transaction_id = {{ from = {made} }}"))
    texts = [
        f"{number},A1,{day},支払,100" for number, day in zip(numbers * 3, days * 3, strict=True)
    ]
    read = read_text(layout, lines(*texts))
    expected = [
        f"A1-{day.replace('/9/', '09').zfill(2)[:6]}0{day[-1]}-{number.strip()}"
        for number, day in zip(numbers * 3, days * 3, strict=True)
        if "13" not in day
    ]
    assert [row["transaction_id"] for row in read.rows] == expected
    bad = {2, 4, 6} if "13" in days[1] else set()
    assert {*read.quarantined} == bad
    assert all(errors == ["日時:malformed"] for errors in read.quarantined.values())

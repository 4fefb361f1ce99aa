"""Where files end, and where they were joined: cut records, padding, byte order marks."""

import gzip
from pathlib import Path

import pytest
from command_line import in_this_process, without_note
from deliveries import Desk, as_csv, enrollment, transaction
from laid_out_files import read
from short_limits import cut_into_blocks, keep_records_short

from engine.errors import InputError

ROWS = [transaction(number, amount="7500") for number in range(1, 4)]
WHOLE = as_csv(ROWS)
LAYOUT = """
layout_id = "own"
name = "own"
follows = "invented"
role = "transactions"

[file]
encoding = "cp932"
header = ["番号", "会員", "日時", "区分", "金額"]

[columns]
transaction_id = { from = "番号" }
service_id = { constant = "coin" }
account_id = { from = "会員" }
occurred_at = { from = "日時", forms = ["YYYY/M/D H:mm"] }
kind = { from = "区分", map = { "支払" = "purchase" } }
amount = { from = "金額" }
"""
LAID_OUT = "番号,会員,日時,区分,金額\r\n" + "".join(
    f"N{number},A1,2020/9/5 10:00,支払,7500\r\n" for number in range(1, 4)
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def run(desk: Desk, path: Path, *options: str) -> tuple[int, str]:
    done = in_this_process(
        *("run", desk.book, "--booked-on", "2020-10-01", "--services", desk.services),
        *("--enrollments", desk.enrollments, *options, "--transactions", path, "--quiet"),
    )
    return done.returncode, without_note(done.stderr)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("cut", ["an amount", "the separators", "the line end alone", "CRLF"])
def test_a_last_record_without_a_line_end_is_read_and_said_or_refused(
    desk: Desk, cut: str, packed: bool
) -> None:
    end = {"an amount": ",00,", "the separators": ",", "the line end alone": "", "CRLF": "\r\n"}
    text = WHOLE.replace("\n", "\r\n") if cut == "CRLF" else WHOLE
    text = text.removesuffix("\n").removesuffix("\r" if cut == "CRLF" else "\n")
    if cut == "an amount":
        text = text[: text.rindex("7500") + 2]
    elif cut == "the separators":
        text = text.removesuffix(end[cut])
    data = gzip.compress(text.encode()) if packed else text.encode()
    path = desk.write("t.csv.gz" if packed else "t.csv", data)
    what = "row 3: the last record has no line end, so it may be cut short"
    options = ("--max-quarantined", "1")
    hint = "hint: have the file delivered whole, or run without --whole-lines"
    refused = run(desk, path, "--whole-lines", *options)
    assert refused == (2, f"error: {path}: {what}\n{hint}\n")
    assert desk.holds_nothing()
    assert run(desk, path, *options) == (0, f"warning: {path}: {what}\n")


def test_the_record_names_the_row_that_may_be_cut(desk: Desk) -> None:
    path = desk.write("t.csv", WHOLE.removesuffix("\n"))
    (warning,) = desk.run(path).record.warnings
    assert (warning.file, warning.row) == (str(path), 3)
    assert "cut short" in warning.what


@pytest.mark.parametrize("content", [WHOLE, WHOLE.replace("\n", "\r\n"), WHOLE.split("\n")[0]])
def test_a_file_of_whole_lines_and_one_without_records_are_not_warned_of(
    desk: Desk, content: str
) -> None:
    assert run(desk, desk.write("t.csv", content), "--whole-lines") == (0, "")


def test_an_application_and_a_providers_file_that_are_cut_are_said_too(desk: Desk) -> None:
    desk.enrollments.write_text(as_csv([enrollment(1)]).removesuffix("\n"))
    layout = desk.write("own.toml", LAYOUT)
    path = desk.write("own.csv", LAID_OUT.removesuffix("500\r\n").encode("cp932"))
    code, said = run(desk, path, "--layout", str(layout))
    assert code == 0
    assert said.splitlines() == [
        f"warning: {file}: row {row}: the last record has no line end, so it may be cut short"
        for file, row in ((desk.enrollments, 1), (path, 3))
    ]
    assert run(desk, path, "--whole-lines", "--layout", str(layout))[0] == 2


PADDING = {
    "Ctrl-Z": b"\x1a",
    "Ctrl-Z and a line end": b"\x1a\r\n",
    "NULs": b"\x00" * 100,
    "two mebibytes of NULs": b"\x00" * (2 << 20),
    "line ends and NULs": b"\r\n\r\n\x00\x00\n\x00",
}


@pytest.mark.parametrize("padding", PADDING)
@pytest.mark.parametrize("stray", [False, True], ids=["", "a stray quote"])
def test_padding_at_a_files_end_is_no_record(desk: Desk, padding: str, stray: bool) -> None:
    rows = [transaction(9, method='say "hi"')] if stray else []
    text = "".join(as_csv(ROWS)) + ",".join(rows[0].values()) + "\n" if stray else WHOLE
    path = desk.write("t.csv", text.encode() + PADDING[padding])
    assert run(desk, path, "--whole-lines") == (0, "")
    assert desk.record()["counts"]["read"] == len(ROWS) + stray
    again = desk.write("t.csv.gz", gzip.compress(path.read_bytes()))
    assert len(read(again).rows) == len(ROWS) + stray


def test_what_looks_like_padding_within_a_file_is_kept(desk: Desk) -> None:
    methods = ["a\x00\x1a", "\x00" * 5000, "end"]
    rows = [transaction(number, method=method) for number, method in enumerate(methods)]
    path = desk.write("t.csv", as_csv(rows))
    assert [row["method"] for row in read(path).rows] == methods
    with pytest.raises(InputError, match="longer than 1 MiB"):
        read(desk.write("long.csv", WHOLE.encode() + b"\x00" * (2 << 20) + WHOLE.encode()))


def test_padding_is_found_wherever_the_reads_of_a_file_end(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_blocks(monkeypatch, 7)
    keep_records_short(monkeypatch, 100)
    path = desk.write("t.csv", WHOLE.encode() + b"\r\n\x00\n" * 9 + b"\x1a")
    assert len(read(path).rows) == len(ROWS)


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("role", ["transactions", "enrollments"])
def test_where_files_were_joined_the_byte_order_mark_is_no_part_of_a_value(
    desk: Desk, quoted: bool, role: str
) -> None:
    rows = ROWS if role == "transactions" else [enrollment(number) for number in range(1, 4)]
    head, *lines = as_csv(rows).splitlines()
    if quoted:
        lines = ['"' + line.replace(",", '","') + '"' for line in lines]
    text = "\ufeff\ufeff" + "\n\ufeff".join([head, *lines, ""])
    made = read(desk.write("joined.csv", text), role=role)
    assert made.quarantined == {}
    assert made.rows == [dict(row) for row in rows]


def test_a_row_that_came_in_a_joined_file_is_known_when_it_comes_again(desk: Desk) -> None:
    lines = WHOLE.splitlines(keepends=True)
    joined = desk.write("both.csv", "\ufeff" + "".join(lines[:2]) + "\ufeff" + "".join(lines[2:]))
    desk.run(joined)
    result = desk.run(desk.write("part-2.csv", lines[0] + "".join(lines[2:])))
    assert result.record.counts.declined == {"duplicate": 2}
    assert desk.booked() == ["T1", "T2", "T3"]


@pytest.mark.parametrize("place", [0, 1, 4])
def test_a_byte_order_mark_in_a_providers_file_is_no_part_of_a_value(
    desk: Desk, place: int
) -> None:
    layout = desk.write("own.toml", LAYOUT.replace("cp932", "utf-8"))
    lines = LAID_OUT.splitlines()
    cells = lines[2].split(",")
    cells[place] = "\ufeff" + cells[place]
    text = "\ufeff\ufeff" + "\r\n".join([*lines[:2], ",".join(cells), lines[3], ""])
    made = read(desk.write("own.csv", text), layout)
    assert made.quarantined == {}
    assert [row["transaction_id"] for row in made.rows] == ["N1", "N2", "N3"]


# --- Within files: other tables, and what spreadsheets make of IDs --------------------------------


@pytest.mark.parametrize(
    ("second", "refused"),
    [
        ("番号,会員,日時,区分,今回ご請求金額\r\nN9,A1,2020/9/5 10:00,支払,5500\r\n", True),
        ("番号,会員,日時,区分,金額\r\nN9,A1,2020/9/5 10:00,支払,5500\r\n", True),
        ("番号の説明,会員の説明,日時の説明,-,-\r\n", False),
    ],
)
@pytest.mark.parametrize("skipped", [False, True])
def test_a_second_header_makes_a_file_unusable_unless_it_is_the_same_and_left_out(
    desk: Desk, second: str, refused: bool, skipped: bool
) -> None:
    skip = '\n[[skip]]\nreason = "heading"\ncolumn = "番号"\nis = ["番号"]\n' if skipped else ""
    layout = desk.write("own.toml", LAYOUT + skip)
    path = desk.write("own.csv", (LAID_OUT + second).encode("cp932"))
    is_the_same = ",金額" in second and skipped
    if refused and not is_the_same:
        with pytest.raises(
            InputError, match="a second header stands among the rows, with 番号, 会員"
        ):
            read(path, layout)
    else:
        assert len(read(path, layout).rows) == len(ROWS) + is_the_same


@pytest.mark.parametrize(
    "damaged",
    [
        *("1.23457E+15", "5E+18", '"=""0012"""', "'0012", "1.2E+5 ", "1.23457e+15", "1.23457E15"),
        *("'A012", "’0012", "####", "#N/A", "#REF!"),
    ],
)
@pytest.mark.parametrize("column", ["N1", "A1"])
def test_an_id_that_a_spreadsheet_damaged_is_a_fault_of_its_column(
    desk: Desk, damaged: str, column: str
) -> None:
    layout = desk.write("own.toml", LAYOUT)
    text = LAID_OUT.replace(f"{column},", f"{damaged},", 1)
    made = read(desk.write("own.csv", text.encode("cp932")), layout)
    name = "番号" if column == "N1" else "会員"
    assert made.quarantined == {1: [f"{name}:malformed"]}


def test_a_byte_order_mark_within_an_id_is_a_fault_and_ahead_of_it_is_none(desk: Desk) -> None:
    layout = desk.write("own.toml", LAYOUT.replace('"cp932"', '"utf-8"'))
    made = read(desk.write("own.csv", LAID_OUT.replace("N1,", "\ufeffN1,", 1)), layout)
    assert made.rows[0]["transaction_id"] == "N1"
    made = read(desk.write("own.csv", LAID_OUT.replace("N1,", "N\ufeff1,", 1)), layout)
    assert made.quarantined == {1: ["番号:malformed"]}


@pytest.mark.parametrize("sound", ["1E15", "E+15", "12E+3", "A-1.5E", "X='1", "0012"])
def test_an_id_that_only_looks_so_is_kept(desk: Desk, sound: str) -> None:
    layout = desk.write("own.toml", LAYOUT)
    text = LAID_OUT.replace("N1,", f"{sound},", 1)
    made = read(desk.write("own.csv", text.encode("cp932")), layout)
    assert made.rows[0]["transaction_id"] == sound

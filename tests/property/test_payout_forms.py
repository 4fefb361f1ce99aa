"""What a layout turned round writes it also reads; and a broken one is refused with its words."""

import datetime as dt
import json
from pathlib import Path
from traceback import walk_tb
from typing import Any

import polars as pl
import pytest
from deliveries import TESTS
from hypothesis import given, settings
from hypothesis import strategies as st

import engine.payouts.written_form as module
from engine.errors import InputError
from engine.io.payout.form_file import load_written_form
from engine.payouts.lines import FILE_COLUMNS
from engine.payouts.write_form import body, head, read_back, tail
from engine.payouts.written_form import WrittenForm, parse_written_form

BROKEN = sorted((TESTS / "broken" / "payout_forms").glob("*.toml"))
SCHEMA: dict[str, Any] = dict.fromkeys(FILE_COLUMNS, pl.String) | {
    "points": pl.Int64,
    "due_on": pl.Date,
    "instructed_on": pl.Date,
}
DAY = dt.date(2021, 10, 31)
FORMS = ("YYYYMMDD", "YYYY/MM/DD", "YYYY年MM月DD日", "DD.MM.YYYY")
# Signs that CSV quotes, and characters of two bytes.
TEXTS = st.text("aZ09-,;|\"' 山ソー", min_size=1, max_size=8).filter(
    lambda text: text == text.strip()
)


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    drawn = draw(
        st.lists(
            st.tuples(
                TEXTS,
                st.sampled_from(["pay", "take_back"]),
                st.integers(1, 99_999_999),
                st.one_of(st.none(), st.dates(dt.date(2020, 9, 1), dt.date(2030, 1, 1))),
            ),
            max_size=6,
        )
    )
    return [
        {
            "payout_id": f"{number:032x}",
            "service_id": "coin",
            "account_id": account,
            "direction": direction,
            "points": points,
            "due_on": due_on,
            "instructed_on": DAY,
        }
        for number, (account, direction, points, due_on) in enumerate(drawn)
    ]


@st.composite
def forms(draw: st.DrawFn) -> str:
    """The text of a form: its columns in any order, some left out, with lines ahead and after."""
    fixed = draw(st.booleans())
    needed = ["payout_id", "account_id", "direction", "points"]
    more = draw(
        st.lists(st.sampled_from(["due_on", "instructed_on", "service_id", ""]), max_size=4)
    )
    sources = draw(st.permutations([*needed, *more]))
    names = [f"列{place}" for place in range(len(sources))]
    encoding = draw(st.sampled_from(["utf-8", "cp932"]))
    ends = ["crlf", "lf", "none"] if fixed else ["crlf", "lf"]
    text = 'layout_id = "own"\nname = "own"\nfollows = "a test"\nrole = "payouts"\n'
    text += f'line_end = "{draw(st.sampled_from(ends))}"\n'
    for key in ("first", "last"):
        for _ in range(draw(st.integers(0, 3))):
            text += f"[[{key}]]\n"
            source = draw(st.sampled_from(["", *module.TOTALS]))
            text += f'from = "{source}"\n' if source else 'constant = "8"\n'
            if source == "instructed_on":
                text += f'forms = ["{draw(st.sampled_from(FORMS))}"]\n'
            text += "bytes = 20\n" if fixed else ""
    if fixed:
        fields = ", ".join(
            f'{{ name = "{name}", at = {1 + 41 * place}, bytes = 40 }}'
            for place, name in enumerate(names)
        )
        text += f'[fixed]\nencoding = "{encoding}"\nrecord_bytes = {41 * len(names)}\n'
        text += f"fields = [{fields}]\n"
    else:
        separators = [",", "\\t", ";"] + (["|"] if encoding == "utf-8" else [])
        text += f'[file]\nencoding = "{encoding}"\n'
        text += f'separator = "{draw(st.sampled_from(separators))}"\n'
        text += f"{draw(st.sampled_from(['header', 'columns']))} = {json.dumps(names)}\n"
    for name, source in zip(names, sources, strict=True):
        text += f'[columns."{name}"]\n'
        text += f'from = "{source}"\n' if source else 'constant = "固定"\n'
        if source in ("due_on", "instructed_on"):
            text += f'forms = ["{draw(st.sampled_from(FORMS))}"]\n'
        if source == "direction" and draw(st.booleans()):
            text += 'map = { pay = "1", take_back = "取消" }\n'
    return text


def totals_of(rows: list[dict[str, Any]]) -> dict[str, str | int | dt.date]:
    totals: dict[str, str | int | dt.date] = {
        "rows": len(rows),
        "payout_run_id": "000001",
        "service_id": "coin",
        "instructed_on": DAY,
    }
    for direction in ("pay", "take_back"):
        points = [row["points"] for row in rows if row["direction"] == direction]
        totals |= {f"{direction}_rows": len(points), f"{direction}_points": sum(points)}
    return totals


def written(form: WrittenForm, rows: list[dict[str, Any]]) -> bytes:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    totals = totals_of(rows)
    # In two pieces, as a large file comes.
    pieces = body(form, frame[:2]) + body(form, frame[2:])
    return head(form, totals) + pieces + tail(form, totals)


@given(forms(), lines())
@settings(max_examples=150, deadline=None)
def test_what_a_form_writes_it_also_reads(text: str, rows: list[dict[str, Any]]) -> None:
    form = parse_written_form(text, "here")
    read = read_back(form, written(form, rows))
    sources = {column.source for column in form.columns.values()} - {None}
    assert read.lines == [{name: row[name] for name in row if name in sources} for row in rows]
    totals = totals_of(rows)
    for said in (read.first, read.last):
        assert said == {name: totals[name] for name in said}


FORM = """\
layout_id = "own"
name = "own"
follows = "a test"
role = "payouts"
[[first]]
constant = "1"
bytes = 1
[[first]]
from = "instructed_on"
forms = ["YYYYMMDD"]
bytes = 8
[[last]]
constant = "8"
bytes = 1
[[last]]
from = "rows"
bytes = 6
[[last]]
from = "pay_points"
bytes = 12
[fixed]
encoding = "cp932"
record_bytes = 60
fields = [
    { name = "区分", at = 1, bytes = 1 },
    { name = "番号", at = 2, bytes = 10 },
    { name = "ポイント", at = 12, bytes = 8 },
    { name = "ID", at = 21, bytes = 32 },
]
[columns."区分"]
from = "direction"
map = { pay = "2", take_back = "3" }
[columns."番号"]
from = "account_id"
[columns."ポイント"]
from = "points"
[columns."ID"]
from = "payout_id"
"""
ROW = {
    "payout_id": "0123456789abcdef0123456789abcdef",
    "service_id": "coin",
    "account_id": "A1",
    "direction": "pay",
    "points": 1250,
    "due_on": None,
    "instructed_on": DAY,
}


def test_fixed_records_have_numbers_to_the_right_and_counts_at_the_end() -> None:
    assert written(parse_written_form(FORM, "here"), [ROW]).decode("cp932").split("\r\n") == [
        "120211031".ljust(60),
        "2A1        00001250 0123456789abcdef0123456789abcdef        ",
        "8000001000000001250".ljust(60),
        "",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"account_id": "A2345678901"}, "番号: a value has more bytes than the field"),
        ({"account_id": "山山山山山山"}, "番号: a value has more bytes than the field"),
        ({"account_id": "\N{GRINNING FACE}"}, "U+1F600 is not in cp932"),
    ],
)
def test_what_cannot_be_written_so_is_refused(change: dict[str, str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        written(parse_written_form(FORM, "here"), [ROW | change])
    assert words in caught.value.message
    assert all(value not in caught.value.message for value in change.values())


@pytest.mark.parametrize("file", BROKEN, ids=lambda file: str(file.stem))
def test_a_broken_form_is_refused_with_its_words(file: Path) -> None:
    first_line = file.read_text(encoding="utf-8").split("\n", 1)[0]
    assert first_line.startswith("# error: ")
    with pytest.raises(InputError) as caught:
        load_written_form(file)
    assert first_line.removeprefix("# error: ") in caught.value.message
    assert caught.value.message.startswith(f"{file}: ")
    assert caught.value.hint


def test_every_fault_of_a_form_has_a_broken_file() -> None:
    source = Path(module.__file__)
    raised = set()
    for file in BROKEN:
        with pytest.raises(InputError) as caught:
            load_written_form(file)
        frames = walk_tb(caught.value.__traceback__)
        raised |= {line for frame, line in frames if frame.f_code.co_filename == str(source)}
    text = source.read_text(encoding="utf-8").splitlines()
    faults = {number for number, line in enumerate(text, 1) if line.strip().startswith("raise ")}
    assert faults <= raised, sorted(faults - raised)

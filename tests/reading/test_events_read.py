"""Events as they are delivered: each kind needs some columns, and allows no others."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from laid_out_files import Read, read

from engine.errors import InputError
from engine.layouts.parsing import parse_layout

COLUMNS = (
    *("event_id", "kind", "authority", "person_id", "service_id", "account_id"),
    *("transaction_id", "other_id", "effective_at", "basis", "note"),
)
FILLED = {
    "person_id": "P1",
    "service_id": "coin",
    "account_id": "A1",
    "transaction_id": "T1",
    "other_id": "A2",
    "effective_at": "2020-11-01 10:00:00",
    "basis": "purchase",
}
# The specification's table, section 6.
NEEDED = {
    "account_replaced": {"service_id", "account_id", "other_id", "effective_at"},
    "enrollment_stopped": {"person_id", "service_id", "account_id", "effective_at"},
    "enrollment_resumed": {"person_id", "service_id", "account_id", "effective_at"},
    "enrollment_voided": {"person_id", "service_id", "account_id"},
    "enrollment_granted": {"person_id", "service_id", "account_id", "effective_at"},
    "persons_merged": {"person_id", "other_id"},
    "transaction_voided": {"service_id", "transaction_id"},
    "undone": {"other_id"},
}
ALLOWED = {kind: {*names} for kind, names in NEEDED.items()}
ALLOWED["enrollment_granted"].add("basis")


def event(kind: str, /, **changed: str) -> dict[str, str]:
    """An event of a kind with what it needs, and a note."""
    filled = {name: FILLED[name] for name in NEEDED.get(kind, ())}
    head = {"event_id": "V1", "kind": kind, "authority": "list 7", "note": "by letter"}
    return dict.fromkeys(COLUMNS, "") | head | filled | changed


def read_events(folder: Path, *rows: dict[str, str], parquet: bool = False) -> Read:
    path = folder / f"events.{'parquet' if parquet else 'csv'}"
    if parquet:
        pq.write_table(pa.table({name: [row[name] for row in rows] for name in COLUMNS}), path)
    else:
        lines = [",".join(COLUMNS), *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return read(path, role="events")


@pytest.mark.parametrize("parquet", [False, True])
def test_an_event_of_each_kind_is_read_as_it_was_delivered(parquet: bool, tmp_path: Path) -> None:
    rows = [event(kind) for kind in NEEDED]
    made = read_events(tmp_path, *rows, parquet=parquet)
    assert not made.quarantined
    assert made.rows == rows


@pytest.mark.parametrize("kind", NEEDED)
def test_each_column_is_needed_allowed_or_unexpected_as_the_kind_has_it(
    kind: str, tmp_path: Path
) -> None:
    for name, value in FILLED.items():
        empty = read_events(tmp_path, event(kind, **{name: ""})).quarantined
        filled = read_events(tmp_path, event(kind, **{name: value})).quarantined
        assert empty == ({1: [f"{name}:missing"]} if name in NEEDED[kind] else {})
        assert filled == ({} if name in ALLOWED[kind] else {1: [f"{name}:unexpected"]})


@pytest.mark.parametrize(
    ("changed", "errors"),
    [
        ({"event_id": ""}, ["event_id:missing"]),
        ({"authority": " \u3000\ufeff"}, ["authority:missing"]),
        ({"authority": "字" * 200}, []),
        ({"authority": "字" * 201}, ["authority:out_of_range"]),
        ({"kind": ""}, ["kind:missing"]),
        # Of an unknown kind nobody can say what it needs.
        ({"kind": "Undone", "basis": "purchase"}, ["kind:unknown"]),
        ({"other_id": "V" * 65}, ["other_id:out_of_range"]),
        ({"other_id": "V\x7f"}, ["other_id:malformed"]),
        ({"other_id": ""}, ["other_id:missing"]),
        # A value where none may be is at fault for that alone, whatever it is.
        ({"effective_at": "soon"}, ["effective_at:unexpected"]),
        ({"basis": "credit"}, ["basis:unexpected"]),
        ({"note": ""}, []),
    ],
)
def test_faults_of_events_have_the_codes_of_the_specification(
    changed: dict[str, str], errors: list[str], tmp_path: Path
) -> None:
    made = read_events(tmp_path, event("undone", **changed))
    assert made.quarantined == ({1: errors} if errors else {})


def test_a_time_of_an_event_is_read_in_japan_standard_time(tmp_path: Path) -> None:
    at = "2020-11-01T01:00:00Z"
    (row,) = read_events(tmp_path, event("enrollment_stopped", effective_at=at)).rows
    assert row["effective_at"] == str(dt.datetime(2020, 11, 1, 10))
    made = read_events(tmp_path, event("enrollment_stopped", effective_at="2020-11-01"))
    assert made.quarantined == {1: ["effective_at:malformed"]}


LAYOUT = """
layout_id = "secretariat"
name = "the secretariat's list"
follows = "invented"
role = "events"

[file]
encoding = "cp932"
header = ["番号", "処理", "決裁", "会員", "カード", "新カード", "日時"]

[columns]
event_id = { from = "番号" }
kind = { from = "処理", map = { "再発行" = "account_replaced", "退会" = "enrollment_stopped" } }
authority = { from = "決裁" }
person_id = { from = "会員" }
service_id = { constant = "coin" }
account_id = { from = "カード" }
other_id = { from = "新カード" }
effective_at = { from = "日時", forms = ["YYYY/M/D H:mm"] }
"""


def test_a_layout_describes_events(tmp_path: Path) -> None:
    layout = tmp_path / "secretariat.toml"
    layout.write_text(LAYOUT)
    path = tmp_path / "list.csv"
    path.write_text(
        "番号,処理,決裁,会員,カード,新カード,日時\n"
        "V1,再発行,第7号,,A1,A2,2020/11/1 10:00\n"
        "V2,退会,第8号,P1,A1,,2020/11/2 9:30\n"
        "V3,休会,第9号,P1,A1,,2020/11/2 9:30\n"
        "V4,退会,第9号,P1,A1,A2,yesterday\n",
        encoding="cp932",
    )
    made = read(path, layout, role="events")
    assert [(row["event_id"], row["kind"], row["effective_at"]) for row in made.rows] == [
        ("V1", "account_replaced", "2020-11-01 10:00:00"),
        ("V2", "enrollment_stopped", "2020-11-02 09:30:00"),
    ]
    assert made.quarantined == {
        3: ["処理:unknown"],
        4: ["新カード:unexpected", "日時:malformed"],
    }


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('kind = { from = "処理", by_sign = { negative = "refund" } }', "events cannot be refunds"),
        ('kind = { constant = "charge" }', "is none of account_replaced"),
        ('amount = { from = "番号" }', "unknown key"),
    ],
)
def test_a_layout_of_events_has_their_columns_and_words_alone(line: str, why: str) -> None:
    kind = next(
        line_of_layout
        for line_of_layout in LAYOUT.splitlines()
        if line_of_layout.startswith("kind")
    )
    text = LAYOUT.replace(kind, line) if line.startswith("kind") else LAYOUT + line
    with pytest.raises(InputError, match=why):
        parse_layout(text, "secretariat.toml")


def test_a_file_of_events_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("event_id,kind\nV1,undone\n")
    with pytest.raises(InputError, match="lacks the required column authority"):
        read(path, role="events")

"""What a provider's file says its rows come to is held against the rows that are read."""

from pathlib import Path

import pytest
from deliveries import TESTS, Desk
from short_limits import cut_into_blocks

from engine.errors import InputError
from engine.io.delivered import fixed_file
from engine.io.delivered.deliveries import DeliveredAs

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
occurred_at = { from = "日時", forms = ["YYYY/M/D"] }
amount = { from = "金額" }
original_transaction_id = { refund_from = "番号" }

[columns.kind]
from = "区分"
map = { "支払" = "purchase", "失敗" = "purchase" }
by_sign = { negative = "refund" }

[[skip]]
reason = "failed"
column = "区分"
is = ["失敗"]

[[skip]]
reason = "total"
line_begins = "合計"

[totals]
line_matches = "^合計,(?P<rows>[^,]*)件,,,\\"?(?P<yen>[^\\"]*)"
"""
HEADER = "番号,会員,日時,区分,金額\r\n"
ROWS = [f"N{n:03},A1,2020/9/{n % 9 + 2},支払,{100 + n}\r\n" for n in range(1, 41)]
YEN = sum(100 + n for n in range(1, 41))
FAILED = "F001,A1,2020/9/5,失敗,500\r\n"


def total(rows: object, yen: object) -> str:
    return f'合計,{rows}件,,,"{yen}円"\r\n'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def run(desk: Desk, text: str, layout: str = LAYOUT, **options: bool) -> list[str]:
    """Books a file; gives the warnings."""
    path = desk.write("t.csv", text.encode("cp932"))
    delivered = DeliveredAs(path, desk.write("own.toml", layout))
    return [warning.what for warning in desk.run(delivered, **options).record.warnings]


def refused(desk: Desk, text: str, why: str, layout: str = LAYOUT) -> None:
    with pytest.raises(InputError, match=why) as caught:
        run(desk, text, layout)
    assert caught.value.exit_code == 2
    assert desk.holds_nothing()


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_totals_that_agree_are_booked_however_the_file_is_cut(
    desk: Desk, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_blocks(monkeypatch, block_bytes)
    text = HEADER + "".join(ROWS[:15]) + FAILED + "".join(ROWS[15:]) + total(40, f"{YEN:,}")
    assert run(desk, text) == []
    assert len(desk.booked()) == 40


@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
@pytest.mark.parametrize(
    ("said", "why"),
    [
        (total(41, YEN), r"row 41: .* says 41 where the rows come to 40 \(rows\)"),
        (total(40, YEN + 1), rf"says {YEN + 1:,} where the rows come to {YEN:,} \(yen\)"),
        (total("", YEN), "says no number where the rows come to 40"),
        (total(40, "?"), "says no number"),
    ],
)
def test_totals_that_differ_are_refused_with_both_figures(
    desk: Desk, said: str, why: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_into_blocks(monkeypatch, block_bytes)
    refused(desk, HEADER + "".join(ROWS) + said, why)


def test_each_line_counts_the_rows_since_the_one_above_it(desk: Desk) -> None:
    first, second = ROWS[:10], ROWS[10:12]
    said = total(10, sum(101 + n for n in range(10))), total(2, 111 + 112)
    assert run(desk, HEADER + "".join([*first, said[0], *second, said[1]])) == []
    # The same figures in the wrong places sum up to the same.
    with pytest.raises(InputError, match=r"row 11: .* says 2 where"):
        run(desk, HEADER + "".join([*first, said[1], *second, said[0]]))


def test_rows_that_are_left_out_count_where_the_layout_says_so(desk: Desk) -> None:
    text = HEADER + "".join(ROWS) + FAILED + total(41, YEN + 500)
    refused(desk, text, "says 41 where the rows come to 40")
    assert run(desk, text, f'{LAYOUT}with_skipped = ["failed"]\n') == []


def test_refunds_are_in_the_sum_of_amounts_or_taken_off(desk: Desk) -> None:
    text = HEADER + "N1,A1,2020/9/5,支払,900\r\nN2,A1,2020/9/5,支払,-200\r\n"
    net = LAYOUT.replace("?P<yen>", "?P<net_yen>")
    refused(desk, text + total(2, 700), r"says 700 where the rows come to 1,100 \(yen\)")
    refused(desk, text + total(2, 1100), r"come to 700 \(yen, refunds taken off\)", net)
    assert run(desk, text + total(2, 700), net) == []


def test_a_row_that_cannot_be_read_counts_and_its_amount_is_not_guessed(desk: Desk) -> None:
    text = HEADER + "".join(ROWS) + "N999,A1,2020/9/5,支払,百円\r\nN998,A1\r\n"
    assert run(desk, text + total(42, YEN + 100)) == []
    assert len(desk.quarantined()) == 2
    with pytest.raises(InputError, match="says 41 where the rows come to 42"):
        run(desk, text + total(41, YEN + 100))


def test_rows_that_no_line_counts_are_warned_of_or_refused(desk: Desk) -> None:
    text = HEADER + "".join(ROWS[:3])
    (warning,) = run(desk, text)
    assert warning.startswith("no line with totals counts the last 3 rows")
    with pytest.raises(InputError, match="row 3: no line with totals counts"):
        run(desk, text, whole_lines=True)


def test_a_line_ahead_of_the_header_or_of_its_rows_is_held_against_those_below(
    desk: Desk,
) -> None:
    layout = f'{LAYOUT}stand = "ahead"\n'
    text = f"明細\r\n{total(40, YEN)}{HEADER}" + "".join(ROWS)
    assert run(desk, text, layout) == []
    other = Desk(desk.folder / "other")
    refused(other, text.replace("40件", "39件"), "ahead of the header: .* says 39", layout)
    parts = f"{total(1, 101)}{HEADER}{ROWS[0]}{total(1, 103)}{ROWS[1]}"
    refused(other, parts, r"row 2: .* says 103 where the rows come to 102 \(yen\)", layout)


@pytest.mark.parametrize("record_count", [1, 10_000])
def test_a_banks_trailer_counts_its_own_file_among_those_that_were_joined(
    desk: Desk, record_count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fixed_file, "BLOCK_BYTES", 121 * record_count)
    file = TESTS / "layouts" / "zengin-account-transfer" / "transfer.txt"
    content, parameters = file.read_bytes(), {"service_id": "tap", "as_of": "2020-11-01"}

    def transfer(name: str, content: bytes) -> DeliveredAs:
        return DeliveredAs(desk.write(name, content), "zengin-account-transfer", parameters)

    cut = content.replace(b"8000001000000007000", b"8000001000000070000")
    with pytest.raises(InputError, match=r"row 8: .* says 70,000 where the rows come to 7,000"):
        desk.run(transfer("cut.txt", cut))
    # The first file has a row whose amount cannot be read: its number of rows is compared.
    with pytest.raises(InputError, match=r"row 5: .* says 3 where the rows come to 4"):
        desk.run(transfer("short.txt", content.replace(b"8000004", b"8000003")))
    assert desk.run(transfer("whole.txt", content)).record.warnings == ()

"""Files as providers really deliver them: whatever is readable is read, and nothing else is."""

import datetime as dt
import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import oracle
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from deliveries import TRANSACTION_COLUMNS, Desk, as_csv, enrollment, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from short_limits import cut_into_blocks, keep_records_short

from engine.errors import InputError
from engine.io.delivered import byte_stream, parquet_file

HEADER = ",".join(TRANSACTION_COLUMNS)
MIB = 1 << 20


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def line(number: int, **changed: str) -> str:
    """A transaction as a line, its values just as they are given."""
    return ",".join(transaction(number, **changed).values())


def lines(*rows: str) -> str:
    return "\n".join([HEADER, *rows, ""])


def refused(desk: Desk, path: Path | str, why: str, **options: Any) -> InputError:
    """The delivery is refused with a reason that names it, and nothing is booked."""
    with pytest.raises(InputError, match=why) as caught:
        desk.run(path, **options)
    assert caught.value.exit_code == 2
    assert str(path) in caught.value.message
    assert desk.holds_nothing()
    return caught.value


def instants(desk: Desk) -> dict[str, dt.datetime]:
    """When each readable transaction happened, whether it was booked or not."""
    both = (desk.ledger(), desk.table("declined"))
    return {
        key: at
        for frame in both
        for key, at in frame.select("transaction_id", "occurred_at").iter_rows()
    }


# --- CSV ------------------------------------------------------------------------------------------

ROWS = [
    transaction(1, transaction_id="T,1", method="a,b"),
    transaction(2, transaction_id='T"2"', method='say "hi"', amount="999"),
    transaction(3, method="two\nlines", amount="30"),
    transaction(4, kind="refund", amount="7", original_transaction_id="T3"),
    transaction(5, method="ポイント"),
]
PLAIN = as_csv(ROWS)


def quoted_throughout() -> str:
    cells = [list(TRANSACTION_COLUMNS), *(list(row.values()) for row in ROWS)]
    return "".join(
        ",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in cells
    )


FORMS: dict[str, Callable[[], str | bytes]] = {
    "plain": lambda: PLAIN,
    "a BOM": lambda: "\ufeff" + PLAIN,
    "a BOM and a quoted header": lambda: "\ufeff" + quoted_throughout(),
    "every field quoted": quoted_throughout,
    "CRLF": lambda: as_csv(ROWS, line_end="\r\n"),
    "lone CR": lambda: as_csv(ROWS, line_end="\r"),
    "LF and CRLF": lambda: PLAIN.replace("\nT", "\r\nT"),
    "no final newline": lambda: PLAIN.removesuffix("\n"),
    "CRLF but for the last line": lambda: as_csv(ROWS, line_end="\r\n").removesuffix("\r\n"),
    "a last line that ends in CR": lambda: as_csv(ROWS, line_end="\r\n").removesuffix("\n"),
    "blank lines": lambda: "\n\r\n" + PLAIN.replace("\nT3", "\n\n\n\r\nT3") + "\n\n",
    "columns in another order": lambda: as_csv(ROWS, TRANSACTION_COLUMNS[::-1]),
    "further columns": lambda: as_csv(
        [{"備考": "x,y", **row, "Amount": '"', "note": ""} for row in ROWS]
    ),
    "blanks around values and names": lambda: as_csv(
        [{f" {name}\u3000": f"\t{text} \u3000" for name, text in row.items()} for row in ROWS]
    ),
    "gzip": lambda: gzip.compress(PLAIN.encode()),
    "gzip in two members": lambda: (
        gzip.compress(PLAIN[:90].encode()) + gzip.compress(PLAIN[90:].encode())
    ),
    "zstd": lambda: zstandard.compress(PLAIN.encode()),
    "zstd in two frames": lambda: (
        zstandard.compress(PLAIN[:90].encode()) + zstandard.compress(PLAIN[90:].encode())
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_rows_are_booked_however_they_are_written(desk: Desk, form: str) -> None:
    result = desk.run(desk.write("rows.csv", FORMS[form]()))
    booked = {row["transaction_id"]: row for row in desk.ledger().iter_rows(named=True)}
    assert result.record.inputs[1].rows == result.record.counts.booked == 5
    for row in ROWS:
        for name, text in row.items():
            value = booked[row["transaction_id"]][name]
            assert str("" if value is None else value) == text


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
@pytest.mark.parametrize("content", ["plain", "gzip", "zstd", "parquet"])
def test_a_file_is_known_by_its_content_whatever_its_name(
    desk: Desk, name: str, content: str
) -> None:
    if content == "parquet":
        pq.write_table(pa.Table.from_pylist([dict(row) for row in ROWS]), desk.folder / name)
    else:
        desk.write(name, FORMS[content]())
    desk.run(desk.folder / name)
    assert len(desk.booked()) == 5


def test_columns_that_may_be_left_out_may_be_missing(desk: Desk) -> None:
    path = desk.write(
        "rows.csv", as_csv([transaction(1)], TRANSACTION_COLUMNS[:6]).replace(",,", "")
    )
    desk.write(
        "enrollments.csv",
        "\n".join(
            [
                "person_id,service_id,account_id,applied_at,card_applied_on",
                "P1,coin,A1,2020-09-01 09:00:00,2020-06-01",
                "",
            ]
        ),
    )
    desk.run(path)
    assert desk.booked() == ["T1"]


def test_a_quote_within_a_field_is_text(desk: Desk) -> None:
    rows = [line(1, method='say "hi"'), line(2, method='5" disk'), line(3)]
    desk.run(desk.write("rows.csv", lines(*rows)))
    assert desk.ledger()["method"].to_list() == ['say "hi"', '5" disk', None]


def test_a_stray_quote_is_text_however_much_follows_it(desk: Desk) -> None:
    padding = "x" * 1_000
    rows = [line(0, method='5" disk'), *(line(n, method=padding) for n in range(1, 1_500))]
    text = lines(*rows)
    assert len(text) > byte_stream.MAX_RECORD_BYTES + 100_000
    desk.run(desk.write("rows.csv", text))
    assert desk.record()["counts"]["booked"] == 1_500


@pytest.mark.parametrize("final_newline", [True, False])
@pytest.mark.parametrize("column", ["transaction_id", "account_id", "method"])
def test_an_unclosed_quote_is_one_bad_row_that_holds_what_it_swallowed(
    desk: Desk, column: str, final_newline: bool
) -> None:
    swallowed = [line(2, **{column: '"abc'}), line(3), line(4)]
    text = lines(line(1), *swallowed)
    desk.run(desk.write("rows.csv", text if final_newline else text.removesuffix("\n")))
    assert desk.booked() == ["T1"]
    assert desk.quarantined() == [(2, ("row:malformed",), "\n".join(swallowed))]


@pytest.mark.parametrize("final_newline", [True, False])
def test_a_file_that_is_cut_within_quotes_ends_in_a_bad_row(
    desk: Desk, final_newline: bool
) -> None:
    # With this method the row has all its fields, and the stray quote calls for the slow reader.
    cut = line(3, method='"gift ca')
    text = lines(line(1, method='5" disk'), line(2), cut)
    desk.run(desk.write("rows.csv", text if final_newline else text.removesuffix("\n")))
    assert desk.booked() == ["T1", "T2"]
    assert desk.quarantined() == [(3, ("row:malformed",), cut)]


def test_a_quote_that_ends_amid_another_row_is_a_bad_row_and_the_next_is_read(desk: Desk) -> None:
    swallowed = [line(2, method='"abc'), line(3), line(4, method='"def"')]
    desk.run(desk.write("rows.csv", lines(line(1), *swallowed, line(5))))
    assert desk.booked() == ["T1", "T5"]
    assert desk.quarantined() == [(2, ("row:malformed",), "\n".join(swallowed))]


LONG_RECORDS = {
    "plain": line(2, method="x" * MIB),
    "quoted": line(2, method='"' + "x,\n" * (MIB // 3 + 1) + '"'),
    "of wide letters": line(2, method="円" * (MIB // 3 + 1)),
    "of wide letters after a stray quote": line(1, method='5"')
    + "\n"
    + line(2, method="円" * 349_526),
    "after a stray quote": line(1, method='5" disk') + "\n" + line(2, method="x" * MIB),
    "in an unclosed quote": line(2, method='"abc') + f"\n{line(3, method='x' * 999)}" * 1_050,
    "at the end": line(2, method="x" * MIB) + "\n" + "\n".join(line(n) for n in range(3, 50)),
}


@pytest.mark.parametrize("what", LONG_RECORDS)
def test_a_record_longer_than_a_mebibyte_is_refused(desk: Desk, what: str) -> None:
    rows = [line(1), LONG_RECORDS[what]]
    if what == "at the end":
        rows.reverse()
    refused(desk, desk.write("rows.csv", lines(*rows)), "longer than 1 MiB")


@pytest.mark.parametrize("stray", ["", line(0, method='5" disk')])
def test_a_record_of_a_mebibyte_is_read(desk: Desk, stray: str) -> None:
    long = line(2, method="x" * (MIB - len(line(2))))
    desk.run(desk.write("rows.csv", lines(stray, long, line(3))))
    assert desk.booked()[-2:] == ["T2", "T3"]


def test_a_header_longer_than_a_mebibyte_is_refused(desk: Desk) -> None:
    cells = f",{'x' * 1000}" * (MIB // 1000)
    refused(desk, desk.write("rows.csv", f"{HEADER}{cells}\n"), "no header can be read")


# Each gives rows that are ragged, blank, or carry line ends: what makes numbers and raw text slip.
FLAVOURS: dict[str, tuple[str, ...]] = {
    "no quotes": ("x", "", " "),
    "regular quotes": ('"a,b"', '"two\nlines"', '"say ""hi"""', '"\r\n"', '""', "x"),
    "stray quotes": ('5" disk', '"a"b', ' "c"', '"two\nlines"', 'say "hi"', '"a\r\n,b"'),
    "lone CR in quotes": ('"a\rb"', "x"),
}


def ragged_file(flavour: str) -> tuple[str, str]:
    rng = Random(flavour)
    records = []
    for number in range(60):
        row = line(number % 50, method=rng.choice(FLAVOURS[flavour]))
        dice = rng.random()
        if dice < 0.15:
            row += rng.choice((",", ",,x", ',"y"' if "quotes" in flavour else ",y"))
        elif dice < 0.3:
            row = row.split(",", rng.choice((1, 2, 3)))[-1]
        elif dice < 0.4:
            row = rng.choice(("x", " ", "\u3000", ",", "x,y"))
        elif dice < 0.5:
            row = row.replace(",100,", rng.choice((",1e2,", ",0,", ",\uff11,")))
        records.append(row)
        records += [""] * rng.choice((0, 0, 0, 0, 1, 3))
    line_end = rng.choice(("\n", "\r\n"))
    return lines(*records).replace("\n", line_end), line_end


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_rows_keep_their_number_and_text_wherever_blocks_are_cut(
    tmp_path: Path, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = ragged_file(flavour)
    expected = [
        (record.row, record.fields, "row:malformed")
        for record in oracle.read_records(
            ("", text), oracle.TRANSACTION_REQUIRED, oracle.TRANSACTION_OPTIONAL
        )
        if record.values is None
    ]
    assert len(expected) > 15
    outcomes = []
    for block_bytes in (None, 64, 100, 1000):
        if block_bytes is not None:
            cut_into_blocks(monkeypatch, block_bytes)
            keep_records_short(monkeypatch, 300)
        desk = Desk(tmp_path / str(block_bytes))
        # Two threads: blocks are read at once, and put in order again.
        desk.run(desk.write("rows.csv", text), threads=2)
        outcomes.append(desk.outcome())
        ragged = [
            (row, tuple(oracle.read_records(("", f"a\n{raw}\n"), (), ())[0].fields), codes[0])
            for row, codes, raw in desk.quarantined()
            if codes == ("row:malformed",)
        ]
        assert ragged == expected
    assert outcomes[1:] == outcomes[:1] * 3


@pytest.mark.parametrize("content", ["gzip", "zstd"])
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.1])
def test_a_compressed_file_that_is_cut_short_is_refused(
    desk: Desk, content: str, kept: float
) -> None:
    text = lines(*(line(n, amount=str(n % 977 + 1)) for n in range(5_000))).encode()
    data = gzip.compress(text) if content == "gzip" else zstandard.compress(text)
    refused(desk, desk.write("rows.csv", data[: int(len(data) * kept)]), "cut short or damaged")


@pytest.mark.parametrize("content", ["gzip", "zstd"])
def test_a_compressed_file_with_a_changed_byte_is_refused(desk: Desk, content: str) -> None:
    with_checksum = zstandard.ZstdCompressor(write_checksum=True)
    text = PLAIN.encode()
    data = bytearray(gzip.compress(text) if content == "gzip" else with_checksum.compress(text))
    data[len(data) // 2] ^= 0x40
    refused(desk, desk.write("rows.csv", bytes(data)), "cut short or damaged")


def test_what_follows_a_gzip_stream_is_refused(desk: Desk) -> None:
    data = gzip.compress(PLAIN.encode()) + b"and more"
    refused(desk, desk.write("rows.csv", data), "cut short or damaged")


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_random_bytes_are_refused(desk: Desk, name: str) -> None:
    refused(desk, desk.write(name, Random(name).randbytes(5_000)), "UTF-8|header")


@pytest.mark.parametrize(
    "text",
    [
        lines(line(1), line(2, method="現金")),
        lines(line(1, method='5" disk'), line(2, method="現金")),
        lines(line(1, method='"現金"')),
        PLAIN.replace("method", "方法"),
    ],
    ids=["in a value", "after a stray quote", "in quotes", "in the header"],
)
@pytest.mark.parametrize("encoding", ["cp932", "utf-16"])
def test_a_file_that_is_not_utf_8_is_refused(desk: Desk, text: str, encoding: str) -> None:
    error = refused(desk, desk.write("rows.csv", text.encode(encoding)), "UTF-8")
    assert ("Shift_JIS" if encoding == "cp932" else "UTF-8") in error.hint


@pytest.mark.parametrize("column", oracle.TRANSACTION_REQUIRED)
def test_a_missing_column_is_named(desk: Desk, column: str) -> None:
    text = PLAIN.replace(column, column.upper(), 1)
    refused(desk, desk.write("rows.csv", text), f"lacks the required column {column}$")


@pytest.mark.parametrize("column", ["amount", "note"])
def test_a_column_named_twice_is_refused(desk: Desk, column: str) -> None:
    text = f"{column},note,{HEADER}\n" if column == "amount" else f"note,{HEADER},note\n"
    # The name of a column that is not read may be a value, where a file lacks its header.
    why = "names the column amount twice" if column == "amount" else "columns 1 and 10 of"
    refused(desk, desk.write("rows.csv", text), why)


@pytest.mark.parametrize("content", ["", "\ufeff", "\n\r\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_has_no_header_and_is_refused(desk: Desk, content: str | bytes) -> None:
    refused(desk, desk.write("rows.csv", content), "the file is empty")


@pytest.mark.parametrize("content", [HEADER, HEADER + "\n", HEADER + "\r\n\n\n"])
def test_a_header_alone_is_a_delivery_without_rows(desk: Desk, content: str) -> None:
    result = desk.run(desk.write("rows.csv", content))
    assert result.record.counts.read == 0
    assert result.record.counts.enrollments.accepted == 1


@pytest.mark.parametrize("first", [line(1), line(1, method='5" disk')])
def test_a_nul_byte_is_malformed_in_an_id_and_text_in_a_method(desk: Desk, first: str) -> None:
    bad = line(2, transaction_id="T\0")
    desk.run(desk.write("rows.csv", lines(first, bad, line(3, method="a\0b"))))
    assert desk.booked() == ["T1", "T3"]
    assert desk.ledger()["method"].to_list()[1] == "a\0b"
    assert desk.quarantined() == [(2, ("transaction_id:malformed",), bad)]


# --- Parquet --------------------------------------------------------------------------------------

TYPED_ROWS = [
    transaction(
        n, transaction_id=str(n), occurred_at=f"2020-09-0{n} 01:02:03.456000", amount=str(n)
    )
    for n in range(1, 4)
]
JST = [dt.datetime(2020, 9, n, 1, 2, 3, 456_000) for n in range(1, 4)]
UTC = [at - dt.timedelta(hours=9) for at in JST]
NUMBERS = [1, 2, 3]
TYPED: dict[str, tuple[str, Any]] = {
    **{
        f"timestamps in {unit}, zone {zone}": (
            "occurred_at",
            pa.array(UTC if zone else JST, pa.timestamp(unit)).cast(pa.timestamp(unit, zone)),
        )
        for unit, zones in (
            ("us", (None, "UTC", "Asia/Tokyo", "+09:00", "-03:30")),
            ("ms", (None, "UTC")),
            ("ns", (None, "+09:00")),
        )
        for zone in zones
    },
    **{
        f"amounts of {kind}": ("amount", pa.array(NUMBERS).cast(kind))
        for kind in (pa.int8(), pa.uint8(), pa.int16(), pa.int32(), pa.int64(), pa.uint64())
    },
    **{
        f"amounts of {kind}": ("amount", pa.array(map(Decimal, NUMBERS), kind))
        for kind in (pa.decimal128(4, 0), pa.decimal128(9, 0), pa.decimal128(38, 0))
    },
    "whole numbers as IDs": ("transaction_id", pa.array(NUMBERS)),
    "dictionary strings": ("kind", pa.array(["purchase"] * 3).dictionary_encode()),
    "large dictionary strings": (
        "service_id",
        pa.array(["coin"] * 3, pa.large_string()).dictionary_encode(),
    ),
    "large strings": ("transaction_id", pa.array(["1", "2", "3"], pa.large_string())),
    "string views": ("transaction_id", pa.array(["1", "2", "3"], pa.string_view())),
    "a null column": ("method", pa.nulls(3)),
    "a column of null strings": ("original_transaction_id", pa.nulls(3, pa.string())),
    "blanks in text": ("account_id", pa.array([" A1", "A1\u3000", "\tA1"])),
}


def write_parquet(desk: Desk, rows: list[dict[str, str]], **columns: Any) -> Path:
    """The rows as text but for some columns, which are given whole."""
    table = pa.table({name: [row[name] or None for row in rows] for name in rows[0]} | columns)
    pq.write_table(table, desk.folder / "rows.parquet")
    return desk.folder / "rows.parquet"


@pytest.fixture(scope="module")
def told_in_text(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    desk = Desk(tmp_path_factory.mktemp("text"))
    desk.run(desk.transactions(TYPED_ROWS))
    assert desk.booked() == ["2", "3"]  # and the first is declined
    return desk.outcome()


@pytest.mark.parametrize("what", TYPED)
def test_parquet_columns_are_read_in_their_types_as_their_text_would_be(
    desk: Desk, what: str, told_in_text: dict[str, list[Any]]
) -> None:
    column, values = TYPED[what]
    desk.run(write_parquet(desk, TYPED_ROWS, **{column: values}))
    assert desk.outcome() == told_in_text


@pytest.mark.parametrize("column", ["transaction_id", "kind"])
@pytest.mark.parametrize(
    "kind", [pa.string_view(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())]
)
def test_a_bad_row_of_any_kind_of_text_is_kept_as_it_came(
    desk: Desk, column: str, kind: pa.DataType
) -> None:
    rows = [transaction(1), transaction(2, amount="x"), transaction(2), transaction(2, amount="7")]
    values = pa.array([row[column] for row in rows]).cast(kind)
    desk.run(write_parquet(desk, rows, **{column: values}))
    assert desk.booked() == ["T1"]
    codes = [(row, codes) for row, codes, _ in desk.quarantined()]
    conflict = ("transaction_id:conflict",)
    assert codes == [(2, ("amount:malformed",)), (3, conflict), (4, conflict)]
    assert all('"transaction_id": "T2"' in raw for _, _, raw in desk.quarantined())


UNSAYABLE = {
    "ns": {1_599_264_000_000_000_001: "2020-09-05 00:00:00.000000001"},
    "us": {
        253_402_300_800_000_000: "10000-01-01 00:00:00.000000",
        2**62: f"{2**62}",
        -62_135_596_800_000_000 - 33_000_000_000: "0000-12-31 14:50:00.000000",
    },
    "ms": {
        300_000_000_000_000: "11476-08-15 05:20:00.000",
        2**63 - 1: f"{2**63 - 1}",
        -(2**63) + 1: f"{-(2**63) + 1}",
    },
}


@pytest.mark.parametrize("zone", [None, "Asia/Tokyo"])
@pytest.mark.parametrize("unit", UNSAYABLE)
def test_a_timestamp_that_no_text_could_say_is_malformed(
    desk: Desk, unit: str, zone: str | None
) -> None:
    good = pa.array([1_599_264_000]).cast(pa.timestamp("s")).cast(pa.timestamp(unit))
    ticks = pa.array([None, *UNSAYABLE[unit]]).cast(pa.timestamp(unit))
    stamps = pa.concat_arrays([good, ticks]).cast(pa.timestamp(unit, zone))
    rows = [transaction(n) for n in range(len(stamps))]
    desk.run(write_parquet(desk, rows, occurred_at=stamps))
    assert desk.booked() == ["T0"]
    missing, *malformed = desk.quarantined()
    assert missing[1] == ("occurred_at:missing",)
    for (_, codes, raw), shown in zip(malformed, UNSAYABLE[unit].values(), strict=True):
        assert codes == ("occurred_at:malformed",)
        assert shown in raw


def test_a_typed_time_with_a_zone_is_japans_standard_time_in_any_year(desk: Desk) -> None:
    """Neither the summer time of 1950 nor the local time of 1850."""
    texts = [
        "1950-07-01 00:00:00",
        "1850-01-01 00:00:00",
        "0001-01-01 00:00:00",
        "9999-12-31 00:00:00",
    ]
    times = pa.array([dt.datetime.fromisoformat(text) for text in texts], pa.timestamp("us", "UTC"))
    rows = [transaction(n, occurred_at=f"{text}Z") for n, text in enumerate(texts)]
    text = Desk(desk.folder / "text")
    text.run(text.transactions(rows))
    desk.run(write_parquet(desk, rows, occurred_at=times))
    assert instants(desk) == instants(text)
    assert instants(desk)["T0"] == dt.datetime(1950, 7, 1, 9)


def test_days_of_enrollments_may_be_typed(desk: Desk) -> None:
    rows = [enrollment(n) for n in range(1, 6)]
    days = pa.array([18_414, 0, 10_000_000, -1_000_000, None], pa.int32()).cast(pa.date32())
    path = write_parquet(desk, rows, card_applied_on=days)
    desk.run(desk.transactions([transaction(1)]), enrollments=[path])
    assert desk.table("accepted_enrollments")["card_applied_on"].to_list() == [
        dt.date(2020, 6, 1),
        dt.date(1970, 1, 1),
    ]
    malformed, missing = ("card_applied_on:malformed",), ("card_applied_on:missing",)
    assert [codes for _, codes, _ in desk.quarantined()] == [malformed, malformed, missing]


def test_typed_amounts_outside_the_bounds_are_out_of_range(desk: Desk) -> None:
    amounts = [1, 100_000_000, 0, -5, 100_000_001, 2**63 - 1, None]
    rows = [transaction(n) for n in range(7)]
    desk.run(write_parquet(desk, rows, amount=pa.array(amounts)))
    assert desk.booked() == ["T0", "T1"]
    codes = [codes for _, codes, _ in desk.quarantined()]
    assert codes == [("amount:out_of_range",)] * 4 + [("amount:missing",)]


UNREADABLE = {
    "amount": [
        pa.array([1.0]),
        pa.array([Decimal("1.50")]),
        pa.array([Decimal(1)], pa.decimal256(60, 0)),
        pa.array([True]),
        pa.array([b"1"]),
    ],
    "occurred_at": [pa.array([dt.date(2020, 9, 5)]), pa.array([1_599_264_000]), pa.array([1.5])],
    "transaction_id": [pa.array([1.0]), pa.array([b"T1"]), pa.array([["T1"]])],
    "kind": [pa.array([1]), pa.array([1]).dictionary_encode()],
    "method": [pa.array([1])],
}


@pytest.mark.parametrize(
    ("column", "values"),
    [(column, values) for column in UNREADABLE for values in UNREADABLE[column]],
)
def test_a_type_that_does_not_say_what_the_column_means_is_refused(
    desk: Desk, column: str, values: pa.Array
) -> None:
    path = write_parquet(desk, [transaction(1)], **{column: values})
    error = refused(desk, path, f"column {column} has the type")
    assert "as text" in error.hint


def test_a_parquet_column_missing_or_doubled_is_named(desk: Desk) -> None:
    table = pa.Table.from_pylist([transaction(1)])
    path = desk.folder / "rows.parquet"
    pq.write_table(table.drop_columns(["amount"]), path)
    refused(desk, path, "lacks the required column amount$")
    pq.write_table(table.append_column("amount", pa.array([1])), path)
    refused(desk, path, "has the column amount twice")


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.01])
def test_a_parquet_file_that_is_cut_short_is_refused(desk: Desk, kept: float) -> None:
    path = write_parquet(desk, [transaction(n) for n in range(1_000)])
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    refused(desk, path, "cannot be read as Parquet")


def test_a_parquet_file_with_a_changed_page_is_refused(desk: Desk) -> None:
    path = write_parquet(desk, [transaction(n) for n in range(1_000)])
    data = bytearray(path.read_bytes())
    data[4:200] = bytes(196)
    path.write_bytes(data)
    refused(desk, path, "cannot be read as Parquet")


def test_text_in_parquet_that_is_not_utf_8_is_refused(desk: Desk) -> None:
    bad = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\0\0\0\0\4\0\0\0"), pa.py_buffer("現金".encode("cp932"))
    )
    refused(desk, write_parquet(desk, [transaction(1)], method=bad), "cannot be read as Parquet")


def test_large_row_groups_are_read_as_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [transaction(n % 19, amount="x" if n == 7 else str(n % 5 + 1)) for n in range(23)]
    outcomes = []
    for name, group_rows, limit, plain in (
        ("one", 23, 100, 100),
        ("small", 4, 100, 100),
        ("shared", 23, 100, 4),
        ("large", 23, 5, 100),
    ):
        monkeypatch.setattr(parquet_file, "GROUP_ROWS", limit)
        monkeypatch.setattr(parquet_file, "PLAIN_ROWS", plain)
        monkeypatch.setattr(parquet_file, "BATCH_ROWS", 3)
        desk = Desk(tmp_path / name)
        path = write_parquet(desk, rows)
        pq.write_table(pq.read_table(path), path, row_group_size=group_rows)
        desk.run(path, threads=2)
        outcomes.append(desk.outcome())
    assert outcomes[1:] == outcomes[:1] * 3
    codes = {code for _, codes, _ in outcomes[0]["quarantined"] for code in codes}
    assert codes == {"amount:malformed", "transaction_id:conflict"}


# --- Folders, globs, and what is not a file -------------------------------------------------------


def deliver(desk: Desk, *names: str) -> None:
    for number, name in enumerate(names, 1):
        desk.write(name, as_csv([transaction(number)]))


def test_a_folder_is_read_with_all_folders_in_it_but_nothing_hidden(desk: Desk) -> None:
    deliver(desk, "in/b.csv", "in/a/c.csv", "in/a/d/e.CSV", "in/.f.csv", "in/_SUCCESS")
    deliver(desk, "in/.g/h.csv", "in/_i/j.csv")
    result = desk.run(desk.folder / "in")
    names = [read_file.name for read_file in result.record.inputs[1:]]
    assert names == [f"{desk.folder}/in/{name}" for name in ("b.csv", "a/c.csv", "a/d/e.CSV")]


@pytest.mark.parametrize("stray", ["in/README.md", "in/a/rows.xls", "in/rows.csv.part", "in/rows"])
def test_a_stray_file_in_a_folder_is_refused(desk: Desk, stray: str) -> None:
    deliver(desk, "in/b.csv", stray)
    with pytest.raises(InputError, match=f"{stray}: a file of a kind that is not read"):
        desk.run(desk.folder / "in")
    assert desk.holds_nothing()


def test_a_glob_is_read_in_the_order_of_names(desk: Desk) -> None:
    deliver(desk, "t-2.csv", "t-1.csv", "u-1.csv", "t-3/x.csv")
    result = desk.run(f"{desk.folder}/t-*")
    names = [
        Path(read_file.name).relative_to(desk.folder).as_posix()
        for read_file in result.record.inputs
    ]
    assert names == ["enrollments.csv", "t-1.csv", "t-2.csv", "t-3/x.csv"]


def test_a_glob_may_reach_into_all_folders(desk: Desk) -> None:
    deliver(desk, "in/a/x.csv", "in/x.csv", "in/b/c/x.csv", "in/b/y.csv")
    assert len(desk.run(f"{desk.folder}/in/**/x.csv").record.inputs) == 4


def test_a_name_that_looks_like_a_glob_is_that_file(desk: Desk) -> None:
    deliver(desk, "t[1].csv", "t1.csv")
    desk.run(desk.folder / "t[1].csv")
    assert desk.booked() == ["T1"]


@pytest.mark.parametrize("name", ["gone.csv", "gone-*.csv", "gone/"])
def test_what_matches_nothing_is_refused(desk: Desk, name: str) -> None:
    refused(desk, f"{desk.folder}/{name}", "no such file, folder or match")


@pytest.mark.parametrize("hidden", ["", "in/.hidden.csv"])
def test_a_folder_with_nothing_to_read_is_refused(desk: Desk, hidden: str) -> None:
    (desk.folder / "in").mkdir()
    if hidden:
        deliver(desk, hidden)
    refused(desk, desk.folder / "in", "holds no file to read")


def test_a_fifo_is_refused_and_not_waited_for(desk: Desk) -> None:
    os.mkfifo(desk.folder / "rows.csv")
    refused(desk, desk.folder / "rows.csv", "not a regular file")


def test_links_to_files_and_to_a_named_folder_are_followed(desk: Desk) -> None:
    deliver(desk, "there/a.csv", "b.csv")
    (desk.folder / "there" / "b.csv").symlink_to(desk.folder / "b.csv")
    (desk.folder / "in").symlink_to(desk.folder / "there")
    desk.run(desk.folder / "in")
    assert desk.booked() == ["T1", "T2"]


def test_a_link_to_a_folder_within_a_folder_is_refused_and_not_passed_over(desk: Desk) -> None:
    deliver(desk, "in/a.csv", "there/b.csv")
    (desk.folder / "in" / "more").symlink_to(desk.folder / "there")
    refused(desk, desk.folder / "in", "in/more: a link to a folder")


def test_a_link_to_nothing_is_refused(desk: Desk) -> None:
    (desk.folder / "rows.csv").symlink_to(desk.folder / "gone.csv")
    refused(desk, desk.folder / "rows.csv", "No such file")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
@pytest.mark.parametrize("what", ["in/closed", "in/closed.csv"])
def test_what_may_not_be_read_is_refused_and_not_passed_over(desk: Desk, what: str) -> None:
    deliver(desk, "in/a.csv", "in/closed/b.csv", "in/closed.csv")
    (desk.folder / what).chmod(0)
    try:
        with pytest.raises(InputError, match="Permission denied"):
            desk.run(desk.folder / "in")
    finally:
        (desk.folder / what).chmod(0o700)


def test_a_name_that_is_not_utf_8_is_refused(desk: Desk) -> None:
    deliver(desk, "t.csv")
    (desk.folder / "t.csv").rename(desk.folder / os.fsdecode(b"t\xff.csv"))
    with pytest.raises(InputError, match="name is not UTF-8"):
        desk.run(f"{desk.folder}/t*")


@pytest.mark.parametrize("change", ["appended to", "rewritten", "replaced", "removed"])
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    desk: Desk, change: str, form: str
) -> None:
    path = desk.transactions([transaction(1)])
    if form == "parquet":
        path = write_parquet(desk, [transaction(1)])

    def meddle(phase: str, _done: int, _total: int, /) -> None:
        if phase != "transactions":
            return
        status = path.stat()
        if change == "appended to":
            path.write_bytes(path.read_bytes() + b"\n")
        elif change == "rewritten":
            # The same file of the same size, and its time put back.
            path.write_bytes(path.read_bytes().replace(b"100", b"900"))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        elif change == "replaced":
            # The same size and the same time, but another file.
            other = desk.write("other", path.read_bytes().replace(b"100", b"900"))
            os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
            other.replace(path)
        else:
            path.unlink()

    refused(desk, path, "changed while it was read", progress=meddle)


# --- Times and amounts ----------------------------------------------------------------------------

DAY = "2020-09-05"
TIMES: dict[str, dt.datetime | None] = {
    f"{DAY} 10:00:00": dt.datetime(2020, 9, 5, 10),
    f"{DAY}T10:00:00": dt.datetime(2020, 9, 5, 10),
    **{
        f"{DAY} 10:00:00.{'123456'[:digits]}": dt.datetime(
            2020, 9, 5, 10, 0, 0, int("123456"[:digits].ljust(6, "0"))
        )
        for digits in range(1, 7)
    },
    f"{DAY} 10:00:00.000001": dt.datetime(2020, 9, 5, 10, 0, 0, 1),
    f"{DAY}T01:00:00Z": dt.datetime(2020, 9, 5, 10),
    f"{DAY} 01:00:00.5Z": dt.datetime(2020, 9, 5, 10, 0, 0, 500_000),
    f"{DAY} 10:00:00+09:00": dt.datetime(2020, 9, 5, 10),
    f"{DAY} 01:00:00-00:00": dt.datetime(2020, 9, 5, 10),
    f"{DAY} 00:59:00-00:01": dt.datetime(2020, 9, 5, 10),
    f"{DAY}T10:00:00-09:30": dt.datetime(2020, 9, 6, 4, 30),
    f"{DAY}T23:59:59+23:59": dt.datetime(2020, 9, 5, 9, 0, 59),
    f"{DAY} 00:00:00": dt.datetime(2020, 9, 5),
    f"{DAY} 23:59:59.999999": dt.datetime(2020, 9, 5, 23, 59, 59, 999_999),
    f"{DAY} 15:00:00Z": dt.datetime(2020, 9, 6),
    f"{DAY} 14:59:59.999999Z": dt.datetime(2020, 9, 5, 23, 59, 59, 999_999),
    f" \t{DAY} 10:00:00\u3000": dt.datetime(2020, 9, 5, 10),
    "2020-02-29 00:00:00": dt.datetime(2020, 2, 29),
    "0001-01-01 00:00:00": dt.datetime.min,
    "9999-12-31 23:59:59.999999": dt.datetime.max,
    "2021-02-29 00:00:00": None,
    "2020-09-31 10:00:00": None,
    "2020-13-01 10:00:00": None,
    "2020-00-01 10:00:00": None,
    "2020-09-00 10:00:00": None,
    "0000-01-01 00:00:00": None,
    "0000-12-31 23:00:00Z": None,
    "9999-12-31 15:00:00Z": None,
    "0001-01-01 00:00:00+09:01": None,
    f"{DAY} 24:00:00": None,
    f"{DAY} 10:60:00": None,
    f"{DAY} 23:59:60": None,
    f"{DAY}t10:00:00": None,
    f"{DAY} 10:00:00z": None,
    f"{DAY}  10:00:00": None,
    f"{DAY}\u300010:00:00": None,
    f"{DAY}\n10:00:00": None,
    "2020-9-5 10:00:00": None,
    "2020-09-05 1:00:00": None,
    "2020-9-05 10:00:000": None,
    "020-09-05 10:00:000": None,
    "20-09-05 10:00:00": None,
    "+2020-09-05 10:00:00": None,
    "-020-09-05 10:00:00": None,
    "２０２０-09-05 10:00:00": None,
    f"{DAY} １０:00:00": None,
    DAY: None,
    f"{DAY} 10:00": None,
    f"{DAY} 10:00+09": None,
    f"{DAY}T10+09:00": None,
    f"{DAY} 10:00:00.": None,
    f"{DAY} 10:00:00.1234567": None,
    f"{DAY} 10:00:00,5": None,
    f"{DAY} 10:00:00+0900": None,
    f"{DAY} 10:00:00+09": None,
    f"{DAY} 10:00:00+24:00": None,
    f"{DAY} 10:00:00+09:60": None,
    f"{DAY} 10:00:00 +09:00": None,
    "2020/09/05 10:00:00": None,
    "20200905T100000": None,
    "1599267600": None,
    "NULL": None,
}
AMOUNTS: dict[str, int | str] = {
    "1": 1,
    "007": 7,
    "100000000": 100_000_000,
    "0" * 40 + "9": 9,
    " 5\u3000": 5,
    "": "missing",
    " ": "missing",
    "0": "out_of_range",
    "000": "out_of_range",
    "-0": "out_of_range",
    "-5": "out_of_range",
    "100000001": "out_of_range",
    "9" * 30: "out_of_range",
    "9223372036854775808": "out_of_range",
    "18446744073709551617": "out_of_range",
    "-" + "9" * 30: "out_of_range",
    "+5": "malformed",
    "--5": "malformed",
    "-": "malformed",
    "1e3": "malformed",
    "1000.0": "malformed",
    "1,000": "malformed",
    "1 000": "malformed",
    "1_000": "malformed",
    "0x10": "malformed",
    "\n5": "malformed",
    "5\r": "malformed",
    "\x0b5": "malformed",
    "5\u00a0": "malformed",
    "１００": "malformed",
    "١٢": "malformed",
    "¥5": "malformed",
    "NULL": "malformed",
}


@pytest.fixture(params=["each in a file of its own", "all in one file"])
def spread(request: pytest.FixtureRequest, desk: Desk) -> Callable[[list[dict[str, str]]], Any]:
    """Books rows in one file, or each alone: a column of one kind may be read in another way."""

    def book(rows: list[dict[str, str]]) -> dict[str, tuple[str, ...]]:
        files = [rows] if request.param == "all in one file" else [[row] for row in rows]
        paths = [desk.transactions(of_file, f"t/{n:03}.csv") for n, of_file in enumerate(files)]
        desk.run(*paths)
        keys = {(str(paths[0]), n): row["transaction_id"] for n, row in enumerate(rows, 1)}
        if len(files) > 1:
            names = [row["transaction_id"] for row in rows]
            keys = {(str(path), 1): name for path, name in zip(paths, names, strict=True)}
        return {
            keys[file, row]: tuple(errors)
            for file, row, errors, _ in desk.table("quarantine").iter_rows()
        }

    return book


def test_times_are_read_as_the_specification_has_them(
    desk: Desk, spread: Callable[[list[dict[str, str]]], dict[str, tuple[str, ...]]]
) -> None:
    rows = [transaction(n, occurred_at=text) for n, text in enumerate(TIMES)]
    faults = spread(rows)
    read = instants(desk)
    for row, expected in zip(rows, TIMES.values(), strict=True):
        key, text = row["transaction_id"], row["occurred_at"]
        assert read.get(key) == expected, repr(text)
        assert faults.get(key) == (None if expected else ("occurred_at:malformed",)), repr(text)


def test_amounts_are_read_as_the_specification_has_them(
    desk: Desk, spread: Callable[[list[dict[str, str]]], dict[str, tuple[str, ...]]]
) -> None:
    rows = [transaction(n, amount=text) for n, text in enumerate(AMOUNTS)]
    faults = spread(rows)
    booked = dict(desk.ledger().select("transaction_id", "amount").iter_rows())
    for row, expected in zip(rows, AMOUNTS.values(), strict=True):
        key, text = row["transaction_id"], row["amount"]
        if isinstance(expected, int):
            assert (booked[key], faults.get(key)) == (expected, None), repr(text)
        else:
            assert faults[key] == (f"amount:{expected}",), repr(text)
    yen = desk.record()["yen"]
    assert yen["read"] == yen["booked"] == sum(n for n in AMOUNTS.values() if isinstance(n, int))


# --- Any text at all ------------------------------------------------------------------------------

ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=70)
NEARLY = st.text(st.sampled_from("0123456789-+:.TZ eE,\"'\r\n\t\u3000\u00a0９\0"), max_size=24)
TELLING = st.sampled_from(
    ["charge", "purchase", "refund", "T1", "2020-09-05 10:00:00", "5", "", " ", "\ufeff", "x" * 65]
)


@st.composite
def delivered_rows(draw: st.DrawFn) -> Iterator[dict[str, str]]:
    rows = []
    for number in range(draw(st.integers(1, 12))):
        row = transaction(number)
        for column in draw(st.lists(st.sampled_from(TRANSACTION_COLUMNS), max_size=3)):
            row[column] = draw(ANY_TEXT | NEARLY | TELLING)
        rows.append(row)
    return rows  # type: ignore[return-value]


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(rows=delivered_rows(), line_end=st.sampled_from(["\r\n", "\n", "\r"]))
def test_any_text_in_any_cell_gets_the_codes_that_the_specification_has_for_it(
    rows: list[dict[str, str]], line_end: str
) -> None:
    text = as_csv(rows, TRANSACTION_COLUMNS, line_end)
    expected = oracle.run(
        oracle.Book(),
        booked_on=dt.date(2020, 9, 30),
        transactions=[("rows.csv", text)],
        services=[],
    )
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        desk.run(desk.write("rows.csv", text), enrollments=[])
        codes = [(row, codes) for row, codes, _ in desk.quarantined()]
        assert codes == sorted((row.row, tuple(sorted(row.errors))) for row in expected.quarantine)
        assert desk.record()["yen"]["read"] == expected.yen.read

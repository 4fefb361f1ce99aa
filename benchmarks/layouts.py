"""Reading providers' files by their layouts, beside the same rows in the canonical CSV.

    python benchmarks/layouts.py --rows 1000000 --times 5

Each kind of file is invented, read by its layout, and written once more as the canonical CSV of
the very rows that were read. Then both are read to values as a run reads them, in turn, with as
many threads as the machine has cores. A speed is the canonical form's time through the layout's:
the median of the pairs, of processor time and of wall time.
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from engine.io.delivered.deliveries import DeliveredAs, find_delivered
from engine.io.delivered.role_files import Files
from engine.io.delivered.roles import TRANSACTIONS
from engine.io.delivered.rows import PartRows
from engine.layouts.catalogue import load_layout

LAYOUT: Final = """\
layout_id = "benchmark"
name = "a provider's file"
role = "transactions"
follows = "none: made for this measurement"
[file]
encoding = "cp932"
header = ["取引番号", "会員番号", "利用日時", "利用店舗", "利用区分", "利用金額", "元取引番号"]
[columns]
transaction_id = { from = "取引番号" }
service_id = { constant = "coin" }
account_id = { from = "会員番号" }
amount = { from = "利用金額" }
original_transaction_id = { from = "元取引番号" }
occurred_at = { from = "利用日時", forms = ["YYYY/MM/DD HH:mm:ss"] }
[columns.kind]
from = "利用区分"
map = { "支払" = "purchase", "チャージ" = "charge", "取消" = "refund" }
"""
_OWN_NUMBERS: Final = (
    'transaction_id = { from = "取引番号" }',
    'original_transaction_id = { from = "元取引番号" }',
)
_OF_A_DAY: Final = '{ day = "利用日時", forms = ["YYYY/MM/DD HH:mm:ss"] }'
COMPOSED: Final = (
    f'transaction_id = {{ from = [{_OF_A_DAY}, "店舗番号", "端末番号", "伝票番号"] }}',
    (
        'original_transaction_id = { refund_from = [{ day = "元取引日", forms = ["YYYY/MM/DD"] }, '
        '"店舗番号", "端末番号", "元伝票番号"] }'
    ),
)
COMPOSED_NAMES: Final = '"店舗番号", "端末番号", "伝票番号", "元取引日", "元伝票番号"'
NUMBERED: Final = (
    (
        f'transaction_id = {{ from = ["会員番号", {_OF_A_DAY}, "利用区分", '
        '{ amount = "利用金額" }], number_equal_rows = true }'
    ),
    _OWN_NUMBERS[1],
)
FIXED_FIELDS: Final = (
    *(("取引番号", 12), ("会員番号", 9), ("利用日時", 14), ("利用区分", 1), ("利用金額", 10)),
    *(("元取引番号", 12), ("利用店舗", 20)),
)
KINDS: Final = ["purchase", "charge", "refund"]


@dataclass(frozen=True, slots=True)
class Theirs:
    """A provider's file: a layout's ID or text, and the content."""

    layout: str
    content: bytes
    parameters: Mapping[str, str] = field(default_factory=dict)


def events(rows: int, seed: int) -> pl.DataFrame:
    """What happened, in no order: a tenth as many accounts as rows, within four weeks."""
    random = np.random.default_rng(seed)
    seconds = random.integers(0, 28 * 86_400, rows)
    return pl.DataFrame(
        {
            "number": np.arange(rows),
            "account": random.integers(0, max(1, rows // 10), rows),
            "at": np.datetime64("2020-10-01T00:00:00", "us") + seconds.astype("timedelta64[s]"),
            "kind": random.choice(KINDS, rows, p=(0.8, 0.15, 0.05)),
            "amount": random.integers(1, 20_000, rows),
            "shop": random.integers(0, 500, rows),
            "before": random.integers(0, rows, rows),
        }
    )


def _padded(name: str, digits: int, ahead: str = "") -> pl.Expr:
    return pl.lit(ahead) + pl.col(name).cast(pl.String).str.zfill(digits)


_REFUND: Final = pl.col("kind") == "refund"
_SHOP: Final = pl.format("㈱髙島ストア①{}号店", "shop")
_THOUSANDS: Final = pl.col("amount") // 1000
_GROUPED: Final = (
    pl.when(_THOUSANDS > 0)
    .then(pl.format("{},{}", _THOUSANDS, (pl.col("amount") % 1000).cast(pl.String).str.zfill(3)))
    .otherwise(pl.col("amount").cast(pl.String))
)
_YEN: Final = _GROUPED + "円"
_DAY: Final = pl.col("at").dt.strftime("%Y/%m/%d")
_PLAIN_DAY: Final = pl.format(
    "{}/{}/{}", *(getattr(pl.col("at").dt, part)() for part in ("year", "month", "day"))
)
_INSTANT: Final = pl.col("at").dt.strftime("%Y/%m/%d %H:%M:%S")
_PLAIN_INSTANT: Final = pl.format(
    "{} {}{}", _PLAIN_DAY, pl.col("at").dt.hour(), pl.col("at").dt.strftime(":%M:%S")
)


def _words(purchase: str, charge: str, refund: str) -> pl.Expr:
    words = dict(zip(KINDS, (purchase, charge, refund), strict=True))
    return pl.col("kind").replace_strict(words, return_dtype=pl.String)


def _of_refunds(text: pl.Expr, *, empty: str | None = None) -> pl.Expr:
    return pl.when(_REFUND).then(text).otherwise(pl.lit(empty))


def _csv(happened: pl.DataFrame, encoding: str, **columns: pl.Expr) -> bytes:
    text = io.BytesIO()
    happened.select(**columns).write_csv(text, line_terminator="\r\n")
    return text.getvalue().decode().encode(encoding)


def _own(happened: pl.DataFrame, layout: str, encoding: str, **more: pl.Expr) -> Theirs:
    columns = {
        "取引番号": _padded("number", 11, "T"),
        "会員番号": _padded("account", 8, "A"),
        "利用日時": _INSTANT,
        "利用店舗": _SHOP,
        "利用区分": _words("支払", "チャージ", "取消"),
        "利用金額": _YEN,
        "元取引番号": _of_refunds(_padded("before", 11, "T")),
    }
    return Theirs(layout, _csv(happened, encoding, **(columns | more)))


def cp932(happened: pl.DataFrame) -> Theirs:
    """IDs of their own, CP932."""
    return _own(happened, LAYOUT, "cp932")


def utf8(happened: pl.DataFrame) -> Theirs:
    """The same in UTF-8."""
    return _own(happened, LAYOUT.replace("cp932", "utf-8"), "utf-8")


def plain_times(happened: pl.DataFrame) -> Theirs:
    """Dates and hours without leading zeros."""
    layout = LAYOUT.replace("YYYY/MM/DD HH:mm:ss", "YYYY/M/D H:mm:ss")
    return _own(happened, layout, "cp932", 利用日時=_PLAIN_INSTANT)


def composed(happened: pl.DataFrame) -> Theirs:
    """IDs composed of four columns, the originals' too."""
    layout = LAYOUT.replace('"元取引番号"]', f'"元取引番号", {COMPOSED_NAMES}]')
    for plain, made in zip(_OWN_NUMBERS, COMPOSED, strict=True):
        layout = layout.replace(plain, made)
    return _own(
        happened,
        layout,
        "cp932",
        店舗番号=_padded("shop", 4),
        端末番号=(pl.col("number") % 8).cast(pl.String),
        伝票番号=_padded("number", 8),
        元取引日=_of_refunds(_DAY),
        元伝票番号=_of_refunds(_padded("before", 8)),
    )


def equal_rows(happened: pl.DataFrame) -> Theirs:
    """IDs composed of four columns, and equal rows numbered."""
    layout = LAYOUT
    for plain, made in zip(_OWN_NUMBERS, NUMBERED, strict=True):
        layout = layout.replace(plain, made)
    return _own(happened, layout, "cp932")


def fixed(happened: pl.DataFrame) -> Theirs:
    """Records of one length, CP932."""
    start, fields = 1, []
    for name, size in FIXED_FIELDS:
        fields.append(f'{{ name = "{name}", at = {start}, bytes = {size} }}')
        start += size
    head, columns = LAYOUT.split("[file]")[0], LAYOUT[LAYOUT.index("[columns]") :]
    columns = columns.replace("YYYY/MM/DD HH:mm:ss", "YYYYMMDDHHmmss")
    columns = columns.replace("支払", "1").replace("チャージ", "2").replace("取消", "3")
    layout = (
        f'{head}[fixed]\nencoding = "cp932"\nrecord_bytes = {start - 1}\n'
        f"fields = [{', '.join(fields)}]\n{columns}"
    )
    shop = pl.format("ｽﾄｱ {}", "shop").str.pad_end(20)
    record = pl.concat_str(
        _padded("number", 11, "T"),
        _padded("account", 8, "A"),
        pl.col("at").dt.strftime("%Y%m%d%H%M%S"),
        _words("1", "2", "3"),
        _padded("amount", 10),
        _of_refunds(_padded("before", 11, "T"), empty=" " * 12),
        shop,
    )
    lines = happened.select(record).to_series()
    return Theirs(layout, "\r\n".join([*lines, ""]).encode("cp932"))


def waon(happened: pl.DataFrame) -> Theirs:
    """One card's."""
    content = _csv(
        happened,
        "cp932",
        **{
            "取引年月日": _PLAIN_DAY,
            "利用店舗": _SHOP,
            "利用金額（税込）": _YEN,
            "利用区分": _words("支払", "チャージ", "支払取消"),
            "チャージ区分": pl.lit("-"),
            "元取引ID": _of_refunds(_padded("before", 11)),
        },
    )
    return Theirs("waon", content, {"account_id": "6900-0001"})


def mobile_suica(happened: pl.DataFrame) -> Theirs:
    """One card's, without refunds."""
    spent = pl.when(pl.col("kind") == "charge").then(pl.lit("+")).otherwise(pl.lit("-"))
    columns = {
        "月日": pl.col("at").dt.strftime("%m/%d"),
        "種別": pl.lit("物販"),
        "利用場所": _SHOP,
        "種別 (2)": pl.lit(None),
        "利用場所 (2)": pl.lit(None),
        "残高": pl.lit("\\") + _padded("before", 1),
        "入金・利用額": spent + _GROUPED,
    }
    content = _csv(happened, "cp932", **columns).replace(b" (2)", b"", 2)
    return Theirs("mobile-suica", content, {"account_id": "JE1", "as_of": "2021-01-20"})


def transit_card_reader(happened: pl.DataFrame) -> Theirs:
    """One card's, without refunds."""
    spent = pl.when(pl.col("kind") == "charge").then(pl.lit("-")).otherwise(pl.lit(""))
    content = _csv(
        happened,
        "cp932",
        利用日=_DAY,
        連番=pl.col("number").cast(pl.String),
        種別=pl.lit("物販"),
        利用駅=_SHOP,
        金額=spent + pl.col("amount").cast(pl.String),
        残額=pl.col("before").cast(pl.String),
    )
    ahead = "カードID=JE80F011\r\n".encode("cp932")
    return Theirs("transit-card-reader", ahead + content, {"service_id": "suica"})


def view_card(happened: pl.DataFrame) -> Theirs:
    """One card's."""
    content = _csv(
        happened,
        "cp932",
        **{
            "ご利用年月日": _DAY,
            "ご利用箇所": _SHOP,
            "ご利用額": pl.when(~_REFUND).then(_GROUPED),
            "払戻額": _of_refunds(_GROUPED, empty="0"),
            "支払区分（回数）": pl.lit("１回払"),
            "元取引ID": _of_refunds(_padded("before", 11)),
        },
    )
    parameters = {"account_id": "V1", "service_id": "view"}
    return Theirs("view-card", "会員番号,****\r\n\r\n".encode("cp932") + content, parameters)


def paypay(happened: pl.DataFrame) -> Theirs:
    """One user's."""
    purchase = pl.col("kind") == "purchase"
    content = _csv(
        happened,
        "utf-8",
        **{
            "取引日": _INSTANT,
            "出金金額（円）": pl.when(purchase).then(_GROUPED).otherwise(pl.lit("-")),
            "入金金額（円）": pl.when(~purchase).then(_GROUPED).otherwise(pl.lit("-")),
            "取引内容": _words("支払い", "チャージ", "返金"),
            "取引先": _SHOP,
            "取引方法": pl.lit("PayPay残高"),
            "取引番号": _padded("number", 20),
            "元取引番号": _of_refunds(_padded("before", 20), empty="-"),
        },
    )
    return Theirs("paypay", content, {"account_id": "P1"})


def paypay_merchant(happened: pl.DataFrame) -> Theirs:
    """A merchant's, of one account."""
    content = _csv(
        happened,
        "utf-8",
        取引番号=_padded("number", 20),
        加盟店ID=pl.lit("100"),
        店舗ID=pl.col("shop").cast(pl.String),
        取引ステータス=_words("取引完了", "取引完了", "返金完了"),
        取引日時=_INSTANT,
        取引金額=_of_refunds(pl.lit("-"), empty="") + pl.col("amount").cast(pl.String),
        支払い方法=pl.lit("PayPay残高"),
    )
    return Theirs("paypay-merchant", content, {"account_id": "P1"})


def terminal_journal(happened: pl.DataFrame) -> Theirs:
    """Terminals of 500 shops."""
    content = _csv(
        happened,
        "cp932",
        端末番号=_padded("shop", 5, "T"),
        取引日=pl.col("at").dt.strftime("%Y%m%d"),
        取引時刻=pl.col("at").dt.strftime("%H%M%S"),
        伝票番号=_padded("number", 8),
        会員番号=_padded("account", 8, "A"),
        取引区分=_words("売上", "チャージ", "返品"),
        金額=_GROUPED,
        元取引日=_of_refunds(pl.col("at").dt.strftime("%Y%m%d")),
        元伝票番号=_of_refunds(_padded("before", 8)),
    )
    return Theirs("terminal-journal", content, {"service_id": "tap"})


def zengin_account_transfer(happened: pl.DataFrame) -> Theirs:
    """A day's charges."""
    record = pl.concat_str(
        pl.lit(f"2{'0009':<4}{'ﾐﾂｲ':<15}001{'ﾎﾝﾃﾝ':<15}    17654321{'ﾔﾏﾀﾞ':<30}"),
        _padded("amount", 10),
        pl.lit("0"),
        _padded("number", 19, "C"),
        pl.lit("0" + " " * 8),
    )
    first = f"19100000012345{'ﾏｲﾅ':<40}1005".ljust(120)
    ends = ["8".ljust(120), "9".ljust(120), ""]
    lines = [first, *happened.select(record).to_series(), *ends]
    parameters = {"service_id": "bank", "as_of": "2020-12-31"}
    return Theirs("zengin-account-transfer", "\r\n".join(lines).encode("cp932"), parameters)


FILES: Final[Mapping[str, Callable[[pl.DataFrame], Theirs]]] = {
    "CP932": cp932,
    "UTF-8": utf8,
    "no leading zeros": plain_times,
    "composed IDs": composed,
    "numbered equal rows": equal_rows,
    "fixed records": fixed,
    "waon": waon,
    "mobile-suica": mobile_suica,
    "transit-card-reader": transit_card_reader,
    "view-card": view_card,
    "paypay": paypay,
    "paypay-merchant": paypay_merchant,
    "terminal-journal": terminal_journal,
    "zengin-account-transfer": zengin_account_transfer,
}
_WITHOUT_REFUNDS: Final = ("mobile-suica", "transit-card-reader")


@dataclass(frozen=True, slots=True)
class Pair:
    """A provider's file, and its rows in the canonical form."""

    canonical: Path
    laid_out: DeliveredAs
    rows: int


def write(kind: str, happened: pl.DataFrame, folder: Path) -> Pair:
    """Both files.

    Raises:
        AssertionError: the layout does not read all rows, or the two are read unlike.
    """
    if kind in _WITHOUT_REFUNDS:
        happened = happened.filter(~_REFUND)
    made = FILES[kind](happened)
    layout: str | Path = made.layout
    if "\n" in made.layout:
        layout = folder / "layout.toml"
        layout.write_text(made.layout, encoding="utf-8")
    path = folder / ("theirs.csv")
    path.write_bytes(made.content)
    laid_out = DeliveredAs(path, layout, made.parameters)
    names = list(load_layout(layout).columns)
    read = pl.concat([rows.good.select(names) for rows in _read(laid_out)])
    assert read.height == happened.height, f"{kind}: {read.height} of {happened.height} rows"
    canonical = folder / "canonical.csv"
    read.write_csv(canonical, datetime_format="%Y-%m-%d %H:%M:%S")
    again = pl.concat([rows.good.select(names) for rows in _read(DeliveredAs(canonical))])
    assert again.equals(read), f"{kind}: the canonical form is read otherwise"
    return Pair(canonical, laid_out, read.height)


def _read(delivery: DeliveredAs) -> Iterator[PartRows]:
    files = Files(TRANSACTIONS, find_delivered([delivery], "transactions"))
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for pieces, _ in files.read(pool, threads + 1, lambda rows: rows):
            yield from pieces


def seconds(delivery: DeliveredAs) -> tuple[float, float]:
    """Processor time and wall time of reading a file to values."""
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in _read(delivery):
        pass
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(pair: Pair, times: int) -> Sequence[tuple[float, ...]]:
    """Of each time: processor and wall time of the canonical form, then of theirs."""
    return [(*seconds(DeliveredAs(pair.canonical)), *seconds(pair.laid_out)) for _ in range(times)]


def row(kind: str, pair: Pair, taken: Sequence[tuple[float, ...]], *, least: bool) -> str:
    """A row of the table."""
    typical = min if least else statistics.median
    canonical_ns, theirs_ns = (
        typical(times[place] for times in taken) / pair.rows * 1e9 for place in (0, 2)
    )
    cpu = canonical_ns / theirs_ns if least else statistics.median(t[0] / t[2] for t in taken)
    wall = statistics.median(times[1] / times[3] for times in taken)
    return f"| {kind} | {canonical_ns:.0f} | {theirs_ns:.0f} | {cpu:.2f} | {wall:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--least", action="store_true", help="of a busy machine: the least CPU")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=FILES, action="append")
    asked = parser.parse_args()
    happened = events(asked.rows, asked.seed)
    print("| file | canonical CSV, ns a row | by its layout, ns a row | speed, CPU | speed, wall |")
    print("|---|---|---|---|---|")
    for kind in asked.only or FILES:
        with tempfile.TemporaryDirectory() as folder:
            pair = write(kind, happened, Path(folder))
            print(row(kind, pair, measure(pair, asked.times), least=asked.least), flush=True)


if __name__ == "__main__":
    main()

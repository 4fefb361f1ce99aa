"""Reading a provider's CP932 file by its layout, beside the same rows in the canonical form.

    python benchmarks/layouts.py --rows 1000000 --times 5

Both are read to values as a run reads them, one thread, in turn; CPU time, the median of each.
"""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import polars as pl

from engine.io.deliveries import DeliveredAs, find_delivered
from engine.io.reading import TRANSACTIONS, Files

LAYOUT = """\
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


def write(folder: Path, rows: int, seed: int) -> tuple[Path, Path, Path]:
    """The same rows twice, and the layout of the second."""
    random = Random(seed)
    canonical, theirs = folder / "canonical.csv", folder / "theirs.csv"
    layout = folder / "layout.toml"
    layout.write_text(LAYOUT, encoding="utf-8")
    words = {"purchase": "支払", "charge": "チャージ", "refund": "取消"}
    with (
        canonical.open("w", encoding="utf-8", newline="") as one,
        theirs.open("w", encoding="cp932", newline="") as other,
    ):
        one.write(
            "transaction_id,service_id,account_id,occurred_at,kind,amount,original_transaction_id\n"
        )
        other.write("取引番号,会員番号,利用日時,利用店舗,利用区分,利用金額,元取引番号\r\n")
        for row in range(rows):
            day, second = random.randrange(28) + 1, random.randrange(86_400)
            at = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            kind = random.choices(("purchase", "charge", "refund"), (80, 15, 5))[0]
            original = f"T{random.randrange(rows):011}" if kind == "refund" else ""
            account, amount = f"A{random.randrange(rows // 10):08}", random.randrange(1, 20_000)
            shop = f"㈱髙島ストア①{random.randrange(500)}号店"
            one.write(
                f"T{row:011},coin,{account},2020-10-{day:02} {at},{kind},{amount},{original}\n"
            )
            other.write(
                f'T{row:011},{account},2020/10/{day:02} {at},{shop},{words[kind]},"{amount:,}円",'
                f"{original}\r\n"
            )
    return canonical, theirs, layout


def seconds(delivery: DeliveredAs) -> tuple[float, int, int]:
    """CPU time of reading, rows, and yen, to see that both are the same."""
    files = Files(TRANSACTIONS, find_delivered([delivery], "transactions"))
    rows = yen = 0
    with ThreadPoolExecutor(1) as pool:
        start = time.process_time()
        for pieces, _ in files.read(pool, 1, lambda read: read.good):
            rows += sum(frame.height for frame in pieces)
            yen += sum(int(frame["amount"].sum()) for frame in pieces)
        return time.process_time() - start, rows, yen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        canonical, theirs, layout = write(Path(folder), asked.rows, asked.seed)
        deliveries = DeliveredAs(canonical), DeliveredAs(theirs, layout)
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(asked.times):
            one, other = map(seconds, deliveries)
            assert one[1:] == other[1:], "the two read to other rows"
            taken[0].append(one[0])
            taken[1].append(other[0])
        size = canonical.stat().st_size, theirs.stat().st_size
    medians = [statistics.median(one) for one in taken]
    print(f"polars threads: {pl.thread_pool_size()}")
    for what, median, size_bytes in zip(("canonical", "laid out"), medians, size, strict=True):
        print(
            f"{what:>10}: {median:6.2f} s, {median / asked.rows * 1e9:5.0f} ns a row, "
            f"{size_bytes / 1e6:6.1f} MB"
        )
    print(f"speed: {medians[0] / medians[1]:.2f} of the canonical form's")


if __name__ == "__main__":
    main()

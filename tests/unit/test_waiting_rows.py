"""The waiting rows: what look-ups give is what waits, one content a key, or they are damaged."""

import datetime as dt
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.columns.hashing import Hashes, hash_pair
from engine.io.book import segments, waiting, waiting_rows, waiting_segment
from engine.io.book.checked import DamagedIndex
from engine.io.book.waiting import Waiting
from engine.io.book.waiting_rows import COLUMNS
from engine.records import TRANSACTION_COLUMNS

TYPES = {
    "transaction_id": pl.String(),
    "service_id": pl.String(),
    "account_id": pl.String(),
    "occurred_at": pl.Datetime("us"),
    "kind": pl.String(),
    "amount": pl.Int64(),
    "original_transaction_id": pl.String(),
    "method": pl.String(),
    "booked_once": pl.Boolean(),
}
KEY = ["service_id", "transaction_id"]
ACCOUNT = ["service_id", "account_id"]
ORIGINAL = ["service_id", "original_transaction_id"]


def night(rng: random.Random, rows: int) -> pl.DataFrame:
    def row() -> dict[str, object]:
        kind = rng.choice(["charge", "purchase", "refund"])
        return {
            "transaction_id": f"取引{rng.randrange(60)}",
            "service_id": rng.choice(["coin", "ペイ"]),
            "account_id": f"{rng.randrange(20)}",
            "occurred_at": dt.datetime(2020, 9, 1) + dt.timedelta(seconds=rng.random() * 1e6),
            "kind": kind,
            "amount": rng.randint(1, 100_000_000),
            "original_transaction_id": f"取引{rng.randrange(60)}" if kind == "refund" else None,
            "method": rng.choice([None, "", "カード" * 40]),
            "booked_once": rng.random() < 0.2,
        }

    return pl.DataFrame([row() for _ in range(rows)], schema=TYPES)


class Kept:
    """The same rows in memory."""

    def __init__(self) -> None:
        self.rows = pl.DataFrame(schema=TYPES | {"run": pl.Int64(), "row_id": pl.Int64()})

    def add(self, run: int, rows: pl.DataFrame) -> None:
        ids = pl.int_range(rows.height) + (run << 32)
        self.rows = pl.concat([self.rows, rows.with_columns(run=pl.lit(run, pl.Int64), row_id=ids)])

    @property
    def waiting(self) -> pl.DataFrame:
        last = self.rows.unique(KEY, keep="last", maintain_order=True)
        return last.sort("row_id").select(COLUMNS)


def check(store: Waiting, kept: Kept, rng: random.Random) -> None:
    rows = kept.waiting
    wanted = night(rng, 6).select(*KEY, "account_id")
    originals = wanted.rename({"transaction_id": "original_transaction_id"})
    refunds = rows.filter(pl.col("kind") == "refund")
    service = wanted["service_id"]
    assert_frame_equal(
        store.of_accounts(service, wanted["account_id"]), rows.join(wanted, on=ACCOUNT, how="semi")
    )
    assert_frame_equal(
        store.of_keys(service, wanted["transaction_id"]), rows.join(wanted, on=KEY, how="semi")
    )
    assert_frame_equal(
        store.refunds_of(service, wanted["transaction_id"]),
        refunds.join(originals, on=ORIGINAL, how="semi"),
    )
    batches = [rows.clear(), *store.batches()]
    assert_frame_equal(pl.concat(batches).sort("row_id"), rows)


@pytest.fixture(params=["all hashes", "four hashes"])
def _hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they are, or so few that most texts share theirs with others."""

    def few(service_id: pl.Series, identifier: pl.Series) -> Hashes:
        return hash_pair(service_id, identifier) & np.uint64(3 << 62)

    if request.param == "four hashes":
        for module in (waiting, waiting_rows, waiting_segment):
            monkeypatch.setattr(module, "hash_pair", few)


@pytest.fixture(params=[20, 1_000_000], ids=["in ranges", "at once"])
def _rows_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (waiting, segments):
        monkeypatch.setattr(module, "ROWS_AT_ONCE", request.param)


@pytest.mark.usefixtures("_hashes", "_rows_at_once")
def test_look_ups_give_the_row_of_a_key_that_came_last(tmp_path: Path) -> None:
    rng = random.Random(6)
    store, kept = Waiting(tmp_path), Kept()
    check(store, kept, rng)
    for run in range(1, 16):
        rows = night(rng, rng.choice([0, 1, 5, 50]))
        kept.add(run, rows)
        store = store.add_run(run, [rows[:7], rows[7:]] if run % 2 else rows)
        store = Waiting.open(tmp_path, json.loads(json.dumps(store.listed)))
        check(store, kept, rng)
    assert len(store.listed) < 8
    assert store.size == sum(store.rows_by_run.values())
    assert kept.waiting.height <= store.size <= kept.rows.height
    assert set(store.files) <= {file.name for file in tmp_path.iterdir()}
    assert not list(tmp_path.glob("*-part-*"))


def rows_of(*rows: tuple[str, str]) -> pl.DataFrame:
    """Purchases, by transaction and account."""
    fixed = night(random.Random(1), 1).with_columns(
        service_id=pl.lit("coin"), kind=pl.lit("purchase"), original_transaction_id=None
    )
    ids = pl.DataFrame(rows, schema=["transaction_id", "account_id"], orient="row")
    rest = fixed.drop(ids.columns)
    return ids.join(rest, how="cross").select(list(TYPES)).cast(pl.Schema(TYPES))


def transactions_of(store: Waiting, account_id: str) -> list[tuple[str, int]]:
    found = store.of_accounts(pl.Series(["coin"]), pl.Series([account_id]))
    return found.select("transaction_id", "run").rows()


def test_a_row_takes_the_place_of_one_that_stands_under_another_account(tmp_path: Path) -> None:
    store = Waiting(tmp_path).add_run(1, rows_of(("t1", "a"), ("t2", "a"), ("t3", "a")))
    store = store.add_run(2, rows_of(("t1", "b"), ("t2", "a")))
    assert transactions_of(store, "a") == [("t3", 1), ("t2", 2)]
    assert transactions_of(store, "b") == [("t1", 2)]
    store = store.add_run(3, rows_of(("t1", "a"), ("t1", "c")))
    assert [transactions_of(store, account) for account in "abc"] == [
        [("t3", 1), ("t2", 2)],
        [],
        [("t1", 3)],
    ]


def test_a_merge_gives_up_what_no_longer_waits(tmp_path: Path) -> None:
    store = Waiting(tmp_path)
    for run in range(1, 8):
        store = store.add_run(
            run,
            rows_of((f"t{run}", "a"), (f"booked-{run}", "a")),
            lambda frame: ~frame["transaction_id"].str.starts_with("booked"),
        )
    assert 7 <= store.size < 14
    everything = pl.concat(list(store.batches()))
    assert set(everything["transaction_id"]) >= {f"t{run}" for run in range(1, 8)}


def test_a_store_of_which_nothing_waits_any_more_is_empty(tmp_path: Path) -> None:
    store = Waiting(tmp_path)
    for run in range(1, 4):
        store = store.add_run(run, rows_of(("t", "a")), lambda frame: frame["amount"] < 0)
    assert (store.size, store.listed, list(store.batches())) == (0, [], [])


def test_a_run_without_waiting_rows_leaves_no_file(tmp_path: Path) -> None:
    assert Waiting(tmp_path).add_run(1, night(random.Random(1), 0)).files == []
    assert not list(tmp_path.iterdir())


def flipped_bits(store: Path, files: list[str]) -> Iterator[Path]:
    rng = random.Random(9)
    for name in files:
        path = store / name
        whole = path.read_bytes()
        for _ in range(25 if whole else 0):
            damaged = bytearray(whole)
            bit = rng.randrange(8 * len(whole))
            damaged[bit // 8] ^= 1 << bit % 8
            path.write_bytes(damaged)
            yield path
        path.write_bytes(whole)


def test_a_flipped_bit_in_any_file_changes_no_row(tmp_path: Path) -> None:
    rng = random.Random(4)
    store, kept = Waiting(tmp_path), Kept()
    for run in range(1, 4):
        rows = night(rng, 40)
        kept.add(run, rows)
        store = store.add_run(run, rows)
    last = kept.waiting
    damaged = unseen = 0
    for _ in flipped_bits(tmp_path, store.files):
        opened = Waiting.open(tmp_path, store.listed)
        service = last["service_id"]
        for look_up, texts, expected in (
            (opened.of_accounts, "account_id", last),
            (opened.of_keys, "transaction_id", last),
            (opened.refunds_of, "transaction_id", None),
        ):
            try:
                found = look_up(service, last[texts])
            except DamagedIndex:
                damaged += 1
            else:
                unseen += 1
                if expected is not None:
                    assert_frame_equal(found, expected)
    # No look-up reads all files; what one reads, it checks.
    assert damaged > unseen


def test_rows_come_back_as_they_were_delivered(tmp_path: Path) -> None:
    rows = night(random.Random(3), 50).unique(KEY, keep="last", maintain_order=True)
    coded = rows.with_columns(pl.col("kind").cast(pl.Enum(["refund", "charge", "purchase"])))
    found = Waiting(tmp_path).add_run(7, coded).of_keys(rows["service_id"], rows["transaction_id"])
    assert_frame_equal(found.select(list(TYPES)), rows)
    assert found.columns == [*TRANSACTION_COLUMNS, "booked_once", "run", "row_id"]
    assert found["run"].to_list() == [7] * rows.height

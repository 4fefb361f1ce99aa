"""Rows that are kept share no memory with those that are not."""

import datetime as dt
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mynapoint
from engine.booking.duplicates import Repeated, settled_by_text
from engine.columns.unshared import rows_on_their_own, texts_on_their_own
from engine.io.run import intake

MANY = pl.DataFrame({"text": [f"{number:064}" for number in range(10_000)], "yen": range(10_000)})
SHORT = pl.DataFrame({"text": [f"{number}" for number in range(10)], "yen": range(10)})


def bytes_held(texts: pl.Series) -> int:
    """Of all buffers that the texts keep alive."""
    views = texts.to_arrow(compat_level=pl.CompatLevel.newest())
    return sum(buffer.size for buffer in views.buffers() if buffer is not None)


@given(st.lists(st.text("a水") | st.none(), max_size=40))
def test_texts_on_their_own_are_the_same_texts(texts: list[str | None]) -> None:
    taken = pl.Series("texts", texts, dtype=pl.String).reverse()
    assert texts_on_their_own(taken).equals(taken, check_names=True)


@pytest.mark.parametrize("rows", [[1, 5_000], [10_001, 10_002]], ids=["long", "short"])
def test_a_few_rows_on_their_own_hold_nothing_of_the_many(rows: list[int]) -> None:
    few = pl.concat([MANY, SHORT], rechunk=True)[rows]
    own = rows_on_their_own(few)
    assert own.equals(few)
    assert bytes_held(own["text"]) < 1_000 < bytes_held(few["text"])


def test_rows_that_are_settled_by_their_texts_hold_nothing_of_the_delivery(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contested: list[pl.DataFrame] = []

    def noted(rows: pl.DataFrame) -> Repeated:
        contested.append(rows)
        return settled_by_text(rows)

    monkeypatch.setattr(intake, "settled_by_text", noted)
    transactions = MANY.select(
        pl.col("text").alias("transaction_id"),
        service_id=pl.lit("coin"),
        account_id=pl.lit("1"),
        occurred_at=pl.lit(dt.datetime(2020, 9, 1)),
        kind=pl.lit("purchase"),
        amount=pl.col("yen") + 1,
    )
    twice = pl.concat([transactions, transactions[:1].with_columns(amount=pl.lit(7, pl.Int64))])
    twice.write_parquet(tmp_path / "transactions.parquet")
    mynapoint.run(
        tmp_path / "book",
        booked_on=dt.date(2020, 10, 1),
        transactions=[tmp_path / "transactions.parquet"],
    )
    (rows,) = contested
    assert rows["transaction_id"].to_list() == [f"{0:064}"] * 2
    assert bytes_held(rows["transaction_id"]) < 1_000

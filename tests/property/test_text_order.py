"""Texts in order, by eight bytes at a time."""

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from engine.columns.text_order import in_text_order

# As IDs are: long beginnings in common, the same again, characters of one to four bytes.
PIECES = ["", "a", "b", "0" * 8, "0" * 20, "é", "水", "𠮷", "\U0010ffff"]
TEXTS = st.lists(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), max_size=40)


@given(TEXTS)
@example(["same"] * 3)
@example(["x" * 64, "x" * 63 + "y", "x" * 64])
@example(["\uffff", "\U00010000", "0000000012", "00000000", "0000000012"])
def test_texts_stand_in_the_order_of_their_code_points(texts: list[str]) -> None:
    order, same = in_text_order(pl.Series(texts, dtype=pl.String))
    there = [texts[place] for place in order]
    assert there == sorted(texts)
    assert sorted(order.tolist()) == list(range(len(texts)))
    assert same.tolist() == [row > 0 and text == there[row - 1] for row, text in enumerate(there)]

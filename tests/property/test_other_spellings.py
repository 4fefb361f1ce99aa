"""Spellings of IDs: what is passed over among many is no spelling of what is looked for."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engine.reading.spellings import in_other_spellings, plain_ids

spelled = st.from_regex(r"0?[1aAａ１é]?0?[bB]?(\.0)?", fullmatch=True).filter(bool)


@given(st.lists(spelled, min_size=1, unique=True), st.lists(spelled, unique=True))
def test_an_id_meets_every_other_that_is_plain_alike(ids: list[str], others: list[str]) -> None:
    looked_at = pl.DataFrame({"service_id": "", "id": ids}).with_columns(
        plain=plain_ids(pl.Series(ids, dtype=pl.String))
    )
    plain_others = plain_ids(pl.Series(others, dtype=pl.String)).to_list()
    met = in_other_spellings(looked_at, None, pl.Series(others, dtype=pl.String))
    assert met.tolist() == [
        any(
            plain == plain_other and spelling != other
            for other, plain_other in zip(others, plain_others, strict=True)
        )
        for spelling, plain in looked_at.select("id", "plain").iter_rows()
    ]

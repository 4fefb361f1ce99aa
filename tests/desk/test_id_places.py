"""Where IDs stand in a book's files: whoever looks for many need not read the files for each."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.io.book.format import RunTable
from pipelines.browse.places import find_places
from pipelines.desk import id_places, opened_book
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.explain.lookup import account_of, person_of, transaction_of

PERSON = "5e9cbfa5c9c90f44"
ACCOUNT = ("rakuten-pay", "018592613078")


@pytest.fixture(scope="module")
def opened(six_nights: Path) -> OpenedBook:
    opened = open_book(six_nights)
    find_places(opened)
    return opened


def test_every_row_with_an_id_is_found_and_few_others_are_read(
    opened: OpenedBook, six_nights: Path
) -> None:
    for table, column in (
        (RunTable.DECLINED, "account_id"),
        (RunTable.DECLINED, "transaction_id"),
        (RunTable.ACCEPTED, "person_id"),
        (RunTable.REJECTED, "account_id"),
    ):
        rows = open_book(six_nights).table(table).collect()
        for wanted in rows[column].unique().sort().gather_every(40):
            expected = rows.filter(pl.col(column) == wanted)
            assert opened.table_with(table, column, [wanted]).collect().equals(expected)
        assert opened.table_with(table, column, ["nobody"]).collect().is_empty()


def test_entries_that_the_index_does_not_cover_are_found_by_their_ids(opened: OpenedBook) -> None:
    last = [file for file in opened.ledger_files if file.run == opened.runs]
    assert last
    for file in opened.ledger_files:
        known = opened.places.rows(file.path, "transaction_id", ["nobody"])
        assert known == ([] if file in last else None)
    entries = opened.ledger(last).collect()
    wanted = entries["transaction_id"][-1]
    found = opened.ledger_with(last, "transaction_id", [wanted]).collect()
    assert found.equals(entries.filter(transaction_id=wanted))


def test_whoever_looks_once_reads_the_files(six_nights: Path) -> None:
    opened = open_book(six_nights)
    rows = opened.table_with(RunTable.DECLINED, "account_id", ["nobody"]).collect()
    assert rows.equals(opened.table(RunTable.DECLINED).collect())


def test_what_is_told_is_the_same_where_hashes_collide(
    opened: OpenedBook, six_nights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declined = ("rakuten-pay", "20200901000502058769")

    def told(book: OpenedBook) -> list[object]:
        person = person_of(book, PERSON, with_declined=True)
        return [person, account_of(book, *ACCOUNT), transaction_of(book, *declined)]

    expected = told(open_book(six_nights))
    assert told(opened) == expected
    monkeypatch.setattr(id_places, "_hashed", lambda ids: np.zeros(len(ids), np.uint32))
    monkeypatch.setattr(opened_book, "_MOST_PIECES", 10_000)
    colliding = open_book(six_nights)
    find_places(colliding)
    assert told(colliding) == expected

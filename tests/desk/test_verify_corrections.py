"""`mynapoint verify` and late facts: voids, recounts, events and what waits.

The defects are planted by a forger, so that no byte gives them away: the book's own arithmetic
finds each, and so do its deliveries.
"""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from corrected_nights import CorrectedBook, corrected_book
from forger import Forger

from pipelines.verify import verify

BYTE_KINDS = {"changed", "missing", "unknown", "uncommitted", "record", "not_recalculated"}


@pytest.fixture(scope="module")
def sound_book(tmp_path_factory: pytest.TempPathFactory) -> CorrectedBook:
    return corrected_book(tmp_path_factory.mktemp("corrected"))


@pytest.fixture
def corrected(sound_book: CorrectedBook, tmp_path: Path) -> CorrectedBook:
    """A copy of the book to do harm to."""
    book = Path(shutil.copytree(sound_book.book, tmp_path / "book"))
    return CorrectedBook(book, sound_book.deliveries)


def is_found(corrected: CorrectedBook, kind: str, what: str) -> None:
    """By the arithmetic alone, in these words; and by the deliveries."""
    alone = verify(corrected.book)
    shown = "\n".join(
        f"{finding.kind}: {finding.line(show_ids=True)}" for finding in alone.findings
    )
    assert what in "\n".join(finding.what for finding in alone.findings if finding.kind == kind), (
        shown
    )
    assert not BYTE_KINDS & set(alone.findings.totals), shown
    proven = verify(corrected.book, **corrected.given)
    assert {"other_entry", "other_row", "other_record"} & set(proven.findings.totals)


def drop(corrected: CorrectedBook, run: int, table: str, rows_to_drop: pl.Expr) -> None:
    """Takes rows out of one of a run's tables."""
    path = corrected.book / "runs" / f"{run:06}" / f"{table}.parquet"
    schema = pq.read_schema(path)
    rows = pl.read_parquet(path).filter(~rows_to_drop).to_arrow().cast(schema)
    pq.write_table(rows, path, store_schema=False)


def without(forger: Forger, entry: dict[str, Any]) -> None:
    forger.ledger = forger.ledger.filter(pl.col("place") != entry["place"])


def test_a_book_with_corrections_has_no_findings_and_its_origin_is_proven(
    sound_book: CorrectedBook,
) -> None:
    verified = verify(sound_book.book, **sound_book.given)
    assert not verified.findings, [finding.line(show_ids=True) for finding in verified.findings]
    assert {"bytes", "arithmetic", "origin"} <= set(verified.checked)
    assert verified.unused == 0


def test_the_forger_alone_plants_nothing(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    forger.carry()
    forger.write()
    verified = verify(corrected.book, **corrected.given)
    assert not verified.findings, [finding.line(show_ids=True) for finding in verified.findings]


def test_a_wrong_recount_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    recount = forger.entry(pl.col("kind") == "recount")
    forger.set(recount["place"], counted_amount=-4000, points=-1000)
    forger.carry()
    forger.write()
    is_found(corrected, "recount", "counted_amount is -4000, recalculated -5000")


def test_a_missing_recount_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    without(forger, forger.entry(pl.col("kind") == "recount"))
    forger.carry()
    forger.write()
    is_found(corrected, "recount", "no recount says so")


def test_a_missing_void_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    without(forger, forger.entry(pl.col("kind") == "purchase_void"))
    forger.carry(counted=True)
    forger.write()
    is_found(corrected, "not_void", "the entry stands against an event that voids it by name")


@pytest.mark.parametrize("event_id", ["V9", "S9", None])
def test_a_void_without_an_event_of_its_run_is_found(
    corrected: CorrectedBook, event_id: str | None
) -> None:
    """S9 waits: it was delivered, and not accepted."""
    forger = Forger(corrected.book)
    forger.set(forger.entry(pl.col("kind") == "purchase_void")["place"], event_id=event_id)
    forger.write()
    is_found(corrected, "void", "voids without an event that this run accepted")


def test_a_void_that_no_event_asks_for_is_found(corrected: CorrectedBook) -> None:
    """T1 goes in L1's place, by an event that is there and names L1."""
    forger = Forger(corrected.book)
    void = forger.entry(pl.col("kind") == "purchase_void")
    other = forger.entry(pl.col("transaction_id") == "T1")
    names = ("transaction_id", "occurred_at", "amount")
    values = {name: other[name] for name in names}
    forger.set(void["place"], **values, net_amount=-other["net_amount"])
    forger.carry(counted=True)
    forger.write()
    is_found(corrected, "void", "nothing that is in force then asks for the void")


def test_a_void_that_does_not_repeat_what_it_voids_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    void = forger.entry(pl.col("kind") == "purchase_void")
    forger.set(void["place"], amount=void["amount"] - 1, net_amount=void["net_amount"])
    forger.write()
    is_found(corrected, "void", "does not repeat what it voids")


def test_a_booking_of_a_voided_transaction_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    late = forger.entry(pl.col("transaction_id") == "T9")
    voided = forger.entry(pl.col("transaction_id") == "L1", pl.col("kind") == "purchase")
    names = ("transaction_id", "occurred_at", "amount")
    forger.set(late["place"], **{name: voided[name] for name in names})
    forger.carry(counted=True)
    forger.write()
    is_found(corrected, "not_void", "the entry stands against an event that voids it by name")


def test_a_waiting_row_that_was_dropped_is_found_by_the_run_that_booked_it(
    corrected: CorrectedBook,
) -> None:
    drop(corrected, 1, "declined", pl.col("transaction_id") == "W1")
    Forger(corrected.book).forge()
    is_found(corrected, "not_waiting", "only 1 of the run's entries waited in an earlier run")


def test_a_row_that_was_left_waiting_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    without(forger, forger.entry(pl.col("transaction_id") == "W1"))
    forger.carry()
    forger.write()
    is_found(corrected, "not_booked", "the row can be booked, and waits")


def test_a_refund_that_was_left_waiting_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    without(forger, forger.entry(pl.col("transaction_id") == "R1"))
    forger.carry(counted=True)
    forger.write()
    is_found(corrected, "not_booked", "not refunded in whole, and the refund waits")


def test_a_refund_that_takes_other_than_what_is_left_is_found(corrected: CorrectedBook) -> None:
    forger = Forger(corrected.book)
    forger.set(forger.entry(pl.col("transaction_id") == "R1")["place"], net_amount=-300)
    forger.carry(counted=True)
    forger.write()
    is_found(corrected, "refund", "the refund takes 300 yen, of its original 2000 were left")


def test_an_accepted_event_that_was_dropped_is_found(corrected: CorrectedBook) -> None:
    drop(corrected, 2, "accepted_events", pl.col("event_id") == "V2")
    Forger(corrected.book).forge()
    is_found(corrected, "events", "are others than those that it kept as taken")

"""Where a transaction was booked: by the book's index, or by a scan of the ledger."""

from collections.abc import Sequence

import polars as pl

from engine.records import KINDS
from pipelines.desk.opened_book import LedgerFile, OpenedBook, book_readable
from pipelines.explain.account import Entry
from pipelines.explain.found_rows import entries_in


def indexed_bookings(
    opened: OpenedBook, service_id: str, transaction_id: str, wanted: pl.Expr
) -> tuple[list[Entry], Sequence[LedgerFile]]:
    """A transaction's bookings by the book's index; and the files that are not in it yet."""
    # Importing this takes as long as all else that a person's story needs.
    from engine.io.book.index import find_bookings

    places, remembered = find_bookings(opened.book, opened.runs, service_id, transaction_id)
    with book_readable(opened.book):
        found = [entries_in(_one_row(opened, *place).filter(wanted)) for place in places]
    if not all(found):
        # The index is damaged or of another book: only the ledger is trusted.
        return [], opened.ledger_files
    unseen = [file for file in opened.ledger_files if file.run > remembered]
    return [entry for entries in found for entry in entries], unseen


def scanned_bookings(
    opened: OpenedBook, files: Sequence[LedgerFile], wanted: pl.Expr, transaction_ids: Sequence[str]
) -> list[Entry]:
    """Bookings of transactions with some IDs in some files, which the book's index is not asked
    about.
    """
    is_booking = pl.col("kind").is_in(KINDS)
    with book_readable(opened.book):
        rows = opened.ledger_with(files, "transaction_id", transaction_ids)
        return entries_in(rows.filter(wanted & is_booking))


def _one_row(opened: OpenedBook, run: int, row: int) -> pl.LazyFrame:
    for file in opened.ledger_files:
        if file.run == run:
            if row < file.rows:
                return opened.ledger([file]).slice(row, 1)
            row -= file.rows
    return opened.ledger([])

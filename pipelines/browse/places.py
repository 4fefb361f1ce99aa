"""Where the IDs are that pages look for, read once, when browsing begins."""

from engine.io.book.format import RunTable
from engine.io.book.index import find_bookings
from engine.records import LedgerEntry
from pipelines.desk.opened_book import OpenedBook, book_readable

_LOOKED_FOR = {
    RunTable.DECLINED: ("transaction_id", "account_id"),
    RunTable.ACCEPTED: ("person_id", "account_id"),
    RunTable.REJECTED: ("person_id", "account_id"),
}


def find_places(opened: OpenedBook) -> None:
    """Reads the IDs of the runs' tables, and of the entries that the book's index does not cover.

    Raises:
        BookError: a file of the book cannot be read.
    """
    _, covered = find_bookings(opened.book, opened.runs, "", "")
    with book_readable(opened.book):
        for table, columns in _LOOKED_FOR.items():
            opened.places.add(opened.tables(table), table.record, columns)
        later = [file.path for file in opened.ledger_files if file.run > covered]
        opened.places.add(later, LedgerEntry, ("transaction_id",))

"""Which of a run's IDs another spelling of meets, in the run or in the book: it warns of them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.state import Past
from engine.columns.hashing import Hashes, hash_pair
from engine.reading.spellings import OddIds, in_other_spellings, said_of

Said = Iterator[tuple[int, str]]


def accounts_spelled_otherwise(unknown: OddIds, past: Past) -> Said:
    """The accounts that are not enrolled as they are written, and are in another spelling."""
    ids, accounts = unknown.ids(), past.registry.accounts
    if ids.height and accounts.height:
        meets = in_other_spellings(ids, accounts["service_id"], accounts["account_id"])
        yield from said_of(ids, meets, "account_id", "that is enrolled; their rows are declined")


def people_spelled_otherwise(delivered: pl.DataFrame, past: Past) -> Said:
    """The people who are delivered in one spelling and are known, or delivered, in another."""
    people = OddIds("person_id", every=True)
    people.look(delivered.filter(pl.col("row_ref") >= 0))
    ids = people.ids()
    if ids.height:
        meets = in_other_spellings(ids, None, past.registry.people_ids)
        meets |= people.among_each_other(ids)
        yield from said_of(ids, meets, "person_id", "that is known; each has a cap of its own")


def plain_keys(odd: OddIds) -> Hashes:
    """The keys of the plain spellings of transactions that are spelled otherwise."""
    ids = odd.ids()
    return hash_pair(ids["service_id"], ids["plain"])


def transactions_spelled_otherwise(
    odd: OddIds, past: Past, delivered: npt.NDArray[np.bool_]
) -> Said:
    """The transactions that are delivered in one spelling, and are delivered or booked in another:
    each is booked as a transaction of its own. ``delivered`` says which of the ``plain_keys`` are.
    """
    ids = odd.ids()
    if ids.is_empty():
        return
    meets = odd.among_each_other(ids) | delivered
    meets |= past.entries_of(ids["service_id"], ids["plain"]) >= 0
    yield from said_of(ids, meets, "transaction_id", "that is delivered or booked, too")

"""Awarding: the booked transactions of a slice, in order, and what each of them earns."""

from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.deciding import Originals
from engine.booking.index_spaces import BookedPlace, BookedPlaces, SliceRows
from engine.booking.registry import Numbers
from engine.booking.state import Integers, Past, jst_months, month_keys
from engine.columns.sorting import ascending_order
from engine.columns.text_order import tied
from engine.rules.award import counted_spend, worth
from engine.terms.programme import Programme
from engine.terms.services import ROUNDINGS

CUMULATIVE: Final = ROUNDINGS.index("cumulative")
MONTH: Final = ROUNDINGS.index("month")
TRANSACTION: Final = ROUNDINGS.index("transaction")
_BEYOND_POSITIONS: Final = 1 << 62

# An Enum would sort by its words' places.
SERVICE: Final = pl.col("service_id").cast(pl.String)

Flags = npt.NDArray[np.bool_]


class BookedTransactions(NamedTuple):
    """Booked transactions as numbers, in any order.

    ``ranks`` order people by their IDs; ``net_yen`` is what each adds to net spend;
    ``roundings`` are places in ``ROUNDINGS``.
    """

    ranks: Integers
    person_nos: Numbers
    account_nos: npt.NDArray[np.int32]
    occurred_at_us: Integers
    net_yen: Integers
    refunds: Flags
    roundings: npt.NDArray[np.uint8]

    def taken(self, places: Numbers) -> "BookedTransactions":
        """Those at these places, in their order."""
        return BookedTransactions(*(column.take(places) for column in self))  # type: ignore[arg-type]


class Awards(NamedTuple):
    """What the entries say beside the transactions, in booking order."""

    entry_seq: Integers
    counted_amount: Integers
    points: Integers
    net_spend_after: Integers
    points_after: Integers


def booking_order(
    booked: BookedTransactions, rows: pl.DataFrame, places: SliceRows
) -> BookedPlaces:
    """The order (person, occurred_at, refunds after the others, service_id, transaction_id).

    ``rows`` has ``service_id`` and ``transaction_id``, in ``places`` those of what is booked; text
    is compared by code point. A person's rows of the same instant are few: all others are ordered
    by one packed number.
    """
    keys = rows.select("service_id", "transaction_id")
    if booked.ranks.size == 0:
        return np.empty(0, np.int64)
    instants = booked.occurred_at_us // 1_000_000
    if (instants * 1_000_000 != booked.occurred_at_us).any():
        instants = booked.occurred_at_us
    instants = instants - instants.min()
    ranks = booked.ranks - booked.ranks.min()
    bits = int(instants.max()).bit_length() + 1
    if int(ranks.max()).bit_length() + bits > 64:
        return _order_by_all(booked, keys[places])
    packed = ranks.astype(np.uint64) << np.uint64(bits)
    packed |= (instants.astype(np.uint64) << np.uint64(1)) | booked.refunds
    # Equal ones are settled below.
    order = cast(BookedPlaces, ascending_order(packed).astype(np.int64))
    packed = packed[order]
    same = np.append(False, packed[1:] == packed[:-1])
    if same.any():
        at = np.flatnonzero(tied(same))
        ties = keys[places[order[at]]].with_columns(
            packed=pl.Series(packed[at]), row=pl.Series(order[at])
        )
        order[at] = ties.sort("packed", SERVICE, "transaction_id")["row"].to_numpy()
    return order


def _order_by_all(booked: BookedTransactions, keys: pl.DataFrame) -> BookedPlaces:
    return (
        keys.with_columns(
            rank=pl.Series(booked.ranks),
            at=pl.Series(booked.occurred_at_us),
            refund=pl.Series(booked.refunds),
            row=pl.int_range(pl.len()),
        )
        .sort("rank", "at", "refund", SERVICE, "transaction_id")["row"]
        .to_numpy()
    )


def award(
    rows: BookedTransactions,
    order: BookedPlaces,
    originals: Originals[BookedPlace],
    past: Past,
    programme: Programme,
) -> Awards:
    """What each of the booked transactions, which stand in booking order, earns.

    Not of people whom ``needs_recounting`` names: a refund of theirs may change other groups.
    ``originals`` are of the refunds among them.
    """
    first = begins(rows.ranks)
    starts, lengths = stretches(first)
    people = rows.person_nos[starts]

    net_after = running(rows.net_yen, starts, lengths, past.balances.net_spend_yen[people])
    net_before = net_after - rows.net_yen
    counted = counted_spend(net_after, programme) - counted_spend(net_before, programme)

    group_after = _group_sums(rows, order, counted, first, originals, past)
    points = worth(group_after, programme) - worth(group_after - counted, programme)
    ones = np.ones(order.size, np.int64)
    return Awards(
        entry_seq=running(ones, starts, lengths, past.balances.entries[people]),
        counted_amount=counted,
        points=points,
        net_spend_after=net_after,
        points_after=running(points, starts, lengths, past.balances.points[people]),
    )


def needs_recounting(rows: BookedTransactions, past: Past, programme: Programme) -> Flags:
    """The rows, which stand in booking order, of people of whom a refund may give room under the
    cap back to other rounding groups than its own.
    """
    several = (rows.roundings != CUMULATIVE) | past.registry.several[rows.person_nos]
    if not (rows.refunds & several).any():
        return np.zeros(rows.refunds.size, np.bool_)
    starts, lengths = stretches(begins(rows.ranks))
    held = past.balances.net_spend_yen[rows.person_nos[starts]]
    net_before = running(rows.net_yen, starts, lengths, held) - rows.net_yen
    gives_room = rows.refunds & several & (net_before > programme.cap_yen)
    return np.repeat(np.logical_or.reduceat(gives_room, starts), lengths)


def begins(numbers: Integers) -> Flags:
    """Where each stretch of equal numbers begins."""
    first = np.ones(numbers.size, np.bool_)
    first[1:] = numbers[1:] != numbers[:-1]
    return first


def stretches(first: Flags) -> tuple[Numbers, Numbers]:
    """Where each stretch begins that is marked so, and its length."""
    starts = np.flatnonzero(first)
    return starts, np.diff(starts, append=first.size)


def running(values: Integers, starts: Numbers, lengths: Numbers, before: Integers) -> Integers:
    """The running sum within each stretch, on top of what was there before."""
    total = np.cumsum(values)
    base = before - (total[starts] - values[starts]) if starts.size else before
    return total + np.repeat(base, lengths).astype(np.int64, copy=False)


def _group_sums(
    rows: BookedTransactions,
    order: BookedPlaces,
    counted: Integers,
    first: Flags,
    originals: Originals[BookedPlace],
    past: Past,
) -> Integers:
    """The sum of each entry's rounding group after it.

    A person's groups follow one another as long as the person has one account, and no refund that
    goes back to a month's or a transaction's; the entries of the others are gathered by group.
    """
    by_month, by_transaction = rows.roundings == MONTH, rows.roundings == TRANSACTION
    months = np.zeros(order.size, np.int64)
    months[by_month] = jst_months(rows.occurred_at_us[by_month])
    original_ids = -1 - order
    before = np.zeros(order.size, np.int64)
    if originals.ids.size:
        places = np.empty(order.size, np.int64)
        places[order] = np.arange(order.size)
        at = places[originals.of_rows]
        months[at] = np.where(by_month[at], jst_months(originals.occurred_at_us), 0)
        original_ids[at] = originals.ids
        # Whatever a refund may be summed with here counted in full before it.
        before[at] = np.where(originals.ids >= 0, originals.amounts_yen - originals.refunded_yen, 0)
    if past.counted.size:
        before = np.where(by_transaction, before, past.counted_of_accounts(rows.account_nos))
        monthly = np.flatnonzero(by_month)
        before[monthly] = past.counted_in_months(rows.account_nos[monthly], months[monthly])

    group_first = first | by_transaction
    group_first[1:] |= by_month[1:] & (months[1:] != months[:-1])
    after = group_running(counted, group_first, before)

    mixed = np.flatnonzero(_mixed(rows, first))
    # One number a group: an original's is its position, or negative when it is of the slice.
    of_accounts = _BEYOND_POSITIONS + month_keys(rows.account_nos[mixed], months[mixed])
    groups = np.where(by_transaction[mixed], original_ids[mixed], of_accounts)
    together = np.argsort(groups, kind="stable")
    at, groups = mixed[together], groups[together]
    after[at] = group_running(counted[at], begins(groups), before[at])
    return after


def group_running(counted: Integers, group_first: Flags, before: Integers) -> Integers:
    """The running sum of each group, which begins where it is marked, on top of what it held
    before: the same for all of a group.
    """
    starts, lengths = stretches(group_first)
    return running(counted, starts, lengths, before[starts])


def _mixed(rows: BookedTransactions, first: Flags) -> Flags:
    """The entries of people whose groups may not follow one another."""
    account_changes = np.zeros(first.size, np.bool_)
    account_changes[1:] = rows.account_nos[1:] != rows.account_nos[:-1]
    elsewhere = rows.refunds & (rows.roundings != CUMULATIVE)
    odd = elsewhere | (account_changes & ~first)
    person = np.cumsum(first) - 1
    people = np.zeros(int(first.sum()), np.bool_)
    people[person[odd]] = True
    return np.take(people, person)

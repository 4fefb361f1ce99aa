"""People whose refunds or voids change what other transactions count: all their entries anew."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.awarding import (
    MONTH,
    TRANSACTION,
    Awards,
    BookedTransactions,
    Flags,
    begins,
    group_running,
    running,
    stretches,
)
from engine.booking.deciding import Originals
from engine.booking.index_spaces import (
    BookedPlace,
    BookedPlaces,
    BookPositions,
    OrderPlaces,
    SliceRows,
    Sources,
)
from engine.booking.recounting import Counting
from engine.booking.registry import Numbers, terms_of_services
from engine.booking.state import Balances, Integers, Past, jst_months
from engine.records import RECOUNT, LedgerEntry, polars_schema
from engine.rules.award import counted_spend, worth
from engine.terms.programme import Programme
from engine.terms.services import Services

REPEATED: Final = (
    "account_no",
    "replacing_account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
)
_NOTHING: Final = -1
# Where an entry stands about a move: before all of the person's, before the move's own, the own,
# after it.
_AT_FIRST, _BEFORE, _OWN, _AFTER = range(4)


@dataclass(frozen=True)
class Voids:
    """The entries that a run voids, by person the reverse of their booking order.

    Attributes:
        entries: columns of ``LedgerEntry``; ``event_id`` is the event that voids it.
        positions: theirs.
        of: the position of the charge or purchase that each one books or takes back.
        person_nos: theirs, ascending.
        counted_otherwise: by person, what format 1 counted of each transaction, by its position,
            where that is not what follows by now.
    """

    entries: pl.DataFrame
    positions: BookPositions
    of: BookPositions
    person_nos: Numbers
    counted_otherwise: Mapping[int, Mapping[int, int]] = field(default_factory=dict)

    @classmethod
    def none(cls) -> "Voids":
        """No voids."""
        nothing = np.empty(0, np.int64)
        no_entries: BookPositions = np.empty(0, np.int64)
        entries = pl.DataFrame(schema=polars_schema(LedgerEntry))
        return cls(entries, no_entries, no_entries, nothing)

    @property
    def people(self) -> Numbers:
        """The numbers of all people whose earlier entries change."""
        return np.union1d(self.person_nos, np.array([*self.counted_otherwise], np.int64))

    def of_people(self, chosen: npt.NDArray[np.bool_]) -> "Voids":
        """Those of some people, marked by person number."""
        at = np.flatnonzero(chosen[self.person_nos])
        counted = {no: yen for no, yen in self.counted_otherwise.items() if chosen[no]}
        return Voids(
            self.entries[at], self.positions[at], self.of[at], self.person_nos[at], counted
        )


class People(NamedTuple):
    """People of a slice whose entries are made here.

    Attributes:
        person_nos: theirs, ascending.
        booked: the slice's booked transactions in booking order.
        order: theirs, by which originals and ``places`` know them.
        chosen: which of them are these people's.
        rows: all rows of the slice.
        places: the booked ones among them.
    """

    person_nos: Numbers
    booked: BookedTransactions
    order: BookedPlaces
    chosen: Flags
    originals: Originals[BookedPlace]
    rows: pl.DataFrame
    places: SliceRows

    def rows_of(self, sources: Sources) -> pl.DataFrame:
        """The rows of new charges and purchases, columns of ``REPEATED``."""
        rows = self.rows.select(REPEATED)[self.places[-1 - sources]]
        return rows.cast({"replacing_account_id": pl.String})


class Spendings(NamedTuple):
    """Charges and purchases of some people: by person, then in booking order.

    Attributes:
        months: when each happened.
        left_yen: what is left of each, of new ones the amount.
    """

    person_nos: Numbers
    sources: Sources
    account_nos: Numbers
    roundings: npt.NDArray[np.uint8]
    months: Integers
    left_yen: Integers

    def groups(self) -> Numbers:
        """The rounding group of each, as a number."""
        months = np.where(self.roundings == MONTH, self.months, 0)
        of_group = np.where(self.roundings == TRANSACTION, self.sources, months)
        keys = self.person_nos, self.account_nos, of_group
        order = np.lexsort(keys[::-1])
        first = np.zeros(order.size, np.bool_)
        for key in keys:
            first |= begins(key[order])
        groups = np.empty(order.size, np.int64)
        groups[order] = np.cumsum(first) - 1
        return groups

    def counted_yen(self, programme: Programme) -> Integers:
        """What each counts, when these are all."""
        starts, lengths = stretches(begins(self.person_nos))
        after = running(self.left_yen, starts, lengths, np.zeros(starts.size, np.int64))
        return counted_spend(after, programme) - counted_spend(after - self.left_yen, programme)

    def as_said(
        self, follows_yen: Integers, otherwise: Mapping[int, Mapping[int, int]]
    ) -> Integers:
        """What the book says that each counts: ``follows_yen``, but for what it counted
        ``otherwise``, by person and source.
        """
        said_yen = follows_yen.copy()
        for person_no, counted_yen in otherwise.items():
            start, stop = np.searchsorted(self.person_nos, [person_no, person_no + 1])
            said_yen[start:stop] = [counted_yen[n] for n in self.sources[start:stop].tolist()]
        return said_yen

    def places_of(self, sources: Sources) -> Numbers:
        """The places of these."""
        found = np.empty(sources.size, np.int64)
        booked, of_booked = np.flatnonzero(self.sources >= 0), sources >= 0
        booked = booked[np.argsort(self.sources[booked])]
        at = np.searchsorted(self.sources[booked], sources[of_booked])
        found[of_booked] = booked[at]
        # New ones are numbered without gaps to speak of.
        new = np.flatnonzero(self.sources < 0)
        place_of = np.empty(-self.sources.min(initial=0), np.int64)
        place_of[-1 - self.sources[new]] = new
        found[~of_booked] = place_of[-1 - sources[~of_booked]]
        return found


class _Moves(NamedTuple):
    """What is booked for people: by person, then in booking order.

    Attributes:
        of: the charge or purchase that each adds, takes back, or restores.
        net_yen: what each adds to net spend.
        new: whether it books a charge or purchase of its own.
        voids: the place among the voids of the entry that it voids, or ``_NOTHING``.
        booked: the row that it books, or ``_NOTHING``.
    """

    person_nos: Numbers
    of: Sources
    net_yen: Integers
    new: Flags
    voids: Numbers
    booked: OrderPlaces


class _Entries(NamedTuple):
    """Entries of people in the order of the ledger, person by person.

    Attributes:
        at: the place of the charge or purchase that each books, takes back, restores, or counts
            anew.
        recounts: whether each is a recount.
        voids: the void that it is or that it follows from, or ``_NOTHING``.
        booked: the row that it books, or ``_NOTHING``.
    """

    at: Numbers
    recounts: Flags
    voids: Numbers
    booked: OrderPlaces
    net_yen: Integers
    counted_yen: Integers


class Extra(NamedTuple):
    """Voids and recounts, in the order of the ledger.

    Attributes:
        rows: the rows that they repeat, columns of ``REPEATED``, ``kind`` as text.
        event_ids: the event that each follows from, or null.
    """

    rows: pl.DataFrame
    person_nos: Numbers
    net_yen: Integers
    awards: Awards
    event_ids: pl.Series


def recounted(
    people: People,
    awards: Awards,
    before: Past,
    voids: Voids,
    programme: Programme,
    services: Services,
    entries_at: Callable[[BookPositions], pl.DataFrame],
) -> tuple[Awards, Extra]:
    """The awards with those of these people, and their voids and recounts."""
    history = history_of(people.person_nos, before, services)
    booked_yen = history.counted_yen(programme)
    said_yen = history.as_said(booked_yen, voids.counted_otherwise)
    spendings = _with_new(history, people)
    groups = spendings.groups()
    earlier = spendings.sources >= 0
    held = np.zeros(groups.size, np.int64)
    np.add.at(held, groups[earlier], said_yen)
    counted_yen = np.zeros(groups.size, np.int64)
    counted_yen[earlier] = booked_yen

    moves = _moves(people, voids)
    put_right = np.zeros(groups.size, np.int64)
    put_right[earlier] = booked_yen - said_yen
    entries = _entries(moves, spendings, groups, counted_yen, put_right, before, programme)
    said = _sums(
        entries, spendings.person_nos[entries.at], groups[entries.at], held, before, programme
    )

    awards = Awards(*(column.copy() for column in awards))
    rows = np.flatnonzero(entries.booked >= 0)
    for column, values in zip(awards, said, strict=True):
        column[entries.booked[rows]] = values[rows]
    return awards, _extra(entries, said, spendings, people, before, voids, entries_at)


def history_of(person_nos: Numbers, before: Past, services: Services) -> Spendings:
    """The charges and purchases in force of some people."""
    history = before.history_of(person_nos)
    service_ids, _ = before.registry.account_ids(history.account_nos)
    (roundings,) = terms_of_services(service_ids, services, "rounding")
    return Spendings(
        history.person_nos,
        history.positions,
        history.account_nos,
        roundings.to_physical().to_numpy(),
        jst_months(history.occurred_at_us),
        history.left_yen,
    )


def changes_by_group(
    spendings: Spendings, groups: Numbers, more_yen: Integers
) -> tuple[Numbers, Integers]:
    """By rounding group that comes to another sum: the place of its first charge or purchase that
    counts so much more, and the change of its sum.

    By person; what takes room away is said first, so that nobody is above the cap at any entry.
    """
    at = np.flatnonzero(more_yen)
    _, first, of = np.unique(groups[at], return_index=True, return_inverse=True)
    sums = np.zeros(first.size, np.int64)
    np.add.at(sums, of, more_yen[at])
    places = at[first]
    order = np.lexsort((places, sums > 0, spendings.person_nos[places]))
    order = order[sums[order] != 0]
    return places[order], sums[order]


def _with_new(history: Spendings, people: People) -> Spendings:
    """With what the slice books of these people's charges and purchases."""
    at = np.flatnonzero(people.chosen & ~people.booked.refunds)
    booked = people.booked.taken(at)
    new = Spendings(
        booked.person_nos,
        cast(Sources, -1 - people.order[at]),
        booked.account_nos.astype(np.int64),
        booked.roundings,
        jst_months(booked.occurred_at_us),
        booked.net_yen,
    )
    order = np.argsort(np.concatenate([history.person_nos, new.person_nos]), kind="stable")
    return Spendings(
        *(np.concatenate(columns)[order] for columns in zip(history, new, strict=True))  # type: ignore[arg-type]
    )


def _moves(people: People, voids: Voids) -> _Moves:
    """Voids stand before all that is booked."""
    at = np.flatnonzero(people.chosen)
    booked, places = people.booked.taken(at), people.order[at]
    of = -1 - np.arange(people.order.size)
    of[people.originals.of_rows] = people.originals.ids
    none_new = np.zeros(voids.positions.size, np.bool_)
    nothing = np.full(voids.positions.size + at.size, _NOTHING)
    of_voids, of_booked = nothing.copy(), nothing
    of_voids[: voids.positions.size] = np.arange(voids.positions.size)
    of_booked[voids.positions.size :] = at
    moves = _Moves(
        np.concatenate([voids.person_nos, booked.person_nos]),
        np.concatenate([voids.of, of[places]]),
        np.concatenate([-voids.entries["net_amount"].to_numpy(), booked.net_yen]),
        np.concatenate([none_new, ~booked.refunds]),
        of_voids,
        of_booked,
    )
    order = np.argsort(moves.person_nos, kind="stable")
    return _Moves(*(column[order] for column in moves))  # type: ignore[arg-type]


def _entries(
    moves: _Moves,
    spendings: Spendings,
    groups: Numbers,
    counted_yen: Integers,
    put_right: Integers,
    before: Past,
    programme: Programme,
) -> _Entries:
    """The entries of these moves with their recounts, and ahead of each person's those that
    put right what the book counted otherwise.
    """
    at = spendings.places_of(moves.of)
    starts, lengths = stretches(begins(moves.person_nos))
    held = before.balances.net_spend_yen[moves.person_nos[starts]]
    net_after = running(moves.net_yen, starts, lengths, held)
    net_before = net_after - moves.net_yen
    own_yen = counted_spend(net_after, programme) - counted_spend(net_before, programme)
    counted_yen = counted_yen.copy()
    counted_yen[at[moves.new]] = own_yen[moves.new]

    # After each move, the place behind the person's last charge or purchase that is booked.
    firsts = np.searchsorted(spendings.person_nos, moves.person_nos)
    earlier = np.cumsum(np.append(0, spendings.sources >= 0))
    stops = firsts + earlier[np.searchsorted(spendings.person_nos, moves.person_nos, side="right")]
    new_until = np.cumsum(moves.new)
    stops += new_until - earlier[firsts] - np.repeat(new_until[starts] - moves.new[starts], lengths)

    counting = Counting(
        spendings.left_yen.tolist(), counted_yen.tolist(), groups.tolist(), programme.cap_yen
    )
    others: list[tuple[int, int, int, int]] = []
    changing = np.flatnonzero(~moves.new)
    columns = (changing, firsts[changing], at[changing], stops[changing], net_before[changing])
    for move, first, place, stop, net_before_yen, net_yen in zip(
        *(column.tolist() for column in (*columns, moves.net_yen[changing])), strict=True
    ):
        own_yen[move], recounts = counting.move(first, place, stop, net_before_yen, net_yen)
        # What takes room away is said first, so that nobody is above the cap at any entry.
        stands = _BEFORE if net_yen > 0 else _AFTER
        others += [(move, stands, recount.place, recount.counted_yen) for recount in recounts]
    causes, stand, places, more_yen = np.array(others, np.int64).reshape(-1, 4).T

    first_places, first_yen = changes_by_group(spendings, groups, put_right)
    first_moves = np.searchsorted(moves.person_nos, spendings.person_nos[first_places])
    nothing = np.full(first_places.size + places.size, _NOTHING)
    order = np.argsort(
        np.concatenate(
            [4 * first_moves + _AT_FIRST, 4 * causes + stand, 4 * np.arange(at.size) + _OWN]
        ),
        kind="stable",
    )
    entries = _Entries(
        np.concatenate([first_places, places, at]),
        np.arange(order.size) < nothing.size,
        np.concatenate([nothing[: first_places.size], moves.voids[causes], moves.voids]),
        np.concatenate([nothing, moves.booked]),
        np.concatenate([np.zeros_like(nothing), moves.net_yen]),
        np.concatenate([first_yen, more_yen, own_yen]),
    )
    return _Entries(*(column[order] for column in entries))  # type: ignore[arg-type]


def _sums(
    entries: _Entries,
    person_nos: Numbers,
    groups: Numbers,
    held: Integers,
    before: Past,
    programme: Programme,
) -> Awards:
    """What the entries say, of which ``held`` is what the book counted of each rounding group."""
    starts, lengths = stretches(begins(person_nos))
    balances = Balances(*(column[person_nos[starts]] for column in before.balances))
    together = np.argsort(groups, kind="stable")
    groups = groups[together]
    in_group = np.empty(groups.size, np.int64)
    in_group[together] = group_running(entries.counted_yen[together], begins(groups), held[groups])
    points = worth(in_group, programme) - worth(in_group - entries.counted_yen, programme)
    ones = np.ones(groups.size, np.int64)
    return Awards(
        entry_seq=running(ones, starts, lengths, balances.entries),
        counted_amount=entries.counted_yen,
        points=points,
        net_spend_after=running(entries.net_yen, starts, lengths, balances.net_spend_yen),
        points_after=running(points, starts, lengths, balances.points),
    )


def _extra(
    entries: _Entries,
    said: Awards,
    spendings: Spendings,
    people: People,
    before: Past,
    voids: Voids,
    entries_at: Callable[[BookPositions], pl.DataFrame],
) -> Extra:
    extra = np.flatnonzero(entries.booked == _NOTHING)
    at, recounts, of_voids = entries.at[extra], entries.recounts[extra], entries.voids[extra]
    sources = spendings.sources[at]
    booked = cast(BookPositions, np.unique(sources[recounts & (sources >= 0)]))
    fresh = np.unique(sources[recounts & (sources < 0)])
    voided = _as_rows(voids.entries, voids.positions, before)
    repeated = pl.concat(
        [
            voided.with_columns(kind=pl.col("kind") + "_void"),
            _as_recounts(_as_rows(entries_at(booked), booked, before)),
            _as_recounts(people.rows_of(fresh)),
        ]
    )
    places = voids.positions.size + np.where(
        sources >= 0,
        np.searchsorted(booked, sources),
        booked.size + np.searchsorted(fresh, sources),
    )
    return Extra(
        repeated[np.where(recounts, places, of_voids)],
        spendings.person_nos[at],
        entries.net_yen[extra],
        Awards(*(column[extra] for column in said)),
        voids.entries["event_id"].gather(pl.Series(of_voids).replace(_NOTHING, None)),
    )


def _as_rows(entries: pl.DataFrame, positions: BookPositions, before: Past) -> pl.DataFrame:
    """Entries of the book as the rows that they book."""
    replaced = pl.col("enrolled_account_id").is_not_null()
    return entries.with_columns(
        account_no=pl.Series(before.facts_at(positions)["account_no"]),
        replacing_account_id=pl.when(replaced).then("account_id"),
    ).select(REPEATED)


def _as_recounts(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        kind=pl.lit(RECOUNT),
        amount=pl.lit(0, pl.Int64),
        original_transaction_id=pl.lit(None, pl.String),
        method=pl.lit(None, pl.String),
    ).select(REPEATED)

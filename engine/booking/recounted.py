"""From columns to people who are booked one by one, and back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from engine.booking.awarding import MONTH, TRANSACTION, Awards, Booked
from engine.booking.deciding import Originals
from engine.booking.recounting import Entry, Group, Move, Person, Source, Spending
from engine.booking.registry import Numbers, terms_of_services
from engine.booking.state import Past, months_of
from engine.columns.hashing import Positions
from engine.records import RECOUNT, LedgerEntry, polars_schema
from engine.terms.programme import Programme
from engine.terms.services import Services

EXTRA_ENTRIES: Final = tuple(
    name for name in polars_schema(LedgerEntry) if name not in ("run_id", "booked_on", "person_id")
)
_REPEATED: Final = (
    "service_id",
    "account_id",
    "transaction_id",
    "occurred_at",
    "kind",
    "amount",
    "original_transaction_id",
    "method",
    "enrolled_account_id",
)


@dataclass(frozen=True)
class Voids:
    """The entries that a run voids, by person the reverse of their booking order.

    Attributes:
        entries: columns of ``LedgerEntry``; ``event_id`` is the event that voids it.
        positions: theirs.
        of: the position of the charge or purchase that each one books or takes back.
        person_nos: theirs, ascending.
        counted_otherwise: by person, what format 1 counted of each transaction, where that is not
            what follows by now.
    """

    entries: pl.DataFrame
    positions: Positions
    of: Positions
    person_nos: Numbers
    counted_otherwise: Mapping[int, Mapping[Source, int]] = field(default_factory=dict)

    @classmethod
    def none(cls) -> "Voids":
        """No voids."""
        nothing = np.empty(0, np.int64)
        return cls(pl.DataFrame(schema=polars_schema(LedgerEntry)), nothing, nothing, nothing)

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
    """People of a slice who are booked one by one.

    Attributes:
        person_nos: theirs, ascending.
        booked: the slice's booked transactions in booking order.
        order: their places before they were ordered, by which originals and ``rows`` know them.
        by_hand: which of them are these people's.
        rows: the booked rows in the places before.
    """

    person_nos: Numbers
    booked: Booked
    order: Numbers
    by_hand: npt.NDArray[np.bool_]
    originals: Originals
    rows: pl.DataFrame


def recounted(
    people: People,
    awards: Awards,
    before: Past,
    voids: Voids,
    programme: Programme,
    services: Services,
    entries_at: Callable[[Positions], pl.DataFrame],
) -> tuple[Awards, pl.DataFrame]:
    """The awards with those of these people, and their voids and recounts: ``person_no`` and
    ``EXTRA_ENTRIES``.
    """
    awards = Awards(*(column.copy() for column in awards))
    histories = histories_of(people.person_nos, before, services)
    moves = _moves(people, voids)
    in_order = np.empty(people.order.size, np.int64)
    in_order[people.order] = np.arange(people.order.size)
    extra: list[tuple[int, int, Entry]] = []
    said: list[tuple[int, int, int, int, int, int]] = []
    for person_no in people.person_nos.tolist():
        person = Person(
            histories.get(person_no, []),
            int(before.balances.net_spend_yen[person_no]),
            int(before.balances.points[person_no]),
            programme,
            voids.counted_otherwise.get(person_no),
        )
        entries = person.book(moves.get(person_no, []))
        for seq, entry in enumerate(entries, int(before.balances.entries[person_no]) + 1):
            if entry.is_void or entry.is_recount:
                extra.append((person_no, seq, entry))
                continue
            sums = entry.net_spend_after, entry.points_after
            said.append((-1 - entry.source, seq, entry.counted_yen, entry.points, *sums))
    places, *columns = np.array(said, np.int64).reshape(-1, 1 + len(awards)).T
    for column, values in zip(awards, columns, strict=True):
        column[in_order[places]] = values
    return awards, _extra_entries(extra, people.rows, before, voids, entries_at)


def _groups(
    account_nos: Numbers, sources: Numbers, occurred_at_us: Numbers, past: Past, services: Services
) -> Iterator[Group]:
    """The rounding group of each charge or purchase."""
    service_ids, _ = past.registry.account_ids(account_nos)
    (roundings,) = terms_of_services(service_ids, services, "rounding")
    months = months_of(occurred_at_us)
    for account_no, source, month, rounding in zip(
        account_nos.tolist(),
        sources.tolist(),
        months.tolist(),
        roundings.to_physical().to_list(),
        strict=True,
    ):
        if rounding == MONTH:
            yield account_no, 1, month
        elif rounding == TRANSACTION:
            yield account_no, 2, source
        else:
            yield account_no, 0


def histories_of(
    person_nos: Numbers, before: Past, services: Services
) -> dict[int, list[Spending]]:
    """The charges and purchases in force of some people, in booking order, not yet counted."""
    history = before.history_of(person_nos)
    found: dict[int, list[Spending]] = {}
    groups = _groups(
        history.account_nos, history.positions, history.occurred_at_us, before, services
    )
    for person_no, position, left_yen, group in zip(
        history.person_nos.tolist(),
        history.positions.tolist(),
        history.left_yen.tolist(),
        groups,
        strict=True,
    ):
        found.setdefault(person_no, []).append(Spending(position, group, left_yen))
    return found


def _moves(people: People, voids: Voids) -> dict[int, list[Move]]:
    moves: dict[int, list[Move]] = {person_no: [] for person_no in people.person_nos.tolist()}
    for person_no, position, of, net_yen in zip(
        voids.person_nos.tolist(),
        voids.positions.tolist(),
        voids.of.tolist(),
        voids.entries["net_amount"].to_list(),
        strict=True,
    ):
        if person_no in moves:
            moves[person_no].append(Move(position, of, -net_yen, False, (), True))  # noqa: FBT003
    of_refunds = dict(
        zip(people.originals.of_rows.tolist(), people.originals.ids.tolist(), strict=True)
    )
    at = np.flatnonzero(people.by_hand)
    booked = people.booked.taken(at)
    for person_no, place, net_yen, is_refund, account_no, rounding, month in zip(
        booked.person_nos.tolist(),
        people.order[at].tolist(),
        booked.net_yen.tolist(),
        booked.refunds.tolist(),
        booked.account_nos.tolist(),
        booked.roundings.tolist(),
        months_of(booked.occurred_at_us).tolist(),
        strict=True,
    ):
        source = -1 - place
        group: Group = (account_no, 0)
        if rounding == MONTH:
            group = (account_no, 1, month)
        elif rounding == TRANSACTION:
            group = (account_no, 2, source)
        of = of_refunds[place] if is_refund else source
        moves[person_no].append(Move(source, of, net_yen, not is_refund, group))
    return moves


def _extra_entries(
    extra: Sequence[tuple[int, int, Entry]],
    rows: pl.DataFrame,
    before: Past,
    voids: Voids,
    entries_at: Callable[[Positions], pl.DataFrame],
) -> pl.DataFrame:
    """Voids and recounts as rows of the ledger."""
    schema = {"person_no": pl.Int64(), **polars_schema(LedgerEntry)}
    schema = {name: schema[name] for name in ("person_no", *EXTRA_ENTRIES)}
    if not extra:
        return pl.DataFrame(schema=schema)
    entries = [entry for _, _, entry in extra]
    void_places = {position: place for place, position in enumerate(voids.positions.tolist())}
    voided = voids.entries.with_columns(kind=pl.col("kind") + "_void").select(_REPEATED)
    booked = np.array(
        sorted({e.source for e in entries if e.is_recount and e.source >= 0}), np.int64
    )
    fresh = np.array(sorted({-1 - e.source for e in entries if e.source < 0}), np.int64)
    pool = pl.concat(
        [
            voided,
            _as_recounts(entries_at(booked)),
            _as_recounts(_as_entries(rows[fresh], before)),
        ]
    )
    at_booked = {p: voided.height + n for n, p in enumerate(booked.tolist())}
    at_fresh = {-1 - p: voided.height + booked.size + n for n, p in enumerate(fresh.tolist())}
    places = [
        void_places[e.source] if e.is_void else (at_booked | at_fresh)[e.source] for e in entries
    ]
    events = voids.entries["event_id"].to_list()
    return (
        pool[places]
        .with_columns(
            pl.Series("person_no", [person_no for person_no, _, _ in extra]),
            pl.Series("entry_seq", [seq for _, seq, _ in extra]),
            pl.Series("net_amount", [e.net_yen for e in entries]),
            pl.Series("counted_amount", [e.counted_yen for e in entries]),
            pl.Series("points", [e.points for e in entries]),
            pl.Series("net_spend_after", [e.net_spend_after for e in entries]),
            pl.Series("points_after", [e.points_after for e in entries]),
            pl.Series(
                "event_id",
                [
                    events[void_places[e.caused_by]] if e.caused_by in void_places else None
                    for e in entries
                ],
                dtype=pl.String,
            ),
        )
        .select(schema.keys())
    )


def _as_recounts(entries: pl.DataFrame) -> pl.DataFrame:
    return entries.with_columns(
        kind=pl.lit(RECOUNT),
        amount=pl.lit(0, pl.Int64),
        original_transaction_id=pl.lit(None, pl.String),
        method=pl.lit(None, pl.String),
    ).select(_REPEATED)


def _as_entries(rows: pl.DataFrame, past: Past) -> pl.DataFrame:
    service_ids, account_ids = past.registry.account_ids(rows["account_no"].to_numpy())
    replacing = pl.col("replacing_account_id")
    return rows.with_columns(
        service_ids,
        pl.coalesce(replacing, account_ids).alias("account_id"),
        pl.when(replacing.is_not_null()).then(account_ids).alias("enrolled_account_id"),
    )

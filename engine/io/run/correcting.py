"""The events of a run: read, settled by their IDs, taken, and kept."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from engine.booking.corrections import (
    EVENT_COLUMNS,
    Accepted,
    Account,
    Corrections,
    Event,
    TransactionKey,
)
from engine.booking.events import TakenEvents, take_events
from engine.booking.exceptions import microseconds
from engine.booking.index_spaces import RowRefs
from engine.booking.state import Past
from engine.io.book.run_record import DecisionCounts
from engine.io.book.waiting import Waiting
from engine.records import AcceptedEvent, RejectedEvent, polars_schema
from engine.terms.services import Services


class IndexedBook:
    """What events ask of a book: its enrollments, and which transactions it knows."""

    def __init__(self, past: Past, waiting: Waiting) -> None:
        self._past, self._waiting = past, waiting

    def enrollments_of(
        self, people: Iterable[str], accounts: Iterable[Account]
    ) -> Sequence[Accepted]:
        """The enrollments in force of these people and accounts."""
        registry = self._past.registry
        named = pl.DataFrame(
            list(accounts), schema={"service_id": pl.String, "account_id": pl.String}, orient="row"
        )
        numbers = registry.finder.find(named["service_id"], named["account_id"])
        person_nos = registry.people_finder.find(pl.Series(list(people), dtype=pl.String))
        chosen = np.zeros(registry.people + 1, np.bool_)
        chosen[person_nos[person_nos >= 0]] = True
        held = np.flatnonzero(chosen[registry.person_nos])
        account_nos = np.union1d(numbers[numbers >= 0], held)
        account_nos = account_nos[registry.person_nos[account_nos] >= 0]
        rows = registry.accounts[account_nos].with_columns(
            pl.col("service_id", "basis").cast(pl.String)
        )
        person_ids = registry.person_ids(registry.person_nos[account_nos])
        runs = np.searchsorted(self._past.accounts_by_run, account_nos, side="right") + 1
        return [
            Accepted(
                person_id=person_id,
                service_id=row["service_id"],
                account_id=row["account_id"],
                applied_at=row["applied_at"],
                basis=row["basis"],
                content=row["content"],
                person=person_id,
                merges=(),
                moment=(int(run), 1, 0, microseconds(row["applied_at"]), int(account_no)),
            )
            for row, person_id, run, account_no in zip(
                rows.iter_rows(named=True),
                person_ids,
                runs.tolist(),
                account_nos.tolist(),
                strict=True,
            )
        ]

    def transactions(self, keys: Iterable[TransactionKey]) -> Mapping[TransactionKey, str | None]:
        """Those that are booked, void, or waiting; and the person of each that was booked."""
        named = pl.DataFrame(
            list(keys), schema={"service_id": pl.String, "transaction_id": pl.String}, orient="row"
        )
        waits = self._waiting.of_keys(named["service_id"], named["transaction_id"])
        known: dict[TransactionKey, str | None] = dict.fromkeys(
            waits.select("service_id", "transaction_id").iter_rows()
        )
        positions = self._past.entries_of(named["service_id"], named["transaction_id"])
        booked = np.flatnonzero(positions >= 0)
        person_nos = self._past.facts_at(positions[booked])["person_no"]
        people = self._past.registry.person_ids(person_nos)
        known.update(zip(named[booked].iter_rows(), people, strict=True))
        return known


class Corrected:
    """What became of a run's events.

    Attributes:
        taken: which were accepted, which wait, and what they concern.
        conflicts: the ``row_ref`` of every row in conflict, ascending.
        unchanged: how many rows changed nothing.
    """

    def __init__(
        self,
        rows: pl.DataFrame,
        run_number: int,
        known: IndexedBook,
        before: Corrections,
        services: Services,
    ) -> None:
        """Decides delivered events: the canonical columns and ``row_ref``."""
        accepted = {taken.event.event_id: taken.event for taken in before.taken}
        delivered: dict[str, dict[Event, list[int]]] = {}
        for row in rows.select(*EVENT_COLUMNS, "row_ref").iter_rows():
            event = Event(*row[:-1])
            delivered.setdefault(event.event_id, {}).setdefault(event, []).append(row[-1])
        conflicts: list[int] = []
        left_alone: set[str] = set()
        fresh: list[Event] = []
        self.unchanged = 0
        for event_id, contents in delivered.items():
            stands = accepted.get(event_id)
            if stands is not None:
                self.unchanged += len(contents.get(stands, ()))
            elif len(contents) == 1:
                [(event, refs)] = contents.items()
                fresh.append(event)
                self.unchanged += len(refs) - 1
                continue
            differing = [refs for event, refs in contents.items() if event != stands]
            if differing:
                conflicts += [ref for refs in differing for ref in refs]
                left_alone.add(event_id)
        self.conflicts: RowRefs = np.array(sorted(conflicts), np.int64)
        self._fresh = frozenset(event.event_id for event in fresh)
        self.taken: TakenEvents = take_events(
            run_number, fresh, before, frozenset(left_alone), known, services
        )

    @property
    def accepted(self) -> pl.DataFrame:
        """The accepted events, in the order taken: columns of ``AcceptedEvent``."""
        return _frame([taken.event for taken in self.taken.accepted], polars_schema(AcceptedEvent))

    @property
    def rejected(self) -> pl.DataFrame:
        """The rejected events, by ID: columns of ``RejectedEvent``."""
        refused = sorted(self.taken.refused, key=lambda refused: refused.event.event_id)
        events = _frame([event for event, _ in refused], polars_schema(AcceptedEvent))
        return events.with_columns(
            pl.Series("reason", [reason for _, reason in refused], dtype=pl.String)
        ).select(polars_schema(RejectedEvent).keys())

    def counts(self, read: int, quarantined: int, skipped: dict[str, int]) -> DecisionCounts:
        """How many there were of each."""
        reasons = sorted(reason for _, reason in self.taken.refused)
        return DecisionCounts(
            read=read,
            reconsidered=len(self.taken.reconsidered_accepted)
            + len(self.taken.reconsidered_refused),
            accepted=len(self.taken.accepted),
            unchanged=self.unchanged,
            rejected={reason: reasons.count(reason) for reason in dict.fromkeys(reasons)},
            quarantined=quarantined,
            skipped=skipped,
        )


def _frame(events: Sequence[Event], schema: dict[str, Any]) -> pl.DataFrame:
    rows = [tuple(getattr(event, name) for name in EVENT_COLUMNS) for event in events]
    return pl.DataFrame(rows, schema={name: schema[name] for name in EVENT_COLUMNS}, orient="row")

"""The story of a person's account, and of a transaction: what is found of it, not yet worded."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from engine.records import KINDS
from engine.terms.programme import Terms as UsedTerms
from pipelines.explain.account import Entry, EntryExplanation, disagreeing
from pipelines.explain.found_rows import Row
from pipelines.explain.set_aside import Quarantined

Outcome = Literal["booked", "voided", "declined", "quarantined", "never_delivered"]


@dataclass(frozen=True, slots=True)
class Fact:
    """A reason that holds of a row, and what makes it hold; without values, where that is not
    known any more or nothing more is to be said.
    """

    reason: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Application:
    """An application, as a run took it: accepted, or rejected for a reason.

    Attributes:
        row: the columns of the run's table.
        counts_from: the first instant whose spending counts, of an accepted one.
        facts: of a rejected one, the reasons that hold, the recorded one first.
    """

    run_id: str
    booked_on: dt.date
    row: Row
    reason: str | None = None
    counts_from: dt.datetime | None = None
    facts: list[Fact] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Declined:
    """A declined transaction, and the run that declined it.

    Attributes:
        terms: the terms that the run used, as its record has them.
        waits: whether a later run may book it.
        taken_up: the later run that booked it.
        facts: the reasons that hold, the recorded one first.
    """

    run_id: str
    booked_on: dt.date
    row: Row
    terms: UsedTerms
    waits: bool = False
    taken_up: str | None = None
    facts: list[Fact] = field(default_factory=list)

    @property
    def reason(self) -> str:
        return str(self.row["reason"])


@dataclass(frozen=True, slots=True)
class ConcerningEvent:
    """A correction that names what was asked for: accepted, or rejected for a reason."""

    run_id: str
    booked_on: dt.date
    row: Row
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """The story of a person's account.

    Attributes:
        applications: in the order of the runs.
        entries: in booking order.
        declined: the account's declined transactions; None when they were not asked for.
        cap_yen: by the last run's programme.
        quarantined: applications and corrections that name the person and were not taken in.
        without_ids: where nothing is known, how many quarantined applications came in a provider's
            own form, in which the person's ID may be another.
        events: corrections that name the person, or an account or a transaction of theirs.
    """

    person_id: str
    applications: list[Application]
    entries: list[EntryExplanation]
    declined: list[Declined] | None
    cap_yen: int
    quarantined: list[Quarantined] = field(default_factory=list)
    without_ids: int = 0
    events: list[ConcerningEvent] = field(default_factory=list)

    @property
    def known(self) -> bool:
        return bool(self.applications or self.entries or self.quarantined or self.events)

    @property
    def points(self) -> int:
        return self.entries[-1].entry.points_after if self.entries else 0

    @property
    def net_spend_yen(self) -> int:
        return self.entries[-1].entry.net_spend_after if self.entries else 0

    @property
    def counted_yen(self) -> int:
        return sum(explained.entry.counted_amount for explained in self.entries)

    @property
    def disagreeing(self) -> list[EntryExplanation]:
        return disagreeing(self.entries)


@dataclass(frozen=True, slots=True)
class Account:
    """The story of a payment service's account.

    Attributes:
        people: whose it is, or was, by accepted applications or by entries.
        applications: those that name it, accepted or rejected.
        declined: its declined transactions.
        quarantined: applications and corrections that name it and were not taken in.
        events: corrections that name it.
    """

    service_id: str
    account_id: str
    people: list[Person]
    applications: list[Application]
    declined: list[Declined]
    quarantined: list[Quarantined]
    events: list[ConcerningEvent]

    @property
    def known(self) -> bool:
        return bool(
            self.people or self.applications or self.declined or self.quarantined or self.events
        )


@dataclass(frozen=True, slots=True)
class Transaction:
    """The story of a transaction.

    Attributes:
        entry: its last booking, if there is one; ``person`` is the person it was booked for.
        entries: all entries about it, of whichever person, with voids and recounts.
        declined, quarantined: rows of it that were delivered and not booked; there may be some
            even if it was booked.
        applications: the account's, where it was declined for what stands in them.
        rows_scanned: how many rows had to be looked at one by one; no index leads to them.
        without_ids: if it was never delivered, how many quarantined rows came in a provider's own
            form, in which an ID may still have been in parts.
        events, quarantined_events: corrections that name it; those that were not taken in.
    """

    service_id: str
    transaction_id: str
    entry: EntryExplanation | None = None
    person: Person | None = None
    declined: list[Declined] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    rows_scanned: int = 0
    without_ids: int = 0
    entries: list[EntryExplanation] = field(default_factory=list)
    events: list[ConcerningEvent] = field(default_factory=list)
    quarantined_events: list[Quarantined] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        if self.entry:
            return "voided" if self.entry.voided_by else "booked"
        if self.declined:
            return "declined"
        return "quarantined" if self.quarantined else "never_delivered"

    @property
    def by_person(self) -> list[tuple[Entry, list[EntryExplanation]]]:
        """For each person who had the transaction, in order: the last booking, and all entries."""
        by_person: dict[str, list[EntryExplanation]] = {}
        for explained in self.entries:
            by_person.setdefault(explained.entry.person_id, []).append(explained)
        return [
            (
                [explained.entry for explained in entries if explained.entry.kind in KINDS][-1],
                entries,
            )
            for entries in by_person.values()
        ]

"""What the book knows of a person, and of a transaction: looked up, not yet worded."""

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

import polars as pl

from engine.errors import InputError
from engine.io.book.format import RunTable
from engine.io.book.run_record import RunRecord
from engine.records import KINDS
from engine.rules.spending import DUPLICATE
from engine.terms.programme import Terms as UsedTerms
from engine.terms.services import Services
from pipelines.desk.opened_book import (
    LedgerFile,
    OpenedBook,
    book_readable,
)
from pipelines.explain.account import Entry, Explained, Terms, disagreeing, explained
from pipelines.explain.set_aside import (
    Quarantined,
    applications_set_aside,
    applications_without_ids,
    transactions_set_aside,
    without_ids,
)

# More than anybody reads of a person; it bounds the memory, at some 2 kB a row.
MOST_ROWS: Final = 100_000
ENTRY_COLUMNS: Final = tuple(one.name for one in fields(Entry))

# Whoever asks why must see when the person applied, or what they chose.
DECIDED_BY_THE_APPLICATION: Final = ("before_application", "not_the_basis")

Outcome = Literal["booked", "voided", "declined", "quarantined", "never_delivered"]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Application:
    """An application, as a run took it: accepted, or rejected for a reason.

    Attributes:
        row: the columns of the run's table.
        counts_from: the first instant whose spending counts, of an accepted one.
    """

    run_id: str
    booked_on: dt.date
    row: Row
    reason: str | None = None
    counts_from: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class Declined:
    """A declined transaction, and the run that declined it.

    Attributes:
        terms: the terms that the run used, as its record has them.
        waits: whether a later run may book it.
        taken_up: the later run that booked it.
    """

    run_id: str
    booked_on: dt.date
    row: Row
    terms: UsedTerms
    waits: bool = False
    taken_up: str | None = None

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
        quarantined: applications that name the person and were not taken in.
        without_ids: where nothing is known, how many quarantined applications came in a provider's
            own form, in which the person's ID may be another.
        events: corrections that name the person, or an account or a transaction of theirs.
    """

    person_id: str
    applications: list[Application]
    entries: list[Explained]
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
        return sum(one.entry.counted_amount for one in self.entries)

    @property
    def disagreeing(self) -> list[Explained]:
        return disagreeing(self.entries)


@dataclass(frozen=True, slots=True)
class Transaction:
    """The story of a transaction.

    Attributes:
        entry: its last booking, when it was booked; ``person`` is whose it is.
        entries: all entries about it, whoever's they are, voids and recounts too.
        declined, quarantined: the rows of it that were delivered and not booked, of a booked one
            too.
        applications: the account's, where it was declined for what stands in them.
        rows_scanned: how many rows had to be looked at one by one; no index leads to them.
        without_ids: of one never delivered, how many rows were set aside in a provider's own form,
            in which an ID may still have been in parts.
        events: corrections that name it.
    """

    service_id: str
    transaction_id: str
    entry: Explained | None = None
    person: Person | None = None
    declined: list[Declined] = field(default_factory=list)
    applications: list[Application] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    rows_scanned: int = 0
    without_ids: int = 0
    entries: list[Explained] = field(default_factory=list)
    events: list[ConcerningEvent] = field(default_factory=list)

    @property
    def outcome(self) -> Outcome:
        if self.entry:
            return "voided" if self.entry.voided_by else "booked"
        if self.declined:
            return "declined"
        return "quarantined" if self.quarantined else "never_delivered"

    @property
    def by_person(self) -> list[tuple[Entry, list[Explained]]]:
        """Of each person whose it was, in this order: the last booking, and all entries."""
        told: dict[str, list[Explained]] = {}
        for one in self.entries:
            told.setdefault(one.entry.person_id, []).append(one)
        return [
            ([one.entry for one in entries if one.entry.kind in KINDS][-1], entries)
            for entries in told.values()
        ]


def person_of(opened: OpenedBook, person_id: str, *, with_declined: bool = False) -> Person:
    """All that the book has of a person.

    Raises:
        BookError: a file that is needed is missing or damaged.
    """
    with book_readable(opened.book):
        files = opened.ledger_files_of(person_id)
        entries = _entries(opened.ledger(files).filter(pl.col("person_id") == person_id))
        applications = _applications(opened, pl.col("person_id") == person_id)
        declined = _declined_of(opened, applications) if with_declined else None
        events = _events(opened, _naming_the_person(person_id, applications, entries))
        quarantined = applications_set_aside(opened, person_id)
        known = bool(entries or applications or quarantined or events)
        told = explained(entries, _terms_of(opened, entries), _events_by_id(opened, entries))
    if declined is not None:
        declined = _what_became_of(declined, told)
    return Person(
        person_id,
        applications,
        told,
        declined,
        opened.programme(opened.runs).cap_yen,
        quarantined,
        0 if known else applications_without_ids(opened),
        events,
    )


def transaction_of(opened: OpenedBook, service_id: str, transaction_id: str) -> Transaction:
    """What became of a transaction: of each row that was delivered of it.

    Raises:
        BookError: a file that is needed is missing or damaged.
    """
    wanted = (pl.col("service_id") == service_id) & (pl.col("transaction_id") == transaction_id)
    bookings, unseen = _recalled(opened, service_id, transaction_id, wanted)
    scanned = sum(file.rows for file in unseen)
    bookings += _scanned(opened, unseen, wanted)
    with book_readable(opened.book):
        declined = _declined(opened, wanted)
        applications = _applications_that_decided(opened, declined) if not bookings else []
        quarantined = transactions_set_aside(opened, service_id, transaction_id)
        events = _events(opened, wanted)
    scanned += sum(_rows_beside_the_ledger(record) for record in opened.records)
    if not bookings and not declined and not quarantined:
        # "Never delivered" is only said after scanning the ledger itself; the index alone is not
        # trusted for that.
        seen = set(unseen)
        rest = [file for file in opened.ledger_files if file not in seen]
        scanned += sum(file.rows for file in rest)
        bookings = _scanned(opened, rest, wanted)
    bookings.sort(key=lambda booking: booking.run_id)
    people = {
        person_id: person_of(opened, person_id)
        for person_id in dict.fromkeys(booking.person_id for booking in bookings)
    }
    # A run's voids come ahead of its bookings, whoever's they are.
    entries = sorted(
        (
            told
            for person in people.values()
            for told in person.entries
            if told.entry.key == (service_id, transaction_id)
        ),
        key=lambda told: (told.entry.run_id, not told.entry.is_void),
    )
    booked = [told for told in entries if told.entry.kind in KINDS]
    unknown = not bookings and not declined and not quarantined
    return Transaction(
        service_id,
        transaction_id,
        booked[-1] if booked else None,
        people[bookings[-1].person_id] if bookings else None,
        declined=_what_became_of(declined, entries),
        applications=applications,
        quarantined=quarantined,
        rows_scanned=scanned,
        without_ids=without_ids(opened, service_id) if unknown else 0,
        entries=entries,
        events=events,
    )


def _naming_the_person(
    person_id: str, applications: Sequence[Application], entries: Sequence[Entry]
) -> pl.Expr:
    """Which events name a person, an accepted account of theirs or an entry's transaction."""
    accounts = {
        (one.row["service_id"], one.row["account_id"]) for one in applications if one.reason is None
    }
    accounts |= {entry.account for entry in entries}
    accounts |= {(entry.service_id, entry.account_id) for entry in entries}
    keys = {entry.key for entry in entries}
    ids = {entry.event_id for entry in entries if entry.event_id}
    account = pl.concat_list("service_id", "account_id")
    fresh = pl.concat_list("service_id", "other_id")
    key = pl.concat_list("service_id", "transaction_id")
    return (
        (pl.col("person_id") == person_id)
        | ((pl.col("kind") == "persons_merged") & (pl.col("other_id") == person_id))
        | pl.col("event_id").is_in(sorted(ids))
        | account.is_in([list(pair) for pair in sorted(accounts)])
        | fresh.is_in([list(pair) for pair in sorted(accounts)])
        | key.is_in([list(pair) for pair in sorted(keys)])
    )


def _events(opened: OpenedBook, wanted: pl.Expr) -> list[ConcerningEvent]:
    found = []
    for table in (RunTable.ACCEPTED_EVENTS, RunTable.REJECTED_EVENTS):
        for row in _rows(opened.table(table).filter(wanted)):
            run, reason = row.pop("run_id"), row.pop("reason", None)
            found.append(ConcerningEvent(run, _booked_on(opened, run), row, reason))
    return sorted(found, key=lambda one: (one.run_id, one.row["event_id"]))


def _events_by_id(opened: OpenedBook, entries: Iterable[Entry]) -> dict[str, Row]:
    """The events that caused voids and recounts."""
    ids = sorted({entry.event_id for entry in entries if entry.event_id})
    if not ids:
        return {}
    rows = _rows(opened.table(RunTable.ACCEPTED_EVENTS).filter(pl.col("event_id").is_in(ids)))
    return {row["event_id"]: row for row in rows}


def _what_became_of(declined: Sequence[Declined], entries: Sequence[Explained]) -> list[Declined]:
    """Declined rows with whether they wait, or which run booked them."""
    booked: dict[tuple[str, str], list[Explained]] = {}
    for told in entries:
        if told.entry.kind in KINDS:
            booked.setdefault(told.entry.key, []).append(told)
    found = []
    for row in declined:
        of_key = booked.get((row.row["service_id"], row.row["transaction_id"]), [])
        later = [told.entry.run_id for told in of_key if told.entry.run_id > row.run_id]
        stands = any(not told.voided_by for told in of_key)
        waits = not stands and row.waits
        found.append(replace(row, waits=waits, taken_up=later[0] if later and row.waits else None))
    return found


def _applications_that_decided(
    opened: OpenedBook, declined: Sequence[Declined]
) -> list[Application]:
    accounts = {
        (one.row["service_id"], one.row["account_id"])
        for one in declined
        if one.reason in DECIDED_BY_THE_APPLICATION
    }
    return _applications(opened, _of_accounts(accounts), [RunTable.ACCEPTED]) if accounts else []


def _of_accounts(accounts: Iterable[tuple[str, str]]) -> pl.Expr:
    return pl.any_horizontal(
        (pl.col("service_id") == service) & (pl.col("account_id") == account)
        for service, account in accounts
    )


def _rows_beside_the_ledger(record: RunRecord) -> int:
    counts = record.counts
    return counts.all_declined + counts.quarantined + counts.enrollments.quarantined


def _recalled(
    opened: OpenedBook, service_id: str, transaction_id: str, wanted: pl.Expr
) -> tuple[list[Entry], Sequence[LedgerFile]]:
    """A transaction's bookings by the book's index; and the files that it says nothing of."""
    # What it imports takes as long as all else that a person's story needs.
    from engine.io.book.index import find_bookings

    places, remembered = find_bookings(opened.book, opened.runs, service_id, transaction_id)
    with book_readable(opened.book):
        found = [_entries(_one_row(opened, *place).filter(wanted)) for place in places]
    if not all(found):
        # The index is of another book, or damaged: the ledger alone is to be believed.
        return [], opened.ledger_files
    unseen = [file for file in opened.ledger_files if file.run > remembered]
    return [entry for entries in found for entry in entries], unseen


def _scanned(opened: OpenedBook, files: Sequence[LedgerFile], wanted: pl.Expr) -> list[Entry]:
    """A transaction's bookings, looked for in every row."""
    is_booking = pl.col("kind").is_in(KINDS)
    with book_readable(opened.book):
        return _entries(opened.ledger(files).filter(wanted & is_booking)) if files else []


def _one_row(opened: OpenedBook, run: int, row: int) -> pl.LazyFrame:
    for file in opened.ledger_files:
        if file.run == run:
            if row < file.rows:
                return opened.ledger([file]).slice(row, 1)
            row -= file.rows
    return opened.ledger([])


def _entries(frame: pl.LazyFrame) -> list[Entry]:
    rows = _collected(frame.select(ENTRY_COLUMNS)).sort("entry_seq").iter_rows()
    return [Entry(*row) for row in rows]


def _terms_of(opened: OpenedBook, entries: Iterable[Entry]) -> dict[tuple[str, str], Terms]:
    return {
        (run, service): _terms(opened, int(run), service)
        for run, service in {(entry.run_id, entry.service_id) for entry in entries}
    }


def _terms(opened: OpenedBook, run: int, service_id: str) -> Terms:
    programme = opened.programme(run)
    service = opened.services(run).by_id.get(service_id)
    return Terms(
        service.rounding if service else "cumulative",
        programme.cap_yen,
        programme.rate_numerator,
        programme.rate_denominator,
        opened.record(run).format,
    )


def _applications(
    opened: OpenedBook,
    wanted: pl.Expr,
    tables: Sequence[RunTable] = (RunTable.ACCEPTED, RunTable.REJECTED),
) -> list[Application]:
    told = []
    for row in [row for table in tables for row in _rows(opened.table(table).filter(wanted))]:
        run = row.pop("run_id")
        counts_from = None
        if "reason" not in row:
            counts_from = _counts_from(row, opened.services(int(run)))
        told.append(
            Application(run, _booked_on(opened, run), row, row.pop("reason", None), counts_from)
        )
    return sorted(told, key=lambda one: one.run_id)


def _counts_from(row: Row, services: Services) -> dt.datetime | None:
    """The first instant whose spending counts, as the service has it."""
    service = services.by_id.get(row["service_id"])
    applied_at: dt.datetime = row["applied_at"]
    if service is None:
        return None
    day = dt.datetime.combine(applied_at, dt.time())
    starts = {
        "instant": applied_at,
        "application_day": day,
        "next_day": day + dt.timedelta(days=1),
    }
    return starts[service.counts_from]


def _declined_of(opened: OpenedBook, applications: Sequence[Application]) -> list[Declined]:
    """The declined transactions of a person's accounts."""
    accounts = {
        (one.row["service_id"], one.row["account_id"]) for one in applications if one.reason is None
    }
    return _declined(opened, _of_accounts(accounts)) if accounts else []


def _declined(opened: OpenedBook, wanted: pl.Expr) -> list[Declined]:
    told = []
    for row in _rows(opened.table(RunTable.DECLINED).filter(wanted)):
        run = row.pop("run_id")
        record = opened.record(int(run))
        # Format 1 kept too little of a declined row for a later run to book it.
        waits = record.format > 1 and row["reason"] != DUPLICATE
        told.append(Declined(run, record.booked_on, row, record.programme.terms, waits))
    return sorted(told, key=lambda one: (one.run_id, one.row["occurred_at"]))


def _rows(frame: pl.LazyFrame) -> list[Row]:
    return _collected(frame).rows(named=True)


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    """What is to be told, row by row and so in memory.

    Raises:
        InputError: it is more than anybody reads.
    """
    found = frame.head(MOST_ROWS + 1).collect(engine="streaming")
    if found.height > MOST_ROWS:
        raise InputError(
            f"more than {MOST_ROWS:,} rows of one table would have to be told",
            hint="query the tables themselves: docs/auditors-guide.md says how",
        )
    return found


def _booked_on(opened: OpenedBook, run: str) -> dt.date:
    return opened.record(int(run)).booked_on

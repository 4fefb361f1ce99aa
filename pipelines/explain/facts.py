"""The facts behind a reason: which day, which method, which original, which event, who holds it.

The run's own terms and services are asked again, reason by reason, so that all that hold are told
and not the first alone. What cannot be known any more is left out.
"""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from engine.io.book.format import RunTable
from engine.terms.services import Service
from pipelines.desk.opened_book import LedgerFile, OpenedBook
from pipelines.explain.account import Entry
from pipelines.explain.applications import applications_in, applications_of, of_accounts
from pipelines.explain.bookings import indexed_bookings, scanned_bookings
from pipelines.explain.events import events_in
from pipelines.explain.found_rows import Row, entries_in
from pipelines.explain.story import Application, Declined, Fact

_REFUND: Final = "refund"
_OF_REFUNDS: Final = (
    "original_not_booked",
    "refund_account_differs",
    "refund_before_original",
    "refund_exceeds_original",
)
# Each row takes some look-ups; nobody reads the facts of more.
_MOST_TOLD: Final = 1_000
_DAY: Final = dt.timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the book knows of the keys and accounts of some declined rows."""

    opened: OpenedBook
    accepted: list[Application]
    rejected: list[Application]
    entries: list[Entry]


def declined_with_facts(opened: OpenedBook, declined: Sequence[Declined]) -> list[Declined]:
    """Declined rows, each with its reasons and their facts."""
    looked_up, rest = declined[:_MOST_TOLD], declined[_MOST_TOLD:]
    if not looked_up:
        return []
    accounts = {(refused.row["service_id"], refused.row["account_id"]) for refused in looked_up}
    applications = applications_of(opened, accounts)
    known = _Known(
        opened,
        [application for application in applications if application.reason is None],
        [application for application in applications if application.reason is not None],
        _entries(opened, looked_up),
    )
    return [
        *(
            replace(refused, facts=_with_first(refused, list(_facts(refused, known))))
            for refused in looked_up
        ),
        *rest,
    ]


def _entries(opened: OpenedBook, declined: Sequence[Declined]) -> list[Entry]:
    """All entries of the people who have what was repeated, or is to be reversed."""
    names = {"duplicate": "transaction_id", **dict.fromkeys(_OF_REFUNDS, "original_transaction_id")}
    keys = {
        (refused.row["service_id"], refused.row[names[refused.reason]])
        for refused in declined
        if refused.reason in names and refused.row[names[refused.reason]] is not None
    }
    people: set[str] = set()
    unseen: dict[tuple[str, str], Sequence[LedgerFile]] = {}
    for service, key in sorted(keys):
        wanted = (pl.col("service_id") == service) & (pl.col("transaction_id") == key)
        bookings, unseen[service, key] = indexed_bookings(opened, service, key, wanted)
        people |= {booking.person_id for booking in bookings}
    files = list(dict.fromkeys(file for of_key in unseen.values() for file in of_key))
    if files:
        wanted = pl.any_horizontal(
            (pl.col("service_id") == service) & (pl.col("transaction_id") == key)
            for service, key in sorted(keys)
        )
        ids = sorted({key for _, key in keys})
        people |= {booking.person_id for booking in scanned_bookings(opened, files, wanted, ids)}
    return [
        entry
        for person in sorted(people)
        for entry in entries_in(
            opened.ledger(opened.ledger_files_of(person)).filter(pl.col("person_id") == person)
        )
    ]


def _with_first(declined: Declined, facts: list[Fact]) -> list[Fact]:
    """The recorded reason ahead of the others that hold, each once."""
    first = [fact for fact in facts if fact.reason == declined.reason]
    others = [fact for fact in facts if fact.reason != declined.reason]
    return [*(first or [Fact(declined.reason)]), *others]


def _facts(declined: Declined, known: _Known) -> Iterator[Fact]:
    row, run = declined.row, int(declined.run_id)
    opened, reason = known.opened, declined.reason
    service = opened.services(run).by_id.get(row["service_id"])
    if reason == "duplicate":
        yield from _first_of_it(row, known)
        return
    if reason == "voided":
        yield from _voiding(row, opened)
        return
    if service is None:
        yield Fact("unknown_service")
        return
    accounts = [
        application
        for application in known.accepted
        if int(application.run_id) <= run and _is_of(application, row)
    ]
    if reason == "not_enrolled":
        rejected = [application for application in known.rejected if _is_of(application, row)]
        yield from (
            Fact(reason, {"run_id": application.run_id, "rejected_for": application.reason})
            for application in rejected
        )
        yield from _later_ones(row, run, known)
    if row["kind"] == _REFUND:
        yield from _of_the_original(row, run, known)
        return
    if reason == "enrollment_stopped":
        yield from _stopping(row, opened)
    application = accounts[-1] if accounts else None
    yield from _of_the_payment(declined, service, application)


def _is_of(application: Application, row: Row) -> bool:
    return all(application.row[name] == row[name] for name in ("service_id", "account_id"))


def _later_ones(row: Row, run: int, known: _Known) -> Iterator[Fact]:
    for application in known.accepted:
        if _is_of(application, row) and int(application.run_id) > run:
            yield Fact("not_enrolled", {"accepted_later_in": application.run_id})


def _first_of_it(row: Row, known: _Known) -> Iterator[Fact]:
    for entry in known.entries:
        if entry.key == (row["service_id"], row["transaction_id"]) and not entry.is_void:
            yield Fact("duplicate", {"run_id": entry.run_id, "entry_seq": entry.entry_seq})
            return


def _voiding(row: Row, opened: OpenedBook) -> Iterator[Fact]:
    named = pl.col("kind") == "transaction_voided"
    for name in ("service_id", "transaction_id"):
        named &= pl.col(name) == row[name]
    for event in events_in(opened, named):
        if event.reason is None and event.row["kind"] == "transaction_voided":
            yield Fact("voided", _event(event.row, event.run_id))


def _stopping(row: Row, opened: OpenedBook) -> Iterator[Fact]:
    named = pl.col("kind") == "enrollment_stopped"
    for name in ("service_id", "account_id"):
        named &= pl.col(name) == row[name]
    for event in events_in(opened, named):
        if event.reason is None and event.row["kind"] == "enrollment_stopped":
            at = {"effective_at": event.row["effective_at"]}
            yield Fact("enrollment_stopped", _event(event.row, event.run_id) | at)


def _event(row: Row, run_id: str) -> dict[str, object]:
    return {"event_id": row["event_id"], "authority": row["authority"], "run_id": run_id}


def _of_the_original(row: Row, run: int, known: _Known) -> Iterator[Fact]:
    key = (row["service_id"], row["original_transaction_id"])
    originals = [
        entry
        for entry in known.entries
        if entry.key == key and not entry.is_void and not entry.is_recount
    ]
    before = [entry for entry in originals if int(entry.run_id) <= run]
    if not before:
        later = {"booked_later_in": originals[0].run_id} if originals else {}
        yield Fact("original_not_booked", {"original": key[1], **later})
        return
    original = before[-1]
    facts: dict[str, object] = {
        "original": original.transaction_id,
        "run_id": original.run_id,
        "occurred_at": original.occurred_at,
        "amount": original.amount,
    }
    if original.kind == _REFUND:
        yield Fact("original_not_booked", facts | {"is_refund": True})
    if original.account_id != row["account_id"]:
        yield Fact("refund_account_differs", facts | {"account_id": original.account_id})
    if row["occurred_at"] < original.occurred_at:
        yield Fact("refund_before_original", facts)
    taken = sum(
        -entry.net_amount
        for entry in known.entries
        if (entry.service_id, entry.original_transaction_id) == key and int(entry.run_id) <= run
    )
    if taken >= original.amount:
        yield Fact("refund_exceeds_original", facts | {"taken": taken, "left": 0})


def _of_the_payment(
    declined: Declined, service: Service, application: Application | None
) -> Iterator[Fact]:
    """The reasons that hold of a charge or a purchase, in the specification's order."""
    row, terms = declined.row, declined.terms
    day = row["occurred_at"].date()
    if day < terms.window_first:
        yield Fact("before_window", {"day": terms.window_first})
    if day > terms.window_last:
        yield Fact("after_window", {"day": terms.window_last})
    starts = application.counts_from if application else None
    if starts is not None and row["occurred_at"] < starts:
        yield Fact("before_application", {"counts_from": starts})
    if service.awards_close_on is not None and day > service.awards_close_on:
        yield Fact("service_closed", {"day": service.awards_close_on})
    basis: str | None = service.basis
    if basis == "either":
        basis = application.row["basis"] if application else None
    if basis is not None and row["kind"] != basis:
        chosen = {"chosen": True} if service.basis == "either" else {}
        yield Fact("not_the_basis", {"kind": row["kind"], "basis": basis, **chosen})
    if row["method"] is not None and row["method"] in service.excluded_methods:
        yield Fact("excluded_method", {"method": row["method"]})


# --- Applications ---------------------------------------------------------------------------------


def applications_with_facts(
    opened: OpenedBook, applications: Sequence[Application]
) -> list[Application]:
    """Applications, the rejected ones with their reasons and their facts."""
    rejected = [application for application in applications if application.reason is not None]
    if not rejected:
        return list(applications)
    accounts = {
        (application.row["service_id"], application.row["account_id"]) for application in rejected
    }
    people = sorted({application.row["person_id"] for application in rejected})
    of_people = pl.col("person_id").is_in(people) & ~of_accounts(accounts)
    accepted = applications_of(opened, accounts, [RunTable.ACCEPTED])
    accepted += applications_in(opened, of_people, "person_id", people, [RunTable.ACCEPTED])
    accepted.sort(key=lambda application: application.run_id)
    found = []
    for application in applications:
        if application.reason is None:
            found.append(application)
            continue
        facts = list(_of_the_application(opened, application, accepted))
        first = [fact for fact in facts if fact.reason == application.reason]
        others = [fact for fact in facts if fact.reason != application.reason]
        facts = [*(first or [Fact(application.reason)]), *others]
        found.append(replace(application, facts=facts))
    return found


def _of_the_application(
    opened: OpenedBook, application: Application, accepted: Sequence[Application]
) -> Iterator[Fact]:
    row, run = application.row, int(application.run_id)
    terms = opened.record(run).programme.terms
    service = opened.services(run).by_id.get(row["service_id"])
    if service is None:
        yield Fact("unknown_service")
        return
    applied_at: dt.datetime = row["applied_at"]
    if service.basis == "either" and row["basis"] is None:
        yield Fact("basis_not_chosen")
    if row["card_applied_on"] > terms.card_applications_last:
        days = {"day": terms.card_applications_last, "card_applied_on": row["card_applied_on"]}
        yield Fact("card_applied_late", days)
    if applied_at.date() > terms.applications_last:
        yield Fact("applied_late", {"day": terms.applications_last})
    closed = service.applications_close_on
    if closed is not None and applied_at.date() > closed:
        yield Fact("service_closed_to_applications", {"day": closed})
    # Format 1 kept no more than the row's key.
    reserved, issued = row.get("reserved_at"), row.get("certificate_issued_at")
    if reserved is not None and reserved > applied_at:
        yield Fact("applied_before_reservation", {"reserved_at": reserved})
    if issued is not None and (reserved or applied_at) - issued < _DAY:
        yield Fact("certificate_under_24h", {"issued_at": issued, "at": reserved or applied_at})
    if service.preregistration:
        registered = row.get("preregistered_on")
        if registered is not None and registered > applied_at.date():
            yield Fact("not_preregistered", {"preregistered_on": registered})
    yield from _of_others(row, run, accepted)


def _of_others(row: Row, run: int, accepted: Sequence[Application]) -> Iterator[Fact]:
    for application in accepted:
        if int(application.run_id) > run:
            continue
        facts = {
            "run_id": application.run_id,
            "person_id": application.row["person_id"],
            "service_id": application.row["service_id"],
            "account_id": application.row["account_id"],
            "applied_at": application.row["applied_at"],
        }
        if _is_of(application, row) and application.row["person_id"] != row["person_id"]:
            yield Fact("account_taken", facts)
        if application.row["person_id"] == row["person_id"] and not _is_of(application, row):
            yield Fact("already_enrolled", facts)

"""A story as people read it in a terminal, and as machines do."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.account import EntryExplanation
from pipelines.explain.entry_columns import ENTRY_COLUMNS, entry_cells
from pipelines.explain.set_aside import Quarantined
from pipelines.explain.story import (
    Application,
    ConcerningEvent,
    Declined,
    Fact,
    Person,
    Transaction,
)
from pipelines.explain.wording import Words
from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain, table


def columns(words: Words) -> list[tuple[str, bool]]:
    """The headings of the table of entries, and which columns hold numbers."""
    return [(words.texts(column.text), column.kind == "number") for column in ENTRY_COLUMNS]


def row(explained: EntryExplanation, words: Words) -> tuple[object, ...]:
    """An entry's row in that table."""
    return tuple(entry_cells(explained, words).values())


def book_line(opened: OpenedBook, words: Words) -> str:
    """Which book, and up to which run."""
    record = opened.record(opened.runs)
    return words.texts(
        "book",
        book=opened.book.path,
        run_id=record.run_id,
        booked_on=record.booked_on,
    )


def print_story(story: Person | Transaction, opened: OpenedBook, words: Words) -> None:
    """Prints a story for people."""
    if isinstance(story, Person):
        _print_person(story, opened, words)
    else:
        _print_transaction(story, opened, words)


def _print_person(person: Person, opened: OpenedBook, words: Words) -> None:
    console = output()
    console.print(plain(words.texts("person", person_id=person.person_id)), style="bold")
    console.print(plain(book_line(opened, words)))
    if not person.known:
        console.print(words.unknown(person))
        return
    console.print(words.holds(person))
    console.print(f"\n{words.texts('applications')}", style="bold")
    for application in person.applications:
        console.print(plain(f"- {words.application(application)}"))
    if not person.applications:
        console.print(words.texts("no_application"))
    print_quarantined(person.quarantined, words)
    print_events(person.events, words)
    console.print(f"\n{words.texts('entries')}", style="bold")
    if not person.entries:
        console.print(words.texts("no_entries"))
    else:
        _print_entries(person.entries, words)
    if person.declined is not None:
        console.print(f"\n{words.texts('declined_transactions')}", style="bold")
        for declined in person.declined:
            line = f"- {declined.row['transaction_id']}: {words.declined(declined)}"
            console.print(plain(line))
        if not person.declined:
            console.print(words.texts("no_declined"))


def _print_entries(entries: Sequence[EntryExplanation], words: Words) -> None:
    console = output()
    console.print(table(columns(words), [row(explained, words) for explained in entries]))
    console.print(f"\n{words.texts('why')}", style="bold")
    for explained in entries:
        console.print(plain(f"{explained.entry.entry_seq}. {words.joined(words.why(explained))}"))


def _print_transaction(transaction: Transaction, opened: OpenedBook, words: Words) -> None:
    console = output()
    title = words.texts(
        "transaction", service_id=transaction.service_id, transaction_id=transaction.transaction_id
    )
    console.print(plain(title), style="bold")
    console.print(plain(book_line(opened, words)))
    for booking, entries in transaction.by_person:
        console.print(plain(words.booked(booking)))
        console.print()
        _print_entries(entries, words)
        console.print()
        whole = words.texts("its_account", book=opened.book.path, person_id=booking.person_id)
        console.print(plain(whole))
    if transaction.entry and (transaction.declined or transaction.quarantined):
        console.print(f"\n{words.texts('also_delivered')}", style="bold")
    for declined in transaction.declined:
        console.print(plain(words.declined(declined)))
        console.print(plain(words.terms(declined)))
    for application in transaction.applications:
        console.print(plain(words.of_the_account(application)))
    print_quarantined([*transaction.quarantined, *transaction.quarantined_events], words)
    print_events(transaction.events, words)
    if transaction.outcome == "never_delivered":
        console.print(words.never_delivered(transaction))


def print_events(events: Sequence[ConcerningEvent], words: Words) -> None:
    """Prints corrections, if there are any."""
    if not events:
        return
    console = output()
    console.print(f"\n{words.texts('corrections')}", style="bold")
    for event in events:
        console.print(plain(f"- {words.event(event)}"))


def print_quarantined(rows: Sequence[Quarantined], words: Words) -> None:
    """Prints rows that were not taken in."""
    console = output()
    for quarantined in rows:
        console.print(plain(words.quarantined(quarantined)))
        console.print(plain(words.texts("raw", raw=quarantined.raw)))


def print_json(
    story: Person | Transaction, words: Words, payouts: dict[str, Any] | None = None
) -> None:
    """Prints a story for machines; with what was paid out, where the book has payouts."""
    value = story_value(story, words)
    terminal.print_json(value | ({"payouts": payouts} if payouts is not None else {}))


def story_value(story: Person | Transaction, words: Words) -> dict[str, Any]:
    """A story for machines."""
    return _person(story, words) if isinstance(story, Person) else _transaction(story, words)


def _person(person: Person, words: Words) -> dict[str, Any]:
    value = {
        "person_id": person.person_id,
        "known": person.known,
        "points": person.points,
        "counted_yen": person.counted_yen,
        "net_spend_yen": person.net_spend_yen,
        "cap_yen": person.cap_yen,
        "applications": [
            application_value(application, words) for application in person.applications
        ],
        "quarantined": [quarantined_value(row, words) for row in person.quarantined],
        "entries": [_entry(explained, words) for explained in person.entries],
        "corrections": [event_value(event, words) for event in person.events],
        "agrees": not person.disagreeing,
        "without_ids": person.without_ids,
    }
    if person.declined is not None:
        value["declined"] = [declined_value(declined, words) for declined in person.declined]
    return value


def _transaction(transaction: Transaction, words: Words) -> dict[str, Any]:
    return {
        "service_id": transaction.service_id,
        "transaction_id": transaction.transaction_id,
        "outcome": transaction.outcome,
        "entry": _entry(transaction.entry, words) if transaction.entry else None,
        "entries": [_entry(explained, words) for explained in transaction.entries],
        "corrections": [event_value(event, words) for event in transaction.events],
        "declined": [declined_value(declined, words) for declined in transaction.declined],
        "applications": [
            application_value(application, words) for application in transaction.applications
        ],
        "quarantined": [quarantined_value(row, words) for row in transaction.quarantined],
        "quarantined_corrections": [
            quarantined_value(row, words) for row in transaction.quarantined_events
        ],
        "rows_scanned": transaction.rows_scanned,
        "without_ids": transaction.without_ids,
    }


def quarantined_value(row: Quarantined, words: Words) -> dict[str, Any]:
    """A row that was not taken in, for machines."""
    return {
        "run_id": row.run_id,
        "file": row.file,
        "row": row.row,
        "errors": row.errors,
        "raw": row.raw,
        "why": words.quarantined(row),
    }


def _entry(explained: EntryExplanation, words: Words) -> dict[str, Any]:
    entry = explained.entry
    return {name: _value(getattr(entry, name)) for name in entry.__dataclass_fields__} | {
        "rounding": explained.terms.rounding,
        "net_spend_before": explained.net_before_yen,
        "group_before_yen": explained.group_before_yen,
        "group_after_yen": explained.group_after_yen,
        "refunded_by": [refund.transaction_id for refund in explained.refunds],
        "voided_in": [void.run_id for void in explained.voided_by],
        "agrees": explained.agrees,
        "why": words.why(explained),
    }


def application_value(application: Application, words: Words) -> dict[str, Any]:
    """An application for machines."""
    return {
        **{name: _value(value) for name, value in application.row.items()},
        "run_id": application.run_id,
        "booked_on": _value(application.booked_on),
        "accepted": application.reason is None,
        "reason": application.reason,
        "counts_from": _value(application.counts_from),
        "facts": _facts(application.facts),
        "why": words.application(application),
    }


def declined_value(declined: Declined, words: Words) -> dict[str, Any]:
    """A declined transaction for machines."""
    return {
        **{name: _value(value) for name, value in declined.row.items()},
        "run_id": declined.run_id,
        "booked_on": _value(declined.booked_on),
        "waits": declined.waits,
        "taken_up": declined.taken_up,
        "terms": {name: _value(value) for name, value in asdict(declined.terms).items()},
        "facts": _facts(declined.facts),
        "why": words.reason(declined.reason),
    }


def _facts(facts: Sequence[Fact]) -> list[dict[str, Any]]:
    """The reasons that hold, with what makes them hold."""
    return [
        {"reason": fact.reason, **{name: _value(value) for name, value in fact.values.items()}}
        for fact in facts
    ]


def event_value(event: ConcerningEvent, words: Words) -> dict[str, Any]:
    """A correction for machines."""
    return {
        **{name: _value(value) for name, value in event.row.items()},
        "run_id": event.run_id,
        "booked_on": _value(event.booked_on),
        "accepted": event.reason is None,
        "reason": event.reason,
        "why": words.event(event),
    }


def _value(value: Any) -> Any:  # noqa: ANN401 - a column's value
    return value if value is None or isinstance(value, str | int) else str(value)

"""The pages about one transaction, one person, one account: what ``explain`` finds of them."""

from collections.abc import Iterable, Sequence

import polars as pl

from pipelines.browse.asked import PageRequest
from pipelines.browse.listing import Cell, Draft, Link, Listing, ListingColumn, Page, PageBlock
from pipelines.browse.pages import COLUMNS_OF_ENTRIES, entry_row
from pipelines.desk.opened_book import book_readable
from pipelines.explain.account import EntryExplanation
from pipelines.explain.applications import applications_of, of_accounts
from pipelines.explain.declined_rows import declined_in
from pipelines.explain.entry_columns import ENTRY_COLUMNS, entry_cells
from pipelines.explain.events import events_in, holders_of
from pipelines.explain.found_rows import rows_of
from pipelines.explain.lookup import person_of, transaction_of
from pipelines.explain.output import story_value
from pipelines.explain.payouts import payouts_of
from pipelines.explain.set_aside import Quarantined, applications_set_aside
from pipelines.explain.story import Application, ConcerningEvent, Declined
from pipelines.explain.wording import Words
from pipelines.shown.texts import Texts


class NotGivenOutError(Exception):
    """An address names something that no page has led to."""


def _ids(asked: PageRequest, kind: str) -> tuple[str, ...]:
    ids = asked.browsed.handles.ids(kind, asked.query.get("id"))
    if ids is None:
        raise NotGivenOutError
    return ids


def transaction(asked: PageRequest) -> Page:
    """What became of a transaction."""
    service_id, transaction_id = _ids(asked, "transaction")
    story = transaction_of(asked.opened, service_id, transaction_id)
    people = list(dict.fromkeys(explained.entry.person_id for explained in story.entries))
    asked.browsed.log.note(
        "transaction", service_id=service_id, transaction_id=transaction_id, people=people
    )
    words, draft = Words(asked.lang), Draft()
    for booking, entries in story.by_person:
        draft.add(
            PageBlock(
                sentences=[words.booked(asked.safe(booking))],
                listings=[_entries(asked, entries, words)],
                links=[
                    Link(asked.t("to_person"), asked.to("person", booking.person_id)),
                    _to_account(asked, booking.service_id, booking.account_id),
                ],
            )
        )
    heading = asked.t("h_also_delivered") if story.entry else ""
    for declined in story.declined:
        account = _to_account(asked, service_id, declined.row["account_id"])
        shown = asked.safe(declined)
        sentences = [words.declined(shown), words.terms(shown)]
        draft.add(PageBlock(heading, sentences, links=[account]))
        heading = ""
    _applications(asked, draft, story.applications, words)
    _set_aside(asked, draft, [*story.quarantined, *story.quarantined_events], words)
    _corrections(asked, draft, story.events, words)
    if story.outcome == "never_delivered":
        draft.add(PageBlock(sentences=[words.never_delivered(story)]))
    title = words.texts(
        "transaction", service_id=asked.service(service_id), transaction_id=transaction_id
    )
    value = story_value(asked.safe(story), words)
    return Page("transaction", title, draft.blocks, value=value)


def person(asked: PageRequest) -> Page:
    """A person's applications and entries, each with why, and what was declined."""
    [person_id] = _ids(asked, "person")
    asked.browsed.log.note("person", person_id=person_id)
    story = person_of(asked.opened, person_id, with_declined=True)
    words, draft = Words(asked.lang), Draft()
    if story.known:
        links = [Link(asked.t("to_payouts"), asked.to("payouts", person_id))]
        draft.add(PageBlock(sentences=[words.holds(story)], links=links))
        _applications(asked, draft, story.applications, words)
        _set_aside(asked, draft, story.quarantined, words)
        _corrections(asked, draft, story.events, words)
        draft.add(PageBlock(listings=[_entries(asked, story.entries, words)]))
        draft.add(_declined(asked, story.declined or []))
    else:
        draft.add(PageBlock(sentences=[words.unknown(story)]))
    title = words.texts("person", person_id=asked.id(person_id))
    return Page("person", title, draft.blocks, value=story_value(asked.safe(story), words))


def account(asked: PageRequest) -> Page:
    """An account: who applied with it, what replaced it, what was declined of it."""
    service_id, account_id = _ids(asked, "account")
    wanted = of_accounts([(service_id, account_id)])
    opened, words, draft = asked.opened, Words(asked.lang), Draft()
    applications = applications_of(opened, [(service_id, account_id)])
    replaced = (pl.col("service_id") == service_id) & (pl.col("other_id") == account_id)
    corrections = events_in(opened, wanted | replaced)
    holders = holders_of(opened, applications, corrections)
    asked.browsed.log.note("account", service_id=service_id, account_id=account_id, people=holders)
    declined = declined_in(opened, wanted, "account_id", [account_id])
    set_aside = applications_set_aside(opened, account_id)
    links = [
        Link(asked.t("to_holder", person=asked.id(holder)), asked.to("person", holder))
        for holder in holders
    ]
    links += [
        _to_account(asked, service_id, event.row["account_id"])
        for event in corrections
        if event.row["kind"] == "account_replaced" and event.row["other_id"] == account_id
    ]
    draft.add(PageBlock(links=links))
    _applications(asked, draft, applications, words)
    _set_aside(asked, draft, set_aside, words)
    _corrections(asked, draft, corrections, words)
    draft.add(_declined(asked, declined))
    if not draft.blocks:
        draft.add(PageBlock(sentences=[asked.t("account_unknown")]))
    title = asked.t("p_account", service=asked.service(service_id), account=asked.id(account_id))
    return Page("account", title, draft.blocks)


def correction(asked: PageRequest) -> Page:
    """A correction, what undid it, and the entries that it caused."""
    [event_id] = _ids(asked, "correction")
    opened, words, draft = asked.opened, Words(asked.lang), Draft()
    events = events_in(opened, pl.col("event_id") == event_id)
    accepted = {
        int(event.run_id)
        for event in events
        if event.reason is None and event.row["event_id"] == event_id
    }
    # A run makes the voids and recounts of the events that it accepts itself.
    files = [file for file in opened.ledger_files if file.run in accepted]
    caused = opened.ledger(files).filter(pl.col("event_id") == event_id)
    with book_readable(opened.book):
        entries = rows_of(caused.sort("person_id", "entry_seq"))
    people = sorted({row["person_id"] for row in entries})
    named = {
        row[name]
        for row in (event.row for event in events)
        for name in ("person_id", "account_id", "other_id")
        if row[name] is not None
    }
    asked.browsed.log.note(
        "correction", event_id=event_id, people=people[: asked.rows], named=sorted(named)
    )
    _corrections(asked, draft, events, words)
    links = [
        _to_account(asked, event.row["service_id"], event.row["account_id"])
        for event in events
        if None not in (event.row["service_id"], event.row["account_id"])
    ]
    links += [
        Link(
            asked.t("to_holder", person=asked.id(row["person_id"])),
            asked.person(row["person_id"]).to,
        )
        for row in (event.row for event in events)
        if row["person_id"] is not None
    ]
    draft.add(PageBlock(links=links))
    t = asked.t
    listing = Listing(
        "entries",
        t("t_caused"),
        asked.columns(*COLUMNS_OF_ENTRIES),
        [entry_row(asked, row) for row in entries[: asked.rows]],
        note=t("n_rows", shown=min(len(entries), asked.rows), total=len(entries)),
    )
    draft.add(PageBlock(listings=[listing]))
    return Page("correction", t("p_correction", event_id=event_id), draft.blocks)


def payouts(asked: PageRequest) -> Page:
    """When a person's points are due, what was instructed for them and answered."""
    [person_id] = _ids(asked, "payouts")
    asked.browsed.log.note("payouts", person_id=person_id)
    found = payouts_of(asked.opened.book.path, person_id)
    words, texts = Words(asked.lang), Texts("due", asked.lang)
    back = Link(asked.t("to_person"), asked.to("person", person_id))
    title = words.texts("person", person_id=asked.id(person_id))
    if found is None:
        return Page("payouts", title, [PageBlock(sentences=[asked.t("no_payouts")], links=[back])])
    due = Listing(
        "due",
        texts("story_due"),
        asked.columns(
            *("service_id:code", "transaction_id:code", "kind", "points:number", "due_on:day")
        ),
        [
            (
                asked.service(line.service_id),
                asked.transaction(line.service_id, line.transaction_id),
                asked.kind(line.kind),
                line.points,
                line.due_on,
            )
            for line in found.due
        ],
    )
    lines = Listing(
        "lines",
        texts("story_lines"),
        asked.columns(
            *("payout_id:code", "service_id:code", "account_id:code", "direction"),
            *("points:number", "instructed_on:day", "answered:number", "answered_on:day", "code"),
        ),
        [
            (
                line.payout_id,
                asked.service(line.service_id),
                asked.id(line.number),
                texts("word_pay" if line.direction == "pay" else "word_take_back_line"),
                line.instructed,
                line.instructed_on,
                line.answered,
                line.answered_on,
                line.code,
            )
            for line in found.lines
        ],
    )
    return Page("payouts", title, [PageBlock(links=[back]), PageBlock(listings=[lines, due])])


def _entries(asked: PageRequest, entries: Sequence[EntryExplanation], words: Words) -> Listing:
    rows: list[Sequence[Cell]] = []
    for explained in entries:
        entry = explained.entry
        cells: dict[str, Cell] = {
            **entry_cells(explained, words),
            "run": asked.link(entry.run_id, "runs", run=entry.run_id),
            "service_id": asked.service(entry.service_id),
            "transaction_id": asked.transaction(entry.service_id, entry.transaction_id),
        }
        rows.append(tuple(cells.values()))
    columns = tuple(
        ListingColumn(column.key, words.texts(column.text), column.kind) for column in ENTRY_COLUMNS
    )
    notes = [words.joined(words.why(asked.safe(explained))) for explained in entries]
    caption = words.texts("entries")
    return Listing("entries", caption, columns, rows, notes=notes)


def _declined(asked: PageRequest, declined: Sequence[Declined]) -> PageBlock:
    columns = asked.columns(
        *("run:code", "occurred_at:day", "service_id:code", "kind", "transaction_id:code"),
        *("amount_yen:number", "reason:code", "meaning"),
    )
    rows: list[Sequence[Cell]] = [
        (
            asked.link(turned_away.run_id, "runs", run=turned_away.run_id),
            str(turned_away.row["occurred_at"]),
            asked.service(turned_away.row["service_id"]),
            asked.kind(turned_away.row["kind"]),
            asked.transaction(turned_away.row["service_id"], turned_away.row["transaction_id"]),
            turned_away.row["amount"],
            turned_away.reason,
            asked.reason(turned_away.reason),
        )
        for turned_away in declined
    ]
    return PageBlock(listings=[Listing("declined", asked.t("t_declined"), columns, rows)])


def _to_account(asked: PageRequest, service_id: str, account_id: str) -> Link:
    text = asked.t("to_account", account=asked.id(account_id))
    return Link(text, asked.to("account", service_id, account_id))


def _applications(
    asked: PageRequest, draft: Draft, applications: Iterable[Application], words: Words
) -> None:
    items = [words.application(asked.safe(application)) for application in applications]
    draft.add(PageBlock(words.texts("applications"), items=items))


def _corrections(
    asked: PageRequest, draft: Draft, events: Iterable[ConcerningEvent], words: Words
) -> None:
    items = [words.event(asked.safe(event)) for event in events]
    draft.add(PageBlock(words.texts("corrections"), items=items))


def _set_aside(asked: PageRequest, draft: Draft, rows: Iterable[Quarantined], words: Words) -> None:
    items = []
    for row in rows:
        items.append(words.quarantined(row))
        if asked.browsed.show_ids:
            items.append(words.texts("raw", raw=row.raw))
    draft.add(PageBlock(asked.t("p_quarantined"), items=items))

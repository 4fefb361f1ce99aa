"""A story as one self-contained page: no script, no network, light and dark, fit to print."""

from collections.abc import Iterable, Sequence
from html import escape as escape_markup
from importlib.resources import files
from pathlib import Path
from string import Template

from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.account import EntryExplanation
from pipelines.explain.chart import spending_chart
from pipelines.explain.output import book_line, columns, row
from pipelines.explain.payouts import DUE_COLUMNS, Payouts, due_row, line_told
from pipelines.explain.set_aside import Quarantined
from pipelines.explain.story import ConcerningEvent, Person, Transaction
from pipelines.explain.wording import Words
from pipelines.shown.result_files import whole_file
from pipelines.shown.terminal import cell, plain
from pipelines.shown.texts import Texts


def write_page(
    path: Path,
    story: Person | Transaction,
    opened: OpenedBook,
    words: Words,
    payouts: Payouts | None = None,
) -> None:
    """Writes a story's page; of a person also what was paid out, where the book has payouts.

    Raises:
        InputError: nothing can be written there.
    """
    if isinstance(story, Person):
        title = words.texts("person", person_id=story.person_id)
        body = [*_person(story, words), *_payouts(payouts, Texts("due", words.lang))]
    else:
        title = words.texts(
            "transaction", service_id=story.service_id, transaction_id=story.transaction_id
        )
        body = [*_transaction(story, words)]
    template = files("pipelines.explain").joinpath("page.html").read_text("utf-8")
    page = Template(template).substitute(
        lang=words.lang,
        title=escape(title),
        book=escape(book_line(opened, words)),
        body="\n".join(body),
    )
    with whole_file(path) as fresh:
        fresh.write_text(page, encoding="utf-8")


def _person(person: Person, words: Words) -> Iterable[str]:
    if not person.known:
        yield _paragraph(words.unknown(person))
        return
    yield _paragraph(words.holds(person))
    yield _heading(words.texts("applications"))
    yield _list([words.application(application) for application in person.applications])
    if not person.applications:
        yield _paragraph(words.texts("no_application"))
    yield from _quarantined(person.quarantined, words)
    yield from _events(person.events, words)
    yield _heading(words.texts("entries"))
    if person.entries:
        yield _figure(person, words)
        yield _table(person.entries, words)
    else:
        yield _paragraph(words.texts("no_entries"))
    if person.declined is not None:
        yield _heading(words.texts("declined_transactions"))
        yield _list(
            [
                f"{declined.row['transaction_id']}: {words.declined(declined)}"
                for declined in person.declined
            ]
        )
        if not person.declined:
            yield _paragraph(words.texts("no_declined"))


def _payouts(payouts: Payouts | None, texts: Texts) -> Iterable[str]:
    if payouts is None:
        return
    yield _heading(texts("story_due"))
    marks = [' class="number"' if number else "" for _, number in DUE_COLUMNS]
    head = "".join(
        f'<th scope="col"{mark}>{escape(texts(name))}</th>'
        for (name, _), mark in zip(DUE_COLUMNS, marks, strict=True)
    )
    rows = [
        "".join(
            f"<td{mark}>{escape(cell(value))}</td>"
            for value, mark in zip(due_row(due), marks, strict=True)
        )
        for due in payouts.due
    ]
    yield _wide(texts("story_due"), head, rows)
    yield _heading(texts("story_lines"))
    yield _list([line_told(line, texts) for line in payouts.lines])
    if not payouts.lines:
        yield _paragraph(texts("story_no_line"))


def _transaction(transaction: Transaction, words: Words) -> Iterable[str]:
    for booking, entries in transaction.by_person:
        yield _paragraph(words.booked(booking))
        yield _table(entries, words)
    if transaction.entry and (transaction.declined or transaction.quarantined):
        yield _heading(words.texts("also_delivered"))
    for declined in transaction.declined:
        yield _paragraph(words.declined(declined))
        yield _paragraph(words.terms(declined))
    for application in transaction.applications:
        yield _paragraph(words.of_the_account(application))
    yield from _quarantined([*transaction.quarantined, *transaction.quarantined_events], words)
    if transaction.person:
        yield _heading(words.texts("person", person_id=transaction.person.person_id))
        yield from _person(transaction.person, words)
    if transaction.outcome == "never_delivered":
        yield _paragraph(words.never_delivered(transaction))


def _events(events: Sequence[ConcerningEvent], words: Words) -> Iterable[str]:
    if events:
        yield _heading(words.texts("corrections"))
        yield _list([words.event(event) for event in events])


def _quarantined(rows: Sequence[Quarantined], words: Words) -> Iterable[str]:
    for quarantined in rows:
        yield _paragraph(words.quarantined(quarantined))
        yield _paragraph(words.texts("raw", raw=quarantined.raw))


def _figure(person: Person, words: Words) -> str:
    first, last = person.entries[0].entry, person.entries[-1].entry
    text = words.texts(
        "chart_text",
        first=first.occurred_at.date(),
        last=last.occurred_at.date(),
        net=person.net_spend_yen,
        counted=person.counted_yen,
        cap=person.cap_yen,
    )
    chart = spending_chart(person.entries, person.cap_yen, words)
    return f"<figure>{chart}<figcaption>{escape(text)}</figcaption></figure>"


def _table(entries: Sequence[EntryExplanation], words: Words) -> str:
    headings = columns(words)
    numbers = [' class="number"' if number else "" for _, number in headings]
    head = "".join(
        f'<th scope="col"{mark}>{escape(text)}</th>'
        for (text, _), mark in zip(headings, numbers, strict=True)
    )
    rows = []
    for explained in entries:
        cells = zip(row(explained, words), numbers, strict=True)
        rows.append("".join(f"<td{mark}>{escape(cell(value))}</td>" for value, mark in cells))
        why = escape(words.joined(words.why(explained)))
        rows.append(f'<td class="why" colspan="{len(headings)}"><div>{why}</div></td>')
    return _wide(words.texts("entries"), head, rows)


def _wide(label: str, head: str, rows: Sequence[str]) -> str:
    """A table that scrolls by itself where the screen is narrow."""
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    named = f'role="region" aria-label="{escape(label)}" tabindex="0"'
    return f'<div class="wide" {named}>{table}</div>'


def escape(text: str) -> str:
    """A text for a page: no characters that it cannot hold, and no markup."""
    return escape_markup(plain(text))


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>" if texts else ""

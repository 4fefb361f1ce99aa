"""The story of a payment service's account, on the terminal and for machines."""

from difflib import get_close_matches

from pipelines.desk.opened_book import OpenedBook
from pipelines.explain.output import (
    application_value,
    book_line,
    declined_value,
    event_value,
    print_events,
    print_quarantined,
    print_story,
    quarantined_value,
    story_value,
)
from pipelines.explain.story import Account
from pipelines.explain.wording import Words
from pipelines.shown import terminal
from pipelines.shown.terminal import output, plain


def print_account(account: Account, opened: OpenedBook, words: Words) -> None:
    """Prints whose an account is, and all that was delivered of it."""
    console, texts = output(), words.texts
    title = texts("account", service_id=account.service_id, account_id=account.account_id)
    console.print(plain(title), style="bold")
    console.print(plain(book_line(opened, words)))
    if not account.known:
        console.print(texts("unknown_account"))
        print_no_such_service(opened, account.service_id, words)
        return
    for application in account.applications:
        console.print(plain(f"- {words.application(application)}"))
    if not account.people:
        console.print(texts("nobodys"))
    print_quarantined(account.quarantined, words)
    print_events(account.events, words)
    if account.declined:
        console.print(f"\n{texts('declined_transactions')}", style="bold")
    for declined in account.declined:
        line = f"- {declined.row['transaction_id']}: {words.declined(declined)}"
        console.print(plain(line))
    for person in account.people:
        console.print()
        print_story(person, opened, words)


def print_no_such_service(opened: OpenedBook, service_id: str, words: Words) -> None:
    """Says so, where no run's registry has a service, and which one may be meant."""
    known = {
        service.service_id: service.name
        for number in range(1, opened.runs + 1)
        for service in opened.services(number).services
    }
    if service_id in known:
        return
    console = output()
    console.print(plain(words.texts("no_such_service", service_id=service_id)))
    by_name = {name: identity for identity, name in known.items()}
    lowered = {
        text.lower(): identity for text, identity in (by_name | {i: i for i in known}).items()
    }
    close = get_close_matches(service_id.lower(), lowered, n=5, cutoff=0.6)
    names = dict.fromkeys(lowered[text] for text in close)
    if names:
        console.print(plain(words.texts("did_you_mean", names=", ".join(names))))


def print_account_json(account: Account, words: Words) -> None:
    """Prints the story for machines."""
    terminal.print_json(
        {
            "service_id": account.service_id,
            "account_id": account.account_id,
            "known": account.known,
            "people": [story_value(person, words) for person in account.people],
            "applications": [
                application_value(application, words) for application in account.applications
            ],
            "declined": [declined_value(row, words) for row in account.declined],
            "quarantined": [quarantined_value(row, words) for row in account.quarantined],
            "corrections": [event_value(event, words) for event in account.events],
        }
    )

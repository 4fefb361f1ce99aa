"""The command's body: look up, word, print; and what its exit code says."""

from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from engine.records import BLANKS
from pipelines.desk.opened_book import OpenedBook, open_book
from pipelines.explain.account_output import (
    print_account,
    print_account_json,
    print_no_such_service,
)
from pipelines.explain.lookup import account_of, person_of, transaction_of
from pipelines.explain.output import print_json, print_story
from pipelines.explain.page import write_page
from pipelines.explain.payouts import payouts_of, print_payouts
from pipelines.explain.story import Person, Transaction
from pipelines.explain.wording import Words
from pipelines.shown.errors import output_may_fail
from pipelines.shown.result_files import check_file
from pipelines.shown.texts import Lang, Texts


def explain(
    book: Path,
    person: str | None,
    transaction: tuple[str, str] | None,
    account: tuple[str, str] | None = None,
    *,
    lang: Lang,
    as_of: int | None = None,
    declined: bool = False,
    html: Path | None = None,
    as_json: bool = False,
) -> int:
    """Explains a person, an account or a transaction; IDs are trimmed as deliveries are.

    Returns 1 if the book knows nothing of it, or if the ledger does not add up.

    Raises:
        InputError: not one of the three was asked for, or the page cannot be written.
        BookError: there is no book, or a file of it is damaged.
    """
    if sum(asked is not None for asked in (person, transaction, account)) != 1:
        raise InputError(
            "explain: one of --person, --account and --transaction is needed",
            hint="--person ID, --account SERVICE_ID ACCOUNT_ID, or --transaction SERVICE_ID "
            "TRANSACTION_ID",
        )
    if html is not None and account is not None:
        raise InputError(
            "explain: --html is of a person or a transaction", hint="name the person of the account"
        )
    if html is not None:
        require_extra("explain --html", "desk", "pygal")
    opened, words = open_book(book, as_of), Words(lang)
    if html is not None:
        check_file(html)
    if account is not None:
        return _explain_account(opened, _trimmed(*account), words, as_json=as_json)
    story: Person | Transaction
    if person is not None:
        [person] = _trimmed(person)
        story = person_of(opened, person, with_declined=declined)
    else:
        assert transaction is not None
        story = transaction_of(opened, *_trimmed(*transaction))
    payouts = None if person is None else payouts_of(book, person, opened.runs)
    if html is not None:
        write_page(html, story, opened, words, payouts)
    with output_may_fail():
        if as_json:
            print_json(story, words, None if payouts is None else payouts.value())
        else:
            print_story(story, opened, words)
            if isinstance(story, Transaction) and story.outcome == "never_delivered":
                print_no_such_service(opened, story.service_id, words)
            if payouts is not None:
                print_payouts(payouts, Texts("due", lang))
    return 0 if _sound(story) else 1


def _trimmed(*ids: str) -> list[str]:
    """IDs as deliveries' are read: without what stands around them."""
    return [given.strip(BLANKS) for given in ids]


def _explain_account(opened: OpenedBook, account: list[str], words: Words, *, as_json: bool) -> int:
    story = account_of(opened, *account)
    with output_may_fail():
        if as_json:
            print_account_json(story, words)
        else:
            print_account(story, opened, words)
    return 0 if story.known and not any(person.disagreeing for person in story.people) else 1


def _sound(story: Transaction | Person) -> bool:
    if isinstance(story, Person):
        return story.known and not story.disagreeing
    return story.outcome != "never_delivered" and (story.entry is None or story.entry.agrees)

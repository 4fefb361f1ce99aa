"""The command's body: look up, word, print; and what its exit code says."""

from pathlib import Path

from engine.errors import InputError
from engine.extras import require_extra
from pipelines.desk.opened_book import open_book
from pipelines.explain.lookup import person_of, transaction_of
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
    *,
    lang: Lang,
    as_of: int | None = None,
    declined: bool = False,
    html: Path | None = None,
    as_json: bool = False,
) -> int:
    """Explains a person's account or a transaction.

    Returns 1 if the book knows nothing of it, or if the ledger does not add up.

    Raises:
        InputError: neither or both of the two were asked for, or the page cannot be written.
        BookError: there is no book, or a file of it is damaged.
    """
    if (person is None) == (transaction is None):
        raise InputError(
            "explain: one of --person and --transaction is needed",
            hint="--person ID, or --transaction SERVICE_ID TRANSACTION_ID",
        )
    if html is not None:
        require_extra("explain --html", "desk", "pygal")
    opened, words = open_book(book, as_of), Words(lang)
    if html is not None:
        check_file(html)
    story: Person | Transaction
    if person is not None:
        story = person_of(opened, person, with_declined=declined)
    else:
        assert transaction is not None
        story = transaction_of(opened, *transaction)
    payouts = None if person is None else payouts_of(book, person, opened.runs)
    if html is not None:
        write_page(html, story, opened, words, payouts)
    with output_may_fail():
        if as_json:
            print_json(story, words, None if payouts is None else payouts.value())
        else:
            print_story(story, opened, words)
            if payouts is not None:
                print_payouts(payouts, Texts("due", lang))
    return 0 if _sound(story) else 1


def _sound(story: Transaction | Person) -> bool:
    if isinstance(story, Person):
        return story.known and not story.disagreeing
    return story.outcome != "never_delivered" and (story.entry is None or story.entry.agrees)

"""The command's body: verify, print the findings; exit 1 when there are any."""

from collections.abc import Sequence
from pathlib import Path

from pipelines.shown.errors import output_may_fail
from pipelines.verify import verify
from pipelines.verify.output import print_findings, print_json


def verify_book(
    book: Path,
    *,
    transactions: Sequence[str],
    enrollments: Sequence[str],
    events: Sequence[str],
    show_ids: bool,
    as_json: bool,
) -> int:
    """Verifies a whole book; with deliveries, decides every run again.

    Raises:
        InputError: there is no book, or a delivered file cannot be used.
        BookError: the book cannot be verified.
    """
    verified = verify(book, transactions=transactions, enrollments=enrollments, events=events)
    with output_may_fail():
        (print_json if as_json else print_findings)(verified, show_ids=show_ids)
    return 1 if verified.findings else 0
